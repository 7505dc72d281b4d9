"""Codes of coupons told once more: the same code, counted, and not without end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.campaigns import Coupon
from engine.draft import Draft
from engine.reasons import Reason
from engine.rules.reference import refuse
from ledger import codec, schema

RESENT_MAX: Final = 5
"""Times that the code of one coupon is told again."""


@dataclass(slots=True)
class Resent:
    """How often the code of a coupon was told again."""

    count: int


codec.register(schema.RESENT, Resent)


@dataclass(slots=True)
class ResendCode:
    """The code of a coupon, named by its digest, is told again; by whom, and what for."""

    coupon: bytes
    by: str
    why: str


def resend_code(command: ResendCode, draft: Draft) -> Reason:
    """Count that a code is told again; refused for one that is of no use, or was told too often."""
    coupon: Coupon | None = draft.read(schema.coupon(command.coupon))
    if coupon is None or not coupon.code:
        return refuse(draft, "there is no such coupon, or its code follows from its batch's file")
    if coupon.state != "live":
        return refuse(draft, f"the coupon is {coupon.state}: its code is of no use any more")
    key = schema.resent(command.coupon)
    row: Resent | None = draft.read(key)
    count = 1 if row is None else row.count + 1
    if count > RESENT_MAX:
        return refuse(draft, f"the code was told again {RESENT_MAX} times, which is the most")
    draft.member = coupon.holder
    draft.rows[key] = Resent(count)
    draft.facts = (("count", count),)
    return Reason.APPROVED
