"""``counterfoil doctor``: looks at everything around a data directory, and advises.

`CHECKS` is the list; each looks at one thing and yields findings: ``wrong`` is to be put right
before something breaks, ``advice`` may wait. It only reads, beside a running daemon or without one.
What the books say of themselves is checked by ``counterfoil verify``, which takes longer.
"""

from __future__ import annotations

import resource
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from clearing.calendar import WrongHolidays, read_bank_days
from clearing.console import (
    REFUSED,
    directory_argument,
    echo_json,
    json_option,
    key_option,
    stdout_console,
)
from clearing.day import first_date
from clearing.settings import read_settings
from engine.configuration import CONFIGURATION, Configuration, examine, read_document
from engine.directory import (
    START_AHEAD_MS_MAX,
    DirectoryError,
    key_path,
    ledger_limits,
    open_vault,
    read_configuration,
    require_directory,
    wall_ms,
)
from engine.records import CALENDAR
from engine.submit import Refused, daemon_status
from engine.terms import Clock
from engine.vault import KeyFileError
from ledger import schema
from ledger.book import JournalDamaged
from ledger.codec import UnknownLayout
from ledger.journal import chain_at, told_durable
from ledger.notes import noted
from ledger.storage import Lock, Storage
from ledger.tables import Snapshot, TablesFailed, readers
from posd.observed import clearing_state

HOUR_S: Final = 3600
BACKUP_OLD_S: Final = 26 * HOUR_S
VERIFY_OLD_S: Final = 36 * HOUR_S
SWEEP_OLD_S: Final = 36 * HOUR_S
BEHIND_MS_MAX: Final = 60_000
SEGMENTS_FREE: Final = 4
"""Segments that the disk should have room for."""
OLD_SNAPSHOT: Final = 100
"""Folds since a reader began, past which it is told."""
OPEN_FILES_SPARE: Final = 100
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

WRONG: Final = "wrong"
ADVICE: Final = "advice"


@dataclass(slots=True)
class Finding:
    """What a check found: `WRONG` or `ADVICE`, and a sentence that says what to do."""

    state: str
    text: str


@dataclass(slots=True)
class Patient:
    """What the checks look at.

    Attributes:
        directory: the data directory.
        key: the key file as named on the command line.
        configuration: None where it cannot be read.
        daemon: what the running daemon tells; None without one.
        sequence, applied, last_at: of the journal; 0 where it cannot be read.
    """

    directory: Path
    key: Path | None
    configuration: Configuration | None = None
    daemon: dict[str, Any] | None = None
    sequence: int = 0
    applied: int = 0
    last_at: int = 0


Check = Callable[[Patient], Iterator[Finding]]


def _configuration(patient: Patient) -> Iterator[Finding]:
    path = patient.directory / CONFIGURATION
    try:
        mistakes = examine(read_document(path), path)[1]
        if not mistakes:
            patient.configuration = read_configuration(patient.directory)
    except DirectoryError as error:
        mistakes = [str(error)]
    for sentence in mistakes:
        yield Finding(WRONG, sentence)


def _permissions(patient: Patient) -> Iterator[Finding]:
    for name in ("", CONFIGURATION, "journal", "tables", "control.sock"):
        path = patient.directory / name
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield Finding(WRONG, f"others may write {path}: chmod go-w {path}")
        elif not name and mode & OTHERS:
            yield Finding(ADVICE, f"others may look into {path}: chmod 700 {path}")


def _key_file(patient: Patient) -> Iterator[Finding]:
    if patient.configuration is None:
        yield Finding(ADVICE, "the key file was not looked at: put the configuration right first")
        return
    try:
        open_vault(patient.directory, patient.key, patient.configuration)
    except (DirectoryError, KeyFileError) as error:
        yield Finding(WRONG, str(error))
        return
    place = key_path(patient.configuration, patient.key).resolve()
    if patient.directory.resolve() in place.parents:
        yield Finding(
            ADVICE, f"{place} lies within the data that it protects: move it, and set key"
        )


def _daemon(patient: Patient) -> Iterator[Finding]:
    try:
        patient.daemon = daemon_status(patient.directory)
    except (OSError, Refused) as error:
        yield Finding(WRONG, f"the control socket does not answer ({error}): are you its user?")
        return
    held = Lock(patient.directory / "lock").is_held()
    if patient.daemon is None:
        text = "no daemon serves it: systemctl start counterfoil, or counterfoil serve"
        if held:
            text = "the lock is held and no daemon answers: it starts, or a command writes; wait"
        yield Finding(ADVICE, text)
        return
    for sentence in patient.daemon["refusing"]:
        yield Finding(WRONG, f"terminals are answered 91: {sentence}")
    if not patient.daemon["follower"]:
        yield Finding(WRONG, "the follower does not run: the daemon's log says why")


def _journal(patient: Patient) -> Iterator[Finding]:
    tables = patient.directory / "tables" / "data.mdb"
    if not tables.exists() or not tables.stat().st_size:
        yield Finding(ADVICE, "the tables are empty: the next start folds the journal anew")
        return
    try:
        with Snapshot(patient.directory) as snapshot:
            patient.sequence, patient.applied = snapshot.sequence, snapshot.applied
            newest = snapshot.view.get(schema.entry(snapshot.sequence))
            patient.last_at = newest.at if newest is not None else 0
        # What was answered has to be in the journal, whatever the tables hold of it.
        chain_at(patient.directory, max(patient.sequence, told_durable(patient.directory)))
    except (JournalDamaged, TablesFailed, UnknownLayout) as error:
        yield Finding(WRONG, f"the journal or the tables cannot be read: {error}")
        return
    tail = patient.sequence - patient.applied
    known = patient.configuration
    if known is not None and tail > ledger_limits(known).tail_entries:
        why = "the follower is behind" if patient.daemon else "the next start folds them first"
        yield Finding(ADVICE, f"{tail:,} entries are not in the tables: {why}")


def _clock(patient: Patient) -> Iterator[Finding]:
    if not patient.last_at:
        return
    ahead = wall_ms() - patient.last_at
    if ahead < -BEHIND_MS_MAX:
        yield Finding(
            WRONG,
            f"the clock is {-ahead // 1000} s behind the last entry: set it right before a start",
        )
    elif ahead > START_AHEAD_MS_MAX and patient.daemon is None:
        yield Finding(
            ADVICE,
            f"the last entry is {ahead // 3_600_000} hours old: if the clock is right, start with"
            " serve --confirm-clock",
        )


def _disk(patient: Patient) -> Iterator[Finding]:
    if patient.configuration is None:
        return
    limits = ledger_limits(patient.configuration)
    free = Storage().free_bytes(patient.directory)
    least = limits.disk_free_bytes_min + limits.segment_bytes
    told = f"{free / 2**20:,.0f} MiB are free on the disk of {patient.directory}"
    if free < least:
        yield Finding(WRONG, f"{told}, {least / 2**20:,.0f} are needed: new work is answered 91")
    elif free < least + SEGMENTS_FREE * limits.segment_bytes:
        yield Finding(ADVICE, f"{told}: archive segments that are backed up, or add room")


def _readers(patient: Patient) -> Iterator[Finding]:
    try:
        newest, holding = readers(patient.directory)
    except (TablesFailed, OSError):
        return  # told by the check of the journal
    for process, transaction in holding:
        if not Path(f"/proc/{process}").exists():
            yield Finding(
                ADVICE, f"process {process} died while it read the tables; the next fold clears it"
            )
        elif newest - transaction > OLD_SNAPSHOT:
            yield Finding(
                ADVICE,
                f"process {process} holds a snapshot {newest - transaction} folds old, and the"
                " tables grow meanwhile: let it end",
            )


def _open_files(patient: Patient) -> Iterator[Finding]:
    if patient.configuration is None:
        return
    wanted = patient.configuration.section("limits")["connections"] + OPEN_FILES_SPARE
    hard = _open_files_here()
    if patient.daemon is not None:
        hard = _open_files_of(patient.daemon["pid"]) or hard
    if hard != resource.RLIM_INFINITY and hard < wanted:
        yield Finding(
            ADVICE,
            f"{hard:,} files may be open, {wanted:,} are wanted for limits.connections: raise"
            " LimitNOFILE, or lower connections",
        )


def _open_files_here() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _open_files_of(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/limits").read_text(encoding="ascii")
    except OSError:
        return 0
    row = next(line for line in text.splitlines() if line.startswith("Max open files"))
    soft = row.split()[3]
    return int(soft) if soft.isdigit() else 0


def _jobs(patient: Patient) -> Iterator[Finding]:
    rows = (
        ("backup", BACKUP_OLD_S, "counterfoil backup", "until then one disk holds the truth"),
        ("verify", VERIFY_OLD_S, "counterfoil verify", "nobody knows whether the books agree"),
        ("sweep", SWEEP_OLD_S, "counterfoil sweep", "what is due is not posted"),
    )
    for name, old_s, remedy, why in rows:
        known = noted(patient.directory, name)
        age_s = int(time.time()) - known.get("at", 0)
        if not known:
            yield Finding(ADVICE, f"there was no {name} yet, {why}: {remedy} {patient.directory}")
        elif age_s > old_s:
            yield Finding(
                ADVICE,
                f"the last {name} is {age_s // HOUR_S} hours old, {why}: {remedy}"
                f" {patient.directory}",
            )
        if name == "verify":
            failed = [
                key.removeprefix("check ")
                for key, bad in known.items()
                if key.startswith("check ") and bad
            ]
            if failed:
                yield Finding(
                    WRONG, f"the last verification failed in {', '.join(failed)}: run it again"
                )


def _holidays(patient: Patient) -> Iterator[Finding]:
    if patient.configuration is None or not patient.sequence:
        return
    today = Clock(patient.configuration.zone).date(wall_ms())
    try:
        days = read_bank_days(patient.directory)
        warning = days.warning(today, read_settings(patient.configuration).working_days)
    except WrongHolidays as error:
        yield Finding(WRONG, str(error))
        return
    if warning:
        yield Finding(ADVICE, f"value dates of the coming month: {warning}")


def _clearing(patient: Patient) -> Iterator[Finding]:
    if not patient.sequence:
        return
    with Snapshot(patient.directory) as snapshot:
        calendar = snapshot.view.get(CALENDAR)
        date = calendar.date if calendar is not None else 0
        told = clearing_state(snapshot.view.get, date, first_date(snapshot))
    if told.state == "FAILED":
        yield Finding(
            WRONG,
            "the newest run of clearing refused: counterfoil clear status"
            f" {patient.directory} names the check",
        )
    if told.behind:
        yield Finding(
            ADVICE,
            f"{told.behind} closed business dates are not released: counterfoil night"
            f" {patient.directory}",
        )


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("configuration", _configuration),
    ("permissions", _permissions),
    ("key file", _key_file),
    ("daemon and follower", _daemon),
    ("journal and tables", _journal),
    ("clock", _clock),
    ("disk", _disk),
    ("readers", _readers),
    ("open files", _open_files),
    ("nightly jobs", _jobs),
    ("holidays", _holidays),
    ("clearing", _clearing),
)
"""Every check, in the order in which they look; later ones use what earlier ones found."""


def examine_directory(
    directory: Path, key: Path | None = None
) -> Iterator[tuple[str, list[Finding]]]:
    """Run the checks one after another.

    Raises:
        engine.directory.DirectoryError: this is no data directory.
    """
    require_directory(directory)
    patient = Patient(directory, key)
    for name, check in CHECKS:
        findings: list[Finding] = []
        try:
            findings += check(patient)
        except OSError as error:
            text = f"{error.filename or directory} cannot be looked at ({error.strerror or error})"
            findings.append(Finding(WRONG, f"{text}: give it to the user that runs this"))
        yield name, findings


@click.command("doctor")
@directory_argument
@key_option
@json_option
def command(directory: Path, key: Path | None, *, as_json: bool) -> None:
    """Look at all around a data directory and advise. Exit status 1 if something is wrong.

    Looks at configuration, permissions, key file, daemon, follower, journal, clock, disk, readers,
    limits of the system, nightly jobs, holidays, clearing.
    """
    found = list(examine_directory(directory, key))
    wrong = any(one.state == WRONG for _, findings in found for one in findings)
    if as_json:
        echo_json(
            {
                "ok": not wrong,
                "checks": [
                    {
                        "name": name,
                        "findings": [{"state": one.state, "text": one.text} for one in findings],
                    }
                    for name, findings in found
                ],
            }
        )
    else:
        console = stdout_console()
        styles = {"ok": "green", ADVICE: "yellow", WRONG: "bold red"}
        for name, findings in found:
            for one in findings or [Finding("ok", "")]:
                line = Text.assemble(
                    (f"{one.state:<7}", styles[one.state]), f"{name:<20} {one.text}"
                )
                console.print(line, soft_wrap=True)
    if wrong:
        raise click.exceptions.Exit(REFUSED)
