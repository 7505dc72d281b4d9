"""Checks of the values in lines of `load`: each returns the value as the command wants it.

A check raises `Rejected` with what the value has to be, in words that follow the key's name, and
never with the value itself: it may be a secret in the wrong place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, Final

from engine.records import Ratio

REQUIRED: Final = object()
"""Stands for the default of a key that has to be there."""

AMOUNT_MAX: Final = 999_999_999_999
FEE_TIERS_MAX: Final = 20
NAME_MAX: Final = 100
_RATIO_MAX: Final = 10**9
_NAMES_MAX: Final = 20


class Rejected(Exception):
    """A line that is not applied; one sentence with the key at fault, without its value."""


Check = Callable[[Any], Any]


def matching(pattern: str, what: str) -> Check:
    """A check for text of a form, which `what` says in words."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(value: Any) -> str:
        if type(value) is str and matches(value):
            return value
        raise Rejected(f"has to be {what}")

    return check


def whole(least: int, most: int) -> Check:
    """A check for a whole number between bounds."""

    def check(value: Any) -> int:
        # A JSON true is an int to Python, and a float is never an amount.
        if type(value) is int and least <= value <= most:
            return value
        raise Rejected(f"has to be a whole number from {least} to {most}")

    return check


def choice(*words: str) -> Check:
    """A check for one of some words."""

    def check(value: Any) -> str:
        if type(value) is str and value in words:
            return value
        raise Rejected(f"has to be one of {', '.join(words)}")

    return check


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is bool:
        return value
    raise Rejected("has to be true or false")


def text(value: Any) -> str:
    """A text for people; the ideographic space is one of its letters."""
    if (
        type(value) is str
        and value
        and value.replace("\u3000", " ").isprintable()
        and (len(value) <= NAME_MAX)
    ):
        return value
    raise Rejected(f"has to be a text of 1 to {NAME_MAX} printable characters")


def ratio(value: Any) -> Ratio:
    """A ratio ``n/d`` as a pair."""
    if type(value) is str:
        return _parse_ratio(value)
    raise Rejected('has to be a ratio in quotes, like "1/1"')


@lru_cache(maxsize=1024)
def _parse_ratio(text: str) -> Ratio:
    found = re.fullmatch(r"(\d{1,10})/(\d{1,10})", text, re.ASCII)
    if found is None:
        raise Rejected('has to be a ratio in quotes, like "1/1"')
    above, below = int(found[1]), int(found[2])
    if not below or above > _RATIO_MAX or below > _RATIO_MAX:
        raise Rejected(f"has to be a ratio of numbers up to {_RATIO_MAX}, the second not 0")
    return above, below


def part(value: Any) -> Ratio:
    """A ratio that is at most one."""
    above, below = ratio(value)
    if above > below:
        raise Rejected("has to be a ratio of at most 1")
    return above, below


def day(value: Any) -> int:
    """A day YYYY-MM-DD as YYYYMMDD."""
    if type(value) is str:
        return _parse_day(value)
    raise Rejected("has to be a date in quotes, like 2026-12-31")


@lru_cache(maxsize=4096)
def _parse_day(text: str) -> int:
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text, re.ASCII)
    try:
        day = date(*map(int, found.groups())) if found else None
    except ValueError:
        day = None
    if day is None:
        raise Rejected("has to be a date in quotes, like 2026-12-31")
    return day.year * 10000 + day.month * 100 + day.day


def network(value: Any) -> str:
    """A network in CIDR form."""
    try:
        if type(value) is str:
            return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    raise Rejected("has to be a network like 127.0.0.0/8, without bits behind its length")


def ratios(value: Any) -> tuple[tuple[str, Ratio], ...]:
    """An object of names and ratios, as pairs in the order of the names."""
    if type(value) is not dict or len(value) > _NAMES_MAX:
        raise Rejected(f"has to be an object of at most {_NAMES_MAX} names and ratios")
    return tuple((ident(name), ratio(value[name])) for name in sorted(value))


def parts(value: Any) -> tuple[tuple[str, Ratio], ...]:
    """An object of parties and the parts that they have of a whole, at most all of it."""
    rows = ratios(value)
    whole = 1
    for _, (_, below) in rows:
        whole *= below
    if sum(above * (whole // below) for _, (above, below) in rows) > whole:
        raise Rejected("has parts that are more than the whole")
    if any(not above for _, (above, _) in rows):
        raise Rejected("has a part of 0")
    return rows


def fee_tiers(value: Any) -> tuple[tuple[int, int], ...]:
    """An object of values in fen and the thousandths of a fee from each on, ascending."""
    if type(value) is not dict or len(value) > FEE_TIERS_MAX:
        raise Rejected(f"has to be an object of at most {FEE_TIERS_MAX} values in fen and fees")
    least, permille = whole(1, AMOUNT_MAX), whole(0, 1000)
    rows = []
    for fen, fee in value.items():
        if not (fen.isascii() and fen.isdecimal()):
            raise Rejected("has values in fen, as whole numbers in quotes")
        rows.append((least(int(fen)), permille(fee)))
    if len({fen for fen, _ in rows}) < len(rows):
        raise Rejected("has a value twice")
    return tuple(sorted(rows))


def list_of(check: Check, most: int) -> Check:
    """A check for a list of at most `most` different values."""

    def check_all(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > most:
            raise Rejected(f"has to be a list of at most {most}")
        return tuple([check(one) for one in value])

    return check_all


ident = matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "1 to 32 letters, digits, _ or -")
reason_code = matching(r"[A-Za-z0-9_-]{1,20}", "1 to 20 letters, digits, _ or -")
program = matching(r"P(0[1-9]|[1-9]\d)", "P01 to P99")
merchant = matching(r"[A-Za-z0-9]{15}", "15 letters or digits")
terminal = matching(r"[A-Za-z0-9]{8}", "8 letters or digits")
card = matching(r"\d{8,19}", "8 to 19 digits in quotes")
identity = matching(r"[0-9A-Za-z]{5,32}", "5 to 32 letters or digits in quotes")
phone = matching(r"\d{5,15}", "5 to 15 digits in quotes")
token = matching(r"[QU][\x21-\x7e]{1,40}", "Q or U and 1 to 40 characters behind it")
pin = matching(r"\d{4,12}", "4 to 12 digits in quotes")
key = matching(r"[0-9A-Fa-f]{32}", "32 hexadecimal digits")
card_prefix = matching(r"[1-9]\d{3,5}", "4 to 6 digits in quotes, the first not 0")
validity = matching(r"none|[1-9]\d{0,2}m|[1-9]\d{0,4}d", "none, or a length like 36m or 1095d")
member = matching(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}(\.\d{7})?", "a member's id, or batch.serial of a card"
)
serial = matching(r"[\x21-\x7e]{1,40}", "1 to 40 ASCII characters")
unit = matching(r"156|P(0[1-9]|[1-9]\d)", "156 or P01 to P99")
expiry = matching(
    r"none|rolling:[1-9]\d{0,2}m|calendar:[1-9]\d?y",
    "none, rolling:24m or calendar:1y with the length of your choice",
)
