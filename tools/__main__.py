"""``python -m tools``: the same as the command ``counterfoil``."""

from tools.cli import main

if __name__ == "__main__":
    main(prog_name="counterfoil")
