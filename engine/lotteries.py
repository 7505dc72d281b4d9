"""Lotteries: their records, and the one function that says what a draw came to.

The k-th draw of a member in a lottery is a function of (seed, member, k): `ticket` is the
HMAC-SHA256 of lottery, member and k under the seed, and `drawn` reads it as a whole number below
the common denominator of the odds, exactly uniform, and looks it up in the prize table. The seed is
drawn at approval; its SHA-256 goes into the journal then, the seed itself is kept sealed, and shown
after the end, so that anybody can recompute each draw. A command carries the ticket, made outside
the rules from the sealed seed, so that the journal holds what a draw came to, and no key to the
next one.

A prize whose stock is gone gives the next one of the table that is left, or none, as the lottery
says. A draw that is reversed keeps its prize aside: the member's next draw is the same k again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any, Final, TypeAlias

from engine import pools
from engine.draft import Draft
from engine.records import Ratio
from engine.vault import Vault
from ledger import codec, schema

DRAFT: Final = "draft"
LIVE: Final = "live"
OVER: Final = "over"

NO_PRIZE: Final = -1
"""Place in the prize table of a draw that wins nothing."""
NOTHING: Final = "NONE"
"""What a draw without a prize is called; no prize may be."""

SEED_BYTES: Final = 32
PRIZES_MAX: Final = 100
DENOMINATOR_MAX: Final = 10**18
_TICKET_VALUES: Final = 1 << 256

Prize: TypeAlias = tuple[str, str, Ratio, int, int, int]
"""Id, name, odds, pieces in all (-1: not counted), points that it is, fen that a piece is worth."""


@dataclass(slots=True)
class Lottery:
    """A lottery.

    Attributes:
        id, name: for the operator.
        program: of the points that a draw costs, and that prizes are.
        cost: points of a draw; 0 for free.
        start, end: first and last local day.
        prizes: the table, in the order in which odds are laid out and stock is passed on.
        passes_on: whether a prize that is gone gives the next one that is left; else nothing.
        per_member: most draws of a member; 0 for no limit.
        state: `DRAFT`, `LIVE` or `OVER`.
        seed: sealed; empty before the approval. seed_hash: its SHA-256 in hex.
        approved_by: who approved it.
        revision: counts the versions of this record, from 1.
    """

    id: str
    name: str
    program: str
    cost: int
    start: int
    end: int
    prizes: tuple[Prize, ...]
    passes_on: bool
    per_member: int
    state: str
    seed: bytes
    seed_hash: str
    approved_by: str
    revision: int


@dataclass(slots=True)
class Draws:
    """A member's draws in a lottery.

    Attributes:
        count: the highest k drawn.
        kept: k and prize of draws that were reversed and are drawn again first.
    """

    count: int
    kept: tuple[tuple[int, int], ...]


NO_DRAWS = Draws(0, ())

codec.register(schema.LOTTERY, Lottery, sealed=("seed",))
codec.register(schema.DRAWS, Draws)


# The draw.


def ticket(seed: bytes, lottery: str, member: str, k: int) -> bytes:
    """The 32 bytes that decide the k-th draw of a member."""
    return hmac.digest(seed, f"{lottery}:{member}:{k}".encode(), "sha256")


def drawn(prizes: tuple[Prize, ...], decided_by: bytes) -> int:
    """The place in the table that a ticket wins, `NO_PRIZE` for none; stock is not looked at."""
    whole = denominator(prizes)
    bound = _TICKET_VALUES // whole * whole
    number = int.from_bytes(decided_by, "big")
    while number >= bound:  # keeps the odds exact; never seen in practice
        decided_by = hashlib.sha256(decided_by).digest()
        number = int.from_bytes(decided_by, "big")
    number %= whole
    for place, prize in enumerate(prizes):
        number -= whole * prize[2][0] // prize[2][1]
        if number < 0:
            return place
    return NO_PRIZE


def denominator(prizes: tuple[Prize, ...]) -> int:
    """The least common denominator of the odds."""
    return lcm(*[prize[2][1] for prize in prizes])


def wrong_table(prizes: tuple[Prize, ...]) -> str:
    """What is wrong with a prize table, empty for nothing."""
    names = [prize[0] for prize in prizes]
    if not 0 < len(prizes) <= PRIZES_MAX:
        return f"prizes has to be 1 to {PRIZES_MAX} prizes"
    if len(set(names)) != len(names) or NOTHING in names:
        return f"prizes have ids of their own, other than {NOTHING}"
    if any(not 0 < above <= below for _, _, (above, below), *_ in prizes):
        return "odds of a prize are above 0 and at most 1"
    if sum(Fraction(*prize[2]) for prize in prizes) > 1:
        return "odds of all prizes together are at most 1"
    if denominator(prizes) > DENOMINATOR_MAX:
        return "odds have a common denominator of at most 10**18"
    return ""


def expected_cost(prizes: tuple[Prize, ...]) -> Fraction:
    """Fen that a draw costs the operator on average, while all prizes are there."""
    return sum((Fraction(*prize[2]) * prize[5] for prize in prizes), Fraction(0))


def stock_cost(prizes: tuple[Prize, ...]) -> int | None:
    """Fen that all prizes together are worth; None where one of them is not counted."""
    if any(prize[3] < 0 for prize in prizes):
        return None
    return sum(prize[3] * prize[5] for prize in prizes)


def award(draft: Draft, lottery: Lottery, place: int) -> int:
    """Take a drawn prize out of stock; the place of the one that is given in its stead, if gone."""
    while 0 <= place < len(lottery.prizes):
        name, _, _, stock, *_ = lottery.prizes[place]
        if stock < 0 or pools.draw(draft, pool_of(lottery.id, name), stock, 1):
            return place
        place = place + 1 if lottery.passes_on else NO_PRIZE
    return NO_PRIZE


def pool_of(lottery: str, prize: str) -> str:
    """The name of the pool that a prize's stock is."""
    return f"prize:{lottery}:{prize}"


# Before a command is built.


def next_draw(
    read: Callable[[bytes], Any], vault: Vault, lottery: str, member: str
) -> tuple[int, bytes]:
    """The k of a member's next draw, and its ticket; an empty one where there is no lottery."""
    row: Lottery | None = read(schema.named(schema.LOTTERY, lottery))
    if row is None or not row.seed or not member:
        return 0, b""
    draws: Draws = read(schema.draws(lottery, member)) or NO_DRAWS
    k = draws.kept[0][0] if draws.kept else draws.count + 1
    return k, ticket(open_seed(vault, row), lottery, member, k)


def seal_seed(vault: Vault, lottery: str, seed: bytes) -> tuple[bytes, str]:
    """A seed sealed for keeping, and its hash for the journal."""
    return vault.seal(f"lottery:{lottery}", seed), hashlib.sha256(seed).hexdigest()


def open_seed(vault: Vault, lottery: Lottery) -> bytes:
    """The seed of a lottery that was approved."""
    return vault.unseal(f"lottery:{lottery.id}", lottery.seed)
