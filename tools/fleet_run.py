"""Runs a fleet against a daemon: links, pace, and what was measured.

A direct terminal has a connection of its own; those behind a network access controller (NAC) share
one, each with a message under way, and replies find their terminal by the TPDU address (and by type
and STAN, in `Terminal.receive`) in whatever order they come. A link that breaks is opened again,
with a longer pause after each failure; what was under way then counts as unanswered and is made
good by the terminal before anything else. So the daemon may die in the middle of a run.

Pace. In a closed loop each till sends its next transaction when it has the answer to the last one
and has thought for a while. At a rate (open loop) the times are fixed before the run, as a Poisson
process from the seed, and a latency counts from the time at which its transaction was due: a slow
host does not slow its own measurement down (no coordinated omission).

A run has phases, and all tills end one before any begins the next: an inquiry of every member's
balance (audit), trading, closing (what is owed is settled, then the batches), the same audit again.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from time import monotonic
from typing import Any, Final, cast

from posd.framing import TPDU_BYTES, Deframer, Frame
from posd.iso8583.compile import Codec
from tools.fleet import DIRECT, Conduct, Fleet
from tools.terminal import Answer
from tools.till import Till
from tools.till_books import Books, Presented

PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much and how fast.

    Attributes:
        rate: Transactions a second of the whole fleet, open loop; 0 for a closed loop.
        seconds: How long; 0 for no limit in time.
        transactions: How many; 0 for no limit in number.
        patience_s: How long a daemon may stay away, or answer nothing that helps, before a till
            gives up.
        settle: Settle every batch at the end.
        audit: Ask for every member's balance before and after.
        first_stan: The STAN that every terminal begins with.
    """

    rate: float = 0.0
    seconds: float = 0.0
    transactions: int = 0
    patience_s: float = 30.0
    settle: bool = True
    audit: bool = False
    first_stan: int = 1


@dataclass(slots=True)
class Tally:
    """What a run was answered and how long that took.

    Attributes:
        codes: Kind of transaction and response code to how often that was the answer.
        latencies_us: Microseconds from sending (or from the time due) to the reply, in trading.
        trading: True while that phase lasts.
        started: New transactions sent.
        lost: Kind of message to replies lost on purpose.
        unanswered: Messages without a reply: the link broke, or the time was up.
        repeats: Repeats (0101, 0201, 0401 and so on) that were answered.
        repeats_differing: Those answered otherwise than the reply that was lost; must be none.
        outages: Links that broke.
        trading_s: Seconds of trading.
    """

    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    latencies_us: array[int] = field(default_factory=lambda: array("Q"))
    started: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    repeats: int = 0
    repeats_differing: int = 0
    outages: int = 0
    trading_s: float = 0.0
    trading: bool = False

    def note(self, answer: Answer, took_s: float) -> None:
        """Count what came of a message, and how long it took."""
        if self.trading:
            self.latencies_us.append(int(took_s * 1e6))
        if answer.lost:
            self.lost[answer.kind] += 1
            return
        self.repeats += answer.repeated
        self.repeats_differing += answer.differs
        self.codes[answer.kind, answer.code] += 1


class Link(asyncio.Protocol):
    """One connection of the fleet, opened again whenever it breaks."""

    def __init__(self, host: str, port: int, tally: Tally) -> None:
        self._host, self._port, self._tally = host, port, tally
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer()
        self._waiting: dict[bytes, asyncio.Future[Frame | None]] = {}
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._closing = False
        self.since_down = monotonic()

    async def keep(self) -> None:
        """Hold the connection open until cancelled."""
        loop = asyncio.get_running_loop()
        pause = PAUSE_S
        while True:
            try:
                await loop.create_connection(lambda: self, self._host, self._port)
            except OSError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_S_MAX)
                continue
            pause = PAUSE_S
            await self._down.wait()

    async def ready(self) -> None:
        """Wait until the connection is open."""
        await self._up.wait()

    def is_up(self) -> bool:
        """True while the connection is open."""
        return self._up.is_set()

    def close(self) -> None:
        """Close the connection for good."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def send(self, address: bytes, data: bytes) -> None:
        """Send a frame; `reply` of the same address gives what comes back."""
        self._waiting[address] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._waiting[address].set_result(None)
        else:
            self._transport.write(data)

    async def reply(self, address: bytes, timeout_s: float) -> Frame | None:
        """Wait for the next frame for an address; None when the link broke or time is up."""
        waiting = self._waiting[address]
        try:
            async with asyncio.timeout(timeout_s):
                found = await waiting
        except TimeoutError:
            return None
        if found is not None:
            self._waiting[address] = asyncio.get_running_loop().create_future()
        return found

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with an empty line."""
        # uvloop's transports are what they should be without being derived from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._deframer = Deframer()
        self._down.clear()
        self._up.set()

    def data_received(self, data: bytes) -> None:
        """Hand frames to the terminals that wait for them."""
        for reply in self._deframer.feed(data):
            waiting = self._waiting.get(reply.tpdu[1:3]) if len(reply.tpdu) == TPDU_BYTES else None
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)
        if self._deframer.fault is not None and self._transport is not None:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Whoever waits goes without an answer."""
        self._transport = None
        self._up.clear()
        self._down.set()
        self.since_down = monotonic()
        self._tally.outages += not self._closing
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)


class Worker:
    """One till at its link."""

    def __init__(self, till: Till, link: Link, tally: Tally, patience_s: float) -> None:
        self.till = till
        self.failure = ""
        self._link = link
        self._tally = tally
        self._patience_s = patience_s
        self._address = till.placement.registration.address
        self._fruitless = 0
        self._fruitless_since = 0.0

    async def trade(self, moments: Iterator[float] | None, going: Callable[[], bool]) -> None:
        """Make transactions until `going` says no more.

        Args:
            moments: When each is due, on the monotonic clock; None for a closed loop.
            going: Asked before each transaction.
        """
        while going() and await self.make_good():
            due = None
            if moments is not None:
                due = next(moments, None)
                if due is None:
                    return
                await _until(due)
            else:
                await asyncio.sleep(self.till.think_s())
            if not going():
                return
            # The sign-on, or what a broken link left owed, may have come up while it waited.
            if not await self.make_good():
                return
            self._tally.started += 1
            await self._exchange(self.till.next_frame(monotonic()), due)

    async def make_good(self) -> bool:
        """Send what is owed until nothing is; False when the host is away for too long."""
        terminal = self.till.terminal
        while await self._line_is_up():
            data = terminal.due(monotonic())
            if data is None:
                return True
            answer = await self._exchange(data, None)
            if answer is not None and answer.settled:
                self._fruitless = 0
                continue
            if not self._worth_trying(answer):
                return False
            # A reply that was lost on purpose needs no pause: nothing is wrong with the host.
            if answer is None or not answer.lost:
                await asyncio.sleep(min(PAUSE_S * self._fruitless, PAUSE_S_MAX))
        return False

    def _worth_trying(self, answer: Answer | None) -> bool:
        """Count a message that settled nothing; False after too long a time of them."""
        now = monotonic()
        if not self._fruitless:
            self._fruitless_since = now
        self._fruitless += 1
        if now - self._fruitless_since <= self._patience_s:
            return True
        said = "no answer" if answer is None else f"response {answer.code}"
        self.failure = f"gave up after {self._fruitless} messages in vain, the last with {said}"
        return False

    async def finish(self) -> bool:
        """Make good what is owed, and serve who still waits; False as `make_good`."""
        while await self.make_good():
            if not self.till.keeps_waiting:
                return True
            await self._exchange(self.till.next_frame(monotonic()), None)
        return False

    async def settle(self) -> None:
        """Make good what is owed, then close the batch."""
        terminal = self.till.terminal
        if not await self.finish():
            return
        await self._exchange(terminal.settle(monotonic()), None)
        await self.make_good()

    async def inquire(self, presented: Presented) -> Answer | None:
        """Ask what a member has, until that is answered."""
        while await self.make_good():
            data = self.till.inquire(presented, monotonic())
            answer = await self._exchange(data, None, careful=True)
            if answer is not None and answer.settled:
                return answer
        return None

    async def _line_is_up(self) -> bool:
        """Wait for the link, up to the patience of the run."""
        if self._link.is_up():
            return True
        left = self._patience_s - (monotonic() - self._link.since_down)
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._link.ready()
            self._fruitless = 0
        except TimeoutError:
            self.failure = self.failure or "the daemon stayed away"
            return False
        return True

    async def _exchange(
        self, data: bytes, due: float | None, *, careful: bool = False
    ) -> Answer | None:
        """Send a frame and wait for its reply; None when there is none."""
        link, till, tally = self._link, self.till, self._tally
        terminal = till.terminal
        begun = monotonic()
        link.send(self._address, data)
        while True:
            deadline = terminal.deadline or begun
            reply = await link.reply(self._address, max(deadline - monotonic(), 0))
            if reply is None:
                terminal.give_up()
                tally.unanswered += 1
                return None
            now = monotonic()
            answer = till.take(reply, careful=careful)
            if answer is None:
                continue
            if not careful:
                tally.note(answer, now - (begun if due is None else due))
            return answer


class Run:
    """A fleet at work.

    Args:
        fleet: The fleet.
        host, port: Where the daemon listens.
        pace: How much and how fast.
        conduct: Which replies are lost on purpose.
        seed: Instead of the fleet's own; None to keep it.

    Attributes:
        tally: What was measured.
        tills: The tills, in the order of the fleet.
        phase: What the fleet is doing, in a word or two.
        before, after: What each member had (program to ledger points), where an audit asked.
        failures: Terminal id to why it could not go on.
    """

    def __init__(
        self,
        fleet: Fleet,
        host: str,
        port: int,
        pace: Pace,
        conduct: Conduct,
        seed: int | None = None,
    ) -> None:
        self.tally = Tally()
        self.before: dict[str, dict[str, int]] = {}
        self.after: dict[str, dict[str, int]] = {}
        self.failures: dict[str, str] = {}
        self._fleet = fleet
        self._pace = pace
        self._seed = fleet.seed if seed is None else seed
        codec = Codec()
        self.tills = [Till(fleet, place, self._seed, conduct, codec) for place in fleet.placements]
        for till in self.tills:
            till.terminal.stan = pace.first_stan - 1
        self._address = (host, port)
        self._stopped = False
        self.phase = "signing on"

    def stop(self) -> None:
        """End trading; what is owed is still made good and the batches are settled."""
        self._stopped = True

    def books(self) -> Books:
        """What the whole fleet believes."""
        books = Books()
        for till in self.tills:
            books.add(till.terminal.books)
        return books

    def unknown(self) -> dict[str, str]:
        """Terminal id to the kind of message whose outcome it does not know; empty at best."""
        return {
            till.placement.registration.id: till.terminal.owing
            for till in self.tills
            if till.terminal.owing
        }

    async def work(self) -> None:
        """Run all phases."""
        links: dict[str, Link] = {}
        workers = []
        for till in self.tills:
            place = till.placement
            name = place.link if place.link != DIRECT else f"direct {place.registration.id}"
            link = links.get(name) or Link(*self._address, self.tally)
            links[name] = link
            workers.append(Worker(till, link, self.tally, self._pace.patience_s))
        keepers = [asyncio.create_task(link.keep()) for link in links.values()]
        try:
            await self._phases(workers)
        finally:
            self.failures = {
                worker.till.placement.registration.id: worker.failure
                for worker in workers
                if worker.failure
            }
            for keeper in keepers:
                keeper.cancel()
            for link in links.values():
                link.close()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _phases(self, workers: list[Worker]) -> None:
        pace = self._pace
        await _together(worker.make_good() for worker in workers)
        if pace.audit:
            self.phase = "reading balances"
            await self._audit(workers, self.before)
        self.phase, self.tally.trading = "trading", True
        begun = monotonic()
        schedule = self._schedule(len(workers), begun) if pace.rate else None
        until = begun + pace.seconds if pace.seconds else float("inf")
        most = pace.transactions or float("inf")

        def going() -> bool:
            return not self._stopped and self.tally.started < most and monotonic() < until

        await _together(
            worker.trade(None if schedule is None else iter(schedule[index]), going)
            for index, worker in enumerate(workers)
        )
        self.tally.trading_s = monotonic() - begun
        self.phase, self.tally.trading = "settling", False
        if pace.settle:
            await _together(worker.settle() for worker in workers)
        else:
            await _together(worker.finish() for worker in workers)
        if pace.audit:
            self.phase = "comparing balances"
            await self._audit(workers, self.after)

    def _schedule(self, tills: int, begun: float) -> list[list[float]]:
        """The moments of all transactions of an open loop, shared out among the tills."""
        pace, source = self._pace, Random(f"{self._seed} schedule")
        count = pace.transactions or int(pace.rate * pace.seconds)
        moments: list[list[float]] = [[] for _ in range(tills)]
        for moment in accumulate(source.expovariate(pace.rate) for _ in range(count)):
            moments[source.randrange(tills)].append(begun + moment)
        return moments

    async def _audit(self, workers: list[Worker], into: dict[str, dict[str, int]]) -> None:
        """Ask for every member's balance, a share of them at each till."""
        everybody = [
            Presented(customer.id, card=customer.card) for customer in self._fleet.customers
        ]
        for till in self.tills:
            everybody.extend(till.newcomers.values())

        async def ask(worker: Worker, share: list[Presented]) -> None:
            for presented in share:
                answer = await worker.inquire(presented)
                if answer is not None and answer.code == "00":
                    into[presented.member] = {unit: ledger for unit, _, ledger in answer.balances}

        count = len(workers)
        await _together(
            ask(worker, everybody[index::count]) for index, worker in enumerate(workers)
        )


async def _together(work: Iterator[Coroutine[Any, Any, Any]]) -> None:
    """Run coroutines side by side; the first that fails ends them all."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


async def _until(moment: float) -> None:
    # Timers of the event loop may be a millisecond early.
    while (left := moment - monotonic()) > 0:  # noqa: ASYNC110 - a moment, not an event
        await asyncio.sleep(left)
