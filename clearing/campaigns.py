"""What came of each campaign on each business date, from the journal: the report *campaign effect*.

A use that was undone, or refunded, counts on the date on which that happened, so that the dates of
a campaign sum to what its counters say (`engine.campaigns.Effect`); so do codes that were handed
out and came back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.rules.undo import FIELDS
from ledger import schema
from ledger.model import MONEY, Entry

USE, EXPIRY, INQUIRIES = "coupon use", "coupon expiry", "coupon inquiries"
HANDED: Final = ("codes handed out", "codes taken back")
UNDOES: Final = ("void", "reversal")
VOIDS_MAX: Final = 100
"""Voids of reversals of voids … that are followed; a terminal sends one or two."""

Row = tuple[Any, ...]
Read = Callable[[bytes], Any]


@dataclass(slots=True)
class Day:
    """A campaign's business date: counts, fen of sales and discounts, fen by who pays."""

    distributed: int = 0
    issued: int = 0
    claimed: int = 0
    inquired: int = 0
    used: int = 0
    restored: int = 0
    expired: int = 0
    sales: int = 0
    discount: int = 0
    costs: dict[str, int] = field(default_factory=dict)


def effects(entries: Iterable[Row], read: Read) -> dict[tuple[int, str], Day]:
    """What came of campaigns, by business date and campaign.

    Args:
        entries: fields of journal entries.
        read: point read of a row, for what was undone.
    """
    found: dict[tuple[int, str], Day] = {}
    for fields in entries:
        date, kind, outcome, postings = fields[2], fields[4], fields[6], fields[7]
        if outcome[0] != 0:
            continue
        facts = dict(outcome[3])
        if kind in UNDOES:
            _undone(found, date, facts, read)
        elif kind == "refund":
            _refunded(found, fields)
        elif kind == INQUIRIES:
            for campaign, count in fields[5][0]:
                _day(found, date, campaign).inquired += count
        elif kind in HANDED:
            _day(found, date, facts["campaign"]).distributed += facts["distributed"]
        elif kind == EXPIRY:
            coupons = facts["expired"]
            if isinstance(coupons, int):  # an older entry, of a single coupon
                coupons = ((facts["campaign"], "", coupons),)
            for campaign, _, ended in coupons:
                _day(found, date, campaign).expired += ended
        elif "taken" in facts or kind == USE:
            _add(found, date, (kind, fields[5], facts, postings), 1)
    return found


def _day(found: dict[tuple[int, str], Day], date: int, campaign: str) -> Day:
    return found.setdefault((date, campaign), Day())


def _add(
    found: dict[tuple[int, str], Day],
    date: int,
    entry: tuple[str, Row, dict[str, Any], Any],
    sign: int,
) -> None:
    """Add what a claim, a use or a handing over came to; or take it off."""
    kind, command, facts, postings = entry
    # The first use of a produced code that is undone leaves the code alive.
    stays = kind == USE and sign < 0 and not facts["use"][3]
    if "taken" in facts and not stays:
        campaign, _, _, claimed = facts["taken"]
        day = _day(found, date, campaign)
        day.issued += sign
        day.claimed += sign * claimed
    if kind != USE:
        return
    day = _day(found, date, facts["campaign"])
    sale = dict(zip(FIELDS[kind], command, strict=True))["amount"]
    day.used += sign > 0
    day.restored += sign < 0
    day.sales += sign * sale
    day.discount += sign * facts["use"][2]
    _pay(day, postings, sign)


def _pay(day: Day, postings: Any, sign: int) -> None:
    """Add what the funders pay in a use: all debits but what was paid for the coupon before."""
    for account, unit, amount in postings:
        kind, _, rest = account.partition(":")
        if unit == MONEY and amount < 0 and kind in {"Pos", "Promo"}:
            party = rest.split(":")[0] if kind == "Pos" else "operator"
            day.costs[party] = day.costs.get(party, 0) - sign * amount


def _undone(
    found: dict[tuple[int, str], Day], date: int, facts: dict[str, Any], read: Read
) -> None:
    sign = -1
    original: Entry | None = None
    for _ in range(VOIDS_MAX):
        sequence = facts.get("undid")
        original = read(schema.entry(sequence)) if sequence else None
        if original is None or original.kind not in UNDOES:
            break
        facts = dict(original.outcome[3])
        sign = -sign
    if original is None:
        return
    told = dict(original.outcome[3])
    if "taken" in told or original.kind == USE:
        _add(found, date, (original.kind, original.command, told, original.postings), sign)


def _refunded(found: dict[tuple[int, str], Day], fields: Row) -> None:
    """Take off what a refund of a use returned; the merchant's leg is the only debit."""
    facts = dict(fields[6][3])
    if "returned" not in facts:
        return
    campaign, cost, restored = facts["returned"]
    day = _day(found, fields[2], campaign)
    day.restored += restored
    day.discount -= cost
    command = dict(zip(FIELDS["refund"], fields[5], strict=True))
    day.sales -= command["amount"]
    for account, unit, amount in fields[7]:
        kind, _, rest = account.partition(":")
        if unit == MONEY and amount > 0 and kind in {"Pos", "Promo"}:
            party = rest.split(":")[0] if kind == "Pos" else "operator"
            day.costs[party] = day.costs.get(party, 0) - amount


def rows(found: dict[tuple[int, str], Day]) -> Iterator[Row]:
    """Rows of the report: a campaign's date, then who paid for it, each in a row."""
    for (date, campaign), day in sorted(found.items()):
        yield (
            date,
            campaign,
            day.distributed,
            day.issued,
            day.claimed,
            day.inquired,
            day.used,
            day.restored,
            day.expired,
            day.sales,
            day.discount,
            "; ".join(
                f"{party} {_yuan(cost)}" for party, cost in sorted(day.costs.items()) if cost
            ),
        )


def _yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02}"
