"""Field 48: a run of elements, each tag (an2), length (n3, ASCII) and value.

A damaged run is the peer's fault but no broken message: the frame around it is sound, so the
answer is response 30 and the connection stays. Hence an error of its own.

The length is demanded to be three ASCII digits; Python's `int` would also take `b"1_0"`, `b" 7"`
and `b"+7"`, and a sender and a receiver that read a length differently disagree on what was MACed.
"""

from collections.abc import Iterable
from typing import Final

from posd.iso8583.message import Unencodable
from posd.iso8583.spec import REPEATABLE_TAGS, TAGS

_TAG_BYTES: Final = 2
_HEAD_BYTES: Final = 5
_VALUE_MAX: Final = 999
_TAG_CHARACTERS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Looked up whole, which judges and converts in one step.
_KNOWN_TAGS: Final = {tag.encode("ascii"): tag for tag in TAGS}
_LENGTHS: Final = {b"%03d" % length: length for length in range(_VALUE_MAX + 1)}


class MalformedTlv(Exception):
    """Field 48 is not a run of elements, or repeats a tag that stands only once: response 30."""


def parse_tlv(data: bytes, *, repeats_allowed: bool = False) -> list[tuple[str, bytes]]:
    """Split field 48 into its elements, in their order; unknown tags are elements like others.

    Args:
        data: The value of field 48; empty gives no elements.
        repeats_allowed: Accept any tag twice, not only 30, 50 and 63.

    Raises:
        MalformedTlv: A tag that is not two of `0`-`9` `A`-`Z`, a length that is not three digits or
            reaches beyond the end, or a tag that may not repeat and does.
    """
    items: list[tuple[str, bytes]] = []
    seen: set[str] = set()
    position, end = 0, len(data)
    while position < end:
        digits = position + _TAG_BYTES
        start = position + _HEAD_BYTES
        raw_tag = data[position:digits]
        tag = _KNOWN_TAGS.get(raw_tag) or _unknown_tag(raw_tag)
        length = _LENGTHS.get(data[digits:start])
        if length is None:
            raise MalformedTlv("length is not three digits")
        position = start + length
        if position > end:
            raise MalformedTlv("element is longer than the field")
        if tag in seen and tag not in REPEATABLE_TAGS and not repeats_allowed:
            raise MalformedTlv("a tag stands twice")
        seen.add(tag)
        items.append((tag, data[start:position]))
    return items


def _unknown_tag(raw_tag: bytes) -> str:
    if len(raw_tag) != _TAG_BYTES or raw_tag.strip(_TAG_CHARACTERS):
        raise MalformedTlv("tag is not two digits or upper-case letters")
    return raw_tag.decode("ascii")


def build_tlv(items: Iterable[tuple[str, bytes]]) -> bytes:
    """Write elements in the order given; whether they fit field 48 is the codec's to say.

    Raises:
        Unencodable: A tag that is not two of `0`-`9` `A`-`Z`, or a value above 999 bytes.
    """
    parts: list[bytes] = []
    for tag, value in items:
        raw_tag = tag.encode("ascii", "replace")
        if len(raw_tag) != _TAG_BYTES or raw_tag.strip(_TAG_CHARACTERS):
            raise Unencodable("tag is not two digits or upper-case letters")
        if len(value) > _VALUE_MAX:
            raise Unencodable(f"element {tag}: longer than {_VALUE_MAX}")
        parts.append(b"%b%03d%b" % (raw_tag, len(value), value))
    return b"".join(parts)
