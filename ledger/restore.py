"""Restoring: a full backup and the increments behind it become a book again, whole or not at all.

Everything is put together in a folder beside the one that is wanted, which gets its name last. A
segment that comes again in an increment has to go on where the earlier one ended. The chain is
followed from the first entry to the last, the tables are folded from the journal (behind those of
the backup, where it brings some), and where the book then ends with the last backup, its digest
has to be the one that was noted.

A point in time is the end of a group: the entries that became durable together have one map of
changed rows. What is restored ends with the last group at or before the point.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ledger import codec
from ledger.audit import digest
from ledger.backup import BASE, FILE, HEAD, JOURNAL, TABLES, Head, read_small, walk
from ledger.base import NAME as BASE_NAME
from ledger.book import Book
from ledger.format import FORMAT
from ledger.journal import Reader
from ledger.segment import Segment, segments
from ledger.storage import MEBIBYTE, Limits, Storage
from ledger.stream import StreamBroken, StreamReader
from ledger.tables import Batch, Snapshot, open_environment, settled_position

_SEGMENT = re.compile(r"\d{20}\.seg")
_FILE = re.compile(r"[a-z0-9_-]+\.(toml|json)")

Progress = Callable[[int, int], None]


class RestoreRefused(Exception):
    """Backups do not make the book that was asked for; one sentence that says what to do."""


@dataclass(slots=True)
class Point:
    """Where to stop.

    Attributes:
        sequence: the last entry that is wanted; 0 for no such bound.
        at: the last moment that is wanted, ms since 1970 UTC; 0 for no such bound.
    """

    sequence: int = 0
    at: int = 0


@dataclass(slots=True)
class Restored:
    """What was restored.

    Attributes:
        sequence: its last entry.
        digest: its digest.
        compared: whether that was compared with the digest of the last backup.
        key_id: which key file belongs to it.
    """

    sequence: int
    digest: str
    compared: bool
    key_id: str


@dataclass(slots=True)
class _Work:
    book: Path
    heads: list[Head] = field(default_factory=list)
    ends: dict[int, tuple[int, bytes]] = field(default_factory=dict)


def restore(
    sources: Sequence[tuple[str, BinaryIO]],
    folder: Path,
    point: Point | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make a book of a full backup and increments, in their order.

    Args:
        sources: name and stream of each.
        folder: a name that is free; its parent is there.
        point: where to stop; None for all that the backups hold.
        progress: called with (entries folded, entries to fold).

    Raises:
        RestoreRefused: they do not belong together, or do not reach the point.
        StreamBroken: one of them is cut short or was altered.
        ledger.segment.JournalDamaged: the journal inside is not sound.
        FileExistsError: the folder is there already.
        OSError: the disk does not take it.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; name a new folder")
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        work = _Work(staging / "book")
        Book.create(work.book)
        for name, file in sources:
            _take(work, name, file)
        if not work.heads:
            raise RestoreRefused("no backup was named: name the full one, then its increments")
        if point is not None:
            _cut(work, point)
        restored = _complete(work, progress)
        _sync(work.book)
        work.book.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    Storage().sync_folder(folder.parent)
    return restored


# Taking the streams in.


def _take(work: _Work, name: str, file: BinaryIO) -> None:
    """Take one backup in."""
    head: Head | None = None
    for section, pieces in StreamReader(file, name).sections():
        if head is None:
            if section != HEAD:
                raise StreamBroken(f"{name} has no head: use another backup")
            head = Head.parse(read_small(pieces))
            _judge_head(work, name, head)
        elif section.startswith(FILE) and _FILE.fullmatch(section[len(FILE) :]):
            (work.book / section[len(FILE) :]).write_bytes(read_small(pieces))
        elif section == TABLES:
            _write(work.book / "tables" / "data.mdb", pieces)
        elif section.startswith(BASE) and BASE_NAME.fullmatch(section[len(BASE) :]):
            place = work.book / section
            place.mkdir(mode=0o700, parents=True)
            _write(place / "data.mdb", pieces)
        elif section.startswith(JOURNAL) and _SEGMENT.fullmatch(section[len(JOURNAL) :]):
            _take_segment(work, name, section[len(JOURNAL) :], pieces)
        else:
            raise StreamBroken(f"{name} has a part that is not known: use the version that made it")
    if head is None:
        raise StreamBroken(f"{name} has no head: use another backup")
    work.heads.append(head)


def _judge_head(work: _Work, name: str, head: Head) -> None:
    if head.format > FORMAT:
        raise RestoreRefused(
            f"{name} has data format {head.format} and this version knows up to {FORMAT}: restore"
            " it with the version that wrote it, or a newer one"
        )
    if not work.heads:
        if head.since:
            raise RestoreRefused(
                f"{name} is an increment behind entry {head.since}: name the full backup first"
            )
    else:
        before = work.heads[-1]
        if head.key_id != work.heads[0].key_id:
            raise RestoreRefused(f"{name} is of another data directory")
        if head.sequence < before.sequence:
            raise RestoreRefused(
                f"{name} ends with entry {head.sequence}, the backup before it with"
                f" {before.sequence}: name them in their order"
            )
        if head.since > before.sequence:
            raise RestoreRefused(
                f"{name} goes on behind entry {head.since}, the backup before it ends with"
                f" {before.sequence}: name the one between them too"
            )
    free = Storage().free_bytes(work.book)
    # The tables grow about as large as the journal when they are folded.
    wanted = 2 * head.size + Limits().disk_free_bytes_min
    if free < wanted:
        raise RestoreRefused(
            f"the disk has {free // MEBIBYTE} MiB free and {name} may need"
            f" {wanted // MEBIBYTE} MiB: free some, or restore to another disk"
        )


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o600)


def _take_segment(work: _Work, name: str, called: str, pieces: Iterator[bytes]) -> None:
    """Write a segment; one that is there already has to be the beginning of the new one."""
    path = work.book / "journal" / called
    made = path.with_suffix(".tmp")
    _write(made, pieces)
    made.rename(path)
    first = int(called[:20])
    known = work.ends.get(first)
    with _opened(path) as segment:
        if known is not None:
            found = walk(segment, known[0])
            if (found.last, found.digest) != known:
                raise RestoreRefused(f"{name} is not of the same journal as the backup before it")
        found = walk(segment)
    if found.end != path.stat().st_size:
        raise StreamBroken(f"{name} holds a segment that does not end with a group")
    work.ends[first] = found.last, found.digest


class _opened:  # noqa: N801 - reads as the statement that it is part of
    """A segment, closed at the end of the block."""

    def __init__(self, path: Path) -> None:
        self._segment = Segment(path)

    def __enter__(self) -> Segment:
        return self._segment

    def __exit__(self, *_: object) -> None:
        self._segment.close()


# Stopping at a point.


def _cut(work: _Work, point: Point) -> None:
    """Take away what lies behind the point."""
    last = work.heads[-1].sequence
    if point.sequence > last:
        raise RestoreRefused(f"the backups end with entry {last}: name a later increment too")
    keep = last
    if point.sequence:
        keep = _group_end(work, lambda ends, _at: ends <= point.sequence)
    if point.at:
        keep = min(keep, _group_end(work, lambda _ends, at: at <= point.at))
    if not keep:
        raise RestoreRefused("nothing was there yet at that point: name a later one")
    for first, path in segments(work.book):
        if first > keep:
            path.unlink()
            continue
        with _opened(path) as segment:
            end = walk(segment, keep).end
        os.truncate(path, end)


def _group_end(work: _Work, wanted: Callable[[int, int], bool]) -> int:
    """The last entry of the last group that is wanted; wanted ones stand before all others."""
    known = segments(work.book)
    start = known[0][0] - 1 if known else 0
    end = 0
    with Reader(work.book, start) as reader:
        for group in reader.groups(None, changes=False):
            if not wanted(group.last, codec.unpack_entry(group.entries[-1]).at):
                break
            end = group.last
    return end


# Making the book.


def _complete(work: _Work, progress: Progress | None) -> Restored:
    """Fold the tables, follow the chain, compare the digest."""
    known = segments(work.book)
    full, last = work.heads[0], work.heads[-1]
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(work.book, known[0][0] - 1 if known else 0))
        for _ in reader.groups(None, changes=False):
            pass
        end, chain = reader.position, reader.digest
    if full.applied > end:
        if not known or known[0][0] > 1:
            raise RestoreRefused(
                f"the journal inside begins behind entry 1, so nothing before entry"
                f" {full.applied} can be restored: name a later point, or an older backup"
            )
        _forget_tables(work.book)
    elif full.applied < 0 and known and known[0][0] > 1:
        raise RestoreRefused("the backup has neither the journal from entry 1 nor tables")
    _fold(work.book, progress)
    with Snapshot(work.book) as snapshot:
        made = digest(snapshot)
    compared = end == last.sequence
    if compared and (chain != last.chain or made != last.digest):
        raise RestoreRefused(
            "what was restored differs from what was backed up: use another backup, and tell the"
            " makers of this software"
        )
    return Restored(end, made, compared, full.key_id)


def _forget_tables(book: Path) -> None:
    for path in (book / "tables").iterdir():
        path.unlink()


def _fold(book: Path, progress: Progress | None) -> None:
    """Fold the journal behind the tables' position."""
    limits = Limits()
    environment = open_environment(book, sync=False)
    try:
        applied, _ = settled_position(environment)
        total = segments_end(book) - applied
        batch = Batch()
        with Reader(book, applied) as reader:
            for group in reader.groups(None):
                batch.add(group)
                if (
                    batch.entries >= limits.fold_entries
                    or len(batch.changes) >= limits.fold_records
                ):
                    batch.fold(environment)
                    if progress:
                        progress(group.last - applied, total)
        batch.fold(environment)
        environment.sync(True)
    finally:
        environment.close()


def segments_end(book: Path) -> int:
    """The last entry of a journal that nobody writes."""
    known = segments(book)
    if not known:
        return 0
    with _opened(known[-1][1]) as segment:
        return walk(segment).last


def _sync(book: Path) -> None:
    storage = Storage()
    for path in book.iterdir():
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for path in book.glob("journal/*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for name in ("journal", "tables", "."):
        storage.sync_folder(book / name)
