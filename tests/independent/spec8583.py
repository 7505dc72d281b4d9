"""Protocol sections 1, 2 and 5 as data for pyiso8583: frames, fields and TLV elements.

The field table is the document's, row by row; pyiso8583 does the coding. A message is a dict
of strings under the field numbers, `t` the MTI. Binary fields (48, 52, 55, 62, 64, 110, 128) are
hex; field 48 is binary here because its element lengths count bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import iso8583

TPDU_SIZE = 5
HEADER_SIZE = 6
PROCESSING_REQUEST = 5  # the digit of the header that the host may set, counted from 0


def _fixed_digits(count: int, **pad: str) -> dict:
    return {
        "data_enc": "b",
        "len_enc": "bcd",
        "len_type": 0,
        "len_count": "nibbles",
        "max_len": count,
        **pad,
    }


def _variable_digits(length_bytes: int, most: int, pad: str = "0") -> dict:
    return {
        "data_enc": "b",
        "len_enc": "bcd",
        "len_type": length_bytes,
        "len_count": "nibbles",
        "max_len": most,
        "right_pad": pad,
    }


def _text(size: int, length_bytes: int = 0, charset: str = "ascii") -> dict:
    return {
        "data_enc": charset,
        "len_enc": "bcd",
        "len_type": length_bytes,
        "max_len": size,
    }


def _binary(size: int, length_bytes: int = 0) -> dict:
    return _text(size, length_bytes, "b")


FIELDS: dict[str, dict] = {
    "h": _binary(0),
    "t": _binary(2),
    "p": _binary(8),
    "1": _binary(8),
    "2": _variable_digits(1, 19),
    "3": _fixed_digits(6),
    "4": _fixed_digits(12),
    "7": _fixed_digits(10),
    "11": _fixed_digits(6),
    "12": _fixed_digits(6),
    "13": _fixed_digits(4),
    "14": _fixed_digits(4),
    "15": _fixed_digits(4),
    "22": _fixed_digits(3, right_pad="0"),
    "23": _fixed_digits(3, left_pad="0"),
    "25": _fixed_digits(2),
    "26": _fixed_digits(2),
    "32": _variable_digits(1, 11),
    "35": _variable_digits(1, 37, "F"),
    "36": _variable_digits(2, 104, "F"),
    "37": _text(12),
    "38": _text(6),
    "39": _text(2),
    "41": _text(8),
    "42": _text(15),
    "44": _text(25, 1, "gb18030"),
    "48": _binary(999, 2),
    "49": _text(3),
    "52": _binary(8),
    "53": _fixed_digits(16),
    "54": _text(120, 2),
    "55": _binary(255, 2),
    "59": _text(600, 2, "gb18030"),
    "60": _variable_digits(2, 17),
    "61": _variable_digits(2, 16),
    "62": _binary(999, 2),
    "63": _text(163, 2, "gb18030"),
    "64": _binary(8),
    "110": _binary(999, 2),
    "128": _binary(8),
}

Elements = list[tuple[str, bytes]]


def encode_message(fields: dict[str, str]) -> bytes:
    """Code a message from the MTI to its last field."""
    raw, _ = iso8583.encode(dict(fields), FIELDS)
    return bytes(raw)


def decode_message(raw: bytes) -> dict[str, str]:
    """The fields of a message without its bitmaps; raises `iso8583.DecodeError`."""
    fields, _ = iso8583.decode(raw, FIELDS)
    return {name: value for name, value in fields.items() if name not in ("p", "1")}


def mac_field(fields: dict[str, str]) -> str:
    """Where the MAC of this message goes: 128 if a secondary bitmap is there anyway."""
    secondary = any(name.isdigit() and int(name) > 64 for name in fields)
    return "128" if secondary else "64"


def encode_elements(elements: Iterable[tuple[str, str | bytes]]) -> str:
    """TLV elements as the hex of field 48; text is coded in gb18030."""
    run = b""
    for tag, value in elements:
        data = value.encode("gb18030") if isinstance(value, str) else value
        run += f"{tag:2}{len(data):03d}".encode() + data
    return run.hex().upper()


def decode_elements(field_48: str) -> Elements:
    """The elements of field 48 in order.

    Raises:
        ValueError: a length that is not three digits, or beyond the field.
    """
    run, at, elements = bytes.fromhex(field_48), 0, []
    while at < len(run):
        tag, length = run[at : at + 2].decode("ascii"), run[at + 2 : at + 5].decode("ascii")
        if len(length) != 3 or not length.isdigit():
            raise ValueError(f"element {tag!r} has no length of three digits")
        end = at + 5 + int(length)
        if end > len(run):
            raise ValueError(f"element {tag!r} reaches beyond the field")
        elements.append((tag, run[at + 5 : end]))
        at = end
    return elements


@dataclass(frozen=True)
class Frame:
    """A frame without its length: TPDU, header, message."""

    tpdu: bytes
    header: bytes
    message: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        body = self.tpdu + self.header + self.message
        return len(body).to_bytes(2) + body

    @classmethod
    def decode(cls, body: bytes) -> "Frame":
        """Take the parts of what followed a length."""
        message_at = TPDU_SIZE + HEADER_SIZE
        return cls(body[:TPDU_SIZE], body[TPDU_SIZE:message_at], body[message_at:])

    @property
    def swapped_tpdu(self) -> bytes:
        """The TPDU of the reply: destination and source exchanged."""
        return self.tpdu[:1] + self.tpdu[3:5] + self.tpdu[1:3]
