"""Output files that hold what nobody else may read: numbers of cards, codes of coupons."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ledger.storage import Storage
from tools.cli import Refusal

_MODE: Final = 0o600


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Open an output file that nobody else may read; synced when the context ends well.

    Raises:
        Refusal: it is not a file of our own of mode 0600, or another job writes it.
        OSError: it cannot be made or written.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        descriptor = os.open(path, flags)
    try:
        with _locked(descriptor, path) as file:
            yield file
    except BaseException:
        if path.stat().st_size == 0:
            path.unlink()
        raise
    Storage().sync_folder(path.absolute().parent)


@contextmanager
def _locked(descriptor: int, path: Path) -> Iterator[BinaryIO]:
    with os.fdopen(descriptor, "r+b", buffering=1 << 16) as file:
        state = os.fstat(descriptor)
        if (
            not stat.S_ISREG(state.st_mode)
            or stat.S_IMODE(state.st_mode) & ~_MODE
            or state.st_uid != os.getuid()
        ):
            raise Refusal(f"{path} is there and not a file of mode 0600 of yours: name another")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"another job writes {path}: wait for its end") from None
        yield file
        file.flush()
        os.fsync(descriptor)
