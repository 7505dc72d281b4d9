"""The recorded commands run through the rules again: ``counterfoil replay DIR --into NEWDIR``.

It is the proof that the engine is deterministic: the same commands at their recorded times, in a
new book, have to make the same entries byte for byte and the same digest, whatever the grouping.
Entries that the machine writes by itself (an automatic cut-off) come up by themselves: their
recorded command brings the time, and is refused after the machine has done the work.

The source is read only, beside a running daemon too: when the journal has been read to its end, a
snapshot fixes the sequence number, and what came in meanwhile is replayed up to it.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.catalogue import command_of
from engine.directory import DirectoryError, copy_configuration, require_directory
from engine.machine import Machine
from ledger import codec
from ledger.audit import digest
from ledger.book import Book
from ledger.journal import Reader, durable_end
from ledger.model import Entry
from ledger.tables import Snapshot

FLUSH_ENTRIES = 4096

Progress = Callable[[int, int], None]


class Differs(Exception):
    """The replay made something else than what is recorded; one sentence with the place."""


@dataclass(slots=True)
class Report:
    """What a replay came to.

    Attributes:
        entries: entries made again, all equal to the recorded ones.
        seconds: time for reading, deciding, comparing and writing them.
        digest: of both books, in hexadecimal digits.
    """

    entries: int
    seconds: float
    digest: str

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.entries / self.seconds if self.seconds else 0.0


class Replay:
    """One replay into a new book."""

    def __init__(self, source: Path, book: Book) -> None:
        """Read `source` from its beginning; write `book`, which is empty and made here."""
        self._book = book
        self._machine = Machine(book, replays=True)
        self._reader = Reader(source)

    @property
    def done(self) -> int:
        """Entries replayed so far."""
        return self._reader.position

    def run(self, last: int | None, progress: Progress | None = None) -> None:
        """Replay on to the entry `last`, or to the end that is durable.

        Raises:
            Differs: an entry is not the recorded one.
            ledger.segment.JournalDamaged: the source's journal is damaged.
        """
        book = self._book
        made: deque[bytes] = deque()
        staged = book.view.entries
        execute = self._machine.execute
        for group in self._reader.groups(last, changes=False):
            for sequence, packed in enumerate(group.entries, group.first):
                entry = codec.unpack_entry(packed)
                before = book.sequence
                command = command_of(entry.kind, entry.command)
                execute(command, entry.at, entry.nonce, entry.trail[:2])
                made += (staged[number] for number in range(before + 1, book.sequence + 1))
                if not made:
                    raise Differs(f"the replay made no entry {sequence}, a recorded {entry.kind}")
                again = made.popleft()
                if again != packed:
                    raise Differs(_difference(entry, codec.unpack_entry(again)))
                if book.sequence - book.durable >= FLUSH_ENTRIES:
                    book.flush()
                    if progress:
                        progress(sequence, last or sequence)
        if made:
            extra = codec.unpack_entry(made[0])
            raise Differs(f"the replay made entry {extra.sequence}, a {extra.kind}, that is new")
        book.flush()

    def close(self) -> None:
        """Close the source."""
        self._reader.close()


def replay(source: Path, into: Path, progress: Progress | None = None) -> Report:
    """Replay a directory's journal into a new directory.

    Args:
        source: the data directory.
        into: a name that is free; its configuration points to the same key file.
        progress: called with (entries done, entries to do).

    Raises:
        Differs: an entry or the digest is another one; `into` holds what was made until there.
        DirectoryError: `source` is none, or `into` is there already.
        ledger.segment.JournalDamaged: the source's journal is damaged.
    """
    require_directory(source)
    make_empty(source, into)
    try:
        return _replay(source, into, progress)
    except Differs:
        raise
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def make_empty(source: Path, into: Path) -> None:
    """Make a directory with an empty book and the configuration of `source`.

    Raises:
        DirectoryError: the name is taken.
    """
    try:
        Book.create(into)
    except FileExistsError:
        raise DirectoryError(f"{into} is there already: name a new directory") from None
    copy_configuration(source, into)


def _replay(source: Path, into: Path, progress: Progress | None) -> Report:
    started = time.perf_counter()
    book = Book.open(into, follower=False)
    try:
        run = Replay(source, book)
        try:
            run.run(durable_end(source), progress)
            with Snapshot(source) as snapshot:
                run.run(snapshot.sequence, progress)
                book.close()
                seconds = time.perf_counter() - started
                recorded = digest(snapshot)
        finally:
            run.close()
    finally:
        book.close()
    with Snapshot(into) as made:
        again = digest(made)
    if again != recorded:
        raise Differs(f"every entry is equal, but the digest is {again}, not {recorded}")
    return Report(run.done, seconds, again)


def _difference(recorded: Entry, made: Entry) -> str:
    """Where two entries differ, without their values."""
    names = [
        name
        for name in Entry.__dataclass_fields__
        if getattr(recorded, name) != getattr(made, name)
    ]
    what = ", ".join(names) or "its packing"
    return f"entry {recorded.sequence}, a {recorded.kind}, came out with another {what}"
