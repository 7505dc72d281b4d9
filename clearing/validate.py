"""Checking a set of files with no ledger: is it whole, unchanged, and true to itself?

`validate` reads a folder as a stranger would: the manifest first, then each file by size and
digest, then the settlement file against itself (`clearing.files.settlement_check`), then the other
files against the settlement file. It goes on after a finding where it can, so that a rejected set
is answered with the reason and not only with "digest differs". What it cannot see is an exchange of
the whole set for another consistent one; for that the manifest's digest is handed on separately.
"""

from __future__ import annotations

import csv
import hashlib
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from clearing.files import manifest, payments, settlement_check
from clearing.files.details import COLUMNS
from clearing.files.figures import fen_of, iso_date
from clearing.files.folder import DETAILS, MANIFEST, NAMES, STATEMENTS, Written, names_in
from clearing.files.settlement_check import Found

REASONS = {
    **settlement_check.REASONS,
    "no-manifest": "the folder has no manifest: the set is unfinished",
    "manifest": "the manifest is damaged or not of this format",
    "manifest-totals": "the manifest's totals differ from the settlement file",
    "missing-file": "a file that the set has to have is not there",
    "extra-file": "a file is there that the manifest does not know",
    "size": "a file has another size than the manifest says",
    "sha256": "a file has another digest than the manifest says",
    "records": "a file has another number of records than the manifest says",
    "details": "a party's CSV differs from its batch in the settlement file",
    "statement": "a statement is not a PDF document",
    "workbook": "the workbook is damaged, or differs from the settlement file",
    "payments": "the payment file does not have the structure of its schema",
    "payments-sums": "payments and unpaid differ from what the settlement file says is payable",
    "collections": "the collection list differs from the settlement file",
    "list": "a list cannot be read",
}

FINDINGS_MAX = 100
"""Findings that are told; more would say nothing new."""
MANIFEST_BYTES_MAX = 256 * 1024 * 1024
WORKBOOK_PART_MAX = 64 * 1024 * 1024
_PDF = b"%PDF-"
_UNPACKING = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, etree.XMLSyntaxError),
    *(KeyError, ValueError, OSError, RuntimeError, EOFError, ArithmeticError),
)
"""What reading a damaged archive ends in."""


@dataclass(slots=True)
class Finding:
    """Something wrong with a set: `reason` is a key of `REASONS`, `text` says where."""

    reason: str
    file: str
    text: str


class _Enough(Exception):
    """There are findings enough."""


def validate(folder: Path, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Check a set.

    Args:
        folder: as `clearing.files.writing.write_set` left it.
        progress: called with (bytes read, bytes of all files).

    Returns:
        What is wrong, in the order in which it was found; nothing for a good set.
    """
    checker = _Set(folder, progress)
    with suppress(_Enough):
        checker.check()
    return checker.findings


class _Set:
    """One validation."""

    def __init__(self, folder: Path, progress: Callable[[int, int], None] | None) -> None:
        self.findings: list[Finding] = []
        self._folder = folder
        self._progress = progress
        self._told: manifest.Manifest
        self._files: dict[str, Written] = {}
        self._read = 0

    def note(self, reason: str, file: str, text: str) -> None:
        """Add a finding."""
        if reason not in REASONS:
            raise KeyError(reason)
        self.findings.append(Finding(reason, file, text))
        if len(self.findings) >= FINDINGS_MAX:
            raise _Enough

    def check(self) -> None:
        """All checks, in order."""
        if not self._read_manifest():
            return
        present = self._check_names()
        for name in sorted(present):
            self._check_digest(name)
        found = self._check_settlement(present)
        self._check_parties_have_files(found)
        for name in sorted(present):
            if name.startswith("details/"):
                self._check_details(name, found)
            elif name.startswith("statements/"):
                self._check_statement(name)
        self._check_money(present, found)
        self._check_workbook(present, found)

    def _open(self, name: str) -> BinaryIO:
        """Open a file of the set, which is never a link to somewhere else."""
        descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        return os.fdopen(descriptor, "rb", buffering=1 << 18)

    def _one(self, present: set[str], beginning: str) -> str:
        return next((name for name in sorted(present) if name.startswith(beginning)), "")

    # -- the manifest and the files that it names

    def _read_manifest(self) -> bool:
        path = self._folder / MANIFEST
        if path.is_symlink() or not path.is_file():
            self.note("no-manifest", MANIFEST, "there is no manifest in the folder")
            return False
        with self._open(MANIFEST) as source:
            data = source.read(MANIFEST_BYTES_MAX)
        try:
            self._told = manifest.read(data)
        except manifest.Unreadable as fault:
            self.note("manifest", MANIFEST, str(fault))
            return False
        if self._told.fault:
            self.note("manifest", MANIFEST, self._told.fault)
        self._files = self._told.files
        return True

    def _check_names(self) -> set[str]:
        present = set()
        stem = f"{self._told.date}-{self._told.run:02d}"
        there = set(names_in(self._folder))
        for name in sorted(self._files):
            if not NAMES.fullmatch(name) or name == MANIFEST or f"-{stem}" not in name:
                self.note("manifest", MANIFEST, "it names a file that no set of this run has")
            elif name not in there:
                self.note("missing-file", name, "is not there")
            elif (self._folder / name).is_symlink():
                self.note("extra-file", name, "is a link to somewhere else")
            else:
                present.add(name)
        for name in sorted(there - self._files.keys() - {MANIFEST}):
            self.note("extra-file", name, "is not known to the manifest")
        for beginning in ("settlement-", "summary-", "exceptions-", "unpaid-", "collections-"):
            if not any(name.startswith(beginning) for name in self._files):
                self.note("missing-file", MANIFEST, f"it names no {beginning[:-1]} file")
        return present

    def _check_digest(self, name: str) -> None:
        said = self._files[name]
        digest, size = hashlib.sha256(), 0
        with self._open(name) as source:
            while data := source.read(1 << 20):
                digest.update(data)
                size += len(data)
        self._read += size
        if self._progress:
            self._progress(self._read, sum(each.size for each in self._files.values()))
        if size != said.size:
            self.note("size", name, f"has {size} bytes, the manifest says {said.size}")
        if digest.hexdigest() != said.sha256:
            self.note("sha256", name, "has another SHA-256 than the manifest says")

    def _count(self, name: str, records: int) -> None:
        said = self._files[name].records
        if records != said:
            self.note("records", name, f"has {records} records, the manifest says {said}")

    # -- the settlement file

    def _check_settlement(self, present: set[str]) -> Found:
        name = self._one(present, "settlement-")
        if not name:
            return Found()
        with self._open(name) as source:
            found = settlement_check.check(
                source, lambda reason, text: self.note(reason, name, text)
            )
        self._count(name, found.records)
        if not found.header or not found.trailer:
            return found
        told = self._told
        for column, expected in (
            ("date", told.date),
            ("run", told.run),
            ("supersedes", told.supersedes),
            ("value date", told.value_date),
            ("closed", told.closed),
            ("first sequence", told.journal["first"]),
            ("last sequence", told.journal["last"]),
            ("considered", told.journal["considered"]),
        ):
            if int(found.header[column]) != expected:
                self.note("date" if "date" in column else "manifest-totals", name, f"its {column}")
        for column, key in (
            *(("parties", "parties"), ("details", "lines"), ("debit", "debit")),
            *(("credit", "credit"), ("payable", "payable"), ("collect", "collect")),
        ):
            if found.trailer[column] != told.totals[key]:
                self.note("manifest-totals", name, f"{column} differs from the manifest's {key}")
        return found

    # -- the parties' files

    def _check_parties_have_files(self, found: Found) -> None:
        """A party with lines has its CSV and its statement, one with money open the latter."""
        stem = f"{self._told.date}-{self._told.run:02d}"
        for party, figures in found.parties.items():
            money_open = figures.carried_in or figures.payable or figures.collect
            for wanted, name in (
                (figures.details, f"{DETAILS}/details-{stem}-{party}.csv"),
                (figures.details or money_open, f"{STATEMENTS}/statement-{stem}-{party}.pdf"),
            ):
                if wanted and name not in self._files:
                    self.note("missing-file", MANIFEST, f"it names no {name}")

    def _party_of(self, name: str) -> str:
        """The party in a file's name: behind date and run."""
        return name.rsplit("/", 1)[-1].rsplit(".", 1)[0].split("-", 3)[3]

    def _check_details(self, name: str, found: Found) -> None:
        party = found.parties.get(self._party_of(name))
        if party is None:
            self.note("details", name, "its party is not in the settlement file")
            return
        count, net = 0, 0
        try:
            for row in self._rows(name, COLUMNS):
                count += 1
                net += fen_of(row[-2])
        except (ValueError, csv.Error, UnicodeError) as fault:
            self.note("details", name, f"row {count} cannot be read ({type(fault).__name__})")
            return
        self._count(name, count)
        if count != party.details:
            self.note(
                "details", name, f"has {count} lines, the settlement file has {party.details}"
            )
        if net != party.credit - party.debit:
            self.note("details", name, "its net differs from the settlement file's")

    def _rows(self, name: str, columns: tuple[str, ...] | None = None) -> Iterator[list[str]]:
        """Give the rows of a CSV behind its heading row.

        Raises:
            ValueError: the heading row or a row's length is not as it must be.
        """
        with self._open(name) as source:
            marked = source.read(3) == b"\xef\xbb\xbf"
            source.seek(0)
            encoding = "utf-8-sig" if marked else "gb18030"
            rows = csv.reader(io.TextIOWrapper(source, encoding, newline=""), strict=True)
            heads = next(rows, [])
            if columns is not None and heads != list(columns):
                raise ValueError("the heading row is another")
            for row in rows:
                if len(row) != len(heads):
                    raise ValueError("a row has another number of cells")
                yield row

    def _check_statement(self, name: str) -> None:
        with self._open(name) as source:
            beginning = source.read(len(_PDF))
        if beginning != _PDF:
            self.note("statement", name, "does not begin as a PDF document does")

    # -- payments and lists against what is payable

    def _check_money(self, present: set[str], found: Found) -> None:
        paid = self._payments(self._one(present, "payments-"))
        unpaid = self._list(self._one(present, "unpaid-"), 2)
        collected = self._list(self._one(present, "collections-"), 3)
        self._list(self._one(present, "exceptions-"), -1)
        if not found.trailer or paid is None or unpaid is None or collected is None:
            return
        date, run = self._told.date, self._told.run
        name = self._one(present, "payments-") or self._one(present, "unpaid-")
        for party, figures in found.parties.items():
            paid_here = paid.pop(payments.end_to_end_id(date, run, party), 0)
            unpaid_here = unpaid.pop(party, 0)
            if paid_here and unpaid_here:
                self.note("payments-sums", name, f"party {party} is paid and unpaid")
            elif paid_here + unpaid_here != figures.payable:
                self.note(
                    "payments-sums",
                    name,
                    f"party {party}: {paid_here + unpaid_here} fen, payable are {figures.payable}",
                )
            if collected.pop(party, 0) != figures.collect:
                lists = self._one(present, "collections-")
                self.note("collections", lists, f"party {party}: another amount is to be collected")
        for stranger in (*paid, *unpaid):
            self.note("payments-sums", name, f"{stranger} is not of this settlement")
        for stranger in collected:
            self.note("collections", name, f"{stranger} is not of this settlement")

    def _payments(self, name: str) -> dict[str, int] | None:
        """The fen of each payment by its end-to-end id; None where it cannot be told."""
        if not name:
            return {}
        with self._open(name) as source:
            data = source.read(payments.SIZE_MAX)
        wrong, found = payments.check(data)
        for each in wrong:
            self.note("payments", name, each)
        if wrong:
            return None
        self._count(name, len(found))
        if f"<Dt>{iso_date(self._told.value_date)}</Dt>".encode() not in data:
            self.note("date", name, "it is to be executed on another day than the value date")
        return found

    def _list(self, name: str, amount_at: int) -> dict[str, int] | None:
        """Read a list by party; None where it cannot be read."""
        if not name:
            return None
        found: dict[str, int] = {}
        count = 0
        try:
            for row in self._rows(name):
                count += 1
                if amount_at >= 0:
                    party = row[0].removeprefix("\t")
                    if party in found:
                        self.note("duplicate", name, f"party {party} occurs twice")
                    found[party] = fen_of(row[amount_at])
        except (ValueError, csv.Error, UnicodeError, IndexError) as fault:
            self.note("list", name, f"row {count} cannot be read ({type(fault).__name__})")
            return None
        self._count(name, count)
        return found

    # -- the workbook

    def _check_workbook(self, present: set[str], found: Found) -> None:
        name = self._one(present, "summary-")
        if not name:
            return
        try:
            with self._open(name) as source, zipfile.ZipFile(source) as book:
                if any(part.file_size > WORKBOOK_PART_MAX for part in book.infolist()):
                    return  # too large to be unpacked here; its digest was checked
                damaged = book.testzip()
                if damaged:
                    self.note("workbook", name, f"part {damaged} is damaged")
                    return
                figures = _first_sheet(book.read("xl/worksheets/sheet1.xml"))
        except _UNPACKING as fault:
            self.note("workbook", name, f"cannot be unpacked ({type(fault).__name__})")
            return
        self._count(name, figures.get("Parties 商户数", -100) // 100)
        for label, column, scale in (
            ("Lines 笔数", "details", 100),
            ("Debit 借方", "debit", 1),
            ("Credit 贷方", "credit", 1),
            ("Net 净额", "net", 1),
            ("Carried in 上期结转", "carried in", 1),
            ("Payable 应付金额", "payable", 1),
            ("Carried forward 结转下期", "carried forward", 1),
            ("Collect 应收金额", "collect", 1),
        ):
            if found.trailer and figures.get(label) != found.trailer[column] * scale:
                self.note("workbook", name, f"{label} differs from the settlement file")


def _first_sheet(data: bytes) -> dict[str, int]:
    """Read labels and figures of the first sheet, all in hundredths: fen, where it says yuan."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    figures: dict[str, int] = {}
    for row in etree.fromstring(data, payments.parser()).iter(f"{space}row"):
        cells = list(row)
        if len(cells) > 1 and cells[1].find(f"{space}v") is not None:
            label = "".join(cells[0].itertext())
            figures.setdefault(label, fen_of(cells[1].findtext(f"{space}v")))
    return figures
