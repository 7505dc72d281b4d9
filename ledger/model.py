"""What the ledger is made of: records, postings, entries.

A *posting* (a leg) moves an amount of one unit on one account; the postings of an *entry* sum to
zero in each unit, which is asserted when an entry is made. Amounts are whole numbers: fen for the
unit ``156``, points for ``P01`` to ``P99``. A credit is positive, a debit negative
(``accounting.md``). An account is its name (see `ledger.chart`), so that a posting reads the same
in the journal, in an export and in an error message.

A record here and in the engine is a dataclass with slots. It is replaced, never changed: freezing
it at run time would cost six times as much per construction. The few that nearly every message
makes are `Hot` and write constructor and fields out, because the constructor that a dataclass
generates stays interpreted in a compiled module (0.13 against 0.04 microseconds for four fields).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, TypeAlias

Account: TypeAlias = str
Unit: TypeAlias = str
Posting: TypeAlias = tuple[Account, Unit, int]

MONEY: Final[Unit] = "156"
AMOUNT_MAX: Final = 10**15
"""The largest absolute amount of one posting; a balance of any account stays below 2**63."""


_getters: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {}


def values_of(row: Any) -> tuple[Any, ...]:
    """The fields of a record (a dataclass), in order: what the codec packs."""
    cls = type(row)
    getter = _getters.get(cls)
    if getter is None:
        getter = _getters[cls] = _getter(cls)
    return getter(row)


def _getter(cls: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """What tells the fields of a record: its own `values`, not one of a class with fewer fields."""
    own: Callable[[Any], tuple[Any, ...]] | None = vars(cls).get("values")
    if own is not None:
        return own
    names = [field.name for field in fields(cls)]
    return attrgetter(*names) if len(names) > 1 else _single(names[0])


def _single(name: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda row: (getattr(row, name),)


class Hot:
    """A record that nearly every message makes.

    It may have a method ``values``, which tells its fields in order without being looked through.
    """

    __slots__ = ()

    def __copy__(self) -> Hot:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Hot:
        return self  # what is never changed is its own copy; compiled, it could not be made empty


class Unbalanced(Exception):
    """Postings that do not sum to zero in some unit: a fault of our own, never of a peer."""


def assert_balanced(postings: tuple[Posting, ...]) -> None:
    """Refuse postings that do not sum to zero in each unit.

    Raises:
        Unbalanced: naming the unit and the difference.
    """
    sums: dict[Unit, int] = {}
    last, run = "", 0  # neighbours are mostly of one unit
    for _, unit, amount in postings:
        if unit is not last:
            if run:
                sums[last] = sums.get(last, 0) + run
            last, run = unit, 0
        run += amount
    if run:
        sums[last] = sums.get(last, 0) + run
    for unit, total in sums.items():
        if total:
            raise Unbalanced(f"postings differ from zero by {total} in unit {unit}")


@dataclass(slots=True)
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
        trail: of a command of administration who gave it and what it changed, see `engine.trail`;
            empty for a request, and then not written.
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
    trail: tuple[Any, ...] = ()
