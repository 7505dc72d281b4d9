"""The book: journal and tables opened together, by one writer, with groups on their way.

A command's entry and rows are *staged*: swapped into the overlay, where rules see them at once, and
into the open group. `seal` closes the group, `write` makes it durable (in another thread, if the
owner likes), `settle` takes note. One group is in flight at a time; what comes in meanwhile is the
next group, so nobody waits for a timer.

The first write or sync that fails leaves the outcome unknown: `OutcomeUnknown` is raised then and
at every call after, and nothing more is written. What became of the group is found out at the
next `open`: a frame that reads well is written anew and synced before anything else happens.

The tables are behind. A follower process folds groups into them; `refresh` moves the view to the
newest tables and drops from the overlay what they hold. A book opened without a follower (the
command line) folds by itself at close, or when its overlay has grown.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger import codec, schema
from ledger.follower import Follower
from ledger.format import require_format, write_format
from ledger.journal import DurableMark, Journal, Reader
from ledger.priority import keep_off
from ledger.segment import Group, JournalDamaged, segment_name
from ledger.staging import OutcomeUnknown, Staging
from ledger.storage import Limits, Lock, Storage
from ledger.syncer import Syncer
from ledger.tables import Batch, check_position, open_environment, settled_position
from ledger.view import View

__all__ = ["Book", "BookInUse", "Group", "JournalDamaged", "Limits", "OutcomeUnknown", "Stats"]

FINISH_SECONDS = 60.0
RESTART_SECONDS = 5.0
STARVING_SECONDS = 5.0
"""Without a fold; twice what a fold of a busy second or two takes."""
RENEWAL_SECONDS = 0.01
"""Between two looks whether the tables have got on; each costs as much as some rows of a drop."""
_PROGRESS_GROUPS = 256

Progress = Callable[[int, int], None]


class BookInUse(Exception):
    """Another process writes this book."""


@dataclass(slots=True)
class Stats:
    """Plain counters since the book was opened, for whoever shows them.

    Attributes:
        groups: groups made durable.
        entries: entries in them.
        bytes: bytes of their frames.
        write_ns: time spent writing and syncing, nanoseconds.
        group_entries: entries of the last group.
        dropped: overlay records that the tables have taken over.
        follower_starts: how often a follower was started.
        folds: folds made without a follower.
    """

    groups: int = 0
    entries: int = 0
    bytes: int = 0
    write_ns: int = 0
    group_entries: int = 0
    dropped: int = 0
    follower_starts: int = 0
    folds: int = 0


class Book:
    """See the module. Everything but `write` belongs to the thread that opened it.

    Attributes:
        view: reads of the newest records.
        stage: takes an entry in; `ledger.staging.Staging.stage`.
        durable: sequence number of the last durable entry.
        stats: counters since the book was opened.
        epoch: how many times the book was opened.
        limits: the bounds it was opened with.
        disk_free_bytes: room on the disk when it was last looked at.
    """

    def __init__(self, folder: Path, limits: Limits, storage: Storage, *, follower: bool) -> None:
        self._folder = folder
        self.limits = limits
        self._storage = storage
        self._following = follower
        self._lock = Lock(folder / "lock")
        self._journal_lock = Lock(folder / "syncer.lock")
        self._follower: Follower | None = None
        self._flight: Group | None = None
        self._settled: deque[tuple[int, int, int, list[tuple[bytes, Any]]]] = deque()
        self._batch = Batch()
        self._settled_bytes = 0
        self._dropping = 0
        self._applied = 0
        self._disk_low = False
        self._disk_due = 0.0
        self._renewal_due = 0.0
        self._advanced_at = 0.0
        self._kept_off: dict[int, bool] = {}
        self.disk_free_bytes = 0
        self._started_at = 0.0
        self.stats = Stats()
        self.durable = self.epoch = 0

    @classmethod
    def create(cls, folder: Path) -> None:
        """Make an empty book in a new folder, which is there whole or not at all.

        Raises:
            FileExistsError: something has that name.
            OSError: the folder cannot be made.
        """
        if folder.exists():
            raise FileExistsError(f"{folder} is there already; name a new folder")
        storage = Storage()
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            (made / "journal").mkdir()
            (made / "tables").mkdir()
            for name in ("lock", "follower.lock", "syncer.lock"):
                (made / name).touch(mode=0o600)
            DurableMark(made, writable=True).close()
            write_format(made)
            environment = open_environment(made)
            environment.sync(True)
            environment.close()
            storage.sync_folder(made / "tables")
            storage.sync_folder(made)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        storage.sync_folder(folder.parent)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        follower: bool = True,
        progress: Progress | None = None,
        limits: Limits | None = None,
        storage: Storage | None = None,
    ) -> Book:
        """Open a book for writing and bring it to the last durable entry.

        Args:
            folder: made by `create`.
            follower: start a follower process; without one the book folds by itself.
            progress: called with (entries folded, entries to fold) while a long tail is folded.
            limits: other bounds than the usual ones.
            storage: other calls to the operating system, for tests.

        Raises:
            BookInUse: another process has it open.
            JournalDamaged: see `ledger.journal`.
            OSError: it cannot be read or written.
        """
        book = cls(folder, limits or Limits(), storage or Storage(), follower=follower)
        if not book._lock.take():
            raise BookInUse(f"{folder} is in use by another process; stop that one first")
        try:
            book._open(progress)
        except BaseException:
            book._abandon()
            raise
        return book

    def _open(self, progress: Progress | None) -> None:
        limits, folder = self.limits, self._folder
        require_format(folder)
        self._take(self._journal_lock, "a process still writes the journal of")
        self._mark = DurableMark(folder, writable=True)
        self._journal = Journal(
            folder,
            self._storage,
            segment_bytes=limits.segment_bytes if self._following else limits.segment_bytes_alone,
            ahead=self._following,
        )
        self._journal.recover()
        if self._mark.get() > self._journal.last:
            raise JournalDamaged(
                segment_name(self._journal.last + 1),
                0,
                self._journal.last + 1,
                f"entries up to {self._mark.get()} were durable and are not here",
            )
        tables = Lock(folder / "follower.lock")
        self._take(tables, "a follower still writes the tables of")
        tables.release()
        self._environment = open_environment(folder)
        self._environment.reader_check()
        self._fold_long_tail(progress)
        self.view = View(self._environment, limits)
        self._staging = Staging(self.view.overlay, self.view.entries, self.view.balances)
        self.stage = self._staging.stage
        self._lay_over()
        self._journal.begin()
        self.epoch = self._journal.epoch
        self._mark.set(self.durable)
        self._staging.begin(1)
        self._note_disk()
        if self._following:
            self._start_follower()

    def _take(self, lock: Lock, why: str) -> None:
        """Let a process that outlived its daemon end, so that each file has one writer."""
        deadline = time.monotonic() + FINISH_SECONDS
        while not lock.take():
            if time.monotonic() > deadline:
                raise BookInUse(f"{why} {self._folder}; end it")
            time.sleep(0.02)

    def _fold_long_tail(self, progress: Progress | None) -> None:
        applied, digest = settled_position(self._environment)
        total = self._journal.last - applied
        with Reader(self._folder, applied) as reader:
            batch = Batch()
            groups = reader.groups(None, changes=True)
            if total <= self.limits.tail_entries:
                # One step is enough to find that journal and tables belong together.
                next(groups, None)
                check_position(reader, applied, digest)
                return
            for number, group in enumerate(groups):
                if not number:
                    check_position(reader, applied, digest)
                batch.add(group)
                if (
                    batch.entries >= self.limits.fold_entries
                    or len(batch.changes) >= self.limits.fold_records
                ):
                    batch.fold(self._environment)
                if progress and number % _PROGRESS_GROUPS == 0:
                    progress(group.last - applied, total)
            batch.fold(self._environment)
        if progress:
            progress(total, total)

    def _lay_over(self) -> None:
        """Put the groups behind the tables into the overlay."""
        staging = self._staging
        applied, _ = self.view.position()
        self._applied = staging.sequence = applied
        unpack = codec.unpack_row
        with Reader(self._folder, applied) as reader:
            for group in reader.groups(None):
                staging.overlay.update(
                    {
                        key: unpack(key, value) if isinstance(value, bytes) else value
                        for key, value in group.changes.items()
                    }
                )
                staging.entries.update(enumerate(group.entries, group.first))
                staging.note_rows(group)
                self._keep(group)
                staging.sequence = group.last
        self.durable = self.sequence
        last = self.view.get(schema.entry(self.sequence))
        if last is not None:
            staging.last_at, staging.last_date = last.at, last.date

    def _keep(self, group: Group) -> None:
        """Remember what a durable group changed until the tables hold it."""
        self._settled.append((group.first, group.last, group.bytes, group.rows))
        self._settled_bytes += group.bytes
        if not self._following:
            self._batch.add(group)

    def _start_follower(self) -> None:
        self._follower = Follower(self._folder, self.limits)
        self._started_at = self._advanced_at = time.monotonic()
        self.stats.follower_starts += 1

    @property
    def sequence(self) -> int:
        """Sequence number of the last staged entry."""
        return self._staging.sequence

    @property
    def last_at(self) -> int:
        """`at` of the last staged entry, 0 when there is none."""
        return self._staging.last_at

    @property
    def last_date(self) -> int:
        """`date` of the last staged entry, 0 when there is none."""
        return self._staging.last_date

    def _require_sound(self) -> None:
        self._staging.require_sound()

    @property
    def pending(self) -> bool:
        """Whether anything staged is not durable yet."""
        return self.durable < self.sequence

    def seal(self) -> Group | None:
        """Close the open group for writing; None when it is empty or one is in flight."""
        if self._flight is not None or not self._staging.group.entries:
            return None
        self._require_sound()
        self._flight = self._staging.seal()
        return self._flight

    def write(self, group: Group) -> None:
        """Make the sealed group durable; blocks, and may run in another thread.

        Raises:
            OutcomeUnknown: writing or syncing failed, now or before.
        """
        self._require_sound()
        group.write_ns = -time.perf_counter_ns()
        try:
            self._journal.append(group)
        except BaseException as error:
            raise self._failed(error) from error
        self._written(group)

    def start_syncer(self) -> Syncer:
        """Have groups written by a process of their own from now on, in two steps.

        Returns:
            The process, which becomes readable when `write_end` may be called.
        """
        folder = self._folder / "journal"
        lock = self._journal_lock.descriptor
        syncer = Syncer(folder / "spare", self.limits.segment_bytes, lock)
        self._journal.hand_over(syncer)
        return syncer

    def stop_syncer(self) -> None:
        """End that process; nothing may be in flight."""
        self._journal.take_back()

    def write_begin(self, group: Group) -> None:
        """Have the sealed group written and synced, without waiting for the disk.

        Raises:
            OutcomeUnknown: the syncer is gone, now or before.
        """
        self._require_sound()
        group.write_ns = -time.perf_counter_ns()
        try:
            self._journal.append_begin(group)
        except BaseException as error:
            raise self._failed(error) from error

    def write_end(self, group: Group) -> None:
        """Take the syncer's answer: the group is durable when this returns.

        Raises:
            OutcomeUnknown: writing or syncing failed, or the syncer is gone.
        """
        try:
            self._journal.append_end(group)
        except BaseException as error:
            raise self._failed(error) from error
        self._written(group)

    def _failed(self, error: BaseException) -> OutcomeUnknown:
        self._staging.failure = error
        return OutcomeUnknown("writing the journal failed; start again to find out what is durable")

    def _written(self, group: Group) -> None:
        group.write_ns += time.perf_counter_ns()
        if time.monotonic() >= self._disk_due:
            self._note_disk()

    def _note_disk(self) -> None:
        """Look at the free space, seldom enough to cost nothing."""
        self._disk_due = time.monotonic() + self.limits.disk_check_seconds
        wanted = self.limits.disk_free_bytes_min + (
            self.limits.segment_bytes if self._following else self.limits.segment_bytes_alone
        )
        self.disk_free_bytes = self._storage.free_bytes(self._folder)
        self._disk_low = self.disk_free_bytes < wanted

    def _recheck_disk(self) -> None:
        """While nothing is written, nobody else looks whether the disk is low, or low no more."""
        if self._flight is None:
            self._note_disk()
            if not self._disk_low:
                self._journal.prepare_spare()

    def settle(self, group: Group) -> None:
        """Take note that the group in flight is durable; only now may its replies leave."""
        self._require_sound()
        self._flight = None
        self.durable = group.last
        self._mark.set(group.last)
        stats = self.stats
        stats.groups += 1
        stats.entries += group.count
        stats.bytes += group.bytes
        stats.write_ns += group.write_ns
        stats.group_entries = group.count
        self._keep(group)
        if not self._following and (
            self.overlay_size > self.limits.fold_records
            or self._settled_bytes > self.limits.overlay_bytes // 2
        ):
            self._fold()

    def flush(self) -> None:
        """Make everything staged durable before returning.

        Raises:
            OutcomeUnknown: see `write`.
        """
        self._require_sound()
        if self._flight is not None:
            raise RuntimeError("a group is being written elsewhere; settle it first")
        while (group := self.seal()) is not None:
            self.write(group)
            self.settle(group)

    def _fold(self) -> None:
        """Fold the durable groups into the tables here, and drop them from the overlay."""
        self._batch.fold(self._environment)
        self.stats.folds += 1
        self._renewal_due = 0.0
        while self._settled:
            self.refresh()

    def refresh(self, budget: int = 5000) -> None:
        """Move the view to the newest tables and drop what they hold from the overlay.

        Args:
            budget: records to look at in one call; the rest is left for the next.
        """
        now = time.monotonic()
        if now >= self._disk_due:
            self._recheck_disk()
        settled = self._settled
        if not settled:
            self._advanced_at = now
            return
        if not self._dropping:
            if now >= self._renewal_due:
                before, self._applied = self._applied, self.view.renew()
                self._renewal_due = now + RENEWAL_SECONDS
                if self._applied > before:
                    self._advanced_at = now
            if settled[0][1] > self._applied:
                self._watch_follower()
                return
        left = budget
        while left > 0 and settled and settled[0][1] <= self._applied:
            left -= self._drop(left)

    def _drop(self, budget: int) -> int:
        """Drop up to `budget` rows of the oldest group; returns how many were looked at."""
        first, last, size, rows = self._settled[0]
        dropped = 0
        if not self._dropping:
            self.view.drop_entries(first, last)
            dropped = last - first + 1
        end = self._dropping + budget
        slice_ = rows[self._dropping : end]
        staging = self._staging
        self.view.drop(slice_, self._applied, staging.last_change, staging.group.changes)
        dropped += len(slice_)
        self.stats.dropped += dropped
        self._dropping = end
        if end >= len(rows):
            self._dropping = 0
            self._settled_bytes -= size
            self._settled.popleft()
        return dropped

    def _watch_follower(self) -> None:
        """Start another follower in place of one that died, unless it found damage, or starves.

        One starves that gets nothing done for a while and may be last in line for a processor. That
        much waits for the tables is no sign of it: at a high rate so much comes in during a fold,
        and who is replaced in the middle of one has to begin it anew.
        """
        follower = self._follower
        now = time.monotonic()
        if follower is None or now - self._started_at < RESTART_SECONDS:
            return
        if follower.alive:
            wanted = (
                self.overlay_size > self.limits.overlay_records // 2
                and now - self._advanced_at > STARVING_SECONDS
                and follower.starves
            )
        else:
            wanted = not follower.gave_up
        if wanted:
            follower.stop()
            self._start_follower()

    @property
    def applied(self) -> int:
        """Sequence number up to which the tables held everything at the last refresh."""
        return self._applied

    @property
    def overlay_size(self) -> int:
        """Rows and entries in the overlay."""
        return len(self._staging.overlay) + len(self._staging.entries)

    @property
    def overlay_full(self) -> bool:
        """Whether the tables are too far behind to take in more: answer 91."""
        return (
            self.overlay_size >= self.limits.overlay_records
            or self._settled_bytes >= self.limits.overlay_bytes
        )

    @property
    def disk_low(self) -> bool:
        """Whether the disk has not enough room for a further segment: answer 91."""
        return self._disk_low or self._journal.spare_failed

    def keep_companions_off(self, *, off: bool) -> None:
        """Keep follower and syncer off a processor, or let them back (`ledger.priority`)."""
        for process in (self.follower_id, self._journal.syncer_id):
            if process and self._kept_off.get(process, False) != off:
                keep_off(process, off=off)
                self._kept_off[process] = off

    @property
    def follower_alive(self) -> bool:
        """Whether the follower process runs; False without one."""
        return self._follower is not None and self._follower.alive

    @property
    def follower_id(self) -> int:
        """Process number of the follower; 0 without one."""
        return self._follower.process_id if self._follower is not None else 0

    def close(self, *, fold: bool = True) -> None:
        """Flush, fold, and give the book up; closing a closed book does nothing.

        Args:
            fold: False leaves the tables behind, for the next open.

        Raises:
            OutcomeUnknown: something staged could not be made durable; the book is given up.
        """
        try:
            if self._lock.held and self._staging.failure is None:
                self.flush()
                if fold and self._follower is not None:
                    self._follower.finish(FINISH_SECONDS)
                elif fold and self._settled:
                    self._fold()
                self._journal.close(sound=True)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Let everything go without writing."""
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        for name in ("view", "_environment"):
            if (opened := self.__dict__.pop(name, None)) is not None:
                opened.close()
        if (journal := self.__dict__.get("_journal")) is not None:
            journal.close(sound=False)
        if (mark := self.__dict__.pop("_mark", None)) is not None:
            mark.close()
        self._journal_lock.release()
        self._lock.release()
