"""Points outstanding by the month in which they run out: what the operator owes, and for how long.

A function over the rows of a snapshot, for reports; it never looks at a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.holdings import holdings
from engine.records import NEVER
from ledger import chart

KINDS = ("Lot", "Held")
"""Accounts whose points run out; debts do not."""


def outstanding(rows: Iterable[tuple[bytes, Any]]) -> dict[tuple[str, int], int]:
    """Add points up by program and month of expiry.

    Args:
        rows: key and decoded row of the tables points and lots, in any order, as
            `ledger.tables.Snapshot.table` yields them.

    Returns:
        Program and month (YYYYMM, 0 for points that never run out) to points, ascending: pending
        and held ones included, and those whose month has passed and that no sweep has taken yet.
        Debts of members are not taken off.
    """
    found: dict[tuple[str, int], int] = {}
    for key, row in rows:
        for account, _, amount in holdings(key, row):
            kind, parts = chart.parse(account)
            if kind in KINDS:
                expiry = int(parts["expiry"])
                month = 0 if expiry == NEVER else expiry // 100
                place = (parts["program"], month)
                found[place] = found.get(place, 0) + amount
    return dict(sorted(found.items()))
