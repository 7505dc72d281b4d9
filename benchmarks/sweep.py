"""A sweep beside terminals: a million lots expire while tills go on at half of the saturated rate.

Every member has a lot whose day has passed long ago and one that lasts. The saturated rate is found
first, then the latencies at half of it, without and with ``counterfoil sweep`` running beside the
daemon as a process of its own, from its start to its end. Beside the sweep the rate follows the
pace of the machine (`benchmarks.daemon.keeping_pace`), which on some changes by half from minute to
minute; the saturated rate is found once more afterwards. The load generator is an open loop: a
latency counts from the scheduled time. All of it shares the same cores.

    python -m benchmarks.sweep [--members N] [--seconds S]
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
from benchmarks.field import ROOT, Field

FOLDER = Path("var/bench")
SECONDS_MAX = 1500.0
"""Time for a million lots; the frames of all terminals are built beforehand."""
SPARE = 1.4
"""So many more frames than half of the rate found first takes: rates are found anew by some."""
SATURATING_S = 20.0
"""Long enough for the rate that the machine keeps, not the one of a fast moment."""
BASELINE_S = 10.0


def measure(folder: Path, members: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Run all of it.

    Args:
        folder: where to make the data.
        members: how many, each with one lot to expire.
        seconds: how long the terminals go on beside the sweep, unless it ends before.

    Returns:
        Figures of the saturated run, of the open loop alone, of the one beside the sweep, of the
        saturated run afterwards, and of the sweep itself.
    """
    field = Field(folder / "data", members, daemon.terminals(), lapsed=True)
    field.prepare()
    with field.serving():
        return beside_terminals(field, "points", seconds)


def beside_terminals(field: Field, name: str, seconds: float) -> dict[str, dict[str, Any]]:
    """Run the sweep of this name on a field whose daemon runs; else as `measure`."""
    found, tills, rate = daemon.at_half_rate(field, SATURATING_S, BASELINE_S)
    conversations = daemon.conversations_of(field, tills, seconds, SPARE * rate)
    began = time.monotonic()
    sweep = subprocess.Popen(
        [sys.executable, "-m", "tools", "sweep", str(field.folder), name, "--json"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    until = began + seconds

    def over() -> bool:
        return sweep.poll() is not None or time.monotonic() > until

    beside = daemon.keeping_pace(field.address, conversations, over)
    took = time.monotonic() - began
    ended = sweep.poll() is not None
    said = sweep.communicate()[0]
    if sweep.returncode:
        raise RuntimeError(f"the sweep ended with status {sweep.returncode} before its report")
    told = json.loads(said)[0]
    found["beside the sweep"] = beside
    found["saturated afterwards"] = daemon.saturated(
        field, tills, SATURATING_S / 2, daemon.RATE_GUESS
    )
    found["sweep"] = {
        "posted": told["done"],
        "all of them while terminals went on": ended,
        "seconds": round(took, 1),
        "refused": told["refused"],
    }
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX)
    options = parser.parse_args()
    found = measure(FOLDER, options.members, options.seconds)
    for name, value in daemon.rows(found):
        print(name, value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
