"""One hot member, one hot merchant, one hot link, each against the same load spread out.

Closed loops with the same number of messages in flight: nothing in the daemon may make a row that
every message changes slower than many rows that few do. The runs take turns, so that a machine that
changes its pace does so for all of them.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.field import MERCHANTS, Field, Till
from benchmarks.load import Load

LINKS = 8
TILLS = 256
IN_FLIGHT = 192
"""Messages under way in all; fewer than the host takes from one link before it stops reading."""
ROUNDS = 3
RATE_GUESS = 45_000
HOT_MERCHANT = 0
FIRST_HOT = 10
"""The hot merchant's terminals begin beyond those of the other shapes."""


def terminals() -> int:
    """How many terminals the runs use, numbered so that each merchant has `TILLS` of them."""
    return MERCHANTS * (TILLS + FIRST_HOT)


def measure(folder: Path, members: int = 100_000, seconds: float = 4.0) -> dict[str, Any]:
    """Rates of all shapes.

    Args:
        folder: where to make the data.
        members: how many.
        seconds: of each run; each shape runs `ROUNDS` times.

    Returns:
        For each shape its median rate, transactions a second, and its part of the spread load's.
    """
    field = Field(folder / "hot", members, terminals())
    field.prepare()
    with field.serving():
        spread = list(range(1, TILLS + 1))
        one_merchant = [
            number * MERCHANTS + HOT_MERCHANT for number in range(FIRST_HOT, FIRST_HOT + TILLS)
        ]
        shapes = {
            "spread": (field.some(spread), members, LINKS),
            "one member": (field.some([n + TILLS for n in spread]), 1, LINKS),
            "one merchant": (field.some(one_merchant), members, LINKS),
            "one link": (field.some([n + 2 * TILLS for n in spread]), members, 1),
        }
        rates: dict[str, list[float]] = {name: [] for name in shapes}
        for _ in range(ROUNDS):
            for name, (tills, among, links) in shapes.items():
                rates[name].append(_run(field, tills, among, links, seconds))
    field.verify()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        name: {"rate": round(rate), "part": round(rate / medians["spread"], 2)}
        for name, rate in medians.items()
    }


def _run(field: Field, tills: list[Till], among: int, links: int, seconds: float) -> float:
    each = int(RATE_GUESS * (seconds + 1)) // len(tills) + 1
    share = len(tills) // links
    conversations = []
    for link in range(links):
        streams = [till.frames(each, among) for till in tills[link * share : (link + 1) * share]]
        conversations.append([frame for turn in zip(*streams, strict=True) for frame in turn])
    load = Load(field.address, conversations, warm_up_s=1.0)
    rate: float = load.closed_loop(IN_FLIGHT // links, seconds).summary()["rate"]
    return rate


if __name__ == "__main__":
    for name, figures in measure(Path(sys.argv[1] if sys.argv[1:] else "var/bench")).items():
        print(f"{name:14} {figures['rate']:8}/s {figures['part']:6.2f}")
