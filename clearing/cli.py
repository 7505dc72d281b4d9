"""``counterfoil clear``: close a day, look, release, confirm, resolve.

``counterfoil clear DIR --date D --out FOLDER`` clears; any other word behind ``clear`` is a step of
its own. A directory that is called like one is named ``./status``. Sentences are for settlement
staff; ``--json`` gives the same as data. Exit status 0 done, 1 refused or found wrong, 2 wrong
usage.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clearing import matching, partner, paying
from clearing.bank import Unreadable
from clearing.calendar import NotCovered, check_coverage
from clearing.day import NICE, NotCut, first_date, spoken
from clearing.files.folder import Refused as FolderRefused
from clearing.files.settlement import Unwritable
from clearing.model import Inconsistent
from clearing.netting import DoesNotHold
from clearing.run import (
    WORKERS,
    ClearingRefused,
    Options,
    Result,
    clear,
    clearing_lock,
    newest_run,
    release,
)
from clearing.validate import validate
from engine.directory import open_vault, require_directory
from engine.records import CALENDAR, Calendar
from engine.rules.clearing import ResolveDiscrepancy
from engine.submit import Submitter
from engine.terms import add_days
from ledger.tables import Snapshot

REFUSED: Final = 1
STATUS_DATES: Final = 14
FINDINGS_SHOWN: Final = 50

ERRORS: Final = (
    ClearingRefused,
    DoesNotHold,
    FolderRefused,
    Inconsistent,
    NotCovered,
    NotCut,
    Unreadable,
    Unwritable,
    partner.NotAPartnerFile,
)
"""Errors whose text is a sentence for settlement staff."""

directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
date_option = click.option(
    "--date", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Business date."
)
key_option = click.option("--key", type=click.Path(path_type=Path), help="Key file.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Refusal(click.ClickException):
    """A refusal in one sentence; exit status 1."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the sentence alone."""
        click.echo(f"counterfoil: {self.message}", err=True, file=file)


class ClearGroup(click.Group):
    """The group: what is no step of its own is a directory to be cleared."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the step ``run`` before arguments that name none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a step; known errors become their sentence."""
        try:
            return super().invoke(ctx)
        except ERRORS as error:
            raise Refusal(str(error)) from error


@click.group("clear", cls=ClearGroup)
def command() -> None:
    """Close a business date: net, write files, release, confirm.

    `counterfoil clear DIR --date D --out FOLDER` clears the date and those missed before it, up to
    their files; `counterfoil clear run --help` tells its options.
    """


def _number(date: datetime) -> int:
    return int(date.strftime("%Y%m%d"))


def yuan(fen: int) -> str:
    """An amount of money for people: yuan with two decimals."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole:,}.{rest:02}"


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _print(table: Table) -> None:
    width = None if sys.stdout.isatty() else 160
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


@contextmanager
def _working(options: Options) -> Iterator[Options]:
    """Yield to whoever answers terminals, and show how far the work is."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, before))
    try:
        if not sys.stderr.isatty():
            yield options
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=None)

            def show(what: str, done: int, whole: int) -> None:
                bar.update(task, description=what, completed=done, total=whole or None)

            options.progress = show
            yield options
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


# Clearing.


@command.command("run")
@directory_argument
@date_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of its own.")
@click.option("--release", "then_release", is_flag=True, help="Release as well.")
@click.option("--correct", default="", metavar="WHY", help="Replace the run that is filed.")
@click.option("--value-date", type=click.DateTime(["%Y-%m-%d"]), help="In place of the calendar's.")
@click.option(
    "--encoding",
    type=click.Choice(["utf-8-sig", "gb18030"]),
    default="utf-8-sig",
    show_default=True,
    help="Of the parties' CSV.",
)
@click.option("--workers", type=click.IntRange(1, 16), default=WORKERS, show_default=True)
@key_option
@json_option
def run_command(
    directory: Path, date: datetime, out: Path, *, then_release: bool, as_json: bool, **said: Any
) -> None:
    """Clear a date, and before it the dates that were missed, up to their files.

    The files of the date go into FOLDER, those of missed dates into folders beside it with the date
    behind the name. Run again it continues where it was interrupted, or writes the same files.
    """
    day = _number(date)
    pay_on = _number(said["value_date"]) if said["value_date"] else 0
    warning = check_coverage(day) if not pay_on else ""
    options = Options(
        said["key"], said["workers"], said["encoding"], said["correct"].strip(), pay_on
    )
    with _working(options):
        results = clear(directory, day, out, options)
        if then_release:
            for result in results:
                if result.begun.run.state != "CONFIRMED":
                    release(directory, result.begun.date, options)
                    result.begun = _begun_now(directory, result)
    if warning:
        click.echo(f"counterfoil: {warning}", err=True)
    if as_json:
        _echo_json([result_data(result) for result in results])
        return
    for result in results:
        _print_result(result)


def _begun_now(directory: Path, result: Result) -> Any:
    with Snapshot(directory) as snapshot:
        known = newest_run(snapshot, result.begun.date)
    if known is not None:
        result.begun.run = known[1]
    return result.begun


def result_data(result: Result) -> dict[str, Any]:
    """What a cleared date came to, as `--json` tells it."""
    day = result.day
    return {
        "date": day.date,
        "run": day.run,
        "state": result.begun.run.state,
        "supersedes": day.supersedes,
        "value_date": day.value_date,
        "entries": [day.first_sequence, day.last_sequence],
        "folder": str(result.folder),
        "repeated": result.repeated,
        "parties": [
            {
                "id": party.id,
                "name": party.name,
                "lines": party.lines,
                "net_fen": party.net,
                "carried_in_fen": party.carried_in,
                "payable_fen": party.payable,
                "carried_forward_fen": party.carried_forward,
                "collect_fen": party.collect,
            }
            for party in day.parties
        ],
        "programs": [asdict(program) for program in day.programs],
        "exceptions": len(day.exceptions),
    }


def _print_result(result: Result) -> None:
    day = result.day
    table = Table(title=f"{spoken(day.date)}, run {day.run}: {result.begun.run.state}")
    for name, justify in (
        ("merchant 商户", "left"),
        ("name 名称", "left"),
        ("lines 笔数", "right"),
        ("net 净额", "right"),
        ("carried in 上期结转", "right"),
        ("payable 应付", "right"),
        ("carried forward 结转下期", "right"),
        ("to collect 应收", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    moved = [party for party in day.parties if party.lines or party.carried_in or party.net]
    for party in moved[:_PARTIES_SHOWN]:
        table.add_row(
            party.id,
            party.name,
            f"{party.lines:,}",
            yuan(party.net),
            yuan(party.carried_in),
            yuan(party.payable),
            yuan(party.carried_forward),
            yuan(party.collect),
        )
    _print(table)
    idle = len(day.parties) - len(moved)
    more = (
        f"{len(moved) - _PARTIES_SHOWN} more are in the files; " if moved[_PARTIES_SHOWN:] else ""
    )
    click.echo(
        f"{more}{idle} of {len(day.parties)} parties without movement; to pay"
        f" {yuan(sum(party.payable for party in day.parties))} on {spoken(day.value_date)};"
        f" {len(day.exceptions)} exceptions"
    )
    again = "the same files as before" if result.repeated else "files"
    click.echo(f"{again}: {result.folder}")


_PARTIES_SHOWN: Final = 40


@command.command("status")
@directory_argument
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="One date, else the latest ones.")
@click.option("--unconfirmed", is_flag=True, help="Payments that the bank has not confirmed.")
@json_option
def status_command(
    directory: Path, date: datetime | None, *, unconfirmed: bool, as_json: bool
) -> None:
    """Tell how business dates stand: OPEN, CUT, … CONFIRMED, or FAILED and why."""
    require_directory(directory)
    with Snapshot(directory) as snapshot:
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        today = calendar.date if calendar is not None else 0
        if unconfirmed:
            _show_unpaid(paying.unpaid(snapshot, today), as_json=as_json)
            return
        rows = _states(snapshot, _number(date) if date else 0, today)
    if as_json:
        _echo_json(rows)
        return
    table = Table(title="Business dates 营业日")
    for name in ("date", "state", "run", "to post", "posted", "unconfirmed", "value date", "why"):
        table.add_column(name)
    for row in rows:
        table.add_row(*[str(value) for value in row.values()])
    _print(table)


def _states(snapshot: Snapshot, date: int, today: int) -> list[dict[str, Any]]:
    """A row for each date, ascending."""
    first = first_date(snapshot)
    if not today or not first:
        return []
    if date:
        dates = [date]
    else:
        start = max(first, add_days(today, 1 - STATUS_DATES))
        dates = [start]
        while dates[-1] < today:
            dates.append(add_days(dates[-1], 1))
    rows = []
    for each in dates:
        if not first <= each:
            raise NotCut(f"{spoken(each)} is before the first business date of this ledger")
        known = newest_run(snapshot, each)
        row: dict[str, Any] = {"date": spoken(each), "state": "CUT" if each < today else "OPEN"}
        row |= dict.fromkeys(("run", "expected", "posted", "unconfirmed", "value_date", "text"), "")
        if known is not None:
            number, run = known
            row |= {"state": run.state, "run": number, "expected": run.expected}
            row |= {"posted": run.posted, "unconfirmed": run.unconfirmed, "text": run.text}
            row["value_date"] = spoken(run.value_date)
        rows.append(row)
    return rows


def _show_unpaid(found: list[paying.Unpaid], *, as_json: bool) -> None:
    if as_json:
        _echo_json([asdict(one) for one in found])
        return
    table = Table(title="Payments not confirmed 未确认付款")
    for name in ("date", "run", "party", "yuan", "state", "value date", "days", "bank says"):
        table.add_column(name, justify="right" if name in {"yuan", "days"} else "left")
    for one in found:
        table.add_row(
            spoken(one.date),
            str(one.run),
            one.party,
            yuan(one.fen),
            one.state,
            spoken(one.value_date),
            str(one.age_days),
            one.text,
        )
    _print(table)


@command.command("validate")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def validate_command(folder: Path, *, as_json: bool) -> None:
    """Check a set of files without the ledger, and name what is wrong."""
    findings = validate(folder)
    if as_json:
        _echo_json({"good": not findings, "findings": [asdict(one) for one in findings]})
    else:
        for one in findings[:FINDINGS_SHOWN]:
            click.echo(f"{one.reason:<16} {one.file}: {one.text}")
        if findings[FINDINGS_SHOWN:]:
            click.echo(f"and {len(findings) - FINDINGS_SHOWN} more")
        click.echo("rejected" if findings else "good")
    if findings:
        raise click.exceptions.Exit(REFUSED)


@command.command("release")
@directory_argument
@date_option
@key_option
@json_option
def release_command(directory: Path, date: datetime, key: Path | None, *, as_json: bool) -> None:
    """Release a filed date: from now on it is final, and its settlement is posted back."""
    with _working(Options(key)) as options:
        begun, day = release(directory, _number(date), options)
    payable = sum(party.payable for party in day.parties)
    if as_json:
        _echo_json(
            {
                "date": begun.date,
                "run": begun.number,
                "state": begun.run.state,
                "payable_fen": payable,
                "value_date": day.value_date,
            }
        )
        return
    click.echo(
        f"{spoken(begun.date)}, run {begun.number}: {begun.run.state}; {yuan(payable)} yuan to pay"
        f" on {spoken(day.value_date)}"
    )


@command.command("confirm")
@directory_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def confirm_command(directory: Path, file: Path, *, as_json: bool) -> None:
    """Take in what the bank did with payments: CSV or camt.053 (clearing/FILES.md)."""
    taken = paying.take_confirmations(directory, file)
    if as_json:
        data = asdict(taken)
        data["states"] = [
            {"date": date, "run": run, "state": state}
            for (date, run), state in taken.states.items()
        ]
        _echo_json(data)
    else:
        for problem in taken.problems:
            click.echo(problem)
        click.echo(
            f"confirmed {taken.confirmed}, refused {taken.refused}, unchanged {taken.unchanged},"
            f" of others {taken.others}, problems {len(taken.problems)}"
        )
        for (date, run), state in taken.states.items():
            click.echo(f"{spoken(date)}, run {run}: {state}")
    if taken.problems:
        raise click.exceptions.Exit(REFUSED)


# Exceptions.


def _fen(_ctx: Any, _param: Any, value: str | None) -> int:
    """An amount in yuan, either sign, as fen."""
    if value is None:
        return 0
    sign, text = (-1, value[1:]) if value.startswith("-") else (1, value)
    whole, _, cents = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(cents) > 2 or not (cents or "0").isdigit():  # noqa: PLR2004
        raise click.BadParameter("has to be yuan, like 12.50 or -3")
    return sign * (int(whole) * 100 + int(cents.ljust(2, "0")))


@command.command("exceptions")
@directory_argument
@click.option("--all", "everything", is_flag=True, help="Resolved ones too.")
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare a partner's list (CSV, see clearing/CLEARING.md) with --date.",
)
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="Business date of --import.")
@click.option("--resolve", metavar="ID", help="Resolve an exception.")
@click.option("--because", default="", metavar="TEXT", help="Why, for the statement.")
@click.option("--party", default="", help="Whose position is adjusted.")
@click.option("--amount", callback=_fen, metavar="YUAN", help="In the party's favour; - against.")
@key_option
@json_option
def exceptions_command(directory: Path, *, as_json: bool, **said: Any) -> None:
    """List what the two sides tell differently; compare a partner's list; resolve.

    An adjustment is posted on the open business date and settles with it.
    """
    require_directory(directory)
    if said["resolve"]:
        _resolve(directory, said, as_json=as_json)
        return
    if said["file"]:
        if said["date"] is None:
            raise click.UsageError("name the business date of the partner's list with --date")
        _import(directory, said)
    with Snapshot(directory) as snapshot:
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        today = calendar.date if calendar is not None else 0
        found = [
            matching.item(name, row, today, snapshot.sequence)
            for name, row in matching.discrepancies(snapshot)
            if said["everything"] or not row.resolution
        ]
    found.sort(key=lambda one: (one.since, one.id))
    if as_json:
        _echo_json([matching.rows_of(one) for one in found])
        return
    table = Table(title="Exceptions 差错")
    for name in ("id", "reason", "since", "days", "owner", "unit", "here", "there", "what"):
        table.add_column(name, justify="right" if name in {"days", "here", "there"} else "left")
    for one in found:
        table.add_row(
            one.id,
            one.reason,
            spoken(one.since),
            str(one.age_days),
            one.owner,
            one.unit,
            f"{one.here:,}",
            f"{one.there:,}",
            f"resolved by {one.resolution}: {one.text}" if one.resolution else one.text,
        )
    _print(table)
    click.echo(f"{len(found)} exceptions")


def _resolve(directory: Path, said: dict[str, Any], *, as_json: bool) -> None:
    if not said["because"].strip():
        raise click.UsageError("say why with --because")
    wanted = ResolveDiscrepancy(
        said["resolve"], said["party"], said["amount"], said["because"].strip()
    )
    with Submitter(directory) as submitter:
        result = submitter.submit(wanted)
    if not result.done:
        raise Refusal(result.text)
    if as_json:
        _echo_json({"resolved": wanted.id, "sequence": result.sequence, "date": result.date})
    else:
        settled = f", settles with {spoken(result.date)}" if wanted.amount else ""
        click.echo(f"resolved {wanted.id}{settled}")


def _import(directory: Path, said: dict[str, Any]) -> None:
    items = partner.read_partner(said["file"])
    with clearing_lock(directory):
        vault = open_vault(directory, said["key"])
        found = partner.match_partner(directory, _number(said["date"]), items, vault)
        with Submitter(directory) as submitter:
            noted = sum(1 for one in submitter.submit_many(found.commands) if one.sequence)
    click.echo(
        f"compared {len(items)}, differing {len(found.commands)}, of them new {noted}", err=True
    )
