"""Stored value: loading it, paying with it, points that become value, value that runs out.

A load is paid for at the till, so the merchant owes it; a purchase is owed to the merchant. Of a
card product's rules (`engine.cards.CardProduct`), a load obeys the limit of the face value and
whether it may be loaded again, and begins the validity anew; a purchase obeys the amount above
which the PIN is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine import cards, limits, revenue, rounding
from engine.commands import Request, Token
from engine.draft import Draft, amended
from engine.points import POINTS_MAX
from engine.reasons import Reason
from engine.records import NEVER, Alias, Member, Value
from engine.rules.points import by_phone_alone, needs_pin, post_fee
from engine.rules.reference import is_closed, refuse
from engine.tariffs import Tariff
from engine.value import VALUE_MAX, Wallet
from ledger import chart, schema
from ledger.model import MONEY, Entry


@dataclass(slots=True)
class TopUp(Request):
    """Stored value or points against payment at the till.

    Attributes:
        tokens: what names the member.
        unit: ``156`` (`amount` is fen) or a program (`amount` is points).
        reference: order or receipt that the terminal named, empty for none.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    reference: str


@dataclass(slots=True)
class Payment(Request):
    """Stored value that is asked for: what a purchase and a hold have in common.

    Attributes:
        tokens: what names the member.
        amount: fen.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    amount: int
    pin: int


@dataclass(slots=True)
class Purchase(Payment):
    """A sale paid with stored value.

    Attributes:
        reference: order or receipt that the terminal named, empty for none.
    """

    reference: str


@dataclass(slots=True)
class Conversion(Request):
    """Points that become stored value.

    Attributes:
        tokens: what names the member.
        unit: the program.
        amount: points.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    pin: int


@dataclass(slots=True)
class ExpireValue:
    """What is left of a member's stored value after its last day."""

    member: str


@dataclass(slots=True)
class ReactivateValue:
    """Value that ran out, given back until a new last day."""

    member: str
    expires: int


def top_up(command: TopUp, draft: Draft) -> Reason:
    """Load stored value or points; the merchant owes what was paid at the till."""
    reason = _load(command, draft)
    if reason is not Reason.APPROVED:
        draft.rows.clear()  # a load that is declined activates no card
    return reason


def _load(command: TopUp, draft: Draft) -> Reason:
    bad = draft.find_member(command.tokens, loading=command.unit == MONEY)
    if bad is not None:
        return bad
    if command.unit != MONEY:
        return _top_up_points(command, draft)
    tariff = draft.find_tariff(command.merchant)
    if tariff is None:
        return Reason.NO_TERMS
    wallet = draft.wallet(draft.member)
    bad = may_load(draft, wallet, command.amount)
    if bad is None and tariff.limits is not None:
        bad = limits.check(draft, command, tariff, "top_up", ((MONEY, command.amount),))
    if bad is not None:
        return bad
    draft.post(tariff.position, MONEY, -command.amount)
    wallet.move(command.amount)
    begin_validity(draft, wallet)
    draft.show()
    draft.counted = ((MONEY, "C", command.amount),)
    return limits.count(draft)


def _top_up_points(command: TopUp, draft: Draft) -> Reason:
    tariff = draft.find_tariff(command.merchant, command.unit)
    if tariff is None:
        return Reason.NO_TERMS
    points = command.amount
    if points <= 0:
        return Reason.AMOUNT_ZERO
    program = tariff.program
    if tariff.limits is not None:
        amounts = ((program.id, points), (MONEY, rounding.fund_value(points, program)))
        bad = limits.check(draft, command, tariff, "top_up", amounts)
        if bad is not None:
            return bad
    purse = draft.purse(draft.member, program.id)
    purse.put(program.id, tariff.expiry, points)
    draft.post(chart.issued(program.id, program.id), program.id, -points)
    if program.settled:
        value = rounding.fund_value(points, program)
        price = rounding.top_up_price(points, program, tariff.terms)
        draft.post(tariff.position, MONEY, -price)
        draft.post(tariff.fund, MONEY, value)
        revenue.post_margin(draft, tariff.terms, tariff.margin, price - value)
    draft.show(purse)
    if purse.ledger() > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"+{points}"),)
    draft.counted = ((program.id, "C", points),)
    return limits.count(draft)


def lapsed(key: bytes, row: Value, today: int, _at: int) -> Iterator[ExpireValue]:
    """The command that takes what is left of a member's value, where its last day has passed."""
    if 0 < row.expires < today and row.balance > 0:
        yield ExpireValue(schema.name_of(key))


def may_pay(command: Payment, draft: Draft, what: str) -> Tariff | Reason:
    """The terms of a payment with stored value, or why the member may not make it.

    Args:
        command: who asks, and for how much.
        draft: the member's wallet is open in it afterwards.
        what: kind of transaction, as limits name it.
    """
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    wallet = draft.wallet(draft.member)
    if wallet.expired(draft.today):
        return Reason.CARD_EXPIRED
    tariff = draft.find_tariff(command.merchant)
    if tariff is None:
        return Reason.NO_TERMS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    if tariff.limits is not None:
        bad = limits.check(draft, command, tariff, what, ((MONEY, command.amount),))
        if bad is not None:
            return bad
    product = _product(draft, wallet)
    needed = needs_pin(command.tokens, command.amount, tariff) or (
        product is not None and command.amount > product.pin_above
    )
    return draft.check_pin(command.pin, needed=needed) or tariff


def purchase(command: Purchase, draft: Draft) -> Reason:
    """Pay with stored value; the merchant is owed all of it."""
    tariff = may_pay(command, draft, "purchase")
    if isinstance(tariff, Reason):
        return tariff
    wallet = draft.wallet(draft.member)
    amount = command.amount
    if wallet.available(draft.at, draft.today) < amount:
        return Reason.NOT_ENOUGH
    wallet.move(-amount)
    draft.post(tariff.position, MONEY, amount)
    post_fee(draft, "purchase", amount, tariff)
    draft.show()
    draft.counted = ((MONEY, "D", amount),)
    return limits.count(draft)


def convert(command: Conversion, draft: Draft) -> Reason:
    """Turn points into stored value at what they are worth, rounded down."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, command.unit)
    if tariff is None:
        return Reason.NO_TERMS
    program = tariff.program
    if not program.settled:
        return Reason.PROGRAM_NOT_SETTLED
    wallet = draft.wallet(draft.member)
    value = rounding.value_of_points(command.amount, program)
    bad = may_load(draft, wallet, command.amount and value)
    if bad is not None:
        if bad is Reason.AMOUNT_ZERO and command.amount > 0:
            return Reason.CONVERTS_TO_NOTHING
        return bad
    if tariff.limits is not None:
        amounts = ((program.id, command.amount), (MONEY, value))
        bad = limits.check(draft, command, tariff, "conversion", amounts)
        if bad is not None:
            return bad
    bad = draft.check_pin(command.pin, needed=by_phone_alone(command.tokens, program))
    if bad is not None:
        return bad
    points = command.amount
    purse = draft.purse(draft.member, program.id)
    taken = purse.take(points, draft.today)
    if taken is None:
        return Reason.NOT_ENOUGH
    draft.post(chart.converted(program.id), program.id, points)
    worth = rounding.fund_value(points, program)
    draft.post(tariff.fund, MONEY, -worth)
    wallet.move(value)
    revenue.post_margin(draft, tariff.terms, tariff.margin, worth - value, taken)
    begin_validity(draft, wallet)
    draft.show(purse)
    draft.facts = (("moved", f"-{points}"), *draft.facts)
    draft.counted = ((program.id, "D", points), (MONEY, "C", value))
    return limits.count(draft)


def _product(draft: Draft, wallet: Wallet) -> cards.CardProduct | None:
    return cards.product(draft.read, wallet.product) if wallet.product else None


# Loading.


def may_load(draft: Draft, wallet: Wallet, amount: int) -> Reason | None:
    """Why fen cannot be loaded, if they cannot."""
    product = _product(draft, wallet)
    if wallet.expired(draft.today):
        return Reason.CARD_EXPIRED
    if product is not None and wallet.expires and not product.reloadable:
        return Reason.NOT_RELOADABLE
    if amount <= 0:
        return Reason.AMOUNT_ZERO
    after = wallet.balance + amount
    if product is not None and product.face_max and after > product.face_max:
        return Reason.OVER_FACE_VALUE
    return Reason.AMOUNT_TOO_LARGE if after > VALUE_MAX else None


def begin_validity(draft: Draft, wallet: Wallet) -> None:
    """Let the validity of a wallet that was loaded begin today, unless it lasts longer already."""
    product = _product(draft, wallet)
    last = NEVER if product is None else cards.valid_until(product, draft.today)
    if last > wallet.expires:
        draft.facts = (("validity", (wallet.expires, last)),)
        wallet.expires = last


def load_undone(entry: Entry, draft: Draft) -> Reason | None:
    """Take back the validity that a load began, where no later load has prolonged it."""
    _move_validity(entry, draft, 0)
    return None


def load_redone(entry: Entry, draft: Draft) -> Reason | None:
    """Let the validity of a load stand again."""
    _move_validity(entry, draft, 1)
    return None


def _move_validity(entry: Entry, draft: Draft, place: int) -> None:
    validity = dict(entry.outcome[3]).get("validity")
    if validity is None:
        return
    wallet = draft.wallet(entry.outcome[1])
    if wallet.expires == validity[1 - place]:
        wallet.expires = validity[place]


# The end of validity.


def expire_value(command: ExpireValue, draft: Draft) -> Reason:
    """Take what is left after the last day; what is held waits until the hold has ended."""
    wallet = draft.wallet(command.member)
    amount = wallet.balance - wallet.held(draft.at)
    if not wallet.expired(draft.today) or amount <= 0:
        return Reason.UNCHANGED
    draft.member = command.member
    wallet.move(-amount)
    draft.post(chart.value_expired(command.member), MONEY, amount)
    if wallet.balance == 0:
        _turn_cards(draft, "active", "expired")
    draft.show()
    return Reason.APPROVED


def reactivate_value(command: ReactivateValue, draft: Draft) -> Reason:
    """Give back what ran out, until a new last day."""
    key = schema.named(schema.VALUE, command.member)
    if draft.read(key) is None:
        return refuse(draft, f"member {command.member} has no stored value")
    wallet = draft.wallet(command.member)
    amount: int = draft.read(schema.balance(chart.value_expired(command.member))) or 0
    if not amount and wallet.expires == command.expires:
        return Reason.UNCHANGED
    if is_closed(draft, command.member):
        return refuse(draft, f"the account of member {command.member} is closed: open it first")
    if command.expires < draft.today:
        return refuse(draft, "expires is a day that has passed: name a later one")
    if not amount and not wallet.expired(draft.today):
        return refuse(draft, f"nothing of member {command.member} has run out")
    draft.member = command.member
    if amount:
        draft.post(chart.value_expired(command.member), MONEY, -amount)
        wallet.move(amount)
    wallet.expires = command.expires
    _turn_cards(draft, "expired", "active")
    draft.show()
    return Reason.APPROVED


def _turn_cards(draft: Draft, before: str, after: str) -> None:
    """Change the state of the card that an anonymous member is."""
    if not cards.is_issued(draft.member):
        return
    member: Member | None = draft.read(schema.named(schema.MEMBER, draft.member))
    for token in member.tokens if member is not None else ():
        key = schema.alias(*token)
        alias: Any = draft.read(key)
        if isinstance(alias, Alias) and alias.state == before:
            draft.rows[key] = amended(alias, state=after)
