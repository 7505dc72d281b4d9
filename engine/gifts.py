"""Gifts: the catalogue, what members have taken of it, and orders until they are handed over.

The stock of a gift is a pool (`engine.pools`): its limit is all there ever were, its use what was
given out. So more stock is a greater number in the catalogue, and what an undo gives back can be
taken again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from engine import pools
from engine.draft import Draft
from ledger import codec, schema

UNLIMITED: Final = -1
"""A stock that is not kept."""

RESERVED: Final = "reserved"
HANDED_OVER: Final = "handed over"
SENT: Final = "sent"
CANCELLED: Final = "cancelled"

Price: TypeAlias = tuple[int, int, int]
"""First local day YYYYMMDD, points for one piece, fen that its owner is paid for it."""


@dataclass(slots=True)
class Gift:
    """A line of the catalogue.

    Attributes:
        id: its SKU.
        name: for people.
        owner: the merchant that supplies it and is paid for it.
        program: the points that it costs.
        prices: by day, the earliest first.
        stock: pieces, those given out included; `UNLIMITED` where none is kept.
        per_member: most pieces of a member; 0 for no limit.
        enabled: whether it can be had.
        revision: counts the versions of this record, from 1.
    """

    id: str
    name: str
    owner: str
    program: str
    prices: tuple[Price, ...]
    stock: int
    per_member: int
    enabled: bool
    revision: int


@dataclass(slots=True)
class GiftTaken:
    """Pieces of a gift that a member has taken."""

    count: int


@dataclass(slots=True)
class GiftOrder:
    """A gift exchanged, until it is the member's.

    Attributes:
        gift, quantity: what.
        member, merchant: for whom, and where it was exchanged.
        state: `RESERVED`, `HANDED_OVER`, `SENT` or `CANCELLED`.
        at: time of the exchange, ms.
        changed: entry of the last change of state.
    """

    gift: str
    quantity: int
    member: str
    merchant: str
    state: str
    at: int
    changed: int


codec.register(schema.GIFT, Gift)
codec.register(schema.GIFT_TAKEN, GiftTaken)
codec.register(schema.GIFT_ORDER, GiftOrder)


def price_of(gift: Gift, today: int) -> Price | None:
    """The price in force on a local day; None where the gift is not offered yet."""
    found: Price | None = None
    for price in gift.prices:
        if price[0] <= today:
            found = price
    return found


def taken(draft: Draft, gift: str, member: str) -> int:
    """Pieces of a gift that a member has taken so far."""
    row: GiftTaken | None = draft.newest(schema.gift_taken(gift, member))
    return row.count if row is not None else 0


def take(draft: Draft, gift: Gift, member: str, quantity: int) -> bool:
    """Book pieces as taken, also where fewer are left: False then."""
    place = schema.gift_taken(gift.id, member)
    draft.rows[place] = GiftTaken(taken(draft, gift.id, member) + quantity)
    if gift.stock == UNLIMITED:
        return True
    return pools.take(draft, pool_of(gift.id), gift.stock, (0, quantity), draft.rows)


def put_back(draft: Draft, gift: str, member: str, quantity: int, *, stock: bool = True) -> None:
    """Book pieces as not taken; into stock again unless they are lost."""
    place = schema.gift_taken(gift, member)
    draft.rows[place] = GiftTaken(taken(draft, gift, member) - quantity)
    if stock:
        pools.give_back(draft, pool_of(gift), quantity)


def pool_of(gift: str) -> str:
    """The name of the pool that a gift's stock is."""
    return f"gift:{gift}"
