"""What each kind of limit and rule costs a transaction of the daemon, alone and all together.

Each set of rules has a data directory of its own, loaded through the command line. The daemons take
turns, so that all sets meet the same machine: one is started, answers a turn of accruals and one of
redemptions from its terminals, one message in flight each, and is stopped. Told is the median
turn's processor time of the daemon for a transaction, in microseconds, and what that is more than
without any rule. Its helpers (syncer, follower) and the load generator are not in it.

    python -m benchmarks.limits [--members N] [--count N] [--rounds N]
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.daemon import work_seconds
from benchmarks.field import Field, Till, card_number, merchant_id, merchant_line
from benchmarks.load import Load

MEMBERS = 2_000
TERMINALS = 32
MERCHANTS = 10
COUNT = 20_000
"""Transactions of a kind in a turn: the clock of processor time ticks in hundredths."""
ROUNDS = 3
PIN = "135790"
OPERATOR = "001"
PLENTY = 99_999_999_999
"""An amount that no limit reaches."""
OFTEN = 999_999_999
KINDS = {"accrual": 1000, "redemption": 0}
"""Kinds of transactions, and how many of a thousand are accruals."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A set of rules.

    Attributes:
        lines: of `counterfoil load`.
        terms: what the terms of all merchants say besides.
        operators: True where each message names one.
        pin: True where each redemption has to come with the member's.
    """

    lines: tuple[dict[str, Any], ...] = ()
    terms: dict[str, Any] = field(default_factory=dict)
    operators: bool = False
    pin: bool = False

    def __or__(self, other: Rules) -> Rules:
        """Both of them."""
        return Rules(
            self.lines + other.lines,
            self.terms | other.terms,
            self.operators or other.operators,
            self.pin or other.pin,
        )

    def load_lines(self, members: int) -> Iterator[dict[str, Any]]:
        """All lines that make merchants and members keep to these rules."""
        yield from self.lines
        if self.terms or self.operators:
            for number in range(MERCHANTS):
                yield merchant_line(number, self.terms, operators=self.operators)
        if self.operators:
            for number in range(MERCHANTS):
                name = {"merchant": merchant_id(number), "id": OPERATOR, "name": "Till"}
                yield {"type": "operator", **name}
        if self.pin:
            for number in range(members):
                name = {"id": f"M{number:08d}", "cards": [card_number(number)]}
                yield {"type": "member", **name, "pin": PIN}


def _bounds(scope: str) -> Rules:
    """Bounds of one transaction, and of what all of a day and of a month come to."""
    row = {"type": "limit", "scope": scope, "unit": "P01", "max_amount": PLENTY}
    one = row | {"id": f"{scope}-each", "per": "transaction", "min_amount": 1}
    sums = [
        row | {"id": f"{scope}-{per}", "per": per, "max_count": OFTEN} for per in ("day", "month")
    ]
    return Rules((one, *sums))


def _tier(name: str, rank: int, **needs: int) -> dict[str, Any]:
    rules = [{"from": "2020-01-01", **needs}]
    return {"type": "tier", "id": name, "name": name, "rank": rank, "rules": rules}


def _earn_rule(name: str, multiplier: str, **said: str) -> dict[str, Any]:
    row = {"type": "earn_rule", "program": "P01", "id": name, "multiplier": multiplier}
    return row | said


TIERS = Rules(
    (_tier("silver", 1, visits=5), _tier("gold", 2, spending_fen=PLENTY)),
    {"tier_earn": {"silver": "6/5", "gold": "3/2"}},
)
NONE = "none"
ALL = "all of them"
SETS: dict[str, Rules] = {
    NONE: Rules(),
    "member: each, day, month": _bounds("member"),
    "terminal: each, day, month": _bounds("terminal"),
    "merchant: each, day, month": _bounds("merchant"),
    "program: each, day, month (pools)": _bounds("program"),
    "credit of the merchant": Rules(
        tuple(
            {"type": "credit", "party": merchant_id(number), "limit_fen": PLENTY}
            for number in range(MERCHANTS)
        )
    ),
    "tiers by spending and visits": TIERS,
    "earn rule of a category": Rules((_earn_rule("FOOD", "11/10", scope="category", key="5411"),)),
    "multiplier of a campaign": Rules(
        (_earn_rule("SPRING", "2/1", **{"from": "2020-01-01", "until": "2099-12-31"}),)
    ),
    "a bonus that another pays for": Rules((_earn_rule("SPONSOR", "3/2", funder="HB01"),)),
    "points that are pending": Rules(terms={"pending_days": 1}),
    "revenue share": Rules(
        terms={
            "funding_fen_per_point": "3/2",
            "margin_share": {"HB01": "1/4", "issuer": "1/4"},
            "fee_share": {"HB01": "1/2"},
        }
    ),
    "PIN of each redemption": Rules(terms={"pin_above_fen": 0}, pin=True),
    "operators": Rules(operators=True),
}


def everything() -> Rules:
    """All sets together."""
    whole = Rules()
    for rules in SETS.values():
        whole |= rules
    return whole


class Place:
    """A data directory under a set of rules, and what was measured on it."""

    def __init__(self, folder: Path, rules: Rules, members: int) -> None:
        self.turns: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self._rules = rules
        self._field = Field(folder, members, TERMINALS, merchants=MERCHANTS)
        self._field.prepare(rules.load_lines(members))
        self._tills: list[Till] = []

    def turn(self, count: int) -> None:
        """Start the daemon, measure a turn of each kind of transaction, and stop it."""
        self._field.start()
        if not self._tills:
            self._tills = self._field.tills(0, TERMINALS, seed=1)
            for till in self._tills:
                till.operator = OPERATOR if self._rules.operators else ""
                till.pin = PIN if self._rules.pin else ""
        self._measure("accrual", TERMINALS * 4)  # the first of all cost more
        self.turns["accrual"].pop()
        for kind in KINDS:
            self._measure(kind, count)
        self._field.stop()

    def _measure(self, kind: str, count: int) -> None:
        """Have `count` transactions answered, and note what one took of the daemon's time."""
        place, each = self._field, -(-count // TERMINALS)
        frames = [till.frames(each, place.members, KINDS[kind]) for till in self._tills]
        approved, busy = self._approved(kind), work_seconds(place)
        replies = Load(place.address, frames).closed_loop().replies
        busy = work_seconds(place) - busy
        if self._approved(kind) - approved != replies:
            raise RuntimeError("a transaction of the benchmark was declined")
        self.turns[kind].append(busy / replies * 1e6)

    def _approved(self, kind: str) -> float:
        name = f'counterfoil_replies_total{{code="00",transaction="{kind}"}}'
        return self._field.scrape().get(name, 0.0)


def measure(
    folder: Path, members: int = MEMBERS, count: int = COUNT, rounds: int = ROUNDS
) -> list[tuple[str, str, float, float]]:
    """Microseconds of the daemon's time a transaction, by set of rules.

    Args:
        folder: where to make the data; it is cleared.
        members: how many there are.
        count: transactions of a kind in a turn.
        rounds: turns of each set.

    Returns:
        Set, kind of transaction, microseconds, and how many more than without rules.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sets = {**SETS, ALL: everything()}
    places = {
        name: Place(folder / str(number), rules, members)
        for number, (name, rules) in enumerate(sets.items())
    }
    for _ in range(rounds):
        for place in places.values():
            place.turn(count)
    rows = []
    for kind in KINDS:
        bare = median(places[NONE].turns[kind])
        for name, place in places.items():
            took = median(place.turns[kind])
            rows.append((name, kind, round(took, 1), round(took - bare, 1)))
    shutil.rmtree(folder)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/bench/limits"))
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    said = parser.parse_args()
    for name, kind, took, more in measure(said.folder, said.members, said.count, said.rounds):
        print(f"{kind:<12} {name:<36} {took:>7.1f} us {more:>+7.1f}")


if __name__ == "__main__":
    main()
