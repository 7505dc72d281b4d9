"""Backups: a book, while it is being written, as one checksummed stream (`ledger.stream`).

What is taken is the journal up to one durable group, segment by segment, each walked link by link
on its way, so that damage is found by the backup and not by the restore. An increment holds the
segments with anything behind the entry that it is counted from, whole. The tables can be folded
from the journal anew; they are taken along where the journal does not begin at entry 1 any more,
or when asked for. The head notes the chain's head and the digest at the backup's last entry.

The tables are copied within one read transaction of the process that makes the backup, which is
never the one that writes them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ledger import codec, schema
from ledger.audit import digest
from ledger.base import find_base
from ledger.format import read_format
from ledger.journal import chain_at, chain_note
from ledger.keeping import Keeping
from ledger.segment import (
    FRAME_BYTES_OVER,
    HEADER_BYTES,
    JournalDamaged,
    Segment,
    read_frame,
    segments,
)
from ledger.storage import MEBIBYTE
from ledger.stream import StreamBroken, StreamReader, StreamWriter
from ledger.tables import Snapshot, TablesFailed, tables_bytes

HEAD = "head"
TABLES = "tables"
JOURNAL = "journal/"
BASE = "base/"
FILE = "file/"
SMALL_BYTES_MAX = 1 << 16


class BackupRefused(Exception):
    """The journal does not hold what a backup was asked for; one sentence."""


@dataclass(slots=True)
class Head:
    """What a backup says of itself.

    Attributes:
        format: the data format of the directory.
        since: the entry that an increment is counted from; 0 for a full backup.
        first: first entry of the first segment inside, 0 for none.
        sequence: last entry inside, the end of a group.
        chain: SHA-256 of the group that it ends.
        digest: digest of the book at that entry, hexadecimal.
        applied: position of the tables inside; -1 for none inside.
        at: time of its last entry, ms since 1970 UTC.
        key_id: which key file belongs to it.
        zone: the operator's time zone, an IANA name.
        made: time of the backup, ms since 1970 UTC.
        size: bytes that it takes on disk when restored, besides tables that are folded anew.
    """

    format: int
    since: int
    first: int
    sequence: int
    chain: bytes
    digest: str
    applied: int
    at: int
    key_id: str
    zone: str
    made: int
    size: int

    def packed(self) -> bytes:
        """As the section `head` holds it."""
        return codec.pack_value({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def parse(cls, data: bytes) -> Head:
        """Read the section `head`.

        Raises:
            StreamBroken: it is not one.
        """
        try:
            return cls(**codec.unpack_value(data))
        except (ValueError, TypeError) as error:
            raise StreamBroken("the backup's head cannot be read: use another backup") from error

    @property
    def chain_note(self) -> str:
        """The chain's head as `verify --against` takes it."""
        return chain_note(self.sequence, self.chain)


@dataclass(slots=True)
class Walked:
    """How far the sound frames of a segment reach.

    Attributes:
        before: SHA-256 of the frame before its first.
        end: the byte behind the last frame.
        last: sequence number of its last entry; one less than its first when it has none.
        digest: SHA-256 of its last frame.
    """

    before: bytes
    end: int
    last: int
    digest: bytes


def walk(segment: Segment, last: int | None = None) -> Walked:
    """Follow the chain through a segment, as far as groups end at or before `last`.

    Raises:
        JournalDamaged: a frame does not follow from the one before it.
    """
    header = segment.header
    found = Walked(header.before, HEADER_BYTES, header.first - 1, header.before)
    while last is None or found.last < last:
        frame = read_frame(segment, found.end)
        if frame is None:
            break
        fields = frame[0]
        if fields[1] != found.last + 1 or fields[5] != found.digest:
            why = "the group does not follow from the one before it"
            raise JournalDamaged(segment.name, found.end, found.last + 1, why)
        ends = found.last + fields[2]
        if last is not None and ends > last:
            break
        found.last, found.digest = ends, frame[2]
        found.end += FRAME_BYTES_OVER + fields[3] + fields[4]
    return found


def open_segment(folder: Path, first: int) -> Segment:
    """Open a segment by its first entry, whichever form it has by now."""
    path = dict(segments(folder)).get(first)
    for _ in range(2):
        if path is None:
            break
        try:
            return Segment(path)
        except FileNotFoundError:
            path = dict(segments(folder)).get(first)
    raise JournalDamaged(f"{first:020d}.seg", 0, first, "the segment is missing")


def write_backup(  # noqa: PLR0913 - each is named at the one call
    folder: Path,
    file: BinaryIO,
    *,
    since: int = 0,
    tables: bool = False,
    files: dict[str, bytes] | None = None,
    key_id: str = "",
    zone: str = "",
    made: int = 0,
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[int], None] | None = None,
) -> Head:
    """Write a backup of a book, beside its daemon or without one.

    Args:
        folder: the book.
        file: takes the stream.
        since: an entry that an earlier backup holds, for an increment; 0 for a full backup.
        tables: take the tables along though the journal could make them anew.
        files: other files of the directory by name.
        key_id: which key file belongs to the book.
        zone: the operator's time zone.
        made: now, ms since 1970 UTC.
        progress: called with (segments written, segments to write).
        look: see `StreamWriter`.

    Returns:
        The head of the backup, whose stream is whole now.

    Raises:
        JournalDamaged: the journal is not sound; nothing may be made of what was written.
        KeepingBusy: another backup or an archive is under way.
        BackupRefused: there is no entry `since` yet, or the journal does not reach back to it.
        OSError: the file did not take it.
    """
    with Keeping(folder):
        stream = StreamWriter(file, look)
        with Snapshot(folder) as snapshot:
            known = segments(folder)
            if known and since and since < known[0][0] - 1:
                raise BackupRefused(
                    f"the journal begins with entry {known[0][0]}: take a full backup"
                )
            if since > snapshot.sequence:
                raise BackupRefused(
                    f"there is no entry {since} yet, the last is {snapshot.sequence}"
                )
            last = snapshot.sequence
            wanted = _wanted(known, since, last)
            with_tables = tables or bool(not since and known and known[0][0] > 1)
            head = _head(folder, snapshot, since, wanted, with_tables=with_tables)
            head.digest = digest(snapshot)
            head.key_id, head.zone, head.made = key_id, zone, made
            stream.section(HEAD, [head.packed()])
            for name, content in sorted((files or {}).items()):
                stream.section(FILE + name, [content])
            if with_tables:
                stream.section(TABLES, _tables(snapshot))
            if not since and (base := find_base(folder)) is not None:
                stream.section(BASE + base.path.name, _file(base.path / "data.mdb"))
        for number, (first, _) in enumerate(wanted):
            following = wanted[number + 1][0] - 1 if number + 1 < len(wanted) else last
            stream.section(f"{JOURNAL}{first:020d}.seg", _segment(folder, first, following))
            if progress:
                progress(number + 1, len(wanted))
        stream.finish()
    return head


def _wanted(known: list[tuple[int, Path]], since: int, last: int) -> list[tuple[int, Path]]:
    """The segments that hold entries behind `since`, up to `last`."""
    ends = [following for following, _ in known[1:]]
    paired = zip(known, [*ends, last + 1], strict=True) if known else ()
    return [one for one, end in paired if one[0] <= last and end - 1 > since]


def _head(
    folder: Path,
    snapshot: Snapshot,
    since: int,
    wanted: list[tuple[int, Path]],
    *,
    with_tables: bool,
) -> Head:
    last = snapshot.sequence
    chained, chain = chain_at(folder, last)
    if chained != last:
        raise JournalDamaged(f"{last:020d}", 0, last, "no group ends here")
    entry = snapshot.view.get(schema.entry(last)) if last else None
    size = sum(_unpacked_bytes(path) for _, path in wanted)
    if with_tables:
        size += tables_bytes(folder)
    return Head(
        format=read_format(folder),
        since=since,
        first=wanted[0][0] if wanted else 0,
        sequence=last,
        chain=chain,
        digest="",
        applied=snapshot.applied if with_tables else -1,
        at=entry.at if entry is not None else 0,
        key_id="",
        zone="",
        made=0,
        size=size,
    )


def _unpacked_bytes(path: Path) -> int:
    """Bytes of a segment on disk when restored, at most: packed ones are a tenth or more."""
    return path.stat().st_size * (12 if path.suffix == ".xz" else 1)


def _tables(snapshot: Snapshot) -> Iterator[bytes]:
    """The tables' file as the snapshot has it, by way of a pipe: nothing lies on a disk between."""
    readable, writable = os.pipe()
    failed: list[BaseException] = []

    def copy() -> None:
        try:
            snapshot.view.copy_to(writable)
        except Exception as error:  # noqa: BLE001 - told in the thread that reads
            failed.append(error)
        finally:
            os.close(writable)

    copying = threading.Thread(target=copy, daemon=True)
    copying.start()
    try:
        with os.fdopen(readable, "rb") as pipe:
            while piece := pipe.read(MEBIBYTE):
                yield piece
    finally:
        # With the pipe closed the copy cannot go on, so this does not wait for long.
        copying.join()
    if failed:
        raise TablesFailed(f"the tables cannot be copied: {failed[0]}") from failed[0]


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(MEBIBYTE):
            yield piece


def _segment(folder: Path, first: int, last: int) -> Iterator[bytes]:
    """A segment's bytes up to the group that ends with entry `last`."""
    segment = open_segment(folder, first)
    try:
        found = walk(segment, last)
        if found.last != last:
            raise JournalDamaged(
                segment.name, found.end, found.last + 1, f"entries up to {last} are missing"
            )
        for offset in range(0, found.end, MEBIBYTE):
            yield segment.read(offset, min(MEBIBYTE, found.end - offset))
    finally:
        segment.close()


def read_head(file: BinaryIO, name: str) -> Head:
    """The head of a backup, whose further sections are not read.

    Raises:
        StreamBroken: it is not a backup.
    """
    for section, pieces in StreamReader(file, name).sections():
        if section != HEAD:
            break
        return Head.parse(read_small(pieces))
    raise StreamBroken(f"{name} has no head: use another backup")


def read_small(pieces: Iterator[bytes]) -> bytes:
    """A short section whole.

    Raises:
        StreamBroken: it is longer than 64 KiB, or was altered.
    """
    data = b""
    for piece in pieces:
        data += piece
        if len(data) > SMALL_BYTES_MAX:
            raise StreamBroken("a part of the backup is longer than it can be: use another backup")
    return data


def chain_differs(folder: Path, sequence: int, chain: bytes) -> str:
    """What is wrong with the journal, judged by a note of its chain's head; empty for nothing.

    Raises:
        JournalDamaged: the journal is damaged elsewhere.
    """
    known = segments(folder)
    if sequence and known and known[0][0] > sequence:
        if known[0][0] == sequence + 1:
            return "" if _header_before(folder, sequence + 1) == chain else _differs(sequence)
        return f"the journal begins with entry {known[0][0]} and cannot say anything of {sequence}"
    try:
        last, found = chain_at(folder, sequence)
    except JournalDamaged as error:
        return str(error)
    return "" if (last, found) == (sequence, chain) else _differs(sequence)


def _header_before(folder: Path, first: int) -> bytes:
    segment = open_segment(folder, first)
    try:
        return segment.header.before
    finally:
        segment.close()


def _differs(sequence: int) -> str:
    return f"the journal has another history up to entry {sequence} than the one that was noted"
