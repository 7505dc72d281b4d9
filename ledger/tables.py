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

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import lmdb

from ledger import codec, schema
from ledger.journal import Reader, durable_end
from ledger.segment import CHAIN_START, Group, JournalDamaged, segment_name
from ledger.storage import Limits, Lock

MAP_BYTES = 1 << 40
"""Address space of the database, given once; the file grows as it needs."""

POSITION_KEY = b"\x00position"
_POSITION = struct.Struct(">Q32s")
_ABSENT: Any = object()
_SCAN_ROWS = 512


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
        sync: False only where a crash may lose everything, as in filling a new table.
        lock: False only where nobody writes.

    Raises:
        TablesFailed: LMDB refused.
    """
    try:
        return lmdb.open(
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
    except lmdb.Error as error:
        raise TablesFailed(f"the tables in {folder} cannot be opened: {error}") from error


def position_of(transaction: Any) -> tuple[int, bytes]:
    """The applied position and the digest of the group that ends there."""
    packed = transaction.get(POSITION_KEY)
    if packed is None:
        return 0, CHAIN_START
    sequence, digest = _POSITION.unpack(packed)
    return sequence, digest


def settled_position(environment: Any) -> tuple[int, bytes]:
    """The applied position as a writer sees it.

    After a writer was killed, a reader may miss its last commit until the next writer came; taking
    the writer's lock settles that.
    """
    with environment.begin(write=True) as transaction:
        return position_of(transaction)


class Batch:
    """Groups merged for one fold: the last value of each row wins, each is written once."""

    __slots__ = ("_entries", "changes", "digest", "first", "last")

    def __init__(self) -> None:
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
        entry = schema.entry
        self._entries += [
            (entry(sequence), packed) for sequence, packed in enumerate(group.entries, group.first)
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
            cursor.putmulti(self._entries)
            cursor.putmulti(puts)
            for key in removed:
                transaction.delete(key)
            transaction.put(POSITION_KEY, _POSITION.pack(self.last, self.digest))


class View:
    """Reads of the newest records, on one thread; what is staged but not durable included.

    Attributes:
        overlay: key to decoded record or int; an entry stays packed, since few are read again;
            None where a row was removed.
    """

    __slots__ = (
        "_cache",
        "_cache_max",
        "_environment",
        "_newest",
        "_read",
        "_snapshot",
        "overlay",
    )

    def __init__(self, environment: Any, limits: Limits) -> None:
        self.overlay: dict[bytes, Any] = {}
        self._newest = self.overlay.get
        self._cache: dict[bytes, Any] = {}
        self._cache_max = limits.reference_rows
        self._environment = environment
        self._snapshot = environment.begin()
        self._read = self._snapshot.get

    def get(self, key: bytes) -> Any | None:
        """The row under `key`, decoded, or None.

        Raises:
            codec.UnknownLayout: a newer version wrote it.
        """
        value = self._newest(key, _ABSENT)
        if value is not _ABSENT:
            return codec.unpack_entry(value) if value.__class__ is bytes else value
        value = self._cache.get(key)
        if value is not None:
            return value
        packed = self._read(key)
        if packed is None:
            return None
        value = codec.unpack_row(key, packed)
        if key[0] in schema.REFERENCE:
            self._remember(key, value)
        return value

    def _remember(self, key: bytes, value: Any) -> None:
        if len(self._cache) >= self._cache_max:
            self._cache.clear()
        self._cache[key] = value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """Yield the rows whose key begins with `prefix`, ascending, decoded.

        For sweeps, inspection and administration: it looks through the whole overlay. Rows that
        change while it is being read may be told as they were or as they are.
        """
        for key, value in self._merged(prefix):
            yield key, codec.unpack_row(key, value) if isinstance(value, bytes) else value

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the same rows packed, as the tables will hold them."""
        for key, value in self._merged(prefix):
            yield key, value if isinstance(value, bytes) else _packed(value)

    def _newer(self) -> dict[bytes, Any]:
        """What lies over the tables."""
        return self.overlay

    def _merged(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """Key and value, packed or not, ascending, removed rows left out."""
        newer = {key: value for key, value in self._newer().items() if key.startswith(prefix)}
        waiting = iter(sorted(newer))
        ahead = next(waiting, None)
        for key, packed in self._rows(prefix):
            while ahead is not None and ahead < key:
                if newer[ahead] is not None:
                    yield ahead, newer[ahead]
                ahead = next(waiting, None)
            if key not in newer:
                yield key, packed
        while ahead is not None:
            if newer[ahead] is not None:
                yield ahead, newer[ahead]
            ahead = next(waiting, None)

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of the tables in pieces, so that the snapshot may be renewed between two."""
        start = prefix
        while True:
            rows: list[tuple[bytes, bytes]] = []
            with self._snapshot.cursor() as cursor:
                if cursor.set_range(start):
                    for key, packed in cursor:
                        if not key.startswith(prefix) or len(rows) == _SCAN_ROWS:
                            break
                        rows.append((key, packed))
            if not rows:
                return
            yield from (row for row in rows if row[0] != POSITION_KEY)
            start = rows[-1][0] + b"\0"

    def renew(self) -> int:
        """Move to the newest tables.

        Returns:
            The applied position that they are true for.
        """
        self._snapshot.abort()
        self._snapshot = self._environment.begin()
        self._read = self._snapshot.get
        return position_of(self._snapshot)[0]

    def position(self) -> tuple[int, bytes]:
        """Applied position and digest of the snapshot in use."""
        return position_of(self._snapshot)

    def drop(self, key: bytes) -> None:
        """Forget the overlay's record: the tables hold it now."""
        value = self.overlay.pop(key, None)
        if key[0] in schema.REFERENCE:
            if value is None:
                self._cache.pop(key, None)
            else:
                self._remember(key, value)

    def close(self) -> None:
        """End the read transaction."""
        self._snapshot.abort()


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
        self._environment = _open_to_read(self._folder)
        try:
            self.view = _TailView(self._environment, self._limits)
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


def check_position(reader: Reader, applied: int, digest: bytes) -> None:
    """Refuse tables that were folded from another journal than this one.

    Args:
        reader: a reader that began behind `applied`.
        applied: position of the tables.
        digest: what the tables say of the group that ends there.

    Raises:
        JournalDamaged: the journal ends before the position or has another group there.
    """
    if reader.started_digest and reader.started_digest != digest:
        raise JournalDamaged(
            segment_name(applied + 1), 0, applied, "the tables are of another journal"
        )


def _open_to_read(folder: Path) -> Any:
    """Open the tables read-only, also where this user may not write the table of readers."""
    try:
        return open_environment(folder, readonly=True)
    except TablesFailed:
        if Lock(folder / "lock").is_held() or Lock(folder / "follower.lock").is_held():
            raise
        return open_environment(folder, readonly=True, lock=False)


class _TailView(View):
    """A view whose newer rows are the packed ones of the journal's tail."""

    __slots__ = ("_tail",)

    def __init__(self, environment: Any, limits: Limits) -> None:
        super().__init__(environment, limits)
        self._tail: dict[bytes, bytes | int | None] = {}

    def lay_over(self, group: Group) -> None:
        """Take in a group behind the tables."""
        self._tail.update(group.changes)
        for sequence, packed in enumerate(group.entries, group.first):
            self._tail[schema.entry(sequence)] = packed

    def get(self, key: bytes) -> Any | None:
        """The row under `key`, decoded, or None."""
        if key not in self._tail:
            return super().get(key)
        value = self._tail[key]
        return codec.unpack_row(key, value) if isinstance(value, bytes) else value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """Yield the rows whose key begins with `prefix`, ascending, decoded."""
        for key, packed in self.rows(prefix):
            yield key, codec.unpack_row(key, packed)

    def _newer(self) -> dict[bytes, Any]:
        return self._tail


def _packed(value: Any) -> bytes:
    """A row from above the tables as they will hold it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return codec.pack_value(value)
    return codec.pack_record(value)
