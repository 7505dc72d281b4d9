"""Terminals: keys handed out and confirmed, batches settled, items uploaded."""

from __future__ import annotations

from dataclasses import dataclass

from engine import batches
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import NEW_BATCH, NO_KEYS, Batch, Keys, Link, Upload
from ledger import schema

OLD_KEYS_MS = 60_000
"""How long the key set before the confirmed one is still honoured."""

Totals = tuple[tuple[str, int, int, int, int], ...]


@dataclass(slots=True)
class SignOn:
    """A terminal that proved who it is asked for its key set.

    Attributes:
        terminal: terminal id.
        number: the pending key set that it was handed.
        software, parameters: versions that it reported, empty where it did not.
    """

    terminal: str
    number: int
    software: str
    parameters: str


@dataclass(slots=True)
class ConfirmKeys:
    """The first message that verified under the pending key set.

    Attributes:
        terminal: terminal id.
        number: the key set.
    """

    terminal: str
    number: int


@dataclass(slots=True)
class Settlement(Request):
    """Batch settlement: the terminal's totals (unit, debits, debited, credits, credited)."""

    totals: Totals


@dataclass(slots=True)
class UploadItem(Request):
    """One item of a batch upload, and whether it is the last message.

    Attributes:
        original_batch, original_stan: identity of the item, 0 when the message carries none.
        unit, amount, rrn, response, tokens: the item as the terminal has it.
        last: True for the end of the upload.
    """

    original_batch: int
    original_stan: int
    unit: str
    amount: int
    rrn: str
    response: str
    tokens: tuple[Token, ...]
    last: bool


def sign_on(command: SignOn, draft: Draft) -> Reason:
    """Note that a terminal was handed its pending keys."""
    draft.facts = (("keys", command.number),)
    return Reason.APPROVED


def confirm_keys(command: ConfirmKeys, draft: Draft) -> Reason:
    """Put the pending set in force; the one before dies a minute later."""
    key = schema.terminal(schema.KEYS, command.terminal)
    keys: Keys = draft.read(key) or NO_KEYS
    if command.number != keys.number + 1:
        return Reason.UNCHANGED
    previous = keys.number if keys.live else 0
    draft.rows[key] = Keys(command.number, True, previous, draft.at + OLD_KEYS_MS)
    return Reason.APPROVED


def settle(command: Settlement, draft: Draft) -> Reason:
    """Close a batch whose totals agree; else tell the host's totals and leave it open."""
    batch: Batch = draft.read(schema.batch(command.terminal, command.batch)) or NEW_BATCH
    if batches.differing(batch, command.totals):
        draft.facts = (("totals", batches.whole(batch)),)
        return Reason.TOTALS_DIFFER
    _close(command, draft, batch, "settled")
    return Reason.APPROVED


def upload(command: UploadItem, draft: Draft) -> Reason:
    """Keep an item for matching; the last message closes the batch as disputed."""
    if command.original_stan:
        draft.rows[
            schema.upload(
                command.terminal, command.original_batch, command.original_stan, command.stan
            )
        ] = Upload(
            command.function,
            command.amount,
            command.unit,
            command.rrn,
            command.response,
            command.tokens,
        )
    if command.last:
        batch: Batch = draft.read(schema.batch(command.terminal, command.batch)) or NEW_BATCH
        _close(command, draft, batch, "disputed")
    return Reason.APPROVED


def _close(command: Request, draft: Draft, batch: Batch, state: str) -> None:
    """Close a batch and put the next in force, where it is the newest."""
    draft.rows[schema.batch(command.terminal, command.batch)] = amended(
        batches.with_stan(batch, command.stan), state=state, closed=draft.at
    )
    if batches.in_force(draft.read, command.terminal, draft.at) == command.batch:
        draft.rows[schema.terminal(schema.LINK, command.terminal)] = Link(
            batches.following(command.batch)
        )
