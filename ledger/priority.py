"""Who waits for whom where several processes of a data directory share the processors.

Bulk work (the follower's folds, sweeps, clearing) *steps back*: nice 19 and the system's idle
class. Nice alone gives it a small share, but lets it finish its slice of three to four milliseconds
before a process that just woke up may run; from the idle class it is taken at once. It still gets
whatever the others leave, and a share of a few thousandths where they leave nothing.

Who steps back also sleeps for a moment after each few milliseconds of work. The system looks for a
better place for the others when a processor falls idle, and one that such work keeps busy does not:
measured, the daemon and its load shared one processor for tens of milliseconds while the follower
had the other to itself (p99 at half rate 15 to 22 ms, with moments of sleep 5 to 9 ms).

Where Linux shares the processors out by session first (``kernel.sched_autogroup_enabled``), both
hold within a session alone, and a job of cron has as much as the daemon. So who leads a session,
which is then a job's own, lowers the session as a whole; who shares one, with the shell that it was
typed into or with the daemon itself, leaves it as it is.

The syncer, which sleeps most of the time and works for microseconds, is in the real-time class
where the system lets it (root, or ``LimitRTPRIO`` of its unit): else whoever runs on its processor
when the disk answers ends a slice of milliseconds first, and every reply waits. Elsewhere it asks
for short slices: Linux (6.12 and later) lets who wants little run before who wants much, within a
session. Older systems ignore that.

While its loop has no time to spare, a daemon's companions, follower and syncer, keep off one of the
processors, where there are several: the one that devices interrupt least. The daemon may go where
it likes, and finds that one free, which gives it a tenth more. Otherwise all go where the system
puts them: kept off at half of the full rate as well, they made p99 6 to 18 ms in place of 3 to 5.

All of it is a wish: where the system refuses, work goes on as before, only later.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import re
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

NICE: Final = 19
"""The lowest priority there is."""
AUTOGROUP: Final = Path("/proc/self/autogroup")
"""Tells the place of this process's session: ``/autogroup-N nice N``."""
_EVERY_S: Final = 2e-3
"""Processor time, in s, after which who stepped back sleeps; the system may count more coarsely."""
_MOMENT_S: Final = 2e-5
"""How long, in s: the system makes it as much longer as it likes."""
SLICE_NS: Final = 100_000
"""The shortest slice that Linux grants, in ns."""

INTERRUPTS: Final = Path("/proc/interrupts")
"""Tells how often each processor was interrupted, and by what."""
_PLACE: Final = re.compile(r" nice (-?[0-9]+)\s*$")
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""Number of the system call by machine; the C library has no function for it."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, priority, runtime, deadline, period."""


def step_back() -> None:
    """Let this process have only what others leave; for good, unless the system lets it return."""
    _lower_session(NICE)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _breathe(_EVERY_S)


def _breathe(seconds: float) -> None:
    """Sleep for a moment after each so many seconds of own processor time; 0 for never again."""
    if threading.current_thread() is not threading.main_thread():
        return
    if seconds:
        signal.signal(signal.SIGVTALRM, lambda *_: time.sleep(_MOMENT_S))
        # An interpreter that ends gives its signals back to the system, which would kill it.
        atexit.register(signal.setitimer, signal.ITIMER_VIRTUAL, 0)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)


def _lower_session(nice: int) -> None:
    """Give the session that this process leads, if it does, a place among the other sessions."""
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a system without such groups, or one that lets none return
            AUTOGROUP.write_text(str(nice))


def _nice_of_session() -> int:
    """The place of this process's session, 0 where sessions have none."""
    with suppress(OSError):
        return nice_told(AUTOGROUP.read_text())
    return 0


def nice_told(text: str) -> int:
    """The place that the system's line about a session names.

    Args:
        text: ``/autogroup-N nice N``, or nothing, as for a session that was there before the
            system grouped by session, or in a container that shows the file only.

    Returns:
        -20 to 19; 0 where the line names none.
    """
    found = _PLACE.search(text)
    return int(found[1]) if found else 0


@contextmanager
def stepping_back() -> Iterator[None]:
    """Step back for a while; afterwards return, as far as the system lets us."""
    nice, policy = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    session = _nice_of_session()
    step_back()
    try:
        yield
    finally:
        _breathe(0)
        _lower_session(session)
        with suppress(OSError):
            os.sched_setscheduler(0, policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, 0, nice)


def keep_off(process: int, *, off: bool) -> None:
    """Keep a process off one of the processors that this one may use, or let it go back.

    Args:
        process: its number; it has one thread.
        off: False lets it use all of them.
    """
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:  # noqa: PLR2004 - nothing to leave
        return
    wanted = allowed - {_quietest(frozenset(allowed))} if off else allowed
    with suppress(OSError):  # it is gone already, or the system does not let us
        os.sched_setaffinity(process, wanted)


@cache
def _quietest(allowed: frozenset[int]) -> int:
    """The one that devices had interrupted least when this was first asked: always the same one."""
    counts: dict[int, int] = {}
    with suppress(OSError, ValueError):  # there is no such table, or it is another
        counts = interrupts_told(INTERRUPTS.read_text())
    return min(sorted(allowed), key=lambda processor: counts.get(processor, 0))


def interrupts_told(text: str) -> dict[int, int]:
    """How often devices interrupted each processor, by the system's table.

    Args:
        text: a line with the names of processors, then one for each source: its name, counts, and
            more. Devices have numbers; what processors tell each other has letters.
    """
    head, *rows = text.splitlines() or [""]
    processors = [int(name.removeprefix("CPU")) for name in head.split()]
    counts = dict.fromkeys(processors, 0)
    for row in rows:
        name, *told = row.split()
        if name.removesuffix(":").isdecimal():
            for processor, count in zip(processors, told, strict=False):
                counts[processor] += int(count)
    return counts


def answer_promptly() -> None:
    """Have this process run as soon as it wakes up, for the little that it does then.

    Where the system lets it, it goes before all that is not as urgent, whatever their session;
    threads and processes that it starts do not. Elsewhere it asks for short slices.
    """
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        return
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wish = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, wish, 0)
