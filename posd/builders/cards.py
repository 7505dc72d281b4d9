"""Commands of loss reports and card replacement."""

from __future__ import annotations

from typing import Any

from engine.cards import cover_of
from engine.rules.cards import CardReplacement, LossReport
from posd.builders.members import card_number_valid
from posd.incoming import Incoming, Malformed


def loss_report(incoming: Incoming) -> Any:
    """Cards that are lost."""
    return LossReport(*incoming.request(), incoming.tokens)


def replacement(incoming: Incoming) -> Any:
    """A new card in place of an old one."""
    named = incoming.tlv.get("1F")
    if named is None:
        raise Malformed("a replacement names the new card in element 1F")
    number = named.decode("ascii", "replace")
    name, sealed = incoming.vault.seal_token("C", number)
    return CardReplacement(
        *incoming.request(),
        incoming.tokens,
        name,
        sealed,
        card_number_valid(number),
        incoming.pin,
        cover_of(number),
    )
