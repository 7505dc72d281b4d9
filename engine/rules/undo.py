"""Void and reversal: giving back all that an earlier transaction moved.

Every stored leg of the original is negated, whatever its date, on the date now open. Lots are
refilled in the reverse order of their consumption. What a transaction changed beside its legs, its
family takes back itself: `UNDONE` when it is undone, `REDONE` when the void that undid it was
reversed. Both may refuse, before anything has moved.

What may be undone and how is declared in the catalogue: R by reversal, V by void, F by refund.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine import batches, limits
from engine.commands import Outcome, Request, Token
from engine.draft import Draft, amended
from engine.operators import approval
from engine.reasons import Reason
from engine.records import NEW_BATCH, NO_UNDO, Batch, Undo, identity_of, packed_identity
from ledger import chart, schema
from ledger.model import MONEY, Entry, Posting

UNDOABLE: dict[str, str] = {}
"""Kind of command to the letters R, V, F of its undo; filled by the catalogue."""

Hook: TypeAlias = Callable[[Entry, Draft], Reason | None]

UNDONE: dict[str, Hook] = {}
"""Kind of command to what else is taken back with its legs; filled by the catalogue."""

REDONE: dict[str, Hook] = {}
"""Kind of command to what else stands again once its void was reversed; filled by the catalogue."""

LEGS: dict[str, Callable[[Entry], tuple[Posting, ...]]] = {}
"""Kind of command to which of its legs an undo negates, where not all; filled by the catalogue."""

FIELDS: dict[str, tuple[str, ...]] = {}
"""Kind of command to the names of its fields; filled by the catalogue."""

WAITED = "waited"
"""Fact of an undo: pending points that it took back, as member, program, day, expiry, issuer,
points."""

REMEMBERED = b""
"""Content digest of an identity that was reversed before it arrived."""


@dataclass(slots=True)
class Void(Request):
    """Undo of an approved transaction of the same terminal's batch in force.

    Attributes:
        tokens, unit, amount: as the original had them.
        original: sequence number that the RRN carries, 0 when none was sent, -1 for an RRN that
            carries none.
        original_batch, original_stan: the original's identity, 0 when not sent.
        operator, operator_pin: who approves it, empty for nobody, and the verdict on the PIN.
        coupon: digest of the coupon's code as the original had it, empty when not sent.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    original: int
    original_batch: int
    original_stan: int
    operator: str = ""
    operator_pin: int = 0
    coupon: bytes = b""


@dataclass(slots=True)
class Reversal(Request):
    """Undo of a message that had no good answer; batch and STAN are the original's.

    Attributes:
        tokens, unit, amount: as the original had them.
        cause: why, as the terminal said it.
        coupon: digest of the coupon's code as the original had it, empty for none.
    """

    tokens: tuple[Token, ...]
    unit: str
    amount: int
    cause: str
    coupon: bytes = b""


def void(command: Void, draft: Draft) -> Reason:
    """Undo an approved transaction of the batch in force."""
    sequence, bad = _voided_sequence(command, draft)
    if bad is not None:
        return bad
    entry: Entry | None = draft.read(schema.entry(sequence)) if sequence > 0 else None
    if entry is None or entry.kind not in UNDOABLE or entry.command[0] != command.terminal:
        return Reason.ORIGINAL_UNKNOWN
    original = Outcome(*entry.outcome)
    if original.reason != Reason.APPROVED:
        return Reason.ORIGINAL_UNKNOWN
    if entry.command[2] != command.batch:
        return _of_other_batch(entry, draft)
    draft.member = original.member
    if not draft.names_member(command.tokens, original.member):
        return Reason.OTHER_MEMBER
    if command.coupon and command.coupon != fields_of(entry).get("coupon"):
        return Reason.COUPON_DIFFERS
    # Before the amount: what has none (an enrolment) can have no other one.
    if "V" not in UNDOABLE[entry.kind]:
        return Reason.NOT_UNDOABLE
    bad = _amount_differs(command, entry)
    if bad is not None:
        return bad
    undo: Undo = draft.read(schema.undo(sequence)) or NO_UNDO
    if undo != NO_UNDO:
        return Reason.ALREADY_UNDONE
    bad = _not_approved(command, draft, original)
    if bad is not None:
        return bad
    bad = _take_back_beside(entry, draft)
    if bad is not None:
        draft.rows.clear()
        return bad
    give_back(entry, draft)
    draft.rows[schema.undo(sequence)] = amended(undo, voided_by=draft.sequence)
    draft.facts = (*draft.facts, ("undid", sequence))
    draft.counted = _uncount(original)
    return Reason.APPROVED


def reverse(command: Reversal, draft: Draft) -> Reason:
    """Undo the message of this identity, or remember that it must not post."""
    key = schema.identity(command.terminal, command.batch, command.stan)
    known = identity_of(draft.read(key))
    batch: Batch | None = draft.read(schema.batch(command.terminal, command.batch))
    if batch is not None and batch.state != "open":
        draft.facts = (("exception", "reversal of a settled batch"),)
        return Reason.BATCH_SETTLED
    if known is None:
        draft.rows[key] = packed_identity(0, REMEMBERED)
        draft.rows[schema.batch(command.terminal, command.batch)] = batches.with_stan(
            batch or NEW_BATCH, command.stan
        )
        return Reason.ORIGINAL_UNKNOWN
    entry: Entry = draft.read(schema.entry(known.sequence))
    original = Outcome(*entry.outcome)
    if not _same_message(command, entry, original, draft):
        return Reason.OTHER_CONTENT
    draft.member = original.member
    undo: Undo = draft.read(schema.undo(known.sequence)) or NO_UNDO
    if original.reason != Reason.APPROVED:
        draft.rows[schema.undo(known.sequence)] = amended(undo, reversed_by=draft.sequence)
        return Reason.APPROVED
    # A reversal equal to the one before never comes here; one that names the same member by
    # another card does, and must not give back a second time.
    if undo.voided_by or undo.reversed_by:
        return Reason.APPROVED
    if "R" not in UNDOABLE.get(entry.kind, ""):
        return Reason.NOT_UNDOABLE
    if undo.refunded:
        return Reason.ALREADY_UNDONE
    bad = _take_back_beside(entry, draft) or _restore_voided(original, draft)
    if bad is not None:
        draft.rows.clear()
        return bad
    give_back(entry, draft)
    draft.rows[schema.undo(known.sequence)] = amended(undo, reversed_by=draft.sequence)
    draft.facts = (*draft.facts, ("undid", known.sequence))
    draft.counted = _uncount(original)
    return Reason.APPROVED


def _not_approved(command: Void, draft: Draft, original: Outcome) -> Reason | None:
    """Why the terms' rule for giving money back is not kept; None where it is."""
    unit = original.counted[0][0] if original.counted else MONEY
    tariff = draft.find_tariff(command.merchant, unit if unit[0] == "P" else "")
    given_back = (command.unit, command.amount)
    return approval(
        draft, command.merchant, tariff, given_back, (command.operator, command.operator_pin)
    )


# Finding the original.


def find_original(
    draft: Draft,
    merchant: str,
    tokens: tuple[Token, ...],
    sequence: int,
    kinds: Container[str],
) -> Entry | Reason:
    """The approved transaction of the same merchant that an RRN names, or why it is not meant.

    Args:
        draft: takes the member whose transaction it is.
        merchant: whose command names it.
        tokens: what names the member, may be empty.
        sequence: what the RRN carries, -1 for an RRN that carries none.
        kinds: commands that may be named.
    """
    entry: Entry | None = draft.read(schema.entry(sequence)) if sequence > 0 else None
    if entry is None or entry.kind not in kinds or entry.command[1] != merchant:
        return Reason.ORIGINAL_UNKNOWN
    original = Outcome(*entry.outcome)
    if original.reason != Reason.APPROVED:
        return Reason.ORIGINAL_UNKNOWN
    draft.member = original.member
    if not draft.names_member(tokens, original.member):
        return Reason.OTHER_MEMBER
    return entry


def _voided_sequence(command: Void, draft: Draft) -> tuple[int, Reason | None]:
    """The sequence number of the original, or why it cannot be told."""
    by_stan = 0
    if command.original_stan:
        known = identity_of(
            draft.read(
                schema.identity(command.terminal, command.original_batch, command.original_stan)
            )
        )
        # One that was reversed before it arrived has no entry, so no RRN can agree with it.
        by_stan = (known.sequence if known is not None else 0) or -1
    if command.original and by_stan and command.original != by_stan:
        if by_stan < 0 and not _is_transaction(draft, command.original):
            return by_stan, None
        return 0, Reason.ORIGINALS_DISAGREE
    return command.original or by_stan, None


def _is_transaction(draft: Draft, sequence: int) -> bool:
    """True when an entry is a request's; RRNs of other entries name nothing."""
    entry: Entry | None = draft.read(schema.entry(sequence)) if sequence > 0 else None
    return entry is not None and entry.kind in UNDOABLE


def _of_other_batch(entry: Entry, draft: Draft) -> Reason:
    """Why a void of another batch's transaction fails; clearing hears of one that was settled."""
    terminal, _, number = entry.command[:3]
    batch: Batch | None = draft.read(schema.batch(terminal, number))
    if batch is None or batch.state == "open":
        return Reason.ORIGINAL_UNKNOWN
    draft.facts = (("exception", "void of a settled batch"),)
    return Reason.BATCH_SETTLED


def _same_message(command: Reversal, entry: Entry, original: Outcome, draft: Draft) -> bool:
    """True when a reversal repeats its original's function, amount, unit and member."""
    fields = fields_of(entry)
    if (
        command.function != fields["function"]
        or command.coupon != fields.get("coupon", b"")
        or command.amount != fields.get("amount", 0)
        or command.unit != fields.get("unit", MONEY if "amount" in fields else "")
    ):
        return False
    tokens = fields.get("tokens", ())
    if command.tokens == tokens:
        return True
    if not command.tokens or not tokens or not original.member:
        return False
    return draft.names_member(command.tokens, original.member)


def _amount_differs(command: Void, entry: Entry) -> Reason | None:
    if command.unit != unit_of(entry):
        return Reason.UNIT_DIFFERS
    if command.amount != amount_of(entry):
        return Reason.AMOUNT_DIFFERS
    return None


def fields_of(entry: Entry) -> dict[str, Any]:
    """The command's fields of an entry, by name."""
    return dict(zip(FIELDS[entry.kind], entry.command, strict=True))


def amount_of(entry: Entry) -> int:
    """The amount of a transaction, in the unit of its message."""
    amount: int = fields_of(entry).get("amount", 0)
    return amount


def unit_of(entry: Entry) -> str:
    """The unit of a transaction's amount; an accrual's sale is always money."""
    unit: str = fields_of(entry).get("unit", MONEY)
    return unit


def legs_of(entry: Entry) -> tuple[Posting, ...]:
    """The legs of an entry that its undo negates."""
    legs = LEGS.get(entry.kind)
    return entry.postings if legs is None else legs(entry)


# Giving back.


def give_back(entry: Entry, draft: Draft) -> None:
    """Negate the legs of an entry, on the date now open.

    A lot that was given is taken back even where the points are spent: what is missing becomes a
    debt, a balance below zero that is reported and not hidden. Pending points that are taken back
    are noted, so that they wait for their day again where that is undone in its turn.
    """
    for account, unit, amount in reversed(legs_of(entry)):
        kind, _, rest = account.partition(":")
        give = GIVE_BACK.get(kind)
        if give is None:
            draft.post(on_date(account, draft.date), unit, -amount)
        else:
            give(draft, rest, amount)
    for member, program, day, expiry, issuer, amount in dict(entry.outcome[3]).get(WAITED, ()):
        if day > draft.today:
            draft.purse(member, program).suspend(issuer, expiry, amount, day)
    waited = tuple(
        [(purse.member, purse.program, *one) for purse in draft.purses for one in purse.waited]
    )
    if waited:
        draft.facts = (*draft.facts, (WAITED, waited))
    moved = [purse for purse in draft.purses if purse.postings]
    draft.show(*moved)


def _give_back_lot(draft: Draft, rest: str, amount: int) -> None:
    member, program, issuer, expiry = rest.split(":")
    purse = draft.purse(member, program)
    if amount > 0:
        purse.claw_back(issuer, int(expiry), amount, owe=True)
    else:
        purse.put(issuer, int(expiry), -amount)


def _give_back_debt(draft: Draft, rest: str, amount: int) -> None:
    member, program, issuer = rest.split(":")
    purse = draft.purse(member, program)
    if amount > 0:
        purse.owe(issuer, amount)
    else:
        purse.settle_debt(issuer, -amount)


def _give_back_value(draft: Draft, member: str, amount: int) -> None:
    draft.wallet(member).move(-amount)


GIVE_BACK: dict[str, Callable[[Draft, str, int], None]] = {
    "Lot": _give_back_lot,
    "Debt": _give_back_debt,
    "Value": _give_back_value,
}
"""Kinds of accounts that live in members' records to how a leg on them is negated: the draft, the
account's parts after its kind, and the leg's amount."""


def on_date(account: str, date: int) -> str:
    """The same account, but a position on another business date."""
    if account.startswith("Pos:"):
        return chart.position(account.split(":")[1], date)
    return account


def _take_back_beside(entry: Entry, draft: Draft) -> Reason | None:
    """Take back what a transaction changed beside its legs; the reason where that cannot be."""
    undone = UNDONE.get(entry.kind)
    bad = undone(entry, draft) if undone is not None else None
    if bad is None:
        limits.give_back(entry.outcome[3], draft)
    return bad


def _restore_voided(original: Outcome, draft: Draft) -> Reason | None:
    """After a void was reversed, its original stands again and is counted again."""
    for name, sequence in original.facts:
        if name != "undid":
            continue
        entry: Entry = draft.read(schema.entry(sequence))
        redone = REDONE.get(entry.kind)
        bad = redone(entry, draft) if redone is not None else None
        if bad is not None:
            return bad
        limits.take_again(entry.outcome[3], draft)
        key = schema.undo(sequence)
        undo: Undo = draft.read(key)
        draft.rows[key] = amended(undo, voided_by=0)
    return None


def _uncount(original: Outcome) -> tuple[tuple[str, str, int], ...]:
    """Take back what an original counted, and count again what a void had taken back."""
    return tuple(
        (unit, side[1:] if side.startswith("-") else f"-{side}", amount)
        for unit, side, amount in original.counted
    )
