"""``counterfoil top``: the daemon at a glance, live, from its metrics.

Everything comes from the address that Prometheus scrapes, so it works from wherever that can be
reached and needs no rights on the data. Rates and latencies are those between two scrapes: a
`Sample` is one scrape, a `Sight` what two of them tell.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click
from prometheus_client.parser import text_string_to_metric_families
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clearing.console import REFUSED, Refusal, echo_json, json_option, stdout_console

DEFAULT: Final = "127.0.0.1:9583"
TIMEOUT_S: Final = 5
STAGES: Final = ("reply", "decode", "decide", "journal")
QUANTILES: Final = (0.5, 0.99, 0.999)
ROWS_MAX: Final = 12
ROWS_MIN: Final = 3
FRAME_LINES: Final = 12
"""Lines beside the rows of transactions and codes: the head, borders, sums."""
HOUR_S: Final = 3600
LATE_S: Final = 36 * HOUR_S
DECLINES_WATCHED: Final = 0.1
LAG_WATCHED_S: Final = 60

Labels = tuple[tuple[str, str], ...]
Values = dict[tuple[str, Labels], float]


@dataclass(slots=True)
class Sample:
    """One scrape.

    Attributes:
        at: wall clock in seconds.
        monotonic: seconds, for rates.
        values: by name and labels.
        reasons: why new work is answered 91.
    """

    at: float
    monotonic: float
    values: Values
    reasons: list[str]


@dataclass(slots=True)
class Sight:
    """What two scrapes tell.

    Attributes:
        rate: replies a second.
        transactions: transaction to replies a second, only those that occur.
        codes: response code to replies a second, approvals included.
        latencies: stage to seconds at `QUANTILES`; None where nothing happened.
        gauges: plain values by name, without the house's prefix.
        clearing: state of the newest run, empty for none.
        failed: checks that failed in the last verification.
        ages: backup, verify, sweep: seconds since; None for never.
        reasons: why new work is answered 91.
    """

    rate: float
    transactions: dict[str, float]
    codes: dict[str, float]
    latencies: dict[str, list[float] | None]
    gauges: dict[str, float]
    clearing: str
    failed: list[str]
    ages: dict[str, float | None]
    reasons: list[str]


def parse(text: str, at: float, monotonic: float, reasons: list[str]) -> Sample:
    """A scrape's text as a sample."""
    values = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name.startswith("counterfoil_")
    }
    return Sample(at, monotonic, values, reasons)


def scrape(address: str) -> Sample:
    """Ask a daemon.

    Raises:
        OSError: it does not answer.
    """
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as answer:
        text = answer.read().decode()
    reasons: list[str] = []
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=TIMEOUT_S):
            pass
    except urllib.error.HTTPError as answer:
        with answer:
            reasons = answer.read().decode().splitlines()
    return parse(text, time.time(), time.monotonic(), reasons)


def sight(before: Sample, now: Sample) -> Sight:
    """What happened between two scrapes, and how things stand at the second."""
    seconds = max(now.monotonic - before.monotonic, 1e-3)
    transactions: dict[str, float] = {}
    codes: dict[str, float] = {}
    gauges: dict[str, float] = {}
    clearing = ""
    failed: list[str] = []
    for (name, labels), value in now.values.items():
        told = dict(labels)
        if name == "counterfoil_replies_total":
            rate = _grown(before, name, labels, value) / seconds
            if rate:
                kind = told["transaction"]
                transactions[kind] = transactions.get(kind, 0) + rate
                codes[told["code"]] = codes.get(told["code"], 0) + rate
        elif name == "counterfoil_clearing_state" and value:
            clearing = told["state"]
        elif name == "counterfoil_verify_check_failed" and value:
            failed.append(told["check"])
        elif not labels:
            gauges[name.removeprefix("counterfoil_")] = value
    ages = {}
    for what in ("backup", "verify", "sweep"):
        then = gauges.get(f"{what}_timestamp_seconds", 0)
        ages[what] = now.at - then if then else None
    latencies = {stage: _quantiles(before, now, f"counterfoil_{stage}_seconds") for stage in STAGES}
    rate = sum(transactions.values())
    reasons = now.reasons
    return Sight(rate, transactions, codes, latencies, gauges, clearing, failed, ages, reasons)


def _grown(before: Sample, name: str, labels: Labels, value: float) -> float:
    """How much a counter grew; all of it after the daemon was started anew."""
    old = before.values.get((name, labels), 0)
    return value - old if value >= old else value


def _quantiles(before: Sample, now: Sample, name: str) -> list[float] | None:
    """Bounds under which parts of the durations lie; the bucket's upper bound, so at most."""
    bounds = sorted(
        (float(dict(labels)["le"]), _grown(before, found, labels, value))
        for (found, labels), value in now.values.items()
        if found == f"{name}_bucket"
    )
    whole = bounds[-1][1] if bounds else 0
    if not whole:
        return None
    return [next(bound for bound, count in bounds if count >= part * whole) for part in QUANTILES]


# Drawing.


def draw(seen: Sight, address: str, height: int | None = None) -> Group:
    """The whole view, on a terminal of so many lines; on paper, which has no end, for None."""
    ready = Text("ready", "bold green")
    if seen.reasons:
        ready = Text("answering 91: " + "; ".join(seen.reasons), "bold red")
    head = Text.assemble(("Counterfoil ", "bold"), (f"{address}  ", "dim"), ready)
    counter = _counter(seen, *_rows(len(seen.codes), height))
    jobs = Group(_times(seen), _book(seen), _night(seen))
    return Group(head, Columns([counter, jobs], padding=(0, 1)))


def _rows(codes: int, height: int | None) -> tuple[int, int]:
    """How many transactions and codes are shown: the most frequent ones that find room."""
    if height is None:
        return ROWS_MAX, ROWS_MAX
    room = height - FRAME_LINES
    codes = min(codes, ROWS_MAX, max(room // 3, ROWS_MIN))
    return min(ROWS_MAX, max(room - codes, ROWS_MIN)), codes


def _grid(title: str, headings: tuple[str, ...], rows: list[tuple[Text | str, ...]]) -> Panel:
    table = Table(box=None, padding=(0, 1), show_header=any(headings))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return Panel(table, title=title, title_align="left", expand=False, border_style="dim")


def _counter(seen: Sight, kinds_max: int, codes_max: int) -> Group:
    online, open_ = (int(seen.gauges.get(name, 0)) for name in ("terminals_online", "connections"))
    kinds = sorted(seen.transactions.items(), key=lambda one: -one[1])
    rows: list[tuple[Text | str, ...]] = [
        (name.replace("_", " "), f"{rate:,.1f}") for name, rate in kinds[:kinds_max]
    ]
    rest = sum(rate for _, rate in kinds[kinds_max:])
    if rest:
        rows.append(("others", f"{rest:,.1f}"))
    rows.append((Text("all", "bold"), Text(f"{seen.rate:,.1f}", "bold")))
    codes: list[tuple[Text | str, ...]] = []
    for code, rate in sorted(seen.codes.items(), key=lambda one: -one[1])[:codes_max]:
        part = rate / seen.rate
        watched = code != "00" and part > DECLINES_WATCHED
        style = "green" if code == "00" else "red" if watched else ""
        codes.append((Text(code, style), f"{rate:,.1f}", Text(f"{part:.1%}", style)))
    where = _grid("Terminals", ("", ""), [("online", f"{online:,}"), ("connections", f"{open_:,}")])
    return Group(
        where, _grid("Replies a second", ("", ""), rows), _grid("Codes", ("", "/s", "part"), codes)
    )


def _times(seen: Sight) -> Panel:
    rows: list[tuple[Text | str, ...]] = []
    for stage, told in seen.latencies.items():
        shown = [_duration(value) for value in told] if told is not None else ["-"] * len(QUANTILES)
        rows.append((stage, *shown))
    return _grid("Time, at most", ("", "p50", "p99", "p99.9"), rows)


def _book(seen: Sight) -> Panel:
    gauge = seen.gauges.get
    lag = gauge("follower_lag_seconds", 0)
    full = gauge("overlay_records", 0) / max(gauge("overlay_records_max", 1), 1)
    alive = Text("runs", "green") if gauge("follower_alive") else Text("down", "bold red")
    behind = Text(f"{lag:,.0f} s", "red" if lag > LAG_WATCHED_S else "")
    disk = Text(f"{gauge('disk_free_bytes', 0) / 2**30:,.1f} GiB", _bad(gauge("disk_low")))
    return _grid(
        "Journal and tables",
        ("", ""),
        [
            ("newest entry", f"{gauge('sequence', 0):,.0f}"),
            ("entries a group", f"{gauge('group_entries', 0):,.0f}"),
            ("follower", alive),
            ("tables behind", behind),
            ("overlay", f"{full:.0%}"),
            ("disk free", disk),
        ],
    )


def _night(seen: Sight) -> Panel:
    behind = int(seen.gauges.get("clearing_behind_dates", 0))
    rows: list[tuple[Text | str, ...]] = [
        ("newest run", Text(seen.clearing or "-", _bad(seen.clearing == "FAILED"))),
        ("dates not released", Text(str(behind), "yellow" if behind else "")),
    ]
    for what, age in seen.ages.items():
        told = Text("never", "yellow")
        if age is not None:
            told = Text(f"{age / HOUR_S:,.1f} h ago", _bad(age > LATE_S))
        rows.append((what, told))
    rows.append(("failed checks", Text(", ".join(seen.failed) or "none", _bad(seen.failed))))
    return _grid("Night", ("", ""), rows)


def _bad(holds: Any) -> str:
    return "bold red" if holds else ""


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "> 8 s"
    for unit, scale in (("s", 1), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


# The command.


def _as_data(seen: Sight) -> dict[str, Any]:
    names = [f"p{part * 100:g}" for part in QUANTILES]
    return {
        "ready": not seen.reasons,
        "reasons": seen.reasons,
        "replies_per_second": round(seen.rate, 3),
        "transactions": {name: round(rate, 3) for name, rate in seen.transactions.items()},
        "codes": {code: round(rate, 3) for code, rate in seen.codes.items()},
        "seconds_at_most": {
            stage: None
            if told is None
            else {
                name: None if value == float("inf") else value
                for name, value in zip(names, told, strict=True)
            }
            for stage, told in seen.latencies.items()
        },
        "clearing": seen.clearing or None,
        "failed_checks": seen.failed,
        "age_seconds": seen.ages,
        "gauges": seen.gauges,
    }


@click.command("top")
@click.argument("address", metavar="[HOST:PORT]", default=DEFAULT)
@click.option("--once", is_flag=True, help="Two scrapes, one view, and the end.")
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    metavar="S",
    help="Seconds between two scrapes.",
)
@json_option
def command(address: str, *, once: bool, interval: float, as_json: bool) -> None:
    """Show the daemon live, from its metrics address. --json implies --once.

    Exit status 1 of --once: the daemon does not answer, or answers terminals 91.
    """
    try:
        before = scrape(address)
    except (OSError, ValueError) as error:
        raise Refusal(
            f"no daemon tells metrics at {address} ({_why(error)}): name its address"
        ) from None
    if once or as_json:
        time.sleep(interval)
        try:
            seen = sight(before, scrape(address))
        except (OSError, ValueError) as error:
            raise Refusal(f"the daemon at {address} went away ({_why(error)})") from None
        if as_json:
            echo_json(_as_data(seen))
        else:
            stdout_console().print(draw(seen, address))
        if seen.reasons:
            raise click.exceptions.Exit(REFUSED)
        return
    _watch(address, before, interval, Console(), lambda: True)


def _watch(
    address: str, before: Sample, interval: float, console: Console, going: Callable[[], bool]
) -> None:
    """Draw until interrupted; a daemon that is away is waited for."""
    view: Group | Text = draw(sight(before, before), address, console.height)
    with Live(view, console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while going():
                live.update(view, refresh=True)
                time.sleep(interval)
                try:
                    now = scrape(address)
                except (OSError, ValueError) as error:
                    view = Text(f"{address} does not answer ({_why(error)})", "bold red")
                    continue
                view, before = draw(sight(before, now), address, console.height), now
        except KeyboardInterrupt:
            return


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)
