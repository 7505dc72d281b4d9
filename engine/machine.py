"""The machine: a command in, an answer out, and an entry in the open group.

For each command: duplicate check, then the rule decides on a draft, then everything is encoded,
and only then the new rows are swapped in. An exception before the swap changes nothing; one after
it must stop the process. The machine is deterministic: its only inputs are the command, its time
and nonce, and what the journal has made of the tables; so replay through it makes the same entries
again.

Three kinds of entries the machine makes by itself: the cut-off of a date whose hour has passed, the
time-out of a hold that a command comes upon, both before the command's own; and, after it, the
second half of a transfer between members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from engine import batches
from engine.catalogue import BY_COMMAND, Rule, command_of
from engine.commands import Answer, Outcome, Request, bare
from engine.draft import Draft
from engine.reasons import UNSTORED, Reason
from engine.records import (
    CALENDAR,
    FIRST_LINK,
    NEW_BATCH,
    Batch,
    Calendar,
    Identity,
    Link,
    Transit,
    identity_of,
    packed_identity,
)
from engine.rules.holds import TimeOut
from engine.rules.reference import CutOff
from engine.tariffs import Tariffs
from engine.terms import Clock, local_ms
from engine.trail import NOBODY, Giver, changes
from ledger import codec, schema
from ledger.model import Entry, Posting, assert_balanced, values_of
from ledger.packing import put_number

if TYPE_CHECKING:
    from librt.strings import BytesWriter

DEFAULT_CALENDAR: Final = Calendar(0, 1440, "Asia/Shanghai", batches.DAYS_OPEN, 0, 0)
PLACES_MAX: Final = 100_000

_REFERENCE: Final = schema.REFERENCE
_TRANSITS: Final = bytes((schema.TRANSIT,))
_POSITION: Final = "Pos:"
_BARE: Final[dict[Reason, Outcome]] = {reason: bare(reason) for reason in Reason}


class Store(Protocol):
    """The book as the machine needs it; `ledger.book.Book` is the one that lasts.

    Attributes:
        view: reads of the newest rows, by `get`.
    """

    view: Any

    @property
    def sequence(self) -> int:
        """Number of the last staged entry."""
        ...

    @property
    def last_at(self) -> int:
        """Its command time, ms."""
        ...

    def stage(
        self,
        sequence: int,
        at: int,
        date: int,
        packed_entry: bytes,
        records: dict[bytes, Any],
        packed: dict[bytes, bytes | int | None],
        balances: dict[bytes, int],
    ) -> None:
        """Take in an entry, the rows that it changed, and the balances."""
        ...


class _Place:
    """An account of postings.

    Attributes:
        unit: the unit of its postings, of the last one where there are several.
        key: its key in the balances table; empty where it has none.
        packed: account and unit as an entry has them.
        balance: what it comes to; there is no other writer, so it need not be read again.
    """

    __slots__ = ("balance", "key", "packed", "unit")

    def __init__(self, unit: str, key: bytes, packed: bytes, balance: int) -> None:
        self.unit = unit
        self.key = key
        self.packed = packed
        self.balance = balance


class SwapFailed(Exception):
    """Something failed after the swap began: the process must stop, nothing more may leave."""


class Machine:
    """Executes commands on a book. One thread, one writer.

    Attributes:
        revision: grows with every command that changed a row of a reference table (a terminal,
            its keys, a merchant, …), so that what was derived from them can be looked at anew.
    """

    __slots__ = (
        "_clock",
        "_cutoff_at",
        "_date",
        "_last_at",
        "_places",
        "_read",
        "_replays",
        "_scan",
        "_sequence",
        "_stage",
        "_tariffs",
        "revision",
    )

    def __init__(self, book: Store, *, replays: bool = False) -> None:
        """Take the state that the book has, of which this is the one writer from now on.

        Args:
            book: where rows are read and entries staged.
            replays: True where all commands come from a journal, second halves of transfers too.
        """
        self._replays = replays
        self._stage: Callable[[int, int, int, bytes, Any, Any, Any], None] = book.stage
        self._sequence = book.sequence
        self._last_at = book.last_at
        self._read: Callable[[bytes], Any] = book.view.get
        self._scan: Callable[[bytes], Any] = book.view.scan
        self._tariffs = Tariffs(self._read)
        self._places: dict[str, _Place] = {}
        self._clock = Clock(DEFAULT_CALENDAR.zone)
        self._cutoff_at = 0
        self._date = 0
        self.revision = 0
        self._load_calendar()

    @property
    def date(self) -> int:
        """The open business date YYYYMMDD; 0 before the calendar is set."""
        return self._date

    @property
    def clock(self) -> Clock:
        """Local dates in the operator's zone."""
        return self._clock

    @property
    def sequence(self) -> int:
        """Sequence number of the newest entry, durable or not."""
        return self._sequence

    def look(self, at: int) -> Draft:
        """A draft to read with, which nobody will execute."""
        return self._draft(at, b"")

    def _draft(self, at: int, nonce: bytes) -> Draft:
        return Draft(
            self._read,
            self._tariffs,
            at,
            self._clock.date(at),
            self._date,
            self._sequence + 1,
            nonce,
        )

    def execute(self, command: Any, at: int, nonce: bytes = b"", giver: Giver = NOBODY) -> Answer:
        """Execute a command.

        Args:
            command: a record of the catalogue.
            at: wall clock in ms since 1970 UTC; never taken as earlier than the last entry's.
            nonce: randomness for rules that need it.
            giver: who gives a command of administration, for the trail of its entry.

        Returns:
            The answer; it may be told to anyone only once the book is durable up to its sequence.
        """
        if at < self._last_at:
            at = self._last_at
        if at >= self._cutoff_at and self._date:
            self._cut_off_passed(at)
        rule = BY_COMMAND[type(command)]
        draft = self._draft(at, nonce)
        if rule.identity == "none":
            answer = self._finish(rule, command, draft, rule.decide(command, draft), giver)
            self._changed(draft)
            return answer
        if rule.identity == "own":
            return self._request(rule, command, draft)
        return self._reversal(rule, command, draft)

    def _changed(self, draft: Draft) -> None:
        """Forget what was derived from rows of reference tables, where one of them changed.

        Credit limits are derived from the positions of business dates before the open one, too.
        """
        for key in draft.rows:
            if key[0] in _REFERENCE:
                self.revision += 1
                self._tariffs.forget()
                return
        for account, _, _ in draft.postings:
            if account.startswith(_POSITION) and not account.endswith(f":{self._date}"):
                self._tariffs.forget()

    def complete_transfers(self, at: int) -> None:
        """Post second halves of transfers that a crash has left open, at the start."""
        rows: list[Transit] = [row for _, row in self._scan(_TRANSITS)]
        for row in rows:
            self._by_itself(command_of(row.kind, row.command), max(at, self._last_at))

    # Exactly once (protocol.md, section 6).

    def _request(self, rule: Rule, command: Request, draft: Draft) -> Answer:
        key = schema.identity(command.terminal, command.batch, command.stan)
        batch_key = schema.batch(command.terminal, command.batch)
        batch: Batch = self._read(batch_key) or NEW_BATCH
        if command.stan <= batch.stan_max:
            known = identity_of(self._read(key))
            if known is not None:
                return self._known(known, command)
        if not self._batch_allowed(rule, command, batch, draft):
            return self._refuse(Reason.BATCH_NOT_IN_FORCE)
        reason = rule.decide(command, draft)
        if reason not in UNSTORED:
            rows = draft.rows
            rows[key] = packed_identity(draft.sequence, command.content)
            if batch_key not in rows:
                if reason is Reason.APPROVED:
                    rows[batch_key] = batches.counted(
                        batch, draft.at, draft.date, draft.counted, command.stan
                    )
                else:
                    rows[batch_key] = batches.with_stan(batch, command.stan)
        return self._finish(rule, command, draft, reason)

    def _known(self, known: Identity, command: Request) -> Answer:
        """The answer to a request whose identity was seen before."""
        if not known.sequence:
            return self._refuse(Reason.REVERSED_BEFORE_ARRIVAL)
        if known.content != command.content:
            return self._refuse(Reason.OTHER_CONTENT)
        return self._stored(known.sequence)

    def _reversal(self, rule: Rule, command: Request, draft: Draft) -> Answer:
        key = schema.identity(command.terminal, command.batch, command.stan)
        known = identity_of(self._read(key))
        if known is not None:
            if not known.sequence:
                return self._refuse(Reason.ORIGINAL_UNKNOWN)
            undo = self._read(schema.undo(known.sequence))
            if undo is not None and undo.reversed_by:
                entry: Entry = self._read(schema.entry(undo.reversed_by))
                if _same_request(entry, command):
                    return self._stored(undo.reversed_by)
        reason = rule.decide(command, draft)
        if reason == Reason.APPROVED and draft.counted:
            batch_key = schema.batch(command.terminal, command.batch)
            batch: Batch = self._read(batch_key) or NEW_BATCH
            draft.rows[batch_key] = batches.counted(
                batch, draft.at, draft.date, draft.counted, command.stan
            )
        return self._finish(rule, command, draft, reason)

    def _batch_allowed(self, rule: Rule, command: Request, batch: Batch, draft: Draft) -> bool:
        if batch.state != "open":
            return False
        place = schema.terminal(schema.LINK, command.terminal)
        link: Link = self._read(place) or FIRST_LINK
        if command.batch == link.batch:
            return rule.batch == "open" or batches.running(self._read, batch, draft.at)
        if command.batch == batches.in_force(self._read, command.terminal, draft.at):
            draft.rows[place] = Link(command.batch)
            return True
        return rule.batch == "open" and bool(batch.since)

    def _stored(self, sequence: int) -> Answer:
        entry: Entry = self._read(schema.entry(sequence))
        return Answer(Outcome(*entry.outcome), sequence, entry.date, True)

    def _refuse(self, reason: Reason) -> Answer:
        return Answer(_BARE[reason], 0, self._date, False)

    # Encoding and swapping in.

    def _finish(
        self, rule: Rule, command: Any, draft: Draft, reason: Reason, giver: Giver = NOBODY
    ) -> Answer:
        if draft.timed_out is not None:
            for member, program in draft.timed_out:
                self._by_itself(TimeOut(member, program), draft.at)
            return self.execute(command, draft.at, draft.nonce, giver)
        if reason in UNSTORED:
            outcome = (
                Outcome(int(reason), draft.member, (), draft.facts, ())
                if draft.facts
                else _BARE[reason]
            )
            return Answer(outcome, 0, self._date, False)
        reason_number = int(reason)
        if reason is Reason.APPROVED:
            inner = draft.close_purses()
            outer = draft.postings
            postings = (*inner, *outer)
            outcome = Outcome(0, draft.member, draft.balances, draft.facts, draft.counted)
        else:
            inner = []
            outer = []
            postings = ()
            outcome = Outcome(reason_number, draft.member, (), draft.facts, ())
        if postings:
            assert_balanced(postings)
        rows = draft.rows
        trail = (*giver, changes(self._read, rows)) if giver else ()
        packed: dict[bytes, bytes | int | None] = {}
        for key, row in rows.items():
            packed[key] = None if row is None else codec.pack_record(row)
        writer = codec.entry_begun(
            (
                draft.sequence,
                draft.at,
                draft.date,
                draft.nonce,
                rule.kind,
                values_of(command),
                (reason_number, outcome.member, outcome.balances, outcome.facts, outcome.counted),
            ),
            len(postings),
            trailed=bool(trail),
        )
        balances: dict[bytes, int] = {}
        try:
            for account, unit, amount in inner:
                codec.put_account(writer, account, unit)
                put_number(writer, amount)
            if outer:
                self._balances(outer, balances, writer)
            packed_entry = codec.entry_ended(writer, draft.versions, trail)
        except Exception:
            self._places.clear()  # some may have balances that nobody is given
            raise
        try:
            self._stage(draft.sequence, draft.at, draft.date, packed_entry, rows, packed, balances)
        except Exception as error:
            raise SwapFailed("staging an entry failed") from error
        self._sequence = draft.sequence
        self._last_at = draft.at
        if CALENDAR in rows:
            self._load_calendar()
        if draft.follow is not None and not self._replays:
            self._by_itself(draft.follow, draft.at)
        return Answer(outcome, draft.sequence, draft.date, False)

    def _by_itself(self, command: Any, at: int) -> None:
        """Execute a command that no one sent."""
        rule = BY_COMMAND[type(command)]
        draft = self._draft(at, b"")
        self._finish(rule, command, draft, rule.decide(command, draft))

    def _balances(
        self, postings: list[Posting], balances: dict[bytes, int], writer: BytesWriter
    ) -> None:
        """Count postings on accounts of the balances table.

        Args:
            postings: on such accounts, and on members' stored value, which is in their rows.
            balances: takes what the accounts come to, by key.
            writer: takes the postings packed.
        """
        places = self._places
        for account, unit, amount in postings:
            place = places.get(account)
            if place is None or (place.unit is not unit and place.unit != unit):
                place = self._place(account, unit, balances)
            writer.write(place.packed)
            put_number(writer, amount)
            key = place.key
            if key:
                place.balance += amount
                balances[key] = place.balance

    def _place(self, account: str, unit: str, balances: dict[bytes, int]) -> _Place:
        packed = codec.pack_account(account, unit)
        if account.startswith("Value:"):  # one a member, of which there are too many to keep
            return _Place(unit, b"", packed, 0)
        if len(self._places) >= PLACES_MAX:
            self._places.clear()
        key = schema.balance(account)
        before: int | None = balances.get(key)
        if before is None:
            before = self._read(key) or 0
        made = self._places[account] = _Place(unit, key, packed, before)
        return made

    # The calendar.

    def _cut_off_passed(self, at: int) -> None:
        """Close each business date whose cut-off hour has passed at a command's time."""
        while at >= self._cutoff_at:
            self._by_itself(CutOff(self._date, True), at)

    def _load_calendar(self) -> None:
        calendar: Calendar = self._read(CALENDAR) or DEFAULT_CALENDAR
        if calendar.zone != self._clock.zone:
            self._clock = Clock(calendar.zone)
        self._date = calendar.date
        if calendar.date:
            self._cutoff_at = local_ms(calendar.date, calendar.cutoff_minutes, calendar.zone)


def _same_request(entry: Entry, command: Request) -> bool:
    """True when a reversal's entry came from an equal reversal."""
    names = type(command).__dataclass_fields__
    kept = dict(zip(names, entry.command, strict=True))
    return all(
        kept[name] == getattr(command, name) for name in names if name not in {"content", "cause"}
    )
