"""Commands of accrual and redemption."""

from __future__ import annotations

import re
from typing import Any

from engine.rules.points import Accrual, Redemption
from engine.rules.rewards import Reward
from posd.incoming import Incoming, Malformed, token_of

REASON_CODE = re.compile(rb"[A-Za-z0-9_-]{1,20}").fullmatch


def accrual(incoming: Incoming) -> Any:
    """Points for a sale."""
    if incoming.unit() != "156":
        raise Malformed("the sale of an accrual is in money")
    if "1E" in incoming.tlv:
        return _reward(incoming)
    return Accrual(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
        incoming.reference(),
    )


def _reward(incoming: Incoming) -> Any:
    """Points without a purchase."""
    code = incoming.tlv["1E"]
    if not REASON_CODE(code):
        raise Malformed("a reason code is 1 to 20 letters, digits, _ or -")
    other = incoming.tlv.get("11")
    return Reward(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
        code.decode("ascii"),
        () if other is None else (token_of(other, incoming.vault),),
    )


def redemption(incoming: Incoming) -> Any:
    """A sale paid with points."""
    return Redemption(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        incoming.pin,
        incoming.reference(),
    )
