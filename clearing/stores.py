"""In which store a till stood when something happened: what the ledgers of stores are kept by.

A till may move to another store, also within a business date, and does not take its past along. The
ledger keeps each placing with the entry from which on it holds (`schema.PLACED`), so the stores of
a date are the same today and in ten years, also where the journal's beginning was pruned.
"""

from __future__ import annotations

from ledger import schema
from ledger.tables import Snapshot

Placing = tuple[int, str, str]
"""The entry from which on it holds, the terminal, its store or empty."""

_NEVER = 1 << 64


def placings(snapshot: Snapshot, first: int, last: int) -> tuple[Placing, ...]:
    """Where tills stood at entry `first`, and how they moved up to entry `last`, in order."""
    before: dict[str, Placing] = {}
    within: list[Placing] = []
    for key, row in snapshot.view.scan(bytes((schema.PLACED,))):
        terminal, sequence = schema.placed_parts(key)
        if sequence < first:
            before[terminal] = (sequence, terminal, row.store)
        elif sequence <= last:
            within.append((sequence, terminal, row.store))
    return tuple(sorted([*before.values(), *within]))


class Tills:
    """Tells the store of a till, of entries in ascending order.

    Args:
        moves: see `placings`.
    """

    def __init__(self, moves: tuple[Placing, ...] = ()) -> None:
        self._moves = moves
        self._done = 0
        self._due = moves[0][0] if moves else _NEVER
        self._stores: dict[str, str] = {}

    def store(self, sequence: int, terminal: str) -> str:
        """The store in which a till stood at an entry; empty for none."""
        if sequence >= self._due:
            self._move(sequence)
        return self._stores.get(terminal, "")

    def _move(self, sequence: int) -> None:
        moves = self._moves
        while self._done < len(moves) and moves[self._done][0] <= sequence:
            _, terminal, store = moves[self._done]
            self._stores[terminal] = store
            self._done += 1
        self._due = moves[self._done][0] if self._done < len(moves) else _NEVER
