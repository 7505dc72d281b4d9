"""Commands of coupon issue, redemption and transfer."""

from __future__ import annotations

from typing import Any

from engine import codes
from engine.rules.coupons import Claim, Handover, Use
from ledger.model import MONEY
from posd.incoming import Incoming, Malformed, coupon_named, token_of

CAMPAIGN_MAX = 32
"""Characters of a campaign's id."""


def claim(incoming: Incoming) -> Any:
    """A coupon for a member, under a fresh code."""
    named = incoming.tlv.get("14", b"")
    if not 0 < len(named) <= CAMPAIGN_MAX or not named.isascii():
        raise Malformed("a claim names its campaign in element 14")
    digest, sealed = codes.fresh(incoming.vault)
    return Claim(
        *incoming.request(),
        incoming.tokens,
        named.decode("ascii"),
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        digest,
        sealed,
        incoming.pin,
    )


def redemption(incoming: Incoming) -> Any:
    """A coupon taken off a sale."""
    digest, batch, serial = coupon_named(incoming)
    if incoming.unit() != MONEY:
        raise Malformed("the sale of a coupon is in money")
    return Use(
        *incoming.request(),
        incoming.tokens,
        digest,
        batch,
        serial,
        incoming.amount(),
        _quantity(incoming),
        incoming.reference(),
        _pin(incoming, digest),
    )


def transfer(incoming: Incoming) -> Any:
    """A coupon for another member, under a fresh code."""
    digest, batch, serial = coupon_named(incoming)
    other = incoming.tlv.get("11")
    if other is None:
        raise Malformed("a transfer names the other member in element 11")
    code, sealed = codes.fresh(incoming.vault)
    return Handover(
        *incoming.request(),
        incoming.tokens,
        (token_of(other, incoming.vault),),
        digest,
        batch,
        serial,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        code,
        sealed,
        _pin(incoming, digest),
    )


def _pin(incoming: Incoming, digest: bytes) -> int:
    return codes.judge_pin(incoming.vault, digest, incoming.tlv.get("13"))


def _quantity(incoming: Incoming) -> int:
    """Element 15, pieces; 0 without it."""
    value = incoming.tlv.get("15")
    if value is None:
        return 0
    if not 0 < len(value) <= 9 or not value.isdigit():  # noqa: PLR2004 - n1..9
        raise Malformed("a quantity is 1 to 9 digits")
    return int(value)
