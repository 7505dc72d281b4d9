"""``counterfoil night``: what is due once a business date has ended, in order, in one command.

1. The date is cut off if its hour has passed: by the machine, before the first command that comes
   after the hour; here comes one that asks for nothing.
2. All sweeps (`engine.sweeps`) post what has become due by time alone.
3. Every audit check is made, as `counterfoil verify` makes them: nothing is paid from books that do
   not hold.
4. Each date that is cut off and has no files yet is cleared into a folder of its own, and its set
   is checked without the ledger, as who receives it may do.
5. With ``--release`` each of these dates, and those filed before, is released, in order.

A night that was interrupted, or missed, is simply run again: each step does what is left of it.
Whatever fails ends the night with exit status 1, before a later date is touched.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from clearing.cli import ERRORS, result_data, tell_warnings, yuan
from clearing.console import (
    REFUSED,
    Refusal,
    directory_argument,
    echo_json,
    json_option,
    key_option,
)
from clearing.dates import DAY, as_number
from clearing.day import first_date
from clearing.run import Options, Result, clear, newest_run, release
from clearing.validate import validate
from engine.directory import read_configuration, require_directory, wall_ms
from engine.rules.reference import CutOff
from engine.submit import Submitter
from engine.sweeps import SWEEPS, Swept, run
from engine.terms import Clock, add_days, spoken
from ledger.priority import stepping_back
from ledger.tables import Snapshot
from tools.cli import bulk_work
from tools.sweep import note_sweeps
from tools.verify import note_verification, verification

FINAL: Final = frozenset({"RELEASED", "CONFIRMED"})
WITH_FILES: Final = FINAL | {"FILED"}


@click.command("night")
@directory_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of dates.")
@click.option("--release", "then_release", is_flag=True, help="Release what is cleared.")
@click.option("--value-date", type=DAY, help="In place of the calendar's.")
@click.option("--verify/--no-verify", default=True, help="Make the audit checks before clearing.")
@key_option
@json_option
def command(
    directory: Path,
    out: Path,
    key: Path | None,
    value_date: datetime | None,
    *,
    then_release: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Do the night's work: cut-off if due, sweeps, audit, clearing.

    Every date that is cut off gets its files in OUT/DATE, missed ones too. Run it again after
    an interruption; what is done already is not done twice.
    """
    require_directory(directory)
    pay_on = as_number(value_date)
    options = Options(key, value_date=pay_on)

    def tell(sentence: str) -> None:
        if not as_json:
            click.echo(sentence)

    told: dict[str, Any] = {}
    try:
        with stepping_back(), bulk_work():
            told["open"] = spoken(_open_date(directory))
            tell(f"{told['open']} is open")
            told["sweeps"] = [asdict(swept) for swept in _sweep(directory, tell)]
            if verify:
                told["checks"] = _verify(directory, tell)
            told["dates"] = []
            for date in _dates_due(directory):
                told["dates"] += _clear(directory, date, out / spoken(date), options, tell)
            if then_release:
                told["released"] = _release(directory, options, tell)
    except ERRORS as error:
        raise Refusal(str(error)) from error
    if as_json:
        echo_json(told)
    if any(swept["refused"] for swept in told["sweeps"]):
        raise click.exceptions.Exit(REFUSED)


def _open_date(directory: Path) -> int:
    """The date that is open, after the cut-offs whose hour has passed."""
    with Submitter(directory) as submitter:
        submitter.submit(CutOff(0, automatic=False))
        return submitter.date()


def _sweep(directory: Path, tell: Any) -> list[Swept]:
    """Run all sweeps."""
    zone = read_configuration(directory).zone
    done = []
    with Submitter(directory) as submitter:
        at = wall_ms()
        for sweep in SWEEPS:
            swept = run(submitter, sweep, Clock(zone).date(at), at)
            tell(f"sweep {swept.name}: posted {swept.done}, refused {swept.refused}")
            for text in swept.texts:
                tell(f"  {text}")
            done.append(swept)
    note_sweeps(directory, done)
    return done


def _verify(directory: Path, tell: Any) -> dict[str, str]:
    """Make every audit check; returns their names and states.

    Raises:
        Refusal: one failed.
    """
    with verification(directory, None) as made:
        checked = [*made.checks()]
        note_verification(directory, made.sequence, checked)
    failed = [check for check in checked if check.state == "failed"]
    if failed:
        names = ", ".join(check.name for check in failed)
        raise Refusal(f"{names}: see `counterfoil verify {directory}`; nothing was cleared")
    tell(f"{len(checked)} audit checks passed")
    return {check.name: check.state for check in checked}


def _dates(directory: Path) -> list[tuple[int, str]]:
    """The dates that are cut off and not done with, ascending, and the states of their runs."""
    found: list[tuple[int, str]] = []
    open_date = _open_date(directory)
    with Snapshot(directory) as snapshot:
        first, date = first_date(snapshot), add_days(open_date, -1)
        while first and date >= first:
            known = newest_run(snapshot, date)
            state = known[1].state if known else ""
            if known and state in FINAL and known[1].posted >= known[1].expected:
                break  # dates are released in order
            found.append((date, state))
            date = add_days(date, -1)
    return found[::-1]


def _dates_due(directory: Path) -> list[int]:
    """The dates that have no files yet, ascending."""
    return [date for date, state in _dates(directory) if state not in WITH_FILES]


def _clear(
    directory: Path, date: int, folder: Path, options: Options, tell: Any
) -> list[dict[str, Any]]:
    """Clear a date and check its set."""
    results = clear(directory, date, folder, options)
    tell_warnings(results)
    cleared = [_checked(result) for result in results]
    for one in cleared:
        tell(
            f"{one['date']}, run {one['run']}: {one['state']}, to pay {yuan(_payable(one))}"
            f" on {one['value_date']}, {one['exceptions']} exceptions; files: {one['folder']}"
        )
        tell(f"chain {one['chain']}")
    return cleared


def _payable(told: dict[str, Any]) -> int:
    return sum(party["payable_fen"] for party in told["parties"])


def _checked(result: Result) -> dict[str, Any]:
    """What a cleared date came to.

    Raises:
        Refusal: the set that was just written is not good.
    """
    findings = validate(result.folder)
    if findings:
        found = findings[0]
        raise Refusal(f"{result.folder}: {found.file}: {found.text}: do not release it")
    day = result.day
    told = {"date": spoken(day.date), "value_date": spoken(day.value_date)}
    return result_data(result) | told


def _release(directory: Path, options: Options, tell: Any) -> list[str]:
    """Release every date that has its files, in order, also one whose release was cut short."""
    released = []
    for date, state in _dates(directory):
        if state not in WITH_FILES:
            break
        release(directory, date, options)
        released.append(spoken(date))
        tell(f"{spoken(date)} is released")
    return released
