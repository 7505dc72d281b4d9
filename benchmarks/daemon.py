"""The daemon under load, on data of a chosen size, through sockets.

Closed loops find the saturated rates of terminals on links of their own and of network access
controllers; an open loop at half of a saturated rate gives the latencies. The load generator and
the follower run beside the daemon on the same cores, and are in the figures.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import stalls
from benchmarks.field import Field, Till
from benchmarks.load import Address, Load, LoadError, Report, evenly

SINGLE_LINKS = 64
NAC_LINKS = 8
TILLS_A_NAC = 32
NAC_DEPTH = 64
IDLE_CONNECTIONS = 10_000
RATE_GUESS = 35_000
"""More than any machine here answers a second."""
HEAPLESS = {"COUNTERFOIL_SERVE_HEAP_MIB": "0"}
KILL_AFTER_S = 3.0
PACE_S = 20.0
"""How long an open loop keeps its rate where it follows the pace of the machine."""
FINDING_S, FINDING_WARM_UP_S = 2.5, 0.5
"""How long it takes to find the next rate."""
KEPT = 3
"""The next rate is half of the median of so many: what the machine keeps, not a fast moment."""
OPEN_FIRST = SINGLE_LINKS
NAC_FIRST = OPEN_FIRST + SINGLE_LINKS
KILLED_FIRST = NAC_FIRST + NAC_LINKS * TILLS_A_NAC


def terminals() -> int:
    """How many terminals the runs use; each run has its own, so that no STAN is used twice."""
    return KILLED_FIRST + NAC_LINKS * TILLS_A_NAC


def singles(field: Field, seconds: float, rate_guess: int) -> dict[str, Any]:
    """Closed loop: a link a terminal, one message in flight."""
    return saturated(field, field.tills(0, SINGLE_LINKS, seed=1), seconds, rate_guess)


def saturated(field: Field, tills: list[Till], seconds: float, rate_guess: int) -> dict[str, Any]:
    """A closed loop of these tills, each on a link of its own with one message in flight."""
    conversations = conversations_of(field, tills, seconds + 1, rate_guess)
    return _closed_loop(field, conversations, 1, seconds)


def pipelined(field: Field, seconds: float, rate_guess: int) -> dict[str, Any]:
    """Closed loop: network access controllers, many terminals on a link, many in flight."""
    conversations = _nac_frames(field, NAC_FIRST, int(rate_guess * (seconds + 1)))
    return _closed_loop(field, conversations, NAC_DEPTH, seconds)


def _closed_loop(
    field: Field, conversations: list[list[bytes]], depth: int, seconds: float
) -> dict[str, Any]:
    before, busy = field.scrape(), work_seconds(field)
    report = Load(field.address, conversations, warm_up_s=1.0).closed_loop(depth, seconds)
    busy = work_seconds(field) - busy
    return {
        **report.summary(),
        **stages(before, field.scrape()),
        "daemon_cpu_us": round(busy / report.replies * 1e6, 1),
    }


def open_loop(field: Field, seconds: float, rate: float) -> dict[str, Any]:
    """Open loop over links of their own at a fixed rate; latency from the scheduled time."""
    return steadily(field, field.tills(OPEN_FIRST, SINGLE_LINKS, seed=3), seconds, rate)


def steadily(field: Field, tills: list[Till], seconds: float, rate: float) -> dict[str, Any]:
    """An open loop of these tills, after a second that does not count."""
    conversations = conversations_of(field, tills, seconds + 1, rate)
    return paced(Load(field.address, conversations, warm_up_s=1.0), rate, seconds + 1)


def at_half_rate(
    field: Field, saturating_s: float, alone_s: float
) -> tuple[dict[str, dict[str, Any]], list[Till], float]:
    """Find the saturated rate, and the latencies at half of it with nothing beside.

    Args:
        field: whose daemon runs.
        saturating_s: how long the closed loop takes.
        alone_s: how long the open loop takes.

    Returns:
        Figures of both, the tills of the open loop, and its rate.
    """
    found: dict[str, dict[str, Any]] = {}
    found["saturated"] = singles(field, saturating_s, RATE_GUESS)
    rate = found["saturated"]["rate"] / 2
    tills = field.tills(OPEN_FIRST, SINGLE_LINKS, seed=3)
    found["alone"] = steadily(field, tills, alone_s, rate)
    return found, tills, rate


def paced(
    load: Load, rate: float, seconds: float, over: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """An open loop at a fixed rate, and how long the machine itself stood still meanwhile.

    Args:
        load: what is sent.
        rate: messages a second.
        seconds: how long.
        over: asked now and then whether it is to end before.
    """
    machine: dict[str, Any] = {}
    with stalls.watched(machine):
        report = load.open_loop(evenly(rate, seconds), over=over)
    return {**report.summary(), **machine}


def keeping_pace(
    address: Address, conversations: list[list[bytes]], over: Callable[[], bool]
) -> dict[str, Any]:
    """Open loops at half of the saturated rate, which is found anew before each of them.

    A machine that becomes slower is soon asked for less, and one that becomes faster for more:
    else half of what it could do a while ago is most of what it can, or little.

    Args:
        address: of the daemon.
        conversations: frames for each link, in the order in which they are sent.
        over: asked now and then whether it is to end.

    Returns:
        Figures of all open loops together; of each the rate (``halves``) and p99 (``p99s_us``).
    """
    links = [iter(frames) for frames in conversations]
    whole = Report()
    found: list[float] = []
    halves, p99s = [], []
    machine: dict[str, Any] = {}
    with stalls.watched(machine):
        while not over():
            finding = Load(address, links, warm_up_s=FINDING_WARM_UP_S)
            found.append(finding.closed_loop(1, FINDING_S).rate)
            half = statistics.median(found[-KEPT:]) / 2
            report = Load(address, links).open_loop(evenly(half, PACE_S), over=over)
            if not report.latency.total:
                break
            halves.append(round(half))
            p99s.append(report.latency.percentile(99))
            whole.add(report)
            if report.sent < int(half * PACE_S):
                break
    return {**whole.summary(), "halves": halves, "p99s_us": p99s, **machine}


def conversations_of(
    field: Field, tills: list[Till], seconds: float, rate: float
) -> list[list[bytes]]:
    """For each till the frames of an open loop, and some to spare."""
    count = int(rate * seconds / len(tills)) + 10
    return [till.frames(count, field.members) for till in tills]


def idle(field: Field, count: int = IDLE_CONNECTIONS) -> dict[str, float]:
    """Memory of the daemon for each idle connection; nothing else of it is asked meanwhile.

    It starts and stops the daemon, which takes no heap in advance (`HEAPLESS`): connections would
    find room in that, and seem to cost nothing.
    """
    field.start(**HEAPLESS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = field.resident_bytes()
    held = []
    try:
        for _ in range(count):
            held.append(socket.create_connection(field.address))  # noqa: PERF401 - closed below
        while field.scrape()["counterfoil_connections"] < count:
            time.sleep(0.05)
        after = field.resident_bytes()
    finally:
        for connection in held:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        field.stop()
    return {"connections": count, "bytes_each": (after - before) / count}


def kill_under_load(field: Field) -> float:
    """Seconds until the daemon is ready again after a kill -9 at the saturated rate."""
    conversations = _nac_frames(field, KILLED_FIRST, 200_000)
    killer = threading.Timer(KILL_AFTER_S, field.kill)
    killer.start()
    with contextlib.suppress(LoadError):
        Load(field.address, conversations).closed_loop(NAC_DEPTH, KILL_AFTER_S + 5)
    killer.join()
    return field.start()


def rows(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each figure of each part of a run, with its name."""
    for part, figures in found.items():
        for name, value in figures.items():
            yield f"{part}: {name}", value


def work_seconds(field: Field) -> float:
    """User and system time of the daemon so far, but for rests that it stayed awake in."""
    parts = Path(f"/proc/{field.pid}/stat").read_text().rpartition(")")[2].split()
    busy = (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    return busy - field.scrape()["counterfoil_rest_seconds_total"]


def _nac_frames(field: Field, first: int, total: int) -> list[list[bytes]]:
    """For each controller the frames of its terminals, in turn."""
    return in_turn(field, field.tills(first, NAC_LINKS * TILLS_A_NAC, seed=2), total)


def in_turn(field: Field, tills: list[Till], total: int) -> list[list[bytes]]:
    """The frames of `NAC_LINKS` links that share these tills, who speak in turn."""
    each = total // len(tills) + 1
    share = len(tills) // NAC_LINKS
    links = []
    for link in range(NAC_LINKS):
        mine = tills[link * share : (link + 1) * share]
        streams = [till.frames(each, field.members) for till in mine]
        links.append([frame for turn in zip(*streams, strict=True) for frame in turn])
    return links


def stages(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Mean microseconds of each stage between two scrapes, and what was not approved."""
    figures: dict[str, float] = {}
    for stage in ("decode", "decide", "journal", "reply"):
        name = f"counterfoil_{stage}_seconds"
        count = after[f"{name}_count"] - before.get(f"{name}_count", 0)
        total = after[f"{name}_sum"] - before.get(f"{name}_sum", 0)
        figures[f"{stage}_us"] = round(total / count * 1e6, 2) if count else 0.0
    entries = after["counterfoil_entries_total"] - before["counterfoil_entries_total"]
    groups = after["counterfoil_groups_total"] - before["counterfoil_groups_total"]
    written = after["counterfoil_journal_bytes_total"] - before["counterfoil_journal_bytes_total"]
    figures["entries_a_group"] = round(entries / groups, 1) if groups else 0.0
    figures["bytes_an_entry"] = round(written / entries) if entries else 0.0
    figures["refused"] = sum(
        value - before.get(name, 0)
        for name, value in after.items()
        if name.startswith("counterfoil_replies_total") and 'code="00"' not in name
    )
    return figures
