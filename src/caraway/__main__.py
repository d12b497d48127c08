"""``python -m caraway``."""

from caraway.cli import main

if __name__ == "__main__":
    main(prog_name="caraway")
