"""What undoes a claim, a use or a handing over of a coupon, and what a refund does with a use.

The legs are negated elsewhere (`engine.rules.undo`); here are the coupon itself, the campaign's
counters and the receipt. A claim or handing over is undone while nobody has used the new code; a
use always, and what it took goes to the code that has taken the place of the one it was made with.
"""

from __future__ import annotations

from typing import Any

from engine import campaigns, rounding
from engine.campaigns import UNLIMITED, Campaign, Coupon, Receipt, Taken
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.rules.coupons import CENTRE, COUPONS, worn
from engine.rules.refund import Returned, Shares, return_money
from engine.rules.undo import amount_of, fields_of
from engine.tariffs import Tariff
from engine.terms import add_days
from ledger import chart, schema
from ledger.model import MONEY, Entry

SUCCESSORS_MAX = 1000
"""Codes that take each other's place; more is a fault of ours."""


def _facts(entry: Entry) -> dict[str, Any]:
    return dict(entry.outcome[3])


Codes = list[tuple[bytes, Coupon]]


def _codes(draft: Draft, digest: bytes) -> Codes:
    """The coupon under a code and under those that took its place: keys and rows, its newest last.

    What a use took under an earlier code is given back under the later ones too, so that those
    differ by what was done since the later one came to be.
    """
    found: Codes = []
    for _ in range(SUCCESSORS_MAX):
        key = schema.coupon(digest)
        coupon: Coupon = draft.newest(key)
        found.append((key, coupon))
        if not coupon.successor:
            break
        digest = coupon.successor
    return found


def _restore(codes: Codes, rights: Campaign, draft: Draft, value: int, money: int) -> None:
    """Give a coupon back what a use took under the first of its codes."""
    for key, old in codes[:-1]:
        draft.rows[key] = restored(old, rights, value, 0)
    key, coupon = codes[-1]
    draft.rows[key] = restored(coupon, rights, value, money)


def _untouched(coupon: Coupon, campaign: Campaign) -> bool:
    """True for a coupon that is as it was when its code was given out."""
    full = campaigns.new_worth(campaign)
    return coupon.state == "live" and (coupon.uses_left, coupon.value_left) == full


# Claims.


def undo_claim(entry: Entry, draft: Draft) -> Reason | None:
    """Let a coupon be void whose claim is undone, if it was not used since."""
    key = schema.coupon(fields_of(entry)["code"])
    coupon: Coupon = draft.read(key)
    campaign = _rights(coupon, draft)
    if not _untouched(coupon, campaign):
        return Reason.COUPON_USED_SINCE
    draft.rows[key] = amended(coupon, state="void", money=0)
    _move_taken(entry, draft, -1)
    return None


def redo_claim(entry: Entry, draft: Draft) -> Reason | None:
    """Let a claim stand again whose void was reversed."""
    key = schema.coupon(fields_of(entry)["code"])
    coupon: Coupon = draft.read(key)
    draft.rows[key] = amended(coupon, state="live", money=coupon.cost)
    _move_taken(entry, draft, 1)
    return None


def _rights(coupon: Coupon, draft: Draft) -> Campaign:
    campaign = campaigns.campaign_of(draft, coupon.campaign)
    assert campaign is not None  # noqa: S101 - campaigns are never removed
    return campaigns.rights_of(draft, campaign, coupon.version)


def _move_taken(entry: Entry, draft: Draft, sign: int) -> None:
    """Take back, or count again, a coupon that came to life; of a day only on that day."""
    noted = _facts(entry).get("taken")
    if noted is None:
        return
    name, member, day, claimed = noted
    effect = campaigns.effect_of(draft, name)
    today = effect.issued_today + (sign if effect.day == day == draft.today else 0)
    draft.rows[schema.named(schema.EFFECT, name)] = amended(
        effect,
        issued=effect.issued + sign,
        claimed=effect.claimed + sign * claimed,
        issued_today=today,
    )
    if member:
        count = campaigns.taken(draft, name, member) + sign
        draft.rows[schema.taken(name, member)] = Taken(count)


# Handing over.


def undo_handover(entry: Entry, draft: Draft) -> Reason | None:
    """Let the old code be good again, if the new one was not used since."""
    said = fields_of(entry)
    key, place = schema.coupon(said["coupon"]), schema.coupon(said["code"])
    old: Coupon = draft.read(key)
    new: Coupon = draft.read(place)
    if new.state != "live" or _worth(new) != _worth(old):
        return Reason.COUPON_USED_SINCE
    draft.rows[key] = amended(old, state="live", money=new.money, until=new.until, successor=b"")
    draft.rows[place] = amended(new, state="void", money=0)
    _move_taken(entry, draft, -1)
    return None


def redo_handover(entry: Entry, draft: Draft) -> Reason | None:
    """Let the new code be good again, if the old one is untouched since."""
    said = fields_of(entry)
    key, place = schema.coupon(said["coupon"]), schema.coupon(said["code"])
    old: Coupon = draft.read(key)
    new: Coupon = draft.read(place)
    if old.state != "live" or _worth(new) != _worth(old):
        return Reason.COUPON_USED_SINCE
    draft.rows[key] = amended(old, state="void", money=0, successor=said["code"])
    draft.rows[place] = amended(new, state="live", money=old.money, until=old.until)
    _move_taken(entry, draft, 1)
    return None


def _worth(coupon: Coupon) -> tuple[int, int]:
    return coupon.uses_left, coupon.value_left


# Uses.


def undo_use(entry: Entry, draft: Draft) -> Reason | None:
    """Give a coupon back what a use took of it."""
    value, money, cost, shared = _facts(entry)["use"]
    codes = _codes(draft, fields_of(entry)["coupon"])
    coupon = codes[-1][1]
    _restore(codes, _rights(coupon, draft), draft, value, money)
    campaigns.count(draft, coupon.campaign, restored=1, discount=-cost, sales=-amount_of(entry))
    if shared:  # another code, once it is alive, stays so
        _move_taken(entry, draft, -1)
    _take_off_receipt(entry, draft)
    return None


def redo_use(entry: Entry, draft: Draft) -> Reason | None:
    """Let a use stand again whose void was reversed, if the coupon was not used up since."""
    value, money, cost, shared = _facts(entry)["use"]
    codes = _codes(draft, fields_of(entry)["coupon"])
    key, coupon = codes[-1]
    if (
        coupon.state != "live"
        or coupon.uses_left == 0
        or coupon.value_left < value
        or coupon.money < money
    ):
        return Reason.COUPON_USED_SINCE
    rights = _rights(coupon, draft)
    for place, old in codes[:-1]:
        draft.rows[place] = amended(worn(old, rights, value, 0), state=old.state)
    draft.rows[key] = worn(coupon, rights, value, money)
    campaigns.count(draft, coupon.campaign, restored=-1, discount=cost, sales=amount_of(entry))
    if shared:
        _move_taken(entry, draft, 1)
    _put_on_receipt(entry, draft)
    return None


def restored(coupon: Coupon, rights: Campaign, value: int, money: int) -> Coupon:
    """A coupon to which a use is given back: its value in fen, and what was paid for it."""
    uses = coupon.uses_left
    if rights.kind == "voucher":
        uses = rights.uses
    elif uses != UNLIMITED:
        uses += 1
    found: Coupon = amended(
        coupon,
        state="live" if coupon.state in {"used", "expired"} else coupon.state,
        uses_left=uses,
        value_left=coupon.value_left + value,
        money=coupon.money + money,
    )
    return found


def _take_off_receipt(entry: Entry, draft: Draft) -> None:
    said = fields_of(entry)
    if not said["reference"]:
        return
    key = schema.receipt(said["merchant"], said["reference"])
    receipt: Receipt | None = draft.read(key)
    if receipt is not None:
        uses = tuple([use for use in receipt.uses if use[1] != entry.sequence])
        draft.rows[key] = Receipt(receipt.day, uses) if uses else None


def _put_on_receipt(entry: Entry, draft: Draft) -> None:
    """Let a use stand on its receipt again, where that is of the same day still."""
    said = fields_of(entry)
    if not said["reference"]:
        return
    key = schema.receipt(said["merchant"], said["reference"])
    receipt: Receipt | None = draft.read(key)
    uses = receipt.uses if receipt is not None and receipt.day == draft.today else ()
    use = (_facts(entry)["campaign"], entry.sequence)
    draft.rows[key] = Receipt(draft.today, (*uses, use))


# Refund.


def refund_use(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> Returned:
    """Return the share of a discount to who paid it; the coupon comes back by its own rule."""
    before, after, whole = shares
    value, _, cost, _ = _facts(entry)["use"]
    codes = _codes(draft, fields_of(entry)["coupon"])
    coupon = codes[-1][1]
    rights = _rights(coupon, draft)
    return_money([leg for leg in entry.postings if leg[1] == MONEY], draft, shares)
    paid = sum([leg[2] for leg in draft.postings if leg[0].startswith("Voucher:")])
    _take_bonus_back(entry, draft, tariff, shares)
    full = after == whole
    if rights.refund == "never":
        if paid:
            draft.post(chart.voucher(coupon.campaign), MONEY, -paid)
            draft.post(chart.breakage(CENTRE), MONEY, paid)
    else:
        share = value if full else 0
        if rights.refund == "parts":
            share = rounding.part(value, after, whole) - rounding.part(value, before, whole)
        for place, old in codes[:-1]:
            draft.rows[place] = _given_back(old, rights, draft, (share, 0), full=full)
        draft.rows[codes[-1][0]] = _given_back(coupon, rights, draft, (share, paid), full=full)
    discount = _facts(entry)["discount"]
    returned_cost = rounding.part(cost, after, whole) - rounding.part(cost, before, whole)
    again = int(full and rights.refund != "never")
    campaigns.count(
        draft, coupon.campaign, restored=again, discount=-returned_cost, sales=before - after
    )
    draft.facts = (*draft.facts, ("returned", (coupon.campaign, returned_cost, again)))
    returned = rounding.part(discount, after, whole) - rounding.part(discount, before, whole)
    return COUPONS, "C", returned


def _given_back(
    coupon: Coupon, rights: Campaign, draft: Draft, what: tuple[int, int], *, full: bool
) -> Coupon:
    """A coupon after a refund: a part of its value and of what was paid, or the whole use."""
    value, money = what
    if full or (rights.kind == "voucher" and value):
        found = restored(coupon, rights, value, money)
        if rights.refund == "reissue" and found.until < draft.today:
            found = amended(found, until=add_days(draft.today, rights.grace))
        return found
    kept: Coupon = amended(coupon, money=coupon.money + money)
    return kept


def _take_bonus_back(entry: Entry, draft: Draft, tariff: Tariff, shares: Shares) -> None:
    """Take back the share of the points that a use gave, as a debt where they are spent."""
    issues = [leg for leg in entry.postings if leg[0].startswith("Issued:")]
    if not issues:
        return
    before, after, whole = shares
    sizes = [-leg[2] for leg in issues]
    given = sum(sizes)
    was = rounding.apportioned(rounding.part(given, before, whole), sizes)
    now = rounding.apportioned(rounding.part(given, after, whole), sizes)
    lots = [leg[0] for leg in entry.postings if leg[0].startswith("Lot:")]
    expiry = int(lots[0].rsplit(":", 1)[1]) if lots else tariff.expiry
    program = issues[0][1]
    purse = draft.purse(entry.outcome[1], program)
    for place, (account, _, _) in enumerate(issues):
        issuer = account.split(":")[2]
        points = now[place] - was[place]
        purse.claw_back(issuer, expiry, points, owe=True)
        draft.post(account, program, points)
    draft.show(purse)
