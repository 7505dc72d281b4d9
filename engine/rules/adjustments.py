"""Adjustments by hand: one person proposes, another confirms, and only then anything is posted.

Points and stored value are given or taken against the operator's promotion account; debts of
members are written off against the program's margin, and stored value that ran out becomes income
in no other way than this (``accounting.md``). A proposal is known by an
id of the proposer's choice, a ticket's number say, so that to send it twice proposes once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine import rounding
from engine.draft import Draft, amended
from engine.points import POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import Program, Sequel, Undo
from engine.rules.reference import is_closed, refuse
from engine.terms import expiry_of
from engine.value import VALUE_MAX
from ledger import chart, codec, schema
from ledger.model import MONEY, Entry, values_of

_RELEASED = "points released"
"""Kind of the entries that let pending points be spent."""

ISSUER = "adjustment"
"""Issuer of points given by hand, and the cost centre that pays for them."""


@dataclass(slots=True)
class Proposal:
    """An adjustment, proposed or decided.

    Attributes:
        what: ``points``, ``debt``, ``value``, or ``breakage``: value that ran out, to income.
        member: whose.
        unit: the program, or ``156``.
        amount: given, or taken with a minus; how much of a debt is written off, or becomes income.
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

_RUN_OUT: Final = "the points would have run out already"


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
    is_value = command.what in {"value", "breakage"}
    if is_value != (command.unit == MONEY):
        return refuse(draft, "value is in unit 156, points and debts in a program's")
    if not is_value and draft.read(schema.named(schema.PROGRAM, command.unit)) is None:
        return refuse(draft, f"unit {command.unit} is not a registered program")
    if not command.amount:
        return refuse(draft, "the amount is zero: there is nothing to adjust")
    if command.amount < 0 and command.what in {"debt", "breakage"}:
        return refuse(draft, "the amount is below zero: only points and value can be taken")
    row = Proposal(*[*values_of(command)[1:], "", "proposed", 0])
    key = schema.named(schema.PROPOSAL, command.id)
    known: Proposal | None = draft.read(key)
    if known is not None:
        same = amended(known, decided_by="", state="proposed", sequence=0) == row
        return Reason.UNCHANGED if same else refuse(draft, "another proposal has this id")
    if 0 < command.expires < draft.today:
        return refuse(draft, _RUN_OUT)
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
    if known is not None and known.state == "proposed" and _same(command.by, known.proposed_by):
        return refuse(draft, "a second person has to confirm")
    reason = _decide(command.id, command.by, "confirmed", draft)
    if known is None or reason is not Reason.APPROVED:
        return reason
    draft.member = known.member
    bad = _to_nobody(known, draft) or _POSTINGS[known.what](known, draft)
    if bad:
        draft.rows.clear()
        return refuse(draft, bad)
    return Reason.APPROVED


def _same(one: str, other: str) -> bool:
    """Whether two names are one person's, however they are typed."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


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


def _to_nobody(row: Proposal, draft: Draft) -> str:
    if row.what in {"points", "value"} and row.amount > 0 and is_closed(draft, row.member):
        return f"the account of member {row.member} is closed: open it first"
    return ""


def _points(row: Proposal, draft: Draft) -> str:
    program: Program = draft.read(schema.named(schema.PROGRAM, row.unit))
    purse = draft.purse(row.member, row.unit)
    if row.amount > 0:
        expires = row.expires or expiry_of(program, draft.today)
        if expires < draft.today:
            return _RUN_OUT
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


def _breakage(row: Proposal, draft: Draft) -> str:
    """Take value that ran out to income: what is taken cannot be re-activated any more."""
    account = chart.value_expired(row.member)
    if row.amount > (draft.read(schema.balance(account)) or 0):
        return "not so much of the member's stored value has run out"
    draft.post(account, MONEY, -row.amount)
    draft.post(chart.breakage("value"), MONEY, row.amount)
    return ""


_POSTINGS: dict[str, Callable[[Proposal, Draft], str]] = {
    "points": _points,
    "debt": _debt,
    "value": _value,
    "breakage": _breakage,
}


# Pending points.


def release(command: Release, draft: Draft) -> Reason:
    """Let the points that a transaction gave be spent, once; nothing is posted."""
    entry: Entry | None = draft.read(schema.entry(command.origin)) if command.origin > 0 else None
    if entry is None or entry.outcome[0] != Reason.APPROVED:
        return refuse(draft, "there is no such approved transaction")
    if "undid" in dict(entry.outcome[3]):
        return refuse(draft, "it gave nothing, it undid another transaction")
    note = _note_of_release(command.origin, draft)
    if note is None:
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
    draft.rows[note] = Sequel(draft.sequence)
    draft.member = entry.outcome[1]
    draft.facts = (("released", released),)
    return Reason.APPROVED


def _note_of_release(origin: int, draft: Draft) -> bytes | None:
    """The key for the note that pending points of a transaction were let free by hand.

    What followed a referral already is its second half; the release then follows that.

    Returns:
        None where the transaction has its note.
    """
    key = schema.sequel(origin)
    sequel: Sequel | None = draft.read(key)
    while sequel is not None:
        entry: Entry = draft.read(schema.entry(sequel.sequence))
        if entry.kind == _RELEASED and entry.command[0] == origin:
            return None
        key = schema.sequel(sequel.sequence)
        sequel = draft.read(key)
    return key
