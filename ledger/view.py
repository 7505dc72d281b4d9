"""What rules read: the newest rows, decoded.

First the overlay of records that are newer than the tables, then the rows of reference tables and
of aliases that are kept in memory, then the tables themselves. `TailView` is the same for a reader
beside the daemon: its newer rows are the packed ones of the journal's tail.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any, Final

from ledger import codec, schema
from ledger.segment import CHAIN_START, Group
from ledger.storage import Limits

POSITION_KEY: Final = b"\x00position"
POSITION: Final = struct.Struct(">Q32s")
_IS_REFERENCE: Final[bytes] = bytes(table in schema.REFERENCE for table in range(256))
_SCAN_ROWS: Final = 512
_NONE: Final = object()
"""Stands in memory for a row that the tables do not have."""
_ABSENT: Final = object()
"""What the overlay says of a row that it does not have, other than one that was removed."""
_ALIASES: Final = bytes((schema.ALIAS,))


def position_of(transaction: Any) -> tuple[int, bytes]:
    """The applied position and the digest of the group that ends there."""
    packed = transaction.get(POSITION_KEY)
    if packed is None:
        return 0, CHAIN_START
    sequence, digest = POSITION.unpack(packed)
    return sequence, digest


class View:
    """Reads of the newest records, on one thread; what is staged but not durable included.

    Attributes:
        overlay: key to decoded record or int; None where a row was removed.
        balances: key to what accounts come to by the open group. They go before the overlay, which
            takes them when the group is sealed: nearly every entry changes some, and mostly the
            same.
        entries: sequence number to packed entry, of those not in the tables yet; few are read
            again, so they stay packed.
    """

    __slots__ = (
        "_aliases",
        "_aliases_max",
        "_cache",
        "_cache_max",
        "_environment",
        "_limits",
        "_read",
        "_snapshot",
        "balances",
        "entries",
        "overlay",
    )

    def __init__(self, environment: Any, limits: Limits) -> None:
        self.overlay: dict[bytes, Any] = {}
        self.balances: dict[bytes, int] = {}
        self.entries: dict[int, bytes] = {}
        self._cache: dict[bytes, Any] = {}
        self._cache_max = limits.reference_rows
        # As the tables have them: packed, or decoded once they were asked for. Nearly every message
        # names one, and a tree of millions of rows is slow to go down.
        self._aliases: dict[bytes, Any] = {}
        self._aliases_max = 0  # see `keep_aliases`
        self._limits = limits
        self._environment = environment
        self._snapshot = environment.begin()
        self._read = self._snapshot.get

    def get(self, key: bytes) -> Any | None:
        """The row under `key`, decoded, or None.

        Raises:
            codec.UnknownLayout: a newer version wrote it.
        """
        table = key[0]
        if table == schema.BALANCE:
            counted = self.balances.get(key)
            if counted is not None:
                return counted
        value = self.overlay.get(key, _ABSENT)
        if value is not _ABSENT:
            return value
        if _IS_REFERENCE[table]:
            value = self._cache.get(key)
            if value is not None:
                return None if value is _NONE else value
        elif table == schema.ENTRY:
            value = self.entries.get(schema.entry_sequence(key))
            if value is not None:
                return codec.unpack_entry(value)
        elif table == schema.ALIAS:
            value = self._aliases.get(key)
            if value is not None:
                return self._alias(key, value)
        packed = self._read(key)
        if packed is None:
            if table == schema.LINK:
                self._remember(key, _NONE)  # until its first batch is closed, every message asks
            return None
        value = codec.unpack_row(key, packed)
        if _IS_REFERENCE[table]:
            self._remember(key, value)
        elif table == schema.ALIAS and len(self._aliases) < self._aliases_max:
            self._aliases[key] = value
        return value

    def _alias(self, key: bytes, value: Any) -> Any:
        """A kept alias, decoded from now on."""
        if isinstance(value, bytes):
            value = self._aliases[key] = codec.unpack_row(key, value)
        return value

    def keep_aliases(self, seconds: float) -> int:
        """Keep aliases in memory from now on, and take some before they are asked for.

        For a daemon; bulk work meets each alias once.

        Args:
            seconds: when to stop, with whatever was taken; the rest is taken as it is asked for.

        Returns:
            How many are in memory.
        """
        aliases = self._aliases
        self._aliases_max = self._limits.alias_rows
        until = time.monotonic() + seconds
        with self._snapshot.cursor() as cursor:
            found: bool = cursor.set_range(_ALIASES)
            while found and len(aliases) < self._aliases_max:
                key, packed = cursor.item()
                if key[0] != schema.ALIAS:
                    break
                aliases[key] = packed
                if len(aliases) % _SCAN_ROWS == 0 and time.monotonic() > until:
                    break
                found = cursor.next()
        return len(aliases)

    def _remember(self, key: bytes, value: Any) -> None:
        if len(self._cache) >= self._cache_max:
            self._cache.clear()
        self._cache[key] = value

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Any]]:
        """Yield the rows whose key begins with `prefix`, ascending, decoded.

        For sweeps, inspection and administration: it looks through the whole overlay. Rows that
        change while it is being read may be told as they were or as they are.

        Args:
            prefix: how the keys begin.
            after: a key; only rows behind it are told.
        """
        for key, value in self._merged(prefix, after):
            yield key, codec.unpack_row(key, value) if isinstance(value, bytes) else value

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the same rows packed, as the tables will hold them."""
        for key, value in self._merged(prefix):
            yield key, value if isinstance(value, bytes) else _packed(value)

    def _newer(self) -> dict[bytes, Any]:
        """What lies over the tables."""
        entry = schema.entry
        entries = {entry(number): packed for number, packed in self.entries.items()}
        return self.overlay | self.balances | entries

    def _merged(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Any]]:
        """Key and value, packed or not, ascending, removed rows left out."""
        newer = {
            key: value
            for key, value in self._newer().items()
            if key.startswith(prefix) and key > after
        }
        waiting = iter(sorted(newer))
        ahead = next(waiting, None)
        for key, packed in self._rows(prefix, after):
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

    def _rows(self, prefix: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of the tables in pieces, so that the snapshot may be renewed between two."""
        start = max(prefix, after + b"\0") if after else prefix
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

    def drop_entries(self, first: int, last: int) -> None:
        """Forget entries: the tables hold them now."""
        entries = self.entries
        for sequence in range(first, last + 1):
            entries.pop(sequence, None)

    def drop(
        self,
        rows: list[tuple[bytes, Any]],
        applied: int,
        last_change: dict[bytes, int],
        staged: dict[bytes, Any],
    ) -> None:
        """Forget rows of the overlay that the tables hold now.

        Args:
            rows: keys and values that a group in the tables changed.
            applied: the position of the tables.
            last_change: key of an integer or a removed row to the last entry of the newest sealed
                group that changed it; those that are dropped are taken out.
            staged: rows that the open group has changed.
        """
        overlay = self.overlay
        for key, value in rows:
            if value is None or isinstance(value, int):
                if last_change.get(key, 0) > applied or key in staged:
                    continue
                if value is None and overlay.get(key) is not None:
                    continue  # there is a row again, which a later group drops
                last_change.pop(key, None)
                overlay.pop(key, None)
            elif overlay.get(key) is value:
                del overlay[key]
            else:
                continue
            table = key[0]
            if _IS_REFERENCE[table]:
                if value is None:
                    self._cache.pop(key, None)
                else:
                    self._remember(key, value)
            elif table == schema.ALIAS:
                if value is None:
                    self._aliases.pop(key, None)
                elif key in self._aliases or len(self._aliases) < self._aliases_max:
                    self._aliases[key] = value

    def copy_to(self, descriptor: int) -> None:
        """Write the tables as the snapshot in use has them, as a database file, compacted."""
        self._environment.copyfd(descriptor, compact=True, txn=self._snapshot)

    def close(self) -> None:
        """End the read transaction."""
        self._snapshot.abort()


class TailView(View):
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

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Any]]:
        """Yield the rows whose key begins with `prefix`, ascending, decoded; see `View.scan`."""
        for key, value in self._merged(prefix, after):
            yield key, codec.unpack_row(key, _packed(value))

    def _newer(self) -> dict[bytes, Any]:
        return self._tail


def _packed(value: Any) -> bytes:
    """A row from above the tables as they will hold it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return codec.pack_value(value)
    return codec.pack_record(value)
