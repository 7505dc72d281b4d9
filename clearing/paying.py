"""Payments after release: what the bank confirmed or refused, and what has not been heard of.

A payment is *sent* when its settlement is posted back, *confirmed* when the bank paid it, *refused*
when it did not; a refused one stays payable and ages until it is confirmed after all. One that no
payment file could carry, for want of an account, is told as *unpaid*. The ledger decides
(`engine.rules.clearing.confirm`); here files of confirmations are matched with what was posted, and
lists are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearing.bank import Confirmation, read
from clearing.files.lists import NO_ACCOUNT, NO_OPERATOR_ACCOUNT
from clearing.files.payments import parse_end_to_end_id, short_party
from clearing.model import account_known
from clearing.register import Party, register_at
from clearing.run import ClearingRefused, clearing_lock, confirm_when_complete
from engine.rules.clearing import Confirm
from engine.settlement import Posted, Run
from engine.submit import Submitter
from engine.terms import day_number
from ledger import schema
from ledger.tables import Snapshot


@dataclass(slots=True)
class Taken:
    """What became of a file of confirmations.

    Attributes:
        confirmed, refused, unchanged: payments.
        others: entries of the file that are about something else.
        problems: sentences about payments of ours that do not fit.
        states: (date, run) to the state that the run has now.
    """

    confirmed: int = 0
    refused: int = 0
    unchanged: int = 0
    others: int = 0
    problems: list[str] = field(default_factory=list)
    states: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(slots=True)
class Unpaid:
    """A payment that is not confirmed, or an amount that a party owes.

    Attributes:
        state: ``sent``, ``refused``, or ``unpaid`` where it stands in no payment file.
        age_days: days since the value date.
        text: why not: the bank's words, or what is not on record.
    """

    date: int
    run: int
    party: str
    fen: int
    state: str
    value_date: int
    age_days: int
    text: str


def take_confirmations(directory: Path, file: Path) -> Taken:
    """Take in what a bank said.

    Raises:
        clearing.bank.Unreadable: the file is not of a known form; nothing of it is taken.
        ClearingRefused: another process clears the directory.
    """
    found = read(file)
    taken = Taken(others=found.others)
    with clearing_lock(directory):
        posted = _posted_of(directory, found.found)
        commands: list[tuple[str, Confirm]] = []
        for one in found.found:
            place = posted.get(one.end_to_end_id)
            if place is None:
                taken.problems.append(f"{one.end_to_end_id}: no such payment was released")
                continue
            date, run, party = place
            taken.states[date, run] = ""
            commands.append(
                (
                    one.end_to_end_id,
                    Confirm(date, run, party, one.fen, one.status, one.booked, one.reason),
                )
            )
        with Submitter(directory) as submitter:
            results = submitter.submit_many(command for _, command in commands)
            for (name, command), result in zip(commands, results, strict=True):
                if not result.done:
                    taken.problems.append(f"{name}: {result.text}")
                elif not result.sequence:
                    taken.unchanged += 1
                elif command.status == "confirmed":
                    taken.confirmed += 1
                else:
                    taken.refused += 1
        for date, number in taken.states:
            taken.states[date, number] = confirm_when_complete(directory, date, number)
    return taken


def _posted_of(
    directory: Path, confirmations: list[Confirmation]
) -> dict[str, tuple[int, int, str]]:
    """The date, run and party behind each end-to-end id that was released."""
    runs = set()
    for one in confirmations:
        parsed = parse_end_to_end_id(one.end_to_end_id)
        if parsed is not None:
            runs.add(parsed[:2])
    known: dict[tuple[int, int, str], str] = {}
    with Snapshot(directory) as snapshot:
        for date, number in sorted(runs):
            for key, _ in snapshot.view.scan(schema.of_run(schema.POSTBACK, date, number, "")):
                party = schema.of_run_name(key)
                known[date, number, short_party(party)] = party
    places = {}
    for one in confirmations:
        parsed = parse_end_to_end_id(one.end_to_end_id)
        if parsed is not None and parsed in known:
            places[one.end_to_end_id] = (parsed[0], parsed[1], known[parsed])
    return places


def unpaid(snapshot: Snapshot, today: int) -> list[Unpaid]:
    """The payments that no confirmation has come for, oldest first.

    Args:
        snapshot: of the directory.
        today: the date from which they age, YYYYMMDD.
    """
    found: list[Unpaid] = []
    for date, number, run in runs(snapshot):
        if not run.unconfirmed:
            continue
        payees = register_at(snapshot, run.last).parties
        for key, row in snapshot.view.scan(schema.of_run(schema.POSTBACK, date, number, "")):
            posted: Posted = row
            if posted.state not in {"sent", "refused"}:
                continue
            party = schema.of_run_name(key)
            state, text = posted.state, posted.text
            missing = _missing(run, payees.get(party))
            if missing and state == "sent":
                state, text = "unpaid", missing
            age = (day_number(today) - day_number(run.value_date)).days
            due = posted.net + posted.carried
            found.append(Unpaid(date, number, party, due, state, run.value_date, max(0, age), text))
    return found


def _missing(run: Run, payee: Party | None) -> str:
    """Why a payment of a run stands in no payment file, empty where it does."""
    if not account_known(*run.operator[2:]):
        return NO_OPERATOR_ACCOUNT
    known = payee is not None and account_known(payee.account_number, payee.bank_code)
    return "" if known else NO_ACCOUNT


def runs(snapshot: Snapshot) -> list[tuple[int, int, Run]]:
    """All runs: date, number, row; ascending."""
    found: list[tuple[int, int, Any]] = []
    for key, row in snapshot.view.scan(bytes((schema.RUN,))):
        found.append((*schema.run_parts(key), row))
    return found


__all__ = ["ClearingRefused", "Taken", "Unpaid", "runs", "take_confirmations", "unpaid"]
