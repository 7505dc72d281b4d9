"""The only rounding: integers in, integers out, each rule with its name (``accounting.md``)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.records import Program, Ratio, Terms
from ledger.model import MONEY, Unit


def floor_ratio(amount: int, ratio: Ratio) -> int:
    """`amount` times a ratio, rounded down."""
    return amount * ratio[0] // ratio[1]


def half_up(numerator: int, denominator: int) -> int:
    """A quotient rounded to the nearest whole number, halves up (for numbers ≥ 0)."""
    return (2 * numerator + denominator) // (2 * denominator)


def earned(sale_fen: int, earn: Ratio) -> int:
    """Points for a sale: points per yuan, rounded down."""
    return sale_fen * earn[0] // (100 * earn[1])


def points_for_value(value_fen: int, program: Program) -> int:
    """Points that pay for a value: rounded up to whole points."""
    return -(-value_fen * program.points_per_yuan // 100)


def exchanged(points: int, rate: Ratio) -> int:
    """Points of another program for points at a rate: rounded down to whole points."""
    return floor_ratio(points, rate)


def value_of_points(points: int, program: Program) -> int:
    """Fen that points are worth to the member who spends them: rounded down."""
    return points * 100 // program.points_per_yuan


def points_and_value(amount: int, unit: Unit, program: Program) -> tuple[int, int]:
    """Points that are spent, and what they pay for in fen; one of them is the amount as given."""
    if unit == MONEY:
        return points_for_value(amount, program), amount
    return amount, value_of_points(amount, program)


def fund_value(points: int, program: Program) -> int:
    """Fen set aside for points, V(n): half up for each entry."""
    return half_up(points * 100, program.points_per_yuan)


def funding(points: int, terms: Terms) -> int:
    """Fen that the issuing merchant pays for points, F: half up for each entry."""
    return half_up(points * terms.funding[0], terms.funding[1])


def top_up_price(points: int, program: Program, terms: Terms) -> int:
    """Fen that are paid for points that are loaded: half up for each entry."""
    if not terms.top_up[1]:
        return fund_value(points, program)
    return half_up(points * terms.top_up[0], terms.top_up[1])


def settlement(value_fen: int, terms: Terms) -> int:
    """Fen that the redeeming merchant is paid for a value, S: rounded down."""
    return floor_ratio(value_fen, terms.settlement)


def fee(value_fen: int, terms: Terms) -> int:
    """Fee on the money value of what is moved, φ: half up, then minimum and maximum.

    The thousandths are those of the highest tier that the value reaches; a fixed part comes on top
    of them, and the bounds hold for both together. A value of nothing has no fixed part.
    """
    permille = terms.fee_permille
    for least, rate in terms.fee_tiers:
        if value_fen >= least:
            permille = rate
    amount = half_up(value_fen * permille, 1000)
    fixed = terms.fee_fixed if value_fen > 0 else 0
    amount += fixed
    if (permille or fixed) and amount < terms.fee_min:
        amount = terms.fee_min
    if terms.fee_max and amount > terms.fee_max:
        amount = terms.fee_max
    return amount


def apportioned(total: int, sizes: list[int]) -> list[int]:
    """A part of a whole among its shares: each the floor of its share in what is left for it.

    The whole is the sum of `sizes`; no share falls when `total` rises, and all of it gives `sizes`.
    """
    found: list[int] = []
    whole = sum(sizes)
    for size in sizes:
        share = size * total // whole if whole else 0
        found.append(share)
        total -= share
        whole -= size
    return found


def shared(total: int, weights: dict[str, int]) -> dict[str, int]:
    """A total divided by weights: floors, then one each to the largest remainders, ties by name.

    Args:
        total: what is divided, ≥ 0.
        weights: by name, ≥ 0; their sum is above 0.
    """
    whole = sum(weights.values())
    parts = {name: total * weight // whole for name, weight in weights.items()}
    left = total - sum(parts.values())
    order = sorted(weights, key=lambda name: (-(total * weights[name] % whole), name))
    for name in order[:left]:
        parts[name] += 1
    return parts


def divided(amount: int, parts: Sequence[tuple[str, Ratio]]) -> list[tuple[str, int]]:
    """What parties get of an amount: all together rounded down, then by largest remainder.

    Args:
        amount: what is divided, ≥ 0.
        parts: parties and their parts, at most 1 together.

    Returns:
        Parties, in the order of `parts`, and what each gets; who gets nothing is left out. Ties go
        by party id.
    """
    whole = 1
    for _, (_, below) in parts:
        whole *= below
    weights = [(party, above * (whole // below)) for party, (above, below) in parts]
    due = amount * sum([weight for _, weight in weights]) // whole
    floors = [
        (party, amount * weight // whole, amount * weight % whole) for party, weight in weights
    ]
    left = due - sum([share for _, share, _ in floors])
    lucky = {row[0] for row in sorted(floors, key=_remainder)[:left]}
    shares = [(party, share + (party in lucky)) for party, share, _ in floors]
    return [row for row in shares if row[1]]


def _remainder(row: tuple[str, int, int]) -> tuple[int, str]:
    return -row[2], row[0]


def part(leg: int, cumulative: int, original: int) -> int:
    """The share of a leg that refunds up to `cumulative` of `original` have returned: floor."""
    return abs(leg) * cumulative // original
