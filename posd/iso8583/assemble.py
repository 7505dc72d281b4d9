"""Replies put together from fields that are bytes already.

Most of a reply repeats the request, or is a number that the host writes with a fixed width. To
encode such values again from text, checked, is what the codec does for messages of any content;
here the fields come as they go on the wire, length prefix included, and only head and order are
added: the plan for a set of fields is looked up once. The codec is the oracle in the tests.

Whoever gives a field answers for its form. `variable` adds the length prefix of a value; `digits`
writes a number with leading zeros.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from posd.iso8583 import interpret
from posd.iso8583.message import Unencodable
from posd.iso8583.spec import FIELDS

PLANS_MAX: Final = 256
DIGITS_MAX: Final = 12

_LENGTHS: Final = tuple(bytes.fromhex(f"{length:04}") for length in range(1000))
_TENS: Final = tuple(10**width for width in range(DIGITS_MAX + 1))


class Assembler:
    """Puts replies together; holds the plan of each set of fields that occurs, to `PLANS_MAX`."""

    __slots__ = ("_plans",)

    def __init__(self) -> None:
        self._plans: dict[tuple[int, ...], tuple[bytes, Callable[[Any], Any]]] = {}

    def assemble(self, mti: bytes, fields: dict[int, bytes]) -> bytes:
        """A message from its type to its last field.

        Args:
            mti: message type, 2 bytes.
            fields: two fields or more by number, in any order, as they go on the wire; an empty
                one is named in the bitmap and left to be added (the MAC, which is last).

        Raises:
            Unencodable: a number without a row in the field table.
        """
        numbers = tuple(fields)
        plan = self._plans.get(numbers)
        if plan is None:
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            ascending = sorted(numbers)
            plan = (interpret.bitmap_of(ascending), itemgetter(*ascending))
            self._plans[numbers] = plan
        return b"".join((mti, plan[0], *plan[1](fields)))


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
    return str(_TENS[width] + number)[1:]


def field(number: int, value: str | bytes) -> bytes:
    """Any field as it goes on the wire, judged by the field table.

    Raises:
        Unencodable: the value does not fit.
    """
    row = FIELDS.get(number)
    if row is None:
        raise Unencodable(f"field {number}: not in the field table")
    return interpret.write_field(row, value)
