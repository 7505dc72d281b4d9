"""Clearing beside terminals: a day is cleared while tills go on at half of the saturated rate.

A day is traded through the daemon first, by as many terminals as there are merchants, and cut off.
Then the saturated rate is found. Then come the latencies at half of it, without and with
``counterfoil clear`` at work beside the daemon, a process of its own with its workers, which lower
their priority themselves. The load generator is an open loop: a latency counts from the scheduled
time. All of it shares the same cores. Whatever fails, daemon and clearing are ended.

    python -m benchmarks.beside [--quick] [--workers W]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import daemon
from benchmarks.field import ROOT, Field, counterfoil
from benchmarks.load import Load

FOLDER = Path("var/bench")
TRADING_S_MAX = 300.0
CLEARING_S_MAX = 600.0
"""How long the day may take, and its clearing, before the run is given up."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        members: who trade.
        transactions: of the day that is cleared.
        merchants: among whom they are divided, each with one terminal; the first
            `daemon.NAC_FIRST` belong to the other runs.
        saturating_s, alone_s: of the closed loop, and of the open one without clearing.
        beside_s: how long terminals go on beside the clearing, unless it ends before.
    """

    members: int
    transactions: int
    merchants: int
    saturating_s: float
    alone_s: float
    beside_s: float


FULL = Sizes(200_000, 300_000, 2_000, 4.0, 10.0, 60.0)
QUICK = Sizes(2_000, 10_000, 200, 1.0, 2.0, 20.0)


def measure(folder: Path, sizes: Sizes, options: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Run all of it.

    Args:
        folder: where to make the data.
        sizes: how much.
        options: of ``counterfoil clear``.

    Returns:
        Figures of the saturated run, of the open loop alone, of the one beside the clearing as long
        as that lasted, and of the clearing itself.

    Raises:
        RuntimeError: the day was not traded in time, or not cleared.
        subprocess.TimeoutExpired: it was not cleared in time.
    """
    merchants = sizes.merchants
    field = Field(folder / "beside", sizes.members, merchants, merchants=merchants)
    field.prepare()
    with field.serving():
        return _beside(field, sizes, options)


def _beside(field: Field, sizes: Sizes, options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    closed = _trade(field, sizes)
    # Afterwards: a member who has traded has lots of more shops, which cost each message more.
    found, tills, rate = daemon.at_half_rate(field, sizes.saturating_s, sizes.alone_s)
    load = Load(field.address, daemon.conversations_of(field, tills, sizes.beside_s, rate))
    told = field.folder.with_suffix(".cleared")
    with _clearing(field.folder, closed, told, options) as process:
        began = time.monotonic()
        found["beside clearing"] = daemon.paced(
            load, rate, sizes.beside_s, over=lambda: process.poll() is not None
        )
        within = process.poll() is not None
        if process.wait(CLEARING_S_MAX):
            raise RuntimeError("the date was not cleared")
        took = time.monotonic() - began
    (day,) = json.loads(told.read_text(encoding="utf-8"))
    first, last = day["entries"]
    found["clearing"] = {
        "entries": last - first + 1,
        "parties": len(day["parties"]),
        "seconds": round(took, 1),
        "ended before the terminals": within,
    }
    return found


def _trade(field: Field, sizes: Sizes) -> str:
    """Trade a day and cut it off; returns its date, YYYY-MM-DD."""
    traders = field.tills(daemon.NAC_FIRST, sizes.merchants - daemon.NAC_FIRST, seed=2)
    day = daemon.in_turn(field, traders, sizes.transactions)
    report = Load(field.address, day).closed_loop(daemon.NAC_DEPTH, TRADING_S_MAX)
    asked = sum(map(len, day))
    if report.replies < asked:
        raise RuntimeError(f"of {asked} transactions {report.replies} were answered in time")
    closed = str(json.loads(counterfoil("cutoff", str(field.folder), "--json"))["closed"])
    return f"{closed[:4]}-{closed[4:6]}-{closed[6:]}"


@contextmanager
def _clearing(
    directory: Path, date: str, told: Path, options: tuple[str, ...]
) -> Iterator[subprocess.Popen[bytes]]:
    """``counterfoil clear`` at work, and ended with the block; what it tells goes into a file."""
    with told.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tools", "clear", str(directory), "--date", date),
                *("--out", f"{directory}-files", "--value-date", date, "--json", *options),
            ],
            stdout=output,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers are of its group
        process.wait()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    chosen = parser.parse_args()
    options = ("--workers", str(chosen.workers)) if chosen.workers else ()
    found = measure(FOLDER, QUICK if chosen.quick else FULL, options)
    for name, value in daemon.rows(found):
        print(name, value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
