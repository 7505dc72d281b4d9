"""Answers that change nothing: what a member has, what became of it lately, totals of a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine import batches
from engine.batches import Lines
from engine.points import Purse
from engine.records import RECENT_MAX, Batch, Member, Points, Site, Terminal, Value
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
    "release": "HREL",
    "hold time-out": "HREL",
    "transfer in": "TRIN",
    "transfer back": "TRBK",
}
"""Kinds of entries to what a mini-statement calls them; others by the first four letters."""

BATCHES_MAX = 100
"""Batches of a terminal that are looked at for the totals of a day."""

TERMINALS_MAX = 1000
"""Terminals of a merchant whose totals of a day are added up in one answer."""

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
    """What a member has in each program and as stored value, the most recently used first.

    Args:
        read: point read of a row.
        member_id: whose holdings.
        at: time in ms; a hold that is over by then keeps nothing.
        today: local date of `at`.
    """
    member: Member | None = read(schema.named(schema.MEMBER, member_id))
    if member is None:
        return []
    found = []
    for program in member.programs:
        row: Points | None = read(schema.points(member_id, program))
        if row is None:
            continue
        purse = Purse(read, member_id, program)
        purse.ripen(today)
        found.append(
            Holding(
                "points",
                program,
                purse.available(today) + purse.timed_out(at, today),
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
        Business date YYYYMMDD, type (4 characters) and points of each of `movements`.
    """
    return tuple(
        (entry.date, type_of(entry.kind), moved) for entry, _, moved in movements(read, member_id)
    )


def movements(read: Callable[[bytes], Any], member_id: str) -> list[tuple[Entry, str, int]]:
    """The last entries that moved a member's points, the newest first.

    Returns:
        The entry, the program and points (+ received, - given), for each entry and program,
        `RECENT_MAX` at most. Expired points and opening balances are among them; a sale that earned
        nothing has moved nothing.
    """
    member: Member | None = read(schema.named(schema.MEMBER, member_id))
    recent: list[tuple[int, str]] = []
    for program in member.programs if member is not None else ():
        row: Points | None = read(schema.points(member_id, program))
        if row is not None:
            recent += [(sequence, program) for sequence in row.recent]
    found = []
    for sequence, program in sorted(recent, reverse=True)[:RECENT_MAX]:
        entry: Entry = read(schema.entry(sequence))
        moved = 0
        for account, unit, amount in entry.postings:
            if unit == program:
                kind, _, rest = account.partition(":")
                if kind in _MEMBERS_OWN and rest.startswith(f"{member_id}:"):
                    moved += amount
        found.append((entry, program, moved))
    return found


def type_of(kind: str) -> str:
    """What a mini-statement calls a kind of entry: four letters or digits."""
    known = TYPES.get(kind)
    if known is not None:
        return known
    return "".join(letter for letter in kind.upper() if letter.isalnum())[:4].ljust(4, "X")


def terminal_day(read: Callable[[bytes], Any], terminal: str, date: int, at: int) -> Lines:
    """What a terminal's batches count on a business date, by unit.

    From the batch in force backwards: a closed batch that counted nothing since before the date
    ends the search.
    """
    return _positive(batches.added(_lines_of_day(read, terminal, date, at)))


def _positive(lines: Lines) -> Lines:
    """Lines without numbers below zero, which a terminal cannot be told.

    What was undone on a later date than it was done on counts on the other side.
    """
    return tuple(
        (
            unit,
            max(debits, 0) - min(credits_, 0),
            max(debited, 0) - min(credited, 0),
            max(credits_, 0) - min(debits, 0),
            max(credited, 0) - min(debited, 0),
        )
        for unit, debits, debited, credits_, credited in lines
    )


def _lines_of_day(
    read: Callable[[bytes], Any], terminal: str, date: int, at: int
) -> list[tuple[int, str, int, int, int, int]]:
    found: list[tuple[int, str, int, int, int, int]] = []
    number = newest = batches.in_force(read, terminal, at)
    for _ in range(BATCHES_MAX):
        batch: Batch | None = read(schema.batch(terminal, number))
        if batch is not None:
            found += [line for line in batches.dated(batch) if line[0] == date]
            if batch.closed and batch.date < date:
                break
        elif number != newest:
            break
        number = batches.before(number)
    return found


def site_terminals(read: Callable[[bytes], Any], merchant: str) -> list[str]:
    """The terminals that have been registered for a merchant; some may be another's by now."""
    first: Site | None = read(schema.site(merchant, 0))
    if first is None:
        return []
    names = list(first.terminals)
    for chunk in range(1, first.chunks + 1):
        names += read(schema.site(merchant, chunk)).terminals
    return names


def merchant_day(read: Callable[[bytes], Any], merchant: str, date: int, at: int) -> Lines | None:
    """What all terminals of a merchant count on a business date, by unit.

    Returns:
        None when the merchant has more than `TERMINALS_MAX` terminals.
    """
    names = site_terminals(read, merchant)
    if len(names) > TERMINALS_MAX:
        return None
    found: list[tuple[int, str, int, int, int, int]] = []
    for name in dict.fromkeys(names):
        terminal: Terminal = read(schema.terminal(schema.TERMINAL, name))
        if terminal.merchant == merchant:
            found += _lines_of_day(read, name, date, at)
    return _positive(batches.added(found))
