"""Limits per transaction, day and month: the one hook that rules call before they move anything.

A rule of a transaction family calls two functions, the first only where its tariff has limits::

    if tariff.limits is not None:
        bad = limits.check(draft, command, tariff, "redemption", ((program.id, points), …))
        if bad is not None:
            return bad
    …                                   # PIN, funds, legs, reply: all that may still decline
    return limits.count(draft)

`check` judges amounts and counts (61, 65) and writes nothing; `count` judges what the whole program
shares (80), then books the use and notes it as the fact ``limits``, from which an undo gives it
back. A counter belongs to a local day or month and starts anew with the next one; an undo gives
back within the same period only. Soft limits decline nothing: they are told as the fact ``event``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from engine import pools, rounding
from engine.commands import Request
from engine.draft import Draft
from engine.reasons import Reason
from engine.rulebook import (
    ANY,
    NO_COUNTER,
    NO_LIMITS,
    Counter,
    Limit,
    Limits,
    book_name,
    limits_in,
)
from engine.tariffs import Tariff
from ledger import schema
from ledger.model import Account, Unit

Amounts: TypeAlias = tuple[tuple[Unit, int], ...]
"""What a transaction moves, by unit: points, and money for the sale or the value."""

Noted: TypeAlias = tuple[str, str, int, int]
"""A use as its fact tells it: owner, limit, period, amount."""

POOLED = "program"
"""The owner of what a whole program shares, and the scope of such a limit."""

COUNT_POOL = "#"
"""Behind the name of a limit: the pool of its count."""

FACT = "limits"
EVENT = "event"


@dataclass(slots=True)
class Owner:
    """Whose uses are counted together, while a transaction is judged.

    Attributes:
        name: ``scope:key``.
        key: of its counter.
        lines: what the counter has, and, once a limit is judged, what it will have.
    """

    name: str
    key: bytes
    lines: list[tuple[str, int, int, int]]


@dataclass(slots=True)
class Checked:
    """What `check` found, for `count`.

    Attributes:
        owners: whose counters change.
        shared: limits of the whole program, their periods, and amounts.
        noted: the uses, for the fact.
        events: soft limits that the transaction goes beyond.
        position: account of the merchant whose credit is limited; empty for none.
        credit: fen by which the transaction may lower that position.
    """

    owners: list[Owner]
    shared: list[tuple[Limit, int, int]]
    noted: list[Noted]
    events: list[str]
    position: Account
    credit: int


def check(
    draft: Draft,
    command: Request,
    tariff: Tariff,
    what: str,
    amounts: Amounts,
    more: tuple[Limit, ...] = (),
) -> Reason | None:
    """Judge a transaction by the limits of its member, terminal and merchant.

    Args:
        draft: the command being decided; its member is found already.
        command: who asks.
        tariff: with the limits.
        what: kind of transaction, as limits name it (``tools/LOAD.md``).
        amounts: what would be moved.
        more: limits that the kind of transaction brings along.

    Returns:
        The reason why not; None, and the uses noted in the draft, where all is well.
    """
    limits = tariff.limits
    if limits is None:
        if not more:
            return None
        limits = NO_LIMITS
    rules = (*limits.rules, *more) if more else limits.rules
    if limits.marked:
        rules = (*rules, *_of_single_owners(draft, command, limits, tariff.today))
    checked = Checked([], [], [], [], "", 0)
    # What comes late counts in no period that is over: the one now open is not its own.
    late = tariff.today != draft.today
    for limit in rules:
        if limit.what not in {what, ANY} or (late and _is_over(limit.per, tariff.today, draft)):
            continue
        amount = _in_unit(amounts, limit.unit)
        if amount < 0:
            continue
        bad = _judge(draft, command, limit, amount, checked)
        if bad is not None:
            if limit.hard:
                return bad
            checked.events.append(limit.id)
    if limits.credit >= 0:
        checked.position = tariff.position
        balance: int = draft.read(schema.balance(tariff.position)) or 0
        checked.credit = limits.credit + limits.unsettled + balance
    draft.uses = checked
    return None


def count(draft: Draft) -> Reason:
    """Book the uses that `check` noted, if any; nothing may decline after it.

    Returns:
        APPROVED; or, and nothing is booked, POOL_EXHAUSTED where a cap of the program is used up,
        CREDIT_EXCEEDED where the merchant would owe more than it may.
    """
    noted: Checked | None = draft.uses
    return Reason.APPROVED if noted is None else _book(draft, noted)


def _book(draft: Draft, checked: Checked) -> Reason:
    if checked.position and _beyond_credit(draft, checked):
        draft.facts = ()
        return Reason.CREDIT_EXCEEDED
    drawn: dict[bytes, Any] = {}
    for limit, period, amount in checked.shared:
        if not _draw(draft, limit, period, amount, drawn):
            if limit.hard:
                draft.facts = ()
                return Reason.POOL_EXHAUSTED
            checked.events.append(limit.id)
        checked.noted.append((POOLED, limit.id, period, amount))
    draft.rows.update(drawn)
    now = (draft.today, draft.today // 100)
    for owner in checked.owners:
        # Lines of periods that have passed are dropped.
        lines = [line for line in owner.lines if line[1] in now]
        draft.rows[owner.key] = Counter(tuple(lines))
    if checked.noted:
        draft.facts = (*draft.facts, (FACT, tuple(checked.noted)))
    if checked.events:
        draft.facts = (*draft.facts, (EVENT, tuple(checked.events)))
    return Reason.APPROVED


def _beyond_credit(draft: Draft, checked: Checked) -> bool:
    """True when a transaction makes its merchant owe more than its credit."""
    moved = 0
    for account, _, amount in draft.postings:
        if account == checked.position:
            moved += amount
    return moved < 0 and -moved > checked.credit


# Undo.


def give_back(facts: tuple[tuple[str, Any], ...], draft: Draft) -> None:
    """Return what a transaction with these facts used, once it is undone."""
    _move(facts, draft, -1)


def take_again(facts: tuple[tuple[str, Any], ...], draft: Draft) -> None:
    """Book again what a void gave back, once the void is undone; nothing is judged."""
    _move(facts, draft, 1)


def give_back_part(
    facts: tuple[tuple[str, Any], ...], draft: Draft, shares: tuple[int, int, int]
) -> None:
    """Return the share of a refund: before, after and whole of the amount; never the count."""
    before, after, whole = shares
    for owner, name, period, amount in _noted(facts):
        part = rounding.part(amount, after, whole) - rounding.part(amount, before, whole)
        if owner == POOLED:
            pools.give_back(draft, name, part, period)
        else:
            _take_off(draft, owner, name, period, part, 0)


def _move(facts: tuple[tuple[str, Any], ...], draft: Draft, sign: int) -> None:
    for owner, name, period, amount in _noted(facts):
        if owner == POOLED:
            pools.give_back(draft, name, -sign * amount, period)
            pools.give_back(draft, name + COUNT_POOL, -sign, period)
        else:
            _take_off(draft, owner, name, period, -sign * amount, -sign)


def _noted(facts: tuple[tuple[str, Any], ...]) -> tuple[Noted, ...]:
    for name, value in facts:
        if name == FACT:
            noted: tuple[Noted, ...] = value
            return noted
    return ()


# Judging.


def _is_over(per: str, day: int, draft: Draft) -> bool:
    """True when the period of a day that has passed is not the one now open."""
    return per == "day" or (per == "month" and day // 100 != draft.today // 100)


def _of_single_owners(draft: Draft, command: Request, limits: Limits, day: int) -> list[Limit]:
    """The limits of this terminal and this member alone that hold on a local day."""
    found: list[Limit] = []
    for unit, scope in limits.marked:
        key = command.terminal if scope == "terminal" else draft.member
        found += limits_in(draft.read, book_name(unit, scope, key), unit, day)
    return found


def _in_unit(amounts: Amounts, wanted: Unit) -> int:
    """The amount in a unit, -1 where there is none."""
    for unit, amount in amounts:
        if unit == wanted:
            return amount
    return -1


def _judge(
    draft: Draft, command: Request, limit: Limit, amount: int, checked: Checked
) -> Reason | None:
    """Judge by one limit, and note the use where it counts in a period."""
    if amount < limit.amount_min:
        return Reason.LIMIT_BELOW
    times = 1
    if limit.per != "transaction":
        period = draft.today if limit.per == "day" else draft.today // 100
        if limit.scope == POOLED:
            checked.shared.append((limit, period, amount))
            return None  # judged last of all
        owner = _owner(draft, command, limit.scope, checked)
        checked.noted.append((owner.name, limit.id, period, amount))
        amount, times = _used_with(owner, limit.id, period, amount)
    if limit.amount_max and amount > limit.amount_max:
        return Reason.LIMIT_AMOUNT
    if limit.count_max and times > limit.count_max:
        return Reason.LIMIT_COUNT
    return None


def _owner(draft: Draft, command: Request, scope: str, checked: Checked) -> Owner:
    if scope == "member":
        name = f"member:{draft.member}"
    elif scope == "terminal":
        name = f"terminal:{command.terminal}"
    else:
        name = f"merchant:{command.merchant}"
    for owner in checked.owners:
        if owner.name == name:
            return owner
    key = schema.named(schema.COUNTER, name)
    row: Counter | None = draft.read(key)
    owner = Owner(name, key, [] if row is None else list(row.lines))
    checked.owners.append(owner)
    return owner


def _used_with(owner: Owner, name: str, period: int, amount: int) -> tuple[int, int]:
    """Amount and count of a limit in a period, this transaction included."""
    times = 1
    lines = owner.lines
    for index, line in enumerate(lines):
        if line[0] == name:
            if line[1] == period:
                amount += line[2]
                times += line[3]
            lines[index] = (name, period, amount, times)
            return amount, times
    lines.append((name, period, amount, times))
    return amount, times


def _draw(draft: Draft, limit: Limit, period: int, amount: int, drawn: dict[bytes, Any]) -> bool:
    """Draw from the pools of a limit; False where there was not so much left."""
    enough = True
    if limit.amount_max:
        enough = pools.take(draft, limit.id, limit.amount_max, (period, amount), drawn)
    if limit.count_max:
        name = limit.id + COUNT_POOL
        enough = pools.take(draft, name, limit.count_max, (period, 1), drawn) and enough
    return enough


# Counters.


def _counter(draft: Draft, key: bytes) -> Counter:
    row: Counter | None = draft.rows.get(key)
    if row is None:
        row = draft.read(key)
    return row if row is not None else NO_COUNTER


def _take_off(draft: Draft, owner: str, name: str, period: int, amount: int, times: int) -> None:
    """Count back, where the counter still is in the period."""
    key = schema.named(schema.COUNTER, owner)
    lines = _counter(draft, key).lines
    for index, line in enumerate(lines):
        if line[0] == name and line[1] == period:
            less = (name, period, line[2] - amount, line[3] - times)
            draft.rows[key] = Counter((*lines[:index], less, *lines[index + 1 :]))
            return
