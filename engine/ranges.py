"""Ranges of serial numbers of a batch, each with what is true of all of its cards or codes.

A million cards that are in one state, or with one holder, are one range; neighbours with the same
label are one range too, and numbers that no range names have none.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeVar

RANGES_MAX: Final = 1000
"""Ranges of a batch, since all of them are one row."""

Label = TypeVar("Label", bound=Any)
Ranges: TypeAlias = tuple[tuple[int, int, Label], ...]
"""First and last serial number of each range, and its label; ascending."""


def label_of(ranges: Ranges[Label], serial: int, rest: Label) -> Label:
    """The label of a serial number, `rest` where no range names it."""
    for first, last, label in ranges:
        if first <= serial <= last:
            return label
    return rest


def counted(ranges: Ranges[Label], first: int, last: int, rest: Label) -> dict[Label, int]:
    """How many serial numbers from `first` to `last` have each label; `rest` without a range."""
    found: dict[Label, int] = {}
    known = 0
    for start, end, label in ranges:
        overlap = min(end, last) - max(start, first) + 1
        if overlap > 0:
            found[label] = found.get(label, 0) + overlap
            known += overlap
    if known < last - first + 1:
        found[rest] = last - first + 1 - known
    return found


def labelled(ranges: Ranges[Label], first: int, last: int, label: Label) -> Ranges[Label]:
    """The ranges once the serial numbers from `first` to `last` have a label."""
    pieces = [*without(ranges, first, last), (first, last, label)]
    joined: list[tuple[int, int, Label]] = []
    for start, end, known in sorted(pieces):
        if joined and joined[-1][1] == start - 1 and joined[-1][2] == known:
            joined[-1] = (joined[-1][0], end, known)
        else:
            joined.append((start, end, known))
    return tuple(joined)


def without(ranges: Ranges[Label], first: int, last: int) -> Ranges[Label]:
    """The ranges once the serial numbers from `first` to `last` have no label."""
    pieces: list[tuple[int, int, Label]] = []
    for start, end, known in ranges:
        if start < first:
            pieces.append((start, min(end, first - 1), known))
        if end > last:
            pieces.append((max(start, last + 1), end, known))
    return tuple(pieces)
