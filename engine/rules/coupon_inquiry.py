"""What a coupon is and what it would take off a sale; and how often that was asked.

An inquiry changes nothing and is no command. How many there were of each campaign comes in now and
then as one command of the daemon's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import campaigns
from engine.campaigns import UNLIMITED, Inquired
from engine.draft import Draft
from engine.reasons import Reason
from engine.rules.coupons import find, here_and_now, left_for, sale_fits, usable
from ledger import schema

LEFT_MAX = 999_999_999_999


@dataclass(slots=True)
class NoteInquiries:
    """Inquiries since the last such command: campaigns and how often each was asked about."""

    counts: tuple[tuple[str, int], ...]


def look(
    draft: Draft,
    named: tuple[bytes, int, int],
    merchant: str,
    sale: int,
    quantity: int,
) -> Reason:
    """Tell a coupon's campaign, title, status, last day, what is left, and its discount on a sale.

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
        ("campaign", campaign.id),
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
        if left_for(coupon, campaign, draft, campaigns.cost_of_use(rights, off)) is not None:
            off = 0
        facts.append(("discount", off))
    draft.facts = tuple(facts)
    return Reason.APPROVED


def note_inquiries(command: NoteInquiries, draft: Draft) -> Reason:
    """Count inquiries of campaigns, on the date of the command."""
    for campaign, count in command.counts:
        before = campaigns.inquired(draft.read, campaign)
        draft.rows[schema.named(schema.INQUIRED, campaign)] = Inquired(before + count)
    return Reason.APPROVED
