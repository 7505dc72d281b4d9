"""A sweep beside terminals: a million lots expire while tills go on at half of the saturated rate.

Every member has a lot whose day has passed long ago and one that lasts. The saturated rate is found
first, then the latencies at half of it, without and with ``counterfoil sweep`` running beside the
daemon as a process of its own (which lowers its own priority). The load generator is an open loop:
a latency counts from the scheduled time. All of it shares the same cores.

    python -m benchmarks.sweep [--members N] [--seconds S] [--rate R]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import daemon
from benchmarks.field import ROOT, Field, Till
from benchmarks.load import Load, evenly

FOLDER = Path("var/bench")
SATURATING_S = 5.0
BASELINE_S = 10.0
RATE_GUESS = 35_000


def measure(
    folder: Path, members: int, seconds: float, rate: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Run all of it.

    Args:
        folder: where to make the data.
        members: how many, each with one lot to expire.
        seconds: how long the terminals go on beside the sweep; long enough for all lots.
        rate: of the open loops, messages a second; by default half of the saturated rate.

    Returns:
        Figures of the saturated run, of the open loop alone, of the one beside the sweep, and of
        the sweep itself.
    """
    field = Field(folder / "data", members, daemon.terminals(), lapsed=True)
    field.prepare()
    field.start()
    found: dict[str, dict[str, Any]] = {}
    if not rate:
        found["saturated"] = daemon.singles(field, SATURATING_S, RATE_GUESS)
        rate = found["saturated"]["rate"] / 2
    tills = field.tills(daemon.OPEN_FIRST, daemon.SINGLE_LINKS, seed=3)
    found["alone"] = _open_loop(field, tills, BASELINE_S, rate)
    conversations = _conversations(field, tills, seconds, rate)
    before = field.scrape()
    began = time.monotonic()
    sweep = subprocess.Popen(
        [sys.executable, "-m", "tools", "sweep", str(field.folder), "points", "--json"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    load = Load(field.address, conversations)
    report = load.open_loop(evenly(rate, seconds))
    within = field.scrape()
    still = sweep.poll() is None
    told = json.loads(sweep.communicate()[0])[0]
    took = time.monotonic() - began
    entries = within["counterfoil_entries_total"] - before["counterfoil_entries_total"]
    found["beside the sweep"] = report.summary()
    found["sweep"] = {
        "lots": told["done"],
        "lots while terminals went on": int(entries - report.replies),
        "ended before the terminals": not still,
        "seconds": round(took, 1),
        "refused": told["refused"],
    }
    field.stop()
    return found


def _conversations(
    field: Field, tills: list[Till], seconds: float, rate: float
) -> list[list[bytes]]:
    count = int(rate * seconds / len(tills)) + 10
    return [till.frames(count, field.members) for till in tills]


def _open_loop(field: Field, tills: list[Till], seconds: float, rate: float) -> dict[str, Any]:
    load = Load(field.address, _conversations(field, tills, seconds + 1, rate), warm_up_s=1.0)
    return load.open_loop(evenly(rate, seconds + 1)).summary()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    found = measure(FOLDER, options.members, options.seconds, options.rate)
    for part, figures in found.items():
        for name, value in figures.items():
            print(f"{part}: {name} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
