"""What becomes of closed segments: compressed, and in the end removed, with a base in their place.

Pruning removes segments from the old end of the journal. What they said stays in the tables, their
entries included; but the tables could not be compared any more with what is left of the journal.
So before a segment goes it is folded into the base (`ledger.base`). The new base is complete and
synced before the first segment goes, and the one before it goes last: a crash in between leaves
segments that the base stands for already, which the next pruning removes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import lmdb

from ledger.audit import digest
from ledger.base import FOLDER, MAP_BYTES, Base, find_base
from ledger.journal import Reader, archive_closed
from ledger.keeping import Keeping
from ledger.segment import JournalDamaged, segment_name, segments
from ledger.storage import Limits, Storage
from ledger.tables import Batch
from ledger.view import position_of

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Plan:
    """What would be done, or was.

    Attributes:
        packed: segments that are compressed.
        removed: segments that are removed.
        base: the last entry that the base stands for afterwards.
    """

    packed: list[Path]
    removed: list[Path]
    base: int


def plan(folder: Path, applied: int, bound: int) -> Plan:
    """What archiving and pruning would do; see `keep_house`."""
    known = segments(folder)
    packed, removed = [], []
    base = find_base(folder)
    upto = base.sequence if base is not None else 0
    for (_, path), (following, _) in pairwise(known):
        if following == known[-1][0] or following > applied + 1:
            break
        if following - 1 <= bound:
            removed.append(path)
            upto = max(upto, following - 1)
        elif path.suffix != ".xz":
            packed.append(path)
    return Plan(packed, removed, upto)


def keep_house(
    folder: Path, applied: int, bound: int = 0, progress: Progress | None = None
) -> Plan:
    """Compress closed segments, and remove those that end at or before an entry.

    The segment in use and the newest closed one stay as they are. Goes beside a running daemon.

    Args:
        folder: the book.
        applied: position of the tables; nothing behind it is touched.
        bound: the last entry that may be removed from the journal; 0 for none.
        progress: called with (entries folded into the base, entries to fold).

    Raises:
        ledger.keeping.KeepingBusy: a backup or another archive is under way.
        JournalDamaged: what is to be removed is not sound; nothing was removed.
        OSError: the disk does not take it.
    """
    with Keeping(folder):
        wanted = plan(folder, applied, bound)
        if wanted.removed:
            _prune(folder, wanted, progress)
        archive_closed(folder, applied)
    return wanted


def _prune(folder: Path, wanted: Plan, progress: Progress | None) -> None:
    storage = Storage()
    place = folder / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    for leftover in place.glob("*.tmp"):
        shutil.rmtree(leftover)
    known = find_base(folder)
    if known is None or known.sequence < wanted.base:
        made = place / "next.tmp"
        made.mkdir(mode=0o700)
        found = _fold(folder, made, known, wanted.base, progress)
        (made / "lock.mdb").unlink(missing_ok=True)
        storage.sync_folder(made)
        made.rename(place / f"{wanted.base:020d}-{found}")
        storage.sync_folder(place)
        storage.sync_folder(folder)
    for path in wanted.removed:
        path.unlink()
    storage.sync_folder(folder / "journal")
    newest = find_base(folder)
    for path in place.iterdir():
        if newest is not None and path != newest.path:
            shutil.rmtree(path)


def _fold(
    folder: Path, made: Path, known: Base | None, upto: int, progress: Progress | None
) -> str:
    """Make the new base of the one before and the segments behind it; returns its digest."""
    environment = lmdb.open(str(made), map_size=MAP_BYTES, sync=False, readahead=False)
    try:
        chain = b""
        with known or nullcontext() as before:
            if before is not None:
                before.copy_to(environment)
                chain = before.chain
        fold_behind(folder, environment, chain, upto, progress)
        environment.sync(True)
        with environment.begin() as transaction:
            return digest(_Rows(transaction))
    finally:
        environment.close()


def fold_behind(
    folder: Path, environment: Any, chain: bytes, upto: int, progress: Progress | None
) -> None:
    """Fold the journal without its entries behind a database's position, up to an entry.

    Raises:
        JournalDamaged: it is not sound, does not follow the chain, or ends earlier.
    """
    with environment.begin() as transaction:
        start = position_of(transaction)[0]
    batch = Batch(with_entries=False)
    with Reader(folder, start) as reader:
        for group in reader.groups(upto):
            if chain and reader.started_digest != chain:
                raise JournalDamaged(
                    segment_name(start + 1), 0, start + 1, "it does not follow the base"
                )
            batch.add(group)
            if len(batch.changes) >= Limits().fold_records:
                batch.fold(environment)
                if progress:
                    progress(group.last - start, upto - start)
    batch.fold(environment)


class _Rows:
    """The rows of a transaction, as the digest takes them."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction

    def rows(self, prefix: bytes = b"") -> Any:
        """Key and packed row, ascending, the position row left out."""
        for key, value in self._transaction.cursor():
            if key[0] and bytes(key).startswith(prefix):
                yield bytes(key), bytes(value)
