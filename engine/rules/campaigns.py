"""Administration of campaigns: what the operator says of them, and their way from draft to offline.

What is said of a campaign that has left its draft counts as approved by who loads it, and makes a
new version; the version before stays under a key of its own, for the coupons that live under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine.campaigns import OPERATOR, Campaign, Coupon
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import Program
from engine.rules.coupons import find
from engine.rules.reference import party_known, refuse
from ledger import schema

LOADED: Final = "load"
"""Who has approved what was loaded as approved already."""

MOVES: Final = {
    "approve": ("draft", "approved"),
    "publish": ("approved", "live"),
    "offline": ("live", "offline"),
    "resume": ("offline", "live"),
    "withdraw": ("approved", "draft"),
}
"""Steps of a campaign: the state from which, and to which."""


@dataclass(slots=True)
class PutCampaign:
    """A campaign as the operator wants it.

    Attributes:
        terms: the fields of `engine.campaigns.Campaign` up to ``approvals``, in order.
        state: one of `engine.campaigns.STATES`.
    """

    terms: tuple[Any, ...]
    state: str


@dataclass(slots=True)
class MoveCampaign:
    """A step of a campaign, by a person.

    Attributes:
        id: of the campaign.
        step: one of `MOVES`.
        by: who takes it.
    """

    id: str
    step: str
    by: str


@dataclass(slots=True)
class MoveCoupon:
    """A step of a single coupon, by a person.

    Attributes:
        coupon: digest of its code.
        step: ``unlock`` after wrong PINs, or ``cancel``.
        by, why: who takes it, and for which reason.
    """

    coupon: bytes
    step: str
    by: str
    why: str


@dataclass(slots=True)
class CancelCode:
    """A produced code that is not to be used any more, whether somebody has touched it or not.

    Attributes:
        coupon: digest of the code; code_batch, serial: what it says.
        by, why: who cancels it, and for which reason.
    """

    coupon: bytes
    code_batch: int
    serial: int
    by: str
    why: str


def put_campaign(command: PutCampaign, draft: Draft) -> Reason:
    """Register or change a campaign."""
    new = Campaign(*[*command.terms, command.state, (), 1, 1])
    key = schema.named(schema.CAMPAIGN, new.id)
    old: Campaign | None = draft.read(key)
    bad = _not_registered(new, draft)
    if bad:
        return refuse(draft, bad)
    if new.state != "draft":
        new.approved_by = (LOADED,)
    if old is None:
        draft.rows[key] = new
        return Reason.APPROVED
    same = amended(
        new,
        state=old.state,
        approved_by=old.approved_by,
        version=old.version,
        revision=old.revision,
    )
    if same == old and new.state in {"draft", old.state}:
        return Reason.UNCHANGED
    if old.kind != new.kind:
        return refuse(draft, "kind of a campaign cannot change: give the new one another id")
    if old.state in {"live", "offline"} and new.state in {"draft", "approved"}:
        return refuse(draft, f"campaign {new.id} is {old.state}: load its change with that state")
    if same == old:
        draft.rows[key] = amended(old, state=new.state, revision=old.revision + 1)
        return Reason.APPROVED
    draft.rows[schema.campaign_version(old.id, old.version)] = old
    draft.rows[key] = amended(new, version=old.version + 1, revision=old.revision + 1)
    return Reason.APPROVED


def _not_registered(campaign: Campaign, draft: Draft) -> str:
    """What a campaign names that is not there; empty where all is."""
    for merchant in campaign.merchants:
        if draft.read(schema.named(schema.MERCHANT, merchant)) is None:
            return f"merchants: {merchant} is not registered; load it first"
    for institution in campaign.institutions:
        if draft.read(schema.named(schema.INSTITUTION, institution)) is None:
            return f"institutions: {institution} is not registered; load it first"
    for party, _ in campaign.funders:
        if party != OPERATOR and not party_known(draft, party):
            return f"funders: {party} is not registered; load it first"
    if campaign.program:
        program: Program | None = draft.read(schema.named(schema.PROGRAM, campaign.program))
        if program is None:
            return f"program: {campaign.program} is not registered; load it first"
    return ""


def move_campaign(command: MoveCampaign, draft: Draft) -> Reason:
    """Take a campaign a step further; several persons may have to approve it."""
    key = schema.named(schema.CAMPAIGN, command.id)
    old: Campaign | None = draft.read(key)
    if old is None:
        return refuse(draft, f"there is no campaign {command.id}")
    before, after = MOVES[command.step]
    if old.state == after:
        return Reason.UNCHANGED
    if old.state != before:
        return refuse(draft, f"campaign {command.id} is {old.state}, not {before}")
    approved_by = old.approved_by
    if command.step == "approve":
        if command.by in approved_by:
            return refuse(draft, "the next approval has to be by another person")
        approved_by = (*approved_by, command.by)
        if len(approved_by) < old.approvals:
            after = "draft"
    elif command.step == "withdraw":
        approved_by = ()
    draft.rows[key] = amended(old, state=after, approved_by=approved_by, revision=old.revision + 1)
    draft.facts = (("state", after), ("approved_by", approved_by))
    return Reason.APPROVED


def move_coupon(command: MoveCoupon, draft: Draft) -> Reason:
    """Unlock a coupon, or cancel one for which nothing was paid."""
    key = schema.coupon(command.coupon)
    coupon: Coupon | None = draft.read(key)
    if coupon is None:
        return refuse(draft, "there is no such coupon, or nobody has touched it yet")
    before, after = coupon.state, "live" if command.step == "unlock" else "void"
    if before == after:
        return Reason.UNCHANGED
    if command.step == "unlock" and before != "locked":
        return refuse(draft, f"the coupon is {before}, not locked")
    if command.step == "cancel" and (before not in {"live", "locked"} or coupon.money):
        return refuse(draft, "a coupon is cancelled that is not used and was not paid for")
    draft.member = coupon.holder
    draft.rows[key] = amended(coupon, state=after, failures=0)
    draft.facts = (("before", before), ("after", after))
    return Reason.APPROVED


def cancel_code(command: CancelCode, draft: Draft) -> Reason:
    """Cancel a produced code; one that nobody has touched gets its row by that."""
    key = schema.coupon(command.coupon)
    if draft.read(key) is not None:
        return move_coupon(MoveCoupon(command.coupon, "cancel", command.by, command.why), draft)
    found = find(draft, command.coupon, command.code_batch, command.serial)
    if found is None:
        return refuse(draft, "there is no such coupon")
    draft.rows[key] = amended(found[0], state="void")
    draft.facts = (("before", "untouched"), ("after", "void"))
    return Reason.APPROVED
