"""What all messages share on the host's side: terminals as they stand, clocks, counters.

An `posd.exchange.Exchange` handles one message with the help of its `Host`; neither does I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from engine.machine import Machine
from engine.vault import Vault
from ledger import schema
from ledger.packing import pack
from posd.downloads import Download, waiting
from posd.incoming import PERSONAL_TAGS, Incoming, name_in
from posd.inquired import Inquired
from posd.iso8583.assemble import field
from posd.iso8583.decoding import COMPILED_MAX, Decoders
from posd.iso8583.spec import FIELDS
from posd.metrics import Meter
from posd.terminals import STANDINGS_MAX, Guards, Standing

UNCONTENT: Final = frozenset({2, 11, 12, 13, 14, 22, 25, 35, 41, 48, 52, 53, 60, 63, 64, 110, 128})
"""Fields that are no part of a message's content (``protocol.md``, section 6), or are in it in
another form: the card number of 2 or 35, the elements of 48; batch, STAN and terminal are the
identity itself."""

CARD: Final = 2
TRACK: Final = 35
PRIVATE: Final = 60
LOCAL_TIME: Final = 12
LOCAL_DATE: Final = 13
BUSINESS_DATE: Final = 15
PRIVATE_NAMED: Final = 11
"""Digits of field 60 that the protocol gives a meaning: type, batch, network code."""

UNCONTENT_TAGS: Final = frozenset({"19", "1B", "1C", "1D"})


_BETWEEN: Final = "\x1f"
"""Stands between the values of fields, none of which can hold it: they are printable."""
_END: Final = b"\x1e"
"""Stands behind the last of them, where something follows."""


class _Content:
    """Which of a message's fields are its content.

    Attributes:
        names: their numbers, between two separators.
        texts: cuts those that are text out of the fields; a tuple.
        blobs: numbers of those that are bytes.
        both: True where field 2 and field 35 name a card.
    """

    __slots__ = ("blobs", "both", "names", "texts")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        content = [number for number in sorted(numbers) if number not in UNCONTENT]
        blobs = [number for number in content if FIELDS[number].content == "bytes"]
        texts = [number for number in content if number not in blobs]
        self.names = f"{_BETWEEN}{','.join([str(number) for number in content])}{_BETWEEN}"
        self.texts: Callable[[dict[int, Any]], tuple[str, ...]] = _cutter(texts)
        self.blobs = tuple(blobs)
        self.both = TRACK in numbers and CARD in numbers


def _cutter(numbers: list[int]) -> Callable[[dict[int, Any]], tuple[str, ...]]:
    """What gets the fields of these numbers."""
    if len(numbers) > 1:
        return itemgetter(*numbers)
    return lambda fields: tuple([fields[number] for number in numbers])


class Gate(Protocol):
    """Whether new work can be taken now.

    Attributes:
        shut: True when the answer is 91.
    """

    shut: bool


class Reply:
    """A framed reply and the journal sequence that has to be durable before it leaves."""

    __slots__ = ("data", "sequence")

    def __init__(self, sequence: int, data: bytes) -> None:
        self.sequence = sequence
        self.data = data


class Peer:
    """The far end of a link.

    Attributes:
        address: IP address as text.
        tls: True when the link is under TLS.
        link: number of the connection since the daemon's start, for the log.
    """

    __slots__ = ("address", "link", "tls")

    def __init__(self, address: str, *, tls: bool, link: int = 0) -> None:
        self.address = address
        self.tls = tls
        self.link = link


class Host:
    """Answers messages of all terminals on all links.

    Args:
        machine: what decides.
        read: point reads of the newest rows.
        vault: keys.
        gate: whether new work can be taken.
        meter: counters.
        event: takes what operations should see: name, and values without secrets.
    """

    def __init__(
        self,
        machine: Machine,
        read: Callable[[bytes], Any],
        vault: Vault,
        gate: Gate,
        meter: Meter,
        event: Callable[..., None],
    ) -> None:
        self.machine = machine
        self.read = read
        self.vault = vault
        self.gate = gate
        self.meter = meter
        self.event = event
        self.decoders = Decoders()
        self._standings: dict[str, Standing] = {}
        self.guards = Guards()
        self.inquired = Inquired(machine)
        self._plans: dict[bytes, _Content] = {}
        self._second = 0
        self._time = (b"", b"")
        self._business_date = 0
        self._business_field = b""

    def standing(self, terminal: str) -> Standing | None:
        """The terminal as it stands now, None for an unknown one."""
        known = self._standings.get(terminal)
        revision = self.machine.revision
        if known is not None:
            if known.revision == revision:
                return known
            if known.current(self.read):
                known.revision = revision
                known.outdated()
                return known
        offered = known is not None and known.offered
        try:
            row = self.read(schema.terminal(schema.TERMINAL, terminal))
        except UnicodeEncodeError:
            return None
        if row is None:
            return None
        if len(self._standings) >= STANDINGS_MAX:
            self._standings.clear()
        made = Standing(row, self.read, self.vault, revision)
        if known is not None and known.row.tmk_check == row.tmk_check:
            made.offered = made.offered or offered
        if known is not None:
            made.software, made.version = known.software, known.version
            made.heard = known.heard
            made.outdated()
        self._standings[terminal] = made
        return made

    def heard_since(self, monotonic: int) -> int:
        """How many terminals were heard, under a right MAC, since a monotonic time in ms."""
        return sum(standing.heard > monotonic for standing in self._standings.values())

    def look_for_downloads(self, standing: Standing, at: int) -> Download:
        """What the terminal would download at `at` (ms); its replies say so from now on."""
        draft = self.machine.look(at)
        download = Download(self.read, standing, draft)
        standing.waiting = waiting(download, standing.software, standing.version)
        return download

    def local_time(self, at: int) -> tuple[bytes, bytes]:
        """Fields 12 and 13: host time hhmmss and date MMDD in the operator's zone."""
        second = at // 1000
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC).astimezone(
                ZoneInfo(self.machine.clock.zone)
            )
            self._time = (
                field(LOCAL_TIME, moment.strftime("%H%M%S")),
                field(LOCAL_DATE, moment.strftime("%m%d")),
            )
            self._second = second
        return self._time

    def business_date(self, date: int) -> bytes:
        """Field 15: month and day of a business date YYYYMMDD."""
        if date != self._business_date:
            self._business_field = field(BUSINESS_DATE, f"{date % 10000:04d}")
            self._business_date = date
        return self._business_field

    def content(self, incoming: Incoming) -> bytes:
        """The keyed digest of a request's content (``protocol.md``, section 6).

        Whoever is named in it comes in as `engine.persons` names them: a digest of the number
        itself would let it be tried out, also after that person was forgotten.
        """
        fields = incoming.fields
        bitmap = incoming.bitmap
        plan = self._plans.get(bitmap) if bitmap else None
        if plan is None:
            if len(self._plans) >= COMPILED_MAX:
                self._plans.clear()
            plan = _Content(tuple(fields))
            if bitmap:
                self._plans[bitmap] = plan
        mti = incoming.mti
        card = incoming.tokens[0][1].hex() if incoming.pan else ""
        text = f"{mti[0:3]}{_BETWEEN}{card}{plan.names}{_BETWEEN.join(plan.texts(fields))}"
        further: list[Any] = [(number, fields[number]) for number in plan.blobs]
        if incoming.elements:
            elements = [
                (tag, value) if tag not in PERSONAL_TAGS else (tag, name_in(tag, value, self.vault))
                for tag, value in incoming.elements
                if tag not in UNCONTENT_TAGS
            ]
            if elements:
                further.append(sorted(elements))
        private = fields[PRIVATE]
        if len(private) > PRIVATE_NAMED:
            further.append(private[PRIVATE_NAMED:])
        if plan.both:
            # Where both name the same card, field 35 says nothing more.
            number = fields[TRACK].partition("D")[0]
            if number != incoming.pan:
                further.append({TRACK: self.vault.token_digest("C", number)})
        data = text.encode("utf-8")
        return self.vault.content_digest(data + _END + pack(further) if further else data)
