"""Whether the books say what the journal says: ``counterfoil verify``.

It runs the named checks of `ledger.audit` over one snapshot, beside a running daemon or without
one, lists what is in transit between members, and ends with the sequence number that all of it is
true for and the digest of the content.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.catalogue import command_of
from engine.directory import require_directory
from engine.holdings import TABLES, holdings
from engine.records import Transit
from engine.rules.transfers import in_transit
from ledger import chart, codec, schema
from ledger.audit import Audit, Finding
from ledger.notes import note

TRANSFERS = "transfers complete"


@dataclass(slots=True)
class Checked:
    """A check and what it found.

    Attributes:
        name: of the check.
        findings: empty when all is well.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> str:
        """``ok``, ``failed``, or ``reported`` where what was found is not wrong."""
        if any(finding.failure for finding in self.findings):
            return "failed"
        return "reported" if self.findings else "ok"


class Verification:
    """A run of the checks.

    Attributes:
        sequence: the sequence number that every answer is true for.
    """

    def __init__(self, audit: Audit) -> None:
        """Run over an audit that is open."""
        self._audit = audit
        self.sequence = audit.sequence

    def checks(self) -> Iterator[Checked]:
        """Run the checks one after another."""
        for name, findings in self._audit.run():
            yield Checked(name, tuple(findings))
        if not self._audit.damage:
            yield Checked(TRANSFERS, tuple(_transfers(self._audit)))

    def digest(self) -> str:
        """SHA-256 of the ledger's logical content, in hexadecimal digits."""
        return self._audit.digest()


def note_verification(directory: Path, sequence: int, checks: list[Checked]) -> None:
    """Leave a note of what was found, for the daemon's metrics and `doctor`."""
    failed = {f"check {check.name}": int(check.state == "failed") for check in checks}
    note(directory, "verify", sequence=sequence, failed=sum(failed.values()), **failed)


def _transfers(audit: Audit) -> Iterator[Finding]:
    """Points in transit are those of the second halves that are still open, which are told."""
    read = audit.snapshot.view.get
    waiting: dict[str, int] = defaultdict(int)
    for key, packed in audit.snapshot.rows(bytes((schema.TRANSIT,))):
        row: Transit = codec.unpack_row(key, packed)
        command = command_of(row.kind, row.command)
        points, unit = in_transit(command, read)
        text = f"the other half of entry {command.origin} waits for {command.member}"
        if points:
            waiting[unit] += points
            text = f"{points} {unit} of entry {command.origin} wait in transit for {command.member}"
        yield Finding(TRANSFERS, False, text)
    prefix = schema.balance(chart.transit(""))
    for key, packed in audit.snapshot.rows(prefix):
        unit = schema.balance_account(key).split(":")[1]
        there = int(codec.unpack_value(packed)) - waiting.pop(unit, 0)
        if there:
            yield Finding(TRANSFERS, True, f"{there} {unit} are in transit and wait for nobody")
    for unit, points in waiting.items():
        yield Finding(TRANSFERS, True, f"{points} {unit} are waited for and not in transit")


@contextmanager
def verification(
    directory: Path, progress: Callable[[int, int], None] | None = None
) -> Iterator[Verification]:
    """Open a data directory for verification.

    Args:
        directory: the data directory.
        progress: called with (entries read, entries to read).

    Raises:
        engine.directory.DirectoryError: this is not a data directory.
        ledger.segment.JournalDamaged: the journal cannot be entered at all.
    """
    require_directory(directory)
    with Audit(directory, holdings=holdings, tables=TABLES, progress=progress) as audit:
        yield Verification(audit)


def as_json(sequence: int, digest: str, checks: list[Checked]) -> dict[str, Any]:
    """A verification as data."""
    return {
        "checks": [
            {
                "name": check.name,
                "state": check.state,
                "findings": [finding.text for finding in check.findings],
            }
            for check in checks
        ],
        "ok": all(check.state != "failed" for check in checks),
        "sequence": sequence,
        "digest": digest,
    }
