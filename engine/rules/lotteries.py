"""Lotteries: a draw against points, its reversal, and the life of a lottery.

A lottery is a draft until somebody approves it, which draws the seed; from then on nothing of it
changes but its end. What a draw costs goes from the fund to promotion, what a prize of points is
worth goes back (``accounting.md``); the lottery itself issues and takes the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import limits, lotteries, rounding
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.lotteries import DRAFT, LIVE, NO_DRAWS, NO_PRIZE, NOTHING, OVER, Draws, Lottery
from engine.points import POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import Program
from engine.rules.points import needs_pin, post_redeemed
from engine.rules.reference import refuse, replace_row
from engine.rules.undo import fields_of
from engine.tariffs import Tariff
from ledger import chart, schema
from ledger.model import MONEY, Entry


@dataclass(slots=True)
class Draw(Request):
    """A draw in a lottery.

    Attributes:
        tokens: what names the member.
        lottery: its id.
        unit, amount: fields 49 and 4 where the terminal sent them; they mean nothing here.
        k: which draw of the member this is.
        ticket: what decides it, see `engine.lotteries.ticket`; empty where there is no lottery.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    lottery: str
    unit: str
    amount: int
    k: int
    ticket: bytes
    pin: int


@dataclass(slots=True)
class PutLottery:
    """A lottery as the operator wants it; see `engine.lotteries.Lottery`.

    Attributes:
        live: whether this approves it, too; `seed`, `seed_hash`: for the approval.
    """

    id: str
    name: str
    program: str
    cost: int
    start: int
    end: int
    prizes: tuple[tuple[str, str, tuple[int, int], int, int, int], ...]
    passes_on: bool
    per_member: int
    live: bool
    seed: bytes
    seed_hash: str


@dataclass(slots=True)
class ApproveLottery:
    """A lottery may be drawn in; `seed` is sealed, `seed_hash` is its SHA-256 in hex."""

    id: str
    seed: bytes
    seed_hash: str
    by: str


@dataclass(slots=True)
class EndLottery:
    """A lottery is over, before its last day or after."""

    id: str
    by: str
    why: str


def draw(command: Draw, draft: Draft) -> Reason:
    """Spend points on a draw, and give what it wins."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    lottery: Lottery | None = draft.read(schema.named(schema.LOTTERY, command.lottery))
    if lottery is None or lottery.state == DRAFT:
        return Reason.LOTTERY_UNKNOWN
    bad = _not_open(lottery, draft.today)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, lottery.program)
    if tariff is None:
        return Reason.NO_TERMS
    value = rounding.value_of_points(lottery.cost, tariff.program)
    if tariff.limits is not None:
        amounts = ((lottery.program, lottery.cost), (MONEY, value))
        bad = limits.check(draft, command, tariff, "lottery", amounts)
        if bad is not None:
            return bad
    place = schema.draws(lottery.id, draft.member)
    draws: Draws = draft.read(place) or NO_DRAWS
    k = draws.kept[0][0] if draws.kept else draws.count + 1
    if lottery.per_member and not draws.kept and k > lottery.per_member:
        return Reason.DRAWS_ENOUGH
    bad = draft.check_pin(command.pin, needed=needs_pin(command.tokens, value, tariff))
    if bad is not None:
        return bad
    if command.k != k or not command.ticket:
        return Reason.DRAW_AGAIN  # another draw of this member came in between
    purse = draft.purse(draft.member, lottery.program)
    if not _pay(draft, purse, lottery, tariff.program):
        return Reason.NOT_ENOUGH
    before = dict(draft.rows)
    if draws.kept:
        prize = draws.kept[0][1]
        draft.rows[place] = Draws(draws.count, draws.kept[1:])
    else:
        prize = lotteries.award(draft, lottery, lotteries.drawn(lottery.prizes, command.ticket))
        draft.rows[place] = Draws(k, ())
    reason = _give(draft, purse, lottery, tariff, (k, prize))
    if reason is not Reason.APPROVED:
        draft.rows = before  # the prize stays in stock; a PIN that was right stays so
    return reason


def _not_open(lottery: Lottery, today: int) -> Reason | None:
    if lottery.state == OVER or today > lottery.end:
        return Reason.LOTTERY_OVER
    return Reason.LOTTERY_EARLY if today < lottery.start else None


def _pay(draft: Draft, purse: Purse, lottery: Lottery, program: Program) -> bool:
    """Take what a draw costs; False where the member has less."""
    lots = purse.take(lottery.cost, draft.today) if lottery.cost else []
    if lots is None:
        return False
    post_redeemed(draft, program.id, lots, lottery.id)
    if program.settled:
        worth = rounding.fund_value(lottery.cost, program)
        draft.post(chart.fund(program.id), MONEY, -worth)
        draft.post(chart.promo(lottery.id), MONEY, worth)
    return True


def _give(
    draft: Draft, purse: Purse, lottery: Lottery, tariff: Tariff, result: tuple[int, int]
) -> Reason:
    """Give the prize of a draw, and tell of both."""
    k, place = result
    program = tariff.program
    name, points = NOTHING, 0
    if place != NO_PRIZE:
        name, points = lottery.prizes[place][0], lottery.prizes[place][4]
    if points:
        purse.earn(lottery.id, tariff.expiry, points)
        draft.post(chart.issued(program.id, lottery.id), program.id, -points)
        if program.settled:
            worth = rounding.fund_value(points, program)
            draft.post(chart.promo(lottery.id), MONEY, -worth)
            draft.post(chart.fund(program.id), MONEY, worth)
    draft.show(purse)
    if purse.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.versions = (*tariff.versions, lottery.revision)
    won = (("won", f"+{points}"),) if points else ()
    draft.facts = (
        ("moved", f"-{lottery.cost}"),
        ("program", program.id),
        *won,
        ("prize", name),
        ("draw", (k, place)),
    )
    draft.counted = ((program.id, "D", lottery.cost),)
    return limits.count(draft)


def undo_draw(entry: Entry, draft: Draft) -> Reason | None:
    """Keep the result of a reversed draw: the member's next one is the same again."""
    facts: dict[str, Any] = dict(entry.outcome[3])
    lottery: str = fields_of(entry)["lottery"]
    place = schema.draws(lottery, entry.outcome[1])
    draws: Draws = draft.newest(place)
    draft.rows[place] = amended(draws, kept=tuple(sorted((*draws.kept, facts["draw"]))))
    return None


# The life of a lottery.


def put_lottery(command: PutLottery, draft: Draft) -> Reason:
    """Register or change a lottery; one that was approved does not change."""
    if draft.read(schema.named(schema.PROGRAM, command.program)) is None:
        return refuse(draft, f"program {command.program} is not registered; load it first")
    bad = lotteries.wrong_table(command.prizes)
    if not bad and command.end < command.start:
        bad = "to is a day before from"
    if bad:
        return refuse(draft, bad)
    key = schema.named(schema.LOTTERY, command.id)
    old: Lottery | None = draft.read(key)
    row = Lottery(
        command.id,
        command.name,
        command.program,
        command.cost,
        command.start,
        command.end,
        command.prizes,
        command.passes_on,
        command.per_member,
        DRAFT,
        b"",
        "",
        "",
        1,
    )
    if old is not None and old.state != DRAFT:
        kept = {
            name: getattr(old, name)
            for name in ("state", "seed", "seed_hash", "approved_by", "revision")
        }
        if amended(row, **kept) == old:
            return Reason.UNCHANGED
        return refuse(draft, "an approved lottery does not change: end it, and load another")
    if command.live:
        row = _approved(draft, row, (command.seed, command.seed_hash), "load")
    return replace_row(draft, key, row, old)


def approve_lottery(command: ApproveLottery, draft: Draft) -> Reason:
    """Let a lottery be drawn in, under a seed whose hash stands in the journal from now on."""
    key = schema.named(schema.LOTTERY, command.id)
    old: Lottery | None = draft.read(key)
    if old is None:
        return refuse(draft, f"there is no lottery {command.id}")
    if old.state == LIVE:
        return Reason.UNCHANGED
    if old.state != DRAFT:
        return refuse(draft, f"lottery {command.id} is over")
    row = _approved(draft, old, (command.seed, command.seed_hash), command.by)
    return replace_row(draft, key, row, old)


def _approved(draft: Draft, row: Lottery, seed: tuple[bytes, str], by: str) -> Lottery:
    cost = lotteries.expected_cost(row.prizes)
    draft.facts = (
        ("seed_hash", seed[1]),
        ("expected_cost_fen", (cost.numerator, cost.denominator)),
    )
    approved: Lottery = amended(row, state=LIVE, seed=seed[0], seed_hash=seed[1], approved_by=by)
    return approved


def end_lottery(command: EndLottery, draft: Draft) -> Reason:
    """End a lottery; nobody draws in it any more, and its seed may be shown."""
    key = schema.named(schema.LOTTERY, command.id)
    old: Lottery | None = draft.read(key)
    if old is None:
        return refuse(draft, f"there is no lottery {command.id}")
    if old.state == OVER:
        return Reason.UNCHANGED
    return replace_row(draft, key, amended(old, state=OVER), old)
