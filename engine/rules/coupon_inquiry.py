"""What a coupon is, and what it would take off a sale: read, and nothing changed."""

from __future__ import annotations

from engine import campaigns
from engine.campaigns import UNLIMITED
from engine.draft import Draft
from engine.reasons import Reason
from engine.rules.coupons import find, here_and_now, sale_fits, usable

LEFT_MAX = 999_999_999_999


def look(
    draft: Draft,
    named: tuple[bytes, int, int],
    merchant: str,
    sale: int,
    quantity: int,
) -> Reason:
    """Tell a coupon's title, status, last day, what is left, and its discount on a sale.

    Args:
        draft: to read with; takes the facts.
        named: digest of the code, and batch and serial number that it says.
        merchant: where it would be used.
        sale: fen; below 0 where no discount is asked for.
        quantity: pieces that the sale is for, 0 for not said.
    """
    found = find(draft, *named)
    if found is None:
        return Reason.COUPON_UNKNOWN
    coupon, campaign = found
    rights = campaigns.rights_of(draft, campaign, coupon.version)
    now = campaigns.local_minute(draft)
    status = campaigns.status_of(coupon, draft.today, now)
    left = campaigns.left_of(rights, coupon)
    facts = [
        ("title", rights.title),
        ("status", status),
        ("last day", coupon.until),
        ("left", LEFT_MAX if left == UNLIMITED else left),
    ]
    if sale >= 0:
        bad = (
            usable(coupon, campaign, draft)
            or here_and_now(rights, merchant, draft)
            or sale_fits(rights, sale, quantity)
        )
        off = 0 if bad is not None else campaigns.worth(rights, coupon, sale, quantity)
        facts.append(("discount", off))
    draft.facts = tuple(facts)
    return Reason.APPROVED
