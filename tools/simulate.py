"""`counterfoil simulate`: a seeded fleet of terminals against a daemon, and what came of it.

It prints the rate, latencies and response codes, and can write the fleet's books: what each
member's balance and each merchant's points should be by all that the terminals were told. Exit
status 1 when an outcome stayed unknown, a repeat was answered otherwise than at first, or, with
`--audit`, a member's balance is not what the terminals believe.

A terminal here has no memory from run to run: it learns its batch by signing on and counts STANs
from 1. That is right where the run before has settled, as it does unless told otherwise. In a batch
that was left open the same seed would send the same messages again and be given the stored replies;
`--first-stan` avoids that, and the settlement then ends in an upload, since the totals differ.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from clearing.console import Refusal
from tools.fleet import Conduct, FleetError, read_fleet
from tools.fleet_run import Pace, Run
from tools.terminal import STAN_MAX

PROGRESS_S: Final = 0.1
DIFFERENCES_SHOWN: Final = 10
QUANTILES: Final = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
SECONDS_DEFAULT: Final = 10.0


@click.command("simulate")
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--fleet",
    "fleet_file",
    required=True,
    type=click.Path(path_type=Path),
    help="Terminals, members and keys, JSON or TOML.",
)
@click.option("--seed", type=int, help="Instead of the seed in the fleet file.")
@click.option("--rate", type=click.FloatRange(min=0.1), help="Transactions a second, open loop.")
@click.option("--closed", is_flag=True, help="Each terminal waits for its answer (the default).")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="How long; 10 unless told.")
@click.option("--transactions", type=click.IntRange(min=1), help="How many.")
@click.option(
    "--drop-replies",
    "drop",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Share of replies that terminals lose, so that they reverse.",
)
@click.option(
    "--repeat",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Share that they lose so that they send the message again.",
)
@click.option("--patience", default=30.0, help="Seconds that the daemon may stay away.")
@click.option("--settle/--no-settle", default=True, help="Settle all batches at the end.")
@click.option(
    "--first-stan",
    type=click.IntRange(1, STAN_MAX),
    default=1,
    help="For a run in batches that another run left open: one beyond what it used.",
)
@click.option("--audit", is_flag=True, help="Compare every member's balance at the end.")
@click.option("--books", "books_file", type=click.Path(path_type=Path), help="Write the books.")
@click.option(
    "--chart",
    "chart_file",
    type=click.Path(path_type=Path),
    metavar="FILE.svg",
    help="Draw the latencies.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--progress", is_flag=True, help="A line of JSON on stderr ten times a second.")
def command(address: str, fleet_file: Path, **options: Any) -> None:
    """Let a fleet of terminals trade with the daemon at HOST:PORT.

    The fleet file holds keys; `python -m tools.sample` writes one, tools/fleet.py explains it.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal():
        raise click.UsageError("the daemon's address is HOST:PORT")
    if options["rate"] and options["closed"]:
        raise click.UsageError("a run is either at a rate or a closed loop")
    if options["drop"] + options["repeat"] > 0.9:  # noqa: PLR2004 - else nothing ever ends
        raise click.UsageError("a terminal that loses nearly all replies never finishes")
    seconds = options["seconds"] or 0.0
    if not seconds and not options["transactions"]:
        seconds = SECONDS_DEFAULT
    try:
        fleet = read_fleet(fleet_file)
    except FleetError as error:
        raise Refusal(str(error)) from None
    pace = Pace(
        rate=options["rate"] or 0.0,
        seconds=seconds,
        transactions=options["transactions"] or 0,
        patience_s=options["patience"],
        settle=options["settle"],
        audit=options["audit"],
        first_stan=options["first_stan"],
    )
    conduct = Conduct(options["drop"], options["repeat"])
    run = Run(fleet, host.strip("[]"), int(port), pace, conduct, options["seed"])
    uvloop.run(_work(run, lines=options["progress"]))
    opening = run.before or {customer.id: customer.balances for customer in fleet.customers}
    report = report_of(run, opening, audit=pace.audit)
    if options["books_file"] is not None:
        write_private(options["books_file"], json.dumps(books_of(run, opening), indent=1))
    if options["chart_file"] is not None:
        options["chart_file"].write_text(chart(run.tally.latencies_us), "utf-8")
    if options["as_json"]:
        print(json.dumps(report))
    else:
        _show(report)
    sys.exit(0 if report["ok"] else 1)


async def _work(run: Run, *, lines: bool) -> None:
    """Run the fleet, with progress; the first interrupt lets it finish in good order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.stop)
    work = asyncio.create_task(run.work())
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=lines or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task("signing on", total=None)
        while not (await asyncio.wait({work}, timeout=PROGRESS_S))[0]:
            tally = run.tally
            bar.update(task, description=f"{tally.started} transactions, {run.phase}")
            if lines:
                state = {"phase": run.phase, "started": tally.started, "outages": tally.outages}
                print(json.dumps(state), file=sys.stderr, flush=True)
    work.result()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read: books and fleets are about members and keys."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 - the mode from the start
        file.write(text)
    path.chmod(0o600)


# The report.


def report_of(run: Run, opening: dict[str, dict[str, int]], *, audit: bool) -> dict[str, Any]:
    """What a run came to; `ok` is what the exit status says."""
    tally = run.tally
    codes: dict[str, dict[str, int]] = {}
    for (kind, code), count in sorted(tally.codes.items()):
        codes.setdefault(kind, {})[code] = count
    unsettled = sum(
        count
        for (kind, code), count in tally.codes.items()
        if kind == "reversal" and code not in {"00", "25", "77", "91", "96", "A0"}
    )
    differences = differing(believed(run, opening), run.after) if audit else []
    unknown = run.unknown()
    report: dict[str, Any] = {
        "transactions": tally.started,
        "seconds": round(tally.trading_s, 3),
        "rate": round(tally.started / tally.trading_s, 1) if tally.trading_s else 0.0,
        "latency_us": quantiles(tally.latencies_us),
        "codes": codes,
        "replies_lost": dict(sorted(tally.lost.items())),
        "unanswered": tally.unanswered,
        "outages": tally.outages,
        "disputed_batches": sum(till.terminal.disputed for till in run.tills),
        "replies_not_believed": sum(till.terminal.forged for till in run.tills),
        "repeats": tally.repeats,
        "repeats_differing": tally.repeats_differing,
        "reversals_refused": unsettled,
        "unknown_outcomes": unknown,
        "failures": run.failures,
        "audited": len(run.after),
        "differences": differences,
    }
    report["ok"] = not (
        unknown or run.failures or differences or unsettled or tally.repeats_differing
    )
    return report


def believed(run: Run, opening: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """What each member should have: what there was, and what the terminals were told."""
    members = {member: dict(units) for member, units in opening.items()}
    for till in run.tills:
        for name in till.newcomers:
            members.setdefault(name, {})
    for (member, program), points in run.books().members.items():
        units = members.setdefault(member, {})
        units[program] = units.get(program, 0) + points
    return members


def differing(
    ours: dict[str, dict[str, int]], told: dict[str, dict[str, int]]
) -> list[dict[str, Any]]:
    """Members whose balances are not what the host said, an absent program being zero."""
    found = []
    for member in sorted(ours.keys() | told.keys()):
        mine = {unit: points for unit, points in ours.get(member, {}).items() if points}
        theirs = {unit: points for unit, points in told.get(member, {}).items() if points}
        if mine != theirs or member not in told:
            found.append({"member": member, "believed": mine, "told": told.get(member)})
    return found


def books_of(run: Run, opening: dict[str, dict[str, int]]) -> dict[str, Any]:
    """The fleet's books as data: members' points as believed and as told, merchants' points."""
    books = run.books()
    merchants: dict[str, dict[str, dict[str, int]]] = {}
    for name, column in (("issued", books.issued), ("redeemed", books.redeemed)):
        for (merchant, program), points in sorted(column.items()):
            row = merchants.setdefault(merchant, {}).setdefault(program, {})
            row.setdefault("issued", 0)
            row.setdefault("redeemed", 0)
            row[name] = points
    return {
        "members": believed(run, opening),
        "opening": opening,
        "told": run.after,
        "merchants": merchants,
        "enrolled": len(books.enrolled),
        "unknown_outcomes": run.unknown(),
    }


def quantiles(latencies_us: Sequence[int]) -> dict[str, int]:
    """p50, p99, p99.9 and the greatest, by the nearest rank; empty for no latencies."""
    ordered = sorted(latencies_us)
    last = len(ordered)
    if not last:
        return {}
    return {name: ordered[max(math.ceil(part * last), 1) - 1] for name, part in QUANTILES}


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table("transaction", "answers", box=None, pad_edge=False)
    for kind, codes in report["codes"].items():
        table.add_row(kind, "  ".join(f"{code}: {count}" for code, count in codes.items()))
    console.print(table)
    latencies = "  ".join(f"{name} {us / 1000:.2f} ms" for name, us in report["latency_us"].items())
    console.print(
        f"\n{report['transactions']} transactions in {report['seconds']} s, "
        f"{report['rate']} a second\nlatency  {latencies}"
    )
    lost = sum(report["replies_lost"].values())
    console.print(
        f"{lost} replies lost on purpose, {report['repeats']} messages repeated, "
        f"{report['unanswered']} unanswered, {report['outages']} links broken, "
        f"{report['disputed_batches']} batches disputed",
        soft_wrap=True,
    )
    if report["audited"]:
        same = report["audited"] - len(report["differences"])
        console.print(f"{same} of {report['audited']} balances are what the terminals believe")
    for terminal, kind in report["unknown_outcomes"].items():
        console.print(f"terminal {terminal} does not know what became of a {kind}", style="red")
    for why, count in Counter(report["failures"].values()).items():
        console.print(f"{count} terminals: {why}", style="red")
    for row in report["differences"][:DIFFERENCES_SHOWN]:
        console.print(f"{row['member']}: believed {row['believed']}, told {row['told']}")


# The chart.

_WIDTH, _HEIGHT, _MARGIN = 720, 300, 48
_BINS_A_DECADE: Final = 12


def chart(latencies_us: Sequence[int]) -> str:
    """The distribution of latencies as an SVG page: a bar a bin, bins on a logarithmic axis."""
    bins: dict[int, int] = {}
    for latency in latencies_us:
        place = math.floor(math.log10(max(latency, 1)) * _BINS_A_DECADE)
        bins[place] = bins.get(place, 0) + 1
    first, last = (min(bins), max(bins) + 1) if bins else (0, _BINS_A_DECADE)
    step = (_WIDTH - 2 * _MARGIN) / (last - first)
    most = max(bins.values(), default=1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<text x="{_MARGIN}" y="24" font-size="15">Latency of {len(latencies_us)} messages</text>',
    ]
    for place, count in sorted(bins.items()):
        height = count / most * (_HEIGHT - 2.4 * _MARGIN)
        left, top = _MARGIN + (place - first) * step, _HEIGHT - _MARGIN - height
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step - 1:.1f}" height="{height:.1f}" '
            'fill="#3b6ea5"/>'
        )
    parts += _marks(latencies_us, first, step)
    return "\n".join([*parts, "</svg>", ""])


def _marks(latencies_us: Sequence[int], first: int, step: float) -> Iterator[str]:
    """The axis, and a line for each quantile."""
    base = _HEIGHT - _MARGIN
    yield f'<path d="M{_MARGIN} {base}H{_WIDTH - _MARGIN}" stroke="#333"/>'
    for number, (name, us) in enumerate(quantiles(latencies_us).items()):
        x = _MARGIN + (math.log10(max(us, 1)) * _BINS_A_DECADE - first) * step
        y = base + 16 + 14 * (number % 2)
        yield f'<path d="M{x:.1f} 44V{base}" stroke="#c0392b" stroke-dasharray="3 3"/>'
        yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{name} {us / 1000:.2f} ms</text>'
