"""The audit trail as a report: each command of administration, who gave it, what it changed.

A row is an entry, but where commands come by the thousand, as from a sweep: of those a row is a
stretch of one kind, by one giver, with one outcome. What is shown is the trail (`engine.trail`) and
the command's own names, numbers and texts: neither has a card, phone, PIN, key or code in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from clearing.settle import LocalTimes
from engine.catalogue import BY_COMMAND, BY_KIND
from engine.reasons import Reason
from engine.rules import coupons, custody, expiry, holds, pruning, recharge, tiers, transfers, value
from engine.terms import spoken
from engine.trail import DIGEST_DIGITS, told
from ledger.codec import ENTRY_FIELDS

BULK: Final = frozenset(
    BY_COMMAND[command].kind
    for command in (
        *(coupons.ExpireCoupons, custody.Reseal, expiry.ExpirePoints, holds.TimeOut),
        *(pruning.PruneBatch, pruning.PruneReceipt, recharge.ExpireRecharge, tiers.ReviewTier),
        *(transfers.TransferIn, value.ExpireValue),
    )
)
"""Commands that nobody gives one by one."""

SUBJECT_FIELDS: Final = 4
"""Fields of a command that are shown as what it is about."""
_OTHERWISE: Final = frozenset({"by", "why", "text"})

Row = tuple[Any, ...]


def deeds(entries: Iterable[Row], zone: str) -> Iterator[Row]:
    """Rows of the report.

    Args:
        entries: as the fields of `ledger.model.Entry`, in order.
        zone: the operator's time zone.

    Yields:
        Entry, how many there are of the stretch, business date, local time, operator, account,
        kind, what it is about, why, what changed, outcome.
    """
    local = LocalTimes(zone)
    stretch: Row = ()
    count = 0
    first: Row = ()
    for fields in entries:
        if len(fields) <= ENTRY_FIELDS:
            continue
        row = _row(fields, local)
        key = (row[0], *row[2:]) if fields[4] in BULK else ()
        if key and key == stretch:
            count += 1
            continue
        if first:
            yield (first[0], count, *first[1:])
        stretch, count, first = key, 1, (fields[0], *row)
    if first:
        yield (first[0], count, *first[1:])


def _row(fields: Row, local: LocalTimes) -> Row:
    _, at, date, _, kind, command, outcome = fields[:7]
    operator, account, changed = fields[ENTRY_FIELDS]
    about, why, changes = "", "", ""
    if kind not in BULK:
        names = BY_KIND[kind].command.__dataclass_fields__
        # Of a last field that says nothing an entry has no value.
        named = dict(zip(names, command, strict=False))
        about, changes = _subject(named), "; ".join(map(told, changed))
        why = named.get("why") or named.get("text", "")
        if named.get("by", operator) != operator:
            operator = f"{named['by']} ({operator})"
    reason = Reason(outcome[0]).name.lower().replace("_", " ")
    day = spoken(date) if date else ""  # the calendar itself is set before a date is open
    return day, local(at), operator, account, kind, about, why, changes, reason


def _subject(named: dict[str, Any]) -> str:
    """What a command is about: its first names and numbers, of a digest the first digits."""
    found: list[str] = []
    for name, said in named.items():
        # Of a row of fields the first is its id.
        plain = said[0] if isinstance(said, tuple) and said and not found else said
        if isinstance(plain, bytes) and not found:
            found.append(plain.hex()[:DIGEST_DIGITS])
        elif isinstance(plain, (str, int)) and not isinstance(plain, bool):
            found += [str(plain)] if name not in _OTHERWISE and plain != "" else []
    return " ".join(found[:SUBJECT_FIELDS])
