"""``counterfoil export``: the journal for others, as JSON Lines, CSV or beancount.

JSON Lines are the events of ``counterfoil tail``; CSV has a line a posting; beancount is
`clearing.beancount`. All go to standard output, oldest first, and hold nothing secret.
"""

from __future__ import annotations

import csv
import json
import sys
from datetime import datetime
from pathlib import Path

import click

from clearing import beancount
from clearing.console import directory_argument
from clearing.dates import DAY, span
from clearing.day import range_of, read_entries
from engine.directory import require_directory
from ledger.model import Entry
from ledger.tables import Snapshot
from tools.tail import event

COLUMNS = ("sequence", "at_ms", "date", "kind", "account", "unit", "amount")


@click.command("export")
@directory_argument
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["jsonl", "csv", "beancount"]),
    help="All entries, all postings, or the books for beancount.",
)
@click.option("--from", "first", type=DAY, help="First business date.")
@click.option("--to", "last", type=DAY, help="Last business date.")
def command(directory: Path, form: str, first: datetime | None, last: datetime | None) -> None:
    """Write the journal to stdout as JSON Lines, CSV or beancount."""
    require_directory(directory)
    dates = span(first, last)
    with Snapshot(directory) as snapshot:
        start, end = range_of(snapshot, *dates)
    entries = read_entries(directory, start, end)
    put = sys.stdout.write
    if form == "beancount":
        beancount.write(entries, put)
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for sequence, at, date, _, kind, _, _, postings, *_ in entries:
            writer.writerows((sequence, at, date, kind, *posting) for posting in postings)
    else:
        for fields in entries:
            put(json.dumps(event(Entry(*fields)), ensure_ascii=False) + "\n")
