"""The command line of the agent."""

from cloud_connect_agent.cli.root import main

__all__ = ["main"]
