"""Commands of accrual and redemption."""

from __future__ import annotations

from typing import Any

from engine.rules.points import Accrual, Redemption
from posd.incoming import Incoming, Malformed


def accrual(incoming: Incoming) -> Any:
    """Points for a sale."""
    if incoming.unit() != "156":
        raise Malformed("the sale of an accrual is in money")
    return Accrual(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
    )


def redemption(incoming: Incoming) -> Any:
    """A sale paid with points."""
    return Redemption(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        incoming.pin,
    )
