"""Notes: what jobs beside the daemon leave for those who watch it.

A job that ends (a verification, the checks of a clearing, a backup, a sweep), and the follower at
each fold, writes a small JSON object of whole numbers to ``DIR/notes/NAME.json``, under a temporary
name that is then renamed. The daemon shows them as metrics. They are hints: a lost one costs an
alert, never a posting; so they are not synced, not part of a backup, and a note that cannot be
written or read is passed over.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

NOTES: Final = ("backup", "clearing", "follower", "sweep", "verify")
"""Every note there is."""

AT: Final = "at"
"""When a note was written, seconds since 1970 UTC."""

_FOLDER = "notes"
_BYTES_MAX = 1 << 14


def note(directory: Path, name: str, **numbers: int) -> None:
    """Leave a note in a data directory, in place of the one before.

    Args:
        directory: the data directory.
        name: one of `NOTES`.
        numbers: what there is to tell; ``at`` is added.
    """
    if name not in NOTES:
        raise ValueError(f"there is no note {name!r}")
    folder = directory / _FOLDER
    written = folder / f".{name}.{os.getpid()}"
    text = json.dumps({AT: int(time.time())} | numbers)
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        written.write_text(text, encoding="ascii")
        written.chmod(0o600)
        written.replace(folder / f"{name}.json")


def noted(directory: Path, name: str) -> dict[str, int]:
    """The newest note of that name; empty when there is none that can be read."""
    try:
        with (directory / _FOLDER / f"{name}.json").open("rb") as file:
            told = json.loads(file.read(_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {key: value for key, value in told.items() if type(value) is int}
