"""The few calls to the operating system that decide whether something is on disk.

The journal does all its writing through one `Storage`, so that a test can hand in one that fails a
sync, writes short, runs out of space, dies at the n-th operation or forgets what was not synced.
Nothing here retries: what a failed write or sync left behind is unknown, and the caller stops.

`Lock` is the advisory lock that makes a book have one writer and its tables one follower. It is an
open-file-description lock: it ends with its holder, however that dies, closing another descriptor
of the same file does not release it, and it can be asked after without being taken.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE = getattr(_LIBRARY, "sync_file_range", None)
_SYSCALL = _LIBRARY.syscall
_WHOLLY = 1 | 2 | 4
"""Wait for what is on its way, send the rest, and wait for that."""
_CACHESTAT = 451
"""Number of the system call, the same on all processors; the C library has no function for it."""
_FLOCK = struct.Struct("@hhqqi4x")
MEBIBYTE = 1 << 20
ZEROS_PIECE = MEBIBYTE // 4
_ZEROS = bytes(ZEROS_PIECE)


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the ledger, in one place.

    Attributes:
        segment_bytes: size that a journal segment is made with.
        segment_bytes_alone: the same for a book opened without a follower, whose life is short.
        overlay_records: rows and entries not yet in the tables, past which the book is full.
        overlay_bytes: the same in packed bytes.
        tail_entries: a journal tail longer than this is folded at start instead of laid over.
        fold_seconds: age of the oldest change at which a fold is committed.
        fold_entries: entries at which a fold is committed earlier.
        fold_records: changed rows at which a fold is committed earlier.
        reference_rows: rows of reference tables that the view keeps decoded.
        alias_rows: cards, phones and tokens that the view keeps, about 300 bytes each.
        disk_free_bytes_min: free bytes below which the disk counts as low, besides one segment.
        disk_check_seconds: time between two looks at the free space.
    """

    segment_bytes: int = 128 * MEBIBYTE
    segment_bytes_alone: int = 8 * MEBIBYTE
    overlay_records: int = 400_000
    overlay_bytes: int = 1024 * MEBIBYTE
    tail_entries: int = 50_000
    fold_seconds: float = 0.25
    fold_entries: int = 200_000
    fold_records: int = 100_000
    reference_rows: int = 200_000
    alias_rows: int = 2_000_000
    disk_free_bytes_min: int = 64 * MEBIBYTE
    disk_check_seconds: float = 1.0


def zeros(begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The pieces, each with its offset, that fill a file with zeros from `begin` to `end`."""
    for offset in range(begin, end, ZEROS_PIECE):
        yield offset, _ZEROS[: min(ZEROS_PIECE, end - offset)]


def write_synced(path: Path, data: bytes, mode: int) -> None:
    """Write a small file anew, and have its bytes on disk; its name is the folder's matter."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Storage:
    """The operating system's own calls; each raises OSError as the system reports it."""

    def create(self, path: Path) -> int:
        """Open a new file for writing; one that is there already is emptied first."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """Open an existing file for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write the parts one after another at `offset`, in one call.

        Raises:
            OSError: the system refused, or took less than all of it.
        """
        expected = sum(map(len, parts))
        written = os.pwritev(descriptor, parts, offset)
        if written != expected:
            why = f"only {written} of {expected} bytes were written; the disk may be full"
            raise OSError(errno.EIO, why)

    def sync(self, descriptor: int) -> None:
        """Return once the file's bytes are on disk."""
        os.fdatasync(descriptor)

    def pass_on(self, descriptor: int, offset: int, length: int) -> None:
        """Have the disk take bytes of a file; they need a `sync` to be there after a power cut.

        It costs none of what a sync does to others: the disk empties no cache, and the file system
        commits nothing.

        Raises:
            OSError: the disk did not take them.
        """
        if _SYNC_FILE_RANGE is None:  # another system than Linux
            os.fdatasync(descriptor)
            return
        place, size = ctypes.c_int64(offset), ctypes.c_int64(length)
        if _SYNC_FILE_RANGE(descriptor, place, size, _WHOLLY):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def dirty_pages(self, descriptor: int, offset: int, length: int) -> int:
        """About how many pages of a part of a file wait to be written, to share out work by.

        1 where the system does not tell (Linux before 6.5): each part is as good as another.
        """
        where, told = (ctypes.c_uint64 * 2)(offset, length), (ctypes.c_uint64 * 5)()
        if sys.platform != "linux" or _SYSCALL(_CACHESTAT, descriptor, where, told, 0):
            return 1
        _cached, dirty, written_back, _evicted, _evicted_lately = told
        return int(dirty + written_back)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file to `length` bytes."""
        os.ftruncate(descriptor, length)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its name, replacing one that has it."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in a folder are on disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, folder: Path) -> int:
        """Bytes that an ordinary user may still write on the disk of `folder`."""
        state = os.statvfs(folder)
        return state.f_bavail * state.f_frsize


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Try to take the lock.

        Returns:
            False when another holds it.

        Raises:
            OSError: the file cannot be made or opened.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @property
    def descriptor(self) -> int:
        """The open file; whoever inherits it holds the lock too. -1 when it is not held."""
        return self._descriptor

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Let the lock go; nothing happens when it is not held."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_held(self) -> bool:
        """Whether anybody holds the lock; it is only asked after, never taken for a moment."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            asked = _FLOCK.pack(fcntl.F_RDLCK, 0, 0, 0, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
            return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
        finally:
            os.close(descriptor)
