"""What the ledger is made of: records, postings, entries.

A *posting* (a leg) moves an amount of one unit on one account; the postings of an *entry* sum to
zero in each unit, which is asserted when an entry is made. Amounts are whole numbers: fen for the
unit ``156``, points for ``P01`` to ``P99``. A credit is positive, a debit negative
(``accounting.md``). An account is its name (see `ledger.chart`), so that a posting reads the same
in the journal, in an export and in an error message.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, dataclass_transform

Account: TypeAlias = str
Unit: TypeAlias = str
Posting: TypeAlias = tuple[Account, Unit, int]

MONEY: Unit = "156"
AMOUNT_MAX = 10**15
"""The largest absolute amount of one posting; a balance of any account stays below 2**63."""

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=False)
def record(cls: type[T]) -> type[T]:
    """Make a slots dataclass that type checkers treat as frozen.

    Freezing at run time costs six times as much per construction, so the promise is kept by the
    type checker and by habit: a record is replaced, never changed. The class gains
    ``values(instance) -> tuple``, its fields in order, which is what the codec packs.
    """
    made: Any = dataclass(slots=True, eq=True)(cls)
    names = [field.name for field in fields(made)]
    made.values = staticmethod(
        attrgetter(*names) if len(names) > 1 else lambda one: (getattr(one, names[0]),)
    )
    return made  # type: ignore[no-any-return]


def values_of(row: Any) -> tuple[Any, ...]:
    """The fields of a record, in order."""
    return row.values(row)  # type: ignore[no-any-return]


class Unbalanced(AssertionError):
    """Postings that do not sum to zero in some unit: a fault of our own, never of a peer."""


def assert_balanced(postings: tuple[Posting, ...]) -> None:
    """Refuse postings that do not sum to zero in each unit.

    Raises:
        Unbalanced: naming the unit and the difference.
    """
    sums: dict[Unit, int] = {}
    for _, unit, amount in postings:
        sums[unit] = sums.get(unit, 0) + amount
    for unit, total in sums.items():
        if total:
            raise Unbalanced(f"postings differ from zero by {total} in unit {unit}")


@record
class Entry:
    """One line of the journal, complete enough to explain itself.

    Attributes:
        sequence: position in the journal, from 1, without gaps.
        at: command time, milliseconds since 1970 UTC, never decreasing.
        date: open business date, YYYYMMDD.
        nonce: the randomness that entered with the command (empty where none was needed).
        kind: name of the command in the engine's catalogue.
        command: the command's fields in order.
        outcome: reason number and the reply's business fields.
        postings: the legs, summing to zero in each unit.
        versions: revisions of the terms that the rule used.
    """

    sequence: int
    at: int
    date: int
    nonce: bytes
    kind: str
    command: tuple[Any, ...]
    outcome: tuple[Any, ...]
    postings: tuple[Posting, ...]
    versions: tuple[int, ...]
