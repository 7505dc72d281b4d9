"""A coupon's life: claimed, used, handed to another member, expired; see `engine.campaigns`.

What is checked of a coupon goes in the order of ``protocol.md``, section 3: whether it is known,
its state, its holder, place and time, amounts and counts, its PIN, and what is left of stock and
budget. The legs are those of ``accounting.md``: the merchant of a use is owed the discount, what
was paid for the coupon leaves ``Voucher``, the funders pay the rest at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine import campaigns, limits, revenue, rounding
from engine.campaigns import (
    FREE_KINDS,
    MINUTES,
    OPERATOR,
    UNLIMITED,
    Campaign,
    CodeBatch,
    Coupon,
    Receipt,
    Taken,
)
from engine.commands import Pin, Request, Token
from engine.draft import PIN_FAILURES_MAX, Draft, amended
from engine.reasons import Reason
from engine.records import Merchant
from engine.rules.points import needs_pin, post_bonus, post_redeemed
from engine.rules.reference import refuse
from engine.tariffs import Tariff
from ledger import chart, schema
from ledger.model import MONEY

COUPONS: Final = "CPN"
"""The unit under which a terminal's totals count uses of coupons."""

CENTRE: Final = "coupon"
"""The cost centre of what the operator pays for coupons, and the kind of their breakage."""

RECEIPT_COUPONS_MAX: Final = 20

EXPIRED_MAX: Final = 16
"""Coupons that one command ends: what a daemon does between two turns of terminals."""

_LIVING: Final = ("live", "locked")


@dataclass(slots=True)
class Claim(Request):
    """A coupon for a member.

    Attributes:
        tokens: what names the member.
        campaign: of which.
        unit, amount: as the message had them; what was paid for a coupon that is sold.
        code: keyed digest of the code that it will have; sealed: that code, sealed.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    campaign: str
    unit: str
    amount: int
    code: bytes
    sealed: bytes
    pin: int


@dataclass(slots=True)
class Grant:
    """A coupon that the operator gives a member; the fields are those of `Claim`."""

    member: str
    campaign: str
    code: bytes
    sealed: bytes


@dataclass(slots=True)
class Use(Request):
    """A coupon used for a sale.

    Attributes:
        tokens: what names the member, may be empty.
        coupon: keyed digest of the code; code_batch, serial: what it says, 0 for nothing.
        amount: the sale in fen.
        quantity: pieces that the sale is for, 0 for not said.
        reference: receipt that the terminal named, empty for none.
        coupon_pin: the verdict on the coupon's PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    coupon: bytes
    code_batch: int
    serial: int
    amount: int
    quantity: int
    reference: str
    coupon_pin: int


@dataclass(slots=True)
class Handover(Request):
    """A coupon given to another member, under a new code.

    Attributes:
        tokens: what names the holder, may be empty.
        other: what names the member who gets it.
        coupon, code_batch, serial, coupon_pin: as in `Use`.
        unit, amount: as the message had them, of no meaning.
        code, sealed: of the new code, as in `Claim`.
    """

    tokens: tuple[Token, ...]
    other: tuple[Token, ...]
    coupon: bytes
    code_batch: int
    serial: int
    unit: str
    amount: int
    code: bytes
    sealed: bytes
    coupon_pin: int


@dataclass(slots=True)
class ExpireCoupons:
    """What is left of some coupons after their last day.

    Attributes:
        coupons: keyed digests of their codes, `EXPIRED_MAX` at most, of whichever campaigns.
    """

    coupons: tuple[bytes, ...]


# Claim.


def claim(command: Claim, draft: Draft) -> Reason:
    """Give a member a coupon under a fresh code; points or money may be paid for it."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    campaign = campaigns.campaign_of(draft, command.campaign)
    if campaign is None:
        return Reason.CAMPAIGN_UNKNOWN
    bad = _claimable(campaign, draft)
    if bad is not None:
        return bad
    tariff = None
    if campaign.points:
        tariff = draft.find_tariff(command.merchant, campaign.program)
        if tariff is None:
            return Reason.NO_TERMS
    if campaign.sold and command.amount not in {0, campaign.sold}:
        return Reason.AMOUNT_DIFFERS
    bad = may_take(campaign, draft)
    if bad is None and tariff is not None:
        bad = _check_points(command, campaign, draft, tariff)
    if bad is None:
        bad = in_stock(campaign, draft)
    if bad is None and draft.read(schema.coupon(command.code)) is not None:
        bad = Reason.CODE_TAKEN
    if bad is not None:
        return bad
    cost = 0
    facts: tuple[tuple[str, Any], ...] = ()
    if tariff is not None:
        purse = draft.purse(draft.member, campaign.program)
        taken = purse.take(campaign.points, draft.today)
        if taken is None:
            return Reason.NOT_ENOUGH
        cost = _post_points(campaign, taken, draft, tariff)
        draft.show(purse)
        facts = (("moved", f"-{campaign.points}"), ("program", campaign.program))
        draft.counted = ((campaign.program, "D", campaign.points),)
    if campaign.sold:
        draft.post(chart.position(command.merchant, draft.date), MONEY, -campaign.sold)
        draft.post(chart.voucher(campaign.id), MONEY, campaign.sold)
        cost += campaign.sold
    give(campaign, draft, command.code, command.sealed, cost)
    draft.facts = (*facts, ("code", command.sealed), ("pin", int(campaign.pin)), *draft.facts)
    return _counted(draft)


def grant(command: Grant, draft: Draft) -> Reason:
    """Give a member a coupon for nothing, on the operator's word."""
    draft.member = command.member
    campaign = campaigns.campaign_of(draft, command.campaign)
    if campaign is None:
        return Reason.CAMPAIGN_UNKNOWN
    if draft.read(schema.named(schema.MEMBER, command.member)) is None:
        return Reason.MEMBER_UNKNOWN
    if draft.read(schema.coupon(command.code)) is not None:
        return Reason.CODE_TAKEN
    bad = _claimable(campaign, draft) or may_take(campaign, draft) or in_stock(campaign, draft)
    if bad is not None:
        return bad
    give(campaign, draft, command.code, command.sealed, 0)
    return Reason.APPROVED


def _claimable(campaign: Campaign, draft: Draft) -> Reason | None:
    """Why no new coupon of a campaign may come to life, if none may."""
    if campaign.state == "draft":
        return Reason.CAMPAIGN_UNKNOWN
    if campaign.state == "approved":
        return Reason.CAMPAIGN_NOT_LIVE
    if campaign.state == "offline":
        return Reason.CAMPAIGN_OVER
    now = campaigns.local_minute(draft)
    if now < campaign.start:
        return Reason.CAMPAIGN_EARLY
    return Reason.CAMPAIGN_OVER if now > campaign.end else None


def may_take(campaign: Campaign, draft: Draft) -> Reason | None:
    """Why the member may not take another coupon of a campaign."""
    member = draft.member
    if not (campaign.per_member and member):
        return None
    enough = campaigns.taken(draft, campaign.id, member) >= campaign.per_member
    return Reason.TAKEN_ENOUGH if enough else None


def in_stock(campaign: Campaign, draft: Draft) -> Reason | None:
    """Why no further coupon of a campaign can come to life."""
    if not (campaign.quantity or campaign.per_day):
        return None
    effect = campaigns.effect_of(draft, campaign.id)
    if campaign.quantity and effect.issued >= campaign.quantity:
        return Reason.QUANTITY_EXHAUSTED
    today = effect.issued_today if effect.day == draft.today else 0
    if campaign.per_day and today >= campaign.per_day:
        return Reason.DAY_EXHAUSTED
    return None


def left_for(coupon: Coupon, campaign: Campaign, draft: Draft, cost: int) -> Reason | None:
    """Why a campaign has no coupon, or not so many fen, left for a use, if it has not."""
    bad = in_stock(campaign, draft) if comes_to_life(coupon, campaign) else None
    if bad is None and campaign.budget:
        spent = campaigns.effect_of(draft, campaign.id).discount
        bad = Reason.BUDGET_EXHAUSTED if spent + cost > campaign.budget else None
    return bad


def _check_points(
    command: Claim, campaign: Campaign, draft: Draft, tariff: Tariff
) -> Reason | None:
    value = rounding.value_of_points(campaign.points, tariff.program)
    if tariff.limits is not None:
        amounts = ((campaign.program, campaign.points),)
        bad = limits.check(draft, command, tariff, "coupon", amounts)
        if bad is not None:
            return bad
    return draft.check_pin(command.pin, needed=needs_pin(command.tokens, value, tariff))


def _post_points(
    campaign: Campaign, taken: list[tuple[int, str, int]], draft: Draft, tariff: Tariff
) -> int:
    """Post the points that a coupon costs; returns what they are worth in ``Voucher``, fen."""
    post_redeemed(draft, campaign.program, taken, campaign.id)
    if not tariff.program.settled:
        return 0
    value = rounding.fund_value(campaign.points, tariff.program)
    draft.post(tariff.fund, MONEY, -value)
    draft.post(chart.voucher(campaign.id), MONEY, value)
    return value


def give(campaign: Campaign, draft: Draft, code: bytes, sealed: bytes, cost: int) -> None:
    """Bring a coupon of the member's to life, and count it."""
    draft.rows[schema.coupon(code)] = campaigns.new_coupon(
        campaign,
        draft,
        holder=draft.member,
        cost=cost,
        money=cost,
        code=sealed,
        claimed=draft.sequence,
    )
    note_taken(campaign.id, draft, claimed=1)


def note_taken(campaign: str, draft: Draft, claimed: int) -> None:
    """Count a coupon that came to life, and note it for an undo."""
    campaigns.count(draft, campaign, issued=1, claimed=claimed)
    member = draft.member
    if member:
        count = campaigns.taken(draft, campaign, member) + 1
        draft.rows[schema.taken(campaign, member)] = Taken(count)
    draft.facts = (*draft.facts, ("taken", (campaign, member, draft.today, claimed)))


# Finding.


def find(draft: Draft, digest: bytes, batch: int, serial: int) -> tuple[Coupon, Campaign] | None:
    """A coupon and its campaign, None for an unknown code.

    A produced code that nobody has touched yet is a coupon of its batch's campaign.
    """
    coupon: Coupon | None = draft.read(schema.coupon(digest))
    if coupon is not None:
        campaign = campaigns.campaign_of(draft, coupon.campaign)
        if campaign is not None and not coupon.claimed:
            # Of an imported code, or one that met wrong PINs: its days begin with its first use.
            kept = {"code": coupon.code, "batch": coupon.batch, "serial": coupon.serial}
            kept |= {"failures": coupon.failures, "state": coupon.state}
            coupon = campaigns.new_coupon(campaign, draft, **kept)
        return None if campaign is None else (coupon, campaign)
    if not batch:
        return None
    codes: CodeBatch | None = draft.read(schema.codes(batch))
    if codes is None or codes.imported or not 0 < serial <= codes.count:
        return None
    campaign = campaigns.campaign_of(draft, codes.campaign)
    if campaign is None:
        return None
    return campaigns.new_coupon(campaign, draft, batch=batch, serial=serial), campaign


def comes_to_life(coupon: Coupon, campaign: Campaign) -> bool:
    """Whether a use counts as a coupon given out: of a code nobody has claimed, or shared."""
    return not coupon.claimed or campaign.kind == "shared"


def usable(coupon: Coupon, campaign: Campaign, draft: Draft) -> Reason | None:
    """Why a coupon cannot be used at all now, if it cannot."""
    if coupon.state == "used":
        draft.facts = (("used", (coupon.used_at, coupon.used_by, coupon.used_on)),)
        return Reason.COUPON_USED
    if coupon.state == "void":
        return Reason.COUPON_VOID
    if coupon.state == "locked":
        return Reason.COUPON_LOCKED
    if comes_to_life(coupon, campaign):
        bad = _claimable(campaign, draft)
        if bad is not None:
            return bad
    if coupon.state == "expired" or coupon.until < draft.today:
        return Reason.COUPON_EXPIRED
    if coupon.since > draft.today * MINUTES and campaigns.local_minute(draft) < coupon.since:
        return Reason.COUPON_EARLY
    return None


def _held(coupon: Coupon, rights: Campaign, draft: Draft) -> Reason | None:
    """Why the member may not use a coupon; who is not named may be its holder, or a bearer."""
    member = draft.member
    if rights.bound and (not member or coupon.holder not in {"", member}):
        return Reason.COUPON_NOT_HOLDER
    if rights.kind == "shared" and rights.per_member and not member:
        return Reason.COUPON_NOT_HOLDER
    draft.member = member or coupon.holder
    return None


def here_and_now(rights: Campaign, merchant_id: str, draft: Draft) -> Reason | None:
    """Why a coupon is not good at this merchant or at this time, if it is not."""
    if rights.merchants or rights.categories or rights.institutions:
        merchant: Merchant | None = draft.read(schema.named(schema.MERCHANT, merchant_id))
        if merchant is None or not (
            merchant_id in rights.merchants
            or merchant.category in rights.categories
            or merchant.institution in rights.institutions
        ):
            return Reason.COUPON_NOT_HERE
    if not (rights.weekdays or rights.hours or rights.slots):
        return None
    now = campaigns.local_minute(draft)
    place = campaigns.slot_of(rights, now)
    if place == "early":
        return Reason.COUPON_EARLY
    if place == "over":
        return Reason.COUPON_EXPIRED
    if place == "between" or not campaigns.open_now(rights, now):
        return Reason.COUPON_NOT_NOW
    return None


def sale_fits(rights: Campaign, sale: int, quantity: int) -> Reason | None:
    """Why a sale is not one for a coupon, if it is not."""
    if sale <= 0 and rights.kind not in FREE_KINDS:
        return Reason.AMOUNT_ZERO
    if sale < rights.min_sale or (rights.kind == "special_price" and sale < rights.price):
        return Reason.SALE_TOO_SMALL
    if rights.kind == "buy_x_get_y" and quantity < rights.buy + rights.free:
        return Reason.PIECES_TOO_FEW
    return None


# Use.


def use(command: Use, draft: Draft) -> Reason:
    """Take a coupon's worth off a sale; the funders owe it to the merchant at once."""
    if command.tokens:
        bad = draft.find_member(command.tokens)
        if bad is not None:
            return bad
    found = find(draft, command.coupon, command.code_batch, command.serial)
    if found is None:
        return Reason.COUPON_UNKNOWN
    coupon, campaign = found
    rights = campaigns.rights_of(draft, campaign, coupon.version)
    bad = (
        usable(coupon, campaign, draft)
        or _held(coupon, rights, draft)
        or here_and_now(rights, command.merchant, draft)
    )
    if bad is not None:
        return bad
    tariff = draft.find_tariff(command.merchant, campaign.program if campaign.bonus else "")
    if tariff is None:
        return Reason.NO_TERMS
    bad = sale_fits(rights, command.amount, command.quantity)
    if bad is not None:
        return bad
    discount = campaigns.worth(rights, coupon, command.amount, command.quantity)
    if tariff.limits is not None:
        bad = limits.check(draft, command, tariff, "coupon", ((MONEY, discount),))
        if bad is not None:
            return bad
    fresh = comes_to_life(coupon, campaign)
    bad = (may_take(campaign, draft) if fresh else None) or _stacked(command, campaign, draft)
    if bad is not None:
        return bad
    bad = check_coupon_pin(command.coupon_pin, command.coupon, coupon, rights, draft)
    if bad is not None:
        return bad
    bad = left_for(coupon, campaign, draft, campaigns.cost_of_use(rights, discount))
    if bad is not None:
        return bad
    return _take_off(command, draft, (coupon, campaign, rights), tariff, discount)


def _take_off(
    command: Use,
    draft: Draft,
    found: tuple[Coupon, Campaign, Campaign],
    tariff: Tariff,
    discount: int,
) -> Reason:
    """All that a use changes, once nothing but a limit's pool may still decline it."""
    coupon, campaign, rights = found
    cost = campaigns.cost_of_use(rights, discount)
    money = campaigns.released(coupon, rights, discount)
    post_use(campaign, draft, tariff, cost, money)
    if comes_to_life(coupon, campaign):
        note_taken(campaign.id, draft, claimed=0)
    if command.reference:
        uses = (*_on_receipt(command, draft), (campaign.id, draft.sequence))
        draft.rows[schema.receipt(command.merchant, command.reference)] = Receipt(draft.today, uses)
    value = discount if rights.kind == "voucher" else 0
    draft.rows[schema.coupon(command.coupon)] = amended(
        worn(coupon, rights, value, money),
        failures=0,
        claimed=coupon.claimed or draft.sequence,
        used=draft.sequence,
        used_at=draft.at,
        used_by=command.merchant,
        used_on=command.terminal,
    )
    campaigns.count(draft, campaign.id, used=1, discount=cost, sales=command.amount)
    if campaign.bonus and draft.member:
        purse = draft.purse(draft.member, campaign.program)
        for funder, points in campaigns.funded(campaign, campaign.bonus):
            post_bonus(draft, purse, tariff, funder, points)
        draft.show(purse)
        draft.facts = (
            *draft.facts,
            ("moved", f"+{campaign.bonus}"),
            ("program", campaign.program),
        )
    draft.facts = (
        ("discount", discount),
        ("campaign", campaign.id),
        ("use", (value, money, cost, campaign.kind == "shared")),
        *draft.facts,
    )
    draft.counted = ((COUPONS, "D", discount),)
    return _counted(draft)


def _counted(draft: Draft) -> Reason:
    """Count what limits go by; one that is used up leaves no row changed."""
    reason = limits.count(draft)
    if reason is not Reason.APPROVED:
        draft.rows.clear()
    return reason


def worn(coupon: Coupon, rights: Campaign, value: int, money: int) -> Coupon:
    """A coupon after a use that took fen of its value and released money that was paid for it."""
    uses = coupon.uses_left if coupon.uses_left == UNLIMITED else coupon.uses_left - 1
    left = coupon.value_left - value
    if rights.kind == "voucher":
        uses = coupon.uses_left if left else 0
    done = uses == 0
    found: Coupon = amended(
        coupon,
        state="used" if done else coupon.state,
        uses_left=uses,
        value_left=left,
        money=coupon.money - money,
    )
    return found


def post_use(campaign: Campaign, draft: Draft, tariff: Tariff, cost: int, money: int) -> None:
    """Post what a use costs: to the merchant, from ``Voucher`` and the funders.

    Args:
        campaign: whose funders pay.
        draft: takes the legs.
        tariff: of the merchant where it is used.
        cost: fen that the merchant is owed.
        money: fen that leave ``Voucher``; beyond the cost, they are the operator's.
    """
    draft.post(chart.voucher(campaign.id), MONEY, -money)
    draft.post(tariff.position, MONEY, cost)
    if money > cost and campaign.points:
        margin = chart.margin(campaign.program)
        revenue.post_margin(draft, tariff.terms, margin, money - cost)
    elif money > cost:
        draft.post(chart.breakage(CENTRE), MONEY, money - cost)
    for party, share in campaigns.funded(campaign, max(0, cost - money)):
        post_funder(draft, party, -share)


def post_funder(draft: Draft, party: str, amount: int) -> None:
    """Post fen on a funder's position, or on the operator's promotion account."""
    account = chart.promo(CENTRE) if party == OPERATOR else chart.position(party, draft.date)
    draft.post(account, MONEY, amount)


def _stacked(command: Use, campaign: Campaign, draft: Draft) -> Reason | None:
    """Why a coupon may not be used beside those that are on its receipt, if it may not."""
    if not command.reference:
        return None
    uses = _on_receipt(command, draft)
    if len(uses) >= RECEIPT_COUPONS_MAX:
        return Reason.COUPONS_EXCLUDED
    for name, _ in uses:
        other = campaigns.campaign_of(draft, name)
        if other is None or not (_allows(campaign, other) and _allows(other, campaign)):
            return Reason.COUPONS_EXCLUDED
    return None


def _on_receipt(command: Use, draft: Draft) -> tuple[tuple[str, int], ...]:
    """Campaign and entry of the coupons that were used on a receipt today."""
    receipt: Receipt | None = draft.read(schema.receipt(command.merchant, command.reference))
    return receipt.uses if receipt is not None and receipt.day == draft.today else ()


def _allows(campaign: Campaign, other: Campaign) -> bool:
    if campaign.stacking == "alone" or other.id in campaign.excludes:
        return False
    return campaign.stacking == "any" or campaign.id != other.id


def check_coupon_pin(
    pin: int, digest: bytes, coupon: Coupon, rights: Campaign, draft: Draft
) -> Reason | None:
    """Judge the verdict on a coupon's PIN, where it has one; the third wrong one locks it."""
    if not rights.pin or pin == Pin.RIGHT:
        return None
    draft.rows.clear()
    draft.facts = ()
    if pin == Pin.ABSENT:
        return Reason.COUPON_PIN_MISSING
    failures = coupon.failures + 1
    locked = failures >= PIN_FAILURES_MAX
    draft.rows[schema.coupon(digest)] = amended(
        coupon, failures=failures, state="locked" if locked else coupon.state
    )
    return Reason.COUPON_LOCKED if locked else Reason.COUPON_PIN_WRONG


# Handing over.


def hand_over(command: Handover, draft: Draft) -> Reason:
    """Give a coupon, with what is left of it, to another member under a new code."""
    if command.tokens:
        bad = draft.find_member(command.tokens)
        if bad is not None:
            return bad
    other, bad = draft.find_other(command.other)
    if bad is not None:
        return bad
    found = find(draft, command.coupon, command.code_batch, command.serial)
    if found is None:
        return Reason.COUPON_UNKNOWN
    coupon, campaign = found
    rights = campaigns.rights_of(draft, campaign, coupon.version)
    bad = usable(coupon, campaign, draft)
    if bad is not None:
        return bad
    if draft.member and coupon.holder != draft.member:
        return Reason.COUPON_NOT_HOLDER
    if rights.bound and not draft.member:
        return Reason.COUPON_NOT_HOLDER
    if not rights.transferable or rights.kind == "shared":
        return Reason.COUPON_NOT_TRANSFERABLE
    draft.member = coupon.holder
    if other == coupon.holder:
        return Reason.TO_ONESELF
    bad = check_coupon_pin(command.coupon_pin, command.coupon, coupon, rights, draft)
    if bad is None and not coupon.claimed:
        bad = in_stock(campaign, draft)
    if bad is None and draft.read(schema.coupon(command.code)) is not None:
        bad = Reason.CODE_TAKEN
    if bad is not None:
        return bad
    if not coupon.claimed:
        note_taken(campaign.id, draft, claimed=0)
    given = amended(coupon, failures=0, claimed=coupon.claimed or draft.sequence)
    draft.rows[schema.coupon(command.coupon)] = amended(
        given, state="void", money=0, successor=command.code
    )
    draft.rows[schema.coupon(command.code)] = amended(
        given, holder=other, code=command.sealed, batch=0, serial=0, claimed=draft.sequence
    )
    draft.facts = (
        ("code", command.sealed),
        ("pin", int(rights.pin)),
        ("other", other),
        *draft.facts,
    )
    return Reason.APPROVED


# The end.


def lapsed(key: bytes, row: Coupon, today: int, _at: int) -> Iterator[ExpireCoupons]:
    """The command that ends a coupon, where its last day has passed."""
    if _over(row, today):
        yield ExpireCoupons((key[1:],))


def together(commands: list[ExpireCoupons]) -> list[ExpireCoupons]:
    """As few commands for the same coupons.

    A coupon in an entry of its own costs the daemon five times what it costs among others.
    """
    digests = [digest for command in commands for digest in command.coupons]
    return [
        ExpireCoupons(tuple(digests[first : first + EXPIRED_MAX]))
        for first in range(0, len(digests), EXPIRED_MAX)
    ]


def _over(coupon: Coupon, today: int) -> bool:
    return coupon.until < today and (coupon.state in _LIVING or coupon.money != 0)


def expire_coupons(command: ExpireCoupons, draft: Draft) -> Reason:
    """End coupons; what was paid for them is breakage, or goes back to who would have paid.

    The outcome has a fact ``expired``: campaign, holder, and 1 if the coupon was not used up, of
    each that had not ended before.
    """
    if len(command.coupons) > EXPIRED_MAX:
        return refuse(draft, f"a command has at most {EXPIRED_MAX} coupons")
    told: list[tuple[str, str, int]] = []
    ended: dict[str, int] = {}
    for digest in command.coupons:
        key = schema.coupon(digest)
        coupon: Coupon | None = draft.newest(key)
        if coupon is None or not _over(coupon, draft.today):
            continue
        campaign = campaigns.campaign_of(draft, coupon.campaign)
        if campaign is None:
            continue
        if coupon.money:
            draft.post(chart.voucher(campaign.id), MONEY, -coupon.money)
            if campaign.forfeit == "funders":
                for party, share in campaigns.funded(campaign, coupon.money):
                    post_funder(draft, party, share)
            else:
                draft.post(chart.breakage(CENTRE), MONEY, coupon.money)
        ends = coupon.state in _LIVING
        if ends:
            ended[campaign.id] = ended.get(campaign.id, 0) + 1
        state = "expired" if ends else coupon.state
        draft.rows[key] = amended(coupon, state=state, money=0)
        told.append((campaign.id, coupon.holder, int(ends)))
    if not told:
        return Reason.UNCHANGED
    for name, count in ended.items():
        campaigns.count(draft, name, expired=count)
    if len(told) == 1:
        draft.member = told[0][1]
    draft.facts = (("expired", tuple(told)),)
    return Reason.APPROVED
