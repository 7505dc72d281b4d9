"""The data format of a directory: one number for all that is on disk, in the file ``format``.

It rises with any change that software from before would read wrongly: of segments, frames, keys,
layouts of rows or commands. Software opens what is of its own format or older, and refuses what is
newer before it touches anything. A directory without the file is of format 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.storage import write_synced

FORMAT: Final = 1
"""The format that this software writes."""

NAME: Final = "format"
_BYTES_MAX: Final = 32


class FormatUnknown(Exception):
    """A directory is of a format that this software does not know; one sentence."""


def read_format(folder: Path) -> int:
    """The format of a directory.

    Raises:
        FormatUnknown: the file does not hold a number.
    """
    try:
        with (folder / NAME).open("rb") as file:
            text = file.read(_BYTES_MAX).strip()
    except FileNotFoundError:
        return 1
    if not text.isdigit():
        raise FormatUnknown(f"{folder / NAME} does not hold a number: restore it from a backup")
    return int(text)


def require_format(folder: Path) -> None:
    """Refuse a directory of a newer format.

    Raises:
        FormatUnknown: it is newer, or unreadable.
    """
    found = read_format(folder)
    if not 1 <= found <= FORMAT:
        raise FormatUnknown(
            f"{folder} has data format {found} and this version knows up to {FORMAT}: use the"
            " version that wrote it, or a newer one; nothing was changed"
        )


def write_format(folder: Path) -> None:
    """Say that a directory is of this software's format, durably."""
    write_synced(folder / NAME, b"%d\n" % FORMAT, 0o600)
