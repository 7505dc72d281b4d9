"""``counterfoil report``: what settlement staff ask of the books, as a table, CSV or XLSX.

`REPORTS` is the list. A report reads the entries of a range of business dates, the open one
included, or the tables as they are now, and yields rows of texts and whole numbers; money is in fen
inside and in yuan with two decimals where it is shown. Nothing here changes anything.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import xlsxwriter
from rich.console import Console
from rich.table import Table

from clearing import campaigns
from clearing.day import range_of, read_entries, spoken
from clearing.files.details import free_text
from clearing.model import HEADING, HEADINGS
from clearing.netting import value_of
from clearing.register import Register, register_at
from clearing.settle import Fold, LocalTimes, masked
from engine.directory import DEFAULT_ZONE, require_directory
from engine.holdings import TABLES, holdings
from engine.records import CALENDAR, Calendar
from ledger import chart
from ledger.model import MONEY
from ledger.tables import Snapshot

DUPLICATE_MS: Final = 10 * 60_000
"""Two like transactions of a member at a merchant within this time may be one sent twice."""
RECENT_MAX: Final = 1_000_000
TABLE_ROWS_MAX: Final = 1000
"""Rows of a table for people; CSV and workbooks have all."""

MONEY_COLUMN: Final = "yuan"
POINTS_COLUMN: Final = "number"
TEXT_COLUMN: Final = "text"

Row = tuple[Any, ...]


@dataclass(slots=True)
class Range:
    """What a report is about.

    Attributes:
        first, last: sequence numbers of the entries.
        zone: the operator's time zone.
        register: parties and programs as they are at the end.
    """

    directory: Path
    snapshot: Snapshot
    first: int
    last: int
    zone: str
    register: Register

    def entries(self) -> Iterator[Row]:
        """The entries of the range."""
        return read_entries(self.directory, self.first, self.last)


@dataclass(slots=True)
class Report:
    """A report: its titles, columns (heading, and how it is shown), and what makes its rows."""

    english: str
    chinese: str
    columns: tuple[tuple[str, str], ...]
    rows: Callable[[Range], Iterator[Row]]


def account_of(account: str) -> str:
    """The line of the general ledger that an account belongs to: single members are summed."""
    kind, *parts = account.split(":")
    known = chart.KINDS[kind]
    if known.points:
        return f"{kind}:{parts[known.parts.index('program')]}"
    if kind == "Pos":
        return f"Pos:{parts[0]}"
    return kind if "member" in known.parts else account


def _general_ledger(about: Range) -> Iterator[Row]:
    """Opening, debits, credits and closing of each account, from the beginning of the journal."""
    sums: dict[tuple[str, str], list[int]] = {}
    for fields in read_entries(about.directory, 1, about.last):
        within = fields[0] >= about.first
        for account, unit, amount in fields[7]:
            key = (account_of(account), unit)
            row = sums.get(key)
            if row is None:
                row = sums[key] = [0, 0, 0]
            row[(1 if amount < 0 else 2) if within else 0] += amount
    for (account, unit), (opening, debit, credit) in sorted(sums.items()):
        yield account, unit, opening, -debit, credit, opening + debit + credit


def _folded(about: Range) -> Iterator[tuple[int, Fold, list[Row]]]:
    """Each date of the range: its fold, and its lines since the last time."""
    parties = frozenset(about.register.parties)
    fold: Fold | None = None
    date = 0
    lines: list[Row] = []
    for fields in about.entries():
        if fold is None or fields[2] != date:
            if fold is not None:
                yield date, fold, lines
            lines = []
            date = fields[2]
            fold = Fold(date, parties, about.zone, lines.append)
        fold.add(fields)
    if fold is not None:
        yield date, fold, lines


def _store_ledger(about: Range) -> Iterator[Row]:
    """Every line of every merchant: what happened at which till, and what it came to."""
    parties = frozenset(about.register.parties)
    waiting: list[Row] = []
    fold: Fold | None = None
    date = 0
    for fields in about.entries():
        if fold is None or fields[2] != date:
            date = fields[2]
            fold = Fold(date, parties, about.zone, waiting.append)
        fold.add(fields)
        for line in waiting:
            money = dict(line[14])
            headings = ", ".join(HEADING[code].english for code in money)
            yield (
                *(line[0], spoken(line[4]), line[3], line[6], line[1], line[10], line[11]),
                *(line[12], line[13], sum(money.values()), headings, line[15]),
            )
        waiting.clear()


def _merchant_settlement(about: Range) -> Iterator[Row]:
    """A line a date and party: by heading, and the net."""
    for date, fold, _ in _folded(about):
        for party in sorted(fold.totals.parties):
            totals = fold.totals.parties[party]
            if not totals.lines:
                continue
            known = about.register.parties.get(party)
            by_heading = [
                row[2] - row[1]
                for heading in HEADINGS
                for row in [totals.amounts.get(heading.code, [0, 0, 0])]
            ]
            name = known.name if known else ""
            yield spoken(date), party, name, totals.lines, *by_heading, totals.net


def _member_activity(about: Range) -> Iterator[Row]:
    """A line a member and program: how often, what came and went, when last."""
    local = LocalTimes(about.zone)
    found: dict[tuple[str, str], list[int]] = {}
    for fields in about.entries():
        member = fields[6][1]
        if not member or not fields[7]:
            continue
        moved: dict[str, int] = {}
        for account, unit, amount in fields[7]:
            kind, _, rest = account.partition(":")
            if kind in {"Lot", "Held", "Debt", "Value"} and rest.split(":")[0] == member:
                moved[unit] = moved.get(unit, 0) + amount
        for unit, amount in moved.items():
            row = found.setdefault((member, unit), [0, 0, 0, 0])
            row[0] += 1
            row[1 if amount > 0 else 2] += abs(amount)
            row[3] = local(fields[1])
    for (member, unit), row in sorted(found.items()):
        yield masked(member), unit, *row


def _liability_ageing(about: Range) -> Iterator[Row]:
    """Points that members hold now, by the month in which they run out, and their value."""
    sums: dict[tuple[str, str], int] = {}
    for table in TABLES:
        for key, row in about.snapshot.view.scan(bytes((table,))):
            for account, unit, amount in holdings(key, row):
                if unit == MONEY:
                    continue
                kind, *parts = account.split(":")
                place = chart.KINDS[kind].parts
                expiry = parts[place.index("expiry")] if "expiry" in place else ""
                month = f"{expiry[:4]}-{expiry[4:6]}" if expiry else "owed by members"
                if expiry.startswith("9999"):
                    month = "never"
                sums[unit, month] = sums.get((unit, month), 0) + amount
    for (program, month), points in sorted(sums.items()):
        row = about.register.programs.get(program)
        worth = value_of(points, row) if row is not None and row.settled else 0
        yield program, month, points, worth


def _suspects(about: Range) -> Iterator[Row]:
    """Like transactions of one member at one merchant shortly after each other, loads included."""
    local = LocalTimes(about.zone)
    recent: dict[Row, tuple[int, int]] = {}
    for fields in about.entries():
        sequence, at, date, _, kind, command, outcome, postings, _ = fields
        if outcome[0] or not postings or not outcome[4] or any(s[1][0] == "-" for s in outcome[4]):
            continue
        key = (kind, command[1], outcome[1], outcome[4])
        before = recent.get(key)
        if before is not None and at - before[1] <= DUPLICATE_MS:
            seconds = (at - before[1]) // 1000
            unit, _, amount = outcome[4][0]
            yield (
                *(spoken(date), local(at), kind, command[1], masked(outcome[1]), unit, amount),
                *(before[0], sequence, seconds),
            )
        if len(recent) >= RECENT_MAX:
            recent = {key: seen for key, seen in recent.items() if at - seen[1] <= DUPLICATE_MS}
        recent[key] = (sequence, at)


def _campaign_effect(about: Range) -> Iterator[Row]:
    """What came of each campaign on each date; what was undone counts when it was."""
    found = campaigns.effects(about.entries(), about.snapshot.view.get)
    for date, *row in campaigns.rows(found):
        yield spoken(date), *row


_T, _N, _M = TEXT_COLUMN, POINTS_COLUMN, MONEY_COLUMN

REPORTS: dict[str, Report] = {
    "general-ledger": Report(
        "Company general ledger",
        "公司总账",
        (
            *(("account 科目", _T), ("unit 单位", _T), ("opening 期初", "unit")),
            *(("debit 借方", "unit"), ("credit 贷方", "unit"), ("closing 期末", "unit")),
        ),
        _general_ledger,
    ),
    "store-ledger": Report(
        "Store detail ledger",
        "门店明细账",
        (
            *(("merchant 商户", _T), ("date 日期", _T), ("time 时间", _T), ("terminal 终端", _T)),
            *(("entry 序号", _N), ("kind 交易", _T), ("program 积分", _T), ("points 积分数", _N)),
            *(("sale 消费额", _M), ("money 结算额", _M), ("for 项目", _T), ("member 会员", _T)),
        ),
        _store_ledger,
    ),
    "campaign-effect": Report(
        "Campaign effect",
        "活动效果",
        (
            *(("date 日期", _T), ("campaign 活动", _T), ("issued 发放", _N), ("claimed 领取", _N)),
            *(("used 使用", _N), ("restored 恢复", _N), ("expired 过期", _N), ("sales 消费额", _M)),
            *(("discount 优惠额", _M), ("paid by 承担方", _T)),
        ),
        _campaign_effect,
    ),
    "merchant-settlement": Report(
        "Merchant settlement",
        "商户结算",
        (
            *(("date 日期", _T), ("merchant 商户", _T), ("name 名称", _T), ("lines 笔数", _N)),
            *((f"{heading.english} {heading.chinese}", _M) for heading in HEADINGS),
            ("net 净额", _M),
        ),
        _merchant_settlement,
    ),
    "member-activity": Report(
        "Member activity",
        "会员活动",
        (
            *(("member 会员", _T), ("unit 单位", _T), ("transactions 笔数", _N)),
            *(("received 增加", "unit"), ("given 减少", "unit"), ("last 最近", _T)),
        ),
        _member_activity,
    ),
    "liability-ageing": Report(
        "Points outstanding by expiry, now",
        "未兑积分到期分布",
        (
            *(("program 积分", _T), ("runs out 到期", _T), ("points 积分数", _N)),
            ("value 价值", _M),
        ),
        _liability_ageing,
    ),
    "suspects": Report(
        "Recharge and duplicate suspects",
        "疑似重复交易",
        (
            *(("date 日期", _T), ("time 时间", _T), ("kind 交易", _T), ("merchant 商户", _T)),
            *(("member 会员", _T), ("unit 单位", _T), ("amount 数量", "unit")),
            *(("first entry 前笔", _N), ("second entry 后笔", _N), ("seconds 间隔秒", _N)),
        ),
        _suspects,
    ),
}
"""Reports by name; a column shown as ``unit`` is in what the row's column ``unit`` names."""


def yuan(fen: int) -> str:
    """Fen as yuan with two decimals, without separators."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}"


def column_key(column: str) -> str:
    """A column's name in JSON: its English words."""
    return "_".join(re.findall(r"[a-z]+", column.lower()))


def _shown(report: Report, row: Row) -> list[tuple[str, Any]]:
    """How each cell is shown, and its value."""
    unit = next(
        (cell for cell, (name, _) in zip(row, report.columns, strict=True) if name[:4] == "unit"),
        "",
    )
    return [
        ((_M if unit == MONEY else _N) if how == "unit" else how, cell)
        for cell, (_, how) in zip(row, report.columns, strict=True)
    ]


def _plain(how: str, cell: Any) -> str:
    return yuan(cell) if how == _M else str(cell)


def write_csv(report: Report, rows: Iterator[Row], out: Any) -> None:
    """Write a report as CSV, UTF-8 with a byte order mark, safe to open in a spreadsheet."""
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([name for name, _ in report.columns])
    for row in rows:
        writer.writerow(
            [
                free_text(_plain(how, cell)) if how == _T else _plain(how, cell)
                for how, cell in _shown(report, row)
            ]
        )


def write_xlsx(report: Report, rows: Iterator[Row], out: Any) -> None:
    """Write a report as a workbook of one sheet."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(out, options)
    sheet = book.add_worksheet(report.english[:31])
    heading = book.add_format({"bold": True, "text_wrap": True})
    money = book.add_format({"num_format": "#,##0.00"})
    whole = book.add_format({"num_format": "#,##0"})
    sheet.freeze_panes(1, 0)
    for place, (name, how) in enumerate(report.columns):
        sheet.set_column(place, place, 24 if how == _T else 14)
        sheet.write_string(0, place, name, heading)
    for number, row in enumerate(rows, 1):
        for place, (how, cell) in enumerate(_shown(report, row)):
            if how == _T:
                sheet.write_string(number, place, str(cell))
            elif how == _M:
                sheet.write_number(number, place, cell / 100, money)
            else:
                sheet.write_number(number, place, cell, whole)
    book.close()


def _print(report: Report, rows: Iterator[Row]) -> None:
    """Print a table: its first rows, and of the columns of money those in which there is any."""
    shown = list(islice(rows, TABLE_ROWS_MAX))
    more = sum(1 for _ in rows)
    kept = [
        place
        for place, (_, how) in enumerate(report.columns)
        if how != _M or not shown or any(row[place] for row in shown)
    ]
    table = Table(title=f"{report.english} {report.chinese}")
    for place in kept:
        name, how = report.columns[place]
        english, _, chinese = name.rpartition(" ")
        table.add_column(f"{english}\n{chinese}", justify="left" if how == _T else "right")
    for row in shown:
        cells = _shown(report, row)
        table.add_row(*[_plain(*cells[place]) for place in kept])
    width = None if sys.stdout.isatty() else 240
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)
    if more:
        click.echo(f"and {more} more: --format csv has all of them")


@click.command("report")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name", metavar="NAME", type=click.Choice(sorted(REPORTS)))
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First business date.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last business date.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "xlsx"]), default="table")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="In place of stdout.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, money in fen.")
def command(
    directory: Path,
    name: str,
    first: datetime | None,
    last: datetime | None,
    form: str,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print a report over business dates, the open one included.

    NAME is campaign-effect, general-ledger, store-ledger, merchant-settlement, member-activity,
    liability-ageing or suspects.
    """
    require_directory(directory)
    report = REPORTS[name]
    if form == "xlsx" and out is None and sys.stdout.isatty():
        raise click.UsageError("a workbook is no text: name a file with --out")
    with Snapshot(directory) as snapshot:
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        start, end = range_of(snapshot, _number(first), _number(last))
        zone = calendar.zone if calendar is not None else DEFAULT_ZONE
        about = Range(directory, snapshot, start, end, zone, register_at(snapshot, end))
        rows = report.rows(about)
        if as_json:
            names = [column_key(column) for column, _ in report.columns]
            for row in rows:
                click.echo(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False))
        elif form == "table":
            _print(report, rows)
        elif form == "csv":
            if out is None:
                write_csv(report, rows, sys.stdout)
            else:
                with out.open("w", encoding="utf-8", newline="") as file:
                    write_csv(report, rows, file)
        elif out is None:
            write_xlsx(report, rows, sys.stdout.buffer)
        else:
            with out.open("wb") as file_:
                write_xlsx(report, rows, file_)


def _number(date: datetime | None) -> int:
    return int(date.strftime("%Y%m%d")) if date else 0
