"""The ladder of tiers, and how far a member has come on it: records, and what they say of a day.

The ladder is one row with all tiers and their dated rules. Where it has rules in force, a tariff
holds them as `Step`s, ready for use; where it has none, an accrual costs one test. Each member that
earns points has a row of its own with a bucket a month, so that sales long past fall out by
themselves. What counts and what follows is `engine.rules.tiers`' business.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from typing import Any

from engine.records import BASE
from ledger import codec, schema

TIERS_MAX = 16
PERIOD_MONTHS_MAX = 36
MONTHS_SPARE = 2
"""Months that are kept beyond the longest period, so that a tier reached of late can be judged
again when a sale that led to it is undone."""

LADDER = schema.named(schema.TIER, "ladder")


@dataclass(slots=True)
class TierRule:
    """What reaches a tier, from a day on.

    Attributes:
        since: first local day on which the rule applies.
        spending: fen spent in the period; 0 where spending does not count.
        visits: sales in the period; 0 where they do not count.
        both: True where both are needed, False where either will do.
        period_months: the period: this calendar month and those before it.
        keep_months: the tier is kept to the end of the month so many months on.
    """

    since: int
    spending: int
    visits: int
    both: bool
    period_months: int
    keep_months: int


@dataclass(slots=True)
class Tier:
    """A step of the ladder; rules in ascending order of their first day."""

    id: str
    name: str
    rank: int
    rules: tuple[TierRule, ...]


@dataclass(slots=True)
class Ladder:
    """All tiers, ascending by rank.

    Attributes:
        begun: when the first was registered, ms; sales before were not counted.
    """

    tiers: tuple[Tier, ...]
    begun: int
    revision: int

    @classmethod
    def restore(cls, *values: Any) -> Ladder:
        """Make the record from its packed fields."""
        row = list(values)
        row[0] = tuple(
            Tier(tier[0], tier[1], tier[2], tuple(TierRule(*rule) for rule in tier[3]))
            for tier in row[0]
        )
        return cls(*row)

    def rank(self, tier: str) -> int:
        """The rank of a tier; 0 for one that is not of the ladder."""
        for one in self.tiers:
            if one.id == tier:
                return one.rank
        return 0


@dataclass(slots=True)
class Step:
    """A tier's rule in force, ready for use; see `TierRule`."""

    tier: str
    spending: int
    visits: int
    both: bool
    period_months: int
    keep_months: int


@dataclass(slots=True)
class Standing:
    """What a member has done for its tier.

    Attributes:
        months: month (years times 12 plus months), fen spent, sales; ascending.
        tier: the tier earned, empty for none; `until`: the last local day on which it is kept.
        since: the month in which it was reached; `by`: the entry that reached it, 0 once reviewed.
        before, before_until: the tier earned before; it stands again if this one proves unearned.
    """

    months: tuple[tuple[int, int, int], ...]
    tier: str
    until: int
    since: int
    by: int
    before: str
    before_until: int


NO_STANDING = Standing((), "", 0, 0, 0, "", 0)

codec.register(schema.TIER, Ladder)
codec.register(schema.STANDING, Standing)


def month_of(day: int) -> int:
    """The number of a day's month: years times 12 plus months."""
    return day // 10000 * 12 + day // 100 % 100 - 1


def end_of(month: int) -> int:
    """The last day YYYYMMDD of a month by its number."""
    year, place = divmod(month, 12)
    return year * 10000 + (place + 1) * 100 + calendar.monthrange(year, place + 1)[1]


def steps_of(ladder: Ladder | None, today: int) -> tuple[Step, ...]:
    """The rules in force on a local day, the highest tier first."""
    found: list[Step] = []
    for tier in reversed(ladder.tiers if ladder is not None else ()):
        rule: TierRule | None = None
        for one in tier.rules:
            if one.since <= today:
                rule = one
        if rule is not None:
            found.append(
                Step(
                    tier.id,
                    rule.spending,
                    rule.visits,
                    rule.both,
                    rule.period_months,
                    rule.keep_months,
                )
            )
    return tuple(found)


def in_force(granted: str, earned: str, ladder: Ladder | None) -> str:
    """The higher of two tiers; the granted one where the ladder does not tell."""
    if earned and ladder is not None and ladder.rank(earned) > ladder.rank(granted):
        return earned
    return granted


def name_on_alias(tier: str) -> str:
    """A tier as cards, phones and tokens bear it: nothing for the usual one."""
    return "" if tier == BASE else tier


def added(
    months: tuple[tuple[int, int, int], ...],
    month: int,
    fen: int,
    visits: int,
    steps: tuple[Step, ...],
) -> tuple[tuple[int, int, int], ...]:
    """The buckets with a sale more, or less; without those that no period reaches any more."""
    if months and months[-1][0] == month:
        _, spent, sales = months[-1]
        return (*months[:-1], (month, max(spent + fen, 0), max(sales + visits, 0)))
    period = MONTHS_SPARE
    for step in steps:
        period = max(period, step.period_months + MONTHS_SPARE)
    newest = max(months[-1][0], month) if months else month
    found = {one[0]: one for one in months if one[0] > newest - period}
    if month > newest - period:
        _, spent, sales = found.get(month, (month, 0, 0))
        found[month] = (month, max(spent + fen, 0), max(sales + visits, 0))
    return tuple(sorted(found.values()))


def reached(
    steps: tuple[Step, ...], months: tuple[tuple[int, int, int], ...], month: int
) -> Step | None:
    """The highest step that the months up to `month` reach."""
    for step in steps:
        if reaches(step, months, month):
            return step
    return None


def reaches(step: Step, months: tuple[tuple[int, int, int], ...], month: int) -> bool:
    """True when the period that ends with `month` has what a step asks for."""
    spent = sales = 0
    for number, fen, visits in months:
        if month - step.period_months < number <= month:
            spent += fen
            sales += visits
    enough = spent >= step.spending
    often = sales >= step.visits
    if step.both or not step.spending or not step.visits:
        return enough and often
    return enough or often
