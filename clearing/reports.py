"""``counterfoil report``: what settlement staff ask of the books, as a table, CSV or XLSX.

`REPORTS` is the list. A report reads the entries of a range of business dates, the open one
included, or the tables as they are now, and yields rows of texts and whole numbers; money is in fen
inside and in yuan with two decimals where it is shown. Nothing here changes anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from clearing import administration, campaigns
from clearing.console import whole
from clearing.dates import DAY, span
from clearing.day import range_of, read_entries
from clearing.files.folder import as_text
from clearing.model import HEADING, HEADINGS
from clearing.netting import value_of
from clearing.register import Register, register_at
from clearing.report_forms import (
    MONEY_COLUMN,
    NUMBER_COLUMN,
    SERIAL_COLUMN,
    TEXT_COLUMN,
    TIME_COLUMN,
    Report,
    Row,
    column_key,
    print_table,
    write_csv,
    write_xlsx,
)
from clearing.settle import Fold, LocalTimes, masked
from clearing.stores import Placing, Tills, placings
from clearing.totals import Totals
from engine.directory import DEFAULT_ZONE, require_directory
from engine.holdings import TABLES, holdings
from engine.records import CALENDAR, NEVER, Calendar
from engine.terms import spoken
from ledger import chart, schema
from ledger.model import MONEY
from ledger.tables import Snapshot

DUPLICATE_MS: Final = 10 * 60_000
"""Two like transactions of a member at a merchant within this time may be one sent twice."""
RECENT_MAX: Final = 1_000_000


@dataclass(slots=True)
class Range:
    """What a report is about.

    Attributes:
        first, last: sequence numbers of the entries.
        zone: the operator's time zone.
        register: parties, programs and stores as they are at the end.
        moves: in which stores tills stood, see `clearing.stores.placings`.
    """

    directory: Path
    snapshot: Snapshot
    first: int
    last: int
    zone: str
    register: Register
    moves: tuple[Placing, ...]

    def entries(self) -> Iterator[Row]:
        """The entries of the range."""
        return read_entries(self.directory, self.first, self.last)


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


def _folded(about: Range) -> Iterator[tuple[int, Totals]]:
    """Each date of the range, and what it came to."""
    parties = frozenset(about.register.parties)
    fold: Fold | None = None
    date = 0
    for fields in about.entries():
        if fold is None or fields[2] != date:
            if fold is not None:
                yield date, fold.totals
            date = fields[2]
            fold = Fold(date, parties, about.zone, moves=about.moves)
        fold.add(fields)
    if fold is not None:
        yield date, fold.totals


def _store_ledger(about: Range) -> Iterator[Row]:
    """Every line of every party: what happened at which till, and what it came to.

    A line stands under the store in which the till stood then, of the party itself: what others
    pay for, or get of, a merchant's sale is not of its stores.
    """
    parties = frozenset(about.register.parties)
    tills = Tills(about.moves)
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
            store = tills.store(line[1], line[6]) if line[0] == line[5] else ""
            yield (
                *(line[0], store, spoken(line[4]), line[3], line[6], line[1], line[10], line[11]),
                *(line[12], line[13], sum(money.values()), headings, line[15]),
            )
        waiting.clear()


def _store_totals(about: Range) -> Iterator[Row]:
    """A line a date, party, store and program, and one for what was not done at a store's till."""
    for date, folded in _folded(about):
        for (party, store, unit), figures in sorted(folded.stores.items()):
            row = about.register.stores.get(store)
            yield spoken(date), party, store, row.name if row is not None else "", unit, *figures


def _merchant_settlement(about: Range) -> Iterator[Row]:
    """A line a date and party: by heading, and the net."""
    for date, folded in _folded(about):
        for party in sorted(folded.parties):
            totals = folded.parties[party]
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
    """What members hold now, by the month in which it runs out, and its value.

    Stored value that has run out is told as long as it can be given back.
    """
    view = about.snapshot.view
    sums: dict[tuple[str, str], int] = {}
    for table in TABLES:
        for key, row in view.scan(bytes((table,))):
            for account, unit, amount in holdings(key, row):
                if not amount:
                    continue
                kind, *parts = account.split(":")
                place = chart.KINDS[kind].parts
                expiry = parts[place.index("expiry")] if "expiry" in place else ""
                if unit == MONEY and amount >= 0:
                    expiry = str(row.expires or NEVER)
                month = f"{expiry[:4]}-{expiry[4:6]}" if expiry else "owed by members"
                if expiry.startswith("9999"):
                    month = "never"
                sums[unit, month] = sums.get((unit, month), 0) + amount
    run_out = sum(fen for _, fen in view.scan(schema.balance(chart.value_expired(""))))
    if run_out:
        sums[MONEY, "has run out"] = run_out
    for (unit, month), amount in sorted(sums.items()):
        if unit == MONEY:
            yield unit, month, 0, amount
            continue
        row = about.register.programs.get(unit)
        yield unit, month, amount, value_of(amount, row) if row and row.settled else 0


def _suspects(about: Range) -> Iterator[Row]:
    """Like transactions of one member at one merchant shortly after each other, loads included."""
    local = LocalTimes(about.zone)
    recent: dict[Row, tuple[int, int]] = {}
    for fields in about.entries():
        sequence, at, date, _, kind, command, outcome, postings = fields[:8]
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


def _administration(about: Range) -> Iterator[Row]:
    """Each command of administration: who gave it, and what it changed."""
    return administration.deeds(about.entries(), about.zone)


_T, _N, _M = TEXT_COLUMN, NUMBER_COLUMN, MONEY_COLUMN
_S, _W = SERIAL_COLUMN, TIME_COLUMN

REPORTS: dict[str, Report] = {
    "administration": Report(
        "Commands of administration",
        "管理操作记录",
        (
            *(("entry 序号", _S), ("entries 笔数", _N), ("date 日期", _T), ("time 时间", _W)),
            *(("operator 操作员", _T), ("account 系统账号", _T), ("command 操作", _T)),
            *(("about 对象", _T), ("why 原因", _T), ("changed 变更", _T), ("outcome 结果", _T)),
        ),
        _administration,
    ),
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
            *(("merchant 商户", _T), ("store 门店", _T), ("date 日期", _T), ("time 时间", _W)),
            ("terminal 终端", _T),
            *(("entry 序号", _S), ("kind 交易", _T), ("program 积分", _T), ("points 积分数", _N)),
            *(("sale 消费额", _M), ("money 结算额", _M), ("for 项目", _T), ("member 会员", _T)),
        ),
        _store_ledger,
    ),
    "store-totals": Report(
        "Totals of stores",
        "门店汇总",
        (
            *(("date 日期", _T), ("merchant 商户", _T), ("store 门店", _T), ("name 名称", _T)),
            *(("program 积分", _T), ("lines 笔数", _N), ("points issued 发放积分", _N)),
            *(("points taken 消费积分", _N), ("sales 消费额", _M), ("net 净额", _M)),
        ),
        _store_totals,
    ),
    "campaign-effect": Report(
        "Campaign effect",
        "活动效果",
        (
            *(("date 日期", _T), ("campaign 活动", _T), ("distributed 分发", _N)),
            *(
                ("issued 发放", _N),
                ("claimed 领取", _N),
                ("inquired 查询", _N),
                ("used 使用", _N),
                ("restored 恢复", _N),
                ("expired 过期", _N),
            ),
            *(("sales 消费额", _M), ("discount 优惠额", _M), ("paid by 承担方", _T)),
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
            *(("received 增加", "unit"), ("given 减少", "unit"), ("last 最近", _W)),
        ),
        _member_activity,
    ),
    "liability-ageing": Report(
        "Points and stored value outstanding by expiry, now",
        "未兑积分与储值到期分布",
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
            *(("date 日期", _T), ("time 时间", _W), ("kind 交易", _T), ("merchant 商户", _T)),
            *(("member 会员", _T), ("unit 单位", _T), ("amount 数量", "unit")),
            *(("first entry 前笔", _S), ("second entry 后笔", _S), ("seconds 间隔秒", _N)),
        ),
        _suspects,
    ),
}
"""Reports by name; a column shown as ``unit`` is in what the row's column ``unit`` names."""


@click.command("report")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name", metavar="NAME", type=click.Choice(sorted(REPORTS)))
@click.option("--from", "first", type=DAY, help="First business date.")
@click.option("--to", "last", type=DAY, help="Last business date.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "xlsx"]),
    default="table",
    show_default=True,
    help="A table for people, or a file.",
)
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

    NAME is administration, campaign-effect, general-ledger, store-ledger, store-totals,
    merchant-settlement, member-activity, liability-ageing or suspects.
    """
    require_directory(directory)
    report, dates = REPORTS[name], span(first, last)
    if form == "xlsx" and out is None and sys.stdout.isatty():
        raise click.UsageError("a workbook is no text: name a file with --out")
    if out is not None and (form == "table" or as_json):
        raise click.UsageError("--out is for --format csv and xlsx")
    with Snapshot(directory) as snapshot:
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        start, end = range_of(snapshot, *dates)
        zone = calendar.zone if calendar is not None else DEFAULT_ZONE
        about = Range(
            *(directory, snapshot, start, end, zone),
            register_at(snapshot, end),
            placings(snapshot, start, end),
        )
        rows = report.rows(about)
        if as_json:
            names = [column_key(column) for column, _ in report.columns]
            for row in rows:
                click.echo(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False))
        elif form == "table":
            print_table(report, rows)
        elif form == "csv":
            if out is None:
                write_csv(report, rows, sys.stdout)
            else:
                with whole(out) as file, as_text(file, "utf-8") as text:
                    write_csv(report, rows, text)
        elif out is None:
            write_xlsx(report, rows, sys.stdout.buffer)
        else:
            with whole(out) as file:
                write_xlsx(report, rows, file)
