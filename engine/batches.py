"""Batches of terminals: which is in force, and what it adds up to (``protocol.md``, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.draft import amended
from engine.records import CALENDAR, FIRST_LINK, NEW_BATCH, Batch, Calendar, Link
from engine.terms import DAY_MS
from ledger import schema

BATCH_MAX: Final = 999_999
DAYS_OPEN: Final = 7
"""How long a batch may be left open, where the calendar is not set; see `Calendar.batch_days`."""

Lines = tuple[tuple[str, int, int, int, int], ...]
"""Unit, debit count, debit amount, credit count, credit amount."""


def following(number: int) -> int:
    """The number of the batch after this one."""
    return number + 1 if number < BATCH_MAX else 1


def in_force(read: Callable[[bytes], Any], terminal: str, at: int) -> int:
    """The number of the batch in force for a terminal at a time in ms."""
    link: Link = read(schema.terminal(schema.LINK, terminal)) or FIRST_LINK
    batch: Batch | None = read(schema.batch(terminal, link.batch))
    if batch is not None and not running(read, batch, at):
        return following(link.batch)
    return link.batch


def before(number: int) -> int:
    """The number of the batch before this one."""
    return number - 1 if number > 1 else BATCH_MAX


def age(newest: int, number: int) -> int:
    """How many batches ago `number` was, seen from `newest`; numbers go round."""
    return (newest - number) % BATCH_MAX


def running(read: Callable[[bytes], Any], batch: Batch, at: int) -> bool:
    """True unless a batch has been left open for too long.

    One that has is retired: the next is in force, its reversals still work.
    """
    since = batch.since
    if not since or at - since <= DAY_MS:  # a day is the least that may be configured
        return True
    calendar: Calendar | None = read(CALENDAR)
    return at - since <= DAY_MS * (DAYS_OPEN if calendar is None else calendar.batch_days)


def counted(
    batch: Batch, at: int, date: int, lines: tuple[tuple[str, str, int], ...], stan: int
) -> Batch:
    """A batch after a transaction that counts `lines` (unit, side, amount).

    A side is ``D`` or ``C``; with a minus before it, the line is taken back.

    Args:
        batch: the batch before.
        at: command time, ms.
        date: the open business date: lines of another one are put aside.
        lines: what counts.
        stan: of which an identity is kept.
    """
    totals, earlier = batch.totals, batch.earlier
    if batch.date != date:
        if totals:
            earlier = dated(batch)
        totals = ()
    for unit, side, amount in lines:
        totals = _add(totals, unit, side, amount)
    low, high = batch.stan_min, batch.stan_max
    return Batch(
        batch.state,
        batch.since or at,
        date,
        totals,
        earlier,
        stan if stan < low else low,
        stan if stan > high else high,
        batch.closed,
    )


def with_stan(batch: Batch, stan: int) -> Batch:
    """A batch in which an identity with this STAN is kept."""
    if batch.stan_min <= stan <= batch.stan_max:
        return batch
    kept: Batch = amended(
        batch, stan_min=min(batch.stan_min, stan), stan_max=max(batch.stan_max, stan)
    )
    return kept


def dated(batch: Batch) -> tuple[tuple[int, str, int, int, int, int], ...]:
    """All lines of a batch, each behind its business date, ascending."""
    return (*batch.earlier, *[(batch.date, *line) for line in batch.totals])


def whole(batch: Batch) -> Lines:
    """A batch's totals over all its business dates, ascending by unit, lines of zeros left out."""
    return added(dated(batch))


def added(lines: Iterable[tuple[int, str, int, int, int, int]]) -> Lines:
    """Lines added up by unit, ascending, those of zeros left out."""
    sums: dict[str, list[int]] = {}
    for _, unit, *figures in lines:
        known = sums.get(unit)
        sums[unit] = (
            figures if known is None else [a + b for a, b in zip(known, figures, strict=True)]
        )
    return tuple(
        (unit, a, b, c, d) for unit, (a, b, c, d) in sorted(sums.items()) if a or b or c or d
    )


def _add(
    totals: tuple[tuple[str, int, int, int, int], ...], unit: str, side: str, amount: int
) -> tuple[tuple[str, int, int, int, int], ...]:
    count = 1
    if side[0] == "-":
        count, amount, side = -1, -amount, side[1:]
    debit = side == "D"
    for index, (name, debits, debited, credits_, credited) in enumerate(totals):
        if name == unit:
            if debit:
                line = (name, debits + count, debited + amount, credits_, credited)
            else:
                line = (name, debits, debited, credits_ + count, credited + amount)
            return (*totals[:index], line, *totals[index + 1 :])
    line = (unit, count, amount, 0, 0) if debit else (unit, 0, 0, count, amount)
    return tuple(sorted((*totals, line)))


def differing(batch: Batch | None, claimed: tuple[tuple[str, int, int, int, int], ...]) -> bool:
    """True when the terminal's totals are not the host's; an absent unit counts as zero."""
    ours = {line[0]: line[1:] for line in whole(batch or NEW_BATCH)}
    theirs = {line[0]: line[1:] for line in claimed if any(line[1:])}
    return ours != theirs
