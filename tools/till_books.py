"""What a till believes: customers as they were presented, transactions approved, points moved.

The books hold what approvals said was moved, not what the till would compute, and an undo takes
back exactly what its original moved. So they can be held against the host's at the end of a day.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tools.till_replies import MONEY

COUPONS: Final = "CPN"
"""The unit under which a batch counts what coupons took off; nobody has a balance of it."""
SPENDING: Final = frozenset({"redemption", "capture", "coupon claim", "gift", "lottery draw"})
"""Kinds of transactions by which points are spent at somebody."""
ISSUING: Final = frozenset({"accrual", "advice", "reward", "referral"})
"""Kinds of transactions by which a merchant gives points."""


LOADING: Final = frozenset({"top-up", "recharge"})
"""Kinds of transactions whose points have their program as issuer."""


class Presented(NamedTuple):
    """How a customer is named in a request; at least one of card, track and phone is given.

    Attributes:
        member: Name in the books; never sent.
        card: Card number, keyed in (field 2).
        track: Track 2 with `D` as separator, swiped (field 35).
        phone: Phone number (element 10).
        pin: PIN typed by the customer, or empty. A PIN block needs a card number.
    """

    member: str
    card: str = ""
    track: str = ""
    phone: str = ""
    pin: str = ""

    def __repr__(self) -> str:
        """Show the name in the books only."""
        return f"Presented({self.member})"


class Movement(NamedTuple):
    """One balance that a transaction changes.

    Attributes:
        member: Name in the books.
        unit: Program, or `156` for stored value.
        amount: Points or fen, below zero where the member gives them.
        side: `D` or `C` where it counts in the batch's totals, else empty.
    """

    member: str
    unit: str
    amount: int
    side: str


@dataclass(slots=True, repr=False)
class Posted:
    """An approved transaction as the terminal remembers it.

    Attributes:
        kind: One of `tools.till_requests.SALES`, or `refund`.
        body: The request's fields without identity, PIN and MAC.
        presented: The customer.
        unit, amount: Fields 49 and 4.
        program, moved: What element 30 said: points, below zero where the member gave them; of
            stored value `156` and fen.
        rrn, batch, stan: Its names.
        refunded: How much of `amount` was refunded.
        undone: True once voided.
        also: What else it moved: into another unit, or to another member.
        redeemer: At whom points were spent; empty for the terminal's merchant.
        coupon: The code that a claim or a transfer gave.
    """

    kind: str
    body: dict[int, Any]
    presented: Presented
    unit: str
    amount: int
    program: str
    moved: int
    rrn: str
    batch: int
    stan: int
    refunded: int = 0
    undone: bool = False
    also: tuple[Movement, ...] = ()
    redeemer: str = ""
    coupon: str = ""


@dataclass(slots=True)
class Books:
    """What a terminal, or a fleet, believes happened.

    Attributes:
        members: Member and program, or `156`, to the change of the balance.
        issued: Merchant and program to points given, less those taken back.
        redeemed: Merchant and program to points spent, less those given back.
        enrolled: Members enrolled.
    """

    members: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    issued: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    redeemed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    enrolled: list[str] = field(default_factory=list)

    def add(self, other: Books) -> None:
        """Add the books of another terminal."""
        for mine, theirs in (
            (self.members, other.members),
            (self.issued, other.issued),
            (self.redeemed, other.redeemed),
        ):
            for key, amount in theirs.items():
                mine[key] += amount
        self.enrolled.extend(other.enrolled)

    def move(self, merchant: str, posted: Posted, points: int) -> None:
        """Book what a transaction, or the undo of it, moved to (+) or from its member."""
        program = posted.program
        if not program or program == COUPONS:
            return  # nobody's balance
        self.members[posted.presented.member, program] += points
        if posted.kind in ISSUING:
            self.issued[merchant, program] += points
        elif posted.kind in LOADING and program != MONEY:
            self.issued[program, program] += points
        elif posted.kind in SPENDING and program != MONEY:
            self.redeemed[posted.redeemer or merchant, program] -= points
        if abs(points) != abs(posted.moved):
            return  # a part given back, which only happens to what moves one balance
        for other in posted.also:
            amount = other.amount if points == posted.moved else -other.amount
            self.members[other.member, other.unit] += amount
            if posted.kind == "referral":
                self.issued[merchant, other.unit] += amount
            elif posted.kind == "lottery draw":
                self.issued[posted.redeemer, other.unit] += amount
