"""``python -m procore_simulator`` and the ``procore-simulator`` command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command, or say which extra it needs."""
    try:
        from procore_simulator.cli import main as command
    except ModuleNotFoundError as exc:
        sys.stderr.write(
            f"The simulator needs {exc.name}: "
            "install it with pip install 'cloud-connect[simulator]'.\n"
        )
        sys.exit(1)
    command()


if __name__ == "__main__":
    main()
