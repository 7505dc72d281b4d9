"""Output files that hold what nobody else may read: numbers of cards, codes of coupons."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from clearing.console import Refusal
from ledger.storage import Storage

_MODE: Final = 0o600


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Open an output file that nobody else may read; synced when the context ends well.

    Raises:
        Refusal: it is not a file of our own of mode 0600, or another job writes it.
        OSError: it cannot be made or written.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    made = True
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        made = False  # what was there before is never removed, also if it is empty or a device
        descriptor = os.open(path, flags)
    try:
        with _locked(descriptor, path) as file:
            yield file
    except BaseException:
        if made and path.stat().st_size == 0:
            path.unlink()
        raise
    Storage().sync_folder(path.absolute().parent)


@contextmanager
def _locked(descriptor: int, path: Path) -> Iterator[BinaryIO]:
    state = os.fstat(descriptor)
    if (
        not stat.S_ISREG(state.st_mode)
        or stat.S_IMODE(state.st_mode) & ~_MODE
        or state.st_uid != os.getuid()
    ):
        os.close(descriptor)
        raise Refusal(f"{path} is there and not a file of mode 0600 of yours: name another")
    with os.fdopen(descriptor, "r+b", buffering=1 << 16) as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"another job writes {path}: wait for its end") from None
        yield file
        file.flush()
        os.fsync(descriptor)
