"""Facts of an outcome to elements of field 48 of the reply (``protocol.md``, section 5).

`ELEMENTS` is the table, in the order in which the elements are sent: the fact's name and what makes
its elements. A fact without a row stays inside (an exception noted, what a void undid).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from posd.iso8583.assemble import digits
from posd.iso8583.tlv import build_tlv

Elements: TypeAlias = list[tuple[str, bytes]]

TOTALS_MAX = 22
"""Units whose totals a field 48 can hold."""

AMOUNT_MAX = 999_999_999_999
"""The most that twelve digits tell: a sum or a balance beyond it is told as this."""

_COUNT_MAX = 999_999


def _moved(value: str) -> Elements:
    return [("30", value.encode("ascii"))]


def _prize(value: str) -> Elements:
    return [("39", value.encode("ascii"))]


def _rate(value: tuple[int, int]) -> Elements:
    return [("40", b"%d/%d" % value)]


def _next_expiry(value: tuple[int, int]) -> Elements:
    points, day = value
    return [("32", b"%012d%08d" % (min(points, AMOUNT_MAX), day))]


def _text(tag: str) -> Callable[[str], Elements]:
    def make(value: str) -> Elements:
        return [(tag, value.encode("ascii"))]

    return make


def _title(value: bytes) -> Elements:
    return [("34", value)]


def _discount(value: int) -> Elements:
    return [("33", b"%012d" % value)]


def _day(value: int) -> Elements:
    return [("36", b"%08d" % value)]


def _left(value: int) -> Elements:
    return [("37", b"%d" % value)]


def _totals(value: tuple[tuple[str, int, int, int, int], ...]) -> Elements:
    elements: Elements = []
    for unit, debit_count, debited, credit_count, credited in value[:TOTALS_MAX]:
        text = (
            f"{unit}{min(debit_count, _COUNT_MAX):06}{min(debited, AMOUNT_MAX):012}"
            f"{min(credit_count, _COUNT_MAX):06}{min(credited, AMOUNT_MAX):012}"
        )
        elements.append(("50", text.encode("ascii")))
    return elements


def _statement(value: tuple[tuple[int, str, int], ...]) -> Elements:
    return [
        ("63", b"%04d%b%+d" % (date % 10000, kind.encode("ascii"), moved))
        for date, kind, moved in value
    ]


ELEMENTS: tuple[tuple[str, Callable[[Any], Elements]], ...] = (
    ("moved", _moved),
    ("gained", _moved),
    ("discount", _discount),
    ("title", _title),
    ("status", _text("35")),
    ("last day", _day),
    ("left", _left),
    ("code in clear", _text("38")),
    ("PIN in clear", _text("13")),
    ("won", _moved),
    ("prize", _prize),
    ("rate", _rate),
    ("next_expiry", _next_expiry),
    ("totals", _totals),
    ("statement", _statement),
)


def build(facts: tuple[tuple[str, Any], ...]) -> bytes:
    """Field 48 of what a reply tells; empty for nothing."""
    if len(facts) == 1 and facts[0][0] == "moved":  # nearly every reply
        moved: str = facts[0][1]
        return b"".join((b"30", digits(len(moved), 3).encode("ascii"), moved.encode("ascii")))
    told = dict(facts)
    elements: Elements = []
    for name, make in ELEMENTS:
        if name in told:
            elements += make(told[name])
    return build_tlv(elements)
