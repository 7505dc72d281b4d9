"""What every command and outcome has in common.

A command is a record of plain values: digests instead of card numbers, the verdict on a PIN instead
of the PIN. Its time and nonce travel beside it. Each transaction family defines its own commands in
``engine/rules``; `engine.catalogue` is the list of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from engine.reasons import Reason
from ledger.model import Hot

Token: TypeAlias = tuple[str, bytes]
"""Kind (C card, P phone, Q QR token, U contactless, I identity number) and keyed digest."""


class Pin(IntEnum):
    """The verdict on the PIN that came with a request, reached before the command is built."""

    ABSENT = 0
    RIGHT = 1
    WRONG = 2
    BAD_BLOCK = 3


@dataclass(slots=True)
class Request(Hot):
    """A command of a terminal that has an identity (``protocol.md``, section 6).

    Attributes:
        terminal: terminal id, 8 characters.
        merchant: merchant id, 15 characters.
        batch: number of the batch that the terminal named.
        stan: the terminal's trace number.
        content: keyed digest of the message's content, 16 bytes.
        function: the processing code as the terminal sent it, opaque here.
    """

    terminal: str
    merchant: str
    batch: int
    stan: int
    content: bytes
    function: str


@dataclass(slots=True)
class Outcome(Hot):
    """What a command came to.

    Attributes:
        reason: why.
        member: the member concerned, empty for none.
        balances: kind (``points`` or ``value``), unit, available, ledger; of what was moved.
        facts: named values for the reply.
        counted: unit, ``D`` or ``C``, amount: what the terminal's totals count.
    """

    reason: int
    member: str
    balances: tuple[tuple[str, str, int, int], ...]
    facts: tuple[tuple[str, Any], ...]
    counted: tuple[tuple[str, str, int], ...]

    def __init__(
        self,
        reason: int,
        member: str,
        balances: tuple[tuple[str, str, int, int], ...],
        facts: tuple[tuple[str, Any], ...],
        counted: tuple[tuple[str, str, int], ...],
    ) -> None:
        self.reason = reason
        self.member = member
        self.balances = balances
        self.facts = facts
        self.counted = counted

    def values(self) -> tuple[Any, ...]:
        """The fields in order."""
        return (self.reason, self.member, self.balances, self.facts, self.counted)


@dataclass(slots=True)
class Answer:
    """An outcome with its place in the journal.

    Attributes:
        outcome: what the command came to.
        sequence: its entry, 0 when none was made.
        date: the business date of the entry, or the open one.
        repeated: True when this is the stored outcome of an earlier, equal request.
    """

    outcome: Outcome
    sequence: int
    date: int
    repeated: bool

    def __init__(
        self,
        outcome: Outcome,
        sequence: int,
        date: int,
        repeated: bool,  # noqa: FBT001 - a field
    ) -> None:
        self.outcome = outcome
        self.sequence = sequence
        self.date = date
        self.repeated = repeated

    @property
    def approved(self) -> bool:
        """True for an approval."""
        return self.outcome.reason == Reason.APPROVED


def bare(reason: Reason, text: str = "") -> Outcome:
    """An outcome that moves nothing; `text` is a sentence for an operator."""
    return Outcome(int(reason), "", (), (("text", text),) if text else (), ())
