"""Transfer of points between members, in two steps through a transit account.

The first half takes lots from the member who gives and is the terminal's transaction; it notes the
second half as open. The machine executes that right after, as a command of its own that names the
first half by its number, so that it posts once however often it comes; the two members may thus
live on different shards. An undo goes the same way: the void or reversal gives the lots back to the
first member, a command that follows takes them from the second, as a debt where they are spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from engine import limits, rounding
from engine.commands import Outcome, Request, Token
from engine.draft import Draft
from engine.points import POINTS_MAX
from engine.reasons import Reason
from engine.records import Lot, Sequel, Transit, Undo
from engine.rules.points import may_spend
from engine.rules.undo import give_back
from ledger import chart, schema
from ledger.model import Entry, values_of

IN = "transfer in"
BACK = "transfer back"


@dataclass(slots=True)
class Transfer(Request):
    """Points of one member to another.

    Attributes:
        tokens: what names the member who gives.
        other: what names the one who gets.
        unit, amount: the program, and points.
        pin: the verdict on the PIN, see `engine.commands.Pin`.
    """

    tokens: tuple[Token, ...]
    other: tuple[Token, ...]
    unit: str
    amount: int
    pin: int


@dataclass(slots=True)
class TransferIn:
    """The second half of a transfer.

    Attributes:
        origin: sequence number of the entry that it completes.
        member: who gets the points.
        program: of which program.
        lots: expiry, issuer, points.
    """

    origin: int
    member: str
    program: str
    lots: tuple[Lot, ...]


@dataclass(slots=True)
class TransferBack:
    """The second half of what undid a transfer, or of what let it stand again.

    Attributes:
        origin: sequence number of the entry that it completes.
        member: who got the points.
        half: sequence number of the entry whose legs are negated.
    """

    origin: int
    member: str
    half: int


HALVES: dict[str, type[Any]] = {IN: TransferIn, BACK: TransferBack}
"""Kinds of second halves to their commands; families that have others add them."""


def transfer(command: Transfer, draft: Draft) -> Reason:
    """Take points from a member for another, with their issuers and days of expiry."""
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    other, bad = draft.find_other(command.other)
    if bad is not None:
        return bad
    if other == draft.member:
        return Reason.TO_ONESELF
    tariff = draft.find_tariff(command.merchant, command.unit)
    if tariff is None:
        return Reason.NO_TERMS
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    program = tariff.program
    spent = rounding.points_and_value(command.amount, program.id, program)
    bad = may_spend(draft, command, tariff, "transfer", spent, command.tokens, command.pin)
    if bad is not None:
        return bad
    purse = draft.purse(draft.member, program.id)
    taken = purse.take(command.amount, draft.today)
    if taken is None:
        return Reason.NOT_ENOUGH
    for _, _, amount in taken:
        draft.post(chart.transit(program.id), program.id, amount)
    draft.show(purse)
    draft.facts = (("moved", f"-{command.amount}"), ("other", other))
    draft.counted = ((program.id, "D", command.amount),)
    reason = limits.count(draft)
    if reason is Reason.APPROVED:  # what a declined command wrote would stay
        follow(draft, IN, TransferIn(draft.sequence, other, program.id, tuple(taken)))
    return reason


def take_in(command: TransferIn, draft: Draft) -> Reason:
    """Give a member the points that are in transit to it, once."""
    if draft.read(schema.transit(command.origin)) is None:
        return Reason.UNCHANGED
    draft.member = command.member
    purse = draft.purse(command.member, command.program)
    for expiry, issuer, amount in command.lots:
        draft.post(chart.transit(command.program), command.program, -amount)
        purse.put(issuer, expiry, amount)
    if purse.ledger() > POINTS_MAX:
        draft.facts = (("text", f"a member cannot have more than {POINTS_MAX} points"),)
        return Reason.REFUSED
    complete(draft, command.origin)
    return Reason.APPROVED


def hand_back(command: TransferBack, draft: Draft) -> Reason:
    """Negate the second half of a transfer, or of its undo, once."""
    if draft.read(schema.transit(command.origin)) is None:
        return Reason.UNCHANGED
    draft.member = command.member
    half: Entry = draft.read(schema.entry(command.half))
    give_back(half, draft)
    complete(draft, command.origin)
    return Reason.APPROVED


def still_open(_key: bytes, row: Transit, _today: int, _at: int) -> Iterator[Any]:
    """The second half that a row of the transit table waits for."""
    yield HALVES[row.kind](*row.command)


def in_transit(command: Any, read: Callable[[bytes], Any]) -> tuple[int, str]:
    """Points that a second half, still open, will take out of transit, and their program.

    A second half that gives points anew, and what takes them back, have nothing in transit.

    Args:
        command: the second half.
        read: point read of a row.
    """
    if isinstance(command, TransferIn):
        return sum(lot[2] for lot in command.lots), command.program
    if not isinstance(command, TransferBack):
        return 0, ""
    half: Entry = read(schema.entry(command.half))
    legs = [leg for leg in half.postings if leg[0].startswith("Transit:")]
    return sum(leg[2] for leg in legs), legs[0][1] if legs else ""


def take_back(entry: Entry, draft: Draft) -> Reason | None:
    """Let the undo of a transfer be followed by that of its second half.

    A second half that is still open is dropped instead: nobody got anything.
    """
    undo_half(entry, entry.sequence, draft)
    return None


def give_again(entry: Entry, draft: Draft) -> Reason | None:
    """Let a transfer stand again for the second member too, after its void was reversed.

    Where nobody had got anything, its second half is open again, so that a later undo finds it.
    """
    undo: Undo = draft.read(schema.undo(entry.sequence))
    if undo_half(entry, undo.voided_by, draft):
        return None
    lots = tuple(
        (int(account.split(":")[4]), account.split(":")[3], -amount)
        for account, _, amount in entry.postings
        if account.startswith("Lot:")
    )
    program = entry.postings[0][1]
    follow(draft, IN, TransferIn(entry.sequence, _other(entry), program, lots))
    return None


def undo_half(entry: Entry, origin: int, draft: Draft) -> bool:
    """Let the second half of the entry `origin` be negated; False where there was none."""
    sequel: Sequel | None = draft.read(schema.sequel(origin))
    if sequel is None:
        draft.rows[schema.transit(origin)] = None
        return False
    back = TransferBack(draft.sequence, _other(entry), sequel.sequence)
    follow(draft, BACK, back)
    return True


def _other(entry: Entry) -> str:
    """The member who got what a transfer gave."""
    other: str = dict(Outcome(*entry.outcome).facts)["other"]
    return other


def follow(draft: Draft, kind: str, command: Any) -> None:
    """Have a second half executed after this command, and note that it is open."""
    draft.rows[schema.transit(command.origin)] = Transit(kind, values_of(command))
    draft.follow = command


def complete(draft: Draft, origin: int) -> None:
    """Note that the second half of the entry `origin` is posted."""
    draft.rows[schema.transit(origin)] = None
    draft.rows[schema.sequel(origin)] = Sequel(draft.sequence)
