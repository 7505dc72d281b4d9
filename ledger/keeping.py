"""One at a time: the lock of those who copy, compress or remove segments of a book."""

from __future__ import annotations

from pathlib import Path

from ledger.storage import Lock

KEEPING = "keeping.lock"


class KeepingBusy(Exception):
    """A backup or an archive of this book is under way; one sentence."""


class Keeping:
    """The lock of those who copy or remove segments, as a context manager.

    Raises:
        KeepingBusy: another has it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock(folder / KEEPING)

    def __enter__(self) -> None:
        if not self._lock.take():
            raise KeepingBusy(
                f"another backup or archive of {self._folder} is under way: wait for its end"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()
