"""Debian's Prometheus: on the path, or unpacked by `make .venv/prometheus`."""

import os
import shutil
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[1] / ".venv" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """Where a program of the package is; skips the test where it cannot be had."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{UNPACKED}")
    if found is None:
        pytest.skip(f"{name} is not here: Debian's package prometheus could not be had")
    return found
