"""Recharge cards: produced in batches, sold by merchants, activated, used once, expired.

A card is used by a top-up that names its code: what it is worth goes to the member, out of
``CardStock``, and the till owes nothing, since the card was paid for when it was sold. What nobody
has used by the batch's last day goes to breakage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine import codes, limits, recharge, revenue, rounding
from engine.cards import PRODUCED, state_of
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.points import POINTS_MAX
from engine.ranges import Ranges, counted, labelled
from engine.reasons import Reason
from engine.recharge import ACTIVE, CLOSED, SOLD, RechargeBatch, RechargeCard, RechargeCards
from engine.records import Program
from engine.rules import value
from engine.rules.code_batches import (
    NOBODY,
    CodeName,
    Handed,
    Holder,
    handed_out,
    take_number,
)
from engine.rules.products import stepped
from engine.rules.reference import refuse
from engine.rules.undo import fields_of
from engine.tariffs import Tariff
from ledger import chart, schema
from ledger.model import MONEY, Entry, values_of

STEPS: Final = {
    SOLD: frozenset({PRODUCED}),
    ACTIVE: frozenset({SOLD, ACTIVE}),
    CLOSED: frozenset({PRODUCED, SOLD, ACTIVE, CLOSED}),
}
"""State of a range to the states that its cards may be in before."""


@dataclass(slots=True)
class OpenRecharge(RechargeCards):
    """A batch of recharge cards."""


@dataclass(slots=True)
class MoveRecharge:
    """A new state for a range of a batch.

    Attributes:
        name: of the batch.
        first, last: serial numbers.
        state: ``sold``, ``active`` or ``closed``.
        merchant, price: who sells them, and the fen that it owes for each; for ``sold``.
    """

    name: str
    first: int
    last: int
    state: str
    merchant: str
    price: int


@dataclass(slots=True)
class Recharge(Request):
    """The use of a recharge card.

    Attributes:
        tokens: what names the member.
        unit, amount: what the terminal takes the card for; amount 0 where it does not say.
        coupon: keyed digest of the code; code_batch, serial: what it says, 0 for nothing.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    coupon: bytes
    code_batch: int
    serial: int


@dataclass(slots=True)
class ExpireRecharge:
    """What is left of a batch, by number, after its last day."""

    number: int


def open_recharge(command: OpenRecharge, draft: Draft) -> Reason:
    """Give a batch its number; the same batch again is told it."""
    place = schema.named(schema.CODE_NAME, f"{codes.RECHARGE}:{command.name}")
    known: CodeName | None = draft.read(place)
    row = RechargeBatch(*[*values_of(command), ()])
    if known is not None:
        old: RechargeBatch = draft.read(schema.recharge_batch(known.number))
        if amended(old, ranges=()) != row:
            return refuse(draft, f"batch {command.name} is of other cards; name another")
        draft.facts = (("number", known.number),)
        return Reason.UNCHANGED
    if command.unit != MONEY:
        program: Program | None = draft.read(schema.named(schema.PROGRAM, command.unit))
        if program is None or not program.settled:
            return refuse(draft, f"unit is 156 or a settled program, which {command.unit} is not")
    if command.amount <= 0 or command.expires < draft.today:
        return refuse(draft, "a card is worth something, and lasts until a day that is to come")
    number, bad = take_number(draft, codes.RECHARGE, command.count, command.length)
    if bad:
        return refuse(draft, bad)
    draft.rows[place] = CodeName(number)
    draft.rows[schema.recharge_batch(number)] = row
    draft.facts = (("number", number),)
    return Reason.APPROVED


def move_recharge(command: MoveRecharge, draft: Draft) -> Reason:
    """Sell, activate or close a range; what is sold is owed by the merchant that sells it."""
    known: CodeName | None = draft.read(
        schema.named(schema.CODE_NAME, f"{codes.RECHARGE}:{command.name}")
    )
    if known is None:
        return refuse(draft, f"there is no batch {command.name} of recharge cards")
    key = schema.recharge_batch(known.number)
    batch: RechargeBatch = draft.read(key)
    moved = (command.first, command.last, command.state)
    place = schema.handed(codes.RECHARGE, known.number)
    sold = handed_out(draft.read, place)
    if command.state == SOLD:
        done = _sold_before(command, draft, sold)
        if done is not None:
            return done
    ranges = stepped(draft, command.name, batch.count, batch.ranges, moved, STEPS)
    if isinstance(ranges, Reason):
        return ranges
    if command.state == SOLD:
        tariff = draft.find_tariff(command.merchant, "" if batch.unit == MONEY else batch.unit)
        if tariff is None:
            return refuse(draft, f"merchant {command.merchant} has no terms for these cards")
        if batch.expires < draft.today:
            return refuse(draft, f"the cards of batch {command.name} have expired")
        count = command.last - command.first + 1
        stock = recharge.worth(draft, batch) * count
        draft.post(tariff.position, MONEY, -command.price * count)
        draft.post(chart.card_stock(command.name), MONEY, stock)
        revenue.post_margin(draft, tariff.terms, tariff.margin, command.price * count - stock)
        buyer = (command.merchant, command.price)
        draft.rows[place] = Handed(labelled(sold, command.first, command.last, buyer))
    draft.rows[key] = amended(batch, ranges=ranges)
    return Reason.APPROVED


def _sold_before(command: MoveRecharge, draft: Draft, sold: Ranges[Holder]) -> Reason | None:
    """``UNCHANGED`` for a sale that is noted already, a refusal where it was another; else None.

    Of cards that were sold by versions which did not note the buyer nothing is known: as before,
    whoever names them is told that they are sold.
    """
    buyer = (command.merchant, command.price)
    before = counted(sold, command.first, command.last, NOBODY)
    if buyer in before and len(before) == 1:
        return Reason.UNCHANGED
    others = sorted(before.keys() - {buyer, NOBODY})
    if not others:
        return None
    told = ", ".join([f"{merchant} at {price} fen each" for merchant, price in others])
    return refuse(draft, f"cards of the range were sold to {told}: nobody else can sell them")


# Use.


def use_card(command: Recharge, draft: Draft) -> Reason:
    """Give a member what a card is worth."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    batch: RechargeBatch | None = None
    if command.code_batch:
        batch = draft.read(schema.recharge_batch(command.code_batch))
    if batch is None or not 0 < command.serial <= batch.count:
        return Reason.COUPON_UNKNOWN
    bad = _not_usable(command, draft, batch)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, "" if batch.unit == MONEY else batch.unit)
    if tariff is None:
        return Reason.NO_TERMS
    if command.unit != batch.unit:
        return Reason.UNIT_DIFFERS
    if command.amount and command.amount != batch.amount:
        return Reason.AMOUNT_DIFFERS
    if tariff.limits is not None:
        amounts = ((batch.unit, batch.amount),)
        bad = limits.check(draft, command, tariff, "top_up", amounts)
        if bad is not None:
            return bad
    before = dict(draft.rows)
    reason = _give(draft, batch, tariff)
    if reason is Reason.APPROVED:
        draft.rows[schema.recharge_card(command.coupon)] = RechargeCard(
            command.code_batch, command.serial, draft.sequence
        )
        draft.counted = ((batch.unit, "C", batch.amount),)
        reason = limits.count(draft)
    if reason is not Reason.APPROVED:
        draft.rows = before
    return reason


def _not_usable(command: Recharge, draft: Draft, batch: RechargeBatch) -> Reason | None:
    if draft.read(schema.recharge_card(command.coupon)) is not None:
        return Reason.RECHARGE_USED
    state = state_of(batch.ranges, command.serial)
    if state == CLOSED or batch.expires < draft.today:
        return Reason.RECHARGE_EXPIRED
    return None if state == ACTIVE else Reason.RECHARGE_NOT_ACTIVE


def _give(draft: Draft, batch: RechargeBatch, tariff: Tariff) -> Reason:
    """Post what a card is worth to the member."""
    amount = batch.amount
    stock = chart.card_stock(batch.name)
    if batch.unit == MONEY:
        wallet = draft.wallet(draft.member)
        bad = value.may_load(draft, wallet, amount)
        if bad is not None:
            return bad
        draft.post(stock, MONEY, -amount)
        wallet.move(amount)
        value.begin_validity(draft, wallet)
        draft.show()
        return Reason.APPROVED
    program = tariff.program
    purse = draft.purse(draft.member, program.id)
    purse.put(program.id, tariff.expiry, amount)
    draft.post(chart.issued(program.id, program.id), program.id, -amount)
    worth = rounding.fund_value(amount, program)
    draft.post(stock, MONEY, -worth)
    draft.post(tariff.fund, MONEY, worth)
    draft.show(purse)
    if purse.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"+{amount}"), ("program", program.id))
    return Reason.APPROVED


def undo_use(entry: Entry, draft: Draft) -> Reason | None:
    """Let a card be used again."""
    draft.rows[schema.recharge_card(fields_of(entry)["coupon"])] = None
    return value.load_undone(entry, draft)


def redo_use(entry: Entry, draft: Draft) -> Reason | None:
    """Take a card again, unless somebody has used it since."""
    fields = fields_of(entry)
    place = schema.recharge_card(fields["coupon"])
    if draft.read(place) is not None:
        return Reason.COUPON_USED_SINCE
    draft.rows[place] = RechargeCard(fields["code_batch"], fields["serial"], entry.sequence)
    return value.load_redone(entry, draft)


# The end.


def expire_recharge(command: ExpireRecharge, draft: Draft) -> Reason:
    """Take what was sold of a batch and not used by its last day.

    A use that stands again after a sweep took its card leaves less than nothing: that goes back.
    """
    batch: RechargeBatch | None = draft.read(schema.recharge_batch(command.number))
    if batch is None or batch.expires >= draft.today:
        return Reason.UNCHANGED
    account = chart.card_stock(batch.name)
    left: int = draft.read(schema.balance(account)) or 0
    if not left:
        return Reason.UNCHANGED
    draft.post(account, MONEY, -left)
    draft.post(chart.breakage(codes.RECHARGE), MONEY, left)
    return Reason.APPROVED


def lapsed(key: bytes, row: RechargeBatch, today: int, _at: int) -> Iterator[ExpireRecharge]:
    """The command that takes what is left of a batch, where its last day has passed."""
    if row.expires < today:
        yield ExpireRecharge(schema.recharge_number(key))
