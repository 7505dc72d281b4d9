"""Which entries of the journal are a business date, and how they are read.

Membership of a day is a matter of the journal: every entry carries its business date, dates never
decrease, and the cut-off entry is the last of its date. `find_extent` finds the range by bisection
over the entries, each a point read, so it costs the same in a young book and in an old one. The
extent of a date that was cut never changes again.

`read_entries` streams a range from the segments, beside a running daemon and without its help. A
large day is read by several processes, each with a part of the range (`spread`), started anew and
not forked, since a database environment must not be carried across a fork. They take what
others leave of the processors (`ledger.priority`), so that terminals are served first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from engine.terms import spoken
from ledger import schema
from ledger.codec import LAYOUT, UnknownLayout
from ledger.journal import entries
from ledger.model import Entry
from ledger.tables import Snapshot

CUT_OFF = "cut-off"
"""Name of the cut-off's entry in the engine's catalogue."""


class NotCut(Exception):
    """A date cannot be cleared as it stands; one sentence with what to do about it."""


@dataclass(slots=True)
class Extent:
    """The entries of a business date.

    Attributes:
        date: the business date, YYYYMMDD.
        first, last: sequence numbers of its first entry and of its cut-off, which is its last.
        closed_at: time of the cut-off, ms since 1970 UTC.
    """

    date: int
    first: int
    last: int
    closed_at: int


def find_extent(snapshot: Snapshot, date: int) -> Extent:
    """Find the entries of a business date that was cut off.

    Raises:
        NotCut: the date is still open, lies ahead, or is before the first one of this ledger.
    """
    last = _last_through(snapshot, date)
    entry = _entry(snapshot, last) if last else None
    if entry is None or entry.date != date:
        if last < snapshot.sequence:
            raise NotCut(f"{spoken(date)} is before the first business date of this ledger")
        raise NotCut(f"{spoken(date)} lies ahead: no entry has that business date yet")
    if entry.kind != CUT_OFF:
        raise NotCut(
            f"{spoken(date)} is still open: wait for its cut-off, or bring it forward with"
            f" `counterfoil cutoff`"
        )
    before = _last_through(snapshot, date - 1)
    # What was loaded before the calendar had a date belongs to the first one.
    first = before + 1 if before and _entry(snapshot, before).date else 1
    return Extent(date, first, last, entry.at)


def first_date(snapshot: Snapshot) -> int:
    """The first business date of a ledger, 0 where none was ever opened."""
    sequence = _last_through(snapshot, 0) + 1
    return _entry(snapshot, sequence).date if sequence <= snapshot.sequence else 0


def range_of(snapshot: Snapshot, first: int, last: int) -> tuple[int, int]:
    """Sequence numbers of the first and last entry of the dates `first` to `last`, open ones too.

    Args:
        snapshot: of the ledger.
        first: first business date; 0 for the beginning.
        last: last business date; 0 for the end.

    Returns:
        A range that is empty (its last below its first) where those dates have no entries.
    """
    before = _last_through(snapshot, first - 1) if first else 0
    return before + 1, _last_through(snapshot, last) if last else snapshot.sequence


def _entry(snapshot: Snapshot, sequence: int) -> Entry:
    found: Entry | None = snapshot.view.get(schema.entry(sequence))
    if found is None:
        raise NotCut(
            f"entry {sequence} is not in the tables: run `counterfoil verify`, and make the tables"
            " again from the journal"
        )
    return found


def _last_through(snapshot: Snapshot, date: int) -> int:
    """The last entry whose business date is `date` or earlier, 0 for none."""
    low, high = 0, snapshot.sequence
    while low < high:
        middle = (low + high + 1) // 2
        if _entry(snapshot, middle).date <= date:
            low = middle
        else:
            high = middle - 1
    return low


def read_entries(folder: Path, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield the entries of a range in order, as the fields of `ledger.model.Entry`.

    The last of them, the trail, is there only where it says something.

    They stay tuples, because a record for each of ten million would cost more than all else that
    is done with them.

    Raises:
        ledger.segment.JournalDamaged: the journal is not what was written.
        UnknownLayout: a newer version wrote an entry.
    """
    unpack = msgpack.unpackb
    for sequence, packed in entries(folder, first, last):
        fields = unpack(packed, use_list=False, strict_map_key=False)
        if fields[0] != LAYOUT:
            raise UnknownLayout(f"journal entry {sequence} has layout {fields[0]}")
        yield fields[1:]
