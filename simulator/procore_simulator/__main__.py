"""``python -m procore_simulator`` and the ``procore-simulator`` command."""

from procore_simulator.cli import main

if __name__ == "__main__":
    main()
