"""Commands of stored value: top-up, purchase, conversion of points."""

from __future__ import annotations

from typing import Any

from engine import codes
from engine.rules.recharge import Recharge
from engine.rules.value import Conversion, Purchase, TopUp
from ledger.model import MONEY
from posd.incoming import Incoming, Malformed, coupon_named, is_program

POINTS = "65"
STORED_VALUE = "60"


def top_up(incoming: Incoming) -> Any:
    """A load of stored value or of points, paid at the till or by a recharge card."""
    unit = incoming.unit()
    credited = incoming.function[4:6]
    if (credited == POINTS and unit == MONEY) or (credited == STORED_VALUE and unit != MONEY):
        raise Malformed("the account credited and the unit differ")
    if "12" in incoming.tlv:
        digest, batch, serial = coupon_named(incoming, codes.RECHARGE)
        amount = int(incoming.fields.get(4, 0))
        request = incoming.request()
        return Recharge(*request, incoming.tokens, unit, amount, digest, batch, serial)
    return TopUp(
        *incoming.request(),
        incoming.tokens,
        unit,
        incoming.amount(),
        incoming.reference(),
    )


def purchase(incoming: Incoming) -> Any:
    """A sale paid with stored value."""
    if incoming.unit() != MONEY:
        raise Malformed("stored value is money")
    return Purchase(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
        incoming.pin,
        incoming.reference(),
    )


def conversion(incoming: Incoming) -> Any:
    """Points that become stored value."""
    if not is_program(incoming.unit()):
        raise Malformed("points have a program for their unit")
    return Conversion(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        incoming.pin,
    )
