"""Batches of terminals: which is in force, and what it adds up to (``protocol.md``, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.records import FIRST_LINK, NEW_BATCH, Batch, Link
from engine.terms import DAY_MS
from ledger import schema

BATCH_MAX = 999_999
OPEN_MS_MAX = 7 * DAY_MS
"""A batch left open for longer is retired: the next one is in force, its reversals still work."""


def following(number: int) -> int:
    """The number of the batch after this one."""
    return number + 1 if number < BATCH_MAX else 1


def in_force(read: Callable[[bytes], Any], terminal: str, at: int) -> int:
    """The number of the batch in force for a terminal at a time in ms."""
    link: Link = read(schema.terminal(schema.LINK, terminal)) or FIRST_LINK
    batch: Batch | None = read(schema.batch(terminal, link.batch))
    if batch is not None and not running(batch, at):
        return following(link.batch)
    return link.batch


def running(batch: Batch, at: int) -> bool:
    """True unless a batch has been left open for too long."""
    return not batch.since or at - batch.since <= OPEN_MS_MAX


def counted(batch: Batch, at: int, lines: tuple[tuple[str, str, int], ...]) -> Batch:
    """A batch after a transaction that counts `lines` (unit, side, amount).

    A side is ``D`` or ``C``; with a minus before it, the line is taken back.
    """
    totals = batch.totals
    for unit, side, amount in lines:
        totals = _add(totals, unit, side, amount)
    return Batch(batch.state, batch.since or at, totals, batch.stan_max)


def with_stan(batch: Batch, stan: int) -> Batch:
    """A batch in which an identity with this STAN is kept."""
    if stan <= batch.stan_max:
        return batch
    return Batch(batch.state, batch.since, batch.totals, stan)


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
    ours = {line[0]: line[1:] for line in (batch or NEW_BATCH).totals if any(line[1:])}
    theirs = {line[0]: line[1:] for line in claimed if any(line[1:])}
    return ours != theirs
