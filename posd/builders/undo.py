"""Commands of void, refund and reversal."""

from __future__ import annotations

from typing import Any

from engine.rules.refund import Refund
from engine.rules.undo import Reversal, Void
from posd.incoming import Incoming, Malformed, coupon_digest, original_identity, original_rrn


def void(incoming: Incoming) -> Any:
    """Undo of a transaction of the batch in force."""
    original = original_rrn(incoming)
    batch, stan = original_identity(incoming)
    if not original and 61 not in incoming.fields:  # noqa: PLR2004
        raise Malformed("a void names its original in field 37 or 61")
    return Void(
        *incoming.request(),
        incoming.tokens,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        original,
        batch,
        stan,
        incoming.operator,
        incoming.operator_pin,
        coupon_digest(incoming),
    )


def refund(incoming: Incoming) -> Any:
    """Return of a part of a transaction."""
    original = original_rrn(incoming)
    if not original:
        raise Malformed("a refund names its original in field 37")
    return Refund(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        original,
        incoming.operator,
        incoming.operator_pin,
    )


def reversal(incoming: Incoming) -> Any:
    """Undo of a message that had no good answer."""
    return Reversal(
        *incoming.request(),
        incoming.tokens,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        incoming.fields.get(39, ""),
        coupon_digest(incoming),
    )
