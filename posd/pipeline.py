"""Commands in, durable answers out: the group pipeline of the daemon.

The event loop executes commands; each one joins the open group. When the journal is idle the group
is sealed and handed to a process that writes and syncs it (`ledger.syncer`); meanwhile the next
group fills. What waits for a group is told once the group is durable, and not before.

The first write or sync that fails ends the process with status 3 there and then: nothing may
leave on any connection after it, so nothing is drained and nobody is told.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from engine.commands import Answer
from engine.machine import Machine
from engine.trail import Giver
from ledger.book import Book, Group, OutcomeUnknown
from posd.metrics import Meter
from posd.pace import Pace

STATUS_OUTCOME_UNKNOWN = 3
CLOCK_JUMP_MS_MAX = 60_000
START_AHEAD_MS_MAX = 12 * 3_600_000
FULL = 0.85
"""Share of time that the loop works, above which its companions keep off its processor."""
WAITING_MAX = 50_000
"""Callbacks that may wait for durability; past that new work is answered 91."""

Waiter = Callable[[], None]


def wall_ms() -> int:
    """Wall clock in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Monotonic clock in ms."""
    return time.monotonic_ns() // 1_000_000


class Pipeline:
    """One book, its machine, and the process that makes groups durable.

    Attributes:
        shut: True when new work is answered 91.
        halted: True once nothing may leave any more.
        pace: the rests of the loop.
        written_ns: what the last group took from being sealed until this loop knew it durable,
            ns, without rests; it grows where the disk, the processors or this loop have too much
            to do.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, book: Book, machine: Machine, meter: Meter
    ) -> None:
        self._loop = loop
        self.book = book
        self.machine = machine
        self._meter = meter
        self._syncer = book.start_syncer()
        loop.add_reader(self._syncer.fileno(), self._synced)
        self._flight: Group | None = None
        self._open_waiters: list[Waiter] = []
        self._flight_waiters: list[Waiter] = []
        self._flight_last = 0
        self._sealing = False
        self._idle: asyncio.Future[None] | None = None
        self._clock_offset = wall_ms() - monotonic_ms()
        self.draining = False
        self.halted = False
        self.clock_suspect = False
        self.shut = False
        self.written_ns = 0
        self.pace = Pace(awake=len(os.sched_getaffinity(0)) > 1)
        self._sealed_rested_ns = 0

    # Work.

    def execute(self, command: Any, giver: Giver) -> Answer:
        """Execute a command of administration now, in the name of who gave it."""
        answer = self.machine.execute(command, wall_ms(), giver=giver)
        self.kick()
        return answer

    def kick(self) -> None:
        """See to it that what is staged gets written, at the end of this turn of the loop."""
        if not self._sealing and not self._flight_last and self.book.pending:
            self._sealing = True
            self._loop.call_soon(self.seal)

    def when_durable(self, sequence: int, waiter: Waiter) -> None:
        """Call `waiter` once the journal is durable up to `sequence`; at once if it is."""
        if sequence <= self.book.durable:
            waiter()
        elif sequence <= self._flight_last:
            self._flight_waiters.append(waiter)
        else:
            self._open_waiters.append(waiter)

    @property
    def waiting(self) -> int:
        """How many wait for the open group or the one in flight to be durable."""
        return len(self._open_waiters) + len(self._flight_waiters)

    def terminals_ns(self) -> int:
        """Time spent on decoding messages so far; it has grown where terminals have asked."""
        return self._meter.decode.total

    def soon(self, callback: Waiter) -> None:
        """Call `callback` in the next turn of the loop."""
        self._loop.call_soon(callback)

    def rest(self, messages: int) -> bool:
        """Rest before handling so many messages, if it is worth it, until a group is durable.

        Returns:
            Whether it did, and the loop is to go round before they are handled.
        """
        return self.pace.rest(messages, self._syncer.fileno())

    def confirm_clock(self) -> None:
        """Take the clock as it is now for right."""
        self._clock_offset = wall_ms() - monotonic_ms()
        self.clock_suspect = False
        self.judge()

    def watch_clock(self, at: int, monotonic: int) -> None:
        """Suspect the clock when it has jumped; to be asked before its time gets into an entry.

        Args:
            at: wall clock in ms.
            monotonic: monotonic clock in ms, read together with it.
        """
        if abs(at - monotonic - self._clock_offset) > CLOCK_JUMP_MS_MAX and not self.clock_suspect:
            self.clock_suspect = True
            self.judge()

    def judge(self) -> None:
        """Decide anew whether new work can be taken."""
        book = self.book
        self.shut = (
            self.draining
            or self.clock_suspect
            or book.overlay_full
            or book.disk_low
            or len(self._open_waiters) > WAITING_MAX
        )

    def tick(self) -> None:
        """Once a second: watch the clock, the tables, and how busy the loop is."""
        self.watch_clock(wall_ms(), monotonic_ms())
        self.kick()
        self.book.refresh()
        self.book.keep_companions_off(off=self.pace.share > FULL)
        self.judge()

    def why_shut(self) -> list[str]:
        """Why new work is answered 91, in sentences; empty when it is not."""
        book = self.book
        reasons = (
            (self.draining, "the daemon is shutting down"),
            (
                self.clock_suspect,
                "the clock jumped or is far from the last entry: look at it, then confirm it",
            ),
            (book.overlay_full, "the tables are too far behind the journal"),
            (book.disk_low, "the disk has no room for a further journal segment: free some"),
            (len(self._open_waiters) > WAITING_MAX, "too many replies wait for the journal"),
        )
        return [sentence for holds, sentence in reasons if holds]

    def check_start(self) -> None:
        """Suspect the clock when the start is far from the last entry."""
        last = self.book.last_at
        now = wall_ms()
        if last and (now - last > START_AHEAD_MS_MAX or last - now > CLOCK_JUMP_MS_MAX):
            self.clock_suspect = True
        self.judge()

    async def drained(self) -> None:
        """Wait until everything staged is durable."""
        while self.book.pending:
            self._idle = self._loop.create_future()
            self.kick()
            await self._idle

    def stop(self) -> None:
        """End the syncing process; nothing may be in flight."""
        self._loop.remove_reader(self._syncer.fileno())
        self.book.stop_syncer()

    # Groups.

    def seal(self) -> None:
        """Hand what is staged to the journal, unless a group is being written."""
        self._sealing = False
        if self._flight_last:
            return
        group = self.book.seal()
        if group is None:
            return
        self._flight_last = group.last
        self._flight_waiters = self._open_waiters
        self._open_waiters = []
        self._flight = group
        self._sealed_rested_ns = self.pace.rested_ns
        try:
            self.book.write_begin(group)
        except OutcomeUnknown as error:
            self.halt(error)

    def _synced(self) -> None:
        """The syncer has answered: the group in flight is durable, or the end has come."""
        group, self._flight = self._flight, None
        if group is None:
            self.halt(OutcomeUnknown("the process that writes the journal is gone; start again"))
        try:
            self.book.write_end(group)
        except OutcomeUnknown as error:
            self.halt(error)
        self._written(group)

    def halt(self, error: BaseException) -> NoReturn:
        """End the process: what it would say is not known to be true."""
        self.halted = True
        cause = error.__cause__ or error
        sys.stderr.write(f"stopped: {error} ({type(cause).__name__}: {cause})\n")
        sys.stderr.flush()
        os._exit(STATUS_OUTCOME_UNKNOWN)

    def _written(self, group: Group) -> None:
        book = self.book
        book.settle(group)
        waiters = self._flight_waiters
        self._flight_waiters = []
        self._flight_last = 0
        self.written_ns = group.write_ns - (self.pace.rested_ns - self._sealed_rested_ns)
        self._meter.journal.add(group.write_ns)
        for waiter in waiters:
            waiter()
        # What this turn of the loop reads joins the next group, which is then sealed by that turn.
        self.soon(self.kick)
        book.refresh(512 + 8 * group.count)
        self.judge()
        if self._idle is not None and not book.pending and not self._idle.done():
            self._idle.set_result(None)
