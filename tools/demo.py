"""`python -m tools.demo`: a business day of a small alliance in about a minute and a half.

It makes a data directory with sample data, starts the daemon as a process, plays a few scenes
(`tools.demo_scenes`), lets forty terminals trade on bad lines, kills the daemon with `kill -9`
while they do, starts it again, does the night's work, and then holds everything against everything:
each member's balance and each merchant's points against what the terminals believe, the audit
checks, and the replay of the day into a second directory. It ends with a summary that is printed
and kept as text and as a page. Exit status 1 if anything differs.

All of it goes through the command line that an operator has; only the points of merchants are read
from a snapshot of the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ledger import schema
from ledger.codec import unpack_row
from ledger.tables import Snapshot
from tools.demo_night import Night, about_night, about_sweeps, clear_night
from tools.demo_page import Section, Summary, as_html, as_text
from tools.demo_scenes import Scenes, about_scenes, load_scenes, play_scenes

FOLDER: Final = Path("var/demo")
MARK: Final = "made-by-counterfoil-demo"
TRANSACTIONS: Final = 30_000
DROP, REPEAT = 0.03, 0.03
AFTERNOON_RATE: Final = 300
AFTERNOON_S: Final = 8.0
DOWN_S: Final = 1.0
READY_S: Final = 30.0
PROGRESS_S: Final = 0.2
COMMAND_S: Final = 120.0

CODES: Final = {
    "00": "approved",
    "12": "invalid transaction",
    "14": "no such card or member",
    "25": "original not found",
    "34": "too many guesses",
    "41": "card reported lost",
    "51": "not enough points or value",
    "54": "expired, or a hold that timed out",
    "55": "wrong PIN, or none where one is asked for",
    "57": "not allowed here",
    "61": "over or under a limit",
    "62": "card blocked",
    "64": "amount does not match",
    "65": "too often",
    "75": "PIN locked",
    "76": "coupon unknown",
    "77": "sign on first",
    "78": "coupon already used",
    "80": "stock or budget used up",
    "91": "host cannot take it now",
    "94": "duplicate identity",
    "95": "totals differ",
}
ON_THE_LINE: Final = frozenset({"sign-on", "sign-off", "echo", "download"})
"""Messages that are no business of a customer."""


class DemoFailed(Exception):
    """The demonstration cannot go on; one sentence or what a command said."""


@dataclass
class Day:
    """What is found out while the day goes on.

    Attributes:
        reports, books: What `counterfoil simulate` said and wrote, one a run.
        killed_at: Transactions done when the daemon was killed.
        down_s: How long it was away.
        sequence, digest, replayed: What `verify` said of the day and of its replay.
        checks: Names of checks to their state.
        merchants: Merchant, program, what; believed and booked points.
        opening_differs: Members whose first balance was not the one loaded.
        faults: Sentences on what was wrong; empty at best.
        night: What came of the night; None before.
        scenes: What single customers met.
    """

    reports: list[dict[str, Any]] = field(default_factory=list)
    books: list[dict[str, Any]] = field(default_factory=list)
    killed_at: int = 0
    down_s: float = 0.0
    sequence: int = 0
    digest: str = ""
    replayed: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    merchants: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    opening_differs: int = 0
    faults: list[str] = field(default_factory=list)
    night: Night | None = None
    scenes: Scenes = field(default_factory=Scenes)


class Daemon:
    """`counterfoil serve` as a process."""

    def __init__(self, directory: Path, log: Path) -> None:
        self._directory, self._log = directory, log
        self._process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        """Start and wait until it is ready; a restart takes the same address."""
        listen = ("--listen", self.address, "--metrics", "127.0.0.1:0")
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                _command("serve", self._directory, *listen),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        words: list[str] = []
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        reader = Thread(target=_read_words, args=(self._process.stdout, words), daemon=True)
        reader.start()
        reader.join(READY_S)
        if words[:1] != ["ready"]:
            self.kill()
            raise DemoFailed(f"the daemon did not start; see {self._log}")
        self.address = words[1]

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and wait for an orderly end."""
        if self._process is None:
            return
        self._process.terminate()
        status = self._process.wait(READY_S)
        self._process = None
        if status:
            raise DemoFailed(f"the daemon ended with status {status}; see {self._log}")


def _read_words(stream: Any, words: list[str]) -> None:
    words.extend(stream.readline().split())


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tools", *map(str, arguments)]


def counterfoil(*arguments: object, wrong: bool = False) -> str:
    """Run a command; returns its output.

    Args:
        arguments: After `counterfoil`.
        wrong: Accept exit status 1, which says that something was found wrong.

    Raises:
        DemoFailed: It failed.
    """
    done = subprocess.run(
        _command(*arguments), capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    if done.returncode and not (wrong and done.returncode == 1):
        said = (done.stderr or done.stdout).strip()
        raise DemoFailed(f"counterfoil {arguments[0]} failed: {said}")
    return done.stdout


# The day.


def live(
    folder: Path, transactions: int, afternoon_s: float, console: Console, *, wait: bool
) -> Day:
    """Go through the day; returns what was found.

    Args:
        folder: Where everything goes.
        transactions: How many there are in the morning.
        afternoon_s: How long the afternoon lasts.
        console: Where progress is shown.
        wait: Wait until the hold that is forgotten has timed out.
    """
    day = Day()
    data = folder / "data"
    fleet = data / "sample" / "fleet.json"
    daemon = Daemon(data, folder / "serve.log")

    def step(sentence: str) -> None:
        console.print(f"[green]done[/] {sentence}")

    counterfoil("init", data, "--demo")
    tmk = load_scenes(counterfoil, data, folder)
    step("a data directory with 15 merchants, 41 terminals and 1002 members")
    try:
        daemon.start()
        step(f"the daemon listens on {daemon.address}")
        day.scenes = play_scenes(daemon.address, tmk)
        day.faults += day.scenes.faults
        step("a tier, a limit, holds, a lost card and a coupon: one till")
        _morning(day, daemon, folder, fleet, transactions, console)
        step(f"{transactions} transactions on bad lines, daemon killed and back after the half")
        _afternoon(day, daemon, folder, fleet, afternoon_s, console)
        step(f"{afternoon_s:g} s at {AFTERNOON_RATE} transactions a second on good lines")
        day.books.append(day.scenes.books)
        if wait:
            _wait_for_hold(day, console)
        closed = json.loads(counterfoil("cutoff", data, "--json"))["closed"]
        step("the business date is closed, before its hour")
        day.night = clear_night(counterfoil, data, folder / "settlement", closed)
        day.faults += day.night.faults
        if wait and not day.night.sweeps.get("holds"):
            day.faults.append("the hold that was forgotten was not swept")
        if not day.night.sweeps.get("points"):
            day.faults.append("points that had run out were not swept")
        step("the night: swept, netted, filed, checked and released")
        daemon.stop()
    finally:
        daemon.kill()
    _judge(day, data, folder)
    step("balances, merchants, audit checks and replay compared")
    return day


def _wait_for_hold(day: Day, console: Console) -> None:
    """Let the minute of the forgotten hold pass."""
    whole = day.scenes.wait_s()
    with Bar(console, "a hold times out", max(int(whole), 1)) as shown:
        while (left := day.scenes.wait_s()) > 0:
            shown.tell(int(whole - left))
            time.sleep(min(left, PROGRESS_S))


def _morning(
    day: Day, daemon: Daemon, folder: Path, fleet: Path, transactions: int, console: Console
) -> None:
    """Closed loop on bad lines; half way the daemon is killed and started again."""

    def watch(started: int) -> None:
        if day.killed_at or started < transactions // 2:
            return
        day.killed_at = started
        daemon.kill()
        begun = time.monotonic()
        time.sleep(DOWN_S)
        daemon.start()
        day.down_s = time.monotonic() - begun

    options = ("--transactions", transactions, "--drop-replies", DROP, "--repeat", REPEAT)
    with Bar(console, "morning", transactions) as shown:
        _simulate(day, daemon, folder / "morning", fleet, options, [shown.tell, watch])
    if not day.killed_at:
        day.faults.append("the day was over before the daemon was killed")


def _afternoon(
    day: Day, daemon: Daemon, folder: Path, fleet: Path, seconds: float, console: Console
) -> None:
    """Open loop at a fixed rate on good lines, for latencies that mean something."""
    options = ("--rate", AFTERNOON_RATE, "--seconds", seconds, "--seed", 2)
    with Bar(console, "afternoon", int(AFTERNOON_RATE * seconds)) as shown:
        _simulate(day, daemon, folder / "afternoon", fleet, options, [shown.tell])


class Bar:
    """Progress of a run on the console."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        columns = (TextColumn("     {task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, started: int) -> None:
        """Show how many transactions there were."""
        self._progress.update(self._task, completed=started)


def _simulate(
    day: Day,
    daemon: Daemon,
    name: Path,
    fleet: Path,
    options: tuple[object, ...],
    watchers: list[Callable[[int], None]],
) -> None:
    """Run the fleet as a process of its own; watchers are told how many transactions there were."""
    books = name.with_suffix(".books.json")
    arguments = ("--fleet", fleet, "--audit", "--json", "--progress", "--books", books)
    process = subprocess.Popen(
        _command("simulate", daemon.address, *arguments, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    assert process.stderr is not None  # noqa: S101 - asked for above
    said = []
    try:
        for line in process.stderr:
            if not line.startswith("{"):
                said.append(line)
                continue
            for watch in watchers:
                watch(json.loads(line)["started"])
        output = process.stdout.read()
    finally:
        process.kill()
        process.wait()
    try:
        day.reports.append(json.loads(output))
        day.books.append(json.loads(books.read_text("utf-8")))
    except (ValueError, OSError):
        raise DemoFailed(f"the fleet broke down: {''.join(said)[-2000:]}") from None


# The judgement.


def _judge(day: Day, data: Path, folder: Path) -> None:
    """Compare everything that can be compared, and note every fault."""
    for report in day.reports:
        _judge_run(day, report)
    _judge_opening(day, json.loads((data / "sample" / "fleet.json").read_text("utf-8")))
    _judge_merchants(day, data)
    verified = json.loads(counterfoil("verify", data, "--json", wrong=True))
    day.sequence, day.digest = verified["sequence"], verified["digest"]
    day.checks = {check["name"]: check["state"] for check in verified["checks"]}
    day.faults += [
        f"check {name} failed" for name, state in day.checks.items() if state == "failed"
    ]
    again = folder / "again"
    counterfoil("replay", data, "--into", again)
    day.replayed = json.loads(counterfoil("verify", again, "--json", wrong=True))["digest"]
    if day.replayed != day.digest:
        day.faults.append("the replay of the day came to another digest")


def _judge_run(day: Day, report: dict[str, Any]) -> None:
    for key, what in (
        ("differences", "members' balances are not what the terminals believe"),
        ("unknown_outcomes", "terminals do not know an outcome"),
        ("failures", "terminals could not go on"),
    ):
        if report[key]:
            day.faults.append(f"{len(report[key])} {what}")
    for key, what in (
        ("repeats_differing", "repeats were answered otherwise than at first"),
        ("reversals_refused", "reversals were refused"),
        ("disputed_batches", "batches closed with other totals than the host's"),
        ("replies_not_believed", "replies had a wrong MAC"),
    ):
        if report[key]:
            day.faults.append(f"{report[key]} {what}")


def _judge_opening(day: Day, fleet: dict[str, Any]) -> None:
    """What the members had before the first transaction is what was loaded."""
    opening = day.books[0]["opening"]
    for member in fleet["members"]:
        day.opening_differs += opening.get(member["id"]) != member["balances"]
    if day.opening_differs:
        day.faults.append(f"{day.opening_differs} opening balances are not the ones loaded")


def _judge_merchants(day: Day, data: Path) -> None:
    """Points given and taken at each merchant: what the tills believe, what the ledger holds."""
    believed: Counter[tuple[str, str, str]] = Counter()
    for books in day.books:
        for merchant, programs in books["merchants"].items():
            for program, row in programs.items():
                for what, points in row.items():
                    believed[merchant, program, what] += points
    booked = merchant_points(data)
    for key in sorted(believed.keys() | booked.keys()):
        day.merchants[key] = believed[key], booked[key]
    wrong = sum(ours != theirs for ours, theirs in day.merchants.values())
    if wrong:
        day.faults.append(f"{wrong} totals of merchants are not what the terminals believe")


def merchant_points(data: Path) -> Counter[tuple[str, str, str]]:
    """Merchant, program and `issued` or `redeemed` to points, out of the ledger's accounts."""
    points: Counter[tuple[str, str, str]] = Counter()
    with Snapshot(data) as snapshot:
        for kind, place, sign in (("issued", 2, -1), ("redeemed", 3, 1)):
            for key, packed in snapshot.rows(schema.balance(f"{kind.capitalize()}:")):
                parts = schema.balance_account(key).split(":")
                points[parts[place], parts[1], kind] += sign * unpack_row(key, packed)
    return points


# The summary.


def summary_of(day: Day, folder: Path, seconds: float) -> Summary:
    """Tell a newcomer what happened."""
    transactions = sum(report["transactions"] for report in day.reports)
    audited = sum(report["audited"] for report in day.reports)
    if day.faults:
        verdict = f"Something is wrong: {'; '.join(day.faults)}."
    else:
        verdict = (
            f"{transactions:,} transactions, one daemon killed in the middle, "
            f"{_lost(day):,} replies lost: each of {audited:,} balances asked for is what the "
            f"terminals believe, to the point. It took {seconds:.0f} seconds."
        )
    sections = (
        about_scenes(day.scenes),
        _about_transactions(day),
        _about_faults(day),
        _about_comparison(day),
        _about_latency(day),
        *([about_sweeps(day.night), about_night(day.night)] if day.night is not None else []),
        _about_files(folder),
    )
    return Summary("Counterfoil: a business day, tried out", verdict, not day.faults, sections)


def _lost(day: Day) -> int:
    return sum(sum(report["replies_lost"].values()) for report in day.reports)


def _counts(day: Day) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for report in day.reports:
        for kind, codes in report["codes"].items():
            for code, count in codes.items():
                counts[kind, code] += count
    return counts


def _about_transactions(day: Day) -> Section:
    counts = _counts(day)
    rows = []
    for kind in sorted({kind for kind, _ in counts} - ON_THE_LINE, key=str.lower):
        declines = [
            f"{code} {CODES.get(code, 'declined')}: {count:,}"
            for (each, code), count in sorted(counts.items())
            if each == kind and code != "00"
        ]
        rows.append((kind, f"{counts[kind, '00']:,}", "; ".join(declines)))
    text = (
        "Forty terminals, each with customers of its own choice. Members earned points for sales"
        " (accrual) and for other things (reward, referral), paid with them (redemption), with"
        " stored value (purchase) or with coupons, took gifts, gave points to others (transfer) and"
        " changed them (conversion, exchange). Tills undid sales of the same batch (void), gave"
        " back parts of older ones (refund), set points aside (hold) and spent them later"
        " (capture). A decline is an answer too."
    )
    head = ("message", "approved", "declined")
    return Section("What happened at the counter", text, head, tuple(rows))


def _about_faults(day: Day) -> Section:
    morning = day.reports[0]
    counts = _counts(day)
    reversals = {code: count for (kind, code), count in counts.items() if kind == "reversal"}
    text = (
        "A terminal that gets no answer cannot know whether its sale was booked. It either takes "
        "it back (reversal) or sends it again (repeat) before it does anything else, and the host "
        "must get both right, also when it died in between."
    )
    rows = (
        ("replies lost on purpose", f"{_lost(day):,}"),
        ("messages repeated until answered", f"{_sum(day, 'repeats'):,}"),
        ("repeats answered otherwise than at first", f"{_sum(day, 'repeats_differing'):,}"),
        (
            "reversals that undid a booked transaction, or one declined",
            f"{reversals.get('00', 0):,}",
        ),
        ("reversals of what had never arrived", f"{reversals.get('25', 0):,}"),
        ("daemon killed (kill -9) after transactions", f"{day.killed_at:,}"),
        ("links that broke when it died", f"{morning['outages']:,}"),
        ("messages that it left unanswered", f"{morning['unanswered']:,}"),
        ("milliseconds until it was back, recovered", f"{day.down_s * 1000:,.0f}"),
        ("outcomes still unknown at the end", f"{_unknown(day):,}"),
    )
    return Section("What was broken on purpose", text, (), rows)


def _sum(day: Day, key: str) -> int:
    return sum(report[key] for report in day.reports)


def _unknown(day: Day) -> int:
    return sum(len(report["unknown_outcomes"]) for report in day.reports)


def _about_comparison(day: Day) -> Section:
    members = tuple(
        (f"members' balances equal {when}", f"{_same(report):,} of {report['audited']:,}")
        for when, report in zip(("after the morning", "at the end"), day.reports, strict=False)
    )
    merchants = sum(ours == theirs for ours, theirs in day.merchants.values())
    passed = sum(state != "failed" for state in day.checks.values())
    settled = _counts(day)["settlement", "00"]
    replayed = "the same digest" if day.replayed == day.digest else "ANOTHER digest"
    text = (
        "Each terminal kept books of its own from nothing but the replies it saw. They are held "
        "against the host's."
    )
    rows = (
        *members,
        ("merchants' points issued and redeemed equal", f"{merchants} of {len(day.merchants)}"),
        ("batches settled with equal totals", f"{settled:,}"),
        ("audit checks passed", f"{passed} of {len(day.checks)}"),
        ("entries in the journal", f"{day.sequence:,}"),
        ("replayed through the rules from the start", replayed),
        ("digest", day.digest),
    )
    return Section("What was compared", text, (), rows)


def _same(report: dict[str, Any]) -> int:
    same: int = report["audited"] - len(report["differences"])
    return same


def _about_latency(day: Day) -> Section:
    rows = tuple(
        (name, f"{report['rate']:,.0f}", *(_ms(report["latency_us"].get(q)) for q in _QUANTILES))
        for name, report in zip(("morning, bad lines", "afternoon"), day.reports, strict=False)
    )
    text = (
        "From sending to the reply, terminals and daemon on this machine. The morning includes the "
        "time around the kill. The afternoon is sent on a fixed schedule and counted from it."
    )
    head = ("", "a second", *_QUANTILES)
    return Section("How fast it was (milliseconds)", text, head, rows)


_QUANTILES: Final = ("p50", "p99", "p99.9", "max")


def _ms(microseconds: int | None) -> str:
    return "" if microseconds is None else f"{microseconds / 1000:,.2f}"


def _about_files(folder: Path) -> Section:
    rows = (
        (str(folder / "data"), "the data directory: journal, tables, configuration"),
        (str(folder / "data" / "sample"), "what was loaded, and the fleet"),
        (str(folder / "again"), "the same day, replayed"),
        (str(folder / "settlement"), "the files of the cleared date"),
        (str(folder / "morning.books.json"), "what the terminals believe"),
        (str(folder / "serve.log"), "what the daemon logged"),
        (str(folder / "summary.html"), "this page"),
    )
    text = f"Look around with `counterfoil show {folder / 'data'} member M0000001`."
    return Section("What is left to look at", text, (), rows)


# The command.


def clear(folder: Path) -> None:
    """Make the folder empty, if a former demonstration made it.

    Raises:
        DemoFailed: It holds something else.
    """
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise DemoFailed(f"{folder} was not made by a demonstration: move it away")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


@click.command()
@click.option("--folder", default=FOLDER, show_default=True, type=click.Path(path_type=Path))
@click.option("--transactions", default=TRANSACTIONS, show_default=True, help="In the morning.")
@click.option("--afternoon", default=AFTERNOON_S, show_default=True, help="Seconds.")
@click.option(
    "--wait/--no-wait", default=True, help="For the minute that a hold takes to time out."
)
def main(folder: Path, transactions: int, afternoon: float, *, wait: bool) -> None:
    """Live through a business day and compare everything at its end."""
    console = Console()
    os.environ.pop("COUNTERFOIL_KEY", None)  # the demonstration has a key file of its own
    begun = time.monotonic()
    try:
        clear(folder)
        day = live(folder, transactions, afternoon, console, wait=wait)
    except DemoFailed as error:
        raise click.ClickException(str(error)) from None
    summary = summary_of(day, folder, time.monotonic() - begun)
    text = as_text(summary)
    (folder / "summary.txt").write_text(text, "utf-8")
    (folder / "summary.html").write_text(as_html(summary), "utf-8")
    print(f"\n{text}")
    sys.exit(0 if summary.good else 1)


if __name__ == "__main__":
    main()
