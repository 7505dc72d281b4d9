"""Rests between turns of the event loop, so that messages of many terminals are handled together.

A message that is handled alone bears the whole cost of a turn of the loop and of a group, and finds
no code in the nearest cache: on the machine of `benchmarks/RESULTS.md` it takes 137 to 155 us at
half of the saturated rate, where a group has three messages, and 82 to 87 us where it has twelve.
What network cards do, which gather packets and interrupt once, helps here, too: while the loop is
busy it rests after a turn, and the next turn finds what has arrived meanwhile all at once. A reply
comes later by `REST_NS_MAX` at the most, and where much is going on in the system far fewer come
late.

An idle or lightly loaded loop never rests, and neither does one that has enough to do in each turn.

Where the process has more than one processor it rests *awake*: it keeps its own, which, once given
away, comes back with cold caches and after a while. Measured in turns at half of the saturated rate
a message takes a fifth less time so, and p99 is 4 ms in place of 5.5 to 8.6. The system then counts
rests as work.
"""

from __future__ import annotations

import select
import time
from typing import Final

REST_NS_MAX: Final = 2_000_000
"""The longest time from one turn to the next that is filled up by a rest."""
REST_NS_MIN: Final = 250_000
"""The shortest; below it there are no rests."""
ENOUGH: Final = 16
"""A turn with so many messages is not followed by a rest: more together cost hardly less each."""
BUSY: Final = 0.6
"""Share of time with work on a processor above which rests get longer."""
CALM: Final = 0.4
"""Share below which they get shorter."""
WINDOW_NS: Final = 50_000_000
"""Time over which the share is taken."""
_STEP: Final = 1.5
_LOOK_NS: Final = 50_000
"""How often a loop that rests awake looks whether the rest is over."""
_SELECTED_MAX: Final = 1024
"""A higher descriptor cannot be waited for to the microsecond."""


class Pace:
    """The rests of one thread's loop.

    Args:
        awake: whether it keeps its processor meanwhile.

    Attributes:
        period_ns: time from turn to turn below which the loop rests, ns; 0: it never does.
        rested_ns: time rested so far, ns.
        share: of the time lately, that the thread had work on a processor; 0 to 1.
    """

    def __init__(self, *, awake: bool) -> None:
        self._awake = awake
        self.period_ns = 0
        self.rested_ns = 0
        self.share = 0.0
        self._due = 0
        self._judged = time.perf_counter_ns()
        self._worked = time.thread_time_ns()

    def rest(self, messages: int, awaited: int) -> bool:
        """Sleep before a turn with so many messages, if that is worth it.

        Args:
            messages: how many would be handled now.
            awaited: a descriptor that ends the rest when it becomes readable.

        Returns:
            Whether it slept, and more may have arrived; False: now is the time to handle them.
        """
        now = time.perf_counter_ns()
        left = self._due - now
        if left > 0 and messages < ENOUGH:
            if self._awake:
                self._stay(awaited)
            else:
                _sleep(left / 1e9, awaited)
            self.rested_ns += time.perf_counter_ns() - now
            return True
        if now - self._judged >= WINDOW_NS:
            self._judge(now)
        self._due = now + self.period_ns
        return False

    def _stay(self, awaited: int) -> None:
        """Stay awake until the rest is over."""
        look = 0
        while (now := time.perf_counter_ns()) < self._due:
            if now >= look:
                if _sleep(0, awaited):
                    return
                look = now + _LOOK_NS

    def _judge(self, now: int) -> None:
        worked = time.thread_time_ns()
        if self._awake:
            worked -= self.rested_ns
        self.share = share = (worked - self._worked) / (now - self._judged)
        self._judged, self._worked = now, worked
        if share > BUSY:
            longer = max(REST_NS_MIN, int(self.period_ns * _STEP))
            self.period_ns = min(REST_NS_MAX, longer)
        elif share < CALM:
            shorter = int(self.period_ns / _STEP)
            self.period_ns = shorter if shorter >= REST_NS_MIN else 0


def _sleep(seconds: float, awaited: int) -> bool:
    """Sleep until a descriptor becomes readable, if it is one; whether it did."""
    if 0 <= awaited < _SELECTED_MAX:
        return bool(select.select((awaited,), (), (), seconds)[0])
    time.sleep(seconds)
    return False
