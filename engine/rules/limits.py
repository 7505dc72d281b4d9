"""Administration of limits on transactions; what they do is in `engine.limits`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.draft import Draft
from engine.reasons import Reason
from engine.rulebook import NO_BOOK, RULES_MAX, Limit, Rulebook, book_name
from engine.rules.reference import refuse
from ledger import schema
from ledger.model import MONEY, values_of


@dataclass(slots=True)
class PutLimit(Limit):
    """A limit, as a command."""


OWNERS = {
    "member": schema.MEMBER,
    "merchant": schema.MERCHANT,
    "terminal": schema.TERMINAL,
    "program": schema.PROGRAM,
}
"""Scopes to the tables in which their owners are registered."""


def put_limit(command: PutLimit, draft: Draft) -> Reason:
    """Register or change a limit; it is known by unit, scope, key and id."""
    unit, scope, key = command.unit, command.scope, command.key
    if unit != MONEY and draft.read(schema.named(schema.PROGRAM, unit)) is None:
        return refuse(draft, f"program {unit} is not registered; load it first")
    if scope == "program" and unit != MONEY:
        key = ""  # points are their own program's
    elif scope == "program" and not key:
        return refuse(draft, "a limit of a program in money names the program as key")
    if key and draft.read(schema.named(OWNERS[scope], key)) is None:
        return refuse(draft, f"{scope} {key} is not registered; load it first")
    limit = Limit(*values_of(command))
    limit.key = key
    if key:
        _mark(draft, unit, scope)
    reason = put_line(draft, book_name(unit, scope, key), values_of(limit))
    if reason is not Reason.APPROVED:
        draft.rows.clear()
    return reason


def put_line(draft: Draft, name: str, line: tuple[Any, ...]) -> Reason:
    """Put a rule into a book, in place of the one with the same id, its first field."""
    place = schema.named(schema.RULEBOOK, name)
    book: Rulebook = draft.rows.get(place) or draft.read(place) or NO_BOOK
    if line in book.lines:
        return Reason.UNCHANGED
    lines = [one for one in book.lines if one[0] != line[0]]
    if len(lines) >= RULES_MAX:
        return refuse(draft, f"there are {RULES_MAX} such rules already, which is the most")
    lines.append(line)
    lines.sort(key=_id)
    draft.rows[place] = Rulebook(tuple(lines), book.marks, book.revision + 1)
    return Reason.APPROVED


def _id(line: tuple[Any, ...]) -> str:
    name: str = line[0]
    return name


def _mark(draft: Draft, unit: str, scope: str) -> None:
    """Note in the unit's book that single owners have limits."""
    place = schema.named(schema.RULEBOOK, book_name(unit))
    book: Rulebook = draft.read(place) or NO_BOOK
    if scope not in book.marks:
        draft.rows[place] = Rulebook(book.lines, (*book.marks, scope), book.revision + 1)
