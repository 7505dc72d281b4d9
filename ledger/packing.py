"""MessagePack written by compiled code, without a call to the library for each value.

The same bytes as `msgpack.Packer(use_bin_type=True)` gives, which is the oracle of the tests and
sees to what is rare. A record (a dataclass) is written as the array of its fields. To read the
library is faster than compiled code (0.46 against 0.76 microseconds for an entry).
"""

from __future__ import annotations

from typing import Any, Final

import msgpack
from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be

from ledger.model import values_of

_FIX: Final = 16
_FIX_TEXT: Final = 32
_BYTE: Final = 1 << 8
_SHORT: Final = 1 << 16
_WORD: Final = 1 << 32
_LONG: Final = 1 << 63

_NIL: Final = 0xC0
_FALSE: Final = 0xC2
_TRUE: Final = 0xC3
_BYTES: Final = 0xC4
_NUMBER: Final = 0xCC
"""An unsigned number of 8 bits; of 16, 32 and 64 the next three."""
_SIGNED: Final = 0xD0
"""The same, signed."""
_TEXT: Final = 0xD9
_ARRAY: Final = 0xDC
_MAP: Final = 0xDE
_FIX_MAP: Final = 0x80
_FIX_ARRAY: Final = 0x90
_FIX_STRING: Final = 0xA0


def pack(value: Any) -> bytes:
    """A value as MessagePack.

    Raises:
        TypeError: it holds what has no such form.
    """
    writer = BytesWriter()
    put(writer, value)
    return writer.getvalue()


def put(writer: BytesWriter, value: Any) -> None:
    """Write a value of any kind behind what was written."""
    if isinstance(value, str):
        put_text(writer, value)
    elif isinstance(value, bool):
        writer.append(_TRUE if value else _FALSE)
    elif isinstance(value, int):
        put_number(writer, value)
    elif isinstance(value, bytes):
        put_bytes(writer, value)
    elif isinstance(value, tuple):
        put_head(writer, len(value))
        for one in value:
            put(writer, one)
    elif value is None:
        writer.append(_NIL)
    elif isinstance(value, list):
        put_head(writer, len(value))
        for one in value:
            put(writer, one)
    elif isinstance(value, dict):
        _put_map(writer, value)
    elif isinstance(value, (float, bytearray, memoryview)):
        writer.write(msgpack.packb(value))
    else:
        put(writer, values_of(value))


def put_head(writer: BytesWriter, size: int) -> None:
    """Write what an array of so many values begins with."""
    if size < _FIX:
        writer.append(_FIX_ARRAY | size)
    else:
        _put_size(writer, _ARRAY, size)


def put_text(writer: BytesWriter, text: str) -> None:
    """Write a text."""
    data = text.encode("utf-8")
    size = len(data)
    if size < _FIX_TEXT:
        writer.append(_FIX_STRING | size)
    elif size < _BYTE:
        writer.append(_TEXT)
        writer.append(size)
    else:
        _put_size(writer, _TEXT + 1, size)
    writer.write(data)


def put_bytes(writer: BytesWriter, data: bytes) -> None:
    """Write bytes."""
    size = len(data)
    if size < _BYTE:
        writer.append(_BYTES)
        writer.append(size)
    else:
        _put_size(writer, _BYTES + 1, size)
    writer.write(data)


def put_number(writer: BytesWriter, number: int) -> None:
    """Write a whole number in its shortest form.

    Raises:
        OverflowError: it has more than 64 bits.
    """
    if number >= 0:
        if number < _BYTE:
            if number >= _BYTE >> 1:
                writer.append(_NUMBER)
            writer.append(number)
        elif number < _SHORT:
            writer.append(_NUMBER + 1)
            _put_short(writer, number)
        elif number < _WORD:
            writer.append(_NUMBER + 2)
            _put_word(writer, number)
        elif number < _LONG:
            writer.append(_NUMBER + 3)
            write_i64_be(writer, number)
        else:
            writer.write(msgpack.packb(number))
    elif number >= -_FIX_TEXT:
        writer.append(number + _BYTE)
    elif number >= -_BYTE >> 1:
        writer.append(_SIGNED)
        writer.append(number + _BYTE)
    elif number >= -_SHORT >> 1:
        writer.append(_SIGNED + 1)
        write_i16_be(writer, number)
    elif number >= -_WORD >> 1:
        writer.append(_SIGNED + 2)
        write_i32_be(writer, number)
    elif number >= -_LONG:
        writer.append(_SIGNED + 3)
        write_i64_be(writer, number)
    else:
        writer.write(msgpack.packb(number))


def _put_map(writer: BytesWriter, values: dict[Any, Any]) -> None:
    size = len(values)
    if size < _FIX:
        writer.append(_FIX_MAP | size)
    else:
        _put_size(writer, _MAP, size)
    for key, value in values.items():
        put(writer, key)
        put(writer, value)


def _put_size(writer: BytesWriter, short: int, size: int) -> None:
    """Write a length of 16 bits behind its kind, or one of 32 behind the next kind."""
    if size < _SHORT:
        writer.append(short)
        _put_short(writer, size)
    else:
        writer.append(short + 1)
        _put_word(writer, size)


def _put_short(writer: BytesWriter, number: int) -> None:
    """Write 16 bits; the writer takes them signed."""
    write_i16_be(writer, number if number < _SHORT >> 1 else number - _SHORT)


def _put_word(writer: BytesWriter, number: int) -> None:
    """Write 32 bits; the writer takes them signed."""
    write_i32_be(writer, number if number < _WORD >> 1 else number - _WORD)
