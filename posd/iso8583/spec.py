"""The field table: section 2 and 5 of the terminal protocol as data.

One row says all that the codec, the interpreter, the description and the logs need to know about a
field. Nothing else in the package knows a length or an alignment; a new field is one new row here.

Kinds are those of ISO 8583: `n` digits, `an` letters and digits, `ans` any printable text, `b`
bytes, `z` track characters. What a value looks like in Python follows from kind and length form and
is the row's `content`:

========  ===========================================  =========================================
content   fields                                       value
========  ===========================================  =========================================
digits    `n`                                          `str`, the digits without the filler
track     `z`                                          `str` of `0`-`9`, `A`-`F`; `D` separates
text      `an`, fixed `ans`                            `str` of printable ASCII; fixed: with pad
bytes     `b`, variable `ans`                          `bytes` (variable text is in the terminal's
                                                       character set, which the codec cannot know)
========  ===========================================  =========================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["n", "an", "ans", "b", "z"]
Content = Literal["digits", "track", "text", "bytes"]

MAC_BYTES: Final = 8
"""Width of fields 64 and 128."""

MTI_BYTES: Final = 2
"""Width of the message type: four BCD digits."""

BITMAP_BYTES: Final = 8
"""Width of one bitmap; a message has one or two."""

SECONDARY_BITMAP: Final = 1
"""The bit of the primary bitmap that says that a secondary one follows; it is no field."""

HIGHEST_FIELD: Final = 128

ECHOED: Final = frozenset({3, 4, 11, 41, 42, 49, 60})
"""Fields of a request that its reply repeats: a decoder keeps their bytes as they came."""


class Mask(Enum):
    """How much of a value may be shown to people and logs."""

    OPEN = "shown"
    PAN = "first six and last four digits"
    TRACK = "the card number in front of the separator as a PAN, the rest hidden"
    MEMBER = "a phone or card number shortened, anything else hidden"
    PARTS = "shown element by element, each by the rule of its tag"
    HIDDEN = "not shown"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the field table.

    Attributes:
        number: Field number, 2 to 128.
        name: Name as the protocol page has it.
        kind: ISO 8583 kind of the characters.
        length: Exact length of a fixed field, the maximum of a variable one; counted in digits for
            `n` and `z`, in bytes for everything else.
        prefix: Digits of the length prefix: 0 fixed, 2 LLVAR (1 byte), 3 LLLVAR (2 bytes).
        mask: What may be shown of a value.
        justify: Where an odd number of BCD digits stands in its bytes.
    """

    number: int
    name: str
    kind: Kind
    length: int
    prefix: Literal[0, 2, 3] = 0
    mask: Mask = Mask.OPEN
    justify: Literal["left", "right"] = "right"

    @property
    def masked(self) -> bool:
        """Whether a value of this field must not be shown whole."""
        return self.mask is not Mask.OPEN

    @property
    def content(self) -> Content:
        """What a value is made of in Python; see the head of this module."""
        if self.kind == "n":
            return "digits"
        if self.kind == "z":
            return "track"
        if self.kind == "an" or (self.kind == "ans" and not self.prefix):
            return "text"
        return "bytes"

    @property
    def packed(self) -> bool:
        """Whether two characters share a byte (BCD), so that the length counts nibbles."""
        return self.kind in ("n", "z")

    @property
    def prefix_bytes(self) -> int:
        """Bytes of the length prefix: 0, 1 or 2."""
        return (self.prefix + 1) // 2

    def width(self, length: int) -> int:
        """Return the bytes that a value of this length takes, the prefix not counted."""
        return (length + 1) // 2 if self.packed else length


@dataclass(frozen=True, slots=True)
class Tag:
    """One element of field 48: its tag (an2), name and what may be shown of a value."""

    tag: str
    name: str
    mask: Mask = Mask.OPEN

    @property
    def masked(self) -> bool:
        """Whether a value of this element must not be shown whole."""
        return self.mask is not Mask.OPEN


def _fields(*rows: Field) -> Mapping[int, Field]:
    table = {row.number: row for row in rows}
    assert len(table) == len(rows), "a field number is declared twice"  # noqa: S101 - import check
    for row in rows:
        most = {0: row.length, 2: 99, 3: 999}[row.prefix]
        assert SECONDARY_BITMAP < row.number <= HIGHEST_FIELD  # noqa: S101 - import check
        assert 0 < row.length <= most, "a length does not fit its prefix"  # noqa: S101 - as above
        # The codec is generated on the strength of these two.
        assert row.kind != "z" or row.prefix, "track data is variable"  # noqa: S101 - as above
        assert row.justify == "right" or not row.prefix  # noqa: S101 - as above
    return MappingProxyType(table)


def _tags(*rows: Tag) -> Mapping[str, Tag]:
    table = {row.tag: row for row in rows}
    assert len(table) == len(rows), "a tag is declared twice"  # noqa: S101 - import check
    return MappingProxyType(table)


FIELDS: Final = _fields(
    Field(2, "card number (PAN)", "n", 19, 2, Mask.PAN),
    Field(3, "processing code", "n", 6),
    Field(4, "amount", "n", 12),
    Field(7, "transmission date and time", "n", 10),
    Field(11, "STAN", "n", 6),
    Field(12, "local time", "n", 6),
    Field(13, "local date", "n", 4),
    Field(14, "expiry", "n", 4),
    Field(15, "business date", "n", 4),
    Field(22, "entry mode", "n", 3, justify="left"),
    Field(23, "card sequence number", "n", 3),
    Field(25, "condition code", "n", 2),
    Field(26, "PIN capture code", "n", 2),
    Field(32, "acquirer", "n", 11, 2),
    Field(35, "track 2", "z", 37, 2, Mask.TRACK),
    Field(36, "track 3", "z", 104, 3, Mask.HIDDEN),
    Field(37, "retrieval reference number (RRN)", "an", 12),
    Field(38, "approval code", "an", 6),
    Field(39, "response code", "an", 2),
    Field(41, "terminal id", "ans", 8),
    Field(42, "merchant id", "ans", 15),
    Field(44, "operator text", "ans", 25, 2),
    Field(48, "TLV data", "ans", 999, 3, Mask.PARTS),
    Field(49, "unit", "an", 3),
    Field(52, "PIN block", "b", 8, mask=Mask.HIDDEN),
    Field(53, "security control", "n", 16),
    Field(54, "additional amounts", "an", 120, 3),
    Field(55, "chip data", "b", 255, 3, Mask.HIDDEN),
    # Nobody reads field 59, so nobody knows what firmware puts there.
    Field(59, "private text", "ans", 600, 3, Mask.HIDDEN),
    Field(60, "private: type, batch, network code", "n", 17, 3),
    Field(61, "original: batch, STAN, date", "n", 16, 3),
    Field(62, "keys, downloads", "b", 999, 3, Mask.HIDDEN),
    Field(63, "operator and text", "ans", 163, 3),
    Field(64, "MAC", "b", MAC_BYTES, mask=Mask.HIDDEN),
    Field(110, "AES PIN block", "b", 999, 3, Mask.HIDDEN),
    Field(128, "MAC", "b", MAC_BYTES, mask=Mask.HIDDEN),
)
"""Every field of the protocol by number. A bit of a bitmap without a row here is not decodable."""

TAGS: Final = _tags(
    Tag("10", "member", Mask.MEMBER),
    Tag("11", "other member", Mask.MEMBER),
    Tag("12", "coupon code", Mask.HIDDEN),
    Tag("13", "coupon PIN", Mask.HIDDEN),
    Tag("14", "campaign id"),
    Tag("15", "quantity"),
    Tag("16", "gift SKU"),
    Tag("17", "order or receipt reference"),
    Tag("19", "operator PIN block", Mask.HIDDEN),
    Tag("1B", "device serial or IMEI"),
    Tag("1C", "software version"),
    Tag("1D", "parameter version"),
    Tag("1E", "reason of a non-purchase accrual"),
    Tag("1F", "new card number", Mask.PAN),
    Tag("1G", "time of the offline sale"),
    Tag("1H", "member's identity number", Mask.HIDDEN),
    Tag("30", "points moved"),
    Tag("32", "next expiry"),
    Tag("33", "discount in fen"),
    Tag("34", "title for the receipt"),
    Tag("35", "coupon status"),
    Tag("36", "valid until"),
    Tag("37", "uses or value left"),
    Tag("38", "issued coupon code", Mask.HIDDEN),
    Tag("39", "prize"),
    Tag("40", "rate"),
    Tag("49", "target unit"),
    Tag("50", "totals of a unit"),
    Tag("63", "mini-statement line"),
)
"""The elements of field 48 by tag."""

REPEATABLE_TAGS: Final = frozenset({"30", "50", "63"})
"""The only tags that may stand more than once in one field 48."""
