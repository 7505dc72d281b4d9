"""What limits, earn rules, tiers, credit and pending points cost a transaction.

The machine executes the same accruals and redemptions on a real book under several sets of rules,
each set with a book of its own, in turns of `CHUNK` commands, so that all of them meet the same
machine. Told is the median turn's mean of processor time: microseconds of one `execute`, and what
that is more than without any rule.
"""

from __future__ import annotations

import argparse
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from engine.rules import earning, limits, points
from ledger.book import Book
from tests.engine.house import House, moment, token

AT = moment(20260302)
NEVER = 99991231
MEMBERS = 2_000
TERMINALS = 50
MERCHANTS = 10
CHUNK = 250
ROUNDS = 40

Rules = Callable[[House], None]


def _limit(house: House, name: str, scope: str, per: str, **said: Any) -> None:
    row = {"amount_min": 0, "amount_max": 10**11, "count_max": 10**9, "hard": True} | said
    command = limits.PutLimit(name, scope, "", "any", "P01", per, **row, since=0, until=NEVER)
    house.machine.execute(command, AT)


def _members(house: House) -> None:
    _limit(house, "MD", "member", "day")
    _limit(house, "MM", "member", "month")


def _tills(house: House) -> None:
    _limit(house, "TD", "terminal", "day")
    _limit(house, "HD", "merchant", "day")


def _pools(house: House) -> None:
    _limit(house, "PD", "program", "day")
    _limit(house, "PM", "program", "month")


def _each(house: House) -> None:
    _limit(house, "ONE", "member", "transaction", amount_min=1, count_max=0)


def _credit(house: House) -> None:
    for number in range(MERCHANTS):
        house.machine.execute(earning.PutCredit(f"SHOP{number}", 10**11), AT)


def _rules(house: House) -> None:
    house.earn_rule("GOLD", AT, tier="gold", multiplier=(3, 2))
    house.earn_rule("SPRING", AT, multiplier=(2, 1))


def _bonus(house: House) -> None:
    house.earn_rule("SPONSOR", AT, multiplier=(2, 1), funder="HB01")


SETS: dict[str, tuple[Rules, ...]] = {
    "none": (),
    "bounds of one transaction": (_each,),
    "member, day and month": (_members,),
    "terminal and merchant, day": (_tills,),
    "program, day and month": (_pools,),
    "credit of the merchant": (_credit,),
    "tiers and two earn rules": (_rules,),
    "a bonus that another pays for": (_bonus,),
    "all of them": (_each, _members, _tills, _pools, _credit, _rules, _bonus),
}


@dataclass
class Field:
    """A book under a set of rules, and what was measured on it."""

    house: House
    stans: dict[str, int] = field(default_factory=dict)
    turns: dict[str, list[float]] = field(default_factory=lambda: {"accrual": [], "redemption": []})

    def commands(self, kind: str, rng: random.Random) -> list[Any]:
        """The next commands of a kind."""
        found = []
        for _ in range(CHUNK):
            terminal = f"{rng.randrange(TERMINALS):08d}"
            stan = self.stans[terminal] = self.stans.get(terminal, 0) + 1
            merchant = self.house.merchant_of[terminal]
            who = (token("C", f"card{rng.randrange(MEMBERS)}"),)
            amount = rng.randrange(100, 50_000)
            head = (terminal, merchant, 1, stan, stan.to_bytes(16, "big"))
            if kind == "accrual":
                found.append(points.Accrual(*head, "220065", who, amount))
            else:
                found.append(points.Redemption(*head, "006500", who, "P01", amount % 50 + 1, 0))
        return found

    def turn(self, kind: str, rng: random.Random) -> None:
        """Execute a chunk and note the mean."""
        commands = self.commands(kind, rng)
        execute = self.house.machine.execute
        began = time.thread_time_ns()
        answers = [execute(command, AT) for command in commands]
        took = time.thread_time_ns() - began
        self.house.book.flush()
        if not all(answer.approved for answer in answers):
            raise RuntimeError("a transaction of the benchmark was declined")
        self.turns[kind].append(took / CHUNK / 1000)


def open_field(folder: Path, rules: tuple[Rules, ...]) -> Field:
    """A house with members and terminals on a new book, under some rules."""
    Book.create(folder)
    book = Book.open(folder, follower=False)
    house = House(book)
    house.open(20260302, at=AT)
    house.program("P01", AT)
    house.institution("HB01", AT)
    terms = (20260101, "P01", (1, 1), (1, 1), (95, 100), 6, 0, 0, 0, False)
    for number in range(MERCHANTS):
        house.merchant(f"SHOP{number}", AT, (terms,))
    for number in range(TERMINALS):
        house.terminal(f"{number:08d}", f"SHOP{number % MERCHANTS}", AT)
    for number in range(MEMBERS):
        house.member(f"M{number}", AT, tokens=(("C", f"card{number}"),))
        house.balance(f"M{number}", "P01", 10**9, AT)
    for rule in rules:
        rule(house)
    book.flush()
    return Field(house)


def measure(folder: Path, rounds: int = ROUNDS) -> list[tuple[str, str, float, float]]:
    """Microseconds a transaction by set of rules.

    Returns:
        Set, kind of transaction, microseconds, and how many more than without rules.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fields = {name: open_field(folder / str(n), SETS[name]) for n, name in enumerate(SETS)}
    rng = random.Random(1)
    for _ in range(rounds):
        for place in fields.values():
            for kind in place.turns:
                place.turn(kind, rng)
    rows = []
    for kind in ("accrual", "redemption"):
        bare = median(fields["none"].turns[kind])
        for name, place in fields.items():
            took = median(place.turns[kind])
            rows.append((name, kind, round(took, 1), round(took - bare, 1)))
    for place in fields.values():
        place.house.book.close(fold=False)
    shutil.rmtree(folder)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/bench/limits"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    said = parser.parse_args()
    for name, kind, took, more in measure(said.folder, said.rounds):
        print(f"{kind:<12} {name:<32} {took:>7.1f} us {more:>+7.1f}")


if __name__ == "__main__":
    main()
