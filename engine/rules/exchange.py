"""Exchange of points between programs, at dated rates.

A rate says how many points of the second program one of the first is worth, from a day on. The
fund of the first program pays that of the second; where the first is private and has no fund, the
merchant that owns it pays, who is named with the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import limits, revenue, rounding
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.points import POINTS_MAX
from engine.reasons import Reason
from engine.records import Lot, Merchant, Program, Rate, Rates, Ratio
from engine.rules.points import may_spend
from engine.tariffs import Tariff
from engine.terms import expiry_of
from ledger import chart, schema
from ledger.model import MONEY

ISSUER = "exchange"

RATES_MAX = 400
"""Dated rates between two programs: more than a year of daily ones."""


@dataclass(slots=True)
class Exchange(Request):
    """Points of one program for those of another.

    Attributes:
        tokens: what names the member.
        unit, amount: the program that is left, and points.
        target: the program that is entered.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    target: str
    pin: int


@dataclass(slots=True)
class PutRate:
    """A rate from a day on.

    Attributes:
        unit, target: the programs that are left and entered.
        since: first local day on which it applies.
        ratio: points of `target` for one of `unit`.
        owner: the merchant that pays where `unit` is a private program, else empty.
    """

    unit: str
    target: str
    since: int
    ratio: Ratio
    owner: str


def exchange(command: Exchange, draft: Draft) -> Reason:
    """Exchange points at the rate of the day, rounded down to whole points."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, command.unit)
    if tariff is None:
        return Reason.NO_TERMS
    rates, rate = _rate_of(draft, command.unit, command.target)
    program: Program | None = draft.read(schema.named(schema.PROGRAM, command.target))
    if rates is None or rate is None or program is None:
        return Reason.NO_RATE
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    spent = rounding.points_and_value(command.amount, command.unit, tariff.program)
    bad = may_spend(draft, command, tariff, "exchange", spent, command.tokens, command.pin)
    if bad is not None:
        return bad
    gained = rounding.exchanged(command.amount, rate.ratio)
    if not gained:
        return Reason.EXCHANGE_TOO_SMALL
    draft.versions = (*tariff.versions, program.revision, rates.revision)
    left, entered = (draft.purse(draft.member, unit) for unit in (command.unit, command.target))
    taken = left.take(command.amount, draft.today)
    if taken is None:
        return Reason.NOT_ENOUGH
    draft.post(chart.converted(command.unit), command.unit, command.amount)
    draft.post(chart.converted(program.id), program.id, -gained)
    entered.put(ISSUER, expiry_of(program, draft.today), gained)
    _post_money(draft, tariff, taken, (program, gained), rate)
    draft.show(left, entered)
    if entered.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"-{command.amount}"), ("gained", f"+{gained}{program.id}"))
    draft.counted = (
        (command.unit, "D", command.amount),
        (program.id, "C", gained),
    )
    return limits.count(draft)


def _post_money(
    draft: Draft, left: Tariff, taken: list[Lot], entered: tuple[Program, int], rate: Rate
) -> None:
    """Move what is set aside for the points: from fund to fund, the difference to the margin."""
    program, gained = entered
    after = rounding.fund_value(gained, program) if program.settled else 0
    if left.program.settled:
        before = rounding.fund_value(sum([lot[2] for lot in taken]), left.program)
        draft.post(left.fund, MONEY, -before)
        draft.post(chart.fund(program.id), MONEY, after)
        revenue.post_margin(draft, left.terms, left.margin, before - after, taken)
    elif after:
        draft.post(chart.fund(program.id), MONEY, after)
        draft.post(chart.position(rate.owner, draft.date), MONEY, -after)


def _rate_of(draft: Draft, unit: str, target: str) -> tuple[Rates | None, Rate | None]:
    """The rates between two programs, and the one in force today."""
    rates: Rates | None = draft.read(schema.rate(unit, target))
    found: Rate | None = None
    for rate in rates.rows if rates is not None else ():
        if rate.since <= draft.today:
            found = rate
    return rates, found


def rate_in_force(draft: Draft, unit: str, target: str) -> Ratio | None:
    """Points of `target` for one of `unit` today; None where there is no rate."""
    rate = _rate_of(draft, unit, target)[1]
    return rate.ratio if rate is not None else None


def put_rate(command: PutRate, draft: Draft) -> Reason:
    """Register a rate from a day on, in place of one from the same day."""
    programs: list[Program] = []
    for unit in (command.unit, command.target):
        program: Program | None = draft.read(schema.named(schema.PROGRAM, unit))
        if program is None:
            return _refuse(draft, f"program {unit} is not registered; load it first")
        programs.append(program)
    bad = _wrong(command, draft, programs[0], programs[1])
    if bad:
        return _refuse(draft, bad)
    key = schema.rate(command.unit, command.target)
    old: Rates | None = draft.read(key)
    new = Rate(command.since, command.ratio, command.owner)
    rows = [row for row in (old.rows if old is not None else ()) if row.since != new.since]
    if old is not None and new in old.rows:
        return Reason.UNCHANGED
    if len(rows) >= RATES_MAX:
        return _refuse(draft, f"there are {RATES_MAX} rates between these programs already")
    rows = sorted([*rows, new], key=lambda row: row.since)
    draft.rows[key] = (
        Rates(tuple(rows), 1)
        if old is None
        else amended(old, rows=tuple(rows), revision=old.revision + 1)
    )
    return Reason.APPROVED


def _wrong(command: PutRate, draft: Draft, left: Program, entered: Program) -> str:
    """What is wrong with a rate, empty for nothing."""
    if left.id == entered.id:
        return "a rate is between two programs"
    if entered.settled and not left.settled:
        owner: Merchant | None = draft.read(schema.named(schema.MERCHANT, command.owner))
        if owner is None:
            return f"{left.id} is private: the owner that pays has to be a registered merchant"
    elif command.owner:
        return "an owner pays only where a private program is left for one that is settled"
    if left.settled and not entered.settled:
        return f"{entered.id} is private, so the value set aside in {left.id} has no place there"
    return ""


def _refuse(draft: Draft, text: str) -> Reason:
    draft.facts = (("text", text),)
    return Reason.REFUSED
