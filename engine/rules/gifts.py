"""Gifts: points for goods of a catalogue, and what becomes of them until they are handed over.

The member's points are spent with the gift's owner, who is paid the agreed price; what the points
are worth beyond that is the operator's (``accounting.md``). An exchange leaves an order, which the
back office marks as handed over or sent, or cancels: points and stock then go back as by a void.
What was handed over or sent is not undone by a till any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import gifts, limits, revenue, rounding
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.gifts import CANCELLED, HANDED_OVER, RESERVED, SENT, Gift, GiftOrder, Price
from engine.reasons import Reason
from engine.records import NO_UNDO, Lot, Undo
from engine.rules import undo
from engine.rules.points import needs_pin, post_redeemed
from engine.rules.reference import refuse, replace_row
from engine.tariffs import Tariff
from ledger import chart, schema
from ledger.model import MONEY, Entry

PRICES_MAX = 100
"""Dated prices of a gift."""


@dataclass(slots=True)
class GiftExchange(Request):
    """Points for a gift.

    Attributes:
        tokens: what names the member.
        gift: its SKU.
        quantity: pieces.
        unit, amount: fields 49 and 4 where the terminal sent them; they mean nothing here.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    gift: str
    quantity: int
    unit: str
    amount: int
    pin: int


@dataclass(slots=True)
class PutGift:
    """A line of the catalogue; see `engine.gifts.Gift`."""

    id: str
    name: str
    owner: str
    program: str
    prices: tuple[tuple[int, int, int], ...]
    stock: int
    per_member: int
    enabled: bool


@dataclass(slots=True)
class MoveGiftOrder:
    """A new state of an order.

    Attributes:
        order: sequence number of the exchange.
        state: ``handed over``, ``sent`` or ``cancelled``.
        by, why: who did it, and what for.
        lost: True where a cancelled gift does not come back into stock.
    """

    order: int
    state: str
    by: str
    why: str
    lost: bool


def exchange_gift(command: GiftExchange, draft: Draft) -> Reason:
    """Spend points for a gift, and reserve it."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    gift: Gift | None = draft.read(schema.named(schema.GIFT, command.gift))
    if gift is None:
        return Reason.GIFT_UNKNOWN
    price = gifts.price_of(gift, draft.today)
    if price is None or not gift.enabled:
        return Reason.GIFT_NOT_OFFERED
    tariff = draft.find_tariff(command.merchant, gift.program)
    if tariff is None:
        return Reason.NO_TERMS
    if command.quantity <= 0:
        return Reason.QUANTITY_ZERO
    points = price[1] * command.quantity
    value = rounding.value_of_points(points, tariff.program)
    if tariff.limits is not None:
        amounts = ((gift.program, points), (MONEY, value))
        bad = limits.check(draft, command, tariff, "gift", amounts)
        if bad is not None:
            return bad
    had = gifts.taken(draft, gift.id, draft.member)
    if gift.per_member and had + command.quantity > gift.per_member:
        return Reason.GIFTS_ENOUGH
    bad = draft.check_pin(command.pin, needed=needs_pin(command.tokens, value, tariff))
    if bad is not None:
        return bad
    return _reserve(command, draft, gift, price, tariff)


def _reserve(
    command: GiftExchange, draft: Draft, gift: Gift, price: Price, tariff: Tariff
) -> Reason:
    """Take points and stock, and note the order."""
    quantity = command.quantity
    points = price[1] * quantity
    purse = draft.purse(draft.member, gift.program)
    lots = purse.take(points, draft.today)
    if lots is None:
        return Reason.NOT_ENOUGH
    before = dict(draft.rows)
    if not gifts.take(draft, gift, draft.member, quantity):
        draft.rows = before  # a PIN that was right stays so
        return Reason.GIFT_SOLD_OUT
    _post(draft, tariff, gift.owner, lots, price[2] * quantity)
    draft.rows[schema.gift_order(draft.sequence)] = GiftOrder(
        gift.id, quantity, draft.member, command.merchant, RESERVED, draft.at, draft.sequence
    )
    draft.versions = (*tariff.versions, gift.revision)
    draft.show(purse)
    draft.facts = (("moved", f"-{points}"), ("program", gift.program))
    draft.counted = ((gift.program, "D", points),)
    reason = limits.count(draft)
    if reason is not Reason.APPROVED:
        draft.rows = before
    return reason


def _post(draft: Draft, tariff: Tariff, owner: str, lots: list[Lot], paid: int) -> None:
    program = tariff.program
    points = post_redeemed(draft, program.id, lots, owner)
    if program.settled:
        worth = rounding.fund_value(points, program)
        draft.post(tariff.fund, MONEY, -worth)
        draft.post(chart.position(owner, draft.date), MONEY, paid)
        revenue.post_margin(draft, tariff.terms, tariff.margin, worth - paid, lots)


# What becomes of an exchange.


def undo_gift(entry: Entry, draft: Draft) -> Reason | None:
    """Give stock back with the points, unless the member has the gift already."""
    place = schema.gift_order(entry.sequence)
    order: GiftOrder = draft.read(place)
    if order.state != RESERVED:
        return Reason.GIFT_HANDED_OVER
    gifts.put_back(draft, order.gift, order.member, order.quantity)
    draft.rows[place] = amended(order, state=CANCELLED, changed=draft.sequence)
    return None


def redo_gift(entry: Entry, draft: Draft) -> Reason | None:
    """Reserve the gift again, even where the stock has been given to somebody else since."""
    place = schema.gift_order(entry.sequence)
    order: GiftOrder = draft.read(place)
    gift: Gift = draft.read(schema.named(schema.GIFT, order.gift))
    if not gifts.take(draft, gift, order.member, order.quantity):
        draft.facts = (*draft.facts, ("event", (gifts.pool_of(gift.id),)))
    draft.rows[place] = amended(order, state=RESERVED, changed=draft.sequence)
    return None


def move_order(command: MoveGiftOrder, draft: Draft) -> Reason:
    """Note that a gift was handed over or sent, or take the exchange back."""
    place = schema.gift_order(command.order)
    order: GiftOrder | None = draft.read(place)
    if order is None:
        return refuse(draft, f"entry {command.order} is no exchange of a gift")
    if order.state == command.state:
        return Reason.UNCHANGED
    if order.state == CANCELLED:
        return refuse(draft, "the exchange was cancelled: nothing is to be handed over")
    if command.state not in {HANDED_OVER, SENT, CANCELLED}:
        return refuse(draft, f"an order becomes {HANDED_OVER}, {SENT} or {CANCELLED}")
    draft.member = order.member
    draft.rows[place] = amended(order, state=command.state, changed=draft.sequence)
    if command.state == CANCELLED:
        entry: Entry = draft.read(schema.entry(command.order))
        gifts.put_back(draft, order.gift, order.member, order.quantity, stock=not command.lost)
        limits.give_back(entry.outcome[3], draft)
        undo.give_back(entry, draft)
        mark = schema.undo(command.order)
        known: Undo = draft.read(mark) or NO_UNDO
        # A till's reversal that comes later finds the exchange undone, as after a void.
        draft.rows[mark] = amended(known, voided_by=draft.sequence)
    draft.facts = (*draft.facts, ("before", order.state), ("after", command.state))
    return Reason.APPROVED


def put_gift(command: PutGift, draft: Draft) -> Reason:
    """Register or change a gift; the program that it costs points of is fixed."""
    if draft.read(schema.named(schema.MERCHANT, command.owner)) is None:
        return refuse(draft, f"owner {command.owner} is not a registered merchant; load it first")
    if draft.read(schema.named(schema.PROGRAM, command.program)) is None:
        return refuse(draft, f"program {command.program} is not registered; load it first")
    if not 0 < len(command.prices) <= PRICES_MAX:
        return refuse(draft, f"prices has to be 1 to {PRICES_MAX} dated prices")
    key = schema.named(schema.GIFT, command.id)
    old: Gift | None = draft.read(key)
    if old is not None and old.program != command.program:
        return refuse(draft, "program of a gift cannot change: register it under another id")
    row = Gift(
        command.id,
        command.name,
        command.owner,
        command.program,
        tuple(sorted(command.prices)),
        command.stock,
        command.per_member,
        command.enabled,
        1,
    )
    return replace_row(draft, key, row, old)
