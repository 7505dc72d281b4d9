"""What a business date, or a part of one, adds up to: the figures that the fold finds.

Parts are folded in processes of their own and sent back whole, so these are plain records, and not
compiled: a compiled one does not travel. `Totals.merge` adds what two processes found; the order in
which parts are merged is that of the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FAULTS_MAX = 20
"""Entries that are named when a day does not hold; more are counted."""

Mark = tuple[int, str, str, str, int, int]

DISPUTED = "disputed"
"""The mark of a batch that its terminal uploaded because totals differed; others are exceptions."""


@dataclass(slots=True)
class PartyTotals:
    """What a date did to a party.

    Attributes:
        amounts: heading to count of lines, debit and credit, the last two ≥ 0.
        points: program to points issued and points taken, net of what was undone.
        fees: kind of fee to fen paid by the party.
        lines: how many lines it has.
    """

    amounts: dict[str, list[int]] = field(default_factory=dict)
    points: dict[str, list[int]] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    lines: int = 0

    @property
    def net(self) -> int:
        """Credits less debits, fen."""
        return sum(credit - debit for _, debit, credit in self.amounts.values())


@dataclass(slots=True)
class Totals:
    """What a date, or a part of it, adds up to.

    Attributes:
        parties: by id.
        programs: program to issued, redeemed, expired, change of what is outstanding, change of
            the fund, and the fen that rounding may have left in it.
        matrix: (program, issuer, redeemer) to points.
        channels: (channel, kind) to count, points issued, points redeemed, debit, credit.
        stores: (party, store, unit) to lines, points issued, points taken, sales less those undone,
            and the fen of its lines; no store for what no till of the party did.
        movements: the operator's own money accounts to fen.
        transit: program to points that left one member and have not reached another.
        marks: what matching has to look at: (sequence, what, merchant, terminal, batch, STAN).
        faults: sentences about entries that cannot be settled.
        more_faults: how many there are beyond those.
        entries: entries that were folded; post-backs are not.
    """

    parties: dict[str, PartyTotals] = field(default_factory=dict)
    programs: dict[str, list[int]] = field(default_factory=dict)
    matrix: dict[tuple[str, str, str], int] = field(default_factory=dict)
    channels: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    stores: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    movements: dict[str, int] = field(default_factory=dict)
    transit: dict[str, int] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0
    entries: int = 0

    def party(self, name: str) -> PartyTotals:
        """The totals of a party, begun where there are none."""
        found = self.parties.get(name)
        if found is None:
            found = self.parties[name] = PartyTotals()
        return found

    def fault(self, text: str) -> None:
        """Note an entry that cannot be settled."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)
        else:
            self.more_faults += 1

    def merge(self, other: Totals) -> None:
        """Add what the entries behind these came to."""
        for name, theirs in other.parties.items():
            ours = self.party(name)
            _add_lists(ours.amounts, theirs.amounts)
            _add_lists(ours.points, theirs.points)
            _add_numbers(ours.fees, theirs.fees)
            ours.lines += theirs.lines
        _add_lists(self.programs, other.programs)
        _add_lists(self.channels, other.channels)
        _add_lists(self.stores, other.stores)
        _add_numbers(self.matrix, other.matrix)
        _add_numbers(self.movements, other.movements)
        _add_numbers(self.transit, other.transit)
        self.marks += other.marks
        for text in other.faults:
            self.fault(text)
        self.more_faults += other.more_faults
        self.entries += other.entries


def _add_lists(ours: dict[Any, list[int]], theirs: dict[Any, list[int]]) -> None:
    for key, numbers in theirs.items():
        known = ours.get(key)
        ours[key] = (
            numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
        )


def _add_numbers(ours: dict[Any, int], theirs: dict[Any, int]) -> None:
    for key, number in theirs.items():
        ours[key] = ours.get(key, 0) + number
