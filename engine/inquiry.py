"""Answers that change nothing: what a member has, and what became of it lately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.points import Purse
from engine.records import RECENT_MAX, Member, Points, Value
from engine.value import Wallet
from ledger import schema
from ledger.model import MONEY, Entry

TYPES: dict[str, str] = {
    "accrual": "ACCR",
    "redemption": "RDMP",
    "refund": "REFD",
    "reversal": "RVSL",
    "opening balance": "OPEN",
    "points expiry": "EXPR",
}
"""Kinds of entries to what a mini-statement calls them; others by the first four letters."""

_MEMBERS_OWN = ("Lot", "Held", "Debt")


@dataclass(slots=True)
class Holding:
    """What a member has in a program, or as stored value.

    Attributes:
        kind: ``points`` or ``value``.
        unit: the program, or ``156``.
        available: points or fen that can be spent now, less debts.
        ledger: all of them, less debts.
        next_expiry: points and day (YYYYMMDD) of the next expiry, None for none.
        used: time of the last movement, ms.
    """

    kind: str
    unit: str
    available: int
    ledger: int
    next_expiry: tuple[int, int] | None
    used: int


def holdings(read: Callable[[bytes], Any], member_id: str, at: int, today: int) -> list[Holding]:
    """What a member has in each program and as stored value, the most recently used first."""
    member: Member | None = read(schema.named(schema.MEMBER, member_id))
    if member is None:
        return []
    found = []
    for program in member.programs:
        row: Points | None = read(schema.points(member_id, program))
        if row is None:
            continue
        purse = Purse(read, member_id, program)
        found.append(
            Holding(
                "points",
                program,
                purse.available(today),
                purse.ledger(),
                purse.next_expiry(today),
                row.used,
            )
        )
    value: Value | None = read(schema.named(schema.VALUE, member_id))
    if value is not None and (value.used or value.balance):
        wallet = Wallet(read, member_id, [])
        free = wallet.available(at, today)
        found.append(Holding("value", MONEY, free, wallet.balance, None, value.used))
    return sorted(found, key=lambda holding: (-holding.used, holding.unit))


def statement(read: Callable[[bytes], Any], member_id: str) -> tuple[tuple[int, str, int], ...]:
    """The last movements of a member's points, the newest first.

    Returns:
        Business date YYYYMMDD, type (4 characters) and points (+ received, - given), a line for
        each entry and program, `RECENT_MAX` at most. Expired points and opening balances are among
        them; a sale that earned nothing has moved nothing.
    """
    member: Member | None = read(schema.named(schema.MEMBER, member_id))
    recent: list[tuple[int, str]] = []
    for program in member.programs if member is not None else ():
        row: Points | None = read(schema.points(member_id, program))
        if row is not None:
            recent += [(sequence, program) for sequence in row.recent]
    lines = []
    for sequence, program in sorted(recent, reverse=True)[:RECENT_MAX]:
        entry: Entry = read(schema.entry(sequence))
        moved = 0
        for account, unit, amount in entry.postings:
            if unit == program:
                kind, _, rest = account.partition(":")
                if kind in _MEMBERS_OWN and rest.startswith(f"{member_id}:"):
                    moved += amount
        lines.append((entry.date, type_of(entry.kind), moved))
    return tuple(lines)


def type_of(kind: str) -> str:
    """What a mini-statement calls a kind of entry: four letters or digits."""
    known = TYPES.get(kind)
    if known is not None:
        return known
    return "".join(letter for letter in kind.upper() if letter.isalnum())[:4].ljust(4, "X")
