"""Recorded traffic as load: ``counterfoil replay DIR --to HOST:PORT``.

The terminals of DIR send again what its journal says they sent, each under its recorded identity,
to a daemon whose directory ``replay DIR --prepare`` made. A terminal sends its messages in their
order, one at a time; a message also waits for the one before it that concerned the same member, and
for the one that it names, so that what depends on the order comes out as it did. Response codes are
compared with the recorded ones.

What can come out otherwise: the daemon has its own clock, so terms, expiry and refund limits are
judged by today; members that a till enrolled have no PIN there. Differences are counted by kind and
by the two codes, never hidden.

Messages that left no entry (sign-ons apart: inquiries, repeats, form errors) are not in the journal
and so not in the load. Memory does not grow with the journal: it is read as the traffic goes on.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Final

from engine.records import Terminal as Registered
from engine.vault import Vault
from ledger import codec, schema
from ledger.journal import Reader
from ledger.tables import Snapshot
from posd import responses
from posd.iso8583.compile import Codec
from tools.fleet_run import Link, Tally
from tools.recorded import Names, Recorded, message
from tools.terminal import APPROVED, RETRIES_MAX, Registration, Terminal
from tools.till_requests import RECORDED, Request

LINKS_MAX: Final = 64
AHEAD_MAX: Final = 20_000
"""Messages read ahead of those that were answered."""
REMEMBERED_MAX: Final = 2_000_000
"""RRNs of the new run that are kept for later messages that name them."""
PATIENCE_S: Final = 30.0
EXAMPLES_MAX: Final = 3


class DaemonGone(Exception):
    """The daemon does not answer; a sentence for the operator."""


@dataclass(slots=True)
class Played:
    """What a playback came to.

    Attributes:
        sent: messages answered.
        equal: answered with the recorded code.
        differing: kind, recorded code and code now, to how often.
        examples: the same to the sequence numbers of the first of them.
        unanswered: messages without an answer.
        passed_over: kind to entries of it whose terminal is registered no more.
        latencies_us: of each answered message.
        seconds: from the first to the last.
    """

    sent: int = 0
    equal: int = 0
    differing: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    unanswered: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    latencies_us: array[int] = field(default_factory=lambda: array("Q"))
    seconds: float = 0.0

    def note(self, recorded: Recorded, code: str, took_s: float) -> None:
        """Compare an answer with the recorded one."""
        self.sent += 1
        self.latencies_us.append(int(took_s * 1e6))
        before = responses.BY_NUMBER[recorded.reason][0]
        if code == before:
            self.equal += 1
            return
        key = (recorded.kind, before, code)
        self.differing[key] += 1
        examples = self.examples.setdefault(key, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(recorded.sequence)


class _Till:
    """One terminal: messages in their order, one under way."""

    def __init__(self, terminal: Terminal, address: bytes, link: Link, play: Playback) -> None:
        self._terminal = terminal
        self._address = address
        self._link = link
        self._play = play
        self.queue: asyncio.Queue[tuple[Recorded, list[asyncio.Event], asyncio.Event] | None] = (
            asyncio.Queue()
        )

    async def work(self) -> None:
        """Send what comes into the queue until None does."""
        while (one := await self.queue.get()) is not None:
            recorded, before, done = one
            try:
                for event in before:
                    await event.wait()
                await self._play.due(recorded.at)
                await self._send(recorded)
            finally:
                done.set()
                self._play.room.release()

    async def _send(self, recorded: Recorded) -> None:
        play, terminal = self._play, self._terminal
        begun = monotonic()
        while (data := terminal.due(monotonic())) is not None:
            signed_on = await self._exchange(data)
            if signed_on is not None and signed_on[0] != APPROVED:
                play.played.note(recorded, signed_on[0], monotonic() - begun)
                return
        body = dict(recorded.body)
        if recorded.named:
            body[37] = play.names.rrn(recorded.named)
        if recorded.coupon is not None:
            body[48] = body.get(48, b"") + play.names.coupon(recorded.coupon)
        request = Request(
            RECORDED,
            recorded.mti,
            body,
            recorded.presented,
            code=recorded.code,
            stan=recorded.stan,
            batch=recorded.batch,
            retries=RETRIES_MAX,
        )
        begun = monotonic()
        found = await self._exchange(terminal.send(request, begun))
        if found is None:
            play.played.unanswered += 1
            return
        code, rrn, coupon = found
        play.played.note(recorded, code, monotonic() - begun)
        if rrn:
            play.remember(recorded.sequence, rrn)
        if coupon and recorded.made:
            play.names.codes[recorded.made] = coupon

    async def _exchange(self, data: bytes) -> tuple[str, str, str] | None:
        """Send a frame; code, RRN and new coupon of its reply, None for no reply."""
        terminal, link = self._terminal, self._link
        try:
            async with asyncio.timeout(PATIENCE_S):
                await link.ready()
        except TimeoutError:
            raise DaemonGone(f"the daemon stayed away for {PATIENCE_S:.0f} seconds") from None
        link.send(self._address, data)
        while True:
            deadline = terminal.deadline or monotonic()
            reply = await link.reply(self._address, max(deadline - monotonic(), 0))
            if reply is None:
                terminal.give_up()
                return None
            answer = terminal.receive(reply)
            if answer is not None:
                return answer.code, answer.rrn, answer.coupon


class Playback:
    """A recorded journal against a daemon.

    Args:
        source: the recorded data directory, read only.
        vault: its key file.
        host, port: where the daemon listens.
        speed: how much faster than recorded; 0 for as fast as it goes.

    Attributes:
        played: what was answered.
        names: tokens and RRNs.
        room: how many more messages may be read ahead.
    """

    def __init__(self, source: Path, vault: Vault, host: str, port: int, speed: float) -> None:
        self._source = source
        self._vault = vault
        self._address = (host, port)
        self._speed = speed
        self._tally = Tally()
        self._codec = Codec()
        self._links: list[Link] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._tills: dict[str, _Till] = {}
        self._group: asyncio.TaskGroup
        self._last_of: dict[str | bytes, asyncio.Event] = {}
        self._done: OrderedDict[int, asyncio.Event] = OrderedDict()
        self._begun = 0.0
        self._first_at = 0
        self.played = Played()
        self.names: Names
        self.room = asyncio.Semaphore(AHEAD_MAX)

    async def run(self, progress: Callable[[int, int], None] | None = None) -> Played:
        """Play everything back.

        Raises:
            DaemonGone: nobody answers at the address, or no longer.
        """
        with Snapshot(self._source) as snapshot:
            self.names = Names(self._vault, snapshot.view.get)
            await self._connect()
            self._begun = monotonic()
            try:
                async with asyncio.TaskGroup() as self._group:
                    await self._read(snapshot, progress)
                    for till in self._tills.values():
                        till.queue.put_nowait(None)
            except* DaemonGone as gone:
                raise gone.exceptions[0] from None
            finally:
                self.played.seconds = monotonic() - self._begun
                for keeper in self._keepers:
                    keeper.cancel()
                for link in self._links:
                    link.close()
                await asyncio.gather(*self._keepers, return_exceptions=True)
        return self.played

    async def _connect(self) -> None:
        host, port = self._address
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            raise DaemonGone(f"nobody answers at {host}:{port}: start the daemon first") from None
        writer.close()

    async def _read(self, snapshot: Snapshot, progress: Callable[[int, int], None] | None) -> None:
        """Hand the messages of the journal to their tills."""
        for recorded in self._messages(snapshot.sequence):
            await self.room.acquire()
            till = self._till(recorded.terminal, snapshot)
            if till is None:
                self.played.passed_over[recorded.kind] += 1
                self.room.release()
                continue
            done = asyncio.Event()
            coupon = recorded.coupon.digest if recorded.coupon is not None else b""
            about = (recorded.member, recorded.other, coupon, recorded.made)
            whose = [one for one in about if one]
            earlier = [self._last_of.get(one) for one in whose]
            earlier.append(self._done.get(recorded.named) if recorded.named else None)
            before = [event for event in earlier if event is not None and not event.is_set()]
            self._last_of |= dict.fromkeys(whose, done)
            self._done[recorded.sequence] = done
            if len(self._done) > AHEAD_MAX:
                self._done.popitem(last=False)
            till.queue.put_nowait((recorded, before, done))
            if progress and recorded.sequence % 100 == 0:
                progress(recorded.sequence, snapshot.sequence)

    def _messages(self, last: int) -> Iterator[Recorded]:
        with Reader(self._source) as reader:
            for group in reader.groups(last, changes=False):
                for packed in group.entries:
                    entry = codec.unpack_entry(packed)
                    recorded = message(entry, self.names)
                    if recorded is not None:
                        self._first_at = self._first_at or recorded.at
                        yield recorded

    def _till(self, terminal: str, snapshot: Snapshot) -> _Till | None:
        till = self._tills.get(terminal)
        if till is not None:
            return till
        row: Registered | None = snapshot.view.get(schema.terminal(schema.TERMINAL, terminal))
        if row is None:
            return None
        number = len(self._tills)
        address = (number // LINKS_MAX + 1).to_bytes(2, "big")
        registration = Registration(
            row.id,
            row.merchant,
            row.profile,
            self._vault.unseal(f"tmk:{terminal}", row.tmk),
            address,
        )
        if number < LINKS_MAX:
            link = Link(*self._address, self._tally)
            self._links.append(link)
            self._keepers.append(asyncio.create_task(link.keep()))
        player = Terminal(registration, Random(number).randbytes, codec=self._codec)
        till = _Till(player, address, self._links[number % LINKS_MAX], self)
        self._tills[terminal] = till
        self._group.create_task(till.work())
        return till

    # For the tills.

    async def due(self, at: int) -> None:
        """Wait until a message of that recorded time is due."""
        if not self._speed:
            return
        moment = self._begun + (at - self._first_at) / 1000 / self._speed
        left = moment - monotonic()
        if left > 0:
            await asyncio.sleep(left)

    def remember(self, sequence: int, rrn: str) -> None:
        """Keep the RRN that a message was given."""
        rrns = self.names.rrns
        rrns[sequence] = rrn
        if len(rrns) > REMEMBERED_MAX:
            del rrns[next(iter(rrns))]
