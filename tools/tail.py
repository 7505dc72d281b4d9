"""The event feed: one JSON object an entry of the journal, in order: ``counterfoil tail``.

An event says what was asked, what came of it and which legs were posted. Cards, phones and tokens
appear as their kind and the first digits of their keyed digest, enough to see that two events
concern the same one; every other digest and every ciphertext is left out. `event` has the keys.

Reading goes beside a running daemon, up to what is durable, and costs it nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.catalogue import BY_KIND
from engine.commands import Outcome, Pin
from engine.directory import require_directory
from engine.reasons import Reason
from engine.trail import as_data, short_token
from ledger import codec
from ledger.journal import Reader, durable_end
from ledger.model import Entry
from ledger.segment import segments
from posd.responses import BY_NUMBER

POLL_SECONDS: Final = 0.2


def event(entry: Entry) -> dict[str, Any]:
    """An entry as plain data without anything secret.

    Returns:
        ``sequence``, ``at`` (ms since 1970 UTC), ``time`` (the same as ISO 8601), ``date``
        (business date YYYYMMDD), ``kind``, ``command`` (fields by name), ``reason``, ``response``
        (code of the wire), ``member``, ``facts``, ``balances``, ``postings`` (account, unit,
        amount), ``versions``, ``given`` (null for a terminal's request, else ``operator``,
        ``account``, ``changes``: `engine.trail.as_data`).
    """
    outcome = Outcome(*entry.outcome)
    moment = datetime.fromtimestamp(entry.at / 1000, UTC)
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "time": moment.isoformat(timespec="milliseconds"),
        "date": entry.date,
        "kind": entry.kind,
        "command": command_fields(entry),
        "reason": Reason(outcome.reason).name.lower(),
        "response": BY_NUMBER[outcome.reason][0],
        "member": outcome.member,
        "facts": shown_facts(outcome.facts),
        "balances": [
            {"kind": kind, "unit": unit, "available": available, "ledger": ledger}
            for kind, unit, available, ledger in outcome.balances
        ],
        "postings": [
            {"account": account, "unit": unit, "amount": amount}
            for account, unit, amount in entry.postings
        ],
        "versions": list(entry.versions),
        "given": as_data(entry.trail),
    }


def command_fields(entry: Entry) -> dict[str, Any]:
    """The fields of an entry's command by name, those that hold bytes left out."""
    names = BY_KIND[entry.kind].command.__dataclass_fields__
    shown: dict[str, Any] = {}
    # Of a last field that says nothing an entry has no value.
    for name, value in zip(names, entry.command, strict=False):
        if name == "tokens":
            shown[name] = [short_token(*token) for token in value]
        elif name in {"pin", "coupon_pin"} and isinstance(value, int):
            shown[name] = Pin(value).name.lower()
        elif not _holds_bytes(value):
            shown[name] = value
    return shown


def shown_facts(facts: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The facts of an outcome by name, those that hold bytes (a code, sealed) left out."""
    return {name: value for name, value in facts if not _holds_bytes(value)}


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_holds_bytes, value))
    return isinstance(value, bytes)


def events(directory: Path, first: int = 1, *, follow: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the events from a sequence number on, in order.

    Args:
        directory: the data directory.
        first: sequence number of the first event.
        follow: go on with what is still to come, for ever.

    Raises:
        engine.directory.DirectoryError: this is not a data directory.
        ledger.segment.JournalDamaged: the journal is damaged.
    """
    require_directory(directory)
    # A reader begins where a group ends, and surely one ends before a segment.
    starts = [start for start, _ in segments(directory) if start <= first]
    with Reader(directory, starts[-1] - 1 if starts else 0) as reader:
        while True:
            for group in reader.groups(durable_end(directory), changes=False):
                if group.last < first:
                    continue
                for sequence, packed in enumerate(group.entries, group.first):
                    if sequence >= first:
                        yield event(codec.unpack_entry(packed))
            if not follow:
                return
            time.sleep(POLL_SECONDS)
