"""``python -m cloud_connect_agent``: the command ``cloud-connect``."""

from cloud_connect_agent.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
