"""Reading a settlement file back and checking it against itself, record by record.

The file is read once, in constant memory but for a few numbers a party. A record is taken apart by
one regular expression made from `settlement.LAYOUT`; what it says is compared with what the records
before it add up to. Every complaint has a reason of `REASONS`, so that a rejected file is answered
in the words in which the specification is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from clearing.files import settlement
from clearing.files.settlement import HASH_MODULUS, LAYOUT, LENGTHS, Column
from clearing.model import HEADING, LEGS_MAX

REASONS = {
    "layout": "the file is of another layout",
    "unknown-record": "a record of a type that does not exist",
    "record-length": "a record is longer or shorter than its type",
    "form": "a column does not have its form",
    "structure": "records do not follow each other as they must",
    "truncated": "the file ends before its trailer, or goes on behind it",
    "date": "a date differs from the set's",
    "order": "parties or details are not in ascending order",
    "duplicate": "a party or a detail occurs twice",
    "record-count": "a count differs from the records that there are",
    "gross": "debit or credit differs from the sum of what it counts",
    "net": "net differs from credit less debit",
    "carry": "carried in, net, payable, carried forward and collect do not agree",
    "heading": "the control by heading differs from the legs, or a heading does not exist",
    "hash-total": "a hash total differs from the sequences",
    "digest": "the trailer's digest differs from the bytes before it",
}

LINE_MAX = max(LENGTHS.values()) + 1
_FORMS = {"n": rb"(\d{%d})", "s": rb"([+-]\d{%d})", "a": rb"([ -~]{%d})", "t": rb"(.{%d})"}


def _pattern(columns: tuple[Column, ...]) -> re.Pattern[bytes]:
    parts = [
        _FORMS[column.form] % (column.width - 1 if column.form == "s" else column.width)
        for column in columns
    ]
    return re.compile(b"".join(parts), re.DOTALL)


_PATTERNS = {kind.encode(): _pattern(columns) for kind, columns in LAYOUT.items()}
_LENGTHS = {kind.encode(): length for kind, length in LENGTHS.items()}
_PLACES = {
    kind: {column.name: place for place, column in enumerate(columns)}
    for kind, columns in LAYOUT.items()
}
_FIRST_LEG = _PLACES[settlement.DETAIL]["heading 1"]
_DETAIL_DATE = _PLACES[settlement.DETAIL]["date"]
_DETAIL_UNIT = _PLACES[settlement.DETAIL]["unit"]
_DETAIL_TEXTS = tuple(
    place for place, column in enumerate(LAYOUT[settlement.DETAIL]) if column.form == "t"
)
_SUMMED = (
    *("parties", "details", "debit", "credit", "hash total"),
    *("carried in", "payable", "carried forward", "collect"),
)
_FOLLOWS = {
    b"": (b"00",),
    b"00": (b"10", b"90"),
    b"10": (b"20", b"30"),
    b"20": (b"20", b"30"),
    b"30": (b"31", b"32", b"10", b"90"),
    b"31": (b"31", b"32", b"10", b"90"),
    b"32": (b"32", b"10", b"90"),
    b"90": (),
}


def _is_text(data: bytes) -> bool:
    """True for valid UTF-8, a replacement character that was in the text included."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(slots=True)
class PartyFound:
    """What the details of a party add up to and its control says, for comparison with files."""

    details: int
    debit: int
    credit: int
    carried_in: int
    payable: int
    collect: int


@dataclass(slots=True)
class Found:
    """What the file says as a whole; `records` counts those that were read."""

    parties: dict[str, PartyFound] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)
    trailer: dict[str, int] = field(default_factory=dict)
    records: int = 0


class _Checker:
    """The state of one reading."""

    def __init__(self, complain: Callable[[str, str], None]) -> None:
        self.found = Found()
        self._complain = complain
        self._before = b""
        self._party = ""
        self._last = (-1, b"")
        self._details = self._debit = self._credit = self._hash = 0
        self._headings: dict[int, list[int]] = {}
        self._sums = dict.fromkeys(_SUMMED, 0)
        self._handlers: dict[bytes, Callable[[tuple[bytes, ...]], None]] = {
            b"00": self._header,
            b"10": self._batch,
            b"20": self._detail,
            b"30": self._control,
            b"31": self._by_heading,
            b"32": self._by_program,
            b"90": self._trailer,
        }

    def complain(self, reason: str, text: str) -> None:
        """Pass a complaint on, with the record that it is about."""
        self._complain(reason, f"record {self.found.records}: {text}")

    def record(self, data: bytes) -> None:
        """Take in one record without its line feed."""
        self.found.records += 1
        kind = data[:2]
        pattern = _PATTERNS.get(kind)
        if pattern is None:
            self.complain("unknown-record", "its type does not exist")
            return
        if kind not in _FOLLOWS[self._before]:
            said = self._before.decode() or "the beginning"
            self.complain("structure", f"{kind.decode()} does not follow {said}")
        if self._before in (b"30", b"31") and kind not in (b"30", b"31"):
            self._close_headings()
        self._before = kind
        if len(data) != _LENGTHS[kind]:
            self.complain("record-length", f"{len(data)} bytes instead of {_LENGTHS[kind]}")
            return
        columns = pattern.fullmatch(data)
        if columns is None:
            self.complain("form", "a column is not of its form")
            return
        self._handlers[kind](columns.groups())

    def _named(self, kind: str, columns: tuple[bytes, ...]) -> dict[str, str]:
        names = [column.name for column in LAYOUT[kind]]
        texts = [column.decode("utf-8", "replace").rstrip(" ") for column in columns]
        if not all(map(_is_text, columns)):
            self.complain("form", "a text is not UTF-8")
        return dict(zip(names, texts, strict=True))

    def _header(self, columns: tuple[bytes, ...]) -> None:
        self.found.header = self._named(settlement.HEADER, columns)
        if self.found.header["layout"] != settlement.VERSION:
            self.complain("layout", f"the layout is not {settlement.VERSION}")

    def _date(self, date: bytes | str) -> None:
        said = date if isinstance(date, str) else date.decode()
        if said != self.found.header.get("date"):
            self.complain("date", f"business date {said} in a file of another date")

    def _batch(self, columns: tuple[bytes, ...]) -> None:
        named = self._named(settlement.BATCH, columns)
        party = named["party"]
        if party in self.found.parties:
            self.complain("duplicate", f"party {party} occurs twice")
        elif party < self._party:
            self.complain("order", f"party {party} behind {self._party}")
        self._date(named["date"])
        self._party = party
        self._last = (-1, b"")
        self._details = self._debit = self._credit = self._hash = 0
        self._headings = {}
        self._sums["parties"] += 1

    def _detail(self, columns: tuple[bytes, ...]) -> None:
        sequence = int(columns[1])
        place = (sequence, columns[_DETAIL_UNIT])
        if place == self._last:
            self.complain("duplicate", f"entry {sequence} of {self._party} occurs twice")
        elif place < self._last:
            self.complain("order", f"entry {sequence} of {self._party} behind {self._last[0]}")
        self._last = place
        self._date(columns[_DETAIL_DATE])
        self._details += 1
        self._hash += sequence
        before = 0
        for at in range(_FIRST_LEG, _FIRST_LEG + 2 * LEGS_MAX, 2):
            heading, fen = int(columns[at]), int(columns[at + 1])
            if heading == 0 and fen == 0:
                before = 100  # nothing may follow an empty leg
                continue
            if heading <= before:
                self.complain("heading", f"entry {sequence}: legs out of order")
            before = heading
            row = self._headings.setdefault(heading, [0, 0, 0])
            row[0] += 1
            if fen < 0:
                row[1] -= fen
                self._debit -= fen
            else:
                row[2] += fen
                self._credit += fen
        for at in _DETAIL_TEXTS:
            if not _is_text(columns[at]):
                self.complain("form", f"entry {sequence}: a text is not UTF-8")

    def _control(self, columns: tuple[bytes, ...]) -> None:
        named = self._named(settlement.CONTROL, columns)
        if named["party"] != self._party:
            self.complain("structure", f"control of {named['party']} in the batch of {self._party}")
        said = {name: int(text) for name, text in named.items() if name not in ("type", "party")}
        self._compare("record-count", said, {"details": self._details})
        self._compare("gross", said, {"debit": self._debit, "credit": self._credit})
        self._compare("net", said, {"net": said["credit"] - said["debit"]})
        self._compare("hash-total", said, {"hash total": self._hash % HASH_MODULUS})
        carried = said["payable"] + said["carried forward"] - said["collect"]
        if said["carried in"] + said["net"] != carried:
            self.complain("carry", f"party {self._party}: carried in and net give another sum")
        for name, number in said.items():
            if name in self._sums:
                self._sums[name] += number
        self.found.parties[self._party] = PartyFound(
            self._details,
            self._debit,
            self._credit,
            *(said[column] for column in ("carried in", "payable", "collect")),
        )

    def _compare(self, reason: str, said: dict[str, int], counted: dict[str, int]) -> None:
        for name, number in counted.items():
            if said[name] != number:
                whose = f"party {self._party}" if self._before != b"90" else "the trailer"
                self.complain(reason, f"{whose}: {name} is {said[name]}, counted {number}")

    def _by_heading(self, columns: tuple[bytes, ...]) -> None:
        named = self._named(settlement.BY_HEADING, columns)
        if named["party"] != self._party:
            self.complain("structure", f"heading of {named['party']} in the batch of {self._party}")
        if named["heading"] not in HEADING:
            self.complain("heading", f"heading {named['heading']} does not exist")
        counted = self._headings.pop(int(named["heading"]), [0, 0, 0])
        if counted != [int(named[name]) for name in ("count", "debit", "credit")]:
            self.complain(
                "heading",
                f"party {self._party}, heading {named['heading']}: the legs add up to {counted}",
            )

    def _close_headings(self) -> None:
        """Complain about legs whose heading has no control."""
        for heading in self._headings:
            self.complain("heading", f"party {self._party}: no control of heading {heading:02d}")
        self._headings = {}

    def _by_program(self, columns: tuple[bytes, ...]) -> None:
        named = self._named(settlement.BY_PROGRAM, columns)
        if named["party"] != self._party:
            self.complain("structure", f"program of {named['party']} in the batch of {self._party}")

    def _trailer(self, columns: tuple[bytes, ...]) -> None:
        named = self._named(settlement.TRAILER, columns)
        said = {name: int(text) for name, text in named.items() if name not in ("type", "digest")}
        self.found.trailer = said
        sums = self._sums
        counts = {"records": self.found.records}
        self._compare(
            "record-count",
            said,
            {**counts, "parties": sums["parties"], "details": sums["details"]},
        )
        self._compare("gross", said, {name: sums[name] for name in ("debit", "credit")})
        self._compare("net", said, {"net": said["credit"] - said["debit"]})
        amounts = ("carried in", "payable", "carried forward", "collect")
        self._compare("carry", said, {name: sums[name] for name in amounts})
        self._compare("hash-total", said, {"hash total": sums["hash total"] % HASH_MODULUS})

    def end(self) -> None:
        """Complain about a file without its trailer."""
        if self._before != b"90":
            self.complain("truncated", "the file ends without its trailer")


def check(source: BinaryIO, complain: Callable[[str, str], None]) -> Found:
    """Read a settlement file and complain about what is wrong.

    Args:
        source: the file, from its beginning.
        complain: called with a reason of `REASONS` and a sentence.

    Returns:
        What the file says, as far as it could be read.
    """
    checker = _Checker(complain)
    digest = hashlib.sha256()
    while line := source.readline(LINE_MAX + 1):
        if not line.endswith(b"\n"):
            checker.found.records += 1
            reason = "record-length" if len(line) > LINE_MAX else "truncated"
            checker.complain(reason, "no line feed where the record has to end")
            break
        data = line[:-1]
        if data.startswith(b"90") and len(data) == LENGTHS[settlement.TRAILER]:
            digest.update(data[: -settlement.DIGEST_WIDTH])
            if data[-settlement.DIGEST_WIDTH :] != digest.hexdigest().encode("ascii"):
                checker.complain("digest", "the digest differs from the bytes before it")
        else:
            digest.update(line)
        checker.record(data)
    checker.end()
    return checker.found
