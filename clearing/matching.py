"""Matching: what terminals uploaded, and what a partner tells, against the journal.

A terminal whose totals differed uploaded each item of its batch (0320) and closed it as disputed.
`match_batches` compares the items one by one with the transactions that the journal has under the
batch's identities. What the rules noted as an exception when it happened (a reversal or void that
came after settlement) is taken over. A *discrepancy* is journaled once, under a name that follows
from what it is about, so that matching again finds it known; it stays open until somebody resolves
it, by an adjustment that settles with the date then open.

Reasons: ``only-here``, ``only-there``, ``amount``, ``twice``, ``date``, ``reversed`` (undone on one
side), ``late-undo`` (an undo that came after settlement).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearing.model import ExceptionItem
from clearing.settle import REQUESTS
from clearing.totals import DISPUTED, Mark
from engine.records import Undo, Upload, identity_of
from engine.rules.clearing import NoteDiscrepancy
from engine.settlement import Discrepancy
from engine.terms import day_number
from engine.vault import Vault
from ledger import schema
from ledger.model import MONEY, Entry
from ledger.tables import Snapshot

APPROVED = "00"
_UNDOING = frozenset({"void", "reversal"})
"""Undoing entries: what they undo counts as undone, they are no items of their own."""


@dataclass(slots=True)
class Found:
    """What matching found.

    Attributes:
        commands: one for each discrepancy, known ones too.
        sequence: the last entry that was looked at.
    """

    commands: list[NoteDiscrepancy] = field(default_factory=list)
    sequence: int = 0


@dataclass(slots=True)
class Transaction:
    """A transaction as the journal has it.

    Attributes:
        undone: it was reversed or voided since.
    """

    sequence: int
    date: int
    merchant: str
    unit: str
    amount: int
    undone: bool


def discrepancies(snapshot: Snapshot) -> Iterator[tuple[str, Discrepancy]]:
    """All discrepancies ever noted, by name."""
    for key, row in snapshot.view.scan(bytes((schema.EXCEPTION,))):
        yield key[1:].decode(), row


def item(name: str, row: Discrepancy, date: int, considered: int) -> ExceptionItem:
    """A discrepancy as files and lists tell it on a date, knowing the journal up to an entry."""
    age = (day_number(date) - day_number(row.since)).days
    resolution = row.resolution if row.resolution <= considered else 0
    return ExceptionItem(
        name,
        row.reason,
        row.since,
        max(0, age),
        row.owner,
        row.merchant,
        row.terminal,
        row.batch,
        row.stan,
        row.rrn,
        row.sequence,
        row.unit,
        row.here,
        row.there,
        resolution,
        row.resolved if resolution else row.text,
    )


def transaction_of(snapshot: Snapshot, sequence: int) -> Transaction | None:
    """The approved transaction that an entry is, None where it is none of its own."""
    entry: Entry | None = snapshot.view.get(schema.entry(sequence)) if sequence > 0 else None
    if entry is None or entry.outcome[0] != 0 or entry.kind in _UNDOING:
        return None
    places = REQUESTS.get(entry.kind)
    if places is None or places[0] < 0 or entry.kind == "upload" or not entry.outcome[4]:
        return None
    amount_at, unit_at, _ = places
    undo: Undo | None = snapshot.view.get(schema.undo(sequence))
    return Transaction(
        sequence,
        entry.date,
        entry.command[1],
        entry.command[unit_at] if unit_at >= 0 else MONEY,
        entry.command[amount_at],
        undo is not None and bool(undo.reversed_by or undo.voided_by),
    )


def match_batches(directory: Path, date: int, marks: list[Mark], vault: Vault) -> Found:
    """Match the batches that terminals closed as disputed on a date.

    Args:
        directory: the data directory.
        date: the business date.
        marks: what the fold noted for matching.
        vault: makes the RRNs of transactions.
    """
    found = Found()
    with Snapshot(directory) as snapshot:
        found.sequence = snapshot.sequence
        for sequence, what, merchant, terminal, batch, stan in marks:
            if what == DISPUTED:
                found.commands += _match_batch(snapshot, date, (merchant, terminal, batch), vault)
                continue
            found.commands.append(
                NoteDiscrepancy(
                    f"late-{sequence}",
                    "late-undo",
                    date,
                    merchant,
                    merchant,
                    terminal,
                    batch,
                    stan,
                    "",
                    sequence,
                    MONEY,
                    0,
                    0,
                    f"{what}: a refund is the way, or an adjustment",
                )
            )
    return found


def _match_batch(
    snapshot: Snapshot, date: int, place: tuple[str, str, int], vault: Vault
) -> Iterator[NoteDiscrepancy]:
    """Compare a batch item by item."""
    merchant, terminal, batch = place
    here = _items_here(snapshot, terminal, batch)
    there = _items_there(snapshot, terminal, batch)
    for stan in sorted(here.keys() | there.keys()):
        ours, theirs = here.get(stan), there.get(stan, [])
        told = _judge(ours, theirs)
        if told is None:
            continue
        reason, text = told
        unit = ours.unit if ours else theirs[0].unit
        yield NoteDiscrepancy(
            f"batch-{terminal}-{batch:06}-{stan:06}",
            reason,
            date,
            merchant,
            merchant,
            terminal,
            batch,
            stan,
            vault.rrn(ours.sequence) if ours else "",
            ours.sequence if ours else 0,
            unit or MONEY,
            ours.amount if ours and not ours.undone else 0,
            sum(row.amount for row in theirs),
            text,
        )


def _judge(ours: Transaction | None, theirs: list[Upload]) -> tuple[str, str] | None:
    """Reason and sentence where the two sides differ."""
    approved = [row for row in theirs if row.response in {APPROVED, ""}]
    if ours is None:
        return ("only-there", "the terminal has it, the host does not") if approved else None
    if not approved:
        return None if ours.undone else ("only-here", "the host has it, the terminal does not")
    if ours.undone:
        return "reversed", "it was undone at the host, the terminal counts it"
    if len(approved) > 1:
        return "twice", f"the terminal uploaded it {len(approved)} times"
    if (approved[0].amount, approved[0].unit or ours.unit) != (ours.amount, ours.unit):
        return "amount", "the amounts differ"
    return None


def _items_here(snapshot: Snapshot, terminal: str, batch: int) -> dict[int, Transaction]:
    prefix = schema.identity(terminal, batch, 0)[:-4]
    found = {}
    for key, row in snapshot.view.scan(prefix):
        identity = identity_of(row)
        transaction = transaction_of(snapshot, identity.sequence) if identity else None
        if transaction is not None:
            found[int.from_bytes(key[-4:], "big")] = transaction
    return found


def _items_there(snapshot: Snapshot, terminal: str, batch: int) -> dict[int, list[Upload]]:
    prefix = schema.upload(terminal, batch, 0, 0)[:-8]
    found: dict[int, list[Upload]] = {}
    for key, row in snapshot.view.scan(prefix):
        found.setdefault(int.from_bytes(key[-8:-4], "big"), []).append(row)
    return found


def rows_of(item_: ExceptionItem) -> dict[str, Any]:
    """An exception as plain data, for ``--json``."""
    return {name: getattr(item_, name) for name in item_.__dataclass_fields__}
