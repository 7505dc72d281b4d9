"""A book in a dict: what the machine needs of `ledger.book.Book`, and nothing durable.

Rows are kept packed and read back through `ledger.codec`, so that a field that does not survive its
layout shows in the first test that touches it.
"""

from typing import Any

from ledger import audit, codec, schema
from ledger.model import Entry


class View:
    """Point reads of the newest rows.

    Attributes:
        broken: tables that cannot be read, for tests of our own faults.
    """

    def __init__(self) -> None:
        self.broken: set[int] = set()
        self.packed: dict[bytes, bytes | int] = {}
        self._decoded: dict[bytes, Any] = {}

    def get(self, key: bytes) -> Any:
        if key[0] in self.broken:
            raise ZeroDivisionError
        return self._decoded.get(key)

    def put(self, key: bytes, packed: bytes | int | None) -> None:
        if packed is None:
            self.packed.pop(key, None)
            self._decoded.pop(key, None)
            return
        self.packed[key] = packed
        self._decoded[key] = packed if isinstance(packed, int) else codec.unpack_row(key, packed)

    def scan(self, prefix: bytes):
        for key in sorted(self._decoded):
            if key.startswith(prefix):
                yield key, self._decoded[key]

    def rows(self, prefix: bytes = b""):
        for key in sorted(self.packed):
            if key.startswith(prefix):
                value = self.packed[key]
                yield key, codec.pack_value(value) if isinstance(value, int) else value


class MemoryBook:
    """The newest state and the packed entries that made it.

    Attributes:
        entries: packed entries in order; the entry with sequence number 1 is the first.
    """

    def __init__(self) -> None:
        self.view = View()
        self.sequence = 0
        self.last_at = 0
        self.last_date = 0
        self.entries: list[bytes] = []

    def stage(
        self,
        sequence: int,
        at: int,
        date: int,
        packed_entry: bytes,
        records: dict[bytes, Any],
        packed: dict[bytes, bytes | int | None],
        balances: dict[bytes, int],
    ) -> None:
        assert sequence == self.sequence + 1
        assert records.keys() == packed.keys()
        entry = codec.unpack_entry(packed_entry)
        assert (entry.sequence, entry.at, entry.date) == (sequence, at, date)
        for key, row in packed.items():
            self.view.put(key, row)
            assert self.view.get(key) == records[key], schema.NAMES[key[0]]
        for key, balance in balances.items():
            self.view.put(key, balance)
        self.view.put(schema.entry(sequence), packed_entry)
        self.entries.append(packed_entry)
        self.sequence = sequence
        self.last_at = entry.at
        self.last_date = entry.date

    def entry(self, sequence: int) -> Entry:
        return self.view.get(schema.entry(sequence))

    def digest(self) -> str:
        return audit.digest(self.view)
