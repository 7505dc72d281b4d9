"""Adjustments by hand: one person proposes, another confirms, and only then anything is posted.

Points and stored value are given or taken against the operator's promotion account; debts of
members are written off against the program's margin (``accounting.md``). A proposal is known by an
id of the proposer's choice, a ticket's number say, so that to send it twice proposes once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine import rounding
from engine.draft import Draft, amended
from engine.points import POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import Program, Sequel, Undo
from engine.rules.reference import refuse
from engine.terms import expiry_of
from engine.value import VALUE_MAX
from ledger import chart, codec, schema
from ledger.model import MONEY, Entry

ISSUER = "adjustment"
"""Issuer of points given by hand, and the cost centre that pays for them."""


@dataclass(slots=True)
class Proposal:
    """An adjustment, proposed or decided.

    Attributes:
        what: ``points``, ``debt`` or ``value``.
        member: whose.
        unit: the program, or ``156``.
        amount: given, or taken with a minus; of a debt, how much is written off.
        expires: last day of points given; 0 for what the program says on the day of confirmation.
        text: why.
        proposed_by, decided_by: names of persons.
        state: ``proposed``, ``confirmed`` or ``withdrawn``.
        sequence: the entry that posted it, 0 for none.
    """

    what: str
    member: str
    unit: str
    amount: int
    expires: int
    text: str
    proposed_by: str
    decided_by: str
    state: str
    sequence: int


codec.register(schema.PROPOSAL, Proposal)


@dataclass(slots=True)
class Propose:
    """An adjustment is proposed; see `Proposal`."""

    id: str
    what: str
    member: str
    unit: str
    amount: int
    expires: int
    text: str
    by: str


@dataclass(slots=True)
class Confirm:
    """Another person confirms an adjustment, which posts it."""

    id: str
    by: str


@dataclass(slots=True)
class Withdraw:
    """Anybody takes a proposal back before it is confirmed."""

    id: str
    by: str


@dataclass(slots=True)
class Release:
    """Pending points of a transaction may be spent from now on.

    Attributes:
        origin: sequence number of the transaction.
        by: name of the person who says so.
    """

    origin: int
    by: str


def propose(command: Propose, draft: Draft) -> Reason:
    """Note an adjustment; nothing is posted yet."""
    if draft.read(schema.named(schema.MEMBER, command.member)) is None:
        return refuse(draft, f"member {command.member} is not registered")
    is_value = command.what == "value"
    if is_value != (command.unit == MONEY):
        return refuse(draft, "value is in unit 156, points and debts in a program's")
    if not is_value and draft.read(schema.named(schema.PROGRAM, command.unit)) is None:
        return refuse(draft, f"unit {command.unit} is not a registered program")
    if not command.amount or (command.what == "debt" and command.amount < 0):
        return refuse(draft, "the amount is zero, or of a debt below zero")
    row = Proposal(
        command.what,
        command.member,
        command.unit,
        command.amount,
        command.expires,
        command.text,
        command.by,
        "",
        "proposed",
        0,
    )
    key = schema.named(schema.PROPOSAL, command.id)
    known: Proposal | None = draft.read(key)
    if known is not None:
        same = amended(known, decided_by="", state="proposed", sequence=0) == row
        return Reason.UNCHANGED if same else refuse(draft, "another proposal has this id")
    draft.rows[key] = row
    draft.member = command.member
    return Reason.APPROVED


def withdraw(command: Withdraw, draft: Draft) -> Reason:
    """Take a proposal back."""
    return _decide(command.id, command.by, "withdrawn", draft)


def confirm(command: Confirm, draft: Draft) -> Reason:
    """Post an adjustment that another person proposed."""
    key = schema.named(schema.PROPOSAL, command.id)
    known: Proposal | None = draft.read(key)
    if known is not None and known.state == "proposed" and command.by == known.proposed_by:
        return refuse(draft, "a second person has to confirm")
    reason = _decide(command.id, command.by, "confirmed", draft)
    if known is None or reason is not Reason.APPROVED:
        return reason
    draft.member = known.member
    bad = _POSTINGS[known.what](known, draft)
    if bad:
        draft.rows.clear()
        return refuse(draft, bad)
    return Reason.APPROVED


def _decide(name: str, by: str, state: str, draft: Draft) -> Reason:
    key = schema.named(schema.PROPOSAL, name)
    known: Proposal | None = draft.read(key)
    if known is None:
        return refuse(draft, "there is no such proposal")
    if known.state == state and known.decided_by == by:
        return Reason.UNCHANGED
    if known.state != "proposed":
        return refuse(draft, f"it is {known.state} already, by {known.decided_by}")
    sequence = draft.sequence if state == "confirmed" else 0
    draft.rows[key] = amended(known, state=state, decided_by=by, sequence=sequence)
    draft.member = known.member
    return Reason.APPROVED


# Posting. Each returns why it cannot, or nothing.


def _points(row: Proposal, draft: Draft) -> str:
    program: Program = draft.read(schema.named(schema.PROGRAM, row.unit))
    purse = draft.purse(row.member, row.unit)
    if row.amount > 0:
        expires = row.expires or expiry_of(program, draft.today)
        if expires < draft.today:
            return "the points would have run out already"
        purse.put(ISSUER, expires, row.amount)
        if purse.ledger() > POINTS_MAX:
            return f"a member cannot have more than {POINTS_MAX} points"
    elif purse.take(-row.amount, draft.today) is None:
        return "the member has not so many points"
    draft.post(chart.adjusted(program.id), program.id, -row.amount)
    if program.settled:
        value = rounding.fund_value(abs(row.amount), program) * (1 if row.amount > 0 else -1)
        draft.post(chart.fund(program.id), MONEY, value)
        draft.post(chart.promo(ISSUER), MONEY, -value)
    _tell(row.amount, program, purse, draft)
    return ""


def _debt(row: Proposal, draft: Draft) -> str:
    program: Program = draft.read(schema.named(schema.PROGRAM, row.unit))
    purse = draft.purse(row.member, row.unit)
    if purse.forgive(row.amount) != row.amount:
        return "the member does not owe so many points"
    draft.post(chart.adjusted(program.id), program.id, -row.amount)
    if program.settled:
        value = rounding.fund_value(row.amount, program)
        draft.post(chart.margin(program.id), MONEY, -value)
        draft.post(chart.fund(program.id), MONEY, value)
    _tell(row.amount, program, purse, draft)
    return ""


def _tell(amount: int, program: Program, purse: Purse, draft: Draft) -> None:
    draft.versions = (program.revision,)
    draft.show(purse)
    draft.facts = (("moved", f"{amount:+d}"),)


def _value(row: Proposal, draft: Draft) -> str:
    wallet = draft.wallet(row.member)
    if row.amount < 0 and wallet.available(draft.at, draft.today) < -row.amount:
        return "the member has not so much stored value"
    if wallet.balance + row.amount > VALUE_MAX:
        return f"a member cannot have more than {VALUE_MAX} fen"
    wallet.move(row.amount)
    draft.post(chart.promo(ISSUER), MONEY, -row.amount)
    draft.show()
    return ""


_POSTINGS: dict[str, Callable[[Proposal, Draft], str]] = {
    "points": _points,
    "debt": _debt,
    "value": _value,
}


# Pending points.


def release(command: Release, draft: Draft) -> Reason:
    """Let the points that a transaction gave be spent, once; nothing is posted."""
    entry: Entry | None = draft.read(schema.entry(command.origin)) if command.origin > 0 else None
    if entry is None or entry.outcome[0] != Reason.APPROVED:
        return refuse(draft, "there is no such approved transaction")
    if draft.read(schema.sequel(command.origin)) is not None:
        return Reason.UNCHANGED
    undo: Undo | None = draft.read(schema.undo(command.origin))
    if undo is not None and (undo.reversed_by or undo.voided_by):
        return refuse(draft, "the transaction was undone")
    released = 0
    for account, unit, amount in entry.postings:
        kind, _, rest = account.partition(":")
        if kind == "Lot" and amount > 0:
            member, _, issuer, expiry = rest.split(":")
            released += draft.purse(member, unit).release(issuer, int(expiry), amount)
    if not released:
        return refuse(draft, "nothing of it is pending")
    for purse in draft.purses:
        draft.rows.update(purse.changes(draft.at, 0))
    draft.rows[schema.sequel(command.origin)] = Sequel(draft.sequence)
    draft.member = entry.outcome[1]
    draft.facts = (("released", released),)
    return Reason.APPROVED
