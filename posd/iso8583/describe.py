"""A message explained field by field, with everything secret masked.

For people at a terminal's capture or a log: `counterfoil decode`. It takes a frame with or without
its length, TPDU and header, tells which by trying to decode, and explains as far as the bytes make
sense; the last row says where they stop and which rule they break. What may be shown of a value is
declared on the field (`spec.Mask`), masked bytes are not shown as hex either, and the bytes that
could not be read are never shown, for they may be anything.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from posd.framing import FRAME_MIN, HEADER_BYTES, LENGTH_BYTES, TPDU_BYTES
from posd.iso8583 import interpret
from posd.iso8583.message import Undecodable
from posd.iso8583.spec import MTI_BYTES, TAGS, Field, Mask, Tag
from posd.iso8583.tlv import MalformedTlv, parse_tlv

HIDDEN: Final = "********"
"""What stands in place of a value that is not shown."""

_HEAD_BYTES: Final = TPDU_BYTES + HEADER_BYTES
_USUAL_TPDU: Final = 0x60
_PAN_MIN: Final = 13
_SHORT_CARD_MIN: Final = 8
_PHONE_MIN: Final = 10
_PROGRAM_MAX: Final = 99


class Row(NamedTuple):
    """One line of an explanation.

    Attributes:
        position: Offset in bytes from the start of what was given.
        number: `length`, `TPDU`, `header`, `MTI`, `bitmap`, a field number, `48.` and a tag, or `!`
            for the place from which on the bytes make no sense.
        name: Name of the part.
        raw: Its bytes in hex, length prefix included; `HIDDEN` if masked.
        meaning: The value in words, masked where it must be.
    """

    position: int
    number: str
    name: str
    raw: str
    meaning: str


def describe(data: bytes, charset: str = "gb18030") -> list[Row]:
    """Explain a message, or a frame around one.

    Args:
        data: Message from its type on; or with TPDU and header before; or the whole frame.
        charset: Character set of the terminal's text fields.

    Raises:
        LookupError: Python knows no such character set.
    """
    if data == bytes(LENGTH_BYTES):
        return [Row(0, "length", "keep-alive", data.hex(), "a frame of length 0")]
    start, end = _find_message(data)
    rows = list(_describe_envelope(data, start))
    rows.extend(_describe_message(data[start:end], start, charset))
    if end < len(data):
        rows.append(Row(end, "!", "behind the frame", HIDDEN, f"{len(data) - end} bytes more"))
    return rows


def mask_card(number: str) -> str:
    """Return a card number with at most its first six and last four digits.

    Below 13 digits only the last four, below 8 nothing, so that most of it is always hidden.
    """
    if len(number) >= _PAN_MIN:
        return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    if len(number) >= _SHORT_CARD_MIN:
        return f"{'*' * (len(number) - 4)}{number[-4:]}"
    return HIDDEN


def mask_phone(number: str) -> str:
    """Return a phone number with its first three and last four digits, a short one not at all."""
    if len(number) < _PHONE_MIN:
        return HIDDEN
    return f"{number[:3]}{'*' * (len(number) - 7)}{number[-4:]}"


def _find_message(data: bytes) -> tuple[int, int]:
    """Return where the message begins and ends: the first reading that decodes, else a guess."""
    framed = LENGTH_BYTES + _HEAD_BYTES
    stop = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
    readings = [(_HEAD_BYTES, len(data)), (0, len(data))]
    if LENGTH_BYTES + FRAME_MIN <= stop <= len(data):
        readings.insert(0, (framed, stop))
    for start, end in readings:
        try:
            interpret.decode(data[start:end])
        except Undecodable:
            continue
        return start, end
    if stop == len(data) or data[LENGTH_BYTES : LENGTH_BYTES + 1] == bytes((_USUAL_TPDU,)):
        start = min(framed, len(data))
        return start, max(start, min(stop, len(data)))
    if data[:1] == bytes((_USUAL_TPDU,)):
        return min(_HEAD_BYTES, len(data)), len(data)
    return 0, len(data)


def _describe_envelope(data: bytes, message_start: int) -> Iterator[Row]:
    position = 0
    if message_start > _HEAD_BYTES:
        raw = data[:LENGTH_BYTES]
        says, follow = int.from_bytes(raw, "big"), len(data) - LENGTH_BYTES
        meaning = f"{says} bytes" if says == follow else f"{says} bytes, but {follow} follow"
        yield Row(0, "length", "bytes that follow", raw.hex(), meaning)
        position = LENGTH_BYTES
    if message_start >= _HEAD_BYTES:
        tpdu = data[position : position + TPDU_BYTES].hex()
        meaning = f"to {tpdu[2:6]}, from {tpdu[6:10]}"
        yield Row(position, "TPDU", "addresses", tpdu, meaning)
        position += TPDU_BYTES
        header = data[position : position + HEADER_BYTES].hex()
        meaning = (
            f"application class {header[:2]}, software {header[2:4]}.{header[6:]}, "
            f"terminal state {header[4:5]}, processing request {header[5:6]}"
        )
        yield Row(position, "header", "terminal software and state", header, meaning)


def _describe_message(data: bytes, offset: int, charset: str) -> Iterator[Row]:
    position = 0
    try:
        head = interpret.read_head(data)
        yield Row(offset, "MTI", "message type", head.mti, _message_type(head.mti))
        bitmap = data[MTI_BYTES : head.end].hex()
        numbers = " ".join(map(str, head.numbers))
        yield Row(offset + MTI_BYTES, "bitmap", "fields that follow", bitmap, numbers)
        position = head.end
        for element in interpret.read_fields(data, head):
            raw = HIDDEN if element.field.masked else data[element.start : element.end].hex()
            field, value = element.field, element.value
            meaning = _meaning(field, value, charset)
            yield Row(offset + element.start, str(field.number), field.name, raw, meaning)
            if field.mask is Mask.PARTS and isinstance(value, bytes):
                yield from _describe_parts(value, offset + element.end - len(value), charset)
            position = element.end
    except Undecodable as fault:
        yield Row(offset + position, "!", "not decodable from here", "", str(fault))


def _describe_parts(value: bytes, offset: int, charset: str) -> Iterator[Row]:
    """Explain the elements of field 48 one by one."""
    try:
        items = parse_tlv(value, repeats_allowed=True)
    except MalformedTlv as fault:
        yield Row(offset, "48.!", "not a run of elements", "", str(fault))
        return
    for tag, part in items:
        # A tag that nobody knows may carry anything.
        row = TAGS.get(tag) or Tag(tag, "unknown tag", Mask.HIDDEN)
        raw = HIDDEN if row.masked else (f"{tag}{len(part):03}".encode() + part).hex()
        yield Row(offset, f"48.{tag}", row.name, raw, _shown(row.mask, _text(part, charset)))
        offset += len(tag) + 3 + len(part)


def _shown(mask: Mask, text: str) -> str:
    """Return as much of a text as its mask allows."""
    if mask is Mask.OPEN:
        return text
    if mask is Mask.PAN:
        return mask_card(text)
    if mask is Mask.TRACK:
        card, separator, _ = text.partition("D")
        return f"{mask_card(card)}{separator}{HIDDEN}" if separator else HIDDEN
    if mask is Mask.MEMBER:
        if text[:1] == "P":
            return f"phone {mask_phone(text[1:])}"
        if text[:1] == "C":
            return f"card {mask_card(text[1:])}"
        kind = {"Q": "QR token ", "U": "contactless id "}.get(text[:1], "")
        return f"{kind}{HIDDEN}"
    return HIDDEN


def _text(raw: bytes, charset: str) -> str:
    """Decode text for people: what is not printable is escaped, so no capture steers a screen."""
    text = raw.decode(charset, "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _meaning(field: Field, value: str | bytes, charset: str) -> str:
    if field.mask is Mask.PARTS:
        return f"{len(value)} bytes"
    if isinstance(value, bytes):
        if field.mask is Mask.HIDDEN:
            return f"{HIDDEN} ({len(value)} bytes)"
        return _shown(field.mask, _text(value, charset))
    if field.masked:
        return _shown(field.mask, value)
    explain = _EXPLANATIONS.get(field.number)
    return explain(value) if explain else value.rstrip()


def _message_type(mti: str) -> str:
    classes = {
        "01": "authorization",
        "02": "financial",
        "03": "file action",
        "04": "reversal",
        "05": "reconciliation",
        "06": "administrative",
        "08": "network management",
    }
    functions = {"0": "request", "1": "response", "2": "advice", "3": "advice response"}
    name = classes.get(mti[:2], "unknown class")
    function = functions.get(mti[2], "unknown function")
    return f"{name} {function}" + (", repeat" if mti[3] == "1" else "")


def _amount(value: str) -> str:
    return f"{int(value)} of the unit in field 49"


def _entry_mode(value: str) -> str:
    modes = {"01": "keyed", "02": "magnetic stripe", "03": "barcode or QR", "07": "contactless"}
    pin = {"1": "PIN present", "2": "no PIN"}
    mode = modes.get(value[:2], "other entry")
    return f"{value}: {mode}, {pin.get(value[2], 'PIN not said')}"


def _unit(value: str) -> str:
    if value == "156":
        return "156: CNY in fen"
    if value[0] == "P" and value[1:].isdecimal() and 1 <= int(value[1:]) <= _PROGRAM_MAX:
        return f"{value}: points of program {value[1:]}"
    return value


def _balances(value: str) -> str:
    """Explain field 54: entries of account type, amount type, unit, sign and amount."""
    accounts = {"65": "points", "60": "stored value"}
    amounts = {"01": "ledger", "02": "available"}
    entries = []
    for start in range(0, len(value), 20):
        entry = value[start : start + 20]
        account = accounts.get(entry[:2], f"account {entry[:2]}")
        amount = amounts.get(entry[2:4], f"amount {entry[2:4]}")
        sign = "-" if entry[7:8] == "D" else ""
        digits = entry[8:].lstrip("0") or "0"
        entries.append(f"{account} {amount} {sign}{digits} {entry[4:7]}")
    return "; ".join(entries)


def _split(*parts: tuple[str, int]) -> Callable[[str], str]:
    """Return what explains digits that are several numbers on end, each of so many digits."""

    def explain(value: str) -> str:
        words, position = [], 0
        for name, width in parts:
            digits = value[position : position + width]
            if digits:
                words.append(f"{name} {digits}")
            position += width
        return ", ".join([*words, *([f"then {value[position:]}"] if value[position:] else [])])

    return explain


_EXPLANATIONS: Final[dict[int, Callable[[str], str]]] = {
    4: _amount,
    22: _entry_mode,
    49: _unit,
    54: _balances,
    60: _split(("type", 2), ("batch", 6), ("network code", 3)),
    61: _split(("batch", 6), ("STAN", 6), ("date", 4)),
}
"""What is said of a field beyond its value; only fields that are not masked."""
