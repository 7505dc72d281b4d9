"""Recharge cards: scratch codes that are worth points or stored value, sold in batches.

A batch is one record with its ranges of serial numbers, ``produced``, ``sold``, ``active`` or
``closed``; a card gets a row when it is used. What was sold and not used stands in ``CardStock``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.cards import States
from engine.draft import Draft
from engine.records import Program
from engine.rounding import fund_value
from ledger import codec, schema
from ledger.model import MONEY

SOLD: Final = "sold"
ACTIVE: Final = "active"
CLOSED: Final = "closed"


@dataclass(slots=True)
class RechargeCards:
    """What a batch of recharge cards is.

    Attributes:
        name: for the operator.
        count: how many; their serial numbers begin with 1.
        length: digits of a code; key: name of the key under which they are made.
        unit, amount: what each card is worth: points of a program, or fen (``156``).
        expires: last local day of use.
    """

    name: str
    count: int
    length: int
    key: str
    unit: str
    amount: int
    expires: int


@dataclass(slots=True)
class RechargeBatch(RechargeCards):
    """Recharge cards that were produced together.

    Attributes:
        ranges: first and last serial number, and state; in order, others are ``produced``.
    """

    ranges: States


@dataclass(slots=True)
class RechargeCard:
    """A card that was used: its batch and serial number, and the entry of its use."""

    batch: int
    serial: int
    used: int


codec.register(schema.RECHARGE_BATCH, RechargeBatch)
codec.register(schema.RECHARGE_CARD, RechargeCard)


def worth(draft: Draft, batch: RechargeBatch) -> int:
    """Fen that stand for a card while it is sold and not used, V."""
    if batch.unit == MONEY:
        return batch.amount
    program: Program = draft.read(schema.named(schema.PROGRAM, batch.unit))
    return fund_value(batch.amount, program)
