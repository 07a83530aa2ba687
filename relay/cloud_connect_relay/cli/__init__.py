"""The command line of the relay."""

from cloud_connect_relay.cli.root import main

__all__ = ["main"]
