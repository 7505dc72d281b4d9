"""Commands of gift exchange and lottery draw."""

from __future__ import annotations

from typing import Any

from engine import lotteries
from engine.rules.gifts import GiftExchange
from engine.rules.lotteries import Draw
from ledger import schema
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


def lottery_draw(incoming: Incoming) -> Any:
    """A draw in the lottery of element 14, with the ticket of the member's next one.

    The seed is sealed, and rules open no seals: so the ticket is made here, and a rule that finds
    that it is for another draw by now asks for the message once more.
    """
    lottery = named_in(incoming, "14")
    row = incoming.read(schema.alias(*incoming.tokens[0]))
    member = row.member if row is not None else ""
    k, ticket = lotteries.next_draw(incoming.read, incoming.vault, lottery, member)
    return Draw(
        *incoming.request(),
        incoming.tokens,
        lottery,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        k,
        ticket,
        incoming.pin,
    )
