"""``counterfoil clear``: close a day, look, release, confirm, resolve.

``counterfoil clear DIR --date D --out FOLDER`` clears; any other word behind ``clear`` is a step of
its own. A directory that is called like one is named ``./status``. Sentences are for settlement
staff; ``--json`` gives the same as data. Exit status 0 done, 1 refused or found wrong, 2 wrong
usage.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clearing import matching, partner, paying
from clearing.bank import Unreadable
from clearing.calendar import NotCovered, WrongHolidays
from clearing.console import (
    REFUSED,
    Refusal,
    directory_argument,
    echo_json,
    json_option,
    key_option,
    print_fitting,
)
from clearing.dates import DAY, as_number
from clearing.day import NotCut, first_date
from clearing.files.folder import Refused as FolderRefused
from clearing.files.lists import credits_of
from clearing.files.settlement import Unwritable
from clearing.model import Day, Inconsistent
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
from engine.terms import add_days, spoken
from ledger.model import MONEY
from ledger.priority import stepping_back
from ledger.tables import Snapshot

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
    WrongHolidays,
    partner.NotAPartnerFile,
)
"""Errors whose text is a sentence for settlement staff."""

date_option = click.option("--date", required=True, type=DAY, help="Business date.")


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


def yuan(fen: int) -> str:
    """An amount of money for people: yuan with two decimals."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole:,}.{rest:02}"


def _table(title: str, *columns: str) -> Table:
    """A table with these columns; one whose heading ends with ``>`` has figures, flush right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in columns:
        english, _, chinese = heading.rstrip(">").rpartition(" ")
        # An id that were cut could not be typed again.
        table.add_column(
            f"{english}\n{chinese}",
            justify="right" if heading[-1] == ">" else "left",
            overflow="fold",
        )
    return table


@contextmanager
def _working(options: Options) -> Iterator[Options]:
    """Yield to whoever answers terminals, and show how far the work is."""
    with stepping_back():
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


# Clearing.


@command.command("run")
@directory_argument
@date_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of its own.")
@click.option("--release", "then_release", is_flag=True, help="Release as well.")
@click.option("--correct", default="", metavar="WHY", help="Replace the run that is filed.")
@click.option("--value-date", type=DAY, help="In place of the calendar's.")
@click.option(
    "--encoding",
    type=click.Choice(["utf-8-sig", "gb18030"]),
    default="utf-8-sig",
    show_default=True,
    help="Of the parties' CSV.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=WORKERS,
    show_default=True,
    help="Processes that write statements.",
)
@key_option
@json_option
def run_command(
    directory: Path, date: datetime, out: Path, *, then_release: bool, as_json: bool, **said: Any
) -> None:
    """Clear a date, and dates missed before it, up to their files.

    The files of the date go into FOLDER, those of missed dates into folders beside it with the date
    behind the name. Run again it continues where it was interrupted, or writes the same files.
    """
    day = as_number(date)
    pay_on = as_number(said["value_date"])
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
    tell_warnings(results)
    if as_json:
        echo_json([result_data(result) for result in results])
        return
    for result in results:
        _print_result(result)


def tell_warnings(results: list[Result]) -> None:
    """Say on stderr what the operator has to see to soon."""
    for warning in sorted({result.warning for result in results if result.warning}):
        click.echo(f"counterfoil: {warning}", err=True)


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
        "transit": result.transit,
        "chain": day.chain,
    }


def _print_result(result: Result) -> None:
    day = result.day
    table = _table(
        f"{spoken(day.date)}, run {day.run}: {result.begun.run.state}",
        *("party 编号", "name 名称"),
        *("lines 笔数>", "net 净额>", "carried in 上期结转>", "payable 应付>"),
        *("carried forward 结转下期>", "to collect 应收>"),
    )
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
    print_fitting(table)
    idle = len(day.parties) - len(moved)
    more = (
        f"{len(moved) - _PARTIES_SHOWN} more are in the files; " if moved[_PARTIES_SHOWN:] else ""
    )
    click.echo(
        f"{more}{idle} of {len(day.parties)} parties without movement; to pay"
        f" {yuan(sum(party.payable for party in day.parties))} on {spoken(day.value_date)};"
        f" {len(day.exceptions)} exceptions"
    )
    _tell_unpaid(day)
    for program, points in sorted(result.transit.items()):
        click.echo(f"{points:,} {program} were in transit: `counterfoil verify` names for whom")
    click.echo(f"chain {day.chain}")
    again = "the same files as before" if result.repeated else "files"
    click.echo(f"{again}: {result.folder}")


_PARTIES_SHOWN: Final = 40


def _tell_unpaid(day: Day) -> None:
    unpaid = credits_of(day)[1]
    if unpaid:
        click.echo(
            f"{len(unpaid)} of those to pay lack an account, theirs or the operator's: they stand"
            " on the list of the unpaid, not in the payment file"
        )


@command.command("status")
@directory_argument
@click.option("--date", type=DAY, help="One date, else the latest ones.")
@click.option("--unconfirmed", is_flag=True, help="Payments that the bank has not confirmed.")
@json_option
def status_command(
    directory: Path, date: datetime | None, *, unconfirmed: bool, as_json: bool
) -> None:
    """Tell how business dates stand. OPEN, CUT, … CONFIRMED, or FAILED and why."""
    require_directory(directory)
    with Snapshot(directory) as snapshot:
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        today = calendar.date if calendar is not None else 0
        if unconfirmed:
            _show_unpaid(paying.unpaid(snapshot, today), as_json=as_json)
            return
        rows = _states(snapshot, as_number(date), today)
    if as_json:
        echo_json(rows)
        return
    table = _table(
        "Business dates 营业日",
        *("date 日期", "state 状态", "run 批次", "to post 待过账", "posted 已过账"),
        *("unconfirmed 未确认", "value date 付款日期", "why 原因"),
    )
    for row in rows:
        table.add_row(*[str(value) for value in row.values()])
    print_fitting(table)


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
        echo_json([asdict(one) for one in found])
        return
    table = _table(
        "Payments not confirmed 未确认付款",
        *("date 日期", "run 批次", "party 编号", "yuan 金额>", "state 状态"),
        *("value date 付款日期", "days 天数>", "why 原因"),
    )
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
    print_fitting(table)


@command.command("validate")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def validate_command(folder: Path, *, as_json: bool) -> None:
    """Check a set of files without the ledger. It names what is wrong."""
    with _working(Options()) as options:
        findings = validate(
            folder, lambda done, whole: options.tell("checking files, bytes", done, whole)
        )
    if as_json:
        echo_json({"good": not findings, "findings": [asdict(one) for one in findings]})
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
    """Release a filed date. From now on it is final, and its settlement is posted back."""
    with _working(Options(key)) as options:
        begun, day = release(directory, as_number(date), options)
    payable = sum(party.payable for party in day.parties)
    if as_json:
        echo_json(
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
    _tell_unpaid(day)


@command.command("confirm")
@directory_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def confirm_command(directory: Path, file: Path, *, as_json: bool) -> None:
    """Take in what the bank did with payments. CSV or camt.053, see clearing/FILES.md."""
    taken = paying.take_confirmations(directory, file)
    if as_json:
        data = asdict(taken)
        data["states"] = [
            {"date": date, "run": run, "state": state}
            for (date, run), state in taken.states.items()
        ]
        echo_json(data)
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
    amount = _YUAN.fullmatch(value)
    if amount is None:
        raise click.BadParameter("has to be yuan, like 12.50 or -3, of at most twelve digits")
    fen = int(amount[2]) * 100 + int((amount[3] or "").ljust(2, "0"))
    return -fen if amount[1] else fen


_YUAN: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{0,2}))?", re.ASCII)


@command.command("exceptions")
@directory_argument
@click.option("--all", "everything", is_flag=True, help="Resolved ones too.")
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare a partner's list (CSV, see clearing/CLEARING.md) with --date.",
)
@click.option("--date", type=DAY, help="Business date of --import.")
@click.option("--resolve", metavar="ID", help="Resolve an exception.")
@click.option("--because", default="", metavar="TEXT", help="Why, for the statement.")
@click.option("--party", default="", help="Whose position is adjusted.")
@click.option("--amount", callback=_fen, metavar="YUAN", help="In the party's favour; - against.")
@key_option
@json_option
def exceptions_command(directory: Path, *, as_json: bool, **said: Any) -> None:
    """List what two sides tell differently. A partner's list is taken in by --import.

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
        echo_json([matching.rows_of(one) for one in found])
        return
    table = _table(
        "Exceptions 差异",
        *("id 差异号", "reason 原因", "since 首次日期", "days 天数>", "owner 责任方"),
        *("unit 单位", "here 本方>", "there 对方>", "what 说明"),
    )
    for one in found:
        table.add_row(
            one.id,
            one.reason,
            spoken(one.since),
            str(one.age_days),
            one.owner,
            one.unit,
            _amount(one.unit, one.here),
            _amount(one.unit, one.there),
            f"resolved by {one.resolution}: {one.text}" if one.resolution else one.text,
        )
    print_fitting(table)
    click.echo(f"{len(found)} exceptions")


def _amount(unit: str, amount: int) -> str:
    """Money as yuan, points as they are."""
    return yuan(amount) if unit == MONEY else f"{amount:,}"


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
        echo_json({"resolved": wanted.id, "sequence": result.sequence, "date": result.date})
    else:
        settled = f", settles with {spoken(result.date)}" if wanted.amount else ""
        click.echo(f"resolved {wanted.id}{settled}")


def _import(directory: Path, said: dict[str, Any]) -> None:
    items = partner.read_partner(said["file"])
    with clearing_lock(directory):
        vault = open_vault(directory, said["key"])
        found = partner.match_partner(directory, as_number(said["date"]), items, vault)
        with Submitter(directory) as submitter:
            noted = sum(1 for one in submitter.submit_many(found.commands) if one.sequence)
    click.echo(
        f"compared {len(items)}, differing {len(found.commands)}, of them new {noted}", err=True
    )
