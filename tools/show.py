"""What is registered and what happened, as a person wants to see it: ``counterfoil show``.

`look_up` makes plain data with stable keys (``LOAD.md`` lists them), the same that ``--json``
prints; `tools.show_tables` lays it out for people. Everything is read from one snapshot, whose
sequence number stands in ``as_of``. Card numbers and phones are unsealed for their mask and never
leave unmasked; tokens, keys, PINs and serials are not shown at all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine import cards
from engine.batches import whole
from engine.cards import CardBatch, CardProduct
from engine.catalogue import BY_KIND
from engine.commands import Outcome
from engine.directory import DEFAULT_ZONE, wall_ms
from engine.draft import PIN_FAILURES_MAX
from engine.gifts import GiftOrder
from engine.inquiry import movements, site_terminals
from engine.ladder import LADDER, NO_STANDING, Ladder, Standing
from engine.points import Purse
from engine.reasons import Reason
from engine.records import (
    ASKED_NEVER,
    CALENDAR,
    NEVER,
    NO_KEYS,
    NO_UNDO,
    Alias,
    Calendar,
    Chunk,
    Institution,
    Keys,
    Link,
    Member,
    Merchant,
    Points,
    Program,
    Rates,
    Ratio,
    Replacement,
    Store,
    Terminal,
    Undo,
    Value,
)
from engine.rules.undo import UNDOABLE
from engine.terms import Clock, spoken
from engine.trail import told
from engine.value import Wallet
from engine.vault import SEQUENCE_LIMIT, Forgotten, Vault
from ledger import chart, schema
from ledger.model import Entry
from ledger.tables import Snapshot
from posd.iso8583.describe import HIDDEN, mask_card, mask_phone
from posd.responses import BY_NUMBER
from tools.show_coupons import (
    Scan,
    shown_campaign,
    shown_code_batch,
    shown_coupon,
    shown_recharge_batch,
    shown_recharge_card,
)
from tools.show_rules import shown_rules
from tools.tail import command_fields, shown_facts

TOKEN_NAMES: Final = {
    "C": "card",
    "P": "phone",
    "Q": "QR token",
    "U": "contactless id",
    "I": "identity number",
}
RRN_DIGITS: Final = 12

Shown = dict[str, Any]


class NotFound(Exception):
    """There is nothing under the key that was asked for; the sentence does not repeat it."""


@dataclass(slots=True)
class Sources:
    """What a look needs.

    Attributes:
        read: point reads of the snapshot; scan: its rows under a prefix.
        vault: the directory's key file.
        zone: the operator's time zone.
        today: the local date YYYYMMDD for which balances are available.
        at: the time in ms since 1970 UTC, for what is held.
    """

    read: Callable[[bytes], Any]
    scan: Scan
    vault: Vault
    zone: str
    today: int
    at: int


def look_up(snapshot: Snapshot, vault: Vault, kind: str, key: str) -> Shown:
    """Find one thing and tell it as plain data.

    Args:
        snapshot: where to look.
        vault: the directory's key file.
        kind: one of `KINDS`.
        key: its id; a card number, phone or token for a member or card; the RRN or the sequence
            number of a transaction.

    Raises:
        NotFound: there is no such thing.
    """
    read = snapshot.view.get
    calendar: Calendar | None = read(CALENDAR)
    zone = calendar.zone if calendar else DEFAULT_ZONE
    at = wall_ms()
    sources = Sources(read, snapshot.view.scan, vault, zone, Clock(zone).date(at), at)
    return {"as_of": snapshot.sequence, "kind": kind, **_FINDERS[kind](sources, key)}


def _missing(kind: str) -> NotFound:
    return NotFound(f"there is no such {kind}")


def _iso(date: int) -> str | None:
    """YYYYMMDD as an ISO date, None for never or not yet."""
    if not date or date == NEVER:
        return None
    return spoken(date)


def _limit(fen: int) -> int | None:
    """An amount that is asked about, None for one that no amount reaches."""
    return None if fen == ASKED_NEVER else fen


def _ratio(ratio: Ratio) -> str:
    return f"{ratio[0]}/{ratio[1]}"


# Members and cards.


def _token(sources: Sources, kind: str, digest: bytes) -> Shown:
    alias: Alias | None = sources.read(schema.alias(kind, digest))
    shown = {
        "kind": TOKEN_NAMES.get(kind, kind),
        "value": HIDDEN,
        "state": "unknown",
        "replaced_by": None,
    }
    if alias is None:
        return shown
    shown["state"] = alias.state
    if kind in {"C", "P"}:
        with suppress(Forgotten):  # in a directory restored from before
            clear = sources.vault.unseal_token(kind, alias.sealed)
            shown["value"] = mask_card(clear) if kind == "C" else mask_phone(clear)
    if kind == "C":
        successor: Replacement | None = sources.read(schema.replacement(digest))
        if successor is not None:
            shown["replaced_by"] = _token(sources, kind, successor.card)["value"]
    return shown


def find_alias(
    read: Callable[[bytes], Any], vault: Vault, key: str, kinds: str
) -> tuple[Alias, str, bytes] | None:
    """The card, phone or token that a person typed."""
    tried = [(kind, key) for kind in kinds] + [(key[:1], key[1:])] * (
        key != "" and key[:1] in kinds
    )
    for kind, value in tried:
        digest = vault.token_digest(kind, value)
        alias: Alias | None = read(schema.alias(kind, digest))
        if alias is not None:
            return alias, kind, digest
    return None


def _member(sources: Sources, key: str) -> Shown:
    member: Member | None = sources.read(schema.named(schema.MEMBER, key))
    if member is None:
        found = find_alias(sources.read, sources.vault, key, "CPQU")
        if found is None:
            raise _missing("member, card, phone or token")
        member = sources.read(schema.named(schema.MEMBER, found[0].member))
    if member is None:
        raise _missing("member")
    pin = "none"
    if member.pin:
        pin = "locked" if member.pin_failures >= PIN_FAILURES_MAX else "set"
    return {
        "id": member.id,
        "tier": member.tier,
        "tier_granted": member.granted,
        **_earned(sources, member.id),
        "state": member.state,
        "pin": pin,
        "pin_failures": member.pin_failures,
        "revision": member.revision,
        "tokens": [_token(sources, *token) for token in member.tokens],
        "balances": [_balance(sources, member.id, program) for program in member.programs],
        "value": _value(sources, member.id),
        "last_movements": [
            {
                "time": _local(sources, entry.at),
                "rrn": _rrn(sources, entry),
                "command": entry.kind,
                "merchant": command_fields(entry).get("merchant"),
                "program": program,
                "points": points,
            }
            for entry, program, points in movements(sources.read, member.id)
        ],
    }


def _value(sources: Sources, member: str) -> Shown | None:
    """A member's stored value, in fen; None where there never was any."""
    row: Value | None = sources.read(schema.named(schema.VALUE, member))
    if row is None:
        return None
    wallet = Wallet(sources.read, member, [])
    run_out: int = sources.read(schema.balance(chart.value_expired(member))) or 0
    return {
        "available": wallet.available(sources.at, sources.today),
        "ledger": row.balance,
        "held": wallet.held(sources.at),
        "expires": _iso(row.expires),
        "run_out": run_out,
        "product": row.product or None,
        "last_moved": _local(sources, row.used),
    }


def _earned(sources: Sources, member: str) -> Shown:
    """The tier that a member has earned, and what it has spent for it."""
    row: Standing = sources.read(schema.named(schema.STANDING, member)) or NO_STANDING
    return {
        "tier_earned": row.tier or None,
        "tier_until": _iso(row.until),
        "spending": [
            {"month": f"{month // 12:04}-{month % 12 + 1:02}", "fen": fen, "visits": visits}
            for month, fen, visits in row.months
        ],
    }


def _tier(sources: Sources, key: str) -> Shown:
    ladder: Ladder | None = sources.read(LADDER)
    for tier in ladder.tiers if ladder is not None else ():
        if tier.id == key:
            return {
                "id": tier.id,
                "name": tier.name,
                "rank": tier.rank,
                "rules": [
                    {
                        "from": _iso(rule.since),
                        "spending_fen": rule.spending,
                        "visits": rule.visits,
                        "needs": "both" if rule.both else "either",
                        "period_months": rule.period_months,
                        "keep_months": rule.keep_months,
                    }
                    for rule in tier.rules
                ],
            }
    raise _missing("tier")


def _balance(sources: Sources, member: str, program: str) -> Shown:
    read = sources.read
    purse = Purse(read, member, program)
    purse.ripen(sources.today)
    row: Points = read(schema.points(member, program))
    lots = list(row.lots)
    for _, _, number, _ in row.chunks:
        chunk: Chunk = read(schema.lots(member, program, number))
        lots += chunk.lots
    following = purse.next_expiry(sources.today)
    return {
        "program": program,
        "available": purse.available(sources.today) + purse.timed_out(sources.at, sources.today),
        "ledger": purse.ledger(),
        "next_expiry": None
        if following is None or following[1] == NEVER
        else {"points": following[0], "date": _iso(following[1])},
        "last_moved": _local(sources, row.used),
        "lots": [
            {"issuer": issuer, "expires": _iso(expiry), "points": points}
            for expiry, issuer, points in lots
        ],
        "pending": [
            {
                "issuer": issuer,
                "expires": _iso(expiry),
                "points": points,
                "available_from": _iso(day),
            }
            for day, expiry, issuer, points in purse.pending
        ],
        "holds": [
            {
                "rrn": sources.vault.rrn(hold),
                "until": _local(sources, until),
                "points": sum(lot[2] for lot in lots),
            }
            for hold, until, lots in row.holds
        ],
        "debts": [{"issuer": issuer, "points": points} for issuer, points in row.debts],
    }


def _card(sources: Sources, key: str) -> Shown:
    found = find_alias(sources.read, sources.vault, key, "C")
    if found is None:
        raise _missing("card")
    alias, kind, digest = found
    shown = _token(sources, kind, digest)
    if alias.state != "issued":
        return {**shown, "member": _member(sources, alias.member)}
    batch, _, serial = alias.member.partition(".")
    state, product = cards.issued_state(sources.read, alias.member)
    issued = {"batch": batch, "serial_number": int(serial), "product": product.id}
    return {**shown, "state": state, **issued, "member": None}


def _card_product(sources: Sources, key: str) -> Shown:
    row: CardProduct | None = sources.read(schema.named(schema.CARD_PRODUCT, key))
    if row is None:
        raise _missing("card product")
    return {
        "id": row.id,
        "name": row.name,
        "named": row.named,
        "reloadable": row.reloadable,
        "face_max_fen": row.face_max,
        "validity": row.validity,
        "loss_reportable": row.loss_reportable,
        "stock": row.stock,
        "activation": row.activation,
        "pin_above_fen": None if row.pin_above >= ASKED_NEVER else row.pin_above,
        "prefix": row.prefix,
        "length": row.length,
        "numbered": row.numbered,
        "revision": row.revision,
    }


def _card_batch(sources: Sources, key: str) -> Shown:
    row: CardBatch | None = sources.read(schema.named(schema.CARD_BATCH, key))
    if row is None:
        raise _missing("card batch")
    return {
        "batch": key,
        "product": row.product,
        "count": row.count,
        "issued": row.issued,
        "left_out": len(row.taken),
        "ranges": [
            {"first": first, "last": last, "state": state} for first, last, state in row.ranges
        ],
    }


# Reference data.


def _merchant(sources: Sources, key: str) -> Shown:
    merchant: Merchant | None = sources.read(schema.named(schema.MERCHANT, key))
    if merchant is None:
        raise _missing("merchant")
    return {
        "id": merchant.id,
        "name": merchant.name,
        "institution": merchant.institution,
        "category": merchant.category,
        "enabled": merchant.enabled,
        "revision": merchant.revision,
        "stores": _stores(sources, merchant.id),
        "terms": [
            {
                "from": _iso(terms.since),
                "program": terms.program,
                "earn": _ratio(terms.earn),
                "funding_fen_per_point": _ratio(terms.funding),
                "settlement": _ratio(terms.settlement),
                "fee_permille": terms.fee_permille,
                "fee_min_fen": terms.fee_min,
                "fee_max_fen": terms.fee_max,
                "fee_fixed_fen": terms.fee_fixed,
                "fee_tiers": {str(fen): permille for fen, permille in terms.fee_tiers},
                "refund_days": terms.refund_days,
                "refund_fee": terms.refund_fee,
                "pin_above_fen": _limit(terms.pin_above),
                "hold_minutes": terms.hold_minutes,
                "pending_days": terms.pending_days,
                "top_up_fen_per_point": _ratio(terms.top_up) if terms.top_up[1] else None,
                "burn_min_points": terms.burn_min,
                "burn_max_points": terms.burn_max,
                "tier_earn": {tier: _ratio(earn) for tier, earn in terms.tier_earn},
                "refund_pin_above_fen": _limit(terms.refund_pin_above),
                "margin_share": {party: _ratio(part) for party, part in terms.margin_share},
                "fee_share": {party: _ratio(part) for party, part in terms.fee_share},
            }
            for terms in merchant.terms
        ],
    }


def _stores(sources: Sources, merchant: str) -> list[Shown]:
    """A merchant's stores with the terminals that stand in them."""
    stands: dict[str, list[str]] = {}
    for name in sorted(set(site_terminals(sources.read, merchant))):
        terminal: Terminal = sources.read(schema.terminal(schema.TERMINAL, name))
        if terminal.store:
            stands.setdefault(terminal.store, []).append(name)
    return [
        {"id": row.id, "name": row.name, "terminals": stands.get(row.id, [])}
        for _, row in sources.scan(bytes((schema.STORE,)), b"")
        if row.merchant == merchant
    ]


def _store(sources: Sources, key: str) -> Shown:
    store: Store | None = sources.read(schema.named(schema.STORE, key))
    if store is None:
        raise _missing("store")
    (shown,) = [each for each in _stores(sources, store.merchant) if each["id"] == store.id]
    return {**shown, "merchant": store.merchant, "revision": store.revision}


def _institution(sources: Sources, key: str) -> Shown:
    institution: Institution | None = sources.read(schema.named(schema.INSTITUTION, key))
    if institution is None:
        raise _missing("institution")
    return {"id": institution.id, "name": institution.name, "revision": institution.revision}


def _program(sources: Sources, key: str) -> Shown:
    program: Program | None = sources.read(schema.named(schema.PROGRAM, key))
    if program is None:
        raise _missing("program")
    shown = {name: getattr(program, name) for name in Program.__dataclass_fields__}
    shown["pin_above_fen"] = _limit(shown.pop("pin_above"))
    shown["breakage_share"] = _ratio(program.breakage_share)
    return shown


def _told(kind: str, found: Shown | None) -> Shown:
    if found is None:
        raise _missing(kind)
    return found


def _rate(sources: Sources, key: str) -> Shown:
    unit, _, target = key.partition("-")
    rates: Rates | None = None
    if key.isascii() and unit and target:
        rates = sources.read(schema.rate(unit, target))
    if rates is None:
        raise _missing("rate: name both programs, as in P01-P02")
    return {
        "unit": unit,
        "target": target,
        "revision": rates.revision,
        "rates": [
            {"from": _iso(row.since), "rate": _ratio(row.ratio), "owner": row.owner}
            for row in rates.rows
        ],
    }


def _terminal(sources: Sources, key: str) -> Shown:
    missing = _missing("terminal")
    if not key.isascii():
        raise missing
    read = sources.read
    terminal: Terminal | None = read(schema.terminal(schema.TERMINAL, key))
    if terminal is None:
        raise missing
    keys: Keys = read(schema.terminal(schema.KEYS, key)) or NO_KEYS
    link: Link | None = read(schema.terminal(schema.LINK, key))
    number = link.batch if link else 1
    batch = read(schema.batch(key, number))
    return {
        "id": terminal.id,
        "merchant": terminal.merchant,
        "store": terminal.store or None,
        "profile": terminal.profile,
        "tmk_check": terminal.tmk_check,
        "charset": terminal.charset,
        "networks": list(terminal.networks),
        "serial": bool(terminal.serial),
        "role": terminal.role,
        "enabled": terminal.enabled,
        "locked": terminal.locked,
        "revision": terminal.revision,
        "key_set": keys.number if keys.live else None,
        "batch": number,
        "totals": []
        if batch is None
        else [
            dict(zip(("unit", "debits", "debited", "credits", "credited"), line, strict=True))
            for line in whole(batch)
        ],
    }


# Transactions.


def _local(sources: Sources, at: int) -> str | None:
    if not at:
        return None
    moment = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(sources.zone))
    return moment.isoformat(timespec="milliseconds")


def sequence_of(vault: Vault, key: str) -> int:
    """The sequence number that an RRN of 12 digits carries, or that is given as it is.

    Returns:
        0 for an RRN that was never given out here.

    Raises:
        NotFound: it is neither.
    """
    if not (key.isascii() and key.isdecimal() and len(key) <= RRN_DIGITS):
        raise NotFound("a transaction is named by its RRN of 12 digits, or its sequence number")
    shard, sequence = 0, int(key)
    if len(key) == RRN_DIGITS:
        shard, sequence = vault.sequence(key) or (-1, 0)
    return sequence if shard == 0 and 0 < sequence < SEQUENCE_LIMIT else 0


def _transaction(sources: Sources, key: str) -> Shown:
    sequence = sequence_of(sources.vault, key)
    entry: Entry | None = sources.read(schema.entry(sequence)) if sequence else None
    if entry is None:
        raise _missing("transaction")
    outcome = Outcome(*entry.outcome)
    code, text = BY_NUMBER[outcome.reason]
    command = command_fields(entry)
    if "tokens" in command:
        place = list(BY_KIND[entry.kind].command.__dataclass_fields__).index("tokens")
        command["tokens"] = [_token(sources, *token) for token in entry.command[place]]
    return {
        "rrn": _rrn(sources, entry),
        "sequence": entry.sequence,
        "time": _local(sources, entry.at),
        "date": _iso(entry.date),
        "command": entry.kind,
        "fields": command,
        "outcome": {
            "reason": Reason(outcome.reason).name.lower(),
            "response": code,
            "text": text,
            "member": outcome.member,
            "facts": shown_facts(outcome.facts),
            "balances": [
                dict(zip(("kind", "unit", "available", "ledger"), line, strict=True))
                for line in outcome.balances
            ],
        },
        "postings": [
            dict(zip(("account", "unit", "amount"), leg, strict=True)) for leg in entry.postings
        ],
        "versions": list(entry.versions),
        "given": _given(entry),
        "undo": _undo(sources, entry),
        "gift_order": _gift_order(sources, entry),
    }


def _rrn(sources: Sources, entry: Entry) -> str | None:
    """The RRN of a terminal's request; None for what has none."""
    if BY_KIND[entry.kind].identity == "none":
        return None
    return sources.vault.rrn(entry.sequence)


def _gift_order(sources: Sources, entry: Entry) -> str | None:
    """How far a gift is that a member has exchanged points for; None for anything else."""
    order: GiftOrder | None = sources.read(schema.gift_order(entry.sequence))
    return order.state if order is not None else None


def _given(entry: Entry) -> Shown | None:
    """Who gave a command of administration, and what it changed; None for a request."""
    if not entry.trail:
        return None
    operator, account, changed = entry.trail
    return {"operator": operator, "account": account, "changed": list(map(told, changed))}


def _undo(sources: Sources, entry: Entry) -> Shown | None:
    """What became of a transaction since; None for what cannot be undone."""
    if entry.kind not in UNDOABLE:
        return None
    undo: Undo = sources.read(schema.undo(entry.sequence)) or NO_UNDO
    rrn = sources.vault.rrn
    state = "stands"
    if undo.reversed_by:
        state = "reversed"
    elif undo.voided_by:
        state = "voided"
    elif undo.refunded:
        whole = command_fields(entry)["amount"]
        state = "refunded" if undo.refunded == whole else "partly refunded"
    return {
        "state": state,
        "reversed_by": rrn(undo.reversed_by) if undo.reversed_by else None,
        "voided_by": rrn(undo.voided_by) if undo.voided_by else None,
        "refunded": undo.refunded,
    }


def _rules(sources: Sources, key: str) -> Shown:
    shown = shown_rules(sources.read, key)
    if shown is None:
        raise NotFound(
            "rules are of a unit, a merchant, a terminal or a member: there is none such"
        )
    return shown


_FINDERS: Final[dict[str, Callable[[Sources, str], Shown]]] = {
    "member": _member,
    "card": _card,
    "tier": _tier,
    "merchant": _merchant,
    "institution": _institution,
    "store": _store,
    "terminal": _terminal,
    "program": _program,
    "rate": _rate,
    "card-product": _card_product,
    "card-batch": _card_batch,
    "rules": _rules,
    "campaign": lambda on, key: _told("campaign", shown_campaign(on.read, on.scan, key)),
    "coupon": lambda on, key: _told(
        "coupon", shown_coupon(on.read, on.vault, on.zone, key, (on.today, on.at))
    ),
    "code-batch": lambda on, key: _told("batch of codes", shown_code_batch(on.read, key)),
    "recharge-card": lambda on, key: _told(
        "recharge card", shown_recharge_card(on.read, on.vault, on.zone, key, on.today)
    ),
    "recharge-batch": lambda on, key: _told(
        "batch of recharge cards", shown_recharge_batch(on.read, key)
    ),
    "transaction": _transaction,
}
KINDS: Final = tuple(_FINDERS)
