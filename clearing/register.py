"""Whom and what a date is settled with: parties, programs and stores as they were at its cut-off.

Reference rows change while clearing waits; files show what was true when the date ended. The ledger
keeps each version of such a row with the entry that made it (`schema.VERSION`), so the register of
a date is the newest version of each row up to the cut-off, today and in ten years.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.records import Program, Store
from engine.settlement import unpack_version
from ledger import schema
from ledger.tables import Snapshot


@dataclass(slots=True)
class Party:
    """Who is settled with; see `clearing.model.PartyDay`."""

    id: str
    kind: str
    name: str
    institution: str
    account_name: str
    account_number: str
    bank_code: str


@dataclass(slots=True)
class Register:
    """Parties, programs and stores by id.

    Attributes:
        always: the parties that have a day even when nothing moved: merchants.
    """

    parties: dict[str, Party]
    programs: dict[str, Program]
    always: frozenset[str]
    stores: dict[str, Store] = field(default_factory=dict)

    @property
    def worth(self) -> dict[str, int]:
        """Settled programs to points a yuan."""
        return {name: row.points_per_yuan for name, row in self.programs.items() if row.settled}


def register_at(snapshot: Snapshot, last: int) -> Register:
    """The register as of an entry."""
    newest: dict[bytes, Any] = {}
    for key, version in snapshot.view.scan(bytes((schema.VERSION,))):
        row, sequence = schema.version_parts(key)
        if sequence <= last:  # ascending, so the last one seen is the newest
            newest[row] = unpack_version(row, version)
    parties: dict[str, Party] = {}
    programs: dict[str, Program] = {}
    stores: dict[str, Store] = {}
    merchants = []
    payees = []
    for key, row in newest.items():
        if key[0] == schema.PROGRAM:
            programs[row.id] = row
        elif key[0] == schema.STORE:
            stores[row.id] = row
        elif key[0] == schema.MERCHANT:
            merchants.append(row.id)
            parties[row.id] = Party(row.id, "merchant", row.name, row.institution, "", "", "")
        elif key[0] == schema.INSTITUTION:
            parties.setdefault(row.id, Party(row.id, "institution", row.name, "", "", "", ""))
        else:
            payees.append(row)
    for row in payees:
        party = parties.setdefault(
            row.party, Party(row.party, row.kind, row.name or row.party, "", "", "", "")
        )
        party.account_name, party.account_number = row.account_name, row.account_number
        party.bank_code = row.bank_code
    return Register(parties, programs, frozenset(merchants), stores)
