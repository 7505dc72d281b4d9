"""The forms of a report: a table for people, CSV, a workbook.

A report yields rows of texts and whole numbers; what each column holds says how a cell is shown.
A table that is wider than the terminal is printed a row at a time, a line a column, so that no
number is ever cut.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

import click
import xlsxwriter
from rich import box
from rich.table import Table

from clearing.console import fits, stdout_console
from clearing.files.details import free_text
from ledger.model import MONEY

MONEY_COLUMN: Final = "yuan"
NUMBER_COLUMN: Final = "number"
SERIAL_COLUMN: Final = "serial"
TEXT_COLUMN: Final = "text"
TIME_COLUMN: Final = "time"
UNIT_COLUMN: Final = "unit"

TABLE_ROWS_MAX: Final = 1000
"""Rows of a table for people; CSV and workbooks have all."""
UNSEEN_WIDTH: Final = 240
"""Columns of a table that no terminal shows."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Report:
    """A report.

    Attributes:
        english, chinese: its title.
        columns: heading (English, a space, Chinese), and what is in it: `MONEY_COLUMN` fen,
            `NUMBER_COLUMN` how many, `SERIAL_COLUMN` which entry, `TEXT_COLUMN` texts,
            `TIME_COLUMN` local times as numbers YYYYMMDDhhmmss, `UNIT_COLUMN` an amount of what
            the row's column ``unit`` names.
        rows: makes them out of what the report is about.
    """

    english: str
    chinese: str
    columns: tuple[tuple[str, str], ...]
    rows: Callable[[Any], Iterator[Row]]


def yuan(fen: int) -> str:
    """Fen as yuan with two decimals, without separators."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}"


def moment(digits: int) -> str:
    """A local time YYYYMMDDhhmmss as people write it; empty for none."""
    text = f"{digits:014}"
    date, clock = text[:8], text[8:]
    if not digits:
        return ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}"


def column_key(column: str) -> str:
    """A column's name in JSON: its English words."""
    return "_".join(re.findall(r"[a-z]+", column.lower()))


def _shown(report: Report, row: Row) -> list[tuple[str, Any]]:
    """How each cell is shown, and its value."""
    unit = next(
        (cell for cell, (name, _) in zip(row, report.columns, strict=True) if name[:4] == "unit"),
        "",
    )
    amount = MONEY_COLUMN if unit == MONEY else NUMBER_COLUMN
    return [
        (amount if how == UNIT_COLUMN else how, cell)
        for cell, (_, how) in zip(row, report.columns, strict=True)
    ]


def _plain(how: str, cell: Any) -> str:
    """A cell as text for other programs."""
    if how == MONEY_COLUMN:
        return yuan(cell)
    return moment(cell) if how == TIME_COLUMN else str(cell)


def _written(how: str, cell: Any) -> str:
    """A cell as text for people."""
    if how == MONEY_COLUMN:
        return f"{'-' if cell < 0 else ''}{abs(cell) // 100:,}.{abs(cell) % 100:02}"
    return f"{cell:,}" if how == NUMBER_COLUMN else _plain(how, cell)


def write_csv(report: Report, rows: Iterator[Row], out: Any) -> None:
    """Write a report as CSV, UTF-8 with a byte order mark, safe to open in a spreadsheet."""
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([name for name, _ in report.columns])
    for row in rows:
        writer.writerow(
            [
                free_text(_plain(how, cell)) if how == TEXT_COLUMN else _plain(how, cell)
                for how, cell in _shown(report, row)
            ]
        )


def write_xlsx(report: Report, rows: Iterator[Row], out: Any) -> None:
    """Write a report as a workbook of one sheet."""
    with TemporaryFile() as made:  # a zip file that cannot be ended complains without end
        _make_workbook(report, rows, made)
        made.seek(0)
        shutil.copyfileobj(made, out)


def _make_workbook(report: Report, rows: Iterator[Row], out: BinaryIO) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(out, options)
    sheet = book.add_worksheet(report.english[:31])
    heading = book.add_format({"bold": True, "text_wrap": True})
    money = book.add_format({"num_format": "#,##0.00"})
    whole = book.add_format({"num_format": "#,##0"})
    sheet.freeze_panes(1, 0)
    for place, (name, how) in enumerate(report.columns):
        sheet.set_column(place, place, 24 if _is_text(how) else 14)
        sheet.write_string(0, place, name, heading)
    for number, row in enumerate(rows, 1):
        for place, (how, cell) in enumerate(_shown(report, row)):
            if _is_text(how):
                sheet.write_string(number, place, _plain(how, cell))
            elif how == MONEY_COLUMN:
                sheet.write_number(number, place, cell / 100, money)
            else:
                sheet.write_number(number, place, cell, whole)
    book.close()


def _is_text(how: str) -> bool:
    return how in {TEXT_COLUMN, TIME_COLUMN}


def print_table(report: Report, rows: Iterator[Row]) -> None:
    """Print a report for people: its first rows, and where money is in it, in which unit.

    Of the columns of money, those in which there is any are printed.
    """
    shown = list(islice(rows, TABLE_ROWS_MAX))
    more = sum(1 for _ in rows)
    kept = [
        place
        for place, (_, how) in enumerate(report.columns)
        if how != MONEY_COLUMN or not shown or any(row[place] for row in shown)
    ]
    console = stdout_console(UNSEEN_WIDTH)
    table = _table(report, shown, kept)
    if fits(console, table):
        console.print(table)
    else:
        console.print(f"{report.english} {report.chinese}", style="bold")
        for row in shown:
            console.print()
            console.print(_record(report, row, kept))
    if any(how in {MONEY_COLUMN, UNIT_COLUMN} for _, how in report.columns):
        console.print("money in yuan, two decimals 金额单位: 元")
    if more:
        click.echo(f"and {more} more: --format csv has all of them")


def _table(report: Report, rows: list[Row], kept: list[int]) -> Table:
    table = Table(title=f"{report.english} {report.chinese}", box=box.SIMPLE_HEAD, pad_edge=False)
    for place in kept:
        name, how = report.columns[place]
        english, _, chinese = name.rpartition(" ")
        table.add_column(f"{english}\n{chinese}", justify="left" if _is_text(how) else "right")
    for row in rows:
        cells = _shown(report, row)
        table.add_row(*[_written(*cells[place]) for place in kept])
    return table


def _record(report: Report, row: Row, kept: list[int]) -> Table:
    """A row by itself, a line a column; amounts of zero and empty texts are left out."""
    table = Table.grid(padding=(0, 2))
    cells = _shown(report, row)
    for place in kept:
        how, cell = cells[place]
        if cell == "" or (cell == 0 and how in {MONEY_COLUMN, NUMBER_COLUMN}):
            continue
        english, _, chinese = report.columns[place][0].rpartition(" ")
        table.add_row(english, chinese, _written(how, cell))
    return table
