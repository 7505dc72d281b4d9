"""Virtual time: what happens, happens when it is due, and in one order only.

Nothing in the world waits. An event is a moment and a call; the world goes from one to the next, so
that hours take seconds. All chance comes from one seed, divided by purpose: a history is the same
each time it is run, and its seed is all that is needed to see it again.
"""

import heapq
from contextlib import contextmanager
from functools import partial
from itertools import count
from random import Random
from unittest import mock

SECOND = 1_000_000
"""Of the world's clock, which counts microseconds."""


RESTS = 0.2
"""Part of the turns with terminals that a daemon rests before."""


class Rests:
    """A daemon's rests, in which the world goes on, by chance and not because it is busy."""

    rested_ns = 0
    share = 0.0

    def __init__(self, chance, *, awake):
        del awake
        self._chance = chance

    def rest(self, _messages, _awaited):
        return self._chance.random() < RESTS


class World:
    """A clock, and what is to happen.

    Attributes:
        now: microseconds since the world began.
        began: wall clock at that time, ms since 1970 UTC.
    """

    def __init__(self, seed, began):
        self.seed = seed
        self.now = 0
        self.began = began
        self._due = []
        self._order = count()

    def chance(self, purpose):
        """Random numbers for a purpose, whatever others draw."""
        return Random(f"{self.seed} {purpose}")

    def after(self, delay, call, *arguments):
        """Have something called some microseconds from now."""
        heapq.heappush(self._due, (self.now + int(delay), next(self._order), call, arguments))

    def step(self):
        """Let the next thing happen; False when nothing is left to happen."""
        if not self._due:
            return False
        self.now, _, call, arguments = heapq.heappop(self._due)
        call(*arguments)
        return True

    @property
    def seconds(self):
        """The world's time as terminals count it."""
        return self.now / SECOND

    def wall_ms(self):
        """The wall clock, ms since 1970 UTC."""
        return self.began + self.now // 1000

    def monotonic_ms(self):
        """A clock that nobody sets, ms."""
        return 1_000_000 + self.now // 1000

    @contextmanager
    def ruling(self):
        """Let host and tools take time and randomness from this world."""
        entropy = self.chance("entropy")
        clocks = {
            "engine.directory.wall_ms": self.wall_ms,
            "engine.submit.wall_ms": self.wall_ms,
            "posd.pipeline.wall_ms": self.wall_ms,
            "posd.link.wall_ms": self.wall_ms,
            "posd.server.wall_ms": self.wall_ms,
            "posd.pipeline.monotonic_ms": self.monotonic_ms,
            "posd.link.monotonic_ms": self.monotonic_ms,
            "posd.server.monotonic_ms": self.monotonic_ms,
            "posd.pipeline.Pace": partial(Rests, self.chance("rests")),
            "os.urandom": entropy.randbytes,
        }
        patches = [mock.patch(name, replaced) for name, replaced in clocks.items()]
        for patch in patches:
            patch.start()
        try:
            yield self
        finally:
            for patch in patches:
                patch.stop()
