"""PINs: what a PIN block holds, judged before a command is made; that carries the verdict alone."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from engine.commands import Pin
from engine.records import Alias, Member, Operator
from engine.vault import operator_owner
from ledger import schema
from posd import security
from posd.incoming import Incoming
from posd.terminals import AES

BLOCK: Final = 52
BLOCK_AES: Final = 110
NEW_BLOCK: Final = 62
CHANGE: Final = "99"
"""The function that brings a new PIN."""
OPERATOR_PAN: Final = "0000000000000"
"""Stands for the card number in an operator's PIN block."""


def of_member(incoming: Incoming, profile: str, pin_key: bytes) -> int:
    """The verdict on the PIN of the member whom a message names; takes a new PIN in, too."""
    fields = incoming.fields
    block = fields.get(BLOCK_AES if profile == AES else BLOCK)
    if block is None:
        return Pin.BAD_BLOCK
    member = _member_named(incoming)
    if member is None:
        return Pin.ABSENT
    vault = incoming.vault
    try:
        pin = security.read_pin_block(profile, pin_key, block, incoming.pan)
        if incoming.mti[:3] == "060" and incoming.function[:2] == CHANGE:
            new = security.read_pin_block(
                profile, pin_key, fields.get(NEW_BLOCK, b""), incoming.pan
            )
            incoming.new_pin = vault.pin_digest(member.id, new)
    except security.PinBlockError:
        return Pin.BAD_BLOCK
    return Pin.RIGHT if compare_digest(vault.pin_digest(member.id, pin), member.pin) else Pin.WRONG


def of_operator(
    incoming: Incoming, row: Operator, block: bytes, profile: str, pin_key: bytes
) -> int:
    """The verdict on an operator's PIN block: hexadecimal, made with a card number of zeros."""
    try:
        clear = bytes.fromhex(block.decode("ascii", "replace"))
        pin = security.read_pin_block(profile, pin_key, clear, OPERATOR_PAN)
    except (ValueError, security.PinBlockError):
        return Pin.BAD_BLOCK
    given = incoming.vault.pin_digest(operator_owner(row.merchant, row.id), pin)
    return Pin.RIGHT if compare_digest(given, row.pin) else Pin.WRONG


def _member_named(incoming: Incoming) -> Member | None:
    alias: Alias | None = incoming.read(schema.alias(*incoming.tokens[0]))
    if alias is None:
        return None
    member: Member | None = incoming.read(schema.named(schema.MEMBER, alias.member))
    return member
