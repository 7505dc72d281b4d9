"""Void, reversal and refund: giving back what an earlier transaction moved.

A void or reversal negates every stored leg of its original, whatever its date, on the date now
open. A refund returns a part: each leg but the last of a unit up to the floor of its cumulative
share, the last leg minus their sum. Lots are refilled in the reverse order of their consumption.

What may be undone and how is declared in the catalogue: R by reversal, V by void, F by refund.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import batches, rounding
from engine.commands import Outcome, Request, Token
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import NEW_BATCH, NO_UNDO, Batch, Identity, Program, Undo
from engine.terms import add_days
from ledger import chart, schema
from ledger.model import MONEY, Entry, Posting

UNDOABLE: dict[str, str] = {}
"""Kind of command to the letters R, V, F of its undo; filled by the catalogue."""

REMEMBERED = b""
"""Content digest of an identity that was reversed before it arrived."""


@dataclass(slots=True)
class Void(Request):
    """Undo of an approved transaction of the same terminal's batch in force.

    Attributes:
        tokens, unit, amount: as the original had them.
        original: sequence number that the RRN carries, 0 when none was sent, -1 for an RRN that
            carries none.
        original_batch, original_stan: the original's identity, 0 when not sent.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int
    original_batch: int
    original_stan: int


@dataclass(slots=True)
class Refund(Request):
    """Return of a part of an earlier transaction of the same merchant.

    Attributes:
        tokens: what names the member, may be empty.
        unit, amount: how much, in the unit of the original's amount.
        original: sequence number that the RRN carries, -1 for an RRN that carries none.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int


@dataclass(slots=True)
class Reversal(Request):
    """Undo of a message that had no good answer; batch and STAN are the original's.

    Attributes:
        tokens, unit, amount: as the original had them.
        cause: why, as the terminal said it.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    cause: str


def void(command: Void, draft: Draft) -> Reason:
    """Undo an approved transaction of the batch in force."""
    sequence, bad = _voided_sequence(command, draft)
    if bad is not None:
        return bad
    entry: Entry | None = draft.read(schema.entry(sequence)) if sequence > 0 else None
    if entry is None or entry.kind not in UNDOABLE or entry.command[0] != command.terminal:
        return Reason.ORIGINAL_UNKNOWN
    original = Outcome(*entry.outcome)
    if original.reason != Reason.APPROVED:
        return Reason.ORIGINAL_UNKNOWN
    if entry.command[2] != command.batch:
        return _of_other_batch(entry, draft)
    draft.member = original.member
    if not draft.names_member(command.tokens, original.member):
        return Reason.OTHER_MEMBER
    # Before the amount: what has none (an enrolment) can have no other one.
    if "V" not in UNDOABLE[entry.kind]:
        return Reason.NOT_UNDOABLE
    bad = _amount_differs(command, entry)
    if bad is not None:
        return bad
    undo: Undo = draft.read(schema.undo(sequence)) or NO_UNDO
    if undo != NO_UNDO:
        return Reason.ALREADY_UNDONE
    give_back(entry, draft)
    draft.rows[schema.undo(sequence)] = amended(undo, voided_by=draft.sequence)
    draft.facts = (*draft.facts, ("undid", sequence))
    draft.counted = _uncount(original)
    return Reason.APPROVED


def reverse(command: Reversal, draft: Draft) -> Reason:
    """Undo the message of this identity, or remember that it must not post."""
    key = schema.identity(command.terminal, command.batch, command.stan)
    known: Identity | None = draft.read(key)
    batch: Batch | None = draft.read(schema.batch(command.terminal, command.batch))
    if batch is not None and batch.state != "open":
        draft.facts = (("exception", "reversal of a settled batch"),)
        return Reason.BATCH_SETTLED
    if known is None:
        draft.rows[key] = Identity(0, REMEMBERED)
        draft.rows[schema.batch(command.terminal, command.batch)] = batches.with_stan(
            batch or NEW_BATCH, command.stan
        )
        return Reason.ORIGINAL_UNKNOWN
    entry: Entry = draft.read(schema.entry(known.sequence))
    original = Outcome(*entry.outcome)
    if not _same_message(command, entry, original, draft):
        return Reason.OTHER_CONTENT
    draft.member = original.member
    undo: Undo = draft.read(schema.undo(known.sequence)) or NO_UNDO
    if original.reason != Reason.APPROVED:
        draft.rows[schema.undo(known.sequence)] = amended(undo, reversed_by=draft.sequence)
        return Reason.APPROVED
    # A reversal equal to the one before never comes here; one that names the same member by
    # another card does, and must not give back a second time.
    if undo.voided_by or undo.reversed_by:
        return Reason.APPROVED
    if "R" not in UNDOABLE.get(entry.kind, ""):
        return Reason.NOT_UNDOABLE
    if undo.refunded:
        return Reason.ALREADY_UNDONE
    give_back(entry, draft)
    draft.rows[schema.undo(known.sequence)] = amended(undo, reversed_by=draft.sequence)
    draft.facts = (*draft.facts, ("undid", known.sequence))
    draft.counted = _uncount(original)
    _restore_voided(original, draft)
    return Reason.APPROVED


def refund(command: Refund, draft: Draft) -> Reason:
    """Give back a part of an accrual or redemption of the same merchant."""
    entry: Entry | None = None
    if command.original > 0:
        entry = draft.read(schema.entry(command.original))
    if entry is None or entry.kind not in UNDOABLE or entry.command[1] != command.merchant:
        return Reason.ORIGINAL_UNKNOWN
    original = Outcome(*entry.outcome)
    if original.reason != Reason.APPROVED:
        return Reason.ORIGINAL_UNKNOWN
    draft.member = original.member
    if not draft.names_member(command.tokens, original.member):
        return Reason.OTHER_MEMBER
    if "F" not in UNDOABLE[entry.kind]:
        return Reason.NOT_UNDOABLE
    undo: Undo = draft.read(schema.undo(command.original)) or NO_UNDO
    bad = _refund_differs(command, entry, undo)
    if bad is not None:
        return bad
    program_id = original.counted[0][0]
    tariff = draft.find_tariff(command.merchant, program_id)
    if tariff is None:
        return Reason.NO_TERMS
    terms, program = tariff.terms, tariff.program
    if terms.refund_days and draft.date > add_days(entry.date, terms.refund_days):
        return Reason.TOO_LATE
    after = undo.refunded + command.amount
    shares = (undo.refunded, after, _amount(entry))
    if entry.kind == "accrual":
        moved = _refund_accrual(entry, draft, program, shares, fee=terms.refund_fee)
        sign, side = "-", "D"
    else:
        moved = _refund_redemption(entry, draft, program, shares, fee=terms.refund_fee)
        sign, side = "+", "C"
    draft.rows[schema.undo(command.original)] = amended(undo, refunded=after)
    draft.facts = (("moved", f"{sign}{moved}"), ("program", program_id), *draft.facts)
    draft.counted = ((program_id, side, moved),)
    draft.show(draft.purse(original.member, program_id))
    return Reason.APPROVED


# Finding the original.


def _voided_sequence(command: Void, draft: Draft) -> tuple[int, Reason | None]:
    """The sequence number of the original, or why it cannot be told."""
    by_stan = 0
    if command.original_stan:
        known: Identity | None = draft.read(
            schema.identity(command.terminal, command.original_batch, command.original_stan)
        )
        # One that was reversed before it arrived has no entry, so no RRN can agree with it.
        by_stan = (known.sequence if known is not None else 0) or -1
    if command.original and by_stan and command.original != by_stan:
        if by_stan < 0 and not _is_transaction(draft, command.original):
            return by_stan, None
        return 0, Reason.ORIGINALS_DISAGREE
    return command.original or by_stan, None


def _is_transaction(draft: Draft, sequence: int) -> bool:
    """True when an entry is a request's; RRNs of other entries name nothing."""
    entry: Entry | None = draft.read(schema.entry(sequence)) if sequence > 0 else None
    return entry is not None and entry.kind in UNDOABLE


def _of_other_batch(entry: Entry, draft: Draft) -> Reason:
    """Why a void of another batch's transaction fails; clearing hears of one that was settled."""
    terminal, _, number = entry.command[:3]
    batch: Batch | None = draft.read(schema.batch(terminal, number))
    if batch is None or batch.state == "open":
        return Reason.ORIGINAL_UNKNOWN
    draft.facts = (("exception", "void of a settled batch"),)
    return Reason.BATCH_SETTLED


def _same_message(command: Reversal, entry: Entry, original: Outcome, draft: Draft) -> bool:
    """True when a reversal repeats its original's function, amount, unit and member."""
    fields = _fields(entry)
    if (
        command.function != fields["function"]
        or command.amount != fields.get("amount", 0)
        or command.unit != fields.get("unit", MONEY if "amount" in fields else "")
    ):
        return False
    tokens = fields.get("tokens", ())
    if command.tokens == tokens:
        return True
    if not command.tokens or not tokens or not original.member:
        return False
    return draft.names_member(command.tokens, original.member)


def _amount_differs(command: Void, entry: Entry) -> Reason | None:
    if command.unit != _unit(entry):
        return Reason.UNIT_DIFFERS
    if command.amount != _amount(entry):
        return Reason.AMOUNT_DIFFERS
    return None


def _refund_differs(command: Refund, entry: Entry, undo: Undo) -> Reason | None:
    if command.unit != _unit(entry):
        return Reason.UNIT_DIFFERS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    if undo.refunded + command.amount > _amount(entry):
        return Reason.REFUND_EXCEEDS
    if undo.voided_by or undo.reversed_by:
        return Reason.ALREADY_UNDONE
    return None


def _fields(entry: Entry) -> dict[str, Any]:
    """The command's fields of an entry, by name."""
    return dict(zip(FIELDS[entry.kind], entry.command, strict=True))


def _amount(entry: Entry) -> int:
    """The amount of a transaction, in the unit of its message."""
    amount: int = _fields(entry).get("amount", 0)
    return amount


def _unit(entry: Entry) -> str:
    """The unit of a transaction's amount; an accrual's sale is always money."""
    unit: str = _fields(entry).get("unit", MONEY)
    return unit


FIELDS: dict[str, tuple[str, ...]] = {}
"""Kind of command to the names of its fields; filled by the catalogue."""


# Giving back.


def give_back(entry: Entry, draft: Draft) -> None:
    """Negate all legs of an entry, on the date now open.

    A lot that was given is taken back even where the points are spent: what is missing becomes a
    debt, a balance below zero that is reported and not hidden.
    """
    for account, unit, amount in reversed(entry.postings):
        kind, _, rest = account.partition(":")
        if kind == "Lot":
            member, program, issuer, expiry = rest.split(":")
            purse = draft.purse(member, program)
            if amount > 0:
                purse.claw_back(issuer, int(expiry), amount, owe=True)
            else:
                purse.put(issuer, int(expiry), -amount)
        elif kind == "Debt":
            member, program, issuer = rest.split(":")
            purse = draft.purse(member, program)
            if amount > 0:
                purse.owe(issuer, amount)
            else:
                purse.settle_debt(issuer, -amount)
        else:
            draft.post(on_date(account, draft.date), unit, -amount)
    moved = [purse for purse in draft.purses if purse.postings]
    draft.show(*moved)


def on_date(account: str, date: int) -> str:
    """The same account, but a position on another business date."""
    if account.startswith("Pos:"):
        return chart.position(account.split(":")[1], date)
    return account


def _restore_voided(original: Outcome, draft: Draft) -> None:
    """After a void was reversed, its original stands again and is counted again."""
    for name, sequence in original.facts:
        if name != "undid":
            continue
        key = schema.undo(sequence)
        undo: Undo = draft.read(key)
        draft.rows[key] = amended(undo, voided_by=0)


def _uncount(original: Outcome) -> tuple[tuple[str, str, int], ...]:
    """Take back what an original counted, and count again what a void had taken back."""
    return tuple(
        (unit, side[1:] if side.startswith("-") else f"-{side}", amount)
        for unit, side, amount in original.counted
    )


Shares = tuple[int, int, int]
"""Refunded before, refunded with this one, and the original's amount."""


def _delta(leg: int, shares: Shares) -> int:
    before, after, whole = shares
    return rounding.part(leg, after, whole) - rounding.part(leg, before, whole)


def _split(entry: Entry) -> tuple[list[Posting], list[Posting], list[Posting]]:
    """An entry's legs: in points, in money, and the pair of the fee."""
    points = [leg for leg in entry.postings if leg[1] != MONEY]
    money = [leg for leg in entry.postings if leg[1] == MONEY]
    if money and money[-1][0].startswith("Fee:"):
        return points, money[:-2], money[-2:]
    return points, money, []


def _return_money(legs: list[Posting], draft: Draft, shares: Shares) -> None:
    """Return the shares of money legs; the last leg is minus the sum of the others."""
    total = 0
    for account, unit, amount in legs[:-1]:
        share = _delta(amount, shares) * (-1 if amount > 0 else 1)
        total += share
        draft.post(on_date(account, draft.date), unit, share)
    if legs:
        account, unit, _ = legs[-1]
        draft.post(on_date(account, draft.date), unit, -total)


def _refund_accrual(
    entry: Entry, draft: Draft, program: Program, shares: Shares, *, fee: bool
) -> int:
    """Take back the share of the points that were given; returns the points taken.

    Those that are spent already become a debt, or stay with the merchant, by the program's policy.
    """
    points, money, fees = _split(entry)
    given = -sum(leg[2] for leg in points if leg[0].startswith("Issued:"))
    wanted = _delta(given, shares)
    lots = [leg for leg in points if leg[0].startswith("Lot:")]
    issuer = entry.command[1]
    expiry = int(lots[0][0].rsplit(":", 1)[1]) if lots else 0
    purse = draft.purse(Outcome(*entry.outcome).member, program.id)
    taken = purse.claw_back(issuer, expiry, wanted, owe=program.clawback == "negative")
    draft.post(chart.issued(program.id, issuer), program.id, taken)
    if taken == wanted:
        _return_money(money, draft, shares)
        if fee:
            _return_money(fees, draft, shares)
    else:
        _return_money(money, draft, (0, taken, given))
        draft.facts = (("kept", wanted - taken),)
    return taken


def _refund_redemption(
    entry: Entry, draft: Draft, program: Program, shares: Shares, *, fee: bool
) -> int:
    """Put the share of the points back into their lots, the last consumed first."""
    points, money, fees = _split(entry)
    lots = [leg for leg in points if leg[0].startswith("Lot:")]
    spent = -sum(leg[2] for leg in lots)
    skip = rounding.part(spent, shares[0], shares[2])
    wanted = _delta(spent, shares)
    redeemer = entry.command[1]
    left = wanted
    for account, _, amount in reversed(lots):
        used = min(skip, -amount)
        skip -= used
        part = min(left, -amount - used)
        if not part:
            continue
        left -= part
        issuer, expiry = account.split(":")[3:]
        draft.post(chart.redeemed(program.id, issuer, redeemer), program.id, -part)
        _put_back(draft, program, issuer, int(expiry), part)
    _return_money(money, draft, shares)
    if fee:
        _return_money(fees, draft, shares)
    return wanted


def _put_back(draft: Draft, program: Program, issuer: str, expiry: int, part: int) -> None:
    """Return points to their lot; where its day has passed, as the program's rule says."""
    purse = draft.purse(draft.member, program.id)
    if expiry >= draft.today:
        purse.put(issuer, expiry, part)
        return
    if program.after_expiry == "reissue":
        purse.put(issuer, add_days(draft.today, program.grace_days), part)
        return
    purse.put(issuer, expiry, part)
    purse.expire(issuer, expiry, part)
    draft.post(chart.expired(program.id, issuer), program.id, part)
    if program.settled:
        value = rounding.fund_value(part, program)
        draft.post(chart.fund(program.id), MONEY, -value)
        draft.post(chart.breakage("points"), MONEY, value)
