"""The base of a pruned journal: what its removed segments folded to, all rows but the entries.

``base/<entry, 20 digits>-<digest>/data.mdb`` stands for the journal up to that entry. The digest is
that of its rows, so that a base that was changed is found out; its position row holds the chain's
head, which the first segment that is left has to follow. `ledger.retention` makes it, the audit
begins with it, a backup takes it along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import lmdb

from ledger.segment import JournalDamaged, segments
from ledger.view import POSITION_KEY, position_of

FOLDER = "base"
NAME = re.compile(r"(\d{20})-([0-9a-f]{64})")
MAP_BYTES = 1 << 40


class Base:
    """A base opened for reading, as a context manager.

    Attributes:
        sequence: the last entry that it stands for.
        chain: SHA-256 of the group that it ends.
        digest: the digest that its rows should have, hexadecimal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        matched = NAME.fullmatch(path.name)
        if matched is None:
            raise ValueError(f"{path.name} is no name of a base")
        self.sequence = int(matched[1])
        self.digest = matched[2]
        self.chain = b""

    def __enter__(self) -> Self:
        self._environment = lmdb.open(
            str(self.path), map_size=MAP_BYTES, readonly=True, lock=False, readahead=False
        )
        self._transaction = self._environment.begin()
        sequence, self.chain = position_of(self._transaction)
        if sequence != self.sequence:
            self.__exit__()
            raise JournalDamaged(
                self.path.name, 0, self.sequence, f"the base is of entry {sequence}"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._transaction.abort()
        self._environment.close()

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield key and packed row in key order, the position row left out."""
        cursor = self._transaction.cursor()
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            if key != POSITION_KEY:
                yield bytes(key), bytes(value)

    def copy_to(self, environment: Any) -> None:
        """Copy all rows, the position with them, into an empty database."""
        with environment.begin(write=True) as transaction:
            for key, value in self._transaction.cursor():
                transaction.put(key, value, append=True)


def find_base(folder: Path) -> Base | None:
    """The base of a book; None where nothing was pruned.

    Raises:
        JournalDamaged: the journal does not begin with entry 1, and no base reaches to it.
    """
    place = folder / FOLDER
    paths = sorted(place.iterdir()) if place.is_dir() else []
    found = [path for path in paths if NAME.fullmatch(path.name)]
    known = segments(folder)
    base = Base(found[-1]) if found else None
    first = known[0][0] if known else 1
    if first > (base.sequence if base is not None else 0) + 1:
        raise JournalDamaged(known[0][1].name, 0, 1, f"entries before {first} are missing")
    return base
