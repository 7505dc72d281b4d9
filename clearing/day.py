"""Which entries of the journal are a business date, and how they are read.

Membership of a day is a matter of the journal: every entry carries its business date, dates never
decrease, and the cut-off entry is the last of its date. `find_extent` finds the range by bisection
over the entries, each a point read, so it costs the same in a young book and in an old one. The
extent of a date that was cut never changes again.

`read_entries` streams a range from the segments, beside a running daemon and without its help. A
large day is read by several processes, each with a part of the range (`parts`), started anew and
not forked, since a database environment must not be carried across a fork. They run at nice 19, so
that terminals are served first.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgpack

from ledger import schema
from ledger.codec import LAYOUT, UnknownLayout
from ledger.journal import entries
from ledger.model import Entry
from ledger.tables import Snapshot

NICE = 19
CUT_OFF = "cut-off"
"""Name of the cut-off's entry in the engine's catalogue."""

PART_ENTRIES_MIN = 20_000
"""A range shorter than this is not worth a process of its own."""

_PR_SET_PDEATHSIG = 1

Result = TypeVar("Result")


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


def spoken(date: int) -> str:
    """A date as people write it, YYYY-MM-DD."""
    return f"{date // 10000:04}-{date // 100 % 100:02}-{date % 100:02}"


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


def parts(first: int, last: int, workers: int) -> list[tuple[int, int]]:
    """Cut a range into at most `workers` ranges of about the same length, in order."""
    count = last - first + 1
    if count <= 0:
        return []
    pieces = max(1, min(workers, count // PART_ENTRIES_MIN))
    edges = [first + count * piece // pieces for piece in range(pieces + 1)]
    return [(start, end - 1) for start, end in pairwise(edges)]


def spread(
    work: Callable[..., Result],
    tasks: list[tuple[Any, ...]],
    *,
    workers: int,
    done: Callable[[int], None] | None = None,
) -> list[Result]:
    """Run `work` on each task's arguments, beside each other; results in the order of the tasks.

    A single task runs in this process.

    Args:
        work: a function of a module, so that a new process can find it.
        tasks: the arguments, which can be pickled.
        workers: how many processes at most.
        done: called with the number of tasks that are finished.
    """
    if len(tasks) <= 1 or workers <= 1:
        results = []
        for number, task in enumerate(tasks, 1):
            results.append(work(*task))
            if done:
                done(number)
        return results
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=yield_to_others
    ) as pool:
        futures = [pool.submit(work, *task) for task in tasks]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            if done:
                done(number)
        return [future.result() for future in futures]


def yield_to_others() -> None:
    """Let whoever answers terminals go first, and end with the process that asked for the work.

    A worker whose parent was killed would wait for its next task for ever.
    """
    os.nice(NICE - os.nice(0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
