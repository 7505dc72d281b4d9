"""Cards at the counter: reported lost, and replaced by a new one.

A card is an alias of its member's account. A lost one is blocked at once; a replacement binds a new
number to the same account and leaves the old one in place, in a state in which it buys nothing.
Since the old number still names the member, refunds, voids and reversals of what was done with it
go on working; the row that is left beside it says which card took its place.

A contactless id sits in a card, so it is lost with its member's cards. An identity number names a
member in a loss report and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine import cards
from engine.commands import Request, Token
from engine.draft import ALIAS_STATES, Draft, amended
from engine.reasons import Reason
from engine.records import NO_HOT_CARDS, Alias, HotCards, Member, Replacement
from ledger import schema

CARD_KINDS: Final = "CU"
"""Kinds of tokens that are things which can be lost: cards, and the contactless ids in them."""

TOKENS_MAX: Final = 256
"""Cards, phones and tokens, former ones included, that a member may have."""


HOT_CARDS_MAX = 500
"""Cards on the list of lost ones that terminals download."""


@dataclass(slots=True)
class LossReport(Request):
    """A member's card is lost.

    Attributes:
        tokens: what names the member, an identity number among them; cards named are the lost
            ones, else all cards are.
    """

    tokens: tuple[Token, ...]


@dataclass(slots=True)
class CardReplacement(Request):
    """A new card for a lost or worn one.

    Attributes:
        tokens: what names the member; a card named is the one to replace.
        new_card: keyed digest of the new card's number; `sealed`: its ciphertext.
        number_valid: False when the new number is none, or its check digit is wrong.
        pin: the verdict on the PIN, see `engine.commands.Pin`; none is asked for.
        cover: of the new number, see `engine.cards.cover_of`.
    """

    tokens: tuple[Token, ...]
    new_card: bytes
    sealed: bytes
    number_valid: bool
    pin: int
    cover: str = ""


def report_loss(command: LossReport, draft: Draft) -> Reason:
    """Block the cards named, or all of the member's, from now on."""
    bad = draft.find_whoever(command.tokens)
    if bad is not None:
        return bad
    lost = tuple(token for token in command.tokens if token[0] in CARD_KINDS)
    if not lost:
        member: Member = draft.newest(schema.named(schema.MEMBER, draft.member))
        lost = tuple(token for token in member.tokens if token[0] in CARD_KINDS)
    product = cards.product_of(draft.read, draft.member)
    if product is not None and not product.loss_reportable:
        return Reason.LOSS_NOT_REPORTABLE
    why = Reason.NO_CARD
    blocked = 0
    for token in lost:
        key = schema.alias(*token)
        row: Alias = draft.newest(key)
        if row.state in {"active", "frozen"}:
            draft.rows[key] = amended(row, state="lost")
            blocked += 1
        else:
            why = ALIAS_STATES[row.state]
    if not blocked:
        return why
    _list_as_hot(draft, [digest for kind, digest in lost if kind == "C"])
    draft.facts = (("blocked", blocked),)
    return Reason.APPROVED


def _list_as_hot(draft: Draft, digests: list[bytes]) -> None:
    """Put lost cards on the list that terminals download; the oldest make room."""
    hot: HotCards = draft.read(schema.HOT_CARDS_KEY) or NO_HOT_CARDS
    new = tuple(digest for digest in digests if digest not in hot.cards)
    if new:
        cards_now = (*hot.cards, *new)[-HOT_CARDS_MAX:]
        draft.rows[schema.HOT_CARDS_KEY] = HotCards(hot.number + 1, cards_now)


def replace_card(command: CardReplacement, draft: Draft) -> Reason:
    """Let a new card name the account of an old one."""
    bad = draft.find_whoever(command.tokens)
    if bad is not None:
        return bad
    if not command.number_valid:
        return Reason.CARD_NUMBER_BAD
    member_key = schema.named(schema.MEMBER, draft.member)
    member: Member = draft.newest(member_key)
    old, bad = _card_to_replace(command, draft, member)
    if bad is not None:
        return bad
    place = schema.alias("C", command.new_card)
    refused, sealed, _ = cards.claim(draft.read, ("C", command.new_card), command.cover)
    if refused is not None:
        return Reason.CARD_TAKEN if refused is Reason.MEMBER_KNOWN else refused
    if len(member.tokens) >= TOKENS_MAX:
        return Reason.CARDS_TOO_MANY
    bad = draft.check_pin(command.pin, needed=False)
    if bad is not None:
        return bad
    key = schema.alias("C", old)
    row: Alias = draft.newest(key)
    draft.rows[place] = amended(row, state="active", sealed=sealed or command.sealed)
    if row.state == "active":
        draft.rows[key] = amended(row, state="replaced")
    draft.rows[schema.replacement(old)] = Replacement(command.new_card, draft.at)
    counted: Member = draft.rows.get(member_key) or member
    tokens = (*member.tokens, ("C", command.new_card))
    draft.rows[member_key] = amended(counted, tokens=tokens)
    return Reason.APPROVED


def _card_to_replace(
    command: CardReplacement, draft: Draft, member: Member
) -> tuple[bytes, Reason | None]:
    """The digest of the card that is replaced, or why there is none.

    It is the one that is named; else the only lost one, else the only one.
    """
    named = [digest for kind, digest in command.tokens if kind == "C"]
    if named:
        if len(named) > 1:
            return b"", Reason.CARD_UNCLEAR
        return named[0], _not_replaceable(draft, named[0])
    if member.state != "active":
        return b"", ALIAS_STATES[member.state]
    found: dict[str, list[bytes]] = {"lost": [], "active": []}
    for kind, digest in member.tokens:
        if kind == "C" and _not_replaceable(draft, digest) is None:
            state: str = draft.newest(schema.alias(kind, digest)).state
            found[state].append(digest)
    usable = found["lost"] or found["active"]
    if len(usable) != 1:
        return b"", Reason.CARD_UNCLEAR if usable else Reason.NO_CARD
    return usable[0], None


def _not_replaceable(draft: Draft, card: bytes) -> Reason | None:
    """Why a card cannot be replaced; a lost one can, once."""
    row: Alias = draft.newest(schema.alias("C", card))
    if row.state == "active":
        return None
    if row.state == "lost" and draft.read(schema.replacement(card)) is None:
        member: Member = draft.newest(schema.named(schema.MEMBER, draft.member))
        return ALIAS_STATES[member.state] if member.state != "active" else None
    return ALIAS_STATES[row.state]
