"""Decoders: what a bitmap says about a message, worked out once and then carried out compiled.

How it works
    The first message with a given bitmap is answered by the interpreter. If that succeeded, a
    decoder for exactly this bitmap is made of the field table and kept; the next message finds it
    by the bitmap's bytes. At most `COMPILED_MAX` are kept and none is ever replaced; beyond that
    the interpreter goes on answering, so a hostile peer can make the host keep no more than that.

    A decoder is a list of steps, one for each field, and reads values only. The message is turned
    into hex digits as a whole; digits that neighbouring fields hold are judged in one piece.
    Lengths come from tables in which an impossible prefix is larger than any maximum. A length that
    reaches too far is found by one comparison of the end of the last field with the end of the
    message. When anything is wrong the decoder gives up, and the interpreter is asked again to name
    the fault.

What is judged
    Not decodable is what section 2 calls so: a nibble above 9 in a digits field (its filler
    included), in a length or in the message type; a length above the maximum or beyond the message;
    bytes after the last field; a bit without a row. Also an identifier (`an`, fixed `ans`) that is
    not printable ASCII, since it could neither be shown nor echoed.

    Not judged, because the page does not: which message type it is; whether filler digits are
    zero, and the filler nibble of track data; which of the sixteen track characters (ISO 7813: `0`
    to `?`) are used; spaces and signs within `an` (firmware sends a blank field 38); a secondary
    bitmap that names nothing; field 64 beside a secondary bitmap; variable fields of length zero.
"""

from __future__ import annotations

from binascii import hexlify
from typing import TYPE_CHECKING, Any, Final

from posd.iso8583 import interpret
from posd.iso8583.message import Message, blank
from posd.iso8583.spec import ECHOED, FIELDS, MTI_BYTES, Field

if TYPE_CHECKING:
    from mypy_extensions import i64

COMPILED_MAX: Final = 256
"""Decoders that are kept at most."""

_DIGITS: Final = 0
_TEXT: Final = 1
_BYTES: Final = 2
_TRACK: Final = 3
_CONTENTS: Final = {"digits": _DIGITS, "text": _TEXT, "bytes": _BYTES, "track": _TRACK}

_BEYOND: Final = 10_000
"""Stands for a length that is no BCD number: above every maximum."""


def _bcd(byte: int) -> int:
    high, low = byte >> 4, byte & 15
    return high * 10 + low if high <= 9 and low <= 9 else _BEYOND  # noqa: PLR2004 - digits


_BCD: Final = [_bcd(byte) for byte in range(256)]
_HUNDREDS: Final = [_bcd(byte) * 100 for byte in range(256)]


class _Step:
    """What is to be done for one field.

    Attributes:
        number: of the field.
        content: what a value is made of, as a number.
        prefix: bytes of the length prefix.
        length: exact length of a fixed field, the maximum of a variable one, as the table has it.
        width: bytes of a fixed field.
        packed: whether a length counts nibbles.
        lead: nibbles of filler before the digits.
        judged: bytes of digits to judge from here on, those of fixed fields that follow included;
            0 where a field before has seen to it.
        echoed: whether its bytes are kept as they came.
    """

    __slots__ = (
        "content",
        "echoed",
        "judged",
        "lead",
        "length",
        "number",
        "packed",
        "prefix",
        "width",
    )

    def __init__(self, field: Field) -> None:
        self.number = field.number
        self.content = _CONTENTS[field.content]
        self.prefix = field.prefix_bytes
        self.length = field.length
        self.packed = field.packed
        self.width = 0 if field.prefix else field.width(field.length)
        odd = self.packed and not field.prefix and field.justify == "right"
        self.lead = 2 * self.width - field.length if odd else 0
        self.judged = self.width if self.content == _DIGITS else 0
        self.echoed = field.number in ECHOED


def _steps(bitmap: bytes) -> list[_Step]:
    """The steps for a bitmap.

    Raises:
        KeyError: it names a field that has no row.
    """
    steps: list[_Step] = []
    first: _Step | None = None  # of neighbouring fixed fields of digits
    for number in interpret.bits_of(bitmap):
        step = _Step(FIELDS[number])
        steps.append(step)
        if step.prefix or step.content != _DIGITS:
            first = None
        elif first is None:
            first = step
        else:
            first.judged += step.width
            step.judged = 0
    return steps


class Decoder:
    """Reads the messages of one bitmap.

    Args:
        bitmap: 8 or 16 bytes.

    Raises:
        KeyError: it names a field that has no row.
    """

    __slots__ = ("_bitmap", "_fields", "_start", "_steps")

    def __init__(self, bitmap: bytes) -> None:
        self._bitmap = bitmap
        self._start = MTI_BYTES + len(bitmap)
        self._steps = _steps(bitmap)
        # To copy it, and set what is there, costs less than to let a new one grow.
        self._fields: dict[int, Any] = {step.number: None for step in self._steps}

    def read(self, data: bytes) -> Message | None:
        """The message; None, or an error of `REFUSALS`, where the interpreter would refuse."""
        nibbles = hexlify(data).decode("ascii")
        fields = self._fields.copy()
        raw = blank()
        if not _are_digits(data, 0, MTI_BYTES):
            return None
        at = self._start
        for step in self._steps:
            place = at
            length = step.length
            end = at + step.width
            if step.prefix:
                told = _BCD[data[at]]
                if step.prefix > 1:
                    told = _HUNDREDS[data[at]] + _BCD[data[at + 1]]
                if told > length:
                    return None
                length = told
                at += step.prefix
                end = at + (length + 1 >> 1 if step.packed else length)
            if step.content == _DIGITS:
                first = 2 * at + step.lead
                fields[step.number] = nibbles[first : first + length]
                if not _are_digits(data, at, end if step.prefix else at + step.judged):
                    return None
            elif step.content == _TEXT:
                if not _is_printable(data, at, end):
                    return None
                fields[step.number] = data[at:end].decode("ascii")
            elif step.content == _BYTES:
                fields[step.number] = data[at:end]
            else:
                fields[step.number] = nibbles[2 * at : 2 * at + length].upper()
            if step.echoed:
                raw[step.number] = data[place:end]
            at = end
        if at != len(data):
            return None
        return Message(nibbles[:4], fields, raw, self._bitmap)


def _are_digits(data: bytes, place: i64, end: i64) -> bool:
    """Whether bytes hold two digits each."""
    while place < end:
        byte: i64 = data[place]
        if byte > 0x99 or byte & 15 > 9:  # noqa: PLR2004 - digits
            return False
        place += 1
    return True


def _is_printable(data: bytes, place: i64, end: i64) -> bool:
    """Whether bytes are printable ASCII."""
    while place < end:
        byte: i64 = data[place]
        if byte < 0x20 or byte > 0x7E:  # noqa: PLR2004 - space and tilde
            return False
        place += 1
    return True


REFUSALS: Final = (IndexError, ValueError)


class Decoders:
    """Decodes messages; holds the decoders of bitmaps that have occurred, to `COMPILED_MAX`."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Decoder] = {}

    def decode(self, data: bytes) -> Message:
        """Decode a message, from its type on, MAC field included.

        Raises:
            Undecodable: The bytes break a rule of section 2; no other error is ever raised.
        """
        # A bitmap of eight bytes and one of sixteen are never the start of one another: bit 1 says
        # which it is. So both can be looked up in one table, the common one first.
        decoder = self._known.get(data[2:10])
        if decoder is None:
            decoder = self._known.get(data[2:18])
        if decoder is not None:
            try:
                message = decoder.read(data)
            except REFUSALS:
                message = None
            if message is not None:
                return message
        return self._interpret(data)

    def _interpret(self, data: bytes) -> Message:
        """Decode without a decoder, and make one if there is room."""
        message = interpret.decode(data)
        bitmap = data[MTI_BYTES : interpret.read_head(data).end]
        if bitmap not in self._known and len(self._known) < COMPILED_MAX:
            self._known[bitmap] = Decoder(bitmap)
        return message

    def __len__(self) -> int:
        return len(self._known)
