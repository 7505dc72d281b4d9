"""The fixed-width settlement file: one a run, every line of every party, with control sums.

Records end with a line feed and open with two digits that name their type. `LAYOUT` is the one
declaration of their columns; writer, validator and FILES.md go by it. Columns are counted in bytes
of UTF-8: numbers are filled with zeros on the left, texts with spaces on the right.

::

    00 header
       10 batch header of a party
          20 detail, one a line of the party
       30 control of the party: counts, signed totals, hash total
          31 the same by heading
          32 points by program
    90 trailer: counts, signed totals, hash total, SHA-256 of every byte before the digest

The body is made in parts, one a range of parties, which worker processes write at the same time;
`Totals` of the parts are added up in order, so the file is the same however it was divided. A hash
total is the sum of the journal sequence numbers of the details, modulo 10**15.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from clearing.files.figures import printable
from clearing.model import LEGS_MAX, Day, Line, PartyDay

VERSION = "CFS1"
HASH_MODULUS = 10**15
PART_BYTES_MAX = 1 << 20

HEADER, BATCH, DETAIL, CONTROL, BY_HEADING, BY_PROGRAM, TRAILER = (
    "00",
    "10",
    "20",
    "30",
    "31",
    "32",
    "90",
)


@dataclass(slots=True)
class Column:
    """One column of a record.

    Attributes:
        name: as FILES.md calls it.
        width: bytes.
        form: ``n`` digits, ``s`` a sign and digits, ``a`` ASCII, ``t`` text in UTF-8.
        about: what it holds, for people.
    """

    name: str
    width: int
    form: str
    about: str


def _record(kind: str, *columns: tuple[str, int, str, str]) -> tuple[Column, ...]:
    return (Column("type", 2, "n", f"`{kind}`"), *(Column(*column) for column in columns))


def _legs() -> tuple[tuple[str, int, str, str], ...]:
    columns: list[tuple[str, int, str, str]] = []
    for number in range(1, LEGS_MAX + 1):
        columns.append((f"heading {number}", 2, "n", "heading of the leg, 00 for no leg"))
        columns.append((f"amount {number}", 14, "s", "fen, + owed to the party"))
    return tuple(columns)


_SUMS = (
    ("debit", 15, "n", "sum of the legs below zero, fen, without sign"),
    ("credit", 15, "n", "sum of the legs above zero, fen"),
    ("net", 15, "s", "credit less debit, fen"),
    ("carried in", 15, "s", "from earlier days, fen"),
    ("payable", 15, "n", "paid out by this run, fen"),
    ("carried forward", 15, "s", "left for the next run, fen"),
    ("collect", 15, "n", "on the collection list, fen"),
    ("hash total", 15, "n", "sum of the details' sequences modulo 10**15"),
)

LAYOUT: dict[str, tuple[Column, ...]] = {
    HEADER: _record(
        HEADER,
        ("layout", 4, "a", f"`{VERSION}`"),
        ("date", 8, "n", "business date YYYYMMDD"),
        ("run", 4, "n", "number of the run"),
        ("supersedes", 4, "n", "run that this one replaces, 0000 for none"),
        ("value date", 8, "n", "when payments are executed"),
        ("closed", 14, "n", "local time of the cut-off YYYYMMDDhhmmss"),
        ("first sequence", 15, "n", "first journal entry of the date"),
        ("last sequence", 15, "n", "last journal entry of the date"),
        ("considered", 15, "n", "last journal entry that matching looked at"),
        ("currency", 3, "a", "`CNY`"),
        ("zone", 32, "a", "time zone of the operator"),
        ("operator", 60, "t", "name of the operator"),
    ),
    BATCH: _record(
        BATCH,
        ("party", 32, "a", "party id"),
        ("kind", 12, "a", "merchant, institution, sponsor, channel"),
        ("institution", 32, "a", "its regional group"),
        ("date", 8, "n", "business date"),
        ("name", 60, "t", "name of the party"),
    ),
    DETAIL: _record(
        DETAIL,
        ("sequence", 15, "n", "entry in the journal; ascending within the party"),
        ("rrn", 12, "a", "retrieval reference number"),
        ("local", 14, "n", "local time YYYYMMDDhhmmss"),
        ("date", 8, "n", "business date"),
        ("merchant", 15, "a", "where it happened"),
        ("terminal", 8, "a", "where it happened"),
        ("batch", 6, "n", "the terminal's batch, field 60.2"),
        ("stan", 6, "n", "the terminal's STAN, field 11"),
        ("channel", 8, "a", "how it came in"),
        ("kind", 24, "a", "kind of transaction"),
        ("unit", 3, "a", "program of the points, 156 for money alone"),
        ("points", 14, "s", "as the member sees them: + received"),
        ("sale", 13, "n", "sale that it belongs to, fen"),
        ("member", 24, "t", "the member, masked"),
        ("original", 15, "n", "entry that it undoes or refunds"),
        *_legs(),
        ("text", 40, "t", "remark"),
    ),
    CONTROL: _record(
        CONTROL,
        ("party", 32, "a", "party id"),
        ("details", 10, "n", "detail records of the party"),
        *_SUMS,
    ),
    BY_HEADING: _record(
        BY_HEADING,
        ("party", 32, "a", "party id"),
        ("heading", 2, "n", "heading"),
        ("count", 10, "n", "legs of the heading"),
        ("debit", 15, "n", "sum of the legs below zero, fen, without sign"),
        ("credit", 15, "n", "sum of the legs above zero, fen"),
    ),
    BY_PROGRAM: _record(
        BY_PROGRAM,
        ("party", 32, "a", "party id"),
        ("program", 3, "a", "program"),
        ("issued", 15, "s", "points issued less those taken back"),
        ("redeemed", 15, "s", "points redeemed less those given back"),
    ),
    TRAILER: _record(
        TRAILER,
        ("records", 12, "n", "records of the file, header and trailer among them"),
        ("parties", 8, "n", "batch headers"),
        ("details", 12, "n", "detail records"),
        *_SUMS,
        ("digest", 64, "a", "SHA-256 of all bytes before this column, lower-case hex"),
    ),
}

DIGEST_WIDTH = 64
LENGTHS = {kind: sum(column.width for column in columns) for kind, columns in LAYOUT.items()}


def _template(columns: tuple[Column, ...]) -> str:
    forms = {"n": "%0{}d", "s": "%+0{}d", "a": "%-{}s", "t": "%s"}
    return "".join(forms[column.form].format(column.width) for column in columns) + "\n"


TEMPLATES = {kind: _template(columns) for kind, columns in LAYOUT.items()}
_DETAIL_TEMPLATE = TEMPLATES[DETAIL]
_DETAIL_LENGTH = LENGTHS[DETAIL] + 1
_TEXT_WIDTH = LAYOUT[DETAIL][-1].width
_NO_TEXT = " " * _TEXT_WIDTH
_MEMBER_WIDTH = next(column.width for column in LAYOUT[DETAIL] if column.name == "member")
_EMPTY_LEGS = tuple((0, 0) * rest for rest in range(LEGS_MAX + 1))


class Unwritable(Exception):
    """A value does not fit its column: the file is not written."""


@dataclass(slots=True)
class Totals:
    """Counts and sums of a part of the file, or of all of it."""

    records: int = 0
    parties: int = 0
    details: int = 0
    debit: int = 0
    credit: int = 0
    carried_in: int = 0
    payable: int = 0
    carried_forward: int = 0
    collect: int = 0
    hash_total: int = 0

    def add(self, other: Totals) -> None:
        """Add the totals of another part."""
        self.records += other.records
        self.parties += other.parties
        self.details += other.details
        self.debit += other.debit
        self.credit += other.credit
        self.carried_in += other.carried_in
        self.payable += other.payable
        self.carried_forward += other.carried_forward
        self.collect += other.collect
        self.hash_total = (self.hash_total + other.hash_total) % HASH_MODULUS


def fit(text: str, width: int) -> str:
    """Cut and fill a text to `width` bytes of UTF-8, never inside a character."""
    data = printable(text).encode("utf-8", "replace")[:width]
    kept = data.decode("utf-8", "ignore")
    return kept + " " * (width - len(kept.encode()))


@lru_cache(maxsize=4096)
def _fit_member(masked: str) -> str:
    return fit(masked, _MEMBER_WIDTH)


def record(kind: str, *values: object) -> bytes:
    """Make a record of a type from the values of its columns after the type.

    Raises:
        Unwritable: a value does not fit its column.
    """
    made = TEMPLATES[kind] % (int(kind), *values)
    data = made.encode("utf-8", "replace")
    if len(data) != LENGTHS[kind] + 1 or not made[:-1].isprintable():
        raise Unwritable(f"a record {kind} has a value that does not fit: {_misfit(kind, values)}")
    return data


def _misfit(kind: str, values: tuple[object, ...]) -> str:
    """Name the columns whose values do not fit, without the values."""
    names: list[str] = []
    for column, value in zip(LAYOUT[kind][1:], values, strict=True):
        spelled = _template((column,))[:-1] % (value,)
        if len(spelled.encode("utf-8", "replace")) != column.width or not spelled.isprintable():
            names.append(column.name)
    return ", ".join(names)


def detail(line: Line) -> bytes:
    """Make the detail record of a line.

    Raises:
        Unwritable: a value does not fit its column, or there are too many legs.
    """
    legs: list[int] = []
    for heading, fen in line.money:
        legs.append(int(heading))
        legs.append(fen)
    if len(legs) > 2 * LEGS_MAX:
        raise Unwritable(f"entry {line.sequence}: more than {LEGS_MAX} headings on one line")
    values = (
        20,
        line.sequence,
        line.rrn,
        line.local,
        line.date,
        line.merchant,
        line.terminal,
        line.batch,
        line.stan,
        line.channel,
        line.kind,
        line.unit,
        line.points,
        line.sale,
        _fit_member(line.member),
        line.original,
        *legs,
        *_EMPTY_LEGS[LEGS_MAX - len(line.money)],
        fit(line.text, _TEXT_WIDTH) if line.text else _NO_TEXT,
    )
    made = _DETAIL_TEMPLATE % values
    data = made.encode("utf-8", "replace")
    if len(data) != _DETAIL_LENGTH or not made[:-1].isprintable():
        raise Unwritable(
            f"entry {line.sequence}: a value does not fit its column of the settlement file:"
            f" {_misfit(DETAIL, values[1:])}"
        )
    return data


def header(day: Day) -> bytes:
    """Make the header record."""
    return record(
        HEADER,
        VERSION,
        day.date,
        day.run,
        day.supersedes,
        day.value_date,
        day.closed,
        day.first_sequence,
        day.last_sequence,
        day.considered,
        "CNY",
        day.operator.zone,
        fit(day.operator.name, 60),
    )


def batch_header(day: Day, party: PartyDay) -> bytes:
    """Make the record that opens a party's batch."""
    name = fit(party.name, 60)
    return record(BATCH, party.id, party.kind, party.institution, day.date, name)


def controls(party: PartyDay, details: int, hash_total: int) -> bytes:
    """Make the records that close a party's batch: control, headings, programs."""
    made = [
        record(
            CONTROL,
            party.id,
            details,
            party.debit,
            party.credit,
            party.net,
            party.carried_in,
            party.payable,
            party.carried_forward,
            party.collect,
            hash_total,
        )
    ]
    made += [
        record(BY_HEADING, party.id, int(each.heading), each.count, each.debit, each.credit)
        for each in party.amounts
    ]
    made += [
        record(BY_PROGRAM, party.id, each.program, each.issued, each.redeemed)
        for each in party.points
    ]
    return b"".join(made)


def party_totals(party: PartyDay, details: int, hash_total: int) -> Totals:
    """Say what a party's batch adds to the totals of the file."""
    return Totals(
        records=2 + details + len(party.amounts) + len(party.points),
        parties=1,
        details=details,
        debit=party.debit,
        credit=party.credit,
        carried_in=party.carried_in,
        payable=party.payable,
        carried_forward=party.carried_forward,
        collect=party.collect,
        hash_total=hash_total,
    )


def trailer(totals: Totals) -> bytes:
    """Make the trailer up to its digest; `totals` are those of the body."""
    made = record(
        TRAILER,
        totals.records + 2,
        totals.parties,
        totals.details,
        totals.debit,
        totals.credit,
        totals.credit - totals.debit,
        totals.carried_in,
        totals.payable,
        totals.carried_forward,
        totals.collect,
        totals.hash_total,
        "",
    )
    return made[: -DIGEST_WIDTH - 1]


def assemble(day: Day, parts: Iterable[BinaryIO], totals: Totals, target: BinaryIO) -> None:
    """Join header, parts and trailer into the file, with the digest at its end."""
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    put(header(day))
    for part in parts:
        while data := part.read(PART_BYTES_MAX):
            put(data)
    put(trailer(totals))
    target.write(digest.hexdigest().encode("ascii") + b"\n")
