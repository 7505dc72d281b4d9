"""The plain codec: field by field, straight from the table.

It answers for the bitmaps that were never compiled, names the fault when a compiled codec refuses,
gives `describe` the position of every field, and is the oracle that the compiled codec is tested
against. It is written to be read, not to be fast. What is judged and what is not is written at the
head of `decoding`, since both forms answer alike.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from posd.iso8583.message import Message, Undecodable, Unencodable, blank
from posd.iso8583.spec import (
    BITMAP_BYTES,
    ECHOED,
    FIELDS,
    HIGHEST_FIELD,
    MTI_BYTES,
    SECONDARY_BITMAP,
    Field,
)

_DIGITS = frozenset("0123456789")
_TRACK = frozenset("0123456789ABCDEF")
_ODD_FILL = {"n": "0", "z": "F"}


class Head(NamedTuple):
    """Message type and bitmap of a message.

    Attributes:
        mti: Four digits.
        numbers: Fields that follow, ascending; not yet judged against the table.
        end: Offset in bytes of the first field.
    """

    mti: str
    numbers: list[int]
    end: int


class Element(NamedTuple):
    """One field as it stands in a message: bytes `start` to `end`, the length prefix included."""

    field: Field
    start: int
    end: int
    value: str | bytes


def read_head(data: bytes) -> Head:
    """Read message type and bitmap.

    Raises:
        Undecodable: Too short, or a nibble of the message type above 9.
    """
    end = MTI_BYTES + BITMAP_BYTES
    if len(data) < end:
        raise Undecodable("message ends before its bitmap does")
    mti = data[:MTI_BYTES].hex()
    if not _DIGITS.issuperset(mti):
        raise Undecodable("message type: nibble above 9")
    if data[MTI_BYTES] & 0x80:
        end += BITMAP_BYTES
        if len(data) < end:
            raise Undecodable("message ends before its secondary bitmap does")
    return Head(mti, bits_of(data[MTI_BYTES:end]), end)


def bits_of(bitmap: bytes) -> list[int]:
    """Return the field numbers of an 8- or 16-byte bitmap, ascending, without bit 1."""
    width = len(bitmap) * 8
    mask = int.from_bytes(bitmap, "big")
    return [n for n in range(SECONDARY_BITMAP + 1, width + 1) if mask >> (width - n) & 1]


def bitmap_of(numbers: list[int]) -> bytes:
    """Return the bitmap that names these fields: 16 bytes if one is above 64, else 8.

    Raises:
        Unencodable: A number without a row in the field table.
    """
    for number in numbers:
        if number not in FIELDS:
            raise Unencodable(f"field {number}: not in the field table")
    width = BITMAP_BYTES * 8
    mask = 0
    if any(number > width for number in numbers):
        width = HIGHEST_FIELD
        mask = 1 << (width - SECONDARY_BITMAP)
    for number in numbers:
        mask |= 1 << (width - number)
    return mask.to_bytes(width // 8, "big")


def read_fields(data: bytes, head: Head) -> Iterator[Element]:
    """Yield the fields one by one as they stand in the message, and judge its end.

    Raises:
        Undecodable: At the first field that cannot be read; those before it were yielded.
    """
    position = head.end
    for number in head.numbers:
        field = FIELDS.get(number)
        if field is None:
            raise Undecodable(f"field {number}: not in the field table")
        length, start = _read_length(field, data, position)
        end = start + field.width(length)
        if end > len(data):
            raise Undecodable(f"field {number}: longer than the message")
        yield Element(field, position, end, _read_value(field, data[start:end], length))
        position = end
    if position != len(data):
        raise Undecodable("bytes after the last field")


def decode(data: bytes) -> Message:
    """Decode a message, from its type on, MAC field included.

    Raises:
        Undecodable: The bytes break a rule of section 2.
    """
    head = read_head(data)
    elements = list(read_fields(data, head))
    raw = blank()
    for element in elements:
        if element.field.number in ECHOED:
            raw[element.field.number] = data[element.start : element.end]
    fields = {element.field.number: element.value for element in elements}
    return Message(head.mti, fields, raw, data[MTI_BYTES : head.end])


def encode(mti: str, fields: Mapping[int, str | bytes]) -> bytes:
    """Encode a message, from its type to the last field given.

    Raises:
        Unencodable: A value does not fit its field, or a field has no row in the table.
    """
    if not isinstance(mti, str) or len(mti) != MTI_BYTES * 2 or not _DIGITS.issuperset(mti):
        raise Unencodable("message type: not four digits")
    numbers = sorted(fields)
    parts = [bytes.fromhex(mti), bitmap_of(numbers)]
    parts.extend(write_field(FIELDS[number], fields[number]) for number in numbers)
    return b"".join(parts)


def _read_length(field: Field, data: bytes, position: int) -> tuple[int, int]:
    """Return the length of a field's value and the offset where that value begins."""
    if not field.prefix:
        return field.length, position
    start = position + field.prefix_bytes
    digits = data[position:start].hex()
    if start > len(data):
        raise Undecodable(f"field {field.number}: message ends within its length")
    if not _DIGITS.issuperset(digits):
        raise Undecodable(f"field {field.number}: nibble above 9 in its length")
    length = int(digits)
    if length > field.length:
        raise Undecodable(f"field {field.number}: length above the maximum of {field.length}")
    return length, start


def _read_value(field: Field, raw: bytes, length: int) -> str | bytes:
    content = field.content
    if content == "bytes":
        return raw
    if content == "text":
        text = raw.decode("latin-1")
        if not (text.isascii() and text.isprintable()):
            raise Undecodable(f"field {field.number}: not printable ASCII")
        return text
    nibbles = raw.hex().upper()
    if content == "digits" and not _DIGITS.issuperset(nibbles):
        raise Undecodable(f"field {field.number}: nibble above 9")
    fills_left = not field.prefix and field.justify == "right"
    return nibbles[len(nibbles) - length :] if fills_left else nibbles[:length]


def write_field(field: Field, value: str | bytes) -> bytes:
    """Return one field as it goes on the wire, the length prefix included.

    Raises:
        Unencodable: The value does not fit the field.
    """
    content = field.content
    if content == "bytes":
        if not isinstance(value, bytes | bytearray | memoryview):
            raise Unencodable(f"field {field.number}: wants bytes")
        raw = value
    else:
        if not isinstance(value, str):
            raise Unencodable(f"field {field.number}: wants text")
        raw = _write_text(field, value) if content == "text" else _write_nibbles(field, value)
    if not field.prefix:
        if len(raw) != field.width(field.length):
            raise Unencodable(f"field {field.number}: not of length {field.length}")
        return raw
    if len(value) > field.length:
        raise Unencodable(f"field {field.number}: longer than {field.length}")
    return bytes.fromhex(f"{len(value):0{field.prefix_bytes * 2}}") + raw


def _write_text(field: Field, value: str) -> bytes:
    if not (value.isascii() and value.isprintable()):
        raise Unencodable(f"field {field.number}: not printable ASCII")
    pads = field.kind == "ans" and not field.prefix
    return (value.ljust(field.length) if pads else value).encode("ascii")


def _write_nibbles(field: Field, value: str) -> bytes:
    alphabet = _DIGITS if field.content == "digits" else _TRACK
    if not alphabet.issuperset(value):
        raise Unencodable(f"field {field.number}: character that the field cannot carry")
    if not field.prefix and len(value) != field.length:
        raise Unencodable(f"field {field.number}: not of length {field.length}")
    if len(value) % 2:
        fills_left = not field.prefix and field.justify == "right"
        value = f"0{value}" if fills_left else f"{value}{_ODD_FILL[field.kind]}"
    return bytes.fromhex(value)
