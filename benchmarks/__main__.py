"""``make bench``: every figure in one run, each beside its yardstick, into ``RESULTS.md``.

Options: ``--members N`` (a million by default), ``--quick`` for short runs while working on
something. The table says what the machine was and when it ran.

    python -m benchmarks [--quick] [--members N] [speed]

With ``speed`` the daemon under load is measured beside its yardsticks and nothing else, and printed
only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import (
    beside,
    clearing,
    codec,
    coupons,
    daemon,
    disk,
    echo,
    hot,
    instructions,
    issue,
    journal,
    limits,
    security,
    sweep,
)
from benchmarks.field import Field
from benchmarks.postgres import run as postgres

RESULTS = Path(__file__).with_name("RESULTS.md")
FOLDER = Path("var/bench")
REQUEST_BYTES = 91
REPLY_BYTES = 130


class Table:
    """Lines of the results, printed as they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._say(f"\n## {text}\n")

    def row(self, *cells: object) -> None:
        """Add a row."""
        self._say("| " + " | ".join(str(cell) for cell in cells) + " |")

    def columns(self, *names: str) -> None:
        """Begin a table."""
        self.row(*names)
        self.row(*("---" for _ in names))

    def _say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)


def machine() -> str:
    """What this ran on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} cores, {model}, Python {platform.python_version()},"
        f" {platform.system()} {platform.release()}"
    )


def parts(table: Table) -> None:
    """Codec, cryptography, journal and disk."""
    table.heading("Codec, µs a message")
    table.columns("", "compiled", "pyiso8583", "ratio")
    figures = codec.measure()
    for name in ("decode", "encode"):
        ours, theirs = figures[f"{name} compiled"], figures[f"{name} pyiso8583"]
        table.row(name, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f} x")
    table.heading("Cryptography, µs a call")
    table.columns("call", "µs")
    for name, value in security.measure().items():
        table.row(name, f"{value:.2f}")
    table.heading("Journal against the raw disk, µs a group")
    table.columns("group", "median", "p99")
    for size, figures_ in disk.measure(FOLDER).items():
        table.row(f"raw {size} B", figures_["median_us"], figures_["p99_us"])
    for entries in (1, 10, 50, 250):
        figures_ = journal.append(FOLDER, entries)
        table.row(f"{entries} entries", *(figures_.get(name, "") for name in ("p50", "p99")))


def counts(table: Table) -> None:
    """Instructions a message, where the tools that count them are there."""
    table.heading("Instructions a message, 20,000 members, counted by callgrind")
    without = instructions.missing()
    if without:
        table.row(f"not measured: {', '.join(without)} is not installed")
        return
    found = instructions.measure(FOLDER)
    table.columns("", *found)
    for name in next(iter(found.values())):
        table.row(name, *(row.get(name, "") for row in found.values()))


def yardsticks(table: Table, seconds: float) -> tuple[dict[str, float], float]:
    """Bare echo and PostgreSQL; returns their rates."""
    table.heading("Yardsticks")
    table.columns("yardstick", "rate/s")
    rates = {}
    for shape in echo.SHAPES:
        found = echo.measure(shape, _length(REQUEST_BYTES), REPLY_BYTES, seconds)
        rates[shape] = float(found["rate"])
        table.row(f"uvloop echo, {shape}", round(rates[shape]))
    found = postgres.measure(seconds=int(seconds), clients=64, members=100_000)
    rate = float(found.get("tps", 0))  # type: ignore[arg-type]
    table.row(f"PostgreSQL procedures, 64 clients {found.get('skipped', '')}", round(rate))
    return rates, rate


def bulk(table: Table) -> None:
    """Cards issued in one job."""
    table.heading("Cards issued in one job, without a daemon")
    table.columns("cards", "seconds", "memory kept, MiB", "tables mapped, MiB", "directory, MiB")
    for count in issue.SIZES:
        table.row(count, *issue.measure(FOLDER, count).values())


def rules(table: Table, *, quick: bool) -> None:
    """What limits, tiers and earn rules cost, each alone and all together."""
    table.heading("A transaction under limits and rules, µs of the daemon's processor time")
    table.columns("rules", "transaction", "µs", "more than without")
    size = {"members": 200, "count": 2_000, "rounds": 1} if quick else {}
    for row in limits.measure(FOLDER / "limits", **size):
        table.row(*row)


def night(table: Table, *, quick: bool) -> None:
    """A date cleared with all its files, at two sizes, to show how it grows."""
    table.heading("A date cleared by two workers, 5,000 merchants, all files")
    table.columns("transactions", "seconds", "entries/s", "processor seconds", "peak MiB")
    for transactions in (20_000, 100_000) if quick else (250_000, 1_000_000):
        base = FOLDER / f"clearing-{transactions}"
        found = clearing.measure(base, transactions, 5_000)
        figures = (round(found[name], 1) for name in ("seconds", "rate", "cpu_s", "peak_mib"))
        table.row(f"{transactions:,}", *figures)
        shutil.rmtree(base)


def _length(size: int) -> bytes:
    return size.to_bytes(2, "big") + bytes(size)


def load(table: Table, members: int, seconds: float, hold: float) -> dict[str, Any]:
    """The daemon under load; returns what was found."""
    field = Field(FOLDER / "data", members, daemon.terminals())
    found: dict[str, Any] = {"load_s": field.prepare()}
    with field.serving():
        found["single"] = daemon.singles(field, seconds, daemon.RATE_GUESS)
    with field.serving():
        found["pipelined"] = daemon.pipelined(field, hold, 40_000)
        found["open"] = daemon.open_loop(field, seconds, found["single"]["rate"] / 2)
    found["idle"] = daemon.idle(field)
    with field.serving():
        found["kill"] = daemon.kill_under_load(field)
    began = time.monotonic()
    found["digest"] = field.verify()
    found["verify_s"] = time.monotonic() - began
    table.heading(f"The daemon, {members} members, load generator and follower included")
    table.columns("figure", "value")
    for row in daemon.rows({shape: found[shape] for shape in ("single", "pipelined", "open")}):
        table.row(*row)
    table.row("idle: bytes a connection", round(found["idle"]["bytes_each"]))
    table.row("ready after kill -9 under load, s", f"{found['kill']:.2f}")
    table.row(f"loading {members} members and balances, s", f"{found['load_s']:.1f}")
    table.row("verify, s", f"{found['verify_s']:.1f}")
    return found


def sweeping(table: Table, members: int, *, quick: bool) -> dict[str, dict[str, Any]]:
    """A sweep beside terminals at half of the saturated rate; returns what was found."""
    members = min(members, 50_000) if quick else members
    found = sweep.measure(FOLDER / "sweep", members, sweep.SECONDS_MAX / (10 if quick else 1))
    table.heading(f"A sweep of {members:,} lots beside terminals at half of the saturated rate")
    table.columns("figure", "value")
    for row in daemon.rows(found):
        table.row(*row)
    return found


def clearing_beside(table: Table, *, quick: bool) -> dict[str, dict[str, Any]]:
    """A date cleared beside terminals at half of the saturated rate; returns what was found."""
    sizes = beside.QUICK if quick else beside.FULL
    found = beside.measure(FOLDER, sizes)
    table.heading(
        f"A date of {sizes.transactions:,} transactions cleared beside terminals at half of the"
        " saturated rate"
    )
    table.columns("figure", "value")
    for row in daemon.rows(found):
        table.row(*row)
    return found


def coupon_codes(table: Table, *, quick: bool) -> dict[str, dict[str, dict[str, Any]]]:
    """Coupons at size: produced, claimed, used and expired; returns what was found."""
    sizes = coupons.QUICK if quick else coupons.FULL
    found = coupons.measure(FOLDER, sizes)
    table.heading(f"Coupons: {sizes.produced} codes produced, {sizes.claimed} claimed")
    table.columns("part", "figure", "value")
    for rows in found.values():
        for row, figures in rows.items():
            for name, value in figures.items():
                table.row(row, name, value)
    return found


def heat(table: Table) -> dict[str, Any]:
    """One hot member, merchant and link against the spread load."""
    found = hot.measure(FOLDER)
    table.heading("One hot row or link against the same load spread out")
    table.columns("shape", "rate/s", "part of the spread load")
    for shape, figures in found.items():
        table.row(shape, figures["rate"], figures["part"])
    return found


def promised(table: Table, found: dict[str, Any], echoes: dict[str, float], rate: float) -> None:
    """What was promised of the daemon under load."""
    table.heading("Summary")
    table.columns("promise", "measured")
    single, pipelined = found["single"]["rate"], found["pipelined"]["rate"]
    table.row("64 links, one in flight: at least 20,000/s", single)
    if rate:
        table.row("... against PostgreSQL: at least 1.3 x", f"{single / rate:.2f} x")
    table.row("8 pipelined links: at least 30,000/s", pipelined)
    table.row("... part of a bare echo, single", f"{single / echoes['single']:.2f}")
    table.row("... part of a bare echo, pipelined", f"{pipelined / echoes['pipelined']:.2f}")
    table.row("p99 at half the rate: at most 10 ms", f"{found['open']['p99_us'] / 1000:.2f} ms")
    table.row("p99.9 at half the rate: at most 50 ms", f"{found['open']['p99_9_us'] / 1000:.2f} ms")
    late = found["open"]["machine_late_percent"]
    table.row("... meanwhile the machine itself stood still for 10 ms and more", f"{late} %")


def summary(table: Table, found: dict[str, Any], echoes: dict[str, float], rate: float) -> None:
    """The figures that the project promises, as ratios."""
    promised(table, found, echoes, rate)
    beside = found["sweep"]["beside the sweep"]["p99_us"]
    lots = found["sweep"]["sweep"]
    meanwhile = "" if lots["all of them while terminals went on"] else ", some of them afterwards"
    table.row(
        f"... while a sweep expires {lots['posted']:,} lots{meanwhile}: at most 10 ms",
        f"{beside / 1000:.2f} ms",
    )
    beside_it = found["beside"]["beside clearing"]["p99_us"]
    entries = found["beside"]["clearing"]["entries"]
    table.row(
        f"... while a date of {entries:,} entries is cleared: at most 10 ms",
        f"{beside_it / 1000:.2f} ms",
    )
    codes = found["coupons"]
    made = codes["production"]["production"]["codes a second"]
    table.row("coupon codes produced a second: at least 100,000", made)
    shares = [row["part"] for row in codes["rates"].values() if "part" in row]
    table.row("rate with all claimed, of that with one: not lost", min(shares))
    beside = codes["expiry"]["beside the sweep"]["p99_us"]
    table.row("p99 while all claimed expire: at most 10 ms", f"{beside / 1000:.2f} ms")
    coldest = min(figures["part"] for figures in found["hot"].values())
    table.row("a hot member, merchant or link: at least 0.9 of the spread load", coldest)
    table.row("idle connection: at most 16 KiB", f"{found['idle']['bytes_each'] / 1024:.1f} KiB")
    table.row("ready after kill -9: at most 3 s", f"{found['kill']:.2f} s")


def main() -> int:
    """Measure everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("part", nargs="?", choices=["speed"])
    options = parser.parse_args()
    seconds, hold = (5.0, 8.0) if options.quick else (15.0, 60.0)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    table = Table()
    if options.part:
        found = load(table, options.members, seconds, hold)
        echoes, rate = yardsticks(table, seconds)
        parts(table)
        promised(table, found, echoes, rate)
        shutil.rmtree(FOLDER, ignore_errors=True)
        return 0
    parts(table)
    counts(table)
    bulk(table)
    rules(table, quick=options.quick)
    night(table, quick=options.quick)
    echoes, rate = yardsticks(table, seconds)
    found = load(table, options.members, seconds, hold)
    found["hot"] = heat(table)
    found["sweep"] = sweeping(table, options.members, quick=options.quick)
    found["beside"] = clearing_beside(table, quick=options.quick)
    found["coupons"] = coupon_codes(table, quick=options.quick)
    summary(table, found, echoes, rate)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    today = dt.datetime.now(dt.UTC).date()
    head = f"# Measured {today}, at {commit}\n\n{machine()}. Made by `make bench`.\n"
    RESULTS.write_text(head + "\n".join(table.lines) + "\n")
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
