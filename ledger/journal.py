"""The journal: segments of framed groups, the point at which a posting becomes durable.

A *group* is the entries that came in while the group before was made durable, with one map of the
rows that they changed, key to last value: one write and one fdatasync (`Journal.append`). The next
segment is made ahead of need by a thread. `ledger.segment` has the bytes.

Reading (`Reader`, `read_groups`, `entries`) goes beside a running writer without its help but for
one number: the writer shares the last durable sequence number in a file that it maps
(`DurableMark`), and readers stop there, because a frame that reads well may not be on disk.
Anything that no interrupted last write explains raises `JournalDamaged`, and nothing is guessed.
"""

from __future__ import annotations

import lzma
import mmap
import os
import shutil
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from ledger import codec
from ledger.segment import (
    CHAIN_START,
    FRAME_BYTES_OVER,
    HEADER_BYTES,
    Group,
    JournalDamaged,
    Segment,
    SegmentHeader,
    frame_parts,
    judge_tail,
    read_frame,
    segment_name,
    segments,
)
from ledger.storage import MEBIBYTE, Lock, Storage

KEY_BYTES_MAX = 511
"""What LMDB takes as a key."""

_PIECE = MEBIBYTE
_ZEROS = bytes(_PIECE)


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
    if not Lock(folder / "lock").is_held():
        return None
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


def read_groups(folder: Path, after: int = 0, *, changes: bool = True) -> Iterator[Group]:
    """Yield the groups behind sequence number `after`, which ends a group, to the durable end.

    Raises:
        JournalDamaged: see the module.
    """
    with Reader(folder, after) as reader:
        yield from reader.groups(durable_end(folder), changes=changes)


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


class Journal:
    """The writing end: recovers what is there, then appends one group at a time.

    `append` may run in a thread of its own; nothing else may run beside it.

    Attributes:
        last: sequence number of the last entry appended.
        digest: SHA-256 of the group that it ended.
        epoch: how many times this journal was opened.
        descriptor: of the segment in use, for whoever syncs it.
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
        self._pack = codec.packer()
        self.descriptor = -1
        self._offset = 0
        self._capacity = 0
        self._mark = b""
        self._spare = _Spare(self._folder / "spare", storage, segment_bytes)
        self.last = 0
        self.digest = CHAIN_START
        self.epoch = 0
        self.segment = 0

    def prepare_spare(self) -> None:
        """Try again to prepare the next segment, after it failed; not beside `append`."""
        self._spare.retry(self._offset)

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
        self.write(group)
        self._storage.sync(self.descriptor)

    def write(self, group: Group) -> None:
        """Write a group's frame; it is durable once `descriptor` was synced after it.

        Raises:
            OSError: writing failed; whether the group is on disk is unknown.
            ValueError: a key is longer than the tables can hold; nothing was written.
        """
        if max(map(len, group.changes), default=0) > KEY_BYTES_MAX:
            # Once in the journal it would stop every fold for ever.
            raise ValueError(f"a key of more than {KEY_BYTES_MAX} bytes was staged")
        entries_packed = self._pack(group.entries)
        changes_packed = self._pack(group.changes)
        length = FRAME_BYTES_OVER + len(entries_packed) + len(changes_packed)
        if self._offset + length >= self._capacity:
            # Never full to the last byte: a file as long as its frames means closed in order.
            self._roll(length)
        parts, digest = frame_parts(self._mark, group, self.digest, entries_packed, changes_packed)
        self._storage.write(self.descriptor, parts, self._offset)
        self._offset += length
        self.digest = group.digest = digest
        self.last = group.last
        group.bytes = length
        if self._ahead:
            self._spare.keep_up(self._offset)

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
        self._spare.stop()
        if self.descriptor < 0:
            return
        if sound:
            self._finish_segment()
        else:
            descriptor, self.descriptor = self.descriptor, -1
            self._storage.close(descriptor)


class _Spare:
    """The next segment, filled with zeros ahead of need at the pace of the one in use.

    A thread writes a piece whenever the segment in use has grown, twice as much as was appended,
    so that filling is spread over the segment's life and done in its first half.
    """

    def __init__(self, path: Path, storage: Storage, size: int) -> None:
        self._path = path
        self._storage = storage
        self._size = size
        self._used = 0
        self._hurried = True
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.failed = False

    def keep_up(self, used: int) -> None:
        """Tell how far the segment in use is; starts the filling where it is time."""
        if used - self._used < _PIECE // 2 and used >= self._used:
            return
        self._used = used
        filling = self._thread is not None and self._thread.is_alive()
        if not filling and not self._path.exists():
            self._stopping = self._hurried = False
            self._thread = threading.Thread(target=self._fill_ahead, daemon=True)
            self._thread.start()
        self._wake.set()

    def retry(self, used: int) -> None:
        """Begin filling again where it had failed."""
        if self.failed:
            self.failed = False
            self._used = 0
            self.keep_up(max(used, _PIECE))

    def take(self, size: int) -> Path:
        """A file of at least `size` zero bytes, synced, that nobody else has.

        Raises:
            OSError: it could not be made.
        """
        self.stop(hurry=True)
        size = max(size, self._size)
        if not self._path.exists() or self._path.stat().st_size < size:
            for _ in self._fill(size):
                pass
        self._used = 0
        return self._path

    def stop(self, *, hurry: bool = False) -> None:
        """End the thread: at once, or after it has filled the file without pauses."""
        thread, self._thread = self._thread, None
        self._hurried = hurry
        if thread is None:
            return
        if hurry:
            self._used = self._size
        else:
            self._stopping = True
        self._wake.set()
        thread.join()

    def _fill_ahead(self) -> None:
        try:
            for filled in self._fill(self._size):
                while filled > 2 * self._used and not self._stopping:
                    self._wake.wait()
                    self._wake.clear()
                if self._stopping:
                    return
            self.failed = False
        except OSError:
            # Nothing of value was in it; the disk counts as low until a spare can be made.
            self.failed = True

    def _fill(self, size: int) -> Iterator[int]:
        """Make the file in pieces under a temporary name; yields bytes filled so far."""
        made = self._path.with_suffix(".tmp")
        descriptor = self._storage.create(made)
        try:
            for offset in range(0, size, _PIECE):
                piece = _ZEROS[: min(_PIECE, size - offset)]
                self._storage.write(descriptor, [piece], offset)
                if not self._hurried:
                    # Little by little, so that the one in use never waits for a mountain.
                    self._storage.sync(descriptor)
                yield offset + len(piece)
            self._storage.sync(descriptor)
        except (OSError, GeneratorExit):
            # Half of it is of no use, and its room may be what is missing.
            made.unlink(missing_ok=True)
            raise
        finally:
            self._storage.close(descriptor)
        self._storage.rename(made, self._path)
        self._storage.sync_folder(self._path.parent)


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
