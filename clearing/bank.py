"""What the bank says became of the payments: confirmations as CSV or camt.053, read into records.

Files come from outside, so nothing of them is believed before it has been read whole: a limit on
their size, no entities, no network, every amount and date in its form. Entries that are not about
payments of ours are counted and left alone. Matching against what was paid is done by the caller;
here nothing knows what was paid.

CSV, columns by the names of the heading row, in any order, UTF-8 with or without a byte order mark,
or GB18030: ``end_to_end_id``, ``amount`` (yuan), ``booked`` (YYYY-MM-DD), ``status``
(``confirmed`` or ``refused``), ``reason`` (may be absent). Cells may begin with the tab that
spreadsheets are fed with.

camt.053.001.08 (other versions of the message are read as well, by local names): each debit entry
that is booked confirms its transactions by ``EndToEndId``; a credit entry with return information,
or one marked as a reversal, refuses its transactions. Entries that are not yet booked say nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from lxml import etree

from clearing.files.figures import fen_of, printable
from clearing.files.payments import parse_end_to_end_id, parser

SIZE_MAX = 64 * 1024 * 1024
"""Bytes of a file of confirmations; a hundred thousand payments need a third of it."""
REASON_MAX = 140
CONFIRMED, REFUSED = "confirmed", "refused"
COLUMNS = ("end_to_end_id", "amount", "booked", "status")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})([T+Z].*)?")
_CAMT = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.[0-9]{2}\}Document")


class Unreadable(Exception):
    """The file is not what it should be: nothing of it is taken. One sentence, with the place."""


@dataclass(slots=True)
class Confirmation:
    """What became of one payment.

    Attributes:
        end_to_end_id: as `clearing.files.payments.end_to_end_id` made it.
        fen: the amount that the bank names, > 0.
        booked: day of booking, YYYYMMDD.
        status: `CONFIRMED` or `REFUSED`.
        reason: the bank's words or code for a refusal, or empty.
    """

    end_to_end_id: str
    fen: int
    booked: int
    status: str
    reason: str


@dataclass(slots=True)
class Confirmations:
    """A file of confirmations: those of ours, and how many entries were of others."""

    found: list[Confirmation] = field(default_factory=list)
    others: int = 0


def read(path: Path) -> Confirmations:
    """Read a file of confirmations, of either format.

    Raises:
        Unreadable: it is too large, or not of a known format, or damaged.
        OSError: it cannot be opened.
    """
    with path.open("rb") as source:
        data = source.read(SIZE_MAX + 1)
    if len(data) > SIZE_MAX:
        raise Unreadable(f"the file is larger than {SIZE_MAX // 1024 // 1024} MiB: split it")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_camt(data)
    return read_csv(data)


def read_csv(data: bytes) -> Confirmations:
    """Read confirmations as CSV.

    Raises:
        Unreadable: naming the line.
    """
    result = Confirmations()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")
        except UnicodeDecodeError:
            raise Unreadable("the file is neither UTF-8 nor GB18030") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        heads = [head.strip() for head in rows.fieldnames or ()]
        missing = [column for column in COLUMNS if column not in heads]
        if missing:
            raise Unreadable(f"the heading row has no column {', '.join(missing)}")
        if len(set(heads)) != len(heads):
            raise Unreadable("a column stands in the heading row twice")
        rows.fieldnames = heads
        for row in rows:
            if None in row or None in row.values():
                raise Unreadable(f"line {rows.line_num} has another number of cells than the first")
            cells = {name: cell.strip() for name, cell in row.items()}
            _take(
                result,
                f"line {rows.line_num}",
                (cells["end_to_end_id"], cells["amount"], cells["booked"]),
                cells["status"],
                cells.get("reason", ""),
            )
    except csv.Error:
        raise Unreadable(f"line {max(rows.line_num, 1)} is not CSV") from None
    return result


def _take(
    result: Confirmations, place: str, cells: tuple[str, str, str], status: str, reason: str
) -> None:
    """Check one confirmation and add it; one of somebody else's payments is only counted."""
    name, amount, booked = cells
    if parse_end_to_end_id(name) is None:
        result.others += 1
        return
    if status not in (CONFIRMED, REFUSED):
        raise Unreadable(f"{place}: status has to be {CONFIRMED} or {REFUSED}")
    try:
        fen = fen_of(amount)
    except ValueError as fault:
        raise Unreadable(f"{place}: the amount {fault}") from None
    if fen <= 0:
        raise Unreadable(f"{place}: the amount has to be above zero")
    remark = printable(reason)[:REASON_MAX]
    result.found.append(Confirmation(name, fen, _date(booked, place), status, remark))


def _date(text: str, place: str) -> int:
    found = _DATE.fullmatch(text)
    try:
        day = date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise Unreadable(f"{place}: the day of booking has to be like 2026-12-31")
    return day.year * 10000 + day.month * 100 + day.day


def read_camt(data: bytes) -> Confirmations:
    """Read confirmations from a bank's statement, ISO 20022 camt.053.

    Raises:
        Unreadable: naming the entry.
    """
    try:
        root = etree.fromstring(data, parser())
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable("the file is no well-formed XML document") from None
    if root.getroottree().docinfo.doctype:
        raise Unreadable("the file has a document type, which no bank statement has")
    if not _CAMT.fullmatch(root.tag):
        raise Unreadable("the file is no camt.053 statement")
    result = Confirmations()
    for number, entry in enumerate(root.iter("{*}Ntry"), 1):
        _entry(result, f"entry {number}", entry)
    return result


def _entry(result: Confirmations, place: str, entry: Any) -> None:
    """Take the transactions of one entry of a statement."""
    if (_text(entry, "Sts/Cd") or _text(entry, "Sts")) not in ("BOOK", ""):
        return
    booked = _text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm")
    debit = _text(entry, "CdtDbtInd") == "DBIT"
    transactions = list(_below(entry, "NtryDtls/TxDtls"))
    if not transactions:
        result.others += 1
    for transaction in transactions:
        name = _text(transaction, "Refs/EndToEndId")
        if parse_end_to_end_id(name) is None:
            result.others += 1
            continue
        amount = next(_below(transaction, "Amt"), None)
        if amount is None and len(transactions) == 1:
            amount = next(_below(entry, "Amt"), None)
        if amount is None or amount.get("Ccy") != "CNY":
            raise Unreadable(f"{place}: payment {name} has no amount in CNY")
        returned = next(_below(transaction, "RtrInf"), None) is not None
        returned = returned or _text(entry, "RvslInd") == "true"
        if debit == returned:
            raise Unreadable(f"{place}: payment {name} is neither a debit nor a return")
        reason = _text(transaction, "RtrInf/AddtlInf") or _text(transaction, "RtrInf/Rsn/Cd")
        reason = reason or _text(transaction, "AddtlTxInf")
        status = REFUSED if returned else CONFIRMED
        cells = (name, (amount.text or "").strip(), booked)
        _take(result, place, cells, status, reason if returned else "")


def _below(element: Any, path: str) -> Iterator[Any]:
    steps = "/".join(f"{{*}}{step}" for step in path.split("/"))
    found: Iterator[Any] = element.iterfind(steps)
    return found


def _text(element: Any, path: str) -> str:
    found = next(_below(element, path), None)
    return "" if found is None else (found.text or "").strip()
