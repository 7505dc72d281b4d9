"""What replies tell of coupons that needs keys, the zone, or the message itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine import codes
from engine.commands import Outcome
from engine.vault import Vault
from posd.iso8583.assemble import digits, field

AMOUNT = 4
AMOUNT_DIGITS = 12


def told_facts(told: dict[str, Any], vault: Vault, charset: str) -> None:
    """Put a code that was given out, its PIN, and a title into the form in which they are sent."""
    if "code" in told:
        code = codes.clear(vault, told["code"])
        told["code in clear"] = code
        if told.get("pin"):
            told["PIN in clear"] = codes.pin_of(vault, codes.digest_of(vault, code))
    if "title" in told:
        told["title"] = told["title"].encode(charset, "replace")


def less_discount(sale: str, outcome: Outcome) -> bytes:
    """Field 4 of a sale with a coupon: what is left to pay."""
    discount: int = dict(outcome.facts)["discount"]
    return field(AMOUNT, digits(int(sale) - discount, AMOUNT_DIGITS))


def where_used(outcome: Outcome, zone: str) -> str:
    """When and where a coupon was used, masked, for the display of a till; empty for unknown."""
    for name, value in outcome.facts:
        if name == "used":
            at, merchant, terminal = value
            moment = datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(zone))
            return f"USED {moment:%m%d %H%M} {merchant[-4:]}/{terminal[-4:]}"
    return ""
