"""Answers that change nothing: what a member has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.points import Purse
from engine.records import Member, Points
from ledger import schema


@dataclass(slots=True)
class Holding:
    """What a member has in a program.

    Attributes:
        unit: the program.
        available: points that can be spent today, less debts.
        ledger: all points, less debts.
        next_expiry: points and day (YYYYMMDD) of the next expiry, None for none.
        used: time of the last movement, ms.
    """

    unit: str
    available: int
    ledger: int
    next_expiry: tuple[int, int] | None
    used: int


def holdings(read: Callable[[bytes], Any], member_id: str, today: int) -> list[Holding]:
    """What a member has in each program, the most recently used first."""
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
                program,
                purse.available(today),
                purse.ledger(),
                purse.next_expiry(today),
                row.used,
            )
        )
    return sorted(found, key=lambda holding: (-holding.used, holding.unit))
