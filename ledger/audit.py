"""Audit: named checks that the book says what its journal says, and the digest of what it says.

`CHECKS` is the list; each check takes an `Audit` and yields findings. The audit reads one snapshot,
beside a running daemon or without one, and goes through the journal once, up to the snapshot's
sequence number: that pass rebuilds the tables from the groups and the balances from the postings,
in a scratch database, so that memory stays flat however large the book is.

The ledger does not know what a member's record looks like. Whoever does hands in `holdings`, which
tells the amounts inside a record by account, and the tables whose records have any.

`digest` is a function of the logical content alone: all rows in key order, ciphertext left out,
however the entries were grouped and however often the book was opened.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

import lmdb

from ledger import chart, codec, schema
from ledger.base import Base, find_base
from ledger.journal import Reader
from ledger.model import Account, Entry, Unbalanced, Unit, assert_balanced
from ledger.segment import JournalDamaged
from ledger.tables import MAP_BYTES, Batch, Snapshot
from ledger.view import position_of

Holdings = Callable[[bytes, Any], Iterable[tuple[Account, Unit, int]]]
"""Key and decoded record to the amounts in it: account, unit, amount."""

FINDINGS_MAX = 20
"""Findings of one kind that are told; more are counted."""

SUMS_MAX = 200_000
FOLD_RECORDS = 200_000
_DIGEST_ROWS = 1000


class Rows(Protocol):
    """Anything that yields its packed rows in key order: a view or a snapshot."""

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Key and packed row, ascending."""


@dataclass(slots=True)
class Finding:
    """One thing found.

    Attributes:
        check: name of the check.
        failure: False for what is reported without being wrong.
        text: one sentence that says where and what.
    """

    check: str
    failure: bool
    text: str


def digest(source: Rows) -> str:
    """SHA-256 over the rows of a view or snapshot, as hexadecimal digits.

    Each row counts as the length of its key (2 bytes), the key, the length of its logical value
    (4 bytes), and that value.
    """
    total = hashlib.sha256()
    rows = source.rows()
    logical = codec.logical
    while some := list(islice(rows, _DIGEST_ROWS)):
        parts: list[bytes] = []
        for key, packed in some:
            value = logical(key, packed)
            parts += (len(key).to_bytes(2, "big"), key, len(value).to_bytes(4, "big"), value)
        total.update(b"".join(parts))
    return total.hexdigest()


class _Sums:
    """Sums by account in a scratch database, gathered in memory a part at a time."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._gathered: dict[str, int] = {}

    def add(self, account: str, amount: int) -> None:
        """Add to an account's sum."""
        gathered = self._gathered
        gathered[account] = gathered.get(account, 0) + amount
        if len(gathered) >= SUMS_MAX:
            self.spill()

    def spill(self) -> None:
        """Move what was gathered into the database, where sums of zero are not kept."""
        with self._environment.begin(write=True) as transaction:
            for account in sorted(self._gathered):
                key = account.encode()
                packed = transaction.get(key)
                total = self._gathered[account] + (int(packed) if packed else 0)
                if total:
                    transaction.put(key, b"%d" % total)
                elif packed:
                    transaction.delete(key)
        self._gathered = {}

    def left(self) -> Iterator[tuple[str, int]]:
        """Accounts whose sum is not zero, ascending."""
        self.spill()
        with self._environment.begin() as transaction:
            for key, packed in transaction.cursor():
                yield bytes(key).decode(), int(packed)


class _Told:
    """Findings of one check, the first few in words and the rest as a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.more = 0

    def tell(self, text: str) -> None:
        if len(self.texts) < FINDINGS_MAX:
            self.texts.append(text)
        else:
            self.more += 1

    def findings(self, check: str, *, failure: bool = True) -> Iterator[Finding]:
        for text in self.texts:
            yield Finding(check, failure, text)
        if self.more:
            yield Finding(check, failure, f"and {self.more} more of the kind")


def _nothing_held(_key: bytes, _row: Any) -> Iterable[tuple[Account, Unit, int]]:
    return ()


class _Pass:
    """What one walk through the journal found, and the scratch databases that it filled."""

    def __init__(self, scratch: Path, stack: ExitStack) -> None:
        self.rebuilt = _scratch(scratch / "tables", stack)
        self.balances = _Sums(_scratch(scratch / "balances", stack))
        self.aggregates = _Sums(_scratch(scratch / "aggregates", stack))
        self.chain, self.sequence, self.order = _Told(), _Told(), _Told()
        self.postings = _Told()
        self.entries = 0
        self.last = 0
        self.base = 0
        self._at = 0

    def begin(self, base: Base, holdings: Holdings, tables: list[int]) -> bytes:
        """Begin with the base of a pruned journal; returns the chain's head there."""
        with base:
            if digest(base) != base.digest:
                self.chain.tell(f"the base of entry {base.sequence} was changed since it was made")
            base.copy_to(self.rebuilt)
            for key, packed in base.rows(bytes((schema.BALANCE,))):
                self.balances.add(schema.balance_account(key), int(codec.unpack_value(packed)))
            for table in tables:
                for key, packed in base.rows(bytes((table,))):
                    for account, _, amount in holdings(key, codec.unpack_row(key, packed)):
                        self.aggregates.add(account, amount)
        self.base = self.last = base.sequence
        return base.chain

    def walk(
        self,
        folder: Path,
        last: int,
        progress: Callable[[int, int], None] | None,
        chain: bytes = b"",
    ) -> None:
        batch = Batch()
        try:
            with Reader(folder, self.base) as reader:
                for group in reader.groups(last):
                    if chain and reader.started_digest != chain:
                        self.chain.tell(f"entry {group.first} does not follow from the base")
                        break
                    batch.add(group)
                    for sequence, packed in enumerate(group.entries, group.first):
                        self._entry(sequence, codec.unpack_entry(packed))
                    self.last = group.last
                    if len(batch.changes) + batch.entries >= FOLD_RECORDS:
                        batch.fold(self.rebuilt)
                        if progress:
                            progress(group.last, last)
        except (JournalDamaged, codec.UnknownLayout) as error:
            self.chain.tell(str(error))
        batch.fold(self.rebuilt)
        self.balances.spill()
        self.aggregates.spill()

    def _entry(self, sequence: int, entry: Entry) -> None:
        self.entries += 1
        if entry.sequence != sequence:
            self.sequence.tell(f"the entry at sequence {sequence} says {entry.sequence}")
        if entry.at < self._at:
            self.order.tell(f"entry {sequence} is {self._at - entry.at} ms before the one before")
        self._at = entry.at
        try:
            assert_balanced(entry.postings)
            for account, unit, amount in entry.postings:
                self._posting(account, unit, amount)
        except (Unbalanced, chart.UnknownAccount, ValueError) as error:
            self.postings.tell(f"entry {sequence}: {error}")

    def _posting(self, account: Account, unit: Unit, amount: int) -> None:
        if chart.unit_of(account) != unit:
            raise chart.UnknownAccount(f"{account} is not kept in unit {unit}")
        home = chart.KINDS[account.partition(":")[0]].home
        sums = self.balances if home == "table" else self.aggregates
        sums.add(account, amount)


def _scratch(folder: Path, stack: ExitStack) -> Any:
    """A database for the time of the audit: never synced, gone afterwards."""
    environment = lmdb.open(str(folder), map_size=MAP_BYTES, sync=False, readahead=False)
    stack.callback(environment.close)
    return environment


class Audit:
    """One run of the checks over one snapshot.

    Args:
        folder: the book.
        holdings: tells the amounts inside a record; without it aggregates are not checked.
        tables: numbers of the tables whose records have amounts inside.
        progress: called with (entries read, entries to read).
        scratch: folder for the scratch databases, as large as the tables; the system's temporary
            one when not given.

    Attributes:
        damage: why no snapshot could be had; empty when there is one. Without a snapshot there is
            neither `sequence` nor `digest`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        holdings: Holdings | None = None,
        tables: Iterable[int] = (schema.POINTS, schema.LOTS),
        progress: Callable[[int, int], None] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.folder = folder
        self.holdings = holdings
        self.tables = sorted(tables)
        self._progress = progress
        self._scratch = scratch

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.damage = ""
        try:
            self.snapshot = self._stack.enter_context(Snapshot(self.folder))
        except JournalDamaged as error:
            self.damage = str(error)
            return self
        try:
            made = tempfile.TemporaryDirectory(prefix="counterfoil-audit-", dir=self._scratch)
            self._made = Path(self._stack.enter_context(made))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def sequence(self) -> int:
        """The sequence number that every finding is true for."""
        return self.snapshot.sequence

    @cached_property
    def journal(self) -> _Pass:
        """The walk through the journal, made when a check first needs it."""
        walked = _Pass(self._made, self._stack)
        chain = b""
        try:
            base = find_base(self.folder)
            if base is not None:
                chain = walked.begin(base, self.holdings or _nothing_held, self.tables)
        except (JournalDamaged, OSError) as error:
            walked.chain.tell(str(error))
        walked.walk(self.folder, self.sequence, self._progress, chain)
        return walked

    def run(self) -> Iterator[tuple[str, list[Finding]]]:
        """Run every check in order; yields its name and findings, none when all is well.

        Where the journal is so damaged that no snapshot can be had, only the first check runs.
        """
        if self.damage:
            yield CHECKS[0][0], [Finding(CHECKS[0][0], True, self.damage)]
            return
        for name, check in CHECKS:
            yield name, list(check(self, name))

    def digest(self) -> str:
        """The digest of the snapshot."""
        return digest(self.snapshot)


def _journal_chain(audit: Audit, name: str) -> Iterator[Finding]:
    """Every segment and group is whole and follows from the one before."""
    yield from audit.journal.chain.findings(name)


def _sequence_gapless(audit: Audit, name: str) -> Iterator[Finding]:
    """Entries are numbered from 1 without gaps, to the snapshot's end."""
    yield from audit.journal.sequence.findings(name)
    found, wanted = audit.journal.entries, audit.sequence - audit.journal.base
    if found != wanted:
        yield Finding(name, True, f"{found} entries were read, {wanted} should be there")


def _time_order(audit: Audit, name: str) -> Iterator[Finding]:
    """The time of an entry is never before that of the one before."""
    yield from audit.journal.order.findings(name)


def _entries_balanced(audit: Audit, name: str) -> Iterator[Finding]:
    """The postings of an entry are on accounts of the chart and sum to zero in each unit."""
    yield from audit.journal.postings.findings(name)


def _balances(audit: Audit, name: str) -> Iterator[Finding]:
    """The balances table holds the sums of the journal's postings."""
    told = _Told()
    rows = (
        (schema.balance_account(key), int(codec.unpack_value(packed)))
        for key, packed in audit.snapshot.rows(bytes((schema.BALANCE,)))
    )
    for account, held, posted in _beside(rows, audit.journal.balances.left()):
        if (held or 0) != (posted or 0):
            told.tell(f"{account} holds {held or 0}, its postings sum to {posted or 0}")
    yield from told.findings(name)


def _tables_rebuilt(audit: Audit, name: str) -> Iterator[Finding]:
    """The tables, with the journal's tail over them, are the journal folded anew."""
    told = _Told()
    with audit.journal.rebuilt.begin() as transaction:
        rebuilt = ((bytes(k), bytes(v)) for k, v in transaction.cursor() if k[0])
        pruned = schema.entry(audit.journal.base)
        for key, held, made in _beside(audit.snapshot.rows(), rebuilt):
            if held != made and not (key[0] == schema.ENTRY and key <= pruned):
                table = schema.NAMES.get(key[0], str(key[0]))
                what = "is missing" if held is None else "differs" if made else "should not be"
                told.tell(f"row {key[1:].hex()} of table {table} {what}")
    yield from told.findings(name)
    if base := audit.journal.base:
        text = f"the journal was pruned: what came up to entry {base} is taken from the base"
        yield Finding(name, False, text)


def _applied_position(audit: Audit, name: str) -> Iterator[Finding]:
    """The tables' position is at or before the journal's end."""
    with audit.journal.rebuilt.begin() as transaction:
        rebuilt = position_of(transaction)[0]
    if not audit.snapshot.applied <= rebuilt == audit.sequence:
        yield Finding(
            name,
            True,
            f"the tables are at {audit.snapshot.applied}, the journal folds to {rebuilt}, "
            f"the snapshot is of {audit.sequence}",
        )


def _aggregates(audit: Audit, name: str) -> Iterator[Finding]:
    """The amounts inside members' records are the sums of their postings."""
    if audit.holdings is None:
        return
    told = _Told()
    sums = audit.journal.aggregates
    for account, _, amount in _held(audit):
        sums.add(account, -amount)
    for account, difference in sums.left():
        told.tell(f"the records hold {-difference:+d} on {account} beyond its postings")
    yield from told.findings(name)


def _held(audit: Audit) -> Iterator[tuple[Account, Unit, int]]:
    holdings = audit.holdings
    if holdings is None:
        return
    for table in audit.tables:
        for key, packed in audit.snapshot.rows(bytes((table,))):
            yield from holdings(key, codec.unpack_row(key, packed))


def _signs(audit: Audit, name: str) -> Iterator[Finding]:
    """No balance has the sign that its kind of account may not have."""
    wrong, below = _Told(), _Told()
    for key, packed in audit.snapshot.rows(bytes((schema.BALANCE,))):
        account = schema.balance_account(key)
        _judge_sign(account, int(codec.unpack_value(packed)), wrong)
    for account, _, amount in _held(audit):
        _judge_sign(account, amount, wrong)
        if amount < 0:
            below.tell(f"{account} is {amount} after points already spent were taken back")
    yield from wrong.findings(name)
    yield from below.findings(name, failure=False)


def _judge_sign(account: Account, amount: int, wrong: _Told) -> None:
    kind = chart.KINDS.get(account.partition(":")[0])
    if kind is None:
        wrong.tell(f"{account} is not in the chart of accounts")
    elif amount * kind.sign < 0:
        wrong.tell(f"{account} is {amount}, which its kind may not be")


def _beside(left: Iterable[tuple[Any, Any]], right: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """Merge two ascending rows of (key, value): key, value or None, value or None."""
    ours, theirs = iter(left), iter(right)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if one is not None and (other is None or one[0] < other[0]):
            yield one[0], one[1], None
            one = next(ours, None)
        elif other is not None and (one is None or other[0] < one[0]):
            yield other[0], None, other[1]
            other = next(theirs, None)
        elif one is not None and other is not None:
            yield one[0], one[1], other[1]
            one, other = next(ours, None), next(theirs, None)


CHECKS: list[tuple[str, Callable[[Audit, str], Iterator[Finding]]]] = [
    ("journal chain", _journal_chain),
    ("sequence without gaps", _sequence_gapless),
    ("time never decreasing", _time_order),
    ("entries balanced", _entries_balanced),
    ("balances", _balances),
    ("tables rebuilt from the journal", _tables_rebuilt),
    ("applied position", _applied_position),
    ("aggregates", _aggregates),
    ("signs", _signs),
]
