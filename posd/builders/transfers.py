"""Commands of transfer between members and of exchange between programs."""

from __future__ import annotations

from typing import Any

from engine.rules.exchange import Exchange
from engine.rules.transfers import Transfer
from posd.incoming import Incoming, Malformed, Unlisted, program_named, token_of


def transfer_or_exchange(incoming: Incoming) -> Any:
    """Points to another member (element 11) or into another program (element 49)."""
    other = incoming.tlv.get("11")
    target = incoming.tlv.get("49")
    if (other is None) == (target is None):
        raise Unlisted("either another member or a target unit")
    unit = incoming.unit()
    if unit == "156":
        raise Malformed("points are transferred and exchanged in points")
    if target is None:
        assert other is not None  # noqa: S101 - judged above
        named = (token_of(other, incoming.vault),)
        return Transfer(
            *incoming.request(), incoming.tokens, named, unit, incoming.amount(), incoming.pin
        )
    return Exchange(
        *incoming.request(),
        incoming.tokens,
        unit,
        incoming.amount(),
        program_named(target),
        incoming.pin,
    )
