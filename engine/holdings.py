"""The amounts inside members' records, by account: what an audit compares with the postings.

A value record holds the balance of one ``Value`` account, in fen.
A points record and a chunk of lots hold balances of ``Lot`` and ``Held`` accounts (points, never
below zero) and of ``Debt`` accounts (points owed, told with the sign of the chart: never above
zero).
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.records import Chunk, Points, Value
from ledger import chart, schema
from ledger.model import MONEY, Account, Unit

TABLES = (schema.POINTS, schema.LOTS, schema.VALUE)
"""The tables whose records have amounts inside."""


def holdings(key: bytes, row: Points | Chunk | Value) -> Iterator[tuple[Account, Unit, int]]:
    """Tell the amounts inside a record.

    Args:
        key: the record's key.
        row: the record.

    Yields:
        Account, unit and amount in points or fen, with the sign of the account's postings.
    """
    if isinstance(row, Value):
        yield chart.value(schema.name_of(key)), MONEY, row.balance
        return
    if isinstance(row, Chunk):
        member, program, _ = schema.lots_parts(key)
    else:
        member, program = schema.points_parts(key)
        for issuer, owed in row.debts:
            yield chart.debt(member, program, issuer), program, -owed
        for _, expiry, issuer, amount in row.pending:
            yield chart.lot(member, program, issuer, expiry), program, amount
        for hold, _, lots in row.holds:
            for expiry, issuer, amount in lots:
                yield chart.held(member, program, issuer, expiry, hold), program, amount
    for expiry, issuer, amount in row.lots:
        yield chart.lot(member, program, issuer, expiry), program, amount
