"""Dated rules that the operator loads: limits on transactions, and what is known of them here.

A *book* is a row with all rules of one owner, so that a rule of the engine finds them by a point
read. The limits that hold for everybody are in the book of their unit; those of one merchant,
terminal or member in a book of their own, and the unit's book is marked, so that nobody looks for a
terminal's or member's book where there is none. What applies to a merchant's transactions of a day
is gathered once, into its tariff (`limits_of`): a transaction without limits tests one attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.records import NEVER, Terms
from engine.terms import add_days
from ledger import chart, codec, schema
from ledger.model import MONEY, Unit

RULES_MAX = 200
"""Rules in a book."""

CREDIT_DAYS = 62
"""Business dates before the open one of which positions count towards a credit limit."""

SCOPES = ("member", "terminal", "merchant", "program")
PERIODS = ("transaction", "day", "month")
ANY = "any"


@dataclass(slots=True)
class Rulebook:
    """The rules of one owner.

    Attributes:
        lines: each the fields of its record, in the order of their ids.
        marks: scopes of which single owners have books of their own.
        revision: counts the versions of this record, from 1.
    """

    lines: tuple[tuple[Any, ...], ...]
    marks: tuple[str, ...]
    revision: int


@dataclass(slots=True)
class Limit:
    """A bound on transactions.

    Attributes:
        id: its name within its book; in a tariff its full name, with the unit.
        scope: whose transactions are counted together: a ``member``'s, ``terminal``'s,
            ``merchant``'s or those of the whole ``program``.
        key: of which one; empty for each of them.
        what: ``accrual``, ``redemption``, …, or ``any``.
        unit: in which the amount is: a program, or ``156`` for money (the sale of an accrual, the
            value of a redemption).
        per: ``transaction``, ``day`` or ``month`` (of the local calendar).
        amount_min: least amount of a transaction; 0 for none.
        amount_max, count_max: most in the period; 0 for none.
        hard: True to decline what goes beyond, False to tell of it only.
        since, until: first and last local day on which it holds.
    """

    id: str
    scope: str
    key: str
    what: str
    unit: Unit
    per: str
    amount_min: int
    amount_max: int
    count_max: int
    hard: bool
    since: int
    until: int


@dataclass(slots=True)
class Counter:
    """What an owner of limits has used of them.

    Attributes:
        lines: name of the limit, its period (YYYYMMDD or YYYYMM), amount and count in it.
    """

    lines: tuple[tuple[str, int, int, int], ...]


@dataclass(slots=True)
class Limits:
    """The limits on a merchant's transactions on a day.

    Attributes:
        rules: those that are known beforehand.
        marked: units and scopes (``member``, ``terminal``) of which single owners have limits.
        credit: fen that the merchant may owe, credit line and deposit; -1 for no bound.
        unsettled: its position from the dates before the open one that are not settled yet, fen.
    """

    rules: tuple[Limit, ...]
    marked: tuple[tuple[Unit, str], ...]
    credit: int
    unsettled: int


NO_BOOK = Rulebook((), (), 0)
NO_COUNTER = Counter(())
NO_LIMITS = Limits((), (), -1, 0)

codec.register(schema.RULEBOOK, Rulebook)
codec.register(schema.COUNTER, Counter)


def book_name(unit: Unit, scope: str = "", key: str = "") -> str:
    """Name of the book of a unit's limits, or of those of one owner."""
    return f"limit:{unit}:{scope}:{key}" if key else f"limit:{unit}"


def read_book(read: Callable[[bytes], Any], name: str) -> Rulebook:
    """A book, empty where there is none."""
    book: Rulebook = read(schema.named(schema.RULEBOOK, name)) or NO_BOOK
    return book


def books(program: str, merchant: str) -> tuple[str, ...]:
    """Names of the books whose limits may concern all of a merchant's transactions."""
    return (
        book_name(program),
        book_name(program, "merchant", merchant),
        book_name(MONEY),
        book_name(MONEY, "merchant", merchant),
        book_name(MONEY, "program", program),
        credit_name(merchant),
    )


def limits_in(read: Callable[[bytes], Any], name: str, unit: Unit, today: int) -> list[Limit]:
    """The limits of a book that hold on a local day, under their full names."""
    own = "/own" if name.count(":") > 1 else ""
    found = []
    for line in read_book(read, name).lines:
        limit = Limit(*line)
        if limit.since <= today <= limit.until:
            limit.id = f"{unit}/{limit.id}{own}"
            found.append(limit)
    return found


def credit_name(party: str) -> str:
    """Name of the book with a party's credit limit, in fen."""
    return f"credit:{party}"


def limits_of(
    read: Callable[[bytes], Any], merchant: str, terms: Terms, dates: tuple[int, int]
) -> Limits | None:
    """The limits on a merchant's transactions; None where there are none.

    Args:
        read: point reads.
        merchant: whose.
        terms: in force.
        dates: the local day, and the open business date.
    """
    program = terms.program
    today, date = dates
    rules: list[Limit] = []
    marked: list[tuple[Unit, str]] = []
    for unit in (program, MONEY):
        name = book_name(unit)
        rules += limits_in(read, name, unit, today)
        marks = read_book(read, name).marks
        marked += [(unit, scope) for scope in marks if scope in {"member", "terminal"}]
        if "merchant" in marks:
            rules += limits_in(read, book_name(unit, "merchant", merchant), unit, today)
        if "program" in marks:
            rules += limits_in(read, book_name(unit, "program", program), unit, today)
    if terms.burn_min or terms.burn_max:
        rules.append(_burn(terms))
    credit, unsettled = -1, 0
    for line in read_book(read, credit_name(merchant)).lines:
        credit = line[1]
        unsettled = _unsettled(read, merchant, date)
    if not rules and not marked and credit < 0:
        return None
    return Limits(tuple(rules), tuple(marked), credit, unsettled)


def _unsettled(read: Callable[[bytes], Any], party: str, date: int) -> int:
    """A party's position of the dates before; what is settled is zero there."""
    total = 0
    for back in range(1, CREDIT_DAYS + 1):
        total += read(schema.balance(chart.position(party, add_days(date, -back)))) or 0
    return total


def _burn(terms: Terms) -> Limit:
    """What the terms say of the points in one redemption."""
    return Limit(
        f"{terms.program}/terms",
        "merchant",
        "",
        "redemption",
        terms.program,
        "transaction",
        terms.burn_min,
        terms.burn_max,
        0,
        True,
        terms.since,
        NEVER,
    )
