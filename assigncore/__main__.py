"""``python -m assigncore`` is the command `assigncore`."""

from assigncore.cli import main

if __name__ == "__main__":
    main()
