"""Campaigns, coupons, recharge cards as ``show`` tells them; of a code its last four digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    inquired,
    status_of,
)
from engine.cards import state_of
from engine.commands import Outcome
from engine.ranges import label_of
from engine.recharge import CLOSED, RechargeBatch, RechargeCard
from engine.rules.code_batches import NOBODY, CodeName, handed_out
from engine.rules.undo import fields_of
from engine.terms import spoken
from engine.vault import Vault
from ledger import chart, schema
from ledger.model import Entry

Shown = dict[str, Any]
Read = Callable[[bytes], Any]
Scan = Callable[[bytes, bytes], Iterable[tuple[bytes, Any]]]
"""Rows under a prefix and behind a key."""

_SHOWN_DIGITS = 4
_FEN = {"face", "cap", "price", "budget", "min_sale", "sold"}
_HIDDEN = {"start", "end", "until", "days", "since", "percent", "funders", "hours", "slots"}


def moment(number: int) -> str:
    """A local minute YYYYMMDDhhmm for people."""
    day, clock = divmod(number, MINUTES)
    return f"{spoken(day)} {clock // 100:02}:{clock % 100:02}"


def shown_campaign(read: Read, scan: Scan, key: str) -> Shown | None:
    """A campaign with what has come of it; None where there is none."""
    row: Campaign | None = read(schema.named(schema.CAMPAIGN, key))
    if row is None:
        return None
    shown: Shown = {"id": row.id, "title": row.title, "kind": row.kind, "state": row.state}
    shown["from"], shown["to"] = moment(row.start), moment(row.end)
    if row.until:
        shown["until_day"] = spoken(row.until)
    if row.days >= 0:
        shown["valid_days"] = row.days
    if row.since:
        shown["use_from"] = spoken(row.since)
    if row.percent[0]:
        shown["percent"] = f"{row.percent[0]}/{row.percent[1]}"
    for name in Campaign.__dataclass_fields__:
        value = getattr(row, name)
        if name in _HIDDEN or name in shown or value in (0, (), "", False):
            continue
        shown[f"{name}_fen" if name in _FEN else name] = value
    shown["hours"] = [f"{_clock(begin)}-{_clock(end)}" for begin, end in row.hours]
    shown["slots"] = [f"{spoken(day)} {_clock(a)}-{_clock(b)}" for day, a, b in row.slots]
    shown["funders"] = {party: f"{above}/{below}" for party, (above, below) in row.funders}
    effect: Effect = read(schema.named(schema.EFFECT, key)) or NO_EFFECT
    shown["effect"] = {
        "distributed": _distributed(read, scan, key),
        "issued": effect.issued,
        "claimed": effect.claimed,
        "inquired": inquired(read, key),
        "used": effect.used,
        "restored": effect.restored,
        "expired": effect.expired,
        "discount_fen": effect.discount,
        "sales_fen": effect.sales,
    }
    return {name: value for name, value in shown.items() if value not in ([], {})}


def _distributed(read: Read, scan: Scan, campaign: str) -> int:
    """How many codes of a campaign somebody has been given to hand out."""
    found = 0
    for key, row in scan(bytes((schema.HANDED,)), b""):
        series, number = schema.handed_parts(key)
        if series == codes.COUPON and read(schema.codes(number)).campaign == campaign:
            found += sum(last - first + 1 for first, last, _ in row.ranges)
    return found


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
    digest, batch, serial = codes.find(vault, key)
    row: Coupon | None = read(schema.coupon(digest))
    today, at = now
    masked = _masked(key)
    if row is None:
        made: CodeBatch | None = read(schema.codes(batch)) if batch else None
        if made is None or made.imported or serial > made.count:
            return None
        who = _holder(read, batch, serial)
        status = "distributed" if who else "untouched"
        untouched = {"code": masked, "campaign": made.campaign, "status": status}
        return untouched | _batch_of(read, batch, serial)
    local = _local(at, zone)
    status = status_of(row, today, today * MINUTES + local.hour * 100 + local.minute)
    campaign: Campaign = read(schema.named(schema.CAMPAIGN, row.campaign))
    shown: Shown = {
        "code": masked,
        "campaign": row.campaign,
        "title": campaign.title,
        "version": row.version,
        "status": status,
        "handed_over": bool(row.successor),
        "claim_rrn": vault.rrn(row.claimed) if row.claimed and row.holder else None,
        "holder": row.holder,
        "until_day": spoken(row.until),
        "uses_left": "no limit" if row.uses_left == UNLIMITED else row.uses_left,
        "paid_fen": row.cost,
        "waiting_fen": row.money,
        "pin_failures": row.failures,
    }
    if campaign.kind == "voucher":
        shown["value_left_fen"] = row.value_left
    if row.batch:
        shown |= _batch_of(read, row.batch, row.serial)
    if row.used:
        shown |= {
            "used": _local(row.used_at, zone).isoformat(timespec="seconds"),
            "used_by": row.used_by,
            "used_on": row.used_on,
            "rrn": vault.rrn(row.used),
        }
    return shown


def _masked(code: str) -> str:
    return "*" * (len(code) - _SHOWN_DIGITS) + code[-_SHOWN_DIGITS:]


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))


def _holder(read: Read, batch: int, serial: int) -> str:
    """Who has been given a code of a batch, empty for nobody; foreign codes go all together."""
    ranges = handed_out(read, schema.handed(codes.COUPON, batch))
    return label_of(ranges, serial or 1, NOBODY)[0]


def _batch_of(read: Read, batch: int, serial: int) -> Shown:
    """What a coupon's batch is, and who has been given the code to hand it out."""
    handed = _holder(read, batch, serial) or None
    return {"batch": batch, "serial_number": serial or None, "distributed_to": handed}


def shown_code_batch(read: Read, key: str) -> Shown | None:
    """Codes of coupons that were produced or imported together; None where there are none."""
    name: CodeName | None = read(schema.named(schema.CODE_NAME, key))
    if name is None or ":" in key:  # that of a recharge batch
        return None
    row: CodeBatch = read(schema.codes(name.number))
    ranges = handed_out(read, schema.handed(codes.COUPON, name.number))
    return {
        "batch": key,
        "number": name.number,
        "campaign": row.campaign,
        "count": row.count,
        "length": row.length or None,
        "imported": row.imported,
        "distributed": sum(last - first + 1 for first, last, _ in ranges),
        "ranges": [{"first": first, "last": last, "to": who} for first, last, (who, _) in ranges],
    }


def shown_recharge_batch(read: Read, key: str) -> Shown | None:
    """Recharge cards that were produced together, and what waits for those sold and not used."""
    name: CodeName | None = read(schema.named(schema.CODE_NAME, f"{codes.RECHARGE}:{key}"))
    if name is None:
        return None
    row: RechargeBatch = read(schema.recharge_batch(name.number))
    return {
        "batch": key,
        "number": name.number,
        "unit": row.unit,
        "amount": row.amount,
        "until_day": spoken(row.expires),
        "count": row.count,
        "length": row.length,
        "waiting_fen": read(schema.balance(chart.card_stock(key))) or 0,
        "ranges": [
            {"first": first, "last": last, "state": state} for first, last, state in row.ranges
        ],
        "sold": [
            {"first": first, "last": last, "merchant": merchant, "price_fen": price}
            for first, last, (merchant, price) in handed_out(
                read, schema.handed(codes.RECHARGE, name.number)
            )
        ],
    }


def shown_recharge_card(read: Read, vault: Vault, zone: str, key: str, today: int) -> Shown | None:
    """A recharge card by its code: how far it is, who sold it, who used it; None where none is.

    Args:
        read: point reads of a snapshot.
        vault: the directory's key file.
        zone: the operator's time zone.
        key: the code.
        today: local day YYYYMMDD.
    """
    digest, number, serial = codes.find(vault, key, codes.RECHARGE)
    batch: RechargeBatch | None = read(schema.recharge_batch(number)) if number else None
    if batch is None or serial > batch.count:
        return None
    used: RechargeCard | None = read(schema.recharge_card(digest))
    sold = handed_out(read, schema.handed(codes.RECHARGE, number))
    merchant, price = label_of(sold, serial, NOBODY)
    status = state_of(batch.ranges, serial)
    if used is not None:
        status = "used"
    elif batch.expires < today and status != CLOSED:
        status = "expired"
    shown: Shown = {
        "code": _masked(key),
        "status": status,
        "unit": batch.unit,
        "amount": batch.amount,
        "until_day": spoken(batch.expires),
        "batch": batch.name,
        "serial_number": serial,
        "sold_to": merchant or None,
        "price_fen": price if merchant else None,
    }
    if used is not None:
        entry: Entry = read(schema.entry(used.used))
        said = fields_of(entry)
        shown |= {
            "used": _local(entry.at, zone).isoformat(timespec="seconds"),
            "used_by": said["merchant"],
            "used_on": said["terminal"],
            "member": Outcome(*entry.outcome).member,
            "rrn": vault.rrn(used.used),
        }
    return shown
