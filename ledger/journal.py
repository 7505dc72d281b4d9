"""The journal: segments of framed groups, the point at which a posting becomes durable.

A *group* is the entries that came in while the group before was made durable, with one map of the
rows that they changed, key to last value: one write and one fdatasync (`Journal.append`). The next
segment is made ahead of need by a thread. `ledger.segment` has the bytes.

Reading (`Reader`, `entries`) goes beside a running writer without its help but for
one number: the writer shares the last durable sequence number in a file that it maps
(`DurableMark`), and readers stop there, because a frame that reads well may not be on disk.
Anything that no interrupted last write explains raises `JournalDamaged`, and nothing is guessed.
"""

from __future__ import annotations

import lzma
import mmap
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from ledger import codec
from ledger.packing import pack
from ledger.segment import (
    CHAIN_START,
    FRAME_BYTES_OVER,
    HEADER_BYTES,
    Group,
    JournalDamaged,
    Segment,
    SegmentHeader,
    digest_of,
    frame_parts,
    judge_tail,
    read_frame,
    segment_name,
    segments,
    trailer,
)
from ledger.spare import Spare
from ledger.storage import MEBIBYTE, Lock, Storage
from ledger.syncer import Syncer

KEY_BYTES_MAX = 511
"""What LMDB takes as a key."""


class DurableMark:
    """The last durable sequence number, shared with readers through a mapped file.

    It is never synced and never ahead of the disk: it is raised after the sync that it tells of.
    An aligned 64-bit word is stored and loaded by one machine instruction.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        descriptor = os.open(folder / "durable", flags | os.O_CLOEXEC, 0o600)
        try:
            if writable and os.fstat(descriptor).st_size != mmap.PAGESIZE:
                os.ftruncate(descriptor, mmap.PAGESIZE)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, mmap.PAGESIZE, access=access)
        finally:
            os.close(descriptor)
        self._view = memoryview(self._map)
        self._word = self._view.cast("Q")

    def get(self) -> int:
        """The number as last told."""
        return self._word[0]

    def set(self, sequence: int) -> None:
        """Tell readers that everything up to `sequence` is on disk."""
        self._word[0] = sequence

    def close(self) -> None:
        """Give the mapping back."""
        self._word.release()
        self._view.release()
        self._map.close()


def durable_end(folder: Path) -> int | None:
    """How far a reader may read.

    Returns:
        The durable sequence number told by the running writer, or None when there is none and
        everything that reads well may be read.
    """
    return told_durable(folder) if Lock(folder / "lock").is_held() else None


def told_durable(folder: Path) -> int:
    """The last number that a writer told to be durable, be it there still or not; 0 for none."""
    try:
        mark = DurableMark(folder, writable=False)
    except (FileNotFoundError, ValueError):
        return 0
    try:
        return mark.get()
    finally:
        mark.close()


class Reader:
    """Reads groups in order, from any sequence number, across segments, again and again.

    Attributes:
        position: sequence number of the last entry read.
        digest: SHA-256 of the group that ended there; empty until a group or header was seen.
        started_digest: SHA-256 of the group that `after` ends; empty until reading began.
        epoch: the epoch of the segment read last.
        offset: byte in the current segment at which the next frame stands.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        self._folder = folder
        self._segment: Segment | None = None
        self.position = after
        self.digest = b""
        self.started_digest = b""
        self.epoch = 0
        self.offset = HEADER_BYTES

    def close(self) -> None:
        """Close the segment that is open, if any."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reaches(self, sequence: int) -> bool:
        """Whether a segment is there that holds an entry, or begins right behind it."""
        return any(first <= sequence + 1 for first, _ in segments(self._folder))

    def groups(self, limit: int | None = None, *, changes: bool = True) -> Iterator[Group]:
        """Yield the groups behind the position, and return where they end; may be called again.

        Args:
            limit: read to here, where all is known to be durable; None when there is no writer,
                and then the end is found by looking, a torn last frame left out.
            changes: False leaves the map of changed rows unread.

        Raises:
            JournalDamaged: anything but an interrupted last write was found.
        """
        while limit is None or self.position < limit:
            if self._segment is None and not self._enter(limit):
                return
            found = self._next()
            if found is None:
                if self._advance(limit):
                    continue
                return
            fields, body, digest = found
            yield self._group(fields, body, digest, changes=changes)

    def _next(self) -> tuple[tuple[Any, ...], bytes, bytes] | None:
        segment = self._opened()
        found = read_frame(segment, self.offset) or read_frame(segment, self.offset, fresh=True)
        if found is None:
            return None
        fields = found[0]
        if fields[1] != self.position + 1 or not fields[2]:
            raise self._damaged(f"a group from sequence {fields[1]} stands here")
        if fields[5] != self.digest:
            raise self._damaged("the group does not follow from the one before it")
        return found

    def _group(
        self, fields: tuple[Any, ...], body: bytes, digest: bytes, *, changes: bool
    ) -> Group:
        _, first, count, entries_bytes, changes_bytes, _, _, _ = fields
        group = Group(0, first)
        group.count = count
        group.last = first + count - 1
        group.entries = list(codec.unpack_value(body[:entries_bytes]))
        if len(group.entries) != count:
            raise self._damaged(f"the group holds {len(group.entries)} entries, not {count}")
        if changes:
            group.changes = codec.unpack_value(body[entries_bytes:])
        group.bytes = FRAME_BYTES_OVER + entries_bytes + changes_bytes
        group.digest = digest
        self.offset += group.bytes
        self.position = group.last
        self.digest = digest
        return group

    def _opened(self) -> Segment:
        if self._segment is None:
            raise RuntimeError("no segment is open")
        return self._segment

    def _open(self, found: tuple[int, Path]) -> None:
        first, path = found
        try:
            segment = Segment(path)
        except FileNotFoundError:
            # It was compressed since it was listed.
            segment = Segment(dict(segments(self._folder))[first])
        self.close()
        self._segment = segment
        self.offset = HEADER_BYTES
        self.epoch = segment.header.epoch

    def _enter(self, limit: int | None) -> bool:
        """Open the segment that holds the next entry and go to its place."""
        known = segments(self._folder)
        holding = [item for item in known if item[0] <= self.position + 1]
        if not holding:
            if known or limit:
                name = segment_name(self.position + 1)
                why = "the segment is missing"
                if known:
                    why += f" or was pruned: the journal begins with entry {known[0][0]}"
                raise JournalDamaged(name, 0, self.position + 1, why)
            return False
        wanted = self.position
        self._open(holding[-1])
        self.position = holding[-1][0] - 1
        self.digest = self._opened().header.before
        while self.position < wanted:
            found = self._next()
            if found is None:
                judge_tail(self._opened(), self.offset, self.position + 1)
                raise self._damaged(f"entries up to {wanted} are missing")
            fields = found[0]
            self.position += fields[2]
            self.digest = found[2]
            self.offset += FRAME_BYTES_OVER + fields[3] + fields[4]
        if self.position != wanted:
            raise self._damaged(f"no group ends at sequence {wanted}")
        self.started_digest = self.digest
        return True

    def _advance(self, limit: int | None) -> bool:
        """Where no frame stands: go to the next segment, or say that this is the end."""
        segment = self._opened()
        known = segments(self._folder)
        for first, path in known:
            if first == self.position + 1 and first != segment.header.first:
                self._open((first, path))
                if self._opened().header.before != self.digest:
                    raise self._damaged("the segment does not follow from the one before it")
                return True
        judge_tail(segment, self.offset, self.position + 1)
        if known and known[-1][0] > segment.header.first:
            raise self._damaged("a group or a segment is missing")
        if limit is not None:
            raise self._damaged(f"entries up to {limit} were durable and are not here")
        return False

    def _damaged(self, why: str) -> JournalDamaged:
        return JournalDamaged(self._opened().name, self.offset, self.position + 1, why)


def entries(folder: Path, first: int, last: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield sequence number and packed entry from `first` to `last`, or to the durable end."""
    known = [start for start, _ in segments(folder) if start <= first]
    if not known:
        return
    with Reader(folder, known[-1] - 1) as reader:
        for group in reader.groups(durable_end(folder), changes=False):
            if last is not None and group.first > last:
                return
            for sequence, packed in enumerate(group.entries, group.first):
                if sequence >= first and (last is None or sequence <= last):
                    yield sequence, packed


def chain_at(folder: Path, sequence: int) -> tuple[int, bytes]:
    """The chain's head at an entry: a note by which a journal that was cut or redone is found out.

    Args:
        folder: the book.
        sequence: sequence number of the entry; 0 for the beginning.

    Returns:
        Last sequence number and SHA-256 of the group that holds the entry.

    Raises:
        JournalDamaged: the journal ends before it, or begins behind it.
    """
    if not sequence:
        return 0, CHAIN_START
    known = [first for first, _ in segments(folder) if first <= sequence]
    if not known:
        raise JournalDamaged(
            segment_name(sequence), 0, sequence, "the segment is missing or was pruned"
        )
    end = durable_end(folder)
    with Reader(folder, known[-1] - 1) as reader:
        if end is None or end >= sequence:
            for group in reader.groups(end, changes=False):
                if group.last >= sequence:
                    return group.last, group.digest
        reached = reader.position if end is None else end
    raise JournalDamaged(
        segment_name(known[-1]), 0, reached + 1, f"the journal ends before entry {sequence}"
    )


def chain_note(sequence: int, chain: bytes) -> str:
    """The chain's head at an entry, as it is noted outside the journal: ``SEQ:HASH``."""
    return f"{sequence}:{chain.hex()}"


class Journal:
    """The writing end: recovers what is there, then appends one group at a time.

    `append` may run in a thread of its own; nothing else may run beside it. A daemon hands the
    writing over to a process (`hand_over`) and appends in two steps, `append_begin` and
    `append_end`.

    Attributes:
        last: sequence number of the last entry appended.
        digest: SHA-256 of the group that it ended.
        epoch: how many times this journal was opened.
        descriptor: of the segment in use.
        segment: first sequence number of the segment in use.
        spare_failed: True when the next segment could not be prepared.
    """

    def __init__(
        self, folder: Path, storage: Storage, *, segment_bytes: int, ahead: bool, shard: int = 0
    ) -> None:
        self._folder = folder / "journal"
        self._book = folder
        self._storage = storage
        self._shard = shard
        self._ahead = ahead
        self.descriptor = -1
        self._offset = 0
        self._capacity = 0
        self._mark = b""
        self._own = Spare(self._folder / "spare", storage, segment_bytes)
        self._spare: Spare | Syncer = self._own
        self._syncer: Syncer | None = None
        self.last = 0
        self.digest = CHAIN_START
        self.epoch = 0
        self.segment = 0

    def prepare_spare(self) -> None:
        """Try again to prepare the next segment, after it failed; not beside `append`."""
        self._spare.retry(self._offset)

    def hand_over(self, syncer: Syncer) -> None:
        """Have `syncer` write groups and prepare segments from now on."""
        self._own.stop()
        self._spare = self._syncer = syncer

    def take_back(self) -> None:
        """End the syncer; nothing may be on its way."""
        if self._syncer is not None:
            self._syncer.stop()
            self._spare, self._syncer = self._own, None

    @property
    def syncer_id(self) -> int:
        """Process number of the syncer; 0 without one."""
        return self._syncer.process_id if self._syncer is not None else 0

    @property
    def spare_failed(self) -> bool:
        """Whether the next segment could not be prepared, as on a full disk."""
        return self._spare.failed

    def recover(self) -> None:
        """Find the end, cut a torn frame, and write anew what may not be on disk.

        Only the last segment can hold a frame whose sync failed or was not awaited, unless it was
        closed in order, which leaves it exactly as long as its frames. It is copied under
        another name, synced, and renamed over itself, so that a crash at any point leaves
        either file whole under the segment's name.

        Raises:
            JournalDamaged: what stands there is not what an interrupted write leaves.
        """
        for leftover in self._folder.glob("*.tmp"):
            self._storage.remove(leftover)
        known = segments(self._book)
        if not known:
            return
        first, path = known[-1]
        with Reader(self._book, first - 1) as reader:
            for _ in reader.groups(None, changes=False):
                pass
            if not reader.digest:
                raise JournalDamaged(path.name, 0, first, "the segment cannot be entered")
            self.last, self.digest, self.epoch = reader.position, reader.digest, reader.epoch
            used = reader.offset
        if path.suffix == ".seg" and path.stat().st_size != used:
            self._rewrite(path, used)

    def _rewrite(self, path: Path, used: int) -> None:
        made = path.with_suffix(".tmp")
        target = self._storage.create(made)
        try:
            with path.open("rb", buffering=0) as source:
                offset = 0
                while offset < used:
                    piece = source.read(min(MEBIBYTE, used - offset))
                    self._storage.write(target, [piece], offset)
                    offset += len(piece)
            self._storage.sync(target)
        finally:
            self._storage.close(target)
        self._storage.rename(made, path)
        self._storage.sync_folder(self._folder)

    def begin(self) -> None:
        """Start a new epoch in a fresh segment."""
        self.epoch += 1
        self._begin_segment(0)

    def _begin_segment(self, frame_bytes: int) -> None:
        """Take the spare, give it header and name, and make both durable."""
        header = SegmentHeader(self._shard, self.epoch, self.last + 1, os.urandom(16), self.digest)
        spare = self._spare.take(HEADER_BYTES + frame_bytes + 1)
        descriptor = self._storage.open(spare)
        try:
            self._storage.write(descriptor, [header.packed], 0)
            self._storage.sync(descriptor)
            self._storage.rename(spare, self._folder / segment_name(header.first))
            self._storage.sync_folder(self._folder)
        except BaseException:
            self._storage.close(descriptor)
            raise
        self.descriptor, self._mark, self.segment = descriptor, header.mark, header.first
        self._offset = HEADER_BYTES
        self._capacity = os.fstat(descriptor).st_size

    def append(self, group: Group) -> None:
        """Make a group durable: one frame, one write, one sync.

        Raises:
            OSError: writing or syncing failed; whether the group is on disk is unknown.
            ValueError: a key is longer than the tables can hold; nothing was written.
        """
        parts, offset = self._frame(group)
        digest = digest_of(parts)
        self._storage.write(self.descriptor, [*parts, trailer(digest)], offset)
        self._storage.sync(self.descriptor)
        self.digest = group.digest = digest
        if self._ahead:
            self._spare.keep_up(self._offset)

    def append_begin(self, group: Group) -> None:
        """Ask the syncer to make a group durable, without waiting for the disk.

        Raises:
            OSError: the syncer is gone, or the next segment could not be begun.
            ValueError: see `append`.
        """
        parts, offset = self._frame(group)
        self._handed_to().request(self.descriptor, self.segment, parts, offset)

    def append_end(self, group: Group) -> None:
        """Take the syncer's answer: the group that it was asked for is durable when this returns.

        Raises:
            OSError: writing or syncing failed, or the syncer is gone; whether the group is on disk
                is unknown.
        """
        self.digest = group.digest = self._handed_to().result()

    def _handed_to(self) -> Syncer:
        if self._syncer is None:
            raise RuntimeError("the journal was not handed over to a syncer")
        return self._syncer

    def _frame(self, group: Group) -> tuple[list[bytes], int]:
        """The frame of a group but for its trailer, in parts, and where in the segment it belongs.

        Raises:
            OSError: the next segment could not be begun.
            ValueError: a key is longer than the tables can hold.
        """
        if max(map(len, group.changes), default=0) > KEY_BYTES_MAX:
            # Once in the journal it would stop every fold for ever.
            raise ValueError(f"a key of more than {KEY_BYTES_MAX} bytes was staged")
        entries_packed = pack(group.entries)
        changes_packed = pack(group.changes)
        length = FRAME_BYTES_OVER + len(entries_packed) + len(changes_packed)
        if self._offset + length >= self._capacity:
            # Never full to the last byte: a file as long as its frames means closed in order.
            self._roll(length)
        parts = frame_parts(self._mark, group, self.digest, entries_packed, changes_packed)
        offset = self._offset
        self._offset += length
        self.last = group.last
        group.bytes = length
        return parts, offset

    def _roll(self, frame_bytes: int) -> None:
        """Leave the full segment, all of which is on disk, and begin the next."""
        descriptor, self.descriptor = self.descriptor, -1
        self._storage.close(descriptor)
        self._begin_segment(frame_bytes)

    def _finish_segment(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        try:
            self._storage.truncate(descriptor, self._offset)
            self._storage.sync(descriptor)
        finally:
            self._storage.close(descriptor)

    def close(self, *, sound: bool) -> None:
        """Close the segment; only a `sound` one is cut to its length, as known to be on disk."""
        self.take_back()
        self._own.stop()
        if self.descriptor < 0:
            return
        if sound:
            self._finish_segment()
        else:
            descriptor, self.descriptor = self.descriptor, -1
            self._storage.close(descriptor)


def archive_closed(folder: Path, applied: int) -> list[Path]:
    """Compress the segments that lie wholly at or below the applied position.

    The segment in use and the newest closed one stay as they are. Readers go on reading either
    form; the plain file is removed after the compressed one is durable.

    Returns:
        The paths of the compressed segments made now.
    """
    made = []
    storage = Storage()
    known = segments(folder)
    for (_, path), (following, _) in pairwise(known):
        if path.suffix == ".xz" or following > applied + 1 or following == known[-1][0]:
            continue
        target = path.with_name(path.name + ".xz")
        unfinished = path.with_name(path.name + ".part")
        with path.open("rb") as source, unfinished.open("wb") as file:
            with lzma.LZMAFile(file, "wb", preset=0) as packed:
                shutil.copyfileobj(source, packed, MEBIBYTE)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
        storage.sync_folder(target.parent)
        path.unlink()
        made.append(target)
    return made
