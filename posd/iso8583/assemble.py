"""Replies put together from fields that are bytes already.

Most of a reply repeats the request, or is a number that the host writes with a fixed width. To
encode such values again from text, checked, is what the codec does for messages of any content;
here the fields come as they go on the wire, length prefix included, and only head and order are
added. The codec is the oracle in the tests.

Whoever gives a field answers for its form. `variable` adds the length prefix of a value; `digits`
writes a number with leading zeros.
"""

from __future__ import annotations

from binascii import unhexlify
from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from posd.iso8583 import interpret
from posd.iso8583.message import Unencodable
from posd.iso8583.spec import FIELDS, MTI_BYTES

DIGITS_MAX: Final = 12

_LENGTHS: Final = tuple(bytes.fromhex(f"{length:04}") for length in range(1000))
_TENS: Final = tuple(10**width for width in range(DIGITS_MAX + 1))
_THREE: Final = [f"{number:03}" for number in range(1000)]
_THREE_BYTES: Final = [three.encode("ascii") for three in _THREE]
_KNOWN: Final = [number in FIELDS for number in range(65)]
"""Which numbers have a row in the field table."""
_NO_FIELDS: Final = bytes(8)
_AMOUNT: Final = 12


def assemble(mti: bytes, fields: list[bytes | None]) -> bytes:
    """A message from its type to its last field.

    Args:
        mti: message type, 2 bytes.
        fields: by number, to 64, as they go on the wire (`posd.iso8583.message.blank` makes
            room); an empty one is named in the bitmap and left to be added (the MAC, which is
            last).

    Raises:
        Unencodable: a number without a row in the field table.
    """
    writer = BytesWriter()
    writer.write(mti)
    writer.write(_NO_FIELDS)
    bit: i64 = 8 * MTI_BYTES - 1
    for number, value in enumerate(fields):
        if value is not None:
            if not _KNOWN[number]:
                raise Unencodable(f"field {number}: not in the field table")
            place = bit >> 3
            writer[place] = u8(i64(writer[place]) | 0x80 >> (bit & 7))
            writer.write(value)
        bit += 1
    return writer.getvalue()


def variable(value: bytes) -> bytes:
    """A value of a field with three digits of length (bytes or ASCII), behind its prefix.

    Raises:
        Unencodable: it is longer than any such field.
    """
    length = len(value)
    if length >= len(_LENGTHS):
        raise Unencodable("longer than 999")
    return _LENGTHS[length] + value


def packed(value: str) -> bytes:
    """A value of a field of digits with three digits of length, behind its prefix.

    Raises:
        Unencodable: it is longer than any such field.
    """
    length = len(value)
    if length >= len(_LENGTHS):
        raise Unencodable("longer than 999")
    return _LENGTHS[length] + unhexlify(value + "0" if length & 1 else value)


def digits(number: int, width: int) -> str:
    """A number not below zero with leading zeros; compiled, a format with a width is slow.

    Raises:
        Unencodable: it has more digits than that.
    """
    if number >= _TENS[width]:
        raise Unencodable(f"a number of more than {width} digits")
    if width == 6:  # noqa: PLR2004 - as below: the widths of nearly all
        return _THREE[number // 1000] + _THREE[number % 1000]
    if width == 12:  # noqa: PLR2004
        upper, lower = number // 1_000_000, number % 1_000_000
        left, right = _THREE[upper // 1000], _THREE[upper % 1000]
        return f"{left}{right}{_THREE[lower // 1000]}{_THREE[lower % 1000]}"
    return str(_TENS[width] + number)[1:]


def put_amount(writer: BytesWriter, amount: int) -> None:
    """Write an amount as `digits` tells it with twelve of them, in ASCII.

    Raises:
        Unencodable: it has more.
    """
    if amount >= _TENS[_AMOUNT]:
        raise Unencodable(f"a number of more than {_AMOUNT} digits")
    rest: i64 = amount
    writer.write(_THREE_BYTES[rest // 1_000_000_000])
    writer.write(_THREE_BYTES[rest // 1_000_000 % 1000])
    writer.write(_THREE_BYTES[rest // 1000 % 1000])
    writer.write(_THREE_BYTES[rest % 1000])


def field(number: int, value: str | bytes) -> bytes:
    """Any field as it goes on the wire, judged by the field table.

    Raises:
        Unencodable: the value does not fit.
    """
    row = FIELDS.get(number)
    if row is None:
        raise Unencodable(f"field {number}: not in the field table")
    return interpret.write_field(row, value)
