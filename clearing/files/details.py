"""Details of a party as CSV, for people with a spreadsheet and for a merchant's own system.

RFC 4180: commas, quotes where needed, CR LF. The encoding is UTF-8 with a byte order mark, by which
spreadsheets know it, or GB18030 for older Chinese programs.

**Long numbers.** A spreadsheet that opens a CSV turns ``0012345678901234`` into a rounded
float. Identifiers therefore begin with a tab character: spreadsheets then keep the cell as text,
every CSV reader gives the same text back but for the tab, and nothing is a formula. Another way,
``="0012"``, makes each cell a formula, read literally elsewhere and removed by mail filters.

**Formulas.** Free text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end gets an
apostrophe in front, so that a spreadsheet shows it and does not compute it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import lru_cache
from typing import TextIO

from clearing.files.figures import iso_date, iso_time, printable, yuan
from clearing.model import HEADINGS, Line

ENCODINGS = ("utf-8-sig", "gb18030")

_BASE = (
    "Sequence 流水号",
    "RRN 检索参考号",
    "Time 交易时间",
    "Business date 清算日期",
    "Merchant 商户号",
    "Terminal 终端号",
    "Batch 批次号",
    "STAN 凭证号",
    "Channel 渠道",
    "Transaction 交易类型",
    "Unit 单位",
    "Points 积分",
    "Sale yuan 消费金额",
    "Member 会员",
    "Original 原流水号",
)
_FIRST_LEG = len(_BASE)
_LAST = ("Net yuan 净额", "Remark 备注")
COLUMNS: tuple[str, ...] = (
    *_BASE,
    *(f"{heading.code} {heading.english} {heading.chinese}" for heading in HEADINGS),
    *_LAST,
)
"""The first row. A column's place never varies; columns of headings that a line lacks are empty."""

_PLACE = {heading.code: _FIRST_LEG + place for place, heading in enumerate(HEADINGS)}
_NO_LEGS = [""] * len(HEADINGS)
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def free_text(text: str) -> str:
    """A text for people, so that no spreadsheet takes it for a formula."""
    if not text:
        return ""
    if text.startswith(_DANGEROUS):
        return "'" + printable(text)
    return printable(text)


@lru_cache(maxsize=4096)
def identifier(text: str) -> str:
    """A number that is a name, so that no spreadsheet computes with it: a tab and the text."""
    return f"\t{printable(text)}" if text else ""


def row(line: Line) -> list[str | int]:
    """Give the cells of a line in the order of `COLUMNS`."""
    cells: list[str | int] = [
        f"\t{line.sequence}",
        f"\t{line.rrn}" if line.rrn else "",
        iso_time(line.local),
        iso_date(line.date),
        identifier(line.merchant),
        identifier(line.terminal),
        f"\t{line.batch:06d}" if line.batch else "",
        f"\t{line.stan:06d}" if line.stan else "",
        line.channel,
        line.kind,
        line.unit,
        line.points,
        yuan(line.sale),
        identifier(line.member),
        f"\t{line.original}" if line.original else "",
        *_NO_LEGS,
    ]
    net = 0
    for heading, fen in line.money:
        cells[_PLACE[heading]] = yuan(fen)
        net += fen
    cells.append(yuan(net))
    cells.append(free_text(line.text) if line.text else "")
    return cells


def write(lines: Iterable[Line], target: TextIO) -> None:
    """Write a heading row and a row a line.

    Args:
        lines: in the order in which they shall stand.
        target: opened with one of `ENCODINGS`, ``newline=""`` and ``errors="replace"``.
    """
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(row, lines))
