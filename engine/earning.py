"""How many points a sale earns, and who pays for them.

The terms say points per yuan, for some tiers another rate. *Earn rules* of the program multiply it:
for a merchant, a category or an institution, a tier, a time. A rule with a funder is a bonus: the
points beyond those that the rates before it give are issued, and paid for, by the funder. Points
are rounded once, down, at the end; what each funder pays for is the difference between two such
roundings, so that the parts always sum to the whole.

All that depends on merchant and day only is gathered in the merchant's tariff (`rates_of`). Where
terms have no tiers and programs no rules, there is nothing to gather.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias

from engine import rounding
from engine.records import Merchant, Ratio, Terms
from engine.rulebook import Rulebook, read_book

OPERATOR = "operator"
"""The funder that is the operator itself, from its promotion account."""

CENTRE = "bonus"
"""The cost centre of bonuses that the operator funds."""

ANY_TIER = ""

Rates: TypeAlias = dict[str, tuple[tuple[str, Ratio], ...]]
"""Tier to funders and the points per yuan that the sale earns up to and with each, the merchant's
own (an empty name) first; the tier `ANY_TIER` for all that are not named."""


@dataclass(slots=True)
class EarnRule:
    """A multiplier of points per yuan.

    Attributes:
        id: its name within the book.
        scope: ``any``, ``merchant``, ``category`` or ``institution``.
        key: which one.
        tier: for whom; empty for everybody.
        multiplier: by what points are multiplied.
        funder: who pays for the points that it adds: empty for the merchant of the sale, a party,
            or ``operator``.
        stacks: True to multiply with others; of those that do not, the first alone counts.
        priority: ascending order of rules, then by id.
        since, until: first and last local day.
    """

    id: str
    scope: str
    key: str
    tier: str
    multiplier: Ratio
    funder: str
    stacks: bool
    priority: int
    since: int
    until: int


def book_name(program: str, scope: str, key: str) -> str:
    """Name of the book of a program's rules, or of those for one merchant."""
    return f"earn:{program}:{key}" if scope == "merchant" else f"earn:{program}"


def books(program: str, merchant: str) -> tuple[str, str]:
    """Names of the books whose rules may concern a merchant's sales."""
    return book_name(program, "any", ""), book_name(program, "merchant", merchant)


def rates_of(
    read: Callable[[bytes], Any], merchant: Merchant, terms: Terms, today: int
) -> Rates | None:
    """What sales of a merchant earn on a local day; None where the terms' one rate is all."""
    program = terms.program
    rules = [
        rule
        for name in books(program, merchant.id)
        for rule in _in_force(read_book(read, name), merchant, today)
    ]
    if not rules and not terms.tier_earn:
        return None
    rules.sort(key=_order)
    base = dict(terms.tier_earn)
    tiers = {ANY_TIER, *base, *[rule.tier for rule in rules]}
    return {tier: _shares(base.get(tier, terms.earn), rules, tier) for tier in tiers}


def split(rates: Rates, tier: str, sale_fen: int) -> list[tuple[str, int]]:
    """The points of a sale by funder, in the order of the rates; parts of 0 are left out."""
    shares = rates.get(tier) or rates[ANY_TIER]
    found: list[tuple[str, int]] = []
    before = 0
    for funder, ratio in shares:
        total = rounding.earned(sale_fen, ratio)
        if total > before:
            found.append((funder, total - before))
            before = total
    return found


def _order(rule: EarnRule) -> tuple[int, str]:
    return rule.priority, rule.id


def _in_force(book: Rulebook, merchant: Merchant, today: int) -> list[EarnRule]:
    found = []
    for line in book.lines:
        rule = EarnRule(*line)
        if rule.since <= today <= rule.until and _concerns(rule, merchant):
            found.append(rule)
    return found


def _concerns(rule: EarnRule, merchant: Merchant) -> bool:
    if rule.scope == "category":
        return rule.key == merchant.category
    if rule.scope == "institution":
        return rule.key == merchant.institution
    return True


def _shares(base: Ratio, rules: list[EarnRule], tier: str) -> tuple[tuple[str, Ratio], ...]:
    """The rates up to and with each funder: the merchant's own first, the others as they come."""
    by_funder: dict[str, Ratio] = {"": (1, 1)}
    alone = False
    for rule in rules:
        if rule.tier not in {ANY_TIER, tier} or (alone and not rule.stacks):
            continue
        alone = alone or not rule.stacks
        by_funder[rule.funder] = _times(by_funder.get(rule.funder, (1, 1)), rule.multiplier)
    found = []
    total = base
    for funder, multiplier in by_funder.items():
        total = _times(total, multiplier)
        found.append((funder, total))
    return tuple(found)


def _times(one: Ratio, other: Ratio) -> Ratio:
    above, below = one[0] * other[0], one[1] * other[1]
    common = gcd(above, below)
    return above // common, below // common
