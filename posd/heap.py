"""Memory taken once and kept.

What a second of transactions leaves in memory until the tables hold it is some hundred megabytes,
freed again and taken again. Left alone, the interpreter and the C library give freed memory back to
the system, which has to find and clear the same pages anew a moment later: measured, an eighth of
all the processor time of the daemon. So a heap is touched at the start and held.

How large depends on the alliance: `worth` lets it follow the tables, so that a small one is served
at once and in little memory, and one that has grown has its heap from the next start on.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

_SMALL_BYTES: Final = 470
"""With its header in the largest size class that the interpreter's own allocator serves, 512."""

_SMALL_SIZE_CLASS: Final = 512
_ARENA_OBJECTS: Final = 1500
"""Fewer such objects than an arena of one MiB holds, so that every arena keeps one."""

_LARGE_BYTES: Final = 4000
_LARGE_PART: Final = 3
"""One part in so many of the heap is for what is larger, which the C library serves."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_INT_MAX: Final = (1 << 31) - 1
_MEBIBYTE: Final = 1 << 20

_HUGE_PAGE: Final = 2 << 20
_MADV_COLLAPSE: Final = 25
_PAUSE_S: Final = 0.002
"""Between two pages, each of which takes longer than that."""
_CALM: Final = 0.004
"""Part of the time that goes into decoding where few terminals talk: some two thousand messages a
second."""
_LOOK_S: Final = 0.1
"""How long to wait where more do."""

UNPACKED: Final = 4
"""What a burst changes is a part of the tables, this many times as large in memory as packed."""

_held: Final[list[bytes]] = []


def worth(tables_bytes: int, overlay_bytes: int) -> int:
    """How large a heap is worth taking, MiB.

    Args:
        tables_bytes: size of the tables.
        overlay_bytes: packed bytes of changes that may wait for the tables.
    """
    return UNPACKED * min(tables_bytes, overlay_bytes) // _MEBIBYTE


def take(most: int, mebibytes: int) -> None:
    """Touch a heap and hold it; freed memory is kept from now on, until the process ends.

    Args:
        most: MiB that are touched or kept at most; with 0 all is as the system has it.
        mebibytes: how large a heap is touched, if that is less.
    """
    if not most:
        return
    _keep_freed_memory(most * _MEBIBYTE // _LARGE_PART)
    mebibytes = min(most, mebibytes)
    if not mebibytes:
        return
    large = mebibytes * _MEBIBYTE // _LARGE_PART
    touched = [bytes(_LARGE_BYTES) for _ in range(large // _LARGE_BYTES)]
    _held.append(touched[-1])  # at the far end: what lies before it cannot be given back
    del touched
    count = (mebibytes * _MEBIBYTE - large) // _SMALL_SIZE_CLASS
    small = [bytes(_SMALL_BYTES) for _ in range(count)]
    _held.extend(small[::_ARENA_OBJECTS])


def _keep_freed_memory(large: int) -> None:
    """Tell the C library not to shrink its heap; another library than glibc goes without."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, min(2 * large, _INT_MAX))
        mallopt(_M_MMAP_MAX, 0)  # what is large comes from the heap, too, and stays there


def use_huge_pages(decoded_ns: Callable[[], int] = lambda: 0) -> threading.Thread | None:
    """Have the system back the heap by huge pages, while few terminals talk.

    Most of what a transaction touches was not touched lately. Where pages are small, finding out
    where it lies costs as much as fetching it: measured, a fourteenth of the daemon's time. Pages
    are joined one by one by a thread, for each of which the process's memory is locked for up to
    five milliseconds: beside 9,000 messages a second a daemon that had just been started fell half
    a second behind. So it waits until there are fewer. Memory that is taken later is not backed so,
    since the system may stand still until it has found a huge page. One that has none, or none
    left, goes without.

    Args:
        decoded_ns: tells how long messages have been decoded so far, ns.

    Returns:
        The thread; None where no heap was taken.
    """
    if not _held:
        return None
    join = partial(_join_pages, decoded_ns)
    thread = threading.Thread(target=join, name="huge-pages", daemon=True)
    thread.start()
    return thread


def _join_pages(decoded_ns: Callable[[], int]) -> None:
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    before, since = decoded_ns(), time.perf_counter_ns()
    for first, last in _anonymous():
        for place in range(first, last, _HUGE_PAGE):
            madvise(place, _HUGE_PAGE, _MADV_COLLAPSE)  # without the interpreter's lock
            time.sleep(_PAUSE_S)
            while True:
                decoded, now = decoded_ns(), time.perf_counter_ns()
                busy = decoded - before > _CALM * (now - since)
                before, since = decoded, now
                if not busy:
                    break
                time.sleep(_LOOK_S)


def _anonymous() -> list[tuple[int, int]]:
    """Where this process has memory that no file backs, in whole huge pages: first, behind it."""
    found = []
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        span, rights, _, _, _, *name = line.split()
        if rights != "rw-p" or (name and name != ["[heap]"]):
            continue
        first, last = (int(place, 16) for place in span.split("-"))
        first, last = -(-first // _HUGE_PAGE) * _HUGE_PAGE, last // _HUGE_PAGE * _HUGE_PAGE
        if last > first:
            found.append((first, last))
    return found
