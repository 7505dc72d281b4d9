"""A run of clearing: from a date that was cut off to files, payments and their confirmation.

States: OPEN until the cut-off, then CUT → BALANCED → NETTED → FILED → RELEASED → CONFIRMED, or
FAILED with a reason. The state is a row of the ledger, reached by journaled commands; everything
else (the fold, the netted day, the files) is a pure function of the journal and of what the run was
begun with, and is made anew whenever it is needed. So a run that was killed at any point is resumed
by running it again: what was journaled is found unchanged, what was half written is replaced. A
repeat on a later day gives the same bytes, checked against the digests journaled the first time.

Two processes never clear one directory: a lock file keeps the second out. Commands go through
`engine.submit`, to the running daemon or to the book itself; where it is the book, no snapshot may
be open beside it, so reading and submitting take turns.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from clearing import matching
from clearing.calendar import read_bank_days
from clearing.day import Extent, NotCut, find_extent, first_date, read_entries
from clearing.files.folder import MANIFEST
from clearing.files.folder import Refused as FolderRefused
from clearing.files.writing import write_set
from clearing.model import Day, ExceptionItem
from clearing.netting import (
    KEPT_POSITIONS,
    STORES,
    VALUE,
    Balanced,
    Begun,
    DoesNotHold,
    balance,
    digest,
    net,
)
from clearing.register import Register, register_at
from clearing.settings import Settings, read_settings
from clearing.settle import Fold, LocalTimes
from clearing.spool import LineWriter, SpooledLines
from clearing.stores import Placing, placings
from clearing.totals import Totals
from engine.directory import (
    DEFAULT_ZONE,
    VERSION,
    open_vault,
    read_configuration,
    require_directory,
)
from engine.records import CALENDAR, Calendar
from engine.rules.clearing import (
    AdvanceRun,
    CarryForward,
    PostBack,
    StartRun,
    TrueUp,
)
from engine.rules.reference import CutOff
from engine.settlement import FAILED, STATES, Carry, Cleared, Run
from engine.submit import Submitter
from engine.terms import add_days, spoken
from ledger import chart, schema
from ledger.journal import chain_at, chain_note
from ledger.notes import note
from ledger.storage import Lock
from ledger.tables import Snapshot
from ledger.workers import spread

TASK_ENTRIES = 200_000
"""Entries that a worker folds in one piece."""

WORKERS = 2

_WAIT_TURNS = 20
_WAIT_SECONDS = 0.05

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

Item = TypeVar("Item")


class ClearingRefused(Exception):
    """A step of clearing cannot be taken; one sentence with what to do about it."""


class AlreadyClearing(ClearingRefused):
    """Another process clears this directory."""


@dataclass(slots=True)
class Options:
    """How to clear.

    Attributes:
        key: the key file as named on the command line, if it was.
        workers: processes that fold and write.
        encoding: of the parties' CSV.
        correct: why a new run replaces the one that has its files; empty for none.
        value_date: when to pay, in place of what the calendar says; 0 for that.
        progress: see `Progress`.
    """

    key: Path | None = None
    workers: int = WORKERS
    encoding: str = "utf-8-sig"
    correct: str = ""
    value_date: int = 0
    progress: Progress | None = None

    def tell(self, what: str, done: int = 0, whole: int = 0) -> None:
        """Tell how far the work is."""
        if self.progress:
            self.progress(what, done, whole)


@dataclass(slots=True)
class Result:
    """A date that was cleared.

    Attributes:
        begun: the run, in the state that it has now.
        day: what was netted.
        folder: where its files are.
        repeated: the files were there before and are the same.
        warning: what the holiday calendar will not know in a month, and what to do; or empty.
        transit: program to points that were in transit between members at the cut-off.
    """

    begun: Begun
    day: Day
    folder: Path
    repeated: bool
    warning: str
    transit: dict[str, int]


@contextmanager
def clearing_lock(directory: Path) -> Iterator[None]:
    """Keep other runs of clearing out.

    Raises:
        AlreadyClearing: one is at work.
    """
    require_directory(directory)
    lock = Lock(directory / "clearing.lock")
    if not lock.take():
        raise AlreadyClearing(f"another process clears {directory}: wait until it is done")
    try:
        yield
    finally:
        lock.release()


def clear(directory: Path, date: int, folder: Path, options: Options) -> list[Result]:
    """Clear a date, and before it the dates that were missed, up to their files.

    The files of `date` go into `folder`, those of a missed date into one beside it with that date
    behind its name.

    Raises:
        NotCut, ClearingRefused, DoesNotHold: see there; a run that does not hold is journaled as
            failed.
        clearing.calendar.NotCovered: the calendar does not know the value date.
        clearing.calendar.WrongHolidays: the operator's file of holidays has a mistake.
    """
    with clearing_lock(directory):
        settings = read_settings(read_configuration(directory))
        results = []
        for due in _dates_due(directory, date):
            place = folder
            if due != date:
                place = folder.with_name(f"{folder.name}-{spoken(due)}")
            results.append(_clear_date(directory, due, place, settings, options))
        return results


def _dates_due(directory: Path, date: int) -> list[int]:
    """The dates to clear, in order: those missed, then the one asked for."""
    _require_cut(directory, date)
    with Snapshot(directory) as snapshot:
        newest: Cleared | None = snapshot.view.get(schema.cleared(0))
        if newest is None:
            due = first_date(snapshot)
        elif date <= newest.number:
            return [date]
        else:
            number, run = newest_run(snapshot, newest.number) or (0, None)
            stands = run is not None and run.state in {"FILED", "RELEASED", "CONFIRMED"}
            due = add_days(newest.number, 1) if stands and number else newest.number
    dates = []
    while due < date:
        dates.append(due)
        due = add_days(due, 1)
    return [*dates, date]


def _require_cut(directory: Path, date: int) -> None:
    """Make sure that a date is cut off, also where nobody traded since its hour passed.

    The machine writes cut-offs before the first command that comes after their hour. One that asks
    for nothing will do.

    Raises:
        NotCut: its hour has not passed.
    """
    for _ in range(_WAIT_TURNS):
        try:
            with Snapshot(directory) as snapshot:
                past = first_date(snapshot) > date
                find_extent(snapshot, date)
        except NotCut:
            if past:
                raise
            with Submitter(directory) as submitter:
                submitter.submit(CutOff(0, automatic=False))
                if submitter.date() <= date:
                    raise
            time.sleep(_WAIT_SECONDS)  # until the entries that a daemon wrote are durable
        else:
            return
    with Snapshot(directory) as snapshot:
        find_extent(snapshot, date)


def newest_run(snapshot: Snapshot, date: int) -> tuple[int, Run] | None:
    """The newest run of a date and its number, None where it has none."""
    newest: Cleared | None = snapshot.view.get(schema.cleared(date))
    if newest is None:
        return None
    return newest.number, run_row(snapshot, date, newest.number)


def run_row(snapshot: Snapshot, date: int, number: int) -> Run:
    """The row of a run that is known to be there."""
    run: Run | None = snapshot.view.get(schema.run(date, number))
    if run is None:
        raise ClearingRefused(f"there is no run {number} of {spoken(date)}")
    return run


# The fold, spread over processes.


@dataclass(slots=True)
class Read:
    """What is read of a date before anything is decided.

    Attributes:
        extent: its entries.
        zone: the operator's time zone.
        register: as of the cut-off.
        moves: in which stores tills stood, see `clearing.stores.placings`.
        opening: what the date before ended with.
        before: name of the date before's run, empty for the first date.
        carried: what parties owed after it.
        known: number and row of the newest run of the date, None for none.
    """

    extent: Extent
    zone: str
    register: Register
    moves: tuple[Placing, ...]
    opening: dict[str, int]
    before: str
    carried: dict[str, Carry]
    known: tuple[int, Run] | None


def read_date(directory: Path, date: int) -> Read:
    """Read what the clearing of a date begins with.

    Raises:
        NotCut: it is not to be cleared.
    """
    with Snapshot(directory) as snapshot:
        extent = find_extent(snapshot, date)
        calendar: Calendar | None = snapshot.view.get(CALENDAR)
        known = newest_run(snapshot, date)
        zone = known[1].zone if known else calendar.zone if calendar else DEFAULT_ZONE
        previous = newest_run(snapshot, add_days(date, -1))
        opening: dict[str, int] = {}
        carried: dict[str, Carry] = {}
        before = ""
        if previous is not None:
            number, run = previous
            before = f"{add_days(date, -1)}-{number}"
            opening = dict(run.balances)
            prefix = schema.of_run(schema.CARRY, add_days(date, -1), number, "")
            for key, row in snapshot.view.scan(prefix):
                carried[schema.of_run_name(key)] = row
        register = register_at(snapshot, extent.last)
        moves = placings(snapshot, extent.first, extent.last)
    return Read(extent, zone, register, moves, opening, before, carried, known)


def fold_part(
    directory: Path,
    first: int,
    last: int,
    read: tuple[int, str, frozenset[str], dict[str, int], tuple[Placing, ...]],
    spool: tuple[Path, str, Path | None] | None,
) -> Totals:
    """Fold a range of a date's entries, in whichever process.

    Args:
        directory: the data directory.
        first: sequence number of the first entry.
        last: and of the last one.
        read: business date, zone, ids of registered parties, worth of settled programs, stores of
            tills.
        spool: folder and name for the lines, and the key file for their RRNs; None for no lines.
    """
    date, zone, parties, worth, moves = read
    if spool is None:
        fold = Fold(date, parties, zone, worth=worth, moves=moves)
        for fields in read_entries(directory, first, last):
            fold.add(fields)
        return fold.totals
    folder, name, key = spool
    writer = LineWriter(folder, name)
    fold = Fold(date, parties, zone, writer.add, open_vault(directory, key).rrn, worth, moves)
    for fields in read_entries(directory, first, last):
        fold.add(fields)
    writer.close()
    return fold.totals


def fold_date(directory: Path, read: Read, options: Options, spool: Path | None = None) -> Totals:
    """Fold a date, lines into `spool` where one is given."""
    extent, register = read.extent, read.register
    count = extent.last - extent.first + 1
    pieces = max(1, -(-count // TASK_ENTRIES))
    if 1 < pieces < options.workers or TASK_ENTRIES // 4 < count <= TASK_ENTRIES:
        pieces = options.workers
    edges = [extent.first + count * piece // pieces for piece in range(pieces + 1)]
    parties = frozenset(register.parties)
    common = (extent.date, read.zone, parties, register.worth, read.moves)
    tasks: list[tuple[Any, ...]] = [
        (
            directory,
            edges[piece],
            edges[piece + 1] - 1,
            common,
            (spool, f"{piece:05}", options.key) if spool else None,
        )
        for piece in range(pieces)
    ]
    options.tell("reading entries", 0, pieces)
    totals = Totals()
    for done, part in enumerate(spread(fold_part, tasks, workers=options.workers), 1):
        totals.merge(part)
        options.tell("reading entries", done, pieces)
    return totals


# From totals to files.


def _clear_date(
    directory: Path, date: int, folder: Path, settings: Settings, options: Options
) -> Result:
    read = read_date(directory, date)
    _require_folder(folder, date)
    pay_on, warning = _value_date(directory, read, settings, options)
    work = directory / "clearing" / str(date)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    try:
        totals = fold_date(directory, read, options, work)
        begun = _begin(directory, read, totals, settings, options, pay_on)
        repeated = STATES.index(begun.run.state) >= STATES.index("FILED")
        balanced = _balance(directory, begun, totals, read, options)
        day = net_date(directory, begun, totals, balanced, read)
        _advance_netted(directory, begun, day, options)
        options.tell("writing files")
        source = SpooledLines(work, tuple(party.id for party in day.parties))
        write_set(
            day,
            source,
            folder,
            workers=options.workers,
            encoding=options.encoding,
            progress=lambda done, whole: options.tell("writing files", done, whole),
        )
        manifest = hashlib.sha256((folder / MANIFEST).read_bytes()).digest()
        _advance(directory, begun, AdvanceRun(date, begun.number, "FILED", "", (), manifest, 0))
        options.tell("filed")
        return Result(begun, day, folder, repeated, warning, _in_transit(balanced))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _in_transit(balanced: Balanced) -> dict[str, int]:
    """What was between two members at the end of a date, by program."""
    ends = {name.partition(":"): points for name, points in balanced.balances if points}
    return {program: points for (what, _, program), points in ends.items() if what == "transit"}


def _require_folder(folder: Path, date: int) -> None:
    """Refuse a folder that holds another date's files: writing replaces what is there.

    Raises:
        ClearingRefused: naming the remedy.
    """
    if folder.exists() and not folder.is_dir():
        raise ClearingRefused(f"{folder} is a file: name a folder")
    others = [path.name for path in folder.glob("settlement-*.txt")] if folder.is_dir() else []
    if any(not name.startswith(f"settlement-{date}-") for name in others):
        raise ClearingRefused(
            f"{folder} holds the files of another date ({others[0]}): name a folder of its own"
        )


def _goes_on(read: Read, options: Options) -> bool:
    """True when a run is there to go on with; else one begins."""
    return read.known is not None and read.known[1].state != FAILED and not options.correct


def _value_date(
    directory: Path, read: Read, settings: Settings, options: Options
) -> tuple[int, str]:
    """When a run that begins is paid, and the warning of the calendar; looked up before all work.

    Raises:
        ClearingRefused: the value date that is asked for cannot be.
        clearing.calendar.NotCovered, clearing.calendar.WrongHolidays: see there.
    """
    date, working_days = read.extent.date, settings.working_days
    if read.known is not None and _goes_on(read, options):
        paid = read.known[1].value_date
        if options.value_date not in {0, paid}:
            raise ClearingRefused(
                f"run {read.known[0]} of {spoken(date)} has the value date {spoken(paid)}:"
                " another one needs --correct"
            )
        return paid, ""
    if 0 < options.value_date < date:
        raise ClearingRefused(
            f"--value-date {spoken(options.value_date)} is before {spoken(date)}: name a later day"
        )
    if options.value_date:
        return options.value_date, ""
    days = read_bank_days(directory)
    return days.value_date(date, working_days), days.warning(date, working_days)


def _begin(
    directory: Path, read: Read, totals: Totals, settings: Settings, options: Options, pay_on: int
) -> Begun:
    """Find the run to go on with, or begin one: after matching, with all that files depend on."""
    date = read.extent.date
    closed = LocalTimes(read.zone)(read.extent.closed_at)
    if read.known is not None:
        number, run = read.known
        if _goes_on(read, options):
            return Begun(date, number, closed, run)
        if run.final:
            raise ClearingRefused(
                f"run {number} of {spoken(date)} is {run.state}: adjust it in the next run,"
                " with `counterfoil clear exceptions`"
            )
    number = read.known[0] + 1 if read.known else 1
    options.tell("matching")
    found = matching.match_batches(
        directory, date, totals.marks, open_vault(directory, options.key)
    )
    considered = 0
    with Submitter(directory) as submitter:
        for result in submitter.submit_many(found.commands):
            considered = max(considered, result.sequence)
        considered = max(considered, found.sequence)
        command = StartRun(
            date,
            number,
            options.correct,
            read.extent.first,
            read.extent.last,
            considered,
            read.zone,
            pay_on,
            VERSION,
            settings.collect_limit_fen,
            (
                settings.operator,
                settings.account_name,
                settings.account_number,
                settings.bank_code,
            ),
            chain_note(*chain_at(directory, read.extent.last)),
        )
        _require_done(submitter.submit(command))
    with Snapshot(directory) as snapshot:
        begun = Begun(date, number, closed, run_row(snapshot, date, number))
    options.tell("begun")
    return begun


def _balance(
    directory: Path, begun: Begun, totals: Totals, read: Read, options: Options
) -> Balanced:
    """Make the checks of the day; a run that does not hold fails with the reason."""
    try:
        balanced = balance(totals, read.opening, read.register)
        if begun.run.state == "CUT":
            _compare_positions(directory, totals, read)
            _compare_value(directory, dict(balanced.balances)["value"], read.extent)
    except DoesNotHold as error:
        _note_checks(directory, begun.date, {error.check: 1})
        if not begun.run.final:
            command = AdvanceRun(begun.date, begun.number, FAILED, str(error)[:1000], (), b"", 0)
            _advance(directory, begun, command)
        raise
    command = AdvanceRun(begun.date, begun.number, "BALANCED", "", balanced.balances, b"", 0)
    _advance(directory, begun, command)
    held = (STORES, *(check.name for check in balanced.checks))
    _note_checks(directory, begun.date, dict.fromkeys(held, 0))
    options.tell("balanced")
    return balanced


def _note_checks(directory: Path, date: int, failed: dict[str, int]) -> None:
    """Leave a note of the checks of a date, 1 for one that failed, for the daemon's metrics."""
    told = {f"check {name}": number for name, number in failed.items()}
    note(directory, "clearing", date=date, failed=sum(failed.values()), **told)


def _compare_positions(directory: Path, totals: Totals, read: Read) -> None:
    """Compare what the fold came to for each party with the position that the ledger keeps.

    Once a date is cut off nothing but the post-back of its settlement moves its positions, so this
    is exact as long as the run is new.

    Raises:
        DoesNotHold: they differ.
    """
    extent = read.extent
    with Snapshot(directory) as snapshot:
        for party in sorted(totals.parties.keys() | read.register.parties.keys()):
            account = chart.position(party, extent.date)
            kept: int = snapshot.view.get(schema.balance(account)) or 0
            folded = totals.parties[party].net if party in totals.parties else 0
            if kept != folded:
                raise DoesNotHold(
                    KEPT_POSITIONS,
                    f"the ledger keeps {kept} fen on {account}, the entries {extent.first} to"
                    f" {extent.last} come to {folded}: run `counterfoil verify`",
                )


def _compare_value(directory: Path, value: int, extent: Extent) -> None:
    """Compare the stored value that was posted with what members have, as of the cut-off.

    What members have is known as of now; what moved since the cut-off is taken back. Made once,
    when the run is new: later there would be ever more to take back.

    Raises:
        DoesNotHold: they differ.
    """
    with Snapshot(directory) as snapshot:
        held = sum(row.balance for _, row in snapshot.view.scan(bytes((schema.VALUE,))))
        for fields in read_entries(directory, extent.last + 1, snapshot.sequence):
            held -= sum(amount for account, _, amount in fields[7] if account.startswith("Value:"))
    if held != value:
        raise DoesNotHold(
            VALUE,
            f"members have {held} fen of stored value, {value} were posted: run"
            " `counterfoil verify`, which names the members",
        )


def net_date(directory: Path, begun: Begun, totals: Totals, balanced: Balanced, read: Read) -> Day:
    """The netted day of a run."""
    with Snapshot(directory) as snapshot:
        exceptions = open_exceptions(snapshot, begun)
    return net(begun, totals, balanced, read.register, read.carried, exceptions)


def open_exceptions(snapshot: Snapshot, begun: Begun) -> tuple[ExceptionItem, ...]:
    """The exceptions that a run tells: open when it began, or resolved on its date."""
    considered = begun.run.considered
    return tuple(
        matching.item(name, row, begun.date, considered)
        for name, row in matching.discrepancies(snapshot)
        if row.noted <= considered
        and (
            not row.resolution
            or row.resolution > considered
            or begun.run.first <= row.resolution <= begun.run.last
        )
    )


def _advance_netted(directory: Path, begun: Begun, day: Day, options: Options) -> None:
    """Journal what is carried forward, then that the day is netted."""
    carries = [
        CarryForward(begun.date, begun.number, party.id, party.carried_forward, party.owing_since)
        for party in day.parties
        if party.carried_forward
    ]
    expected = sum(1 for _ in posted_parties(day))
    command = AdvanceRun(begun.date, begun.number, "NETTED", "", (), digest(day), expected)
    with Submitter(directory) as submitter:
        for result in submitter.submit_many([*carries, command]):
            _require_done(result)
    options.tell("netted")


def posted_parties(day: Day) -> Iterator[Any]:
    """The parties whose settlement is posted back."""
    return (party for party in day.parties if party.net or party.carried_in)


def _advance(directory: Path, begun: Begun, command: AdvanceRun) -> None:
    """Submit a step and take over the state that the run has then."""
    with Submitter(directory) as submitter:
        _require_done(submitter.submit(command))
    if command.state == FAILED or STATES.index(command.state) > STATES.index(begun.run.state):
        begun.run.state = command.state


def _require_done(result: Any) -> None:
    if not result.done:
        raise ClearingRefused(result.text)


# Release: the settlement posted back.


def release(directory: Path, date: int, options: Options) -> tuple[Begun, Day]:
    """Release a filed run: from here on it is final, and its settlement is posted back.

    Released again, it posts what an interrupted release left out, and nothing twice.

    Raises:
        ClearingRefused: there is no run with files, or the ledger gives other figures now.
    """
    with clearing_lock(directory):
        read = read_date(directory, date)
        if read.known is None or read.known[1].state not in STATES[3:]:
            state = read.known[1].state if read.known else "not cleared yet"
            raise ClearingRefused(
                f"{spoken(date)} is {state}: clear it with `counterfoil clear DIR --date"
                f" {spoken(date)} --out FOLDER` first"
            )
        number, run = read.known
        closed = LocalTimes(read.zone)(read.extent.closed_at)
        begun = Begun(date, number, closed, run)
        totals = fold_date(directory, read, options)
        balanced = balance(totals, read.opening, read.register)
        day = net_date(directory, begun, totals, balanced, read)
        if digest(day) != run.net_digest:
            raise ClearingRefused(
                f"run {number} of {spoken(date)} came to other figures when it was filed: run"
                " `counterfoil verify` before anything is paid"
            )
        _advance(directory, begun, AdvanceRun(date, number, "RELEASED", "", (), b"", 0))
        options.tell("released")
        _post_back(directory, begun, day, balanced, read.before, options)
        return begun, day


def _post_back(
    directory: Path, begun: Begun, day: Day, balanced: Balanced, before: str, options: Options
) -> None:
    commands: list[Any] = [
        TrueUp(begun.date, begun.number, program, amount, most)
        for program, amount, most in balanced.true_ups
    ]
    commands += [
        PostBack(begun.date, begun.number, party.id, party.net, party.carried_in, before)
        for party in posted_parties(day)
    ]
    with Submitter(directory) as submitter:
        told = _told(submitter.submit_many(commands), len(commands), options, "posting back")
        for result in told:
            _require_done(result)
    options.tell("posted back")
    begun.run.state = confirm_when_complete(directory, begun.date, begun.number)


def _told(
    items: Iterable[Item], whole: int, options: Options, what: str, every: int = 100
) -> Iterator[Item]:
    """Pass items on and tell how many passed."""
    for number, each in enumerate(items, 1):
        if not number % every or number == whole:
            options.tell(what, number, whole)
        yield each


def confirm_when_complete(directory: Path, date: int, number: int) -> str:
    """Take a run whose payments are all confirmed to CONFIRMED; returns its state."""
    with Snapshot(directory) as snapshot:
        run = run_row(snapshot, date, number)
    if run.state != "RELEASED" or run.unconfirmed or run.posted < run.expected:
        return run.state
    with Submitter(directory) as submitter:
        _require_done(submitter.submit(AdvanceRun(date, number, "CONFIRMED", "", (), b"", 0)))
    return "CONFIRMED"


__all__ = [
    "AlreadyClearing",
    "ClearingRefused",
    "DoesNotHold",
    "FolderRefused",
    "NotCut",
    "Options",
    "Result",
    "clear",
    "confirm_when_complete",
    "newest_run",
    "release",
]
