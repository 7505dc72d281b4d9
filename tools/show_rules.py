"""``counterfoil show DIR rules KEY``: limits, earn rules, reasons and credit, and what is used.

KEY is a unit, for what holds for everybody in it, or a merchant, terminal or member, for what holds
for it alone and for what it has used of any limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from engine import earning
from engine.pools import Pool, key_of
from engine.records import NEVER
from engine.rulebook import Counter, Limit, book_name, credit_name, read_book
from engine.rules import rewards
from engine.terms import spoken
from ledger import schema
from ledger.model import MONEY

Read = Callable[[bytes], Any]

OWNERS: Final = {
    "merchant": schema.MERCHANT,
    "terminal": schema.TERMINAL,
    "member": schema.MEMBER,
}
PROGRAMS: Final = [f"P{number:02d}" for number in range(1, 100)]
_UNIT: Final = re.compile(r"156|P\d\d", re.ASCII).fullmatch


def shown_rules(read: Read, key: str) -> dict[str, Any] | None:
    """The rules of a unit or of one owner as plain data; None where there is no such thing.

    Args:
        read: point reads of a snapshot.
        key: a program, ``156``, or the id of a merchant, terminal or member.
    """
    if _UNIT(key):
        known = key == MONEY or read(schema.named(schema.PROGRAM, key)) is not None
        return _of_unit(read, key) if known else None
    for scope, table in OWNERS.items():
        if key.isascii() and read(schema.named(table, key)) is not None:
            return _of_owner(read, scope, key)
    return None


def _of_unit(read: Read, unit: str) -> dict[str, Any]:
    lines = list(read_book(read, book_name(unit)).lines)
    if unit == MONEY:
        for program in PROGRAMS:
            lines += read_book(read, book_name(unit, "program", program)).lines
    shown: dict[str, Any] = {"unit": unit, "limits": [_limit(unit, line) for line in lines]}
    if unit != MONEY:
        shown["earn_rules"] = _earn_rules(read, unit, "any", "")
        shown["reasons"] = _reasons(read, unit)
    shown["shared"] = [
        {"limit": name, "period": pool.period, "used": pool.used, "most": pool.limit}
        for name, pool in _pools(read, unit, lines)
    ]
    return shown


def _of_owner(read: Read, scope: str, key: str) -> dict[str, Any]:
    limits, earn_rules = [], []
    for unit in (*PROGRAMS, MONEY):
        book = read_book(read, book_name(unit, scope, key))
        limits += [_limit(unit, line) for line in book.lines]
        if scope == "merchant" and unit != MONEY:
            earn_rules += _earn_rules(read, unit, scope, key)
    counter: Counter | None = read(schema.named(schema.COUNTER, f"{scope}:{key}"))
    shown: dict[str, Any] = {scope: key, "limits": limits}
    if scope == "merchant":
        credit = [line[1] for line in read_book(read, credit_name(key)).lines if line[1] >= 0]
        shown["earn_rules"] = earn_rules
        shown["credit_fen"] = credit[0] if credit else None
    shown["used"] = [
        {"limit": name, "period": period, "amount": amount, "count": count}
        for name, period, amount, count in (counter.lines if counter is not None else ())
    ]
    return shown


def _limit(unit: str, line: tuple[Any, ...]) -> dict[str, Any]:
    limit = Limit(*line)
    return {
        "id": limit.id,
        "scope": limit.scope,
        "key": limit.key or None,
        "what": limit.what,
        "unit": unit,
        "per": limit.per,
        "min_amount": limit.amount_min or None,
        "max_amount": limit.amount_max or None,
        "max_count": limit.count_max or None,
        "hard": limit.hard,
        "from": _day(limit.since),
        "until": _day(limit.until),
    }


def _earn_rules(read: Read, program: str, scope: str, key: str) -> list[dict[str, Any]]:
    rules = [
        earning.EarnRule(*line)
        for line in read_book(read, earning.book_name(program, scope, key)).lines
    ]
    return [
        {
            "program": program,
            "id": rule.id,
            "scope": rule.scope,
            "key": rule.key or None,
            "tier": rule.tier or None,
            "multiplier": f"{rule.multiplier[0]}/{rule.multiplier[1]}",
            "funder": rule.funder or None,
            "stacks": rule.stacks,
            "priority": rule.priority,
            "from": _day(rule.since),
            "until": _day(rule.until),
        }
        for rule in rules
    ]


def _reasons(read: Read, program: str) -> list[dict[str, Any]]:
    found = [
        rewards.RewardReason(*line) for line in read_book(read, rewards.book_name(program)).lines
    ]
    return [
        {
            "code": one.code,
            "points": one.points,
            "rate": f"{one.rate[0]}/{one.rate[1]}",
            "per_day": one.per_day or None,
            "funder": one.funder or None,
            "other_points": one.other_points or None,
            "from": _day(one.since),
            "until": _day(one.until),
        }
        for one in found
    ]


def _pools(read: Read, unit: str, lines: list[Any]) -> list[tuple[str, Pool]]:
    """What is used of the caps that all members share."""
    found = []
    for line in lines:
        limit = Limit(*line)
        own = "/own" if limit.key else ""
        for name in (f"{unit}/{limit.id}{own}", f"{unit}/{limit.id}{own}#"):
            pool: Pool | None = read(key_of(name))
            if limit.scope == "program" and pool is not None:
                found.append((name, pool))
    return found


def _day(date: int) -> str | None:
    if not date or date == NEVER:
        return None
    return spoken(date)
