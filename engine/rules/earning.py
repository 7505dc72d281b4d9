"""Administration of earn rules and credit limits; see `engine.earning` and `engine.limits`."""

from __future__ import annotations

from dataclasses import dataclass

from engine import earning
from engine.draft import Draft
from engine.reasons import Reason
from engine.records import Ratio
from engine.rulebook import credit_name
from engine.rules.limits import put_line
from engine.rules.reference import party_known, refuse
from ledger import schema
from ledger.model import values_of


@dataclass(slots=True)
class PutEarnRule:
    """An earn rule of a program; see `engine.earning.EarnRule`."""

    program: str
    id: str
    scope: str
    key: str
    tier: str
    multiplier: Ratio
    funder: str
    stacks: bool
    priority: int
    since: int
    until: int


@dataclass(slots=True)
class PutCredit:
    """What a party may owe: its credit line and deposit together.

    Attributes:
        party: a merchant.
        limit: fen; -1 for no bound.
    """

    party: str
    limit: int


def put_earn_rule(command: PutEarnRule, draft: Draft) -> Reason:
    """Register or change an earn rule; known by program, id and the merchant, if it has one."""
    program, scope, key = command.program, command.scope, command.key
    if draft.read(schema.named(schema.PROGRAM, program)) is None:
        return refuse(draft, f"program {program} is not registered; load it first")
    table = {"merchant": schema.MERCHANT, "institution": schema.INSTITUTION}.get(scope)
    if table is not None and draft.read(schema.named(table, key)) is None:
        return refuse(draft, f"{scope} {key} is not registered; load it first")
    funder = command.funder
    if funder and not party_known(draft, funder):
        return refuse(draft, f"party {funder} is not registered; load it first")
    return put_line(draft, earning.book_name(program, scope, key), values_of(command)[1:])


def put_credit(command: PutCredit, draft: Draft) -> Reason:
    """Set or lift a merchant's credit limit."""
    if draft.read(schema.named(schema.MERCHANT, command.party)) is None:
        return refuse(draft, f"merchant {command.party} is not registered; load it first")
    return put_line(draft, credit_name(command.party), ("credit", command.limit))
