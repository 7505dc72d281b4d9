"""A partner's own list of a date's transactions, compared with the journal.

A merchant's or channel's system tells what it believes happened, as CSV (UTF-8 with or without a
byte order mark, or GB18030) with a heading row and the columns, in any order: ``rrn``, ``date``
(YYYY-MM-DD), ``merchant``, ``unit`` (``156`` or a program), ``amount`` (yuan for ``156``, else
points) and ``state`` (``done`` or ``reversed``). Cells may begin with the tab that spreadsheets are
fed with. Compared are the transactions of the merchants that the file names.

Reasons: ``only-here``, ``only-there``, ``amount``, ``date``, ``twice``, ``reversed``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clearing.day import Extent, find_extent, read_entries
from clearing.matching import Found, Transaction, transaction_of
from clearing.model import PARTY_ID
from clearing.settle import REQUESTS
from engine.rules.clearing import NoteDiscrepancy
from engine.vault import Vault
from ledger.model import MONEY
from ledger.tables import Snapshot

SIZE_MAX = 256 * 1024 * 1024
COLUMNS = ("rrn", "date", "merchant", "unit", "amount", "state")
_RRN = re.compile(r"\d{12}", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_UNIT = re.compile(r"156|P\d\d", re.ASCII)
_YUAN = re.compile(r"(\d{1,12})(?:\.(\d{1,2}))?", re.ASCII)


class NotAPartnerFile(Exception):
    """The file is not of the stated form: nothing of it is taken. One sentence with the place."""


@dataclass(slots=True)
class Item:
    """A transaction as the partner tells it."""

    rrn: str
    date: int
    merchant: str
    unit: str
    amount: int
    reversed: bool


def read_partner(path: Path) -> list[Item]:
    """Read a partner's file.

    Raises:
        NotAPartnerFile: naming the line.
        OSError: it cannot be opened.
    """
    with path.open("rb") as source:
        data = source.read(SIZE_MAX + 1)
    if len(data) > SIZE_MAX:
        raise NotAPartnerFile(f"the file is larger than {SIZE_MAX >> 20} MiB: split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("gb18030", "replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    items = []
    try:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise NotAPartnerFile(f"the heading row has no column {missing[0]}")
        for number, row in enumerate(rows, 2):
            items.append(_item(number, {name: (row[name] or "").strip() for name in COLUMNS}))
    except csv.Error as error:
        raise NotAPartnerFile(f"line {max(rows.line_num, 1)} is not CSV: {error}") from None
    return items


def _item(number: int, row: dict[str, str]) -> Item:
    if not _RRN.fullmatch(row["rrn"]):
        raise NotAPartnerFile(f"line {number}: rrn has to be 12 digits, as on the receipt")
    if not PARTY_ID.fullmatch(row["merchant"]):
        raise NotAPartnerFile(f"line {number}: merchant has to be a merchant's id")
    date = _DATE.fullmatch(row["date"])
    if date is None:
        raise NotAPartnerFile(f"line {number}: date has to be YYYY-MM-DD")
    if not _UNIT.fullmatch(row["unit"]):
        raise NotAPartnerFile(f"line {number}: unit has to be 156 or a program")
    amount = _YUAN.fullmatch(row["amount"])
    if amount is None or (amount[2] and row["unit"] != MONEY):
        raise NotAPartnerFile(f"line {number}: amount has to be yuan, or whole points")
    if row["state"] not in {"done", "reversed"}:
        raise NotAPartnerFile(f"line {number}: state has to be done or reversed")
    value = int(amount[1])
    if row["unit"] == MONEY:
        value = value * 100 + int((amount[2] or "").ljust(2, "0"))
    day = int(date[1] + date[2] + date[3])
    return Item(row["rrn"], day, row["merchant"], row["unit"], value, row["state"] == "reversed")


def match_partner(directory: Path, date: int, items: list[Item], vault: Vault) -> Found:
    """Compare a partner's list with the journal of a business date.

    Raises:
        clearing.day.NotCut: the date is not to be cleared.
    """
    found = Found()
    merchants = {item.merchant for item in items}
    with Snapshot(directory) as snapshot:
        found.sequence = snapshot.sequence
        extent = find_extent(snapshot, date)
        there: dict[str, list[Item]] = {}
        for item in items:
            there.setdefault(item.rrn, []).append(item)
        for rrn, told in there.items():
            place = vault.sequence(rrn)
            ours = transaction_of(snapshot, place[1]) if place and not place[0] else None
            if ours is not None and ours.merchant != told[0].merchant:
                ours = None
            judged = _judge(ours, told)
            if judged is not None:
                found.commands.append(_noted(date, told[0].merchant, rrn, ours, told, judged))
        for ours in _here(directory, snapshot, extent, merchants):
            rrn = vault.rrn(ours.sequence)
            if rrn not in there and not ours.undone:
                told_here = "only-here", "the host has it, the partner does not"
                found.commands.append(_noted(date, ours.merchant, rrn, ours, [], told_here))
    return found


def _judge(ours: Transaction | None, told: list[Item]) -> tuple[str, str] | None:
    """Reason and sentence where the two sides differ."""
    first = told[0]
    if len(told) > 1:
        return "twice", f"the partner tells it {len(told)} times"
    if ours is None:
        return None if first.reversed else ("only-there", "the partner has it, the host does not")
    if ours.undone != first.reversed:
        side = "host" if ours.undone else "partner"
        return "reversed", f"it was undone at the {side}'s side only"
    if ours.undone:
        return None
    if (ours.unit, ours.amount) != (first.unit, first.amount):
        return "amount", "the amounts differ"
    if ours.date != first.date:
        return "date", f"the host has it on {ours.date}, the partner on {first.date}"
    return None


def _noted(
    date: int,
    merchant: str,
    rrn: str,
    ours: Transaction | None,
    told: list[Item],
    judged: tuple[str, str],
) -> NoteDiscrepancy:
    unit = ours.unit if ours else told[0].unit
    return NoteDiscrepancy(
        f"partner-{merchant}-{rrn}",
        judged[0],
        date,
        merchant,
        merchant,
        "",
        0,
        0,
        rrn,
        ours.sequence if ours else 0,
        unit,
        ours.amount if ours and not ours.undone else 0,
        sum(item.amount for item in told if not item.reversed),
        judged[1],
    )


def _here(
    directory: Path, snapshot: Snapshot, extent: Extent, merchants: set[str]
) -> Iterator[Transaction]:
    """The transactions that merchants made on the date."""
    for fields in read_entries(directory, extent.first, extent.last):
        if fields[4] in REQUESTS and fields[5][1] in merchants:
            found = transaction_of(snapshot, fields[0])
            if found is not None:
                yield found
