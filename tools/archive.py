"""``counterfoil archive``: closed segments are compressed, and old ones removed by policy.

A segment may go when everything in it is older than the date that is named, folded into the
tables, cleared and released, verified, and backed up to a file. Each of these is a bound, an entry
number; the lowest decides, and is told. `ledger.retention` does the work.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import click

import engine.catalogue  # noqa: F401 - announces the records, whose ciphertext no digest counts
from clearing.console import directory_argument, echo_json, json_option
from clearing.dates import DAY, as_number
from engine.directory import require_directory
from engine.settlement import Cleared, Run
from ledger import schema
from ledger.notes import noted
from ledger.retention import Plan, keep_house, plan
from ledger.segment import segments
from ledger.tables import Snapshot
from tools.backup import kept_backup, sentences
from tools.cli import progress_bar

MEANING: Final = {
    "date": "dated before the day named",
    "tables": "in the tables",
    "released": "cleared and released",
    "verified": "verified without a failure",
    "backed up": "backed up to a file",
}
"""The bounds, and what lies up to each."""


def bounds(directory: Path, snapshot: Snapshot, before: int, backed_up: int) -> dict[str, int]:
    """Up to which entry each condition of pruning holds, by the names of `MEANING`."""
    verified = noted(directory, "verify")
    return {
        "date": _dated(directory, snapshot, before),
        "tables": snapshot.applied,
        "released": _released(snapshot),
        "verified": 0 if verified.get("failed", 1) else verified.get("sequence", 0),
        "backed up": max(backed_up, kept_backup(directory)),
    }


def _dated(directory: Path, snapshot: Snapshot, before: int) -> int:
    """The last entry of the segments that lie before a business date as a whole."""
    reached = 0
    for first, _ in segments(directory)[1:]:
        entry = snapshot.view.get(schema.entry(first - 1))
        if entry is None or entry.date >= before:
            break
        reached = first - 1
    return reached


def _released(snapshot: Snapshot) -> int:
    """The last entry of the business dates that are released without a gap from the first."""
    reached = 0
    for key, row in snapshot.table(schema.RUN):
        run: Run = row
        date, number = schema.run_parts(key)
        newest: Cleared | None = snapshot.view.get(schema.cleared(date))
        if newest is None or newest.number != number:
            continue
        if not run.final:
            break
        reached = run.last
    return reached


@click.command()
@directory_argument
@click.option(
    "--prune-before",
    type=DAY,
    help="Remove segments that lie before this business date as a whole.",
)
@click.option(
    "--backed-up",
    type=click.IntRange(0),
    default=0,
    metavar="SEQ",
    help="What went through a pipe is kept safely up to this entry.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@json_option
def archive(
    directory: Path,
    prune_before: datetime | None,
    backed_up: int,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compress closed journal segments, and remove unneeded old ones.

    DIR may be in use. A segment is removed only when all of it is cleared and released, verified
    (`counterfoil verify`) and backed up to a file.
    """
    require_directory(directory)
    with Snapshot(directory) as snapshot:
        applied = snapshot.applied
        before = as_number(prune_before)
        known = bounds(directory, snapshot, before, backed_up) if before else {}
    bound = min(known.values(), default=0)
    with sentences(), progress_bar("entries") as progress:
        if dry_run:
            done = plan(directory, applied, bound)
        else:
            done = keep_house(directory, applied, bound, progress)
    _tell(done, known, dry_run=dry_run, as_json=as_json)


def _tell(done: Plan, known: dict[str, int], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        packed, removed = ([path.name for path in paths] for paths in (done.packed, done.removed))
        echo_json({"packed": packed, "removed": removed, "base": done.base, "bounds": known})
        return
    would = "would be " if dry_run else ""
    click.echo(f"{len(done.packed)} segments {would}compressed, {len(done.removed)} {would}removed")
    for name, bound in sorted(known.items(), key=lambda one: one[1]):
        click.echo(f"  up to entry {bound}: {MEANING[name]}")
