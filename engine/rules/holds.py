"""Holds: points or stored value set aside at one message and spent, or set free, at another.

A hold of points takes lots as a redemption would and keeps them until it is captured, released, or
its time is over; that is judged by the time of the command which comes upon it, and no timer is
involved. A capture spends all of the hold or a part, and frees the rest. A hold of stored value
posts nothing: it counts against what is available while it lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import limits, rounding
from engine.commands import Outcome, Request, Token
from engine.draft import Draft
from engine.points import HOLDS_MAX, POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import NO_UNDO, Points, Program, Sequel, Undo
from engine.rules.points import may_spend, post_fee, post_spent
from engine.rules.refund import expire_at_once, post_breakage
from engine.rules.undo import GIVE_BACK, amount_of, find_original, unit_of
from engine.rules.value import Payment, may_pay
from ledger import schema
from ledger.model import MONEY, Entry, Posting

MINUTE_MS = 60_000
OF_POINTS, OF_VALUE = HOLDS = "hold", "value hold"
CAPTURES = ("capture", "value capture")
"""Kinds of entries: the holds, and what spends them."""


@dataclass(slots=True)
class Hold(Request):
    """Points set aside for a sale to come.

    Attributes:
        tokens: what names the member.
        unit: a program (`amount` is points) or ``156`` (`amount` is the value in fen, to be paid
            in points of the merchant's program).
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    pin: int


@dataclass(slots=True)
class Release(Request):
    """The end of a hold of the same merchant: what is held is free again.

    Attributes:
        tokens: what names the member, may be empty.
        original: sequence number that the RRN carries, -1 for an RRN that carries none.
    """

    tokens: tuple[Token, ...]
    original: int


@dataclass(slots=True)
class Capture(Request):
    """A hold of the same merchant becomes a redemption, of all that is held or of a part.

    Attributes:
        tokens: what names the member, may be empty.
        unit, amount: how much, in the unit of the hold.
        original: sequence number that the RRN carries, -1 for an RRN that carries none.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int


@dataclass(slots=True)
class ValueHold(Payment):
    """Stored value set aside for a sale to come."""


@dataclass(slots=True)
class ValueCapture(Request):
    """A hold of stored value becomes a purchase; see `Capture`, of which the unit is ``156``."""

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int


@dataclass(slots=True)
class TimeOut:
    """The end of all holds of a member in a program whose time is over."""

    member: str
    program: str


def hold(command: Hold, draft: Draft) -> Reason:
    """Set points aside, the earliest expiry first."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, "" if command.unit == MONEY else command.unit)
    if tariff is None:
        return Reason.NO_TERMS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    program = tariff.program
    spent = rounding.points_and_value(command.amount, command.unit, program)
    # Judged only: what is held counts when it is captured.
    bad = may_spend(draft, command, tariff, "hold", spent, command.tokens, command.pin)
    if bad is not None:
        return bad
    points, _ = spent
    purse = draft.purse(draft.member, program.id)
    if len(purse.holds) >= HOLDS_MAX:
        return Reason.HOLDS_FULL
    taken = purse.take(points, draft.today)
    if taken is None:
        return Reason.NOT_ENOUGH
    until = draft.at + tariff.terms.hold_minutes * MINUTE_MS
    purse.hold(draft.sequence, until, taken)
    draft.show(purse)
    draft.facts = (("held", points), ("until", until))
    return Reason.APPROVED


def release(command: Release, draft: Draft) -> Reason:
    """Set what is held free."""
    entry = _find_hold(command, draft)
    if isinstance(entry, Reason):
        return entry
    if entry.kind == OF_VALUE:
        return _release_value(entry, draft)
    purse, bad = _open_hold(entry, draft)
    if bad is not None:
        return bad
    _free(draft, purse, entry.sequence)
    draft.rows[schema.sequel(entry.sequence)] = Sequel(draft.sequence)
    draft.show(purse)
    return Reason.APPROVED


def capture(command: Capture, draft: Draft) -> Reason:
    """Spend what is held, or a part of it, at the merchant's terms of today; free the rest."""
    entry = _find_hold(command, draft)
    if isinstance(entry, Reason):
        return entry
    if entry.kind == OF_VALUE:
        return _why_ended(entry, draft) or Reason.UNIT_DIFFERS
    purse, bad = _open_hold(entry, draft)
    if bad is not None:
        return bad
    if command.unit != unit_of(entry):
        return Reason.UNIT_DIFFERS
    tariff = draft.find_tariff(command.merchant, purse.program)
    if tariff is None:
        return Reason.NO_TERMS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    if command.amount > amount_of(entry):
        return Reason.HOLD_EXCEEDED
    program = tariff.program
    points, value = rounding.points_and_value(command.amount, command.unit, program)
    if tariff.limits is not None:
        amounts = ((program.id, points), (MONEY, value))
        bad = limits.check(draft, command, tariff, "redemption", amounts)
        if bad is not None:
            return bad
    taken = purse.unhold(entry.sequence, points)
    # What is freed comes before what is spent: `own_legs` and the fee's place rely on it.
    _free(draft, purse, entry.sequence)
    post_spent(draft, tariff, command.merchant, taken, value)
    draft.show(purse)
    draft.facts = (("moved", f"-{points}"), ("program", program.id))
    draft.counted = ((program.id, "D", points),)
    return _used(draft, entry)


def time_out(command: TimeOut, draft: Draft) -> Reason:
    """Set free what holds keep whose time is over."""
    purse = draft.purse(command.member, command.program)
    draft.timed_out = None
    over = [number for number, until, _ in purse.holds if until <= draft.at]
    if not over:
        return Reason.UNCHANGED
    draft.member = command.member
    for number in over:
        _free(draft, purse, number)
    draft.facts = (("holds", tuple(over)),)
    return Reason.APPROVED


def over(key: bytes, row: Points, _today: int, at: int) -> Iterator[TimeOut]:
    """The command that ends the holds of a points record whose time is over."""
    if row.holds and any(until <= at for _, until, _ in row.holds):
        yield TimeOut(*schema.points_parts(key))


# Stored value.


def hold_value(command: ValueHold, draft: Draft) -> Reason:
    """Set stored value aside."""
    tariff = may_pay(command, draft, "hold")
    if isinstance(tariff, Reason):
        return tariff
    wallet = draft.wallet(draft.member)
    amount = command.amount
    if sum(until > draft.at for _, until, _ in wallet.holds) >= HOLDS_MAX:
        return Reason.HOLDS_FULL
    if wallet.available(draft.at, draft.today) < amount:
        return Reason.NOT_ENOUGH
    until = draft.at + tariff.terms.hold_minutes * MINUTE_MS
    wallet.hold(draft.sequence, until, amount)
    draft.show()
    draft.facts = (("held", amount), ("until", until))
    return Reason.APPROVED


def _release_value(entry: Entry, draft: Draft) -> Reason:
    bad = _why_ended(entry, draft)
    if bad is not None:
        return bad
    draft.wallet(draft.member).release(entry.sequence)
    draft.rows[schema.sequel(entry.sequence)] = Sequel(draft.sequence)
    draft.show()
    return Reason.APPROVED


def capture_value(command: ValueCapture, draft: Draft) -> Reason:
    """Spend the stored value that is held, or a part of it; the rest is free."""
    entry = _find_hold(command, draft)
    if isinstance(entry, Reason):
        return entry
    bad = _why_ended(entry, draft)
    if bad is not None:
        return bad
    amount = command.amount
    if entry.kind != OF_VALUE or command.unit != MONEY:
        return Reason.UNIT_DIFFERS
    tariff = draft.find_tariff(command.merchant)
    if tariff is None:
        return Reason.NO_TERMS
    if amount <= 0:
        return Reason.AMOUNT_ZERO
    if amount > amount_of(entry):
        return Reason.HOLD_EXCEEDED
    if tariff.limits is not None:
        bad = limits.check(draft, command, tariff, "purchase", ((MONEY, amount),))
        if bad is not None:
            return bad
    wallet = draft.wallet(draft.member)
    if wallet.balance < amount:
        return Reason.NOT_ENOUGH
    wallet.release(entry.sequence)
    wallet.move(-amount)
    draft.post(tariff.position, MONEY, amount)
    post_fee(draft, "purchase", amount, tariff)
    draft.show()
    draft.counted = ((MONEY, "D", amount),)
    return _used(draft, entry)


def undo_value_hold(entry: Entry, draft: Draft) -> Reason | None:
    """Release the hold that is reversed; one that is over anyway needs nothing more."""
    if _why_ended(entry, draft) is None:
        draft.wallet(draft.member).release(entry.sequence)
        return None
    return _captured(entry, draft)


def _used(draft: Draft, entry: Entry) -> Reason:
    """Count a capture, and note that it used the hold; rows stay where something declines."""
    reason = limits.count(draft)
    if reason is Reason.APPROVED:
        draft.rows[schema.sequel(entry.sequence)] = Sequel(draft.sequence)
    return reason


# Finding the hold.


def _find_hold(command: Release | Capture | ValueCapture, draft: Draft) -> Entry | Reason:
    """The entry of the hold that is meant, or why it may not be ended by this command."""
    return find_original(draft, command.merchant, command.tokens, command.original, HOLDS)


def _open_hold(entry: Entry, draft: Draft) -> tuple[Purse, Reason | None]:
    """The purse in which a hold keeps points, and why it keeps none any more."""
    purse = draft.purse(draft.member, program_held(entry))
    return purse, _why_ended(entry, draft)


def _why_ended(entry: Entry, draft: Draft) -> Reason | None:
    """Why a hold keeps nothing any more; None where it does."""
    undo: Undo = draft.read(schema.undo(entry.sequence)) or NO_UNDO
    if undo.reversed_by or draft.read(schema.sequel(entry.sequence)) is not None:
        return Reason.HOLD_ENDED
    until: int = dict(entry.outcome[3])["until"]
    return Reason.HOLD_TIMED_OUT if until <= draft.at else None


def _captured(entry: Entry, draft: Draft) -> Reason | None:
    """Why a hold that is over cannot be reversed: it was captured."""
    sequel: Sequel | None = draft.read(schema.sequel(entry.sequence))
    ended: Entry | None = draft.read(schema.entry(sequel.sequence)) if sequel is not None else None
    return Reason.HOLD_ENDED if ended is not None and ended.kind in CAPTURES else None


def program_held(entry: Entry) -> str:
    """The program of the points that a hold keeps."""
    program: str = Outcome(*entry.outcome).balances[0][1]
    return program


# Ending it.


def _free(draft: Draft, purse: Purse, number: int) -> None:
    """Give what a hold still keeps back to its lots; what ran out meanwhile expires at once."""
    lost = 0
    for expiry, issuer, amount in purse.unhold(number, POINTS_MAX):
        purse.put(issuer, expiry, amount)
        if expiry < draft.today:
            expire_at_once(draft, purse, issuer, expiry, amount)
            lost += amount
    if lost:
        program: Program = draft.read(schema.named(schema.PROGRAM, purse.program))
        post_breakage(draft, program, lost)


def undo_hold(entry: Entry, draft: Draft) -> Reason | None:
    """Release the hold that is reversed; one that is over anyway needs nothing more."""
    purse, bad = _open_hold(entry, draft)
    if bad is None:
        _free(draft, purse, entry.sequence)
        return None
    return _captured(entry, draft)


def no_legs(_entry: Entry) -> tuple[Posting, ...]:
    """The legs of a hold that its undo negates: none, `undo_hold` gives back what is there."""
    return ()


def own_legs(entry: Entry) -> tuple[Posting, ...]:
    """The legs of what a capture spent; those of what it freed stay when it is undone.

    What is spent leaves the hold first, and is posted to money last.
    """
    left = Outcome(*entry.outcome).counted[0][2]
    legs: list[Posting] = []
    for leg in entry.postings:
        if left:
            legs.append(leg)
            left += leg[2]
        elif legs[-1][0][:5] != "Held:" or leg[0].startswith("Redeemed:"):
            legs.append(leg)
    return tuple(legs)


def _give_back_held(draft: Draft, rest: str, amount: int) -> None:
    """Return to its lot what a capture took out of a hold: the hold itself stays used."""
    member, program, issuer, expiry, _ = rest.split(":")
    draft.purse(member, program).put(issuer, int(expiry), -amount)


GIVE_BACK["Held"] = _give_back_held
