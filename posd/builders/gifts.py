"""Commands of gift exchange."""

from __future__ import annotations

from typing import Any

from engine.rules.gifts import GiftExchange
from posd.incoming import Incoming, named_in, quantity


def gift_exchange(incoming: Incoming) -> Any:
    """Points for pieces of a gift: SKU in element 16, how many in 15."""
    return GiftExchange(
        *incoming.request(),
        incoming.tokens,
        named_in(incoming, "16"),
        quantity(incoming),
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        incoming.pin,
    )
