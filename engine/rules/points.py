"""Accrual and redemption: points for a sale, and a sale paid with points (``accounting.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine import earning, limits, revenue, rounding
from engine.commands import Request, Token
from engine.draft import Draft
from engine.points import POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import Lot, Program
from engine.rules import tiers
from engine.tariffs import Tariff
from ledger import chart
from ledger.model import MONEY


@dataclass(slots=True)
class Accrual(Request):
    """Points for a sale.

    Attributes:
        tokens: what names the member.
        amount: the sale in fen.
        reference: order or receipt that the terminal named, empty for none.
    """

    tokens: tuple[Token, ...]
    amount: int
    reference: str

    def __init__(  # noqa: PLR0913, PLR0917 - the fields in order
        self,
        terminal: str,
        merchant: str,
        batch: int,
        stan: int,
        content: bytes,
        function: str,
        tokens: tuple[Token, ...],
        amount: int,
        reference: str = "",
    ) -> None:
        self.terminal = terminal
        self.merchant = merchant
        self.batch = batch
        self.stan = stan
        self.content = content
        self.function = function
        self.tokens = tokens
        self.amount = amount
        self.reference = reference

    def values(self) -> tuple[Any, ...]:
        """The fields in order."""
        return (
            self.terminal,
            self.merchant,
            self.batch,
            self.stan,
            self.content,
            self.function,
            self.tokens,
            self.amount,
            self.reference,
        )


@dataclass(slots=True)
class Redemption(Request):
    """A sale paid with points.

    Attributes:
        tokens: what names the member.
        unit: a program (`amount` is points) or ``156`` (`amount` is the value in fen, paid in
            points of the merchant's program).
        pin: the verdict on the PIN, see `engine.commands.Pin`.
        reference: order or receipt that the terminal named, empty for none.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    pin: int
    reference: str

    def __init__(  # noqa: PLR0913, PLR0917 - the fields in order
        self,
        terminal: str,
        merchant: str,
        batch: int,
        stan: int,
        content: bytes,
        function: str,
        tokens: tuple[Token, ...],
        unit: str,
        amount: int,
        pin: int,
        reference: str = "",
    ) -> None:
        self.terminal = terminal
        self.merchant = merchant
        self.batch = batch
        self.stan = stan
        self.content = content
        self.function = function
        self.tokens = tokens
        self.unit = unit
        self.amount = amount
        self.pin = pin
        self.reference = reference

    def values(self) -> tuple[Any, ...]:
        """The fields in order."""
        return (
            self.terminal,
            self.merchant,
            self.batch,
            self.stan,
            self.content,
            self.function,
            self.tokens,
            self.unit,
            self.amount,
            self.pin,
            self.reference,
        )


_NO_BONUS: Final[list[tuple[str, int]]] = []


def accrue(command: Accrual, draft: Draft) -> Reason:
    """Earn points by the terms in force; the merchant pays for them."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant)
    if tariff is None:
        return Reason.NO_TERMS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    return earn(command, draft, tariff)


def earn(command: Accrual, draft: Draft, tariff: Tariff) -> Reason:
    """Give the points of a sale by a tariff, that of today or of an earlier day."""
    program = tariff.program
    bonus = _NO_BONUS
    if tariff.rates is None:
        own = points = rounding.earned(command.amount, tariff.terms.earn)
    else:
        shares = earning.split(tariff.rates, draft.tier, command.amount)
        own = sum([part for funder, part in shares if not funder])
        bonus = [share for share in shares if share[0]]
        points = sum([part for _, part in shares])
    if tariff.limits is not None:
        amounts = ((program.id, points), (MONEY, command.amount))
        bad = limits.check(draft, command, tariff, "accrual", amounts)
        if bad is not None:
            return bad
    purse = draft.purse(draft.member, program.id)
    if own:
        value = post_own(draft, purse, tariff, command.merchant, own)
    for funder, part in bonus:
        post_bonus(draft, purse, tariff, funder, part)
    if own:
        post_fee(draft, "accrual", value, tariff)
    draft.show(purse)
    if draft.balances[0][3] > POINTS_MAX:
        return Reason.AMOUNT_TOO_LARGE
    draft.facts = (("moved", f"+{points}"),)
    if tariff.available_from:
        draft.facts = (*draft.facts, ("pending", tariff.available_from))
    draft.counted = ((program.id, "C", points),)
    reason = limits.count(draft)  # before the tiers: it may decline
    if reason is Reason.APPROVED and tariff.steps:
        tiers.count(draft, tariff.steps, command.amount)
    return reason


def post_own(draft: Draft, purse: Purse, tariff: Tariff, merchant: str, points: int) -> int:
    """Give points that the merchant issues and pays for: a set of legs.

    Returns:
        What the points are worth, in fen.
    """
    program = tariff.program
    purse.earn(merchant, tariff.expiry, points, tariff.available_from)
    draft.post(tariff.issued, program.id, -points)
    value = rounding.fund_value(points, program)
    if program.settled:
        funding = rounding.funding(points, tariff.terms)
        draft.post(tariff.position, MONEY, -funding)
        draft.post(tariff.fund, MONEY, value)
        revenue.post_margin(draft, tariff.terms, tariff.margin, funding - value)
    return value


def post_bonus(draft: Draft, purse: Purse, tariff: Tariff, funder: str, points: int) -> None:
    """Give points that another party than the merchant issues and pays for: a set of legs."""
    program = tariff.program
    purse.earn(funder, tariff.expiry, points, tariff.available_from)
    draft.post(chart.issued(program.id, funder), program.id, -points)
    if not program.settled:
        return
    value = rounding.fund_value(points, program)
    if funder == earning.OPERATOR:
        draft.post(chart.promo(earning.CENTRE), MONEY, -value)
        draft.post(tariff.fund, MONEY, value)
        return
    funding = rounding.funding(points, tariff.terms)
    draft.post(chart.position(funder, draft.date), MONEY, -funding)
    draft.post(tariff.fund, MONEY, value)
    revenue.post_margin(draft, tariff.terms, tariff.margin, funding - value)


def redeem(command: Redemption, draft: Draft) -> Reason:
    """Spend points at a merchant, the earliest expiry first; the merchant is paid its share."""
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
    bad = may_spend(draft, command, tariff, "redemption", spent, command.tokens, command.pin)
    if bad is not None:
        return bad
    points, value = spent
    purse = draft.purse(draft.member, program.id)
    taken = purse.take(points, draft.today)
    if taken is None:
        return Reason.NOT_ENOUGH
    post_spent(draft, tariff, command.merchant, taken, value)
    draft.show(purse)
    draft.facts = (("moved", f"-{points}"),)
    draft.counted = ((program.id, "D", points),)
    return limits.count(draft)


def may_spend(
    draft: Draft,
    command: Request,
    tariff: Tariff,
    what: str,
    spent: tuple[int, int],
    tokens: tuple[Token, ...],
    pin: int,
) -> Reason | None:
    """Why points may not be spent, by limits or the PIN; None where they may.

    Args:
        draft: its member is found already.
        command: who asks.
        tariff: of the merchant, for the program of the points.
        what: kind of transaction, as limits name it.
        spent: points, and what they pay for in fen.
        tokens: what names the member.
        pin: the verdict on the PIN.
    """
    if tariff.limits is not None:
        amounts = ((tariff.program.id, spent[0]), (MONEY, spent[1]))
        bad = limits.check(draft, command, tariff, what, amounts)
        if bad is not None:
            return bad
    return draft.check_pin(pin, needed=needs_pin(tokens, spent[1], tariff))


def needs_pin(tokens: tuple[Token, ...], value: int, tariff: Tariff) -> bool:
    """Who spends more than a PIN is asked above of, or is named by phone alone, needs one."""
    return value > tariff.pin_above or by_phone_alone(tokens, tariff.program)


def by_phone_alone(tokens: tuple[Token, ...], program: Program) -> bool:
    """Whether a member is named by phone alone where the program lets no such member spend."""
    return not program.phone_spends and all(kind == "P" for kind, _ in tokens)


def post_spent(draft: Draft, tariff: Tariff, merchant: str, taken: list[Lot], value: int) -> None:
    """Post what points spent at a merchant come to: to it, the fund and the fee.

    Args:
        draft: takes the legs.
        tariff: of the merchant, for the program of the points.
        merchant: where they are spent.
        taken: the lots that were consumed, in order.
        value: what the points pay for, in fen.
    """
    terms, program = tariff.terms, tariff.program
    points = post_redeemed(draft, program.id, taken, merchant)
    if program.settled:
        worth = rounding.fund_value(points, program)
        paid = rounding.settlement(value, terms)
        draft.post(tariff.fund, MONEY, -worth)
        draft.post(tariff.position, MONEY, paid)
        revenue.post_margin(draft, terms, tariff.margin, worth - paid, taken)
    post_fee(draft, "redemption", value, tariff)


def post_redeemed(draft: Draft, program: str, taken: list[Lot], redeemer: str) -> int:
    """Post the points of lots that were consumed, of each issuer in one leg; returns their sum.

    Args:
        draft: takes the legs.
        program: whose points they are.
        taken: the lots, in order.
        redeemer: the merchant, campaign, lottery or owner of a gift for which they were spent.
    """
    by_issuer: dict[str, int] = {}
    points = 0
    for _, issuer, part in taken:
        by_issuer[issuer] = by_issuer.get(issuer, 0) + part
        points += part
    for issuer, part in by_issuer.items():
        draft.post(chart.redeemed(program, issuer, redeemer), program, part)
    return points


def post_fee(draft: Draft, kind: str, value: int, tariff: Tariff) -> None:
    """Post the fee on a money value and what others get of it, the last legs of an entry."""
    fee = rounding.fee(value, tariff.terms)
    if fee:
        draft.post(tariff.position, MONEY, -fee)
        draft.post(chart.fee(kind), MONEY, fee)
        if tariff.terms.fee_share:
            revenue.post_share(draft, tariff.terms.fee_share, chart.fee(kind), fee)
