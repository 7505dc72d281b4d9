"""Pruning: what is remembered of requests is forgotten once no repeat can be due any more.

Identities are kept for the batch in force and the two before it, and seven days at least
(``protocol.md``, section 6); so is the row of the batch. Of a disputed batch they are kept for
longer, since clearing looks the terminal's items up by them. A batch that its terminal never
settled stays: its reversals still work. Entries, and what became of them, stay for good: refunds
name them by RRN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import batches
from engine.campaigns import Receipt
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import Batch
from engine.terms import DAY_MS
from ledger import schema

BATCHES_KEPT = 3
"""Batches of a terminal that are kept whole: the one in force and those before it."""

KEPT_MS = {"settled": 7 * DAY_MS, "disputed": 60 * DAY_MS}
"""How long a batch is kept after it was closed."""

STANS_MAX = 256
"""Trace numbers that one command goes through."""


@dataclass(slots=True)
class PruneBatch:
    """Forget identities of a closed batch, and at last the batch itself."""

    terminal: str
    batch: int


@dataclass(slots=True)
class PruneReceipt:
    """Forget which coupons were used on a receipt of an earlier day."""

    merchant: str
    reference: str


def prune_receipt(command: PruneReceipt, draft: Draft) -> Reason:
    """Forget a receipt, on which no further coupon can be used."""
    key = schema.receipt(command.merchant, command.reference)
    receipt: Receipt | None = draft.read(key)
    if receipt is None or receipt.day >= draft.today:
        return Reason.UNCHANGED
    draft.rows[key] = None
    return Reason.APPROVED


def old_receipt(key: bytes, row: Receipt, today: int, _at: int) -> Iterator[PruneReceipt]:
    """The command that forgets a receipt whose day is over."""
    if row.day < today:
        yield PruneReceipt(*schema.receipt_parts(key))


def prune_batch(command: PruneBatch, draft: Draft) -> Reason:
    """Go through the next trace numbers of a batch that is not needed any more."""
    key = schema.batch(command.terminal, command.batch)
    batch: Batch | None = draft.read(key)
    if batch is None or not _old(batch, draft.at):
        return Reason.UNCHANGED
    newest = batches.in_force(draft.read, command.terminal, draft.at)
    if batches.age(newest, command.batch) < BATCHES_KEPT:
        return Reason.UNCHANGED
    end = min(batch.stan_max + 1, batch.stan_min + STANS_MAX)
    for stan in range(batch.stan_min, end):
        place = schema.identity(command.terminal, command.batch, stan)
        if draft.read(place) is not None:
            draft.rows[place] = None
    draft.rows[key] = amended(batch, stan_min=end) if end <= batch.stan_max else None
    return Reason.APPROVED


def _old(batch: Batch, at: int) -> bool:
    return bool(batch.closed) and at - batch.closed > KEPT_MS[batch.state]


def prunable(key: bytes, row: Batch, _today: int, at: int) -> Iterator[PruneBatch]:
    """The commands that forget a batch: one for each stretch of its trace numbers."""
    if _old(row, at):
        command = PruneBatch(*schema.batch_parts(key))
        for _ in range(1 + max(row.stan_max - row.stan_min, 0) // STANS_MAX):
            yield command
