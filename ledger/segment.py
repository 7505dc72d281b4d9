"""A segment of the journal, byte by byte: its header, its frames, and what its end may look like.

A segment is a file of fixed size, filled with zeros and synced before its first use, so that
appending changes no metadata. Its first block is a header; frames follow without gaps. A *frame*
is one group: a header with a checksum of its own, the entries, the map of changed rows, and the
SHA-256 over all of it, which is both checksum and link, since the next frame repeats it. FORMAT.md
beside this file gives the offsets.

Where frames stop, the rest is judged (`judge_tail`). A *tear*, which a write cut short leaves
behind, has some part as small as a sector that is still zero. A frame all of whose sectors
arrived and whose checksum is wrong, or a whole frame behind a bad one, is damage. The mark at the
head of each frame is derived from a salt in the segment's header, so that no text in an entry can
pass for a frame.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ledger.storage import MEBIBYTE

FORMAT = 1
MAGIC = b"CFJOURNL"
HEADER_BYTES = 4096
CHAIN_START = bytes(32)
SECTOR = 512

_HEADER = struct.Struct(">8sIIQQ16s32s")
_FRAME = struct.Struct(">8sQIII32sIB")
_CHECKED = struct.Struct(">8sQIII32s")
_CHECK = struct.Struct(">IB")
_END = 0xA5
_END_BYTE = bytes((_END,))
_TRAILER_BYTES = 33
_MARK_FIRST = b"\xc5"
_WINDOW = MEBIBYTE
_NAME = re.compile(r"(\d{20})\.seg(\.xz)?")
FRAME_BYTES_OVER = _FRAME.size + _TRAILER_BYTES
"""Bytes of a frame besides its entries and its map."""


class JournalDamaged(Exception):
    """The journal is not what was written, in a way that no interrupted write explains."""

    def __init__(self, segment: str, offset: int, sequence: int, why: str) -> None:
        super().__init__(
            f"journal segment {segment} is damaged at byte {offset}, where sequence {sequence} "
            f"should stand: {why}; restore it from a backup or a standby"
        )
        self.segment, self.offset, self.sequence = segment, offset, sequence


class Group:
    """Entries that become durable together.

    Attributes:
        number: place in the row of groups since the book was opened; 0 when read from a file.
        first, last: sequence numbers of its entries.
        count: how many entries.
        entries: the packed entries.
        changes: key to packed row, bare int (a balance) or None (a row removed).
        rows: the same keys with decoded record, int or None, once sealed in this process.
        bytes: size of its frame, once written.
        write_ns: time that writing and syncing took, nanoseconds.
        digest: SHA-256 of the frame, the link that the next one repeats.
    """

    __slots__ = (
        "bytes",
        "changes",
        "count",
        "digest",
        "entries",
        "first",
        "last",
        "number",
        "rows",
        "write_ns",
    )

    def __init__(self, number: int, first: int) -> None:
        self.number = number
        self.first = first
        self.last = first - 1
        self.count = 0
        self.entries: list[bytes] = []
        self.changes: dict[bytes, bytes | int | None] = {}
        self.rows: list[tuple[bytes, Any]] = []
        self.bytes = 0
        self.write_ns = 0
        self.digest = b""


class SegmentHeader:
    """What the first block of a segment says.

    Attributes:
        shard: number of the shard that wrote it.
        epoch: how many times the book had been opened.
        first: sequence number of its first entry.
        salt: random bytes that make its frame mark unforgeable.
        before: SHA-256 of the frame before its first.
    """

    __slots__ = ("before", "epoch", "first", "mark", "packed", "salt", "shard")

    def __init__(self, shard: int, epoch: int, first: int, salt: bytes, before: bytes) -> None:
        self.shard, self.epoch, self.first = shard, epoch, first
        self.salt, self.before = salt, before
        fields = _HEADER.pack(MAGIC, FORMAT, shard, epoch, first, salt, before)
        checksum = hashlib.sha256(fields).digest()
        self.packed = (fields + checksum).ljust(HEADER_BYTES, b"\0")
        self.mark = _MARK_FIRST + checksum[:7]

    @classmethod
    def parse(cls, name: str, data: bytes) -> SegmentHeader:
        """Read a segment's first block.

        Raises:
            JournalDamaged: it is not a header of this format, or not the one that was written.
        """
        first = int(name[:20])
        fields, rest = data[: _HEADER.size], data[_HEADER.size :]
        if len(fields) < _HEADER.size or hashlib.sha256(fields).digest() != rest[:32]:
            raise JournalDamaged(name, 0, first, "its header does not match its checksum")
        magic, layout, shard, epoch, told, salt, before = _HEADER.unpack(fields)
        if magic != MAGIC or layout != FORMAT:
            raise JournalDamaged(name, 0, first, f"its format {layout} is not known here")
        if told != first:
            raise JournalDamaged(name, 0, first, f"its header says {told}")
        return cls(shard, epoch, first, salt, before)


def segment_name(first: int) -> str:
    """File name of the segment whose first entry has this sequence number."""
    return f"{first:020d}.seg"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """First sequence numbers and paths of the segments, ascending.

    A segment that is there both plain and compressed is listed plain.
    """
    found: dict[int, Path] = {}
    for path in sorted((folder / "journal").iterdir()):
        matched = _NAME.fullmatch(path.name)
        if matched:
            found.setdefault(int(matched[1]), path)
    return sorted(found.items())


class Segment:
    """An open segment: its header, and reads of its bytes through a window.

    Raises:
        JournalDamaged: its header is not right.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._packed = path.suffix == ".xz"
        # The file stays open as long as the segment does; `close` closes it.
        opener: Any = lzma.open if self._packed else partial(open, buffering=0)
        self._file: BinaryIO = opener(path, "rb")
        self._window = b""
        self._at = 0
        self._ended = False
        try:
            self.header = SegmentHeader.parse(self.name, self.read(0, HEADER_BYTES))
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, length: int, *, fresh: bool = False) -> bytes:
        """Bytes at `offset`, fewer at the end of the file; `fresh` asks the file again."""
        start = offset - self._at
        if self._packed and self._ended and start >= 0:
            return self._window[start : start + length]
        if fresh or start < 0 or start + length > len(self._window):
            size = max(length, _WINDOW)
            if self._packed:
                self._window = self._unpack(offset, size)
                self._ended = len(self._window) < size
            else:
                self._window = os.pread(self._file.fileno(), size, offset)
            self._at, start = offset, 0
        return self._window[start : start + length]

    def _unpack(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except (OSError, EOFError, lzma.LZMAError) as error:
            first = int(self.name[:20])
            raise JournalDamaged(self.name, offset, first, "it cannot be unpacked") from error

    def rest(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """The bytes from `offset` to the end of the file, in pieces with their offsets."""
        while piece := self.read(offset, _WINDOW, fresh=True):
            yield offset, piece
            offset += len(piece)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _fields(segment: Segment, offset: int, *, fresh: bool) -> tuple[Any, ...] | None:
    head = segment.read(offset, _FRAME.size, fresh=fresh)
    if len(head) < _FRAME.size or head[:8] != segment.header.mark or head[-1] != _END:
        return None
    fields = _FRAME.unpack(head)
    return fields if zlib.crc32(head[: _CHECKED.size]) == fields[6] else None


def read_frame(
    segment: Segment, offset: int, *, fresh: bool = False
) -> tuple[tuple[Any, ...], bytes, bytes] | None:
    """The fields, body and digest of a whole and sound frame at `offset`, else None."""
    fields = _fields(segment, offset, fresh=fresh)
    if fields is None:
        return None
    length = fields[3] + fields[4]
    data = segment.read(offset, FRAME_BYTES_OVER + length)
    if len(data) < FRAME_BYTES_OVER + length or data[-1] != _END:
        return None
    digest = hashlib.sha256(memoryview(data)[:-_TRAILER_BYTES]).digest()
    if data[-_TRAILER_BYTES:-1] != digest:
        return None
    return fields, data[_FRAME.size : -_TRAILER_BYTES], digest


def judge_tail(segment: Segment, offset: int, sequence: int) -> None:
    """Decide whether the bytes from `offset` on are what an interrupted last write can leave.

    Raises:
        JournalDamaged: a whole frame stands further on, or the frame here has all its sectors
            and is wrong.
    """
    if any(
        read_frame(segment, place, fresh=True) is not None for place in _marks(segment, offset + 1)
    ):
        raise JournalDamaged(
            segment.name, offset, sequence, "a sound group stands behind a bad one"
        )
    head = segment.read(offset, _FRAME.size, fresh=True)
    if len(head) < _FRAME.size or not head[0] or not head[-1]:
        return
    fields = _fields(segment, offset, fresh=True)
    if fields is None:
        raise JournalDamaged(segment.name, offset, sequence, "a group's header is wrong")
    length = FRAME_BYTES_OVER + fields[3] + fields[4]
    data = segment.read(offset, length, fresh=True)
    if len(data) < length or not data[-1]:
        return
    start = 0
    while start < length:
        stop = min(length, start + SECTOR - (offset + start) % SECTOR)
        if not data[start:stop].strip(b"\0"):
            return
        start = stop
    raise JournalDamaged(segment.name, offset, sequence, "a group does not match its checksum")


def _marks(segment: Segment, offset: int) -> Iterator[int]:
    """Places at which the segment's frame mark stands, from `offset` on."""
    mark = segment.header.mark
    keep = b""
    for at, piece in segment.rest(offset):
        data = keep + piece
        base = at - len(keep)
        found = data.find(mark)
        while found >= 0:
            yield base + found
            found = data.find(mark, found + 1)
        keep = data[-len(mark) + 1 :]


def frame_parts(
    mark: bytes, group: Group, before: bytes, entries: bytes, changes: bytes
) -> list[bytes]:
    """A group's frame in pieces, to be written one after another, but for its `trailer`."""
    fields = _CHECKED.pack(mark, group.first, group.count, len(entries), len(changes), before)
    return [fields + _CHECK.pack(zlib.crc32(fields), _END), entries, changes]


def trailer(digest: bytes) -> bytes:
    """The end of a frame: the SHA-256 of all that stands before it."""
    return digest + _END_BYTE


def digest_of(parts: Sequence[bytes]) -> bytes:
    """The SHA-256 of a frame's pieces: its checksum, and the link that the next one repeats."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.digest()
