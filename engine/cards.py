"""Card products and the cards of a batch: what a number belongs to, and how far a card is.

A card of a batch is named by the batch and its serial number in it; that is also the id of the
member that an anonymous card is. Its state is that of its range (`CardBatch`) until
it is presented for the first time: a million cards are distributed or activated by one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.commands import Token
from engine.ranges import Ranges
from engine.reasons import Reason
from engine.records import NEVER, Alias, Value
from engine.terms import add_days, month_end
from ledger import codec, schema

Read: TypeAlias = Callable[[bytes], Any]

States: TypeAlias = Ranges[str]
"""Ranges of a batch of cards, and the state of each."""

PREFIX_MIN = 4
PREFIX_MAX = 6
LENGTH_MIN = 13
LENGTH_MAX = 19
COVER_DIGITS = PREFIX_MAX

PRODUCED = "produced"


@dataclass(slots=True)
class CardTerms:
    """What cards of a kind may do.

    Attributes:
        id, name: for the operator.
        named: True where a card is good only for a member that it was given to.
        reloadable: False where value is loaded once.
        face_max: the most that may be on a card, fen; 0 for no limit.
        validity: ``none``, ``36m`` (through the end of that month) or ``1095d``: how long value
            can be spent after it was loaded.
        loss_reportable: whether a loss can be reported.
        stock: True where only cards issued in a batch exist.
        activation: ``operator``, or ``top-up`` where the first load at a terminal activates.
        pin_above: a purchase of more fen needs the PIN.
        prefix: the first digits of its numbers, 4 to 6.
        length: digits of a number, its check digit included.
    """

    id: str
    name: str
    named: bool
    reloadable: bool
    face_max: int
    validity: str
    loss_reportable: bool
    stock: bool
    activation: str
    pin_above: int
    prefix: str
    length: int


@dataclass(slots=True)
class CardProduct(CardTerms):
    """A kind of cards that is registered.

    Attributes:
        numbered: how many numbers have been given to batches.
        revision: counts the versions of what the operator says, from 1.
    """

    numbered: int
    revision: int


@dataclass(slots=True)
class CardPrefix:
    """The product that covers the numbers of a prefix and a length."""

    product: str


@dataclass(slots=True)
class CardBatch:
    """Cards that are issued together; a card in it is named by its serial number from 1.

    Attributes:
        product: their card product.
        first: the number of the first card among all of its product's, from 0.
        count: cards in the batch.
        issued: cards whose numbers are in the ledger, those with the lowest serial numbers.
        ranges: serial numbers, first and last, and state of those that have left the state
            ``produced``; ascending, neighbours of one state joined.
        taken: serial numbers that were left out, since their numbers were members' cards already.
    """

    product: str
    first: int
    count: int
    issued: int
    ranges: States
    taken: tuple[int, ...]


codec.register(schema.CARD_PRODUCT, CardProduct)
codec.register(schema.CARD_PREFIX, CardPrefix)
codec.register(schema.CARD_BATCH, CardBatch)


def cover_of(number: str) -> str:
    """What tells the product of a card number without telling the number.

    Its first six digits, which a mask shows too, and its length; empty for a number that is too
    short to be of a product, of which six digits would tell too much.
    """
    return f"{number[:COVER_DIGITS]}/{len(number)}" if len(number) >= LENGTH_MIN else ""


def covering(read: Read, cover: str) -> CardProduct | None:
    """The product that covers a number, by the longest prefix; None for none."""
    digits, slash, length = cover.partition("/")
    if not slash:
        return None
    for width in range(PREFIX_MAX, PREFIX_MIN - 1, -1):
        found: CardPrefix | None = read(prefix_key(digits[:width], int(length)))
        if found is not None:
            return product(read, found.product)
    return None


def prefix_key(prefix: str, length: int) -> bytes:
    """Key of the row that leads from a prefix and a length to their product."""
    return schema.named(schema.CARD_PREFIX, f"{prefix}/{length}")


def product(read: Read, product_id: str) -> CardProduct:
    """The row of a product that is known to be there."""
    row: CardProduct = read(schema.named(schema.CARD_PRODUCT, product_id))
    return row


def member_of_card(batch: str, serial: int) -> str:
    """The member that a card of a batch is; no other member's id has a point in it."""
    return f"{batch}.{serial:07d}"


def is_issued(member: str) -> bool:
    """True for the id of a member that is a card of a batch."""
    return "." in member


def product_of_issued(read: Read, member: str) -> str:
    """The product of a member that is a card of a batch; empty for any other member."""
    batch, point, _ = member.partition(".")
    if not point:
        return ""
    row: CardBatch = read(schema.named(schema.CARD_BATCH, batch))
    return row.product


def issued_state(read: Read, member: str) -> tuple[str, CardProduct]:
    """The state of a card that was not presented yet, and its product."""
    batch, _, serial = member.partition(".")
    row: CardBatch = read(schema.named(schema.CARD_BATCH, batch))
    return state_of(row.ranges, int(serial)), product(read, row.product)


def card_state(read: Read, alias: Alias) -> str:
    """The state of a card, that of its range where it has none of its own."""
    return issued_state(read, alias.member)[0] if alias.state == "issued" else alias.state


def state_of(ranges: States, serial: int) -> str:
    """The state of the range that a serial number is in.

    Payments ask for it, so it is compiled, which `engine.ranges` is not.
    """
    for first, last, state in ranges:
        if first <= serial <= last:
            return state
    return PRODUCED


def claim(read: Read, token: Token, cover: str) -> tuple[Reason | None, bytes, str]:
    """Whether a card, phone or token may come to name a member.

    Args:
        read: point reads.
        token: kind and digest.
        cover: of a card number, see `cover_of`; empty for other tokens.

    Returns:
        Why not, None where it may; the ciphertext that it has already, empty for none; the card
        product, empty for none.
    """
    alias: Alias | None = read(schema.alias(*token))
    if alias is None:
        of = covering(read, cover) if cover else None
        if of is None:
            return None, b"", ""
        return (Reason.CARD_NOT_IN_STOCK if of.stock else None), b"", of.id
    if alias.state != "issued":
        return Reason.MEMBER_KNOWN, alias.sealed, ""
    state, of = issued_state(read, alias.member)
    if of.named and state in {"distributed", "active"}:
        return None, alias.sealed, of.id
    return Reason.CARD_NOT_IN_STOCK, alias.sealed, of.id


def product_of(read: Read, member: str) -> CardProduct | None:
    """The card product whose rules a member's value goes by, None for none."""
    value: Value | None = read(schema.named(schema.VALUE, member))
    name = value.product if value is not None else product_of_issued(read, member)
    return product(read, name) if name else None


def valid_until(row: CardProduct, today: int) -> int:
    """The last day on which value that is loaded `today` can be spent."""
    if row.validity == "none":
        return NEVER
    length = int(row.validity[:-1])
    return month_end(today, length) if row.validity[-1] == "m" else add_days(today, length)
