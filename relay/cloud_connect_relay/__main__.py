"""``python -m cloud_connect_relay``: the command ``cloud-connect-relay``."""

import sys
from importlib.util import find_spec
from typing import Final

__all__ = ["main"]

_EXTRA: Final = ("aiosqlite", "alembic", "argon2", "fastapi", "httptools", "sqlalchemy", "uvicorn")


def main() -> None:
    """Run the command line, if what it needs is installed."""
    if any(find_spec(name) is None for name in _EXTRA):
        sys.exit(
            "Error: The relay's packages are not installed; run: pip install 'cloud-connect[relay]'"
        )
    from cloud_connect_relay.cli import main as run

    run()


if __name__ == "__main__":
    main()
