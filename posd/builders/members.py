"""Commands of enrolment and PIN change."""

from __future__ import annotations

from typing import Any

from engine.cards import cover_of
from engine.rules.members import Enrolment, PinChange
from posd.incoming import Incoming, luhn_valid, token_text

CARD_DIGITS_MIN = 8
CARD_DIGITS_MAX = 19


def enrolment(incoming: Incoming) -> Any:
    """A new member."""
    clear: list[tuple[str, str]] = []
    if incoming.pan:
        clear.append(("C", incoming.pan))
    if "10" in incoming.tlv:
        text = token_text(incoming.tlv["10"])
        if (text[0], text[1:]) not in clear:
            clear.append((text[0], text[1:]))
    seal = incoming.vault.seal_token
    made = [(kind, *seal(kind, value)) for kind, value in clear]
    cards = [value for kind, value in clear if kind == "C"]
    return Enrolment(
        *incoming.request(),
        tuple((kind, name) for kind, name, _ in made),
        tuple(sealed for _, _, sealed in made),
        all(card_number_valid(card) for card in cards),
        tuple(cover_of(value) if kind == "C" else "" for kind, value in clear),
    )


def card_number_valid(number: str) -> bool:
    """True for a card number of a length that cards have, with its check digit."""
    return (
        CARD_DIGITS_MIN <= len(number) <= CARD_DIGITS_MAX
        and number.isascii()
        and number.isdecimal()
        and luhn_valid(number)
    )


def pin_change(incoming: Incoming) -> Any:
    """A new PIN, known by the old one."""
    return PinChange(
        *incoming.request(),
        incoming.tokens,
        incoming.pin,
        incoming.new_pin,
    )
