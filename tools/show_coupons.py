"""Campaigns and coupons as ``show`` tells them; a code is masked but for its last four digits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine import codes
from engine.campaigns import (
    MINUTES,
    NO_EFFECT,
    UNLIMITED,
    Campaign,
    CodeBatch,
    Coupon,
    Effect,
    status_of,
)
from engine.vault import Vault
from ledger import schema

Shown = dict[str, Any]
Read = Callable[[bytes], Any]

_SHOWN_DIGITS = 4
_FEN = {"face", "cap", "price", "budget", "min_sale", "sold"}
_HIDDEN = {"start", "end", "until", "days", "since", "percent", "funders", "hours", "slots"}


def moment(number: int) -> str:
    """A local minute YYYYMMDDhhmm for people."""
    day, clock = divmod(number, MINUTES)
    return f"{date(day)} {clock // 100:02}:{clock % 100:02}"


def date(day: int) -> str:
    """A day YYYYMMDD for people."""
    return f"{day // 10000:04}-{day // 100 % 100:02}-{day % 100:02}"


def shown_campaign(read: Read, key: str) -> Shown | None:
    """A campaign with what has come of it; None where there is none."""
    row: Campaign | None = read(schema.named(schema.CAMPAIGN, key))
    if row is None:
        return None
    shown: Shown = {"id": row.id, "title": row.title, "kind": row.kind, "state": row.state}
    shown["from"], shown["to"] = moment(row.start), moment(row.end)
    if row.until:
        shown["until_day"] = date(row.until)
    if row.days >= 0:
        shown["valid_days"] = row.days
    if row.since:
        shown["use_from"] = date(row.since)
    if row.percent[0]:
        shown["percent"] = f"{row.percent[0]}/{row.percent[1]}"
    for name in Campaign.__dataclass_fields__:
        value = getattr(row, name)
        if name in _HIDDEN or name in shown or value in (0, (), "", False):
            continue
        shown[f"{name}_fen" if name in _FEN else name] = value
    shown["hours"] = [f"{_clock(begin)}-{_clock(end)}" for begin, end in row.hours]
    shown["slots"] = [f"{date(day)} {_clock(a)}-{_clock(b)}" for day, a, b in row.slots]
    shown["funders"] = {party: f"{above}/{below}" for party, (above, below) in row.funders}
    effect: Effect = read(schema.named(schema.EFFECT, key)) or NO_EFFECT
    shown["effect"] = {
        "issued": effect.issued,
        "claimed": effect.claimed,
        "used": effect.used,
        "restored": effect.restored,
        "expired": effect.expired,
        "discount_fen": effect.discount,
        "sales_fen": effect.sales,
    }
    return {name: value for name, value in shown.items() if value not in ([], {})}


def _clock(minute: int) -> str:
    return f"{minute // 100:02}:{minute % 100:02}"


def shown_coupon(
    read: Read, vault: Vault, zone: str, key: str, now: tuple[int, int]
) -> Shown | None:
    """A coupon by its code; None where there is none.

    Args:
        read: point reads of a snapshot.
        vault: the directory's key file.
        zone: the operator's time zone.
        key: the code.
        now: local day YYYYMMDD, and time in ms.
    """
    found = codes.find(vault, key)
    if found is None:
        return None
    digest, batch, serial = found
    row: Coupon | None = read(schema.coupon(digest))
    today, at = now
    masked = "*" * (len(key) - _SHOWN_DIGITS) + key[-_SHOWN_DIGITS:]
    if row is None:
        made: CodeBatch | None = read(schema.codes(batch)) if batch else None
        if made is None or made.imported or serial > made.count:
            return None
        untouched = {"code": masked, "campaign": made.campaign, "status": "untouched"}
        return untouched | {"batch": batch, "serial": serial}
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    status = status_of(row, today, today * MINUTES + local.hour * 100 + local.minute)
    campaign: Campaign = read(schema.named(schema.CAMPAIGN, row.campaign))
    shown: Shown = {
        "code": masked,
        "campaign": row.campaign,
        "version": row.version,
        "status": status,
        "holder": row.holder,
        "until_day": date(row.until),
        "uses_left": "no limit" if row.uses_left == UNLIMITED else row.uses_left,
        "paid_fen": row.cost,
        "waiting_fen": row.money,
        "pin_failures": row.failures,
    }
    if campaign.kind == "voucher":
        shown["value_left_fen"] = row.value_left
    if row.batch:
        shown |= {"batch": row.batch, "serial": row.serial}
    if row.used:
        used = datetime.fromtimestamp(row.used_at / 1000, UTC).astimezone(ZoneInfo(zone))
        shown |= {
            "used": used.isoformat(timespec="seconds"),
            "used_by": row.used_by,
            "used_on": row.used_on,
            "rrn": vault.rrn(row.used),
        }
    return shown
