"""Clearing: runs and their states, the settlement posted back, discrepancies and their resolution.

`clearing.run` computes and submits; here is decided what may become true, by point reads. A date is
begun when it is cut off and the date before has its files; a run may be replaced until it is
released; a post-back brings exactly the position that the ledger holds to zero, once. Each command
says what it wants whole, so submitting it again is ``UNCHANGED``.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import CALENDAR, Calendar
from engine.rules.reference import refuse, replace_row
from engine.settlement import (
    FAILED,
    STATES,
    Carry,
    Cleared,
    Discrepancy,
    Payee,
    Posted,
    Run,
    TruedUp,
)
from engine.terms import add_days, spoken
from ledger import chart, schema
from ledger.model import MONEY, Entry, values_of

PARTY_KINDS = ("merchant", "institution", "sponsor", "channel")


@dataclass(slots=True)
class PutPayee:
    """Where a party is paid; see `engine.settlement.Payee`."""

    party: str
    kind: str
    name: str
    account_name: str
    account_number: str
    bank_code: str


@dataclass(slots=True)
class StartRun:
    """A run begins, with all that its files depend on; see `engine.settlement.Run`.

    Attributes:
        date, run: which; runs of a date are numbered from 1.
        text: why it replaces the run before, where it does.
    """

    date: int
    run: int
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


@dataclass(slots=True)
class AdvanceRun:
    """A run reaches a state.

    Attributes:
        state: the state reached.
        text: for ``FAILED``: why.
        balances: for ``BALANCED``: what the next date begins with.
        digest: for ``NETTED`` of the netted day, for ``FILED`` of the manifest.
        expected: for ``NETTED``: parties that will be posted back.
    """

    date: int
    run: int
    state: str
    text: str
    balances: tuple[tuple[str, int], ...]
    digest: bytes
    expected: int


@dataclass(slots=True)
class CarryForward:
    """What a party owes after netting goes into the next run: amount < 0."""

    date: int
    run: int
    party: str
    amount: int
    since: int


@dataclass(slots=True)
class PostBack:
    """A party's position of the date becomes payable.

    Attributes:
        net: the position, either sign.
        carried: what the run `carried_run` ("20260228-1") carried forward, ≤ 0.
    """

    date: int
    run: int
    party: str
    net: int
    carried: int
    carried_run: str


@dataclass(slots=True)
class TrueUp:
    """A fund is brought to the value of the points outstanding.

    Attributes:
        amount: fen into the fund.
        most: the most that rounding can have left, a fen for each entry that moved the fund.
    """

    date: int
    run: int
    program: str
    amount: int
    most: int


@dataclass(slots=True)
class Confirm:
    """What a bank did with a payment: ``confirmed`` or ``refused``.

    A party on the collection list that has paid is confirmed as well, `amount` above zero.
    """

    date: int
    run: int
    party: str
    amount: int
    status: str
    booked: int
    text: str


@dataclass(slots=True)
class NoteDiscrepancy:
    """Something that the two sides tell differently; see `engine.settlement.Discrepancy`."""

    id: str
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


@dataclass(slots=True)
class ResolveDiscrepancy:
    """A discrepancy is settled: by an adjustment of a party's position, or as it stands.

    Attributes:
        party: whose position; empty where nothing is adjusted.
        amount: fen, + in the party's favour; 0 where nothing is adjusted.
        text: why, for whoever reads the statement.
    """

    id: str
    party: str
    amount: int
    text: str


def put_payee(command: PutPayee, draft: Draft) -> Reason:
    """Register or change where a party is paid."""
    registers = {"merchant": schema.MERCHANT, "institution": schema.INSTITUTION}
    if command.kind not in PARTY_KINDS:
        return refuse(draft, f"kind has to be one of {', '.join(PARTY_KINDS)}")
    table = registers.get(command.kind)
    if table is not None and draft.read(schema.named(table, command.party)) is None:
        return refuse(draft, f"{command.kind} {command.party} is not registered; load it first")
    key = schema.named(schema.PAYEE, command.party)
    return replace_row(draft, key, Payee(*[*values_of(command), 1]), draft.read(key))


def start_run(command: StartRun, draft: Draft) -> Reason:
    """Begin the first run of the next date, or one that replaces the newest run."""
    date, number = command.date, command.run
    key = schema.run(date, number)
    row = Run(*["CUT", *values_of(command)[2:], 0, 0, (), b"", b"", 0, 0, 0])
    known: Run | None = draft.read(key)
    if known is not None:
        row = amended(row, supersedes=known.supersedes)
        return Reason.UNCHANGED if _begun_as(known, row) else _taken(draft, date, number)
    calendar: Calendar = draft.read(CALENDAR)
    if date >= calendar.date:
        return refuse(draft, f"the business date {spoken(date)} is not cut off yet")
    newest: Cleared | None = draft.read(schema.cleared(0))
    if newest is not None and newest.number == date:
        bad = _replaces(command, draft)
    elif number != 1:
        bad = _taken(draft, date, number)
    elif newest is not None:
        bad = _follows(date, newest.number, draft)
    else:
        bad = None
    if bad is not None:
        draft.rows.clear()
        return bad
    if number > 1:
        row = amended(row, supersedes=number - 1)
    draft.rows[key] = row
    draft.rows[schema.cleared(0)] = Cleared(date)
    draft.rows[schema.cleared(date)] = Cleared(number)
    return Reason.APPROVED


def _begun_as(known: Run, row: Run) -> bool:
    """True when a run was begun with the same settings."""
    names = ("first", "last", "considered", "zone", "value_date", "version", "collect_limit")
    return all(getattr(known, name) == getattr(row, name) for name in (*names, "operator"))


def _taken(draft: Draft, date: int, number: int) -> Reason:
    return refuse(draft, f"run {number} of {spoken(date)} is not the next one")


def _replaces(command: StartRun, draft: Draft) -> Reason | None:
    """Check a correction, and link the run that it replaces."""
    before = command.run - 1
    key = schema.run(command.date, before)
    old: Run | None = draft.read(key)
    if old is None or old.superseded_by:
        return _taken(draft, command.date, command.run)
    if old.final:
        return refuse(
            draft, f"run {before} of {spoken(command.date)} is released: adjust it in the next run"
        )
    draft.rows[key] = amended(old, superseded_by=command.run)
    return None


def _follows(date: int, newest: int, draft: Draft) -> Reason | None:
    """Check that the date before has its files."""
    if date != add_days(newest, 1):
        return refuse(
            draft, f"dates are cleared in order: the next one is {spoken(add_days(newest, 1))}"
        )
    number = draft.read(schema.cleared(newest)).number
    run: Run = draft.read(schema.run(newest, number))
    if run.state not in {"FILED", "RELEASED", "CONFIRMED"}:
        return refuse(draft, f"{spoken(newest)} is {run.state}: finish it first")
    return None


def advance_run(command: AdvanceRun, draft: Draft) -> Reason:
    """Take a run to its next state, or note why it failed."""
    key = schema.run(command.date, command.run)
    run, bad = _standing(command.date, command.run, draft)
    if run is None:
        return bad
    state = command.state
    if state == FAILED:
        if run.final:
            return refuse(draft, "a released run does not fail: adjust it in the next run")
        if (run.state, run.text) == (FAILED, command.text):
            return Reason.UNCHANGED
        draft.rows[key] = amended(run, state=FAILED, text=command.text)
        return Reason.APPROVED
    if run.state == FAILED or state not in STATES:
        return refuse(
            draft, f"run {command.run} of {spoken(command.date)} is {run.state}, not to go on"
        )
    step = STATES.index(state) - STATES.index(run.state)
    if step <= 0:
        return _same_again(command, run, draft)
    if step > 1:
        return refuse(draft, f"from {run.state} a run does not become {state}")
    changed = amended(run, state=state)
    if state == "BALANCED":
        changed.balances = command.balances
    elif state == "NETTED":
        changed.net_digest, changed.expected = command.digest, command.expected
    elif state == "FILED":
        changed.manifest_digest = command.digest
    elif state == "RELEASED" and not _before_released(command.date, draft):
        return refuse(draft, f"release {spoken(add_days(command.date, -1))} first")
    elif state == "CONFIRMED" and (run.posted < run.expected or run.unconfirmed):
        return refuse(
            draft,
            f"{run.expected - run.posted} parties are not posted back and {run.unconfirmed}"
            " payments not confirmed",
        )
    draft.rows[key] = changed
    return Reason.APPROVED


def _standing(date: int, number: int, draft: Draft) -> tuple[Run | None, Reason]:
    """A run that is in force, or the refusal."""
    run: Run | None = draft.read(schema.run(date, number))
    if run is None:
        return None, refuse(draft, f"there is no run {number} of {spoken(date)}")
    if run.superseded_by:
        return None, refuse(
            draft, f"run {number} of {spoken(date)} was replaced by {run.superseded_by}"
        )
    return run, Reason.APPROVED


def _same_again(command: AdvanceRun, run: Run, draft: Draft) -> Reason:
    """A state that was reached before: by the same figures, or refused."""
    same = {
        "BALANCED": run.balances == command.balances,
        "NETTED": run.net_digest == command.digest,
        "FILED": run.manifest_digest == command.digest,
    }
    if same.get(command.state, True):
        return Reason.UNCHANGED
    return refuse(
        draft,
        f"run {command.run} of {spoken(command.date)} came to other figures when it was first made",
    )


def _before_released(date: int, draft: Draft) -> bool:
    """True unless the date before has a run that is not released."""
    before = add_days(date, -1)
    newest: Cleared | None = draft.read(schema.cleared(before))
    if newest is None:
        return True
    run: Run = draft.read(schema.run(before, newest.number))
    return run.final


def carry_forward(command: CarryForward, draft: Draft) -> Reason:
    """Keep what a party owes for the next run."""
    run, bad = _standing(command.date, command.run, draft)
    if run is None:
        return bad
    key = schema.of_run(schema.CARRY, command.date, command.run, command.party)
    row = Carry(command.amount, command.since)
    if draft.read(key) == row:
        return Reason.UNCHANGED
    if run.state != "BALANCED":
        return refuse(
            draft, f"run {command.run} of {spoken(command.date)} is {run.state}, not BALANCED"
        )
    draft.rows[key] = row
    return Reason.APPROVED


def _released(date: int, number: int, draft: Draft) -> tuple[Run | None, Reason]:
    run, bad = _standing(date, number, draft)
    if run is not None and not run.final:
        return None, refuse(draft, f"run {number} of {spoken(date)} is {run.state}, not RELEASED")
    return run, bad


def post_back(command: PostBack, draft: Draft) -> Reason:
    """Bring a party's position of a date to zero; what is left is payable, or owed."""
    date, number, party = command.date, command.run, command.party
    run, bad = _released(date, number, draft)
    if run is None:
        return bad
    key = schema.of_run(schema.POSTBACK, date, number, party)
    known: Posted | None = draft.read(key)
    if known is not None:
        if (known.net, known.carried) == (command.net, command.carried):
            return Reason.UNCHANGED
        return refuse(draft, f"{party} was posted back with {known.net} already")
    position = chart.position(party, date)
    held = draft.read(schema.balance(position)) or 0
    if held != command.net:
        return refuse(draft, f"the ledger holds {held} on {position}, not {command.net}")
    payable = chart.payable(party, f"{date}-{number}")
    draft.post(position, MONEY, -command.net)
    draft.post(payable, MONEY, command.net)
    if command.carried:
        owed = chart.payable(party, command.carried_run)
        draft.post(owed, MONEY, -command.carried)
        draft.post(payable, MONEY, command.carried)
    left = command.net + command.carried
    state = "sent" if left > 0 else "confirmed"
    if left < 0:
        # What is not carried into the next run stands on the collection list.
        carried = draft.read(schema.of_run(schema.CARRY, date, number, party))
        state = "owed" if carried is not None else "collect"
    draft.rows[key] = Posted(command.net, command.carried, state, 0, "")
    draft.rows[schema.run(date, number)] = amended(
        run, posted=run.posted + 1, unconfirmed=run.unconfirmed + (left > 0)
    )
    return Reason.APPROVED


def true_up(command: TrueUp, draft: Draft) -> Reason:
    """Move what rounding left in a fund, at most one fen an entry."""
    run, bad = _released(command.date, command.run, draft)
    if run is None:
        return bad
    key = schema.of_run(schema.TRUEUP, command.date, command.run, command.program)
    if draft.read(key) is not None:
        return Reason.UNCHANGED
    if abs(command.amount) > command.most:
        return refuse(
            draft, f"{command.amount} fen is more than rounding can have left, {command.most}"
        )
    draft.post(chart.fund(command.program), MONEY, command.amount)
    draft.post(chart.ROUNDING, MONEY, -command.amount)
    draft.rows[key] = TruedUp(command.amount)
    return Reason.APPROVED


def confirm(command: Confirm, draft: Draft) -> Reason:
    """Take in what a bank did with a payment; a refused one stays payable and ages."""
    date, number, party = command.date, command.run, command.party
    key = schema.of_run(schema.POSTBACK, date, number, party)
    posted: Posted | None = draft.read(key)
    if posted is None:
        return refuse(
            draft, f"nothing was posted back for {party} in run {number} of {spoken(date)}"
        )
    due = posted.net + posted.carried
    if command.status == posted.state:
        return Reason.UNCHANGED
    if posted.state not in {"sent", "refused", "collect"}:
        return refuse(draft, f"the payment of {party} is {posted.state}")
    if command.amount != abs(due):
        way = "to" if due > 0 else "by"
        return refuse(draft, f"{abs(due)} fen were to be paid {way} {party}, not {command.amount}")
    if command.booked < date:
        return refuse(
            draft,
            f"{spoken(command.booked)} is a day before {spoken(date)}, the date that is settled",
        )
    if posted.state == "collect" and command.status != "confirmed":
        return refuse(draft, f"{party} owes; what it does not pay stays on the list")
    if command.status == "confirmed":
        draft.post(chart.payable(party, f"{date}-{number}"), MONEY, -due)
        draft.post(chart.BANK, MONEY, due)
    if command.status == "confirmed" and due > 0:
        run: Run = draft.read(schema.run(date, number))
        draft.rows[schema.run(date, number)] = amended(run, unconfirmed=run.unconfirmed - 1)
    draft.rows[key] = Posted(
        posted.net, posted.carried, command.status, command.booked, command.text
    )
    return Reason.APPROVED


def note_discrepancy(command: NoteDiscrepancy, draft: Draft) -> Reason:
    """Note a discrepancy once; it keeps the date on which it was first seen."""
    key = schema.named(schema.EXCEPTION, command.id)
    if draft.read(key) is not None:
        return Reason.UNCHANGED
    draft.rows[key] = Discrepancy(*[*values_of(command)[1:], draft.sequence, 0, ""])
    return Reason.APPROVED


def resolve_discrepancy(command: ResolveDiscrepancy, draft: Draft) -> Reason:
    """Resolve a discrepancy, with an adjustment that settles with the date now open."""
    key = schema.named(schema.EXCEPTION, command.id)
    row: Discrepancy | None = draft.read(key)
    if row is None:
        return refuse(draft, f"there is no exception {command.id}")
    if row.resolution:
        resolved: Entry = draft.read(schema.entry(row.resolution))
        if resolved.command == values_of(command):
            return Reason.UNCHANGED
        return refuse(draft, f"exception {command.id} was resolved by entry {row.resolution}")
    if bool(command.party) != bool(command.amount):
        return refuse(draft, "an adjustment needs both a party and an amount")
    if command.party and not any(
        draft.read(schema.named(table, command.party)) is not None
        for table in (schema.MERCHANT, schema.INSTITUTION, schema.PAYEE)
    ):
        return refuse(draft, f"party {command.party} is not registered")
    if command.amount:
        draft.post(chart.position(command.party, draft.date), MONEY, command.amount)
        draft.post(chart.SUSPENSE, MONEY, -command.amount)
    draft.rows[key] = amended(row, resolution=draft.sequence, resolved=command.text)
    draft.facts = (("text", command.text),)
    return Reason.APPROVED
