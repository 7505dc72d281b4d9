"""The records of clearing: runs, what they carried forward and posted back, discrepancies.

They are few beside transactions: some rows a party and night. Dates are integers YYYYMMDD, amounts
fen, + owed to the party.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.records import Institution, Merchant, Program, Store
from ledger import codec, schema

STATES = ("CUT", "BALANCED", "NETTED", "FILED", "RELEASED", "CONFIRMED")
"""States of a run in their order; a date before its cut-off is OPEN, a run that stopped FAILED."""

FAILED = "FAILED"


@dataclass(slots=True)
class Version:
    """A reference row as it was from an entry on: files of a date show what was true at its end.

    Attributes:
        row: the record, packed as its own table's value.
    """

    row: bytes


@dataclass(slots=True)
class Payee:
    """Who is settled with, beyond what the registers of merchants and institutions say.

    Attributes:
        party: id of a merchant, an institution, or of a party that is neither.
        kind: ``merchant``, ``institution``, ``sponsor`` or ``channel``.
        name: of a sponsor or channel; empty for the others, whose registers have it.
        account_name, account_number, bank_code: where it is paid; empty when not known.
    """

    party: str
    kind: str
    name: str
    account_name: str
    account_number: str
    bank_code: str
    revision: int


@dataclass(slots=True)
class Run:
    """A run of clearing over a business date.

    Attributes:
        state: one of `STATES`, or ``FAILED``.
        text: why it failed, or why it replaced the run before.
        first, last: the entries of the date; `last` is the cut-off.
        considered: the last entry that matching looked at.
        zone: the operator's time zone.
        value_date: when payments are executed.
        version: of the software that began it.
        collect_limit: from how many fen owed on a party stands on the collection list; 0 never.
        operator: name, account name, account number, bank code of who settles.
        chain: the head of the journal's chain at the cut-off, ``SEQ:HASH``.
        supersedes: the run that it replaces, 0 for none.
        superseded_by: the run that replaced it, 0 for none.
        balances: (name, amount) at the end of the date, that the next date begins with.
        net_digest: SHA-256 of the netted day.
        manifest_digest: SHA-256 of the manifest of its files.
        expected: how many parties its settlement is posted back for.
        posted: how many are posted.
        unconfirmed: payments that no confirmation has come for.
    """

    state: str
    text: str
    first: int
    last: int
    considered: int
    zone: str
    value_date: int
    version: str
    collect_limit: int
    operator: tuple[str, str, str, str]
    chain: str
    supersedes: int
    superseded_by: int
    balances: tuple[tuple[str, int], ...]
    net_digest: bytes
    manifest_digest: bytes
    expected: int
    posted: int
    unconfirmed: int

    @property
    def final(self) -> bool:
        """True once only adjustments in a later run can change anything."""
        return self.state in {"RELEASED", "CONFIRMED"}


@dataclass(slots=True)
class Cleared:
    """The newest run of a date, or the newest date that has a run."""

    number: int


@dataclass(slots=True)
class Carry:
    """What a party owes after a run, to be netted with the next: amount < 0, and since when."""

    amount: int
    since: int


@dataclass(slots=True)
class Posted:
    """A party's settlement, posted back.

    Attributes:
        net: the position of the date that it brought to zero.
        carried: what it took over from the run before, ≤ 0.
        state: ``sent`` or ``refused`` for a payment, ``confirmed``; of a party that owes ``owed``
            where that was carried into the next run, ``collect`` where it is asked for.
        booked: the bank's date, 0 before.
        text: what the bank said, or its reference.
    """

    net: int
    carried: int
    state: str
    booked: int
    text: str


@dataclass(slots=True)
class TruedUp:
    """Fen that a run moved from ``Rounding`` to a fund."""

    amount: int


@dataclass(slots=True)
class Discrepancy:
    """Something that the two sides tell differently; see `clearing.model.ExceptionItem`.

    Attributes:
        noted: the entry that noted it.
        resolution: the entry that resolved it, 0 while it is open.
        resolved: what was said then.
    """

    reason: str
    since: int
    owner: str
    merchant: str
    terminal: str
    batch: int
    stan: int
    rrn: str
    sequence: int
    unit: str
    here: int
    there: int
    text: str
    noted: int
    resolution: int
    resolved: str


KEPT = frozenset({schema.PROGRAM, schema.INSTITUTION, schema.MERCHANT, schema.STORE, schema.PAYEE})
"""Reference tables of which earlier versions are kept."""


def unpack_version(
    key: bytes, version: Version
) -> Program | Institution | Merchant | Store | Payee:
    """The record of a version, given the key that it has in its own table."""
    record: Any = codec.unpack_row(key, version.row)
    return record  # type: ignore[no-any-return]


codec.register(schema.VERSION, Version)
codec.register(schema.PAYEE, Payee)
codec.register(schema.RUN, Run)
codec.register(schema.CLEARED, Cleared)
codec.register(schema.CARRY, Carry)
codec.register(schema.POSTBACK, Posted)
codec.register(schema.TRUEUP, TruedUp)
codec.register(schema.EXCEPTION, Discrepancy)
