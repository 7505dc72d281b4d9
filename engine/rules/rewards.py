"""Accruals without a purchase, with a reason: a sign-in, a review, a referral.

The operator loads reasons for each program: so many points, or points per yuan of an amount that
comes along, at most so often a day for a member, paid for by the merchant or another party. A
referral gives points to two members; the other one's are a command of its own that follows, as the
second half of a transfer does (`engine.rules.transfers`), so that the two may live on two shards.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import limits, rounding
from engine.commands import Request, Token
from engine.draft import Draft
from engine.points import POINTS_MAX
from engine.reasons import Reason
from engine.records import NEVER, Ratio, Undo
from engine.rulebook import Limit, read_book
from engine.rules import transfers
from engine.rules.limits import put_line
from engine.rules.points import post_bonus, post_fee, post_own
from engine.rules.reference import party_known, refuse
from engine.rules.undo import fields_of
from engine.tariffs import Tariff
from ledger import schema
from ledger.model import MONEY, Entry, values_of


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
        other_points: what the other member of a referral gets; 0 where there is none.
    """

    code: str
    points: int
    rate: Ratio
    per_day: int
    funder: str
    since: int
    until: int
    other_points: int


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
    other_points: int


@dataclass(slots=True)
class Reward(Request):
    """Points without a purchase.

    Attributes:
        tokens: what names the member.
        amount: fen that the points are for, may be 0.
        code: the reason.
        other: what names the other member of a referral, may be empty.
    """

    tokens: tuple[Token, ...]
    amount: int
    code: str
    other: tuple[Token, ...]


@dataclass(slots=True)
class RewardOther:
    """The points of the other member of a referral.

    Attributes:
        origin: sequence number of the entry that it completes.
        member: who gets them.
        merchant, program, code: whose reason they are for.
    """

    origin: int
    member: str
    merchant: str
    program: str
    code: str


OTHER = "reward other"
transfers.HALVES[OTHER] = RewardOther


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
    other = ""
    if given.other_points:
        other, bad = draft.find_other(command.other)
        if bad is None and other == draft.member:
            bad = Reason.TO_ONESELF
        if bad is not None:
            return bad
    points = given.points + rounding.earned(command.amount, given.rate)
    amounts = ((program.id, points), (MONEY, command.amount))
    bad = limits.check(draft, command, tariff, "reward", amounts, _daily(program.id, given))
    if bad is not None:
        return bad
    purse = draft.purse(draft.member, program.id)
    _give(draft, tariff, command.merchant, given.funder, points)
    draft.show(purse)
    if purse.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"+{points}"),)
    if other:
        draft.facts = (*draft.facts, ("other", other))
    if tariff.available_from:
        draft.facts = (*draft.facts, ("pending", tariff.available_from))
    draft.counted = ((program.id, "C", points),)
    reason = limits.count(draft)
    if other and reason is Reason.APPROVED:
        half = RewardOther(draft.sequence, other, command.merchant, program.id, command.code)
        transfers.follow(draft, OTHER, half)
    return reason


def reward_other(command: RewardOther, draft: Draft) -> Reason:
    """Give the other member of a referral its points, once."""
    if draft.read(schema.transit(command.origin)) is None:
        return Reason.UNCHANGED
    draft.member = command.member
    transfers.complete(draft, command.origin)
    tariff = draft.find_tariff(command.merchant, command.program)
    given = _find(draft, command.program, command.code)
    if tariff is None or given is None:
        draft.facts = (("text", "there are no terms or no such reason any more"),)
        return Reason.APPROVED
    purse = draft.purse(command.member, command.program)
    _give(draft, tariff, command.merchant, given.funder, given.other_points)
    draft.show(purse)
    draft.facts = (("moved", f"+{given.other_points}"),)
    return Reason.APPROVED


def take_back_other(entry: Entry, draft: Draft) -> Reason | None:
    """Let the undo of a referral be followed by that of the other member's points."""
    if "other" in dict(entry.outcome[3]):
        transfers.undo_half(entry, entry.sequence, draft)
    return None


def give_other_again(entry: Entry, draft: Draft) -> Reason | None:
    """Let a referral stand again for the other member too, after its void was reversed."""
    other: str = dict(entry.outcome[3]).get("other", "")
    undo: Undo = draft.read(schema.undo(entry.sequence))
    if other and not transfers.undo_half(entry, undo.voided_by, draft):
        said = fields_of(entry)
        unit: str = entry.outcome[4][0][0]
        half = RewardOther(entry.sequence, other, said["merchant"], unit, said["code"])
        transfers.follow(draft, OTHER, half)
    return None


def _give(draft: Draft, tariff: Tariff, merchant: str, funder: str, points: int) -> None:
    """Post the legs of points, issued by the funder or else by the merchant."""
    purse = draft.purse(draft.member, tariff.program.id)
    if points and funder:
        post_bonus(draft, purse, tariff, funder, points)
    elif points:
        value = post_own(draft, purse, tariff, merchant, points)
        post_fee(draft, "accrual", value, tariff)


def _in_force(draft: Draft, program: str, code: str) -> RewardReason | None:
    found = _find(draft, program, code)
    if found is None or not found.since <= draft.today <= found.until:
        return None
    return found


def _find(draft: Draft, program: str, code: str) -> RewardReason | None:
    for line in read_book(draft.read, book_name(program)).lines:
        if line[0] == code:
            return RewardReason(*line)
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
    return put_line(draft, book_name(program), values_of(command)[1:])
