"""The tables: one LMDB database in key order of the schema, and the view over it.

One transaction of the follower (or of a book opened without one) folds whole groups of the journal
in and advances the *applied position* with them. Position S means: all changes of groups up to S
are in the tables and none later. The position holds the digest of the group that ends there, so
that tables and journal of different directories are never taken for one book.

`View` is what rules read: first the overlay of decoded records that are newer than the tables,
then a cache of the rows of reference tables, then LMDB. `Snapshot` reads the same beside a running
daemon, or without one, with the journal's tail laid over.

An environment is opened once in a process, never carried across a fork, and its map is given its
whole size at once; a long reader makes the file grow, so snapshots are for short use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import lmdb

from ledger import codec, schema
from ledger.format import require_format
from ledger.journal import Reader, durable_end
from ledger.segment import Group, JournalDamaged, segment_name
from ledger.storage import MEBIBYTE, Limits, Lock, Storage, zeros
from ledger.trickle import CannotSetBack, mend
from ledger.view import POSITION, POSITION_KEY, TailView, position_of

_ANEW = (
    "empty that folder while nobody serves it, and the next start folds the journal anew; where the"
    " journal was pruned, restore a backup"
)
_PAGES_SPARE = 16
_PAGES_SPARE_MAX = 1024

_ROOM_BYTES = 32 * MEBIBYTE
"""By so much at most the file grows ahead of need."""
_ROOM_PART = 8
"""And by no more than one part in so many of its size."""
_ROWS_AT_ONCE = 200
"""Rows of a fold that are put in one call: a millisecond or two, after which the process may take a
breath (`ledger.priority`)."""

MAP_BYTES = 1 << 40
"""Address space of the database, given once; the file grows as it needs."""


class FoldOutOfOrder(Exception):
    """Groups were to be folded that do not follow from the applied position."""


class TablesFailed(OSError):
    """The tables cannot be opened or written; the journal has all that was durable."""


def open_environment(
    folder: Path, *, readonly: bool = False, sync: bool = True, lock: bool = True
) -> Any:
    """Open the LMDB environment of a book; once in a process.

    Args:
        folder: the book.
        readonly: only read.
        sync: False where a crash may lose everything, as in filling a new table, and for
            `ledger.trickle`.
        lock: False only where nobody writes.

    Raises:
        TablesFailed: LMDB refused.
    """
    try:
        mend(folder)
        environment = lmdb.open(
            str(folder / "tables"),
            map_size=MAP_BYTES,
            readonly=readonly,
            readahead=False,
            sync=sync,
            lock=lock,
            max_dbs=0,
            max_spare_txns=4,
            create=not readonly,
        )
    except CannotSetBack as error:
        raise TablesFailed(
            f"the system stopped while it wrote the tables in {folder}/tables, and they cannot be"
            f" set back to the fold before ({error}): start the daemon, or {_ANEW}"
        ) from error
    except lmdb.InvalidError as error:
        raise TablesFailed(
            f"the tables in {folder}/tables are damaged ({error}): {_ANEW}"
        ) from error
    except lmdb.Error as error:
        raise TablesFailed(f"the tables in {folder} cannot be opened: {error}") from error
    if _is_cut(folder, environment):
        environment.close()
        raise TablesFailed(f"the tables in {folder}/tables are cut short: {_ANEW}")
    return environment


def _is_cut(folder: Path, environment: Any) -> bool:
    """Whether the file ends far before the pages that it says it has.

    What is missing of a mapped file cannot be read: the system would end the process without a
    word. The last pages of a transaction may rightly have been left unwritten, so some are let be.
    """
    told: int = environment.info()["last_pgno"]
    there = tables_bytes(folder) // int(environment.stat()["psize"])
    return there + min(_PAGES_SPARE + told // 4, _PAGES_SPARE_MAX) < told


def tables_bytes(folder: Path) -> int:
    """Size of a book's tables on disk.

    Raises:
        OSError: there are none.
    """
    return _file(folder).stat().st_size


def _file(folder: Path) -> Path:
    return folder / "tables" / "data.mdb"


def make_room(folder: Path, environment: Any) -> int:
    """Fill the tables' file with zeros ahead of need, where little of it is left; for its writer.

    A commit into blocks that the file has already is a matter of data alone. One that makes the
    file grow has the file system commit its own journal too, and whoever syncs another file of it
    meanwhile waits.

    Returns:
        Bytes added.

    Raises:
        OSError: the disk has no room; nothing is lost by it.
    """
    size = tables_bytes(folder)
    page = int(environment.stat()["psize"])
    used = (int(environment.info()["last_pgno"]) + 1) * page
    step = min(_ROOM_BYTES, size // _ROOM_PART) // page * page
    if size - used >= step // 2:
        return 0
    storage = Storage()
    descriptor = storage.open(_file(folder))
    try:
        for offset, piece in zeros(size, size + step):
            storage.write(descriptor, [piece], offset)
            storage.pass_on(descriptor, offset, len(piece))
    finally:
        storage.close(descriptor)
    return step


def settled_position(environment: Any) -> tuple[int, bytes]:
    """The applied position as a writer sees it.

    After a writer was killed, a reader may miss its last commit until the next writer came; taking
    the writer's lock settles that.
    """
    with environment.begin(write=True) as transaction:
        return position_of(transaction)


class Batch:
    """Groups merged for one fold: the last value of each row wins, each is written once."""

    __slots__ = ("_entries", "_with_entries", "changes", "digest", "first", "last")

    def __init__(self, *, with_entries: bool = True) -> None:
        self._with_entries = with_entries
        self.clear()

    def clear(self) -> None:
        """Make ready for the next fold."""
        self.changes: dict[bytes, bytes | int | None] = {}
        self._entries: list[tuple[bytes, bytes]] = []
        self.first = 0
        self.last = 0
        self.digest = b""

    def add(self, group: Group) -> None:
        """Take in the group that follows."""
        if not self.first:
            self.first = group.first
        if self._with_entries:
            entry = schema.entry
            self._entries += [
                (entry(sequence), packed)
                for sequence, packed in enumerate(group.entries, group.first)
            ]
        self.changes.update(group.changes)
        self.last, self.digest = group.last, group.digest

    @property
    def entries(self) -> int:
        """How many entries wait."""
        return len(self._entries)

    def fold(self, environment: Any) -> None:
        """Write everything and the new position in one transaction.

        Raises:
            FoldOutOfOrder: the applied position is not right before the batch.
            TablesFailed: LMDB or the disk refused; the tables are as they were.
        """
        if not self.last:
            return
        try:
            self._fold(environment)
        except lmdb.Error as error:
            raise TablesFailed(
                f"the tables cannot be written: {error}; what was posted is in the journal"
            ) from error
        self.clear()

    def _fold(self, environment: Any) -> None:
        changes = self.changes
        pack = codec.pack_value
        puts: list[tuple[bytes, bytes]] = []
        removed: list[bytes] = []
        for key in sorted(changes):
            value = changes[key]
            if value.__class__ is bytes:
                puts.append((key, value))
            elif value is None:
                removed.append(key)
            else:
                puts.append((key, pack(value)))
        with environment.begin(write=True) as transaction:
            applied, _ = position_of(transaction)
            if applied + 1 != self.first:
                raise FoldOutOfOrder(
                    f"the tables are at {applied}, the groups to fold begin at {self.first}"
                )
            cursor = transaction.cursor()
            for rows in (self._entries, puts):
                for begin in range(0, len(rows), _ROWS_AT_ONCE):
                    cursor.putmulti(rows[begin : begin + _ROWS_AT_ONCE])
            for key in removed:
                transaction.delete(key)
            transaction.put(POSITION_KEY, POSITION.pack(self.last, self.digest))


class Snapshot:
    """The book as it is at one sequence number, read-only, beside a daemon or without one.

    Attributes:
        sequence: the sequence number that every answer is true for.
        applied: the position of the tables below it.
        view: decoded reads.
    """

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self._folder = folder
        self._limits = limits or Limits()

    def __enter__(self) -> Self:
        require_format(self._folder)
        self._environment = _open_to_read(self._folder)
        try:
            self.view = TailView(self._environment, self._limits)
            self.applied, digest = self.view.position()
            end = durable_end(self._folder)
            self.sequence = self.applied
            with Reader(self._folder, self.applied) as reader:
                for group in reader.groups(None if end is None else max(end, self.applied)):
                    self.view.lay_over(group)
                    self.sequence = group.last
                check_position(reader, self.applied, digest)
        except BaseException:
            self._environment.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.view.close()
        self._environment.close()

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield key and packed row in key order, the position row left out."""
        return self.view.rows(prefix)

    def table(self, number: int, after: bytes = b"") -> Iterator[tuple[bytes, Any]]:
        """Yield key and decoded row of a table in key order.

        Args:
            number: the table's, see `ledger.schema`.
            after: a key; only rows behind it are told.
        """
        return self.view.scan(bytes((number,)), after)


def check_position(reader: Reader, applied: int, digest: bytes) -> None:
    """Refuse tables that were folded from another journal than this one.

    Args:
        reader: a reader that began behind `applied`.
        applied: position of the tables.
        digest: what the tables say of the group that ends there.

    Raises:
        JournalDamaged: the journal ends before the position or has another group there.
    """
    if applied and not reader.reaches(applied):
        raise JournalDamaged(
            segment_name(applied), 0, applied, "the tables hold it, the journal does not"
        )
    if reader.started_digest and reader.started_digest != digest:
        raise JournalDamaged(
            segment_name(applied + 1), 0, applied, "the tables are of another journal"
        )


def readers(folder: Path) -> tuple[int, list[tuple[int, int]]]:
    """Who reads the tables now.

    Returns:
        The newest transaction, and process and transaction of each reader that holds one. A killed
        reader stands there until the follower's next fold.
    """
    environment = _open_to_read(folder)
    try:
        newest = int(environment.info()["last_txnid"])
        rows = [line.split() for line in environment.readers().splitlines()]
    finally:
        environment.close()
    return newest, [
        (int(row[0]), int(row[2]))
        for row in rows
        if len(row) == len(("process", "thread", "transaction")) and row[0].isdigit()
        if row[2].isdigit()
    ]


def _open_to_read(folder: Path) -> Any:
    """Open the tables read-only, also where this user may not write the table of readers."""
    try:
        return open_environment(folder, readonly=True)
    except TablesFailed:
        if Lock(folder / "lock").is_held() or Lock(folder / "follower.lock").is_held():
            raise
        return open_environment(folder, readonly=True, lock=False)
