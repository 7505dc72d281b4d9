"""How long the machine itself stands still: what no program that runs on it can do better than.

A virtual machine gets its processors when its host has them to spare. A watcher sleeps on each
processor, wakes up every `PERIOD_NS` at the highest priority that the system grants, and notes by
how much it woke too late; nothing of the measured programs can hold it up, so what it sees is the
machine's own. Run it beside a measurement of latencies (`watched`), and tell both.

    python -m benchmarks.stalls [--seconds S]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.load import Latencies

ROOT = Path(__file__).resolve().parent.parent
PERIOD_NS = 2_000_000
PRIORITY = 80
BOUND_US = 10_000
"""The latency that the project promises for 99 of a hundred."""


def watch(processor: int, over: Event) -> list[int]:
    """Note until `over` is set by how many ns each waking on a processor was too late."""
    os.sched_setaffinity(0, {processor})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    late: list[int] = []
    due = time.monotonic_ns()
    while not over.is_set():
        due += PERIOD_NS
        now = time.monotonic_ns()
        if due > now:
            time.sleep((due - now) / 1e9)
            now = time.monotonic_ns()
        late.append(max(0, now - due))
    return late


def figures(late: list[int]) -> dict[str, float]:
    """What the lateness of all wakings comes to: in us, and per cent of them beyond `BOUND_US`."""
    if not late:
        return {}
    latencies = Latencies()
    for each in late:
        latencies.record(each)
    beyond = sum(each > BOUND_US * 1000 for each in late)
    told = {f"machine_{name}": value for name, value in latencies.summary().items()}
    return told | {"machine_late_percent": round(100 * beyond / len(late), 3)}


@contextmanager
def watched(found: dict[str, Any]) -> Iterator[None]:
    """Watch the machine during the block; its figures are in `found` afterwards."""
    watchers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stalls", "--processor", str(processor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for processor in sorted(os.sched_getaffinity(0))
    ]
    late: list[int] = []
    try:
        for watcher in watchers:
            assert watcher.stdout is not None  # noqa: S101 - a pipe, see above
            watcher.stdout.readline()
        yield
    finally:
        for watcher in watchers:
            told, _ = watcher.communicate()
            late += json.loads(told)
    found.update(figures(late))


def main() -> int:
    """Watch one processor until standard input ends, or all of them for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--processor", type=int)
    options = parser.parse_args()
    if options.processor is None:
        found: dict[str, Any] = {}
        with watched(found):
            time.sleep(options.seconds)
        print(json.dumps(found))
        return 0
    over = Event()
    Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("ready", flush=True)
    print(json.dumps(watch(options.processor, over)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
