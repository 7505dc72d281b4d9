"""Card products, batches of cards, and how far the cards of a batch are.

A batch is opened first, which gives it a run of its product's numbers; then its cards come in
chunks, each with the serial number that it begins at, so that a job that was interrupted goes on
where the ledger is. Ranges of serial numbers move from ``produced`` over ``distributed`` to
``active``; ``closed`` ends the cards that nobody has presented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import cards
from engine.cards import CardBatch, CardPrefix, CardProduct, CardTerms, States
from engine.draft import Draft, amended
from engine.ranges import RANGES_MAX, counted, labelled
from engine.reasons import Reason
from engine.records import Alias
from engine.rules.reference import refuse
from ledger import schema
from ledger.model import values_of

CARDS_MAX = 1000
"""Cards of one command."""

TAKEN_MAX = 1000
"""Numbers of a batch that are left out."""

STEPS = {
    "distributed": frozenset({"produced", "distributed"}),
    "active": frozenset({"distributed", "active"}),
    "closed": frozenset({"produced", "distributed", "active", "closed"}),
}
"""State of a range to the states that its cards may be in before."""


@dataclass(slots=True)
class PutCardProduct(CardTerms):
    """A card product."""


@dataclass(slots=True)
class OpenCardBatch:
    """A batch of cards to be issued."""

    batch: str
    product: str
    count: int


@dataclass(slots=True)
class IssueCards:
    """Cards of a batch, one after the other.

    Attributes:
        start: serial number of the first.
        cards: keyed digest and ciphertext of each number.
    """

    batch: str
    start: int
    cards: tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class MoveCards:
    """A new state for the cards of a batch with the serial numbers `first` to `last`."""

    batch: str
    first: int
    last: int
    state: str


def put_card_product(command: PutCardProduct, draft: Draft) -> Reason:
    """Register or change a product; its numbers and whether it is named are fixed for life."""
    key = schema.named(schema.CARD_PRODUCT, command.id)
    old: CardProduct | None = draft.read(key)
    if old is not None and (old.prefix, old.length, old.named) != (
        command.prefix,
        command.length,
        command.named,
    ):
        return refuse(draft, "prefix, length and named of a card product cannot change")
    place = cards.prefix_key(command.prefix, command.length)
    known: CardPrefix | None = draft.read(place)
    if known is not None and known.product != command.id:
        return refuse(draft, f"numbers of this prefix and length belong to {known.product}")
    since = (0, 1) if old is None else (old.numbered, old.revision)
    row = CardProduct(*[*values_of(command), *since])
    if row == old:
        return Reason.UNCHANGED
    if old is not None:
        row = amended(row, revision=old.revision + 1)
    draft.rows[place] = CardPrefix(command.id)
    draft.rows[key] = row
    return Reason.APPROVED


def open_batch(command: OpenCardBatch, draft: Draft) -> Reason:
    """Give a batch its run of numbers; the same batch again is told how far it is."""
    key = schema.named(schema.CARD_BATCH, command.batch)
    known: CardBatch | None = draft.read(key)
    if known is not None:
        if (known.product, known.count) != (command.product, command.count):
            return refuse(
                draft,
                f"batch {command.batch} is of {known.count} cards of {known.product}; name another",
            )
        draft.facts = _told(known)
        return Reason.UNCHANGED
    place = schema.named(schema.CARD_PRODUCT, command.product)
    product: CardProduct | None = draft.read(place)
    if product is None:
        return refuse(draft, f"card product {command.product} is not registered; load it first")
    first = product.numbered
    room: int = 10 ** (product.length - len(product.prefix) - 1)
    if command.count < 1 or first + command.count > room:
        return refuse(draft, f"card product {product.id} has {room - first} numbers left")
    row = CardBatch(command.product, first, command.count, 0, (), ())
    draft.rows[key] = row
    draft.rows[place] = amended(product, numbered=first + command.count)
    draft.facts = _told(row)
    return Reason.APPROVED


def _told(batch: CardBatch) -> tuple[tuple[str, Any], ...]:
    """How far a batch is, for who issues it."""
    return ("first", batch.first), ("issued", batch.issued), ("taken", batch.taken)


def issue_cards(command: IssueCards, draft: Draft) -> Reason:
    """Take in the next cards of a batch; a number that is a member's already is left out."""
    key = schema.named(schema.CARD_BATCH, command.batch)
    batch: CardBatch | None = draft.read(key)
    if batch is None:
        return refuse(draft, f"batch {command.batch} is not open")
    last = command.start + len(command.cards) - 1
    if last <= batch.issued:
        return Reason.UNCHANGED
    if command.start != batch.issued + 1 or last > batch.count or len(command.cards) > CARDS_MAX:
        return refuse(draft, f"the next card of batch {command.batch} is {batch.issued + 1}")
    taken: list[int] = []
    for serial, (digest, sealed) in enumerate(command.cards, command.start):
        place = schema.alias("C", digest)
        if draft.read(place) is not None:
            taken.append(serial)
        else:
            member = cards.member_of_card(command.batch, serial)
            draft.rows[place] = Alias(member, "issued", sealed)
    if len(batch.taken) + len(taken) > TAKEN_MAX:
        draft.rows.clear()
        return refuse(draft, f"over {TAKEN_MAX} numbers of batch {command.batch} are members' now")
    draft.rows[key] = amended(batch, issued=last, taken=(*batch.taken, *taken))
    if taken:
        draft.facts = (("taken", tuple(taken)),)
    return Reason.APPROVED


def move_cards(command: MoveCards, draft: Draft) -> Reason:
    """Move a range of a batch on to its next state."""
    key = schema.named(schema.CARD_BATCH, command.batch)
    batch: CardBatch | None = draft.read(key)
    if batch is None:
        return refuse(draft, f"there is no batch {command.batch}")
    moved = (command.first, command.last, command.state)
    ranges = stepped(draft, command.batch, batch.issued, batch.ranges, moved, STEPS)
    if isinstance(ranges, Reason):
        return ranges
    draft.rows[key] = amended(batch, ranges=ranges)
    return Reason.APPROVED


def stepped(
    draft: Draft,
    batch: str,
    count: int,
    ranges: States,
    moved: tuple[int, int, str],
    steps: dict[str, frozenset[str]],
) -> States | Reason:
    """The ranges of a batch once the cards of one took their next state, or why they cannot.

    Args:
        draft: takes the sentence of a refusal.
        batch: its name.
        count: how many cards it has.
        ranges: as they are.
        moved: first and last card of the range, and the state that they are to have.
        steps: each state to those that its cards may be in before.
    """
    first, last, state = moved
    if state not in steps:
        return refuse(draft, f"a card is moved to {', '.join(steps)}")
    if not 1 <= first <= last <= count:
        return refuse(draft, f"batch {batch} has the cards 1 to {count}")
    before = set(counted(ranges, first, last, cards.PRODUCED))
    if before == {state}:
        return Reason.UNCHANGED
    if not before <= steps[state]:
        wrong = ", ".join(sorted(before - steps[state]))
        return refuse(draft, f"cards of the range are {wrong} and cannot become {state}")
    after = labelled(ranges, first, last, state)
    if len(after) > RANGES_MAX:
        return refuse(draft, f"a batch has at most {RANGES_MAX} ranges; move larger ones")
    return after
