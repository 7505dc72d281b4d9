"""Keeps the tables in the system's memory, so that who reads them does not wait for the disk.

The daemon reads rows through LMDB's mapping. A page that the system does not hold (after a start of
the machine, or because it took it back) is read from the disk there and then, in the middle of a
message, while everybody else's message waits. So the follower looks through the file now and then,
by `mincore`, and asks for what is missing, a little at a time and ahead of need.

Where the system cannot hold them it is left alone: a file of more than half of the memory is not
looked after, and where a pass had to ask for much, the next one comes later and later.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 64 << 20
"""Looked at in a step."""
ASKED_BYTES: Final = 8 << 20
"""Asked for in a step: with ten steps a second, what a slow disk reads beside its other work. The
first pass asks for whole pieces: after a start of the machine nothing is there, and until it is
each message waits for the disk."""
PAUSE_SECONDS: Final = 10.0
PAUSE_SECONDS_MAX: Final = 3600.0
MUCH: Final = 16
"""A pass that asked for more than the file divided by this was in vain, or the first."""

_FAILED: Final = ctypes.c_void_p(-1).value


class Warmth:
    """The tables of a book; `step` is called now and then."""

    def __init__(self, path: Path) -> None:
        """Look after a file, where the system has the means."""
        self._path = path
        self._at = 0
        self._asked = 0
        self._most = PIECE_BYTES
        self._pause = PAUSE_SECONDS / 2
        self._due = 0.0
        library = ctypes.CDLL(None)
        self._mincore = getattr(library, "mincore", None)
        self._map, self._unmap = library.mmap, library.munmap
        self._map.restype = ctypes.c_void_p
        size, plain = ctypes.c_size_t, ctypes.c_int
        self._map.argtypes = [ctypes.c_void_p, size, plain, plain, plain, ctypes.c_long]

    def step(self) -> int:
        """Look at the next piece, and ask for a part of what is missing there.

        Returns:
            Bytes asked for.

        Raises:
            OSError: the file cannot be read.
        """
        if self._mincore is None or time.monotonic() < self._due:
            return 0
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size > os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2:
                self._rest(size, asked=size)
                return 0
            return self._look(descriptor, size)
        finally:
            os.close(descriptor)

    def _look(self, descriptor: int, size: int) -> int:
        length = min(PIECE_BYTES, size - self._at)
        asked = 0
        looked = length
        there = self._resident(descriptor, self._at, length) if length > 0 else b""
        place = there.find(0)
        while place >= 0 and asked < self._most:
            end = there.find(1, place)
            end = len(there) if end < 0 else end
            count = min((end - place) * mmap.PAGESIZE, self._most - asked)
            first = self._at + place * mmap.PAGESIZE
            os.posix_fadvise(descriptor, first, count, os.POSIX_FADV_WILLNEED)
            asked += count
            looked = length if asked < self._most else first + count - self._at
            place = there.find(0, end)
        self._asked += asked
        self._at += looked
        if self._at >= size:
            self._rest(size, self._asked)
        return asked

    def _rest(self, size: int, asked: int) -> None:
        """A pass is over: begin the next one soon where it found all there, else later."""
        much = asked * MUCH > size
        self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX) if much else PAUSE_SECONDS
        self._due = time.monotonic() + self._pause
        self._at = self._asked = 0
        self._most = ASKED_BYTES

    def _resident(self, descriptor: int, start: int, length: int) -> bytes:
        """A byte for each page: 1 where the system holds it. All ones where it does not tell."""
        pages = -(-length // mmap.PAGESIZE)
        assert self._mincore is not None  # noqa: S101 - see `step`
        shown = self._map(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, start)
        if shown == _FAILED:
            return b"\1" * pages
        place = ctypes.c_void_p(shown)
        told = ctypes.create_string_buffer(pages)
        failed = self._mincore(place, ctypes.c_size_t(length), told)
        self._unmap(place, ctypes.c_size_t(length))
        return b"\1" * pages if failed else told.raw
