"""A backup's stream: named sections in pieces, each with its SHA-256, and one over everything.

It is written and read in one pass, to a file or a pipe, with one piece in memory at a time. Nothing
of it is believed before its checksum was seen: a section counts once it ended, the stream once its
end was read. FORMAT.md beside this file gives the bytes.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ledger.storage import MEBIBYTE

MAGIC = b"CFBACKUP"
FORMAT = 1
NAME_BYTES_MAX = 255
SECTIONS_MAX = 1_000_000
PIECE_BYTES_MAX = MEBIBYTE
"""Bytes of a piece before it is packed."""

_PACKED_BYTES_MAX = 2 * MEBIBYTE
_PREAMBLE = struct.Struct(">8sI")
_NAME = struct.Struct(">cH")
_PIECE = struct.Struct(">II")
_LAST = struct.Struct(">cI")
_SECTION = b"S"
_END = b"E"
_DIGEST_BYTES = 32


class StreamBroken(Exception):
    """A backup's stream is cut short, was altered, or is none; one sentence."""


class StreamWriter:
    """The writing end.

    Args:
        file: takes the bytes.
        look: called with the number of bytes that are about to be written; may raise.

    Attributes:
        bytes: how many were written.
    """

    def __init__(self, file: BinaryIO, look: Callable[[int], None] | None = None) -> None:
        self._file = file
        self._look = look
        self._whole = hashlib.sha256()
        self._section = hashlib.sha256()
        self._sections = 0
        self.bytes = 0
        self._write(_PREAMBLE.pack(MAGIC, FORMAT))

    def section(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a section; pieces of any size.

        Raises:
            OSError: the file did not take it.
        """
        label = name.encode()
        self._section = hashlib.sha256()
        self._write(_NAME.pack(_SECTION, len(label)) + label)
        for given in pieces:
            for start in range(0, len(given), PIECE_BYTES_MAX):
                piece = given[start : start + PIECE_BYTES_MAX]
                packed = lzma.compress(piece, preset=0)
                self._write(_PIECE.pack(len(piece), len(packed)) + packed)
        self._write(_PIECE.pack(0, 0))
        self._write(self._section.digest())
        self._sections += 1

    def finish(self) -> None:
        """Write the end; the stream is whole then."""
        self._write(_LAST.pack(_END, self._sections))
        self._write(self._whole.digest())

    def _write(self, data: bytes) -> None:
        if self._look is not None:
            self._look(len(data))
        self._file.write(data)
        self._whole.update(data)
        self._section.update(data)
        self.bytes += len(data)


class StreamReader:
    """The reading end: iterate over `sections`, and over the pieces of each, to their ends.

    Raises:
        StreamBroken: it is no such stream, or of a format that is not known here.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._whole = hashlib.sha256()
        self._section = hashlib.sha256()
        magic, layout = _PREAMBLE.unpack(self._take(_PREAMBLE.size))
        if magic != MAGIC:
            raise StreamBroken(f"{name} is not a backup: name a file that `backup` wrote")
        if layout != FORMAT:
            raise StreamBroken(
                f"{name} has format {layout}, which this version does not know: restore it with"
                " the version that wrote it, or a newer one"
            )

    def sections(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the name and pieces of each section; pieces left unread are read and checked.

        Raises:
            StreamBroken: see the class.
        """
        for number in range(SECTIONS_MAX):
            self._section = hashlib.sha256()
            kind = self._take(1)
            if kind == _END:
                self._finish(number)
                return
            if kind != _SECTION:
                raise self._altered()
            (size,) = struct.unpack(">H", self._take(2))
            if size > NAME_BYTES_MAX:
                raise self._altered()
            try:
                name = self._take(size).decode()
            except UnicodeDecodeError:
                raise self._altered() from None
            pieces = self._pieces()
            yield name, pieces
            for _ in pieces:
                pass
        raise self._altered()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            size, packed_size = _PIECE.unpack(self._take(_PIECE.size))
            if not size:
                break
            if size > PIECE_BYTES_MAX or packed_size > _PACKED_BYTES_MAX:
                raise self._altered()
            packed = self._take(packed_size)
            unpacker = lzma.LZMADecompressor(memlimit=256 * MEBIBYTE)
            try:
                piece = unpacker.decompress(packed, size + 1)
            except lzma.LZMAError:
                raise self._altered() from None
            if len(piece) != size:
                raise self._altered()
            yield piece
        digest = self._section.digest()
        if self._take(_DIGEST_BYTES) != digest:
            raise self._altered()

    def _finish(self, sections: int) -> None:
        if struct.unpack(">I", self._take(4))[0] != sections:
            raise self._altered()
        digest = self._whole.digest()
        if self._take(_DIGEST_BYTES) != digest or self._file.read(1):
            raise self._altered()

    def _take(self, size: int) -> bytes:
        parts: list[bytes] = []
        left = size
        while left:
            part = self._file.read(left)
            if not part:
                raise StreamBroken(
                    f"{self._name} is cut short: fetch the whole of it, or use another backup"
                )
            parts.append(part)
            left -= len(part)
        data = b"".join(parts)
        self._whole.update(data)
        self._section.update(data)
        return data

    def _altered(self) -> StreamBroken:
        return StreamBroken(f"{self._name} was altered or is damaged: use another backup")
