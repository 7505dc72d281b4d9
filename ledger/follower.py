"""The follower: a process that folds the journal into the tables behind the daemon.

Why a process: the LMDB binding gives up the interpreter's lock at every put, so a thread with many
puts beside a busy loop stands still. It is started with the interpreter itself
(``python -m ledger.follower FOLDER FOLD_SECONDS FOLD_ENTRIES FOLD_RECORDS``), never by a fork.

It takes the lock of followers (waiting for one of an earlier daemon), reads the applied position,
and folds exactly the groups that follow, up to the durable end that the daemon shares in memory.
A fold is committed when its oldest change is `FOLD_SECONDS` old or the batch is large, and then
written to the disk little by little (`ledger.trickle`). To wait longer, so that rows and pages that
change again are written once, saves little where members are many. It never writes the journal.

Between folds it keeps the tables in the system's memory (`ledger.warmth`), and makes their file
grow ahead of need.

It takes what others leave of the processors (`ledger.priority`), but only once it has caught up for
the first time: one that starves is replaced by its daemon, and the new one is merely nice.

It lives as long as its daemon: it asks the system to be killed with its parent, and ends when the
pipe on its standard input does. The byte ``F`` there asks it to fold what is durable and leave.

Exit status: 0 asked to leave or parent gone, 1 the journal is damaged, 2 the disk did not take a
fold, which another follower may try again.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ledger import companion
from ledger.journal import DurableMark, Reader
from ledger.notes import note
from ledger.priority import NICE, step_back
from ledger.segment import JournalDamaged
from ledger.storage import Limits, Lock
from ledger.tables import (
    Batch,
    FoldOutOfOrder,
    check_position,
    make_room,
    open_environment,
    settled_position,
)
from ledger.trickle import SPREAD_S, Trickle, boot
from ledger.warmth import Warmth

POLL_SECONDS = 0.1
FINISH = b"F"
STATUS_DAMAGED = 1
STATUS_FAILED = 2


class Follower:
    """The daemon's end: starts the process, tells it to finish, knows whether it lives."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._process = companion.start(
            "ledger.follower",
            str(folder.resolve()),
            str(limits.fold_seconds),
            str(limits.fold_entries),
            str(limits.fold_records),
            stdin=subprocess.PIPE,
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def starves(self) -> bool:
        """Whether it runs in a class behind this process's, where it may get no processor."""
        try:
            return os.sched_getscheduler(self.process_id) != os.sched_getscheduler(0)
        except ProcessLookupError:
            return False

    @property
    def process_id(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def gave_up(self) -> bool:
        """Whether it ended because the journal is damaged: no use starting another."""
        return self._process.poll() == STATUS_DAMAGED

    def finish(self, seconds: float) -> bool:
        """Have it fold all that is durable and leave.

        Returns:
            False when it had not within `seconds`, and was ended.
        """
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(FINISH)
                pipe.flush()
        try:
            return self._process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.stop()

    def stop(self) -> None:
        """End it now; what it had not committed is folded by the next one."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


class _Pipe:
    """What the parent says: nothing, finish, or that it is gone."""

    def __init__(self) -> None:
        self.finish = False
        self.gone = False

    def wait(self, seconds: float) -> None:
        if self.finish:
            return
        ready, _, _ = select.select([0], [], [], seconds)
        if ready:
            said = os.read(0, 16)
            self.finish = FINISH in said
            self.gone = not said


class _Folds:
    """Folds, counted and noted for those who watch."""

    def __init__(self, folder: Path, trickle: Trickle | None) -> None:
        self._folder = folder
        self._trickle = trickle
        self._folds = self._entries = self._ns = 0

    def fold(self, batch: Batch, environment: Any, spread_s: float) -> None:
        """Fold a batch, see `ledger.tables.Batch.fold`, and have it on disk."""
        begun = time.perf_counter_ns()
        self._entries += batch.entries
        batch.fold(environment)
        self._ns += time.perf_counter_ns() - begun
        if self._trickle:
            self._trickle.write_out(spread_s)
        self._folds += 1
        numbers = {"folds": self._folds, "entries": self._entries, "ns": self._ns}
        note(self._folder, "follower", **numbers)


def follow(folder: Path, limits: Limits, pipe: _Pipe) -> None:
    """Fold until told to finish or the parent is gone.

    Raises:
        JournalDamaged: the journal cannot be read on.
        FoldOutOfOrder: another wrote the tables.
        OSError: the tables cannot be written.
    """
    lock = Lock(folder / "follower.lock")
    while not lock.take():
        pipe.wait(POLL_SECONDS)
        if pipe.gone:
            return
    trickles = bool(boot())
    environment = open_environment(folder, sync=not trickles)
    trickle = Trickle(folder / "tables", environment) if trickles else None
    mark = DurableMark(folder, writable=False)
    environment.reader_check()
    applied, digest = settled_position(environment)
    batch = Batch()
    oldest = 0.0
    folds = _Folds(folder, trickle)
    warmth = Warmth(folder / "tables" / "data.mdb")
    behind = True
    with Reader(folder, applied) as reader:
        while not pipe.gone:
            leaving = pipe.finish
            large = False
            for group in reader.groups(mark.get()):
                if not batch.last:
                    check_position(reader, applied, digest)
                    oldest = time.monotonic()
                batch.add(group)
                if (
                    batch.entries >= limits.fold_entries
                    or len(batch.changes) >= limits.fold_records
                ):
                    folds.fold(batch, environment, 0)
                    large = True
            if batch.last and (leaving or time.monotonic() >= oldest + limits.fold_seconds):
                folds.fold(batch, environment, 0 if behind or leaving else SPREAD_S)
                # Readers that were killed would keep old pages from being used again.
                environment.reader_check()
            if leaving:
                break
            if behind and not large:
                behind = False
                step_back()
            with contextlib.suppress(OSError):  # what these do is a help, and nobody's right
                make_room(folder, environment)
                warmth.step()
            pipe.wait(POLL_SECONDS)
    if trickle:
        trickle.close()
    environment.close()
    lock.release()


def main(arguments: list[str]) -> int:
    """Run as a process; see the module."""
    companion.die_with_parent()
    os.nice(NICE)
    folder, seconds, entries, records = arguments
    limits = Limits(
        fold_seconds=float(seconds), fold_entries=int(entries), fold_records=int(records)
    )
    try:
        follow(Path(folder), limits, _Pipe())
    except (JournalDamaged, FoldOutOfOrder) as error:
        sys.stderr.write(f"the follower stopped: {error}\n")
        return STATUS_DAMAGED
    except OSError as error:
        sys.stderr.write(f"the follower stopped: {error}\n")
        return STATUS_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
