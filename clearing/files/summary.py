"""The summaries of a day as a workbook: totals, parties, points, matrix, fees, exceptions.

Each sheet is a table of `Column` and rows; the last row holds totals, as values. Amounts are
numbers of yuan with two decimals, written from exact decimals. Rows go to the file as they come
(XlsxWriter's ``constant_memory``), and a table longer than a sheet continues on the next.
Nothing is a formula. Bytes do not depend on the clock, and not on the umask either, which would
otherwise show in the archive's entries.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import xlsxwriter

from clearing.files.figures import exact_yuan, iso_date, iso_time, printable
from clearing.files.lists import credits_of
from clearing.model import FEE_KINDS, HEADINGS, Day, PartyDay

ROWS_MAX = 1_000_000
"""Rows of a table on one sheet; a spreadsheet ends at 1,048,576."""

_MADE = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)

_WIDTHS = {"text": 18, "long": 34, "date": 12, "count": 12, "points": 16, "yuan": 17}


@dataclass(slots=True)
class Column:
    """A column: its heading, what it holds (a key of the widths), whether it is added up."""

    heading: str
    form: str
    summed: bool = False


def _yuan(heading: str) -> Column:
    return Column(heading, "yuan", summed=True)


_PARTY_COLUMNS = (
    Column("Party 编号", "text"),
    Column("Name 名称", "long"),
    Column("Kind 类别", "text"),
    Column("Institution 机构", "text"),
    Column("Lines 笔数", "count", summed=True),
    *(
        _yuan(f"{heading.code} {heading.english} {heading.chinese}")  # its net by heading
        for heading in HEADINGS
    ),
    _yuan("Debit 借方"),
    _yuan("Credit 贷方"),
    _yuan("Net 净额"),
    _yuan("Carried in 上期结转"),
    _yuan("Payable 应付金额"),
    _yuan("Carried forward 结转下期"),
    _yuan("Collect 应收金额"),
)
_POINTS_COLUMNS = (
    Column("Party 编号", "text"),
    Column("Program 积分计划", "text"),
    Column("Issued 发放", "points"),
    Column("Redeemed 消费", "points"),
)
_STORE_COLUMNS = (
    Column("Party 编号", "text"),
    Column("Store 门店", "text"),
    Column("Name 名称", "long"),
    Column("Program 积分计划", "text"),
    Column("Lines 笔数", "count", summed=True),
    Column("Issued 发放", "points"),
    Column("Redeemed 消费", "points"),
    _yuan("Sales 消费额"),
    _yuan("Net 净额"),
)
_MATRIX_COLUMNS = (
    Column("Program 积分计划", "text"),
    Column("Issuer 发放方", "text"),
    Column("Redeemer 受理方", "text"),
    Column("Points 积分", "points", summed=True),
    _yuan("Value 价值"),
)
_PROGRAM_COLUMNS = (
    Column("Program 积分计划", "text"),
    Column("Name 名称", "long"),
    Column("Points per yuan 每元积分", "count"),
    Column("Issued 发放", "points"),
    Column("Redeemed 消费", "points"),
    Column("Expired 过期", "points"),
    Column("Outstanding 未消费积分", "points"),
    _yuan("Fund 备付金"),
    _yuan("Rounding 尾差"),
)
_CHANNEL_COLUMNS = (
    Column("Channel 渠道", "text"),
    Column("Transaction 交易类型", "text"),
    Column("Count 笔数", "count", summed=True),
    Column("Points issued 发放", "points"),
    Column("Points redeemed 消费", "points"),
    _yuan("Debit 借方"),
    _yuan("Credit 贷方"),
)
_FEE_COLUMNS = (
    Column("Party 编号", "text"),
    Column("Name 名称", "long"),
    Column("Fee 手续费类别", "text"),
    _yuan("Amount 金额"),
)
_EXCEPTION_COLUMNS = (
    Column("Exception 差异号", "text"),
    Column("Reason 原因", "text"),
    Column("Since 首次日期", "date"),
    Column("Age days 天数", "count"),
    Column("Owner 责任方", "text"),
    Column("Terminal 终端号", "text"),
    Column("Batch 批次号", "text"),
    Column("STAN 凭证号", "text"),
    Column("RRN 检索参考号", "text"),
    Column("Unit 单位", "text"),
    Column("Here 本方 (fen or points)", "points"),
    Column("There 对方 (fen or points)", "points"),
    Column("State 状态", "text"),
    Column("Remark 备注", "long"),
)


class _Book:
    """The workbook, its formats, and one way to write a table."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "tmpdir": str(scratch),
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        self.book.set_properties({"title": "Settlement summary 结算汇总", "created": _MADE})
        head = {"bold": True, "bg_color": "#1F5FA8", "font_color": "#FFFFFF", "text_wrap": True}
        self.head = self.book.add_format({**head, "valign": "vcenter", "border": 1})
        self.title = self.book.add_format({"bold": True, "font_size": 14, "font_color": "#1F5FA8"})
        numbers = {"yuan": "#,##0.00;[Red]-#,##0.00", "count": "#,##0", "points": "#,##0"}
        self.forms = {
            form: self.book.add_format({"num_format": numbers[form]} if form in numbers else {})
            for form in _WIDTHS
        }
        total = {"bold": True, "top": 1, "bg_color": "#F2F5F9"}
        self.totals = {
            form: self.book.add_format(
                {**total, **({"num_format": numbers[form]} if form in numbers else {})}
            )
            for form in _WIDTHS
        }

    def table(self, name: str, columns: tuple[Column, ...], rows: Iterable[tuple[Any, ...]]) -> int:
        """Write a table on a sheet, or on as many as it needs; returns its rows."""
        left = iter(rows)
        sums = [0] * len(columns)
        written, page = 0, 0
        while True:
            page += 1
            sheet = self._sheet(name if page == 1 else f"{name} {page}", columns)
            place = 0
            for place, row in enumerate(islice(left, ROWS_MAX), 1):
                self._row(sheet, place, columns, row, self.forms)
                for at, column in enumerate(columns):
                    if column.summed:
                        sums[at] += row[at]
            written += place
            following = next(left, None)
            if following is None:
                break
            left = chain((following,), left)
        if any(column.summed for column in columns):
            total = [
                sums[at] if column.summed else ("Total 合计" if at == 0 else "")
                for at, column in enumerate(columns)
            ]
            self._row(sheet, place + 1, columns, tuple(total), self.totals)
        return written

    def _sheet(self, name: str, columns: tuple[Column, ...]) -> Any:
        sheet = self.book.add_worksheet(name)
        sheet.freeze_panes(1, 1)
        sheet.set_row(0, 46)
        for at, column in enumerate(columns):
            sheet.set_column(at, at, _WIDTHS[column.form])
            sheet.write_string(0, at, column.heading, self.head)
        return sheet

    @staticmethod
    def _row(
        sheet: Any,
        place: int,
        columns: tuple[Column, ...],
        row: tuple[Any, ...],
        forms: dict[str, Any],
    ) -> None:
        for at, (column, value) in enumerate(zip(columns, row, strict=True)):
            form = forms[column.form]
            if isinstance(value, int):
                sheet.write_number(
                    place, at, exact_yuan(value) if column.form == "yuan" else value, form
                )
            elif value:
                sheet.write_string(place, at, printable(value), form)
            else:
                sheet.write_blank(place, at, None, form)


def write(day: Day, path: Path, scratch: Path) -> int:
    """Write the workbook of a day; returns the number of parties in it.

    Args:
        day: the netted day.
        path: where to.
        scratch: a folder for temporary files, which a crash may leave there.
    """
    before = os.umask(0o077)
    try:
        book = _Book(path, scratch)
        _summary(book, day)
        book.table("Parties 商户", _PARTY_COLUMNS, map(_party, day.parties))
        book.table("Points 积分", _POINTS_COLUMNS, _points(day))
        book.table(
            "Matrix 联盟矩阵",
            _MATRIX_COLUMNS,
            (
                (cell.program, cell.issuer, cell.redeemer, cell.points, cell.value)
                for cell in day.matrix
            ),
        )
        book.table("Programs 积分计划", _PROGRAM_COLUMNS, _programs(day))
        book.table("Channels 渠道", _CHANNEL_COLUMNS, _channels(day))
        book.table("Fees 手续费", _FEE_COLUMNS, _fees(day))
        book.table("Exceptions 差异", _EXCEPTION_COLUMNS, _exceptions(day))
        if any(party.stores for party in day.parties):
            book.table("Stores 门店", _STORE_COLUMNS, _stores(day))
        book.book.close()
    finally:
        os.umask(before)
    return len(day.parties)


def totals_of(day: Day) -> list[tuple[str, str, int]]:
    """List the figures of the first sheet: what they are, how they are shown, the figure."""
    paid, unpaid = credits_of(day)
    parties = day.parties
    rows = [
        ("Parties 商户数", "count", len(parties)),
        ("Lines 笔数", "count", sum(party.lines for party in parties)),
        ("Debit 借方", "yuan", sum(party.debit for party in parties)),
        ("Credit 贷方", "yuan", sum(party.credit for party in parties)),
        ("Net 净额", "yuan", sum(party.net for party in parties)),
        ("Carried in 上期结转", "yuan", sum(party.carried_in for party in parties)),
        ("Payable 应付金额", "yuan", sum(party.payable for party in parties)),
        ("Carried forward 结转下期", "yuan", sum(party.carried_forward for party in parties)),
        ("Collect 应收金额", "yuan", sum(party.collect for party in parties)),
        ("Payments 付款笔数", "count", len(paid)),
        ("Payments 付款金额", "yuan", sum(party.payable for party in paid)),
        ("Unpaid 未付笔数", "count", len(unpaid)),
        ("Unpaid 未付金额", "yuan", sum(party.payable for party in unpaid)),
        (
            "Exceptions open 未解决差异",
            "count",
            sum(not each.resolution for each in day.exceptions),
        ),
    ]
    rows += [(f"Own account 本方科目 {each.account}", "yuan", each.fen) for each in day.movements]
    return rows


def _summary(book: _Book, day: Day) -> None:
    """The first sheet: what the set is, its totals, the checks that hold."""
    sheet = book.book.add_worksheet("Summary 汇总")
    sheet.set_column(0, 0, 40)
    sheet.set_column(1, 3, 22)
    sheet.freeze_panes(1, 0)
    sheet.write_string(0, 0, "Settlement summary 结算汇总", book.title)
    facts = (
        ("Operator 运营方", printable(day.operator.name)),
        ("Business date 清算日期", iso_date(day.date)),
        ("Run 批次", str(day.run)),
        ("Supersedes 替代批次", str(day.supersedes) if day.supersedes else "-"),
        ("Value date 付款日期", iso_date(day.value_date)),
        ("Cut-off 日终", f"{iso_time(day.closed)} {day.operator.zone}"),
        ("Journal 流水号", f"{day.first_sequence} - {day.last_sequence}"),
        ("Matched through 对账至流水号", str(day.considered)),
    )
    place = 1
    for label, fact in facts:
        sheet.write_string(place, 0, label)
        sheet.write_string(place, 1, fact)
        place += 1
    for label, form, figure in totals_of(day):
        sheet.write_string(place, 0, printable(label))
        number = exact_yuan(figure) if form == "yuan" else figure
        sheet.write_number(place, 1, number, book.forms[form])
        place += 1
    for check in day.checks:
        sheet.write_string(place, 0, f"Check 检查 {check.name}")
        sheet.write_string(place, 1, "holds 平衡" if check.expected == check.found else "FAILS")
        sheet.write_number(place, 2, check.expected, book.forms["count"])
        sheet.write_number(place, 3, check.found, book.forms["count"])
        place += 1


def _party(party: PartyDay) -> tuple[Any, ...]:
    nets = {amount.heading: amount.credit - amount.debit for amount in party.amounts}
    return (
        party.id,
        party.name,
        party.kind,
        party.institution,
        party.lines,
        *(nets.get(heading.code, 0) for heading in HEADINGS),
        party.debit,
        party.credit,
        party.net,
        party.carried_in,
        party.payable,
        party.carried_forward,
        party.collect,
    )


def _points(day: Day) -> Iterator[tuple[Any, ...]]:
    for party in day.parties:
        for each in party.points:
            yield party.id, each.program, each.issued, each.redeemed


def _stores(day: Day) -> Iterator[tuple[Any, ...]]:
    for party in day.parties:
        for each in party.stores:
            yield (
                party.id,
                each.store,
                each.name,
                each.unit,
                each.lines,
                each.issued,
                each.redeemed,
                each.sales,
                each.net,
            )


def _programs(day: Day) -> Iterator[tuple[Any, ...]]:
    for each in day.programs:
        yield (
            each.id,
            each.name,
            each.points_per_yuan,
            each.issued,
            each.redeemed,
            each.expired,
            each.outstanding,
            each.fund,
            each.rounding,
        )


def _channels(day: Day) -> Iterator[tuple[Any, ...]]:
    for each in day.channels:
        yield (
            each.channel,
            each.kind,
            each.count,
            each.points_issued,
            each.points_redeemed,
            each.debit,
            each.credit,
        )


def _fees(day: Day) -> Iterator[tuple[Any, ...]]:
    for party in day.parties:
        for kind, fen in party.fees:
            yield party.id, party.name, f"{kind} {FEE_KINDS.get(kind, '')}".rstrip(), fen


def _exceptions(day: Day) -> Iterator[tuple[Any, ...]]:
    for each in day.exceptions:
        yield (
            each.id,
            each.reason,
            iso_date(each.since),
            each.age_days,
            each.owner,
            each.terminal,
            f"{each.batch:06d}" if each.batch else "",
            f"{each.stan:06d}" if each.stan else "",
            each.rrn,
            each.unit,
            each.here,
            each.there,
            "resolved" if each.resolution else "open",
            each.text,
        )
