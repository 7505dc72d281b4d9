"""What a book has taken in since it was opened: the overlay's writing end and the open group.

This is the part of `ledger.book` that every entry passes, apart so that it can be compiled: an
entry and its rows go into the overlay, where rules see them at once, and into the open group. Only
packed rows are collected as entries come in; which records they are is looked up once a group, when
it is sealed, so that a row that many entries of a group changed costs each of them one insertion.
"""

from __future__ import annotations

from typing import Any, Final

from ledger.segment import Group

NO_BALANCES: Final[dict[bytes, int]] = {}


class OutcomeUnknown(Exception):
    """A write or sync failed: whether the group is durable cannot be known in this process."""


class Staging:
    """Takes entries in. Belongs to the thread that opened the book.

    Attributes:
        overlay, entries, balances: those of the book's `ledger.view.View`.
        group: the open group.
        last_change: key of an integer or a removed row to the last entry of the newest sealed
            group that changed it; for records the overlay's own object tells.
        sequence: sequence number of the last staged entry.
        last_at: `at` of the last staged entry, 0 when there is none.
        last_date: `date` of the last staged entry, 0 when there is none.
        failure: the first write or sync that failed; nothing is staged after it.
    """

    __slots__ = (
        "_changes",
        "_packed",
        "balances",
        "entries",
        "failure",
        "group",
        "last_at",
        "last_change",
        "last_date",
        "overlay",
        "sequence",
    )

    def __init__(
        self,
        overlay: dict[bytes, Any],
        entries: dict[int, bytes],
        balances: dict[bytes, int],
    ) -> None:
        self.overlay = overlay
        self.entries = entries
        self.balances = balances
        self.last_change: dict[bytes, int] = {}
        self.failure: BaseException | None = None
        self.sequence = 0
        self.last_at = 0
        self.last_date = 0
        self.begin(1)

    def begin(self, number: int) -> None:
        """Open a group behind the last staged entry."""
        self.group = Group(number, self.sequence + 1)
        self._packed: list[bytes] = self.group.entries
        self._changes: dict[bytes, bytes | int | None] = self.group.changes

    def require_sound(self) -> None:
        """Refuse to go on after a failure.

        Raises:
            OutcomeUnknown: an earlier write failed.
        """
        if self.failure is not None:
            raise OutcomeUnknown(
                "an earlier write to the journal failed; start again to find out what is durable"
            ) from self.failure

    def stage(
        self,
        sequence: int,
        at: int,
        date: int,
        packed_entry: bytes,
        records: dict[bytes, Any],
        packed: dict[bytes, bytes | int | None],
        balances: dict[bytes, int] = NO_BALANCES,
    ) -> None:
        """Take in an entry and the rows that it changed; rules see them from now on.

        Args:
            sequence: the entry's number, one more than `self.sequence`.
            at: the entry's command time, ms since 1970 UTC.
            date: the entry's business date, YYYYMMDD.
            packed_entry: the entry, packed.
            records: key to decoded record, int or None for a row removed.
            packed: the same keys to packed row, bare int (a balance) or None.
            balances: further rows of the balances table, key to what the account comes to.

        Raises:
            ValueError: the sequence number is not the next one.
            OutcomeUnknown: an earlier write failed.
        """
        if sequence != self.sequence + 1:
            raise ValueError(f"entry {sequence} was staged after {self.sequence}")
        if self.failure is not None:
            self.require_sound()
        self.overlay.update(records)
        self.entries[sequence] = packed_entry
        self._packed.append(packed_entry)
        self._changes.update(packed)
        if balances:
            self.balances.update(balances)
        self.sequence = sequence
        self.last_at = at
        self.last_date = date

    def seal(self) -> Group:
        """Close the open group, and open the next."""
        group = self.group
        group.count = len(self._packed)
        group.last = self.sequence
        self._changes.update(self.balances)
        self.overlay.update(self.balances)
        self.balances.clear()
        self.note_rows(group)
        self.begin(group.number + 1)
        return group

    def note_rows(self, group: Group) -> None:
        """Note which records a group made, and which entry changed a row last.

        A record is staged once, so while no later group is open the overlay's is the group's own.
        Equal integers may be the same object, and None is, so for them the sequence number tells.
        """
        overlay = self.overlay
        last_change = self.last_change
        last: int = group.last
        rows: list[tuple[bytes, Any]] = group.rows
        changes: dict[bytes, bytes | int | None] = group.changes
        for key in changes:
            value = overlay[key]
            rows.append((key, value))
            if value is None or isinstance(value, int):
                last_change[key] = last
