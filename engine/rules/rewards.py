"""Accruals without a purchase, with a reason: a sign-in, a review, a referral.

The operator loads reasons for each program: so many points, or points per yuan of an amount that
comes along, at most so often a day for a member, paid for by the merchant or another party.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import limits, rounding
from engine.commands import Request, Token
from engine.draft import Draft
from engine.points import POINTS_MAX
from engine.reasons import Reason
from engine.records import NEVER, Ratio
from engine.rulebook import Limit, read_book
from engine.rules.earning import party_known
from engine.rules.limits import put_line
from engine.rules.points import post_bonus, post_fee, post_own
from engine.rules.reference import refuse
from ledger import schema
from ledger.model import MONEY


@dataclass(slots=True)
class RewardReason:
    """What an accrual without a purchase is given for.

    Attributes:
        code: as the terminal sends it.
        points: so many points.
        rate: and points per yuan of the amount that comes along.
        per_day: how often a day a member gets it; 0 for no bound.
        funder: who pays: empty for the merchant, a party, or ``operator``.
        since, until: first and last local day.
    """

    code: str
    points: int
    rate: Ratio
    per_day: int
    funder: str
    since: int
    until: int


@dataclass(slots=True)
class PutReason:
    """A reason of a program; see `RewardReason`."""

    program: str
    code: str
    points: int
    rate: Ratio
    per_day: int
    funder: str
    since: int
    until: int


@dataclass(slots=True)
class Reward(Request):
    """Points without a purchase.

    Attributes:
        tokens: what names the member.
        amount: fen that the points are for, may be 0.
        code: the reason.
    """

    tokens: tuple[Token, ...]
    amount: int
    code: str


def book_name(program: str) -> str:
    """Name of the book of a program's reasons."""
    return f"reason:{program}"


def reward(command: Reward, draft: Draft) -> Reason:
    """Give the points of a reason, within its daily cap."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant)
    if tariff is None:
        return Reason.NO_TERMS
    program = tariff.program
    given = _in_force(draft, program.id, command.code)
    if given is None:
        return Reason.REWARD_UNKNOWN
    points = given.points + rounding.earned(command.amount, given.rate)
    amounts = ((program.id, points), (MONEY, command.amount))
    bad = limits.check(draft, command, tariff, "reward", amounts, _daily(program.id, given))
    if bad is not None:
        return bad
    purse = draft.purse(draft.member, program.id)
    if points and given.funder:
        post_bonus(draft, purse, tariff, given.funder, points)
    elif points:
        value = post_own(draft, purse, tariff, command.merchant, points)
        post_fee(draft, "accrual", value, tariff)
    draft.show(purse)
    if purse.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"+{points}"),)
    draft.counted = ((program.id, "C", points),)
    return limits.count(draft) if draft.uses is not None else Reason.APPROVED


def _in_force(draft: Draft, program: str, code: str) -> RewardReason | None:
    for line in read_book(draft.read, book_name(program)).lines:
        if line[0] == code:
            found = RewardReason(*line)
            return found if found.since <= draft.today <= found.until else None
    return None


def _daily(program: str, given: RewardReason) -> tuple[Limit, ...]:
    """The daily cap of a reason as a limit of the member."""
    if not given.per_day:
        return ()
    name = f"{program}/reason/{given.code}"
    limit = Limit(name, "member", "", "reward", program, "day", 0, 0, given.per_day, True, 0, NEVER)
    return (limit,)


def put_reason(command: PutReason, draft: Draft) -> Reason:
    """Register or change a reason; it is known by program and code."""
    program, funder = command.program, command.funder
    if draft.read(schema.named(schema.PROGRAM, program)) is None:
        return refuse(draft, f"program {program} is not registered; load it first")
    if funder and not party_known(draft, funder):
        return refuse(draft, f"party {funder} is not registered; load it first")
    line = (
        command.code,
        command.points,
        command.rate,
        command.per_day,
        funder,
        command.since,
        command.until,
    )
    return put_line(draft, book_name(program), line)
