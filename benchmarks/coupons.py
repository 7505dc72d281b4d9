"""Coupons at size: ten million produced codes, a million claimed, and what terminals notice of it.

*Production* is `counterfoil issue` to a file: codes a second, and what a code that nobody has
touched costs at rest. *Claims* go to members of a list, a coupon each, without a daemon. The
*rates* of terminals that look at coupons and use them are those of two daemons, one with a single
claimed code and one with a million; they take turns, so that a machine that changes its pace does
so for both. A use of a claimed code changes a row of the table, that of a produced code adds one.
Last, a *sweep* (`benchmarks.sweep`) expires a million coupons beside terminals.

    python -m benchmarks.coupons [--quick] [--produced N] [--claimed N] [PART]…
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import daemon, sweep
from benchmarks.field import Field, Till, counterfoil
from benchmarks.load import Load
from engine import codes
from engine.directory import open_vault
from engine.rules.code_batches import OpenCodes
from engine.submit import Submitter

FOLDER = Path("var/bench")
ROUNDS = 3
RATE_GUESS = 50_000
LOOKS = 2_000
AT_A_TIME = 10_000
"""Codes that are made in one go."""
PROBES = 30
"""How often `LOOKS` codes are told apart, for the best of them."""
PRODUCED, CLAIMED = "produced", "claimed"
UNTOUCHED_MAX = 10_000_000
"""Produced codes that terminals of the rates use; none twice."""
SHAPES = (("inquiry", CLAIMED), ("use", CLAIMED), ("use", PRODUCED))

CAMPAIGN = {"type": "campaign", "from": "2020-01-01", "to": "2120-12-31", "state": "live"}
CAMPAIGNS = (
    {**CAMPAIGN, "id": "ONCE", "kind": "amount_off", "face_fen": 100},
    {**CAMPAIGN, "id": "OFTEN", "kind": "vip", "face_fen": 100},
    {**CAMPAIGN, "id": "LAPSED", "kind": "amount_off", "face_fen": 100, "until": "2020-12-31"},
)
"""Of codes that are used once, of claimed ones that do not wear out, and of claimed ones whose day
has passed: they wait for the sweep."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        produced, claimed: codes.
        members: who claim them, in turn.
        run_s: of each run of a shape; beside_s: how long terminals go on beside the sweep,
            unless it ends before.
    """

    produced: int
    claimed: int
    members: int
    run_s: float
    beside_s: float


FULL = Sizes(10_000_000, 1_000_000, 100_000, 4.0, 800.0)
QUICK = Sizes(200_000, 20_000, 10_000, 2.0, 60.0)


def size_of(folder: Path) -> int:
    """Bytes that the files of a data directory hold on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def prepared(folder: Path, sizes: Sizes) -> Field:
    """A directory with members, terminals and the campaigns."""
    field = Field(folder, sizes.members, daemon.terminals())
    field.prepare()
    lines = folder.with_suffix(".campaigns.jsonl")
    lines.write_text("\n".join(json.dumps(line) for line in CAMPAIGNS) + "\n")
    counterfoil("load", str(folder), str(lines))
    return field


# Production and claims.


def production(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Produce a batch into a file; codes a second, and bytes a code."""
    count = sizes.produced
    field = prepared(folder, sizes)
    output = folder.with_suffix(".csv")
    before = size_of(folder)
    began = time.perf_counter()
    said = ("--campaign", "ONCE", "--count", str(count), "--output", str(output))
    counterfoil("issue", str(folder), "coupons", *said)
    seconds = time.perf_counter() - began
    grown = size_of(folder) - before
    found = {
        "codes": count,
        "seconds": round(seconds, 1),
        "codes a second": round(count / seconds),
        "file, bytes a code": round(output.stat().st_size / count, 1),
        "tables and journal, bytes a code": round(grown / count, 4),
    }
    output.unlink()
    return found | looks(field)


def looks(field: Field) -> dict[str, float]:
    """Microseconds that it takes to tell what a code says, right or mistyped, at the best."""
    vault = open_vault(field.folder, None)
    some = codes.Codes(vault, codes.LENGTH).make(1, 1, LOOKS)
    wrong = [text[:-1] + str((int(text[-1]) + 1) % 10) for text in some]
    found = {}
    for name, texts in (("right", some), ("mistyped", wrong)):
        best = 1e9
        for _ in range(PROBES):
            began = time.perf_counter()
            for text in texts:
                codes.find(vault, text)
            best = min(best, time.perf_counter() - began)
        found[f"what a {name} code says, us"] = round(best / LOOKS * 1e6, 2)
    return found


def claim(field: Field, campaign: str, count: int) -> tuple[int, dict[str, Any]]:
    """Give members a coupon each, in turn; the number of their batch, and what that took."""
    members = field.folder.with_suffix(".members")
    members.write_text("".join(f"M{n % field.members:08d}\n" for n in range(count)))
    before = size_of(field.folder)
    began = time.perf_counter()
    said = ("--campaign", campaign, "--members", str(members), "--batch", campaign)
    counterfoil("issue", str(field.folder), "coupons", *said)
    seconds = time.perf_counter() - began
    found = {
        "coupons": count,
        "seconds": round(seconds, 1),
        "coupons a second": round(count / seconds),
        "tables and journal, bytes a coupon": round((size_of(field.folder) - before) / count),
    }
    return opened(field, OpenCodes(campaign, campaign, count, codes.LENGTH, "", rows=True)), found


def opened(field: Field, command: OpenCodes) -> int:
    """The number of a batch of codes, which is opened if it is not there."""
    command.key = open_vault(field.folder, None).key_id
    with Submitter(field.folder) as submitter:
        result = submitter.submit(command)
    if not result.done:
        raise RuntimeError(result.text)
    number: int = result.facts["number"]
    return number


# Rates.


class Side:
    """A daemon, and terminals that look at and use coupons; `claimed` of them are claimed."""

    def __init__(self, folder: Path, sizes: Sizes, claimed: int) -> None:
        self.field = prepared(folder, sizes)
        untouched = OpenCodes(PRODUCED, "ONCE", UNTOUCHED_MAX, codes.LENGTH, "", rows=False)
        produced = opened(self.field, untouched)
        batch, self.claims = claim(self.field, "OFTEN", claimed)
        self._codes = codes.Codes(open_vault(folder, None), codes.LENGTH)
        self._claimed: list[str] = []
        for first in range(1, claimed + 1, AT_A_TIME):
            count = min(AT_A_TIME, claimed + 1 - first)
            self._claimed += self._codes.make(batch, first, count)
        self._produced, self._used = produced, 0
        self._draw = random.Random(claimed)
        self.field.start()
        first = 0
        self.tills: dict[tuple[str, str], list[Till]] = {}
        for shape in SHAPES:
            self.tills[shape] = self.field.tills(first, daemon.SINGLE_LINKS, seed=1)
            first += daemon.SINGLE_LINKS

    def rate(self, shape: tuple[str, str], seconds: float) -> float:
        """Answers a second of terminals on links of their own, one message in flight each."""
        kind, which = shape
        tills = self.tills[shape]
        each = int(RATE_GUESS * (seconds + 1) / len(tills))
        conversations = [till.coupon_frames(kind, self._some(which, each)) for till in tills]
        before = self.field.scrape()
        load = Load(self.field.address, conversations, warm_up_s=1.0)
        found = load.closed_loop(1, seconds).summary()
        refused = daemon.stages(before, self.field.scrape())["refused"]
        if refused:
            raise RuntimeError(f"{refused:.0f} of the messages of {shape} were declined")
        return float(found["rate"])

    def _some(self, which: str, count: int) -> Iterator[str]:
        if which == PRODUCED:
            first, self._used = self._used + 1, self._used + count
            return iter(self._codes.make(self._produced, first, count))
        return iter(self._draw.choices(self._claimed, k=count))


def rates(folder: Path, sizes: Sizes) -> dict[str, dict[str, Any]]:
    """Rates with one claimed code, with all of them, and the second as part of the first."""
    sides = [Side(folder / "one", sizes, 1), Side(folder / "many", sizes, sizes.claimed)]
    try:
        found = _in_turns(sides, sizes)
    finally:
        for side in sides:
            side.field.stop()
    sides[1].field.verify()
    return {"claims": sides[1].claims} | found


def _in_turns(sides: list[Side], sizes: Sizes) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for shape in SHAPES:
        runs: list[list[float]] = [[], []]
        for turn in range(ROUNDS):
            # Who goes first changes, too.
            for place in (0, 1) if turn % 2 == 0 else (1, 0):
                runs[place].append(sides[place].rate(shape, sizes.run_s))
        one, many = (statistics.median(run) for run in runs)
        found[f"{shape[0]} of a {shape[1]} code"] = {
            "rate with 1 claimed": round(one),
            f"rate with {sizes.claimed} claimed": round(many),
            "part": round(many / one, 2),
        }
    return found


# The end.


def expiry(folder: Path, sizes: Sizes) -> dict[str, dict[str, Any]]:
    """Expire all claimed coupons beside terminals at half of the saturated rate."""
    field = prepared(folder, sizes)
    _, claims = claim(field, "LAPSED", sizes.claimed)
    field.start()
    try:
        found = sweep.beside_terminals(field, "coupons", sizes.beside_s)
    finally:
        field.stop()
    field.verify()
    return {"claims": claims} | found


def measure(
    folder: Path, sizes: Sizes, wanted: tuple[str, ...] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures of each part, of those wanted or all.

    Args:
        folder: where to make the data, which is removed again.
        sizes: `FULL`, or smaller ones and shorter runs while working on something.
        wanted: names of `PARTS`.
    """
    found = {}
    for name in wanted or PARTS:
        found[name] = PARTS[name](folder / "coupons" / name, sizes)
        shutil.rmtree(folder / "coupons")
    return found


PARTS = {
    "production": lambda folder, sizes: {"production": production(folder, sizes)},
    "rates": rates,
    "expiry": expiry,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and short runs")
    parser.add_argument("--produced", type=int, help="codes produced, in place of the usual")
    parser.add_argument("--claimed", type=int, help="coupons claimed, in place of the usual")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    said = {"produced": options.produced, "claimed": options.claimed}
    sizes = replace(sizes, **{name: count for name, count in said.items() if count})
    for part, rows in measure(FOLDER, sizes, tuple(options.parts)).items():
        for row, figures in rows.items():
            for name, value in figures.items():
                print(f"{part}: {row}: {name} {value}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
