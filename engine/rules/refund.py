"""Refund: giving back a part of what an earlier transaction of the same merchant moved.

Each leg but the last of a unit is returned up to the floor of its cumulative share, the last leg is
minus their sum. Lots are refilled in the reverse order of their consumption. How a family returns a
share is its own function in `REFUNDS`, which the catalogue fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from engine import limits, rounding
from engine.commands import Outcome, Request, Token
from engine.draft import Draft, amended
from engine.operators import approval
from engine.points import Purse
from engine.reasons import Reason
from engine.records import NO_UNDO, Program, Undo
from engine.rules import tiers
from engine.rules.undo import UNDOABLE, amount_of, find_original, legs_of, on_date, unit_of
from engine.tariffs import Tariff
from engine.terms import add_days
from ledger import chart, schema
from ledger.model import MONEY, Entry, Posting

Shares: TypeAlias = tuple[int, int, int]
"""Refunded before, refunded with this one, and the original's amount."""

Returned: TypeAlias = tuple[str, str, int]
"""What a refund moved, as the terminal's totals count it: unit, ``D`` or ``C``, amount."""

Return: TypeAlias = Callable[[Entry, Draft, Tariff, Shares], Returned]

REFUNDS: dict[str, Return] = {}
"""Kind of command to what returns a share of it; filled by the catalogue."""


@dataclass(slots=True)
class Refund(Request):
    """Return of a part of an earlier transaction of the same merchant.

    Attributes:
        tokens: what names the member, may be empty.
        unit, amount: how much, in the unit of the original's amount.
        original: sequence number that the RRN carries, -1 for an RRN that carries none.
        operator, operator_pin: who approves it, empty for nobody, and the verdict on the PIN.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int
    operator: str = ""
    operator_pin: int = 0


def refund(command: Refund, draft: Draft) -> Reason:
    """Give back a part of an earlier transaction of the same merchant."""
    entry = find_original(draft, command.merchant, command.tokens, command.original, UNDOABLE)
    if isinstance(entry, Reason):
        return entry
    original = Outcome(*entry.outcome)
    if "F" not in UNDOABLE[entry.kind]:
        return Reason.NOT_UNDOABLE
    undo: Undo = draft.read(schema.undo(command.original)) or NO_UNDO
    bad = _refund_differs(command, entry, undo)
    if bad is not None:
        return bad
    unit = original.counted[0][0]
    # What was paid in money falls under the terms of the merchant's own program.
    tariff = draft.find_tariff(command.merchant, unit if unit[0] == "P" else "")
    if tariff is None:
        return Reason.NO_TERMS
    terms = tariff.terms
    if terms.refund_days and draft.date > add_days(entry.date, terms.refund_days):
        return Reason.TOO_LATE
    who = (command.operator, command.operator_pin)
    bad = approval(draft, command.merchant, tariff, (command.unit, command.amount), who)
    if bad is not None:
        return bad
    after = undo.refunded + command.amount
    shares = (undo.refunded, after, amount_of(entry))
    moved = REFUNDS[entry.kind](entry, draft, tariff, shares)
    limits.give_back_part(original.facts, draft, shares)
    draft.rows[schema.undo(command.original)] = amended(undo, refunded=after)
    if moved[0][0] == "P":
        sign = "-" if moved[1] == "D" else "+"
        draft.facts = (("moved", f"{sign}{moved[2]}"), ("program", moved[0]), *draft.facts)
    draft.counted = (moved,)
    return Reason.APPROVED


def _refund_differs(command: Refund, entry: Entry, undo: Undo) -> Reason | None:
    if command.unit != unit_of(entry):
        return Reason.UNIT_DIFFERS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    if undo.refunded + command.amount > amount_of(entry):
        return Reason.REFUND_EXCEEDS
    if undo.voided_by or undo.reversed_by:
        return Reason.ALREADY_UNDONE
    return None


# Returning a share.


def _delta(leg: int, shares: Shares) -> int:
    before, after, whole = shares
    return rounding.part(leg, after, whole) - rounding.part(leg, before, whole)


def _split(entry: Entry) -> tuple[list[Posting], list[Posting], list[Posting]]:
    """An entry's legs: in points, in money, and those of the fee, which come last."""
    legs = legs_of(entry)
    points = [leg for leg in legs if leg[1] != MONEY]
    money = [leg for leg in legs if leg[1] == MONEY]
    for place, leg in enumerate(money):
        if leg[0].startswith("Fee:"):
            start = place - 1  # the merchant's position pays it
            return points, money[:start], money[start:]
    return points, money, []


@dataclass(slots=True)
class _Issue:
    """The points of an accrual that one party issued, and the money legs for them."""

    issuer: str
    points: int
    money: list[Posting]


def _issues(entry: Entry) -> list[_Issue]:
    """The sets of legs of an accrual, one for each issuer, without the fee."""
    found: list[_Issue] = []
    fees = _split(entry)[2]
    legs = entry.postings[: len(entry.postings) - len(fees)]
    for leg in legs:
        if leg[0].startswith("Issued:"):
            found.append(_Issue(leg[0].split(":")[2], -leg[2], []))
        elif leg[1] == MONEY:
            found[-1].money.append(leg)
    return found


def return_money(legs: list[Posting], draft: Draft, shares: Shares) -> None:
    """Return the shares of money legs; the last leg of each set is minus the sum of the others.

    A set is a run of legs that sum to zero.
    """
    whole = total = 0
    for account, _, amount in legs:
        whole += amount
        share = _delta(amount, shares) * (-1 if amount > 0 else 1) if whole else -total
        total = total + share if whole else 0
        _post_money(account, draft, share)


def _post_money(account: str, draft: Draft, amount: int) -> None:
    kind, _, member = account.partition(":")
    if kind == "Value":
        draft.wallet(member).move(amount)
    else:
        draft.post(on_date(account, draft.date), MONEY, amount)


def refund_accrual(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> Returned:
    """Take back the share of the points that a sale gave, and of what it counted for tiers."""
    returned = refund_given(entry, draft, tariff, shares)
    if tariff.steps:
        tiers.refunded(entry, draft, shares)
    return returned


def refund_given(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> Returned:
    """Take back the share of the points that were given.

    Those that are spent already become a debt, or stay with the merchant, by the program's policy.
    """
    program, fee = tariff.program, tariff.terms.refund_fee
    issues = _issues(entry)
    sizes = [issue.points for issue in issues]
    given = sum(sizes)
    before = rounding.apportioned(rounding.part(given, shares[0], shares[2]), sizes)
    after = rounding.apportioned(rounding.part(given, shares[1], shares[2]), sizes)
    lots = [leg for leg in entry.postings if leg[0].startswith("Lot:")]
    expiry = int(lots[0][0].rsplit(":", 1)[1]) if lots else 0
    purse = draft.purse(Outcome(*entry.outcome).member, program.id)
    wanted = taken = 0
    for place, issue in enumerate(issues):
        part = after[place] - before[place]
        back = purse.claw_back(issue.issuer, expiry, part, owe=program.clawback == "negative")
        draft.post(chart.issued(program.id, issue.issuer), program.id, back)
        return_money(issue.money, draft, shares if back == part else (0, back, issue.points))
        wanted += part
        taken += back
    if taken != wanted:
        draft.facts = (("kept", wanted - taken),)
    elif fee:
        return_money(_split(entry)[2], draft, shares)
    draft.show(purse)
    return program.id, "D", taken


def refund_redemption(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> Returned:
    """Put the share of the points back into their lots, the last consumed first.

    A capture consumed its lots out of a hold; they come back just so.
    """
    program, fee = tariff.program, tariff.terms.refund_fee
    points, money, fees = _split(entry)
    lots = [leg for leg in points if leg[0].startswith(("Lot:", "Held:"))]
    spent = -sum(leg[2] for leg in lots)
    skip = rounding.part(spent, shares[0], shares[2])
    wanted = _delta(spent, shares)
    redeemer = entry.command[1]
    left = wanted
    lost = 0
    for account, _, amount in reversed(lots):
        used = min(skip, -amount)
        skip -= used
        part = min(left, -amount - used)
        if not part:
            continue
        left -= part
        issuer, expiry = account.split(":")[3:5]
        draft.post(chart.redeemed(program.id, issuer, redeemer), program.id, -part)
        lost += _put_back(draft, program, issuer, int(expiry), part)
    return_money(money, draft, shares)
    if fee:
        return_money(fees, draft, shares)
    post_breakage(draft, program, lost)
    draft.show(draft.purse(draft.member, program.id))
    return program.id, "C", wanted


def refund_purchase(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> Returned:
    """Put the share of the value back."""
    _, money, fees = _split(entry)
    returned = _delta(amount_of(entry), shares)
    return_money(money, draft, shares)
    if tariff.terms.refund_fee:
        return_money(fees, draft, shares)
    draft.wallet(draft.member)
    draft.show()
    return MONEY, "C", returned


def _put_back(draft: Draft, program: Program, issuer: str, expiry: int, part: int) -> int:
    """Return points to their lot; where its day has passed, as the program's rule says.

    Returns:
        How many of them expired at once.
    """
    purse = draft.purse(draft.member, program.id)
    if expiry >= draft.today:
        purse.put(issuer, expiry, part)
        return 0
    if program.after_expiry == "reissue":
        purse.put(issuer, add_days(draft.today, program.grace_days), part)
        return 0
    purse.put(issuer, expiry, part)
    expire_at_once(draft, purse, issuer, expiry, part)
    return part


def expire_at_once(draft: Draft, purse: Purse, issuer: str, expiry: int, part: int) -> None:
    """Expire points that were just put back into a lot whose day has passed.

    What they are worth is posted once for the entry, by `post_breakage`.
    """
    purse.expire(issuer, expiry, part)
    draft.post(chart.expired(purse.program, issuer), purse.program, part)


def post_breakage(draft: Draft, program: Program, points: int) -> None:
    """Move the value of all points that an entry expires from the fund to breakage."""
    if program.settled and points:
        value = rounding.fund_value(points, program)
        draft.post(chart.fund(program.id), MONEY, -value)
        draft.post(chart.breakage("points"), MONEY, value)
