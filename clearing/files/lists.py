"""Short lists as CSV: exceptions, parties that are not paid, parties asked to pay.

The same rules as in `clearing.files.details`: identifiers begin with a tab, free text is never a
formula, UTF-8 with a byte order mark, CR LF. A list without rows still has its heading row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from clearing.files.details import free_text, identifier
from clearing.files.figures import iso_date, yuan
from clearing.model import Day, ExceptionItem, PartyDay, account_known

EXCEPTION_COLUMNS = (
    "Exception 差异号",
    "Reason 原因",
    "Since 首次日期",
    "Age days 天数",
    "Owner 责任方",
    "Merchant 商户号",
    "Terminal 终端号",
    "Batch 批次号",
    "STAN 凭证号",
    "RRN 检索参考号",
    "Sequence 流水号",
    "Unit 单位",
    "Here 本方",
    "There 对方",
    "Difference 差额",
    "State 状态",
    "Resolution 调整流水号",
    "Remark 备注",
)
UNPAID_COLUMNS = (
    "Party 编号",
    "Name 名称",
    "Payable yuan 应付金额",
    "Reason 原因",
)
COLLECTION_COLUMNS = (
    "Party 编号",
    "Name 名称",
    "Institution 机构",
    "Collect yuan 应收金额",
    "Owing since 欠款起始日",
)

NO_ACCOUNT = "no bank account on record that a payment file can carry"
NO_OPERATOR_ACCOUNT = "the operator's own account is not on record"


def _amount(unit: str, amount: int) -> str:
    return yuan(amount) if unit == "156" else str(amount)


def _exception(item: ExceptionItem) -> tuple[str, ...]:
    return (
        identifier(item.id),
        free_text(item.reason),
        iso_date(item.since),
        str(item.age_days),
        free_text(item.owner),
        identifier(item.merchant),
        identifier(item.terminal),
        identifier(f"{item.batch:06d}") if item.batch else "",
        identifier(f"{item.stan:06d}") if item.stan else "",
        identifier(item.rrn),
        identifier(str(item.sequence)) if item.sequence else "",
        item.unit,
        _amount(item.unit, item.here),
        _amount(item.unit, item.there),
        _amount(item.unit, item.here - item.there),
        "resolved" if item.resolution else "open",
        identifier(str(item.resolution)) if item.resolution else "",
        free_text(item.text),
    )


def payer_known(day: Day) -> bool:
    """True when the operator's account, from which payments are made, is known."""
    return account_known(day.operator.account_number, day.operator.bank_code)


def credits_of(day: Day) -> tuple[list[PartyDay], list[PartyDay]]:
    """Divide the parties that are owed money into those that can be paid and those that cannot."""
    payer = payer_known(day)
    paid: list[PartyDay] = []
    unpaid: list[PartyDay] = []
    for party in day.parties:
        if party.payable:
            (paid if payer and party.transferable else unpaid).append(party)
    return paid, unpaid


def write_exceptions(day: Day, target: TextIO) -> int:
    """Write the exceptions of the day; returns their number."""
    return _write(EXCEPTION_COLUMNS, map(_exception, day.exceptions), target)


def write_unpaid(day: Day, target: TextIO) -> int:
    """Write who is owed money that no payment file can carry; returns their number."""
    _, unpaid = credits_of(day)
    reason = NO_ACCOUNT if payer_known(day) else NO_OPERATOR_ACCOUNT
    rows = (
        (identifier(party.id), free_text(party.name), yuan(party.payable), reason)
        for party in unpaid
    )
    return _write(UNPAID_COLUMNS, rows, target)


def write_collections(day: Day, target: TextIO) -> int:
    """Write who is asked to pay; returns their number."""
    rows = (
        (
            identifier(party.id),
            free_text(party.name),
            free_text(party.institution),
            yuan(party.collect),
            iso_date(party.owing_since),
        )
        for party in day.parties
        if party.collect
    )
    return _write(COLLECTION_COLUMNS, rows, target)


def _write(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], target: TextIO) -> int:
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for cells in rows:
        writer.writerow(cells)
        count += 1
    return count
