"""``python -m clearing``: the same as the command ``counterfoil``."""

from importlib import import_module

if __name__ == "__main__":
    # By name, because rooms do not import the one that composes them.
    import_module("tools.cli").main(prog_name="counterfoil")
