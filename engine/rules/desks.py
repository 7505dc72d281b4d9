"""Administration of tills: operators, locks, and the parameters that terminals download."""

from __future__ import annotations

from dataclasses import dataclass

from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import Operator, Parameters, Terminal
from engine.rules.reference import refuse, replace_row
from ledger import schema

SCOPES = {"any": 0, "merchant": schema.MERCHANT, "terminal": schema.TERMINAL}
"""Whom parameters are for, with the table in which it is registered."""


@dataclass(slots=True)
class PutOperator:
    """An operator of a merchant; see `engine.records.Operator`.

    Attributes:
        pin: keyed digest of the PIN; empty to leave it as it is.
    """

    merchant: str
    id: str
    name: str
    pin: bytes
    role: str
    enabled: bool


@dataclass(slots=True)
class UnlockOperator:
    """An operator's wrong PINs are forgiven; `by` says who did it, `why` what for."""

    merchant: str
    id: str
    by: str
    why: str


@dataclass(slots=True)
class SetTerminal:
    """A terminal is enabled, disabled, locked or unlocked.

    Attributes:
        id: terminal id.
        action: ``enable``, ``disable``, ``lock`` or ``unlock``.
        by, why: who did it, and what for.
    """

    id: str
    action: str
    by: str
    why: str


@dataclass(slots=True)
class PutParameters:
    """Parameters for terminals to download; see `engine.records.Parameters`."""

    scope: str
    key: str
    version: str
    software: str
    entries: tuple[tuple[str, str], ...]


def put_operator(command: PutOperator, draft: Draft) -> Reason:
    """Register or change an operator; a new PIN forgives wrong ones."""
    if draft.read(schema.named(schema.MERCHANT, command.merchant)) is None:
        return refuse(draft, f"merchant {command.merchant} is not registered; load it first")
    key = schema.operator(command.merchant, command.id)
    old: Operator | None = draft.read(key)
    pin, failures = command.pin, 0
    if old is not None and (not pin or pin == old.pin):
        pin, failures = old.pin, old.pin_failures
    row = Operator(
        command.merchant,
        command.id,
        command.name,
        pin,
        failures,
        command.role,
        command.enabled,
        1,
    )
    return replace_row(draft, key, row, old)


def unlock_operator(command: UnlockOperator, draft: Draft) -> Reason:
    """Forgive an operator's wrong PINs."""
    key = schema.operator(command.merchant, command.id)
    old: Operator | None = draft.read(key)
    if old is None:
        return refuse(draft, f"merchant {command.merchant} has no operator {command.id}")
    if not old.pin_failures:
        return Reason.UNCHANGED
    draft.rows[key] = amended(old, pin_failures=0)
    draft.facts = (("before", old.pin_failures), ("after", 0))
    return Reason.APPROVED


def set_terminal(command: SetTerminal, draft: Draft) -> Reason:
    """Enable, disable, lock or unlock a terminal; live connections feel it at once."""
    key = schema.terminal(schema.TERMINAL, command.id)
    old: Terminal | None = draft.read(key)
    if old is None:
        return refuse(draft, f"terminal {command.id} is not registered")
    if command.action in {"enable", "disable"}:
        row = amended(old, enabled=command.action == "enable")
    else:
        row = amended(old, locked=command.action == "lock")
    if row == old:
        return Reason.UNCHANGED
    draft.rows[key] = amended(row, revision=old.revision + 1)
    draft.facts = (("before", _state(old)), ("after", _state(row)))
    return Reason.APPROVED


def _state(row: Terminal) -> str:
    words = ["enabled" if row.enabled else "disabled"]
    if row.locked:
        words.append("locked")
    return " ".join(words)


def put_parameters(command: PutParameters, draft: Draft) -> Reason:
    """Set what terminals of a scope download; whoever has another version is told to."""
    table = SCOPES[command.scope]
    if table and draft.read(schema.named(table, command.key)) is None:
        return refuse(draft, f"{command.scope} {command.key} is not registered; load it first")
    key = schema.parameters(command.scope, command.key)
    row = Parameters(command.version, command.software, command.entries, 1)
    return replace_row(draft, key, row, draft.read(key))
