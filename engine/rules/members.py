"""Members: enrolment at the counter, and the count of PINs that were wrong in an inquiry."""

from __future__ import annotations

from dataclasses import dataclass

from engine import cards
from engine.commands import Pin, Request, Token
from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import Alias, Member, Value
from ledger import schema


@dataclass(slots=True)
class Enrolment(Request):
    """A new member, named by cards and phones that nobody has yet.

    Attributes:
        tokens: what names the member.
        sealed: the tokens' ciphertexts, in the same order.
        numbers_valid: False when a card number's check digit is wrong.
        covers: of each card number, in the order of the tokens, see `engine.cards.cover_of`.
    """

    tokens: tuple[Token, ...]
    sealed: tuple[bytes, ...]
    numbers_valid: bool
    covers: tuple[str, ...] = ()


@dataclass(slots=True)
class PinChange(Request):
    """A member's new PIN.

    Attributes:
        tokens: what names the member.
        pin: the verdict on the old PIN, see `engine.commands.Pin`.
        new_pin: keyed digest of the new PIN; empty when its block was bad, or the old PIN absent.
    """

    tokens: tuple[Token, ...]
    pin: int
    new_pin: bytes


@dataclass(slots=True)
class PinCheck:
    """A PIN that came with an inquiry, for the count of wrong ones.

    Attributes:
        member: whose PIN.
        pin: the verdict, see `engine.commands.Pin`.
    """

    member: str
    pin: int


def enrol(command: Enrolment, draft: Draft) -> Reason:
    """Open an account for the tokens."""
    if not command.tokens:
        return Reason.MEMBER_MISSING
    if not command.numbers_valid:
        return Reason.CARD_NUMBER_BAD
    member = f"E{draft.sequence:010d}"
    covers = command.covers or ("",) * len(command.tokens)
    product = ""
    for token, sealed, cover in zip(command.tokens, command.sealed, covers, strict=True):
        bad, known, of = cards.claim(draft.read, token, cover)
        if bad is not None:
            draft.rows.clear()
            return bad
        draft.rows[schema.alias(*token)] = Alias(member, "active", known or sealed)
        product = product or of
    if product:
        draft.rows[schema.named(schema.VALUE, member)] = Value(0, 0, product, (), 0)
    draft.member = member
    draft.rows[schema.named(schema.MEMBER, member)] = Member(
        member, "base", "active", b"", 0, command.tokens, (), 1
    )
    return Reason.APPROVED


def change_pin(command: PinChange, draft: Draft) -> Reason:
    """Replace the PIN of a member who knows the old one."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    # Without the old PIN nobody has read the block of the new one: what is missing is told first.
    if not command.new_pin and command.pin != Pin.ABSENT:
        return Reason.PIN_BLOCK_BAD
    bad = draft.check_pin(command.pin, needed=True)
    if bad is not None:
        return bad
    key = schema.named(schema.MEMBER, draft.member)
    member: Member = draft.rows.get(key) or draft.read(key)
    draft.rows[key] = amended(member, pin=command.new_pin)
    return Reason.APPROVED


def check_pin(command: PinCheck, draft: Draft) -> Reason:
    """Count a wrong PIN, forget the count after a right one."""
    draft.member = command.member
    bad = draft.check_pin(command.pin, needed=command.pin != Pin.ABSENT)
    if bad is not None:
        return bad
    return Reason.APPROVED if draft.rows else Reason.UNCHANGED
