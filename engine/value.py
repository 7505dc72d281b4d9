"""A member's stored value while a rule works on it.

A `Wallet` is a working copy of the member's value row: it notes each movement as a leg among the
command's postings, where the rule makes it, so that what is stored and what is posted cannot
differ. Holds post nothing; they count against what is available until they end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.records import NO_VALUE, Value
from ledger import chart, schema
from ledger.model import MONEY, Posting

VALUE_MAX = 999_999_999_999
"""Fen that a member may have stored: a terminal can be told twelve digits."""


class Wallet:
    """Working copy of a member's stored value.

    Attributes:
        member: whose.
        balance, expires, product, holds: see `engine.records.Value`.
        fresh: True where the member has no row yet.
        moved: True once something was posted.
    """

    __slots__ = (
        "_name",
        "_postings",
        "balance",
        "expires",
        "fresh",
        "holds",
        "member",
        "moved",
        "product",
        "used",
    )

    def __init__(self, read: Callable[[bytes], Any], member: str, postings: list[Posting]) -> None:
        """Read the row through `read`; legs go to `postings`."""
        known: Value | None = read(schema.named(schema.VALUE, member))
        row = NO_VALUE if known is None else known
        self.fresh = known is None
        self.moved = False
        self.member = member
        self.balance = row.balance
        self.expires = row.expires
        self.product = row.product
        self.holds = row.holds
        self.used = row.used
        self._name = chart.value(member)
        self._postings = postings

    def expired(self, today: int) -> bool:
        """True once the last day on which it can be spent has passed."""
        return 0 < self.expires < today

    def held(self, at: int) -> int:
        """Fen in holds that have not ended at a time in ms."""
        total = 0
        for _, until, amount in self.holds:
            if until > at:
                total += amount
        return total

    def available(self, at: int, today: int) -> int:
        """Fen that can be spent at a time in ms, on the local day `today`; may be below zero."""
        free = self.balance - self.held(at)
        return min(free, 0) if self.expired(today) else free

    def move(self, amount: int) -> None:
        """Add fen, or take them with a minus; posts the leg."""
        if not amount:
            return
        self.balance += amount
        self.moved = True
        self._postings.append((self._name, MONEY, amount))

    def hold(self, sequence: int, until: int, amount: int) -> None:
        """Hold fen for the entry `sequence` until a time in ms."""
        self.holds = (*self.holds, (sequence, until, amount))

    def release(self, sequence: int) -> int:
        """End a hold; returns its fen, 0 where there is none (it ended and was forgotten)."""
        found = 0
        left = []
        for hold in self.holds:
            if hold[0] == sequence:
                found = hold[2]
            else:
                left.append(hold)
        self.holds = tuple(left)
        return found

    def row(self, at: int) -> Value:
        """The row as it is now; holds that have ended by then are forgotten."""
        holds = self.holds
        if holds:
            holds = tuple([hold for hold in holds if hold[1] > at])
        used = at if self.moved else self.used
        return Value(self.balance, self.expires, self.product, holds, used)
