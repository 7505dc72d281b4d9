"""``counterfoil sweep``: posts what has become due because time has passed (`engine.sweeps`)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from clearing.console import REFUSED, directory_argument, echo_json, json_option
from engine.directory import read_configuration, wall_ms
from engine.submit import Submitter
from engine.sweeps import BY_NAME, SWEEPS, Swept, run
from engine.terms import Clock
from ledger.notes import note
from ledger.priority import stepping_back
from tools.cli import bulk_work, progress_bar


def note_sweeps(directory: Path, told: list[Swept]) -> None:
    """Leave a note of what sweeps came to, for the daemon's metrics and `doctor`."""
    done, refused = sum(one.done for one in told), sum(one.refused for one in told)
    note(directory, "sweep", done=done, refused=refused)


@click.command("sweep")
@directory_argument
@click.argument("names", nargs=-1, metavar="[NAME]…", type=click.Choice(sorted(BY_NAME)))
@click.option("--dry-run", is_flag=True, help="Only count what may be due.")
@json_option
def command(directory: Path, names: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Post what has become due: expired points and the like. All sweeps unless named.

    Works beside the daemon, in small pieces that leave room for terminals. Interrupted, it is
    simply run again: nothing is posted twice.
    """
    chosen = [sweep for sweep in SWEEPS if not names or sweep.name in names]
    zone = read_configuration(directory).zone
    told = []
    with stepping_back(), bulk_work(), Submitter(directory) as submitter:
        at = wall_ms()
        today = Clock(zone).date(at)
        for sweep in chosen:
            with progress_bar(f"{sweep.name}: sent, of rows") as bar:
                progress = (lambda rows, sent: bar(sent, rows)) if bar else None
                told.append(run(submitter, sweep, today, at, dry_run=dry_run, progress=progress))
    if not dry_run:
        note_sweeps(directory, told)
    if as_json:
        echo_json([asdict(swept) for swept in told])
    else:
        for swept in told:
            done = "" if dry_run else f", posted {swept.done}, refused {swept.refused}"
            click.echo(f"{swept.name}: looked at {swept.rows} rows, {swept.due} may be due{done}")
            for text in swept.texts:
                click.echo(f"  {text}")
    if any(swept.refused for swept in told):
        raise click.exceptions.Exit(REFUSED)
