"""How a fold gets to the disk: little by little, beside the journal.

A synchronous commit writes all pages of a fold at once, scattered over the file, and has the disk
empty its cache. Whoever syncs the journal meanwhile waits for all of them (measured at half rate:
p99 of terminals 9 to 13 ms so, 5 ms as here, 3.5 ms without folds). So the follower's environment
commits without a sync. Then `Trickle.write_out` sends the file to the disk in many small pieces
over as long as it was until the fold, and one sync, which has little left to do, ends it.

Between commit and sync the newest snapshot is not on disk, but the page that names it may be. The
snapshot before it is there, always: no fold begins before the sync of the last one, and LMDB does
not use a page again that the snapshot before needs. While folds are written so, a file ``unsynced``
beside the tables names the boot of the system. Whoever opens the tables after a power cut, in
another boot, *sets back*: the newest of the two meta pages is replaced by the older one, so that
the tables are at the fold before, and the journal has the rest. A killed process needs none of it:
what it committed is in the system's memory, for everyone.

A sync that failed may have dropped pages that still read well. The file says so then, and the next
follower writes the whole file anew before it goes on.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path
from typing import Any, Final

import lmdb

from ledger.storage import MEBIBYTE, Lock, Storage, write_synced

NAME: Final = "unsynced"
_FAILED: Final = "failed"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

SPREAD_S: Final = 0.25
"""Over how long a fold is written out, s."""
_REGION_BYTES: Final = 4 * MEBIBYTE
"""Of so much at a time it is asked how much is to be written."""
_PIECES: Final = 1024
"""A fold is sent in about so many pieces, each of which is waited for."""
_AHEAD_S: Final = 3e-4
"""Sooner than this it does not pay to sleep."""

_META: Final = struct.Struct("=II 16x I 100x Q")
"""``MDB_meta`` of LMDB 0.9 where a word is 64 bits: magic, version, bytes of a page, transaction.
It stands behind a page header, on pages 0 and 1."""
_META_MAGIC: Final = 0xBEEFC0DE
_META_VERSION: Final = 1
_PAGE_HEADER_BYTES: Final = 16
_LOCK_TRIES: Final = 100
_LOCK_WAIT_S: Final = 0.1


class CannotSetBack(Exception):
    """The system stopped while a fold was written, and the tables cannot be set back; why."""


def boot() -> str:
    """What names this boot of the system; empty where nothing does."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Trickle:
    """The follower's writing out of folds; its environment commits without a sync.

    Args:
        tables: the folder of the tables.
        environment: of their only writer, opened with ``sync=False``.

    Raises:
        OSError: the disk did not take what an earlier follower left.
    """

    def __init__(self, tables: Path, environment: Any) -> None:
        self._tables = tables
        self._environment = environment
        self._storage = Storage()
        self._data = self._storage.open(tables / "data.mdb")
        if _said(tables)[1:] == [_FAILED]:
            self._write_anew()
        self.write_out(0)
        self._say()

    def write_out(self, seconds: float) -> None:
        """Return once all that was committed is on disk.

        Args:
            seconds: over how long it is spread.

        Raises:
            OSError: the disk did not take it; the next follower writes all of the file anew.
        """
        try:
            if seconds:
                self._send(seconds)
            self._environment.sync(True)
        except (OSError, lmdb.Error) as error:
            self._say(_FAILED)
            raise OSError(errno.EIO, f"the tables were not synced: {error}") from error

    def close(self) -> None:
        """End it: all is on disk, and from now on whoever writes syncs as usual."""
        self.write_out(0)
        (self._tables / NAME).unlink(missing_ok=True)
        self._storage.sync_folder(self._tables)
        self._storage.close(self._data)

    def _send(self, seconds: float) -> None:
        """Send what is to be written in pieces, evenly over a time.

        The pages of a fold lie close together in one part of the file and are rare in another, so
        the pieces follow what is there and not where it is.
        """
        # The meta pages stay for the sync: they are few bytes, and name what comes before.
        first, size = 2 * int(self._environment.stat()["psize"]), os.fstat(self._data).st_size
        regions = {
            offset: pages
            for offset in range(first, size, _REGION_BYTES)
            if (pages := self._storage.dirty_pages(self._data, offset, _REGION_BYTES))
        }
        whole = sum(regions.values())
        begun, sent = time.monotonic(), 0.0
        for offset, pages in regions.items():
            pieces = -(-pages * _PIECES // whole)
            step = -(-_REGION_BYTES // pieces)
            for place in range(offset, offset + _REGION_BYTES, step):
                self._storage.pass_on(self._data, place, step)
                sent += pages / pieces
                ahead = begun + seconds * sent / whole - time.monotonic()
                if ahead > _AHEAD_S:
                    time.sleep(ahead)

    def _say(self, *more: str) -> None:
        write_synced(self._tables / NAME, f"{' '.join((boot(), *more))}\n".encode(), 0o644)
        self._storage.sync_folder(self._tables)

    def _write_anew(self) -> None:
        """Write every page as it reads, so that the disk is asked for it once more."""
        for offset in range(0, os.fstat(self._data).st_size, MEBIBYTE):
            self._storage.write(self._data, [os.pread(self._data, MEBIBYTE, offset)], offset)


def mend(folder: Path) -> None:
    """Set tables back that the system left while a fold was written; before they are opened.

    Args:
        folder: the book.

    Raises:
        CannotSetBack: this user may not, somebody holds them, or they are none of LMDB's.
    """
    tables = folder / "tables"
    said = _said(tables)
    if not said or said[0] == boot():
        return
    lock = Lock(folder / "follower.lock")
    try:
        for _ in range(_LOCK_TRIES):
            if lock.take():
                break
            time.sleep(_LOCK_WAIT_S)  # another sets them back just now
        else:
            raise CannotSetBack("another process holds them")
        if _said(tables):
            _set_back(tables / "data.mdb")
            (tables / NAME).unlink()
            Storage().sync_folder(tables)
    except OSError as error:
        raise CannotSetBack(str(error)) from error
    finally:
        lock.release()


def _said(tables: Path) -> list[str]:
    """Boot of whoever trickled last and what became of it; empty if nobody left the file."""
    try:
        return (tables / NAME).read_text(encoding="ascii").split() or [""]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _set_back(path: Path) -> None:
    """Put the older one of the two meta pages in the place of the newer one, durably."""
    storage = Storage()
    try:
        descriptor = storage.open(path)
    except FileNotFoundError:  # emptied by hand, to be folded anew
        return
    try:
        first = os.pread(descriptor, _META.size, _PAGE_HEADER_BYTES)
        page, transaction = _meta(first)
        second = os.pread(descriptor, _META.size, page + _PAGE_HEADER_BYTES)
        if transaction < _meta(second)[1]:
            storage.write(descriptor, [first], page + _PAGE_HEADER_BYTES)
        else:
            storage.write(descriptor, [second], _PAGE_HEADER_BYTES)
        storage.sync(descriptor)
    finally:
        storage.close(descriptor)


def _meta(packed: bytes) -> tuple[int, int]:
    """Bytes of a page, and the transaction that a meta page names."""
    if len(packed) == _META.size:
        magic, version, page, transaction = _META.unpack(packed)
        if (magic, version) == (_META_MAGIC, _META_VERSION):
            return page, transaction
    raise CannotSetBack("they are not of LMDB 0.9 on a system of 64 bits")
