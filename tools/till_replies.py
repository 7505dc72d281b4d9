"""What a till reads in a reply: the business part of it, points moved, balances."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from posd.iso8583.tlv import parse_tlv

MONEY: Final = "156"

_MOVED: Final = re.compile(r"([+-]\d+)(P\d\d)?")
_BUSINESS_FIELDS: Final[tuple[int, ...]] = (4, 15, 37, 38, 39, 44, 48, 49, 54)
_BALANCE_WIDTH: Final = 20


def business_fields(fields: dict[int, Any]) -> dict[int, Any]:
    """The fields of a reply that a repeat has to bring again as they were."""
    return {n: fields[n] for n in _BUSINESS_FIELDS if n in fields}


def points_moved(fields: dict[int, Any]) -> tuple[int, str]:
    """Points moved and their program, of the first element 30; zero for none."""
    return next(iter(moved_lines(fields)), (0, ""))


def moved_lines(fields: dict[int, Any]) -> list[tuple[int, str]]:
    """Points moved and their program, a line an element 30, of which there is one as a rule.

    Where the element does not name the program, fields 49 and 54 do.
    """
    unit = fields.get(49, MONEY)
    if unit == MONEY:
        unit = next((line[0] for line in balances_told(fields.get(54, ""))), "")
    lines = []
    for tag, value in parse_tlv(fields.get(48, b"")):
        found = _MOVED.fullmatch(value.decode("ascii", "replace")) if tag == "30" else None
        if found:
            lines.append((int(found[1]), found[2] or unit))
    return lines


def elements_told(fields: dict[int, Any]) -> dict[str, str]:
    """The elements of field 48 by tag."""
    return {tag: value.decode("ascii", "replace") for tag, value in parse_tlv(fields.get(48, b""))}


def balances_told(field_54: str) -> Iterator[tuple[str, int, int]]:
    """Unit, available and ledger points out of the pairs of entries of field 54."""
    for start in range(0, len(field_54), 2 * _BALANCE_WIDTH):
        available = field_54[start : start + _BALANCE_WIDTH]
        ledger = field_54[start + _BALANCE_WIDTH : start + 2 * _BALANCE_WIDTH]
        yield available[4:7], _signed(available), _signed(ledger)


def _signed(entry: str) -> int:
    return int(entry[8:]) * (-1 if entry[7] == "D" else 1)
