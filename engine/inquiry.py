"""Answers that change nothing: what a member has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.points import Purse
from engine.records import Member, Points, Value
from engine.value import Wallet
from ledger import schema
from ledger.model import MONEY


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
