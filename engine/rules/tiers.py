"""Tiers: counting what members spend, raising them, reviewing them, and the operator's ladder.

A tier is reached in the entry of the sale that reaches it, applies from the next transaction on,
and is kept to the end of the month that its rule names; then a review, which the sweep brings,
renews it by what was spent in the period up to then, or lets it go.

An undone sale takes its spending back out of its own month. If the tier had not been reached
without it, the tier is lost, and the one before stands again as long as it would have.

The operator may grant a tier as well; the higher of both is in force. The member's row and each of
its cards, phones and tokens bear its name, so that no transaction has to look for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.commands import Outcome
from engine.draft import Draft, amended
from engine.ladder import (
    LADDER,
    MONTHS_SPARE,
    NO_STANDING,
    TIERS_MAX,
    Ladder,
    Standing,
    Step,
    Tier,
    TierRule,
    added,
    end_of,
    in_force,
    month_of,
    name_on_alias,
    reached,
    reaches,
    steps_of,
)
from engine.reasons import Reason
from engine.records import BASE, CALENDAR, Alias, Calendar, Member
from engine.rules.reference import refuse, replace_row
from engine.rules.undo import amount_of
from engine.terms import Clock
from ledger import schema
from ledger.model import Entry


@dataclass(slots=True)
class PutTier:
    """A tier with its rules, each as the fields of `engine.tiers.TierRule`."""

    id: str
    name: str
    rank: int
    rules: tuple[tuple[int, int, int, bool, int, int], ...]


@dataclass(slots=True)
class ReviewTier:
    """Look whether a member still earns its tier."""

    member: str


def put_tier(command: PutTier, draft: Draft) -> Reason:
    """Register or change a tier of the ladder."""
    if command.id == BASE:
        return refuse(draft, f"{BASE} is the tier of everybody else; choose another id")
    old: Ladder | None = draft.read(LADDER)
    others = [tier for tier in (old.tiers if old is not None else ()) if tier.id != command.id]
    if any(tier.rank == command.rank for tier in others):
        return refuse(draft, f"another tier has rank {command.rank}; ranks differ")
    if len(others) >= TIERS_MAX:
        return refuse(draft, f"there are {TIERS_MAX} tiers already, the most there can be")
    rules = tuple(sorted((TierRule(*row) for row in command.rules), key=lambda rule: rule.since))
    tier = Tier(command.id, command.name, command.rank, rules)
    ladder = Ladder(
        tuple(sorted((*others, tier), key=lambda one: one.rank)),
        draft.at if old is None else old.begun,
        1,
    )
    return replace_row(draft, LADDER, ladder, old)


def review_tier(command: ReviewTier, draft: Draft) -> Reason:
    """Renew a member's tier or let it go, once its time is over."""
    draft.member = command.member
    ladder: Ladder | None = draft.read(LADDER)
    if ladder is None or not review(draft, ladder):
        return Reason.UNCHANGED
    draft.versions = (ladder.revision,)
    return Reason.APPROVED


def lapsed(key: bytes, row: Standing, today: int, _at: int) -> Iterator[ReviewTier]:
    """The review of a member whose tier has run out."""
    if row.tier and row.until < today:
        yield ReviewTier(schema.name_of(key))


# Counting.


def count(draft: Draft, steps: tuple[Step, ...], fen: int) -> None:
    """Count a sale of the draft's member, and raise its tier where that is reached."""
    month = month_of(draft.today)
    key = schema.named(schema.STANDING, draft.member)
    row: Standing = draft.read(key) or NO_STANDING
    months = added(row.months, month, fen, 1, steps)
    for step in steps:
        if step.tier == row.tier:
            break  # those below are behind it
        if reaches(step, months, month) and _raise(draft, step, row, months):
            return
    draft.rows[key] = Standing(
        months, row.tier, row.until, row.since, row.by, row.before, row.before_until
    )


def _raise(
    draft: Draft, step: Step, row: Standing, months: tuple[tuple[int, int, int], ...]
) -> bool:
    """Give the draft's member a tier that it has reached, if it is a higher one."""
    ladder: Ladder = draft.read(LADDER)
    if ladder.rank(step.tier) <= ladder.rank(row.tier):
        return False
    month = month_of(draft.today)
    until = end_of(month + step.keep_months)
    _keep(draft, Standing(months, step.tier, until, month, draft.sequence, row.tier, row.until))
    _apply(draft, ladder, step.tier)
    return True


def undone(entry: Entry, draft: Draft) -> Reason | None:
    """Take an undone accrual's spending back."""
    _take_back(entry, draft, amount_of(entry), 1)
    return None


def redone(entry: Entry, draft: Draft) -> Reason | None:
    """Count an accrual again whose void was reversed; a tier that this reaches counts from now."""
    ladder = _counted(entry, draft)
    if ladder is None:
        return None
    draft.member = Outcome(*entry.outcome).member
    steps = steps_of(ladder, draft.today)
    row = _standing(draft)
    months = added(row.months, _month(entry, draft), amount_of(entry), 1, steps)
    now = month_of(draft.today)
    step = reached(steps, months, now)
    if step is not None and ladder.rank(step.tier) > ladder.rank(row.tier):
        until = end_of(now + step.keep_months)
        row = Standing(months, step.tier, until, now, draft.sequence, row.tier, row.until)
    else:
        row = amended(row, months=months)
    _keep(draft, row)
    _apply(draft, ladder, row.tier)
    return None


def refunded(entry: Entry, draft: Draft, shares: tuple[int, int, int]) -> None:
    """Take back the spending of a part of an accrual; the visit with the last part."""
    before, after, whole = shares
    _take_back(entry, draft, after - before, 1 if after == whole else 0)


def review(draft: Draft, ladder: Ladder) -> bool:
    """Renew or let go the draft's member's tier where its time is over; False where it is not."""
    row = _standing(draft)
    if not row.tier or row.until >= draft.today:
        return False
    month = month_of(draft.today)
    step = reached(steps_of(ladder, draft.today), row.months, month)
    tier, until = ("", 0) if step is None else (step.tier, end_of(month + step.keep_months))
    _keep(draft, Standing(row.months, tier, until, month, 0, "", 0))
    draft.facts = (("earned", tier), ("earned_before", row.tier))
    _apply(draft, ladder, tier)
    return True


def _standing(draft: Draft) -> Standing:
    key = schema.named(schema.STANDING, draft.member)
    row: Standing = draft.rows.get(key) or draft.read(key) or NO_STANDING
    return row


def _keep(draft: Draft, row: Standing) -> None:
    draft.rows[schema.named(schema.STANDING, draft.member)] = row


# Taking back.


def _counted(entry: Entry, draft: Draft) -> Ladder | None:
    """The ladder, where an accrual was counted for it."""
    ladder: Ladder | None = draft.read(LADDER)
    return ladder if ladder is not None and entry.at >= ladder.begun else None


def _month(entry: Entry, draft: Draft) -> int:
    calendar_row: Calendar = draft.read(CALENDAR)
    return month_of(Clock(calendar_row.zone).date(entry.at))


def _take_back(entry: Entry, draft: Draft, fen: int, visits: int) -> None:
    ladder = _counted(entry, draft)
    if ladder is None:
        return
    draft.member = Outcome(*entry.outcome).member
    row = _standing(draft)
    sale_month = _month(entry, draft)
    if not any(one[0] == sale_month for one in row.months):
        return
    months = tuple(
        (one[0], max(one[1] - fen, 0), max(one[2] - visits, 0)) if one[0] == sale_month else one
        for one in row.months
    )
    row = amended(row, months=months)
    steps = steps_of(ladder, draft.today)
    if row.tier and entry.sequence <= row.by and not _still_reached(row, steps):
        month = month_of(draft.today)
        step = reached(steps, months, month)
        tier, until = ("", 0) if step is None else (step.tier, end_of(month + step.keep_months))
        if row.before_until >= draft.today and ladder.rank(row.before) >= ladder.rank(tier):
            tier, until = row.before, row.before_until
        row = Standing(months, tier, until, month, 0, "", 0)
    _keep(draft, row)
    _apply(draft, ladder, row.tier)


def _still_reached(row: Standing, steps: tuple[Step, ...]) -> bool:
    """True when the months up to the one that reached a tier would still do."""
    if row.since < row.months[-1][0] - MONTHS_SPARE:
        return True  # months that led to it are forgotten: the next review judges
    for step in steps:
        if step.tier == row.tier:
            return reaches(step, row.months, row.since)
    return True


# The name of the tier where transactions read it.


def _apply(draft: Draft, ladder: Ladder, earned: str) -> None:
    """Write the tier in force into the member's row and its tokens, where it has changed."""
    key = schema.named(schema.MEMBER, draft.member)
    member: Member = draft.rows.get(key) or draft.read(key)
    tier = in_force(member.granted, earned, ladder)
    if tier == member.tier:
        return
    draft.facts = (*draft.facts, ("tier", tier), ("tier_before", member.tier))
    draft.rows[key] = amended(member, tier=tier)
    name_tokens(draft, member.tokens, tier)


def name_tokens(draft: Draft, tokens: tuple[tuple[str, bytes], ...], tier: str) -> None:
    """Write a tier's name into a member's cards, phones and tokens."""
    for token in tokens:
        key = schema.alias(*token)
        alias: Alias | None = draft.rows.get(key) or draft.read(key)
        if alias is not None and alias.tier != name_on_alias(tier):
            draft.rows[key] = amended(alias, tier=name_on_alias(tier))
