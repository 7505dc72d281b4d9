"""From totals to a settled day: the checks that have to hold, then what each party gets or owes.

`balance` makes the checks of ``accounting.md``: positions of parties against the operator's own
accounts, funds against the points outstanding, stored value. What a date ends with is what the next
begins with, so each night reads its own date alone. A check that fails stops the run, with the
entries where they can be told.

`net` makes the `Day`. A party that owes after netting, with what it owed before, is carried forward
into the next run, or asked for by the collection list from a limit on; a payment file holds credits
only. Both are pure functions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from clearing.model import (
    Amount,
    ChannelTotal,
    Check,
    Day,
    ExceptionItem,
    MatrixCell,
    Movement,
    Operator,
    PartyDay,
    PointsTotal,
    ProgramDay,
    StoreTotal,
)
from clearing.register import Party, Register
from clearing.totals import PartyTotals, Totals
from engine import rounding
from engine.records import Program
from engine.settlement import Carry, Run
from ledger import codec

LEGS = "legs of the entries"
POSITIONS = "positions against the operator's accounts"
STORES = "store ledgers against the company ledger"
VALUE = "stored value against what members have"
KEPT_POSITIONS = "positions against those that the ledger keeps"
"""Names of checks, beside that of the fund of each program."""


class DoesNotHold(Exception):
    """A check of the day fails: nothing is filed. The sentence names what, and the entries.

    Attributes:
        check: its name.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(text)
        self.check = check


@dataclass(slots=True)
class Balanced:
    """A date whose checks hold.

    Attributes:
        balances: (name, amount) for the next date to begin with: ``points:P01``, ``fund:P01``,
            ``transit:P01``, ``value``.
        programs: programs at the end of the date, funds trued up.
        true_ups: program, fen into the fund, and the most that rounding can have left.
        checks: what was compared.
    """

    balances: tuple[tuple[str, int], ...]
    programs: tuple[ProgramDay, ...]
    true_ups: tuple[tuple[str, int, int], ...]
    checks: tuple[Check, ...]


def value_of(points: int, program: Program) -> int:
    """Fen that points outstanding are worth, either sign, half up."""
    if points < 0:
        return -rounding.fund_value(-points, program)
    return rounding.fund_value(points, program)


def balance(totals: Totals, opening: dict[str, int], register: Register) -> Balanced:
    """Make the checks of a date.

    Args:
        totals: of the date.
        opening: `Balanced.balances` of the date before, empty for the first.
        register: as of the cut-off.

    Raises:
        DoesNotHold: naming what.
    """
    if totals.faults:
        more = f", and {totals.more_faults} more" if totals.more_faults else ""
        raise DoesNotHold(LEGS, "; ".join(totals.faults) + more)
    positions = sum(party.net for party in totals.parties.values())
    own = sum(totals.movements.values())
    if positions != -own:
        raise DoesNotHold(
            POSITIONS,
            f"positions of parties sum to {positions} fen, the operator's accounts moved {own}",
        )
    checks = [Check(POSITIONS, -own, positions)]
    stores = compare_stores(totals)
    if register.stores:
        checks.append(Check(STORES, -own, stores))
    closing = dict(opening)
    programs: list[ProgramDay] = []
    true_ups = []
    known = {name.partition(":")[2] for name in opening if name.startswith("points:")}
    for name in sorted(known | totals.programs.keys() | register.programs.keys()):
        moved = totals.programs.get(name, [0, 0, 0, 0, 0, 0])
        program = register.programs.get(name)
        if program is None:
            raise DoesNotHold(
                _fund_of(name), f"points of {name} moved, which is no registered program"
            )
        outstanding = opening.get(f"points:{name}", 0) + moved[3]
        fund = opening.get(f"fund:{name}", 0) + moved[4]
        worth = value_of(outstanding, program) if program.settled else fund
        most = moved[5]
        if abs(worth - fund) > most:
            raise DoesNotHold(
                _fund_of(name),
                f"the fund of {name} holds {fund} fen and its {outstanding} points are worth"
                f" {worth}: more apart than the {most} fen that rounding may have left",
            )
        if worth != fund:
            true_ups.append((name, worth - fund, most))
        checks.append(Check(_fund_of(name), worth, worth))
        rounded = worth - fund
        programs.append(
            ProgramDay(
                name,
                program.name,
                program.points_per_yuan,
                moved[0],
                moved[1],
                moved[2],
                outstanding,
                worth,
                rounded,
            )
        )
        closing[f"points:{name}"], closing[f"fund:{name}"] = outstanding, worth
    for name, points in totals.transit.items():
        closing[f"transit:{name}"] = closing.get(f"transit:{name}", 0) + points
    # Below zero where loads were undone that members had spent: theirs to make good, not a fault.
    closing["value"] = closing.get("value", 0) + totals.movements.get("Value", 0)
    return Balanced(
        tuple(sorted(closing.items())),
        tuple(programs),
        tuple(true_ups),
        tuple(sorted(checks, key=lambda check: check.name)),
    )


def _fund_of(program: str) -> str:
    return f"fund of {program}"


def compare_stores(totals: Totals) -> int:
    """Compare the ledgers of each party's stores with the party's own: lines, money and points.

    Returns:
        The fen that all ledgers of stores sum to.

    Raises:
        DoesNotHold: naming the party.
    """
    sums: dict[str, list[int]] = {}
    points: dict[tuple[str, str], int] = {}
    for (party, _, unit), (lines, issued, redeemed, _, net) in totals.stores.items():
        row = sums.setdefault(party, [0, 0])
        row[0] += lines
        row[1] += net
        points[party, unit] = points.get((party, unit), 0) + issued - redeemed
    for party in sorted(sums.keys() | totals.parties.keys()):
        own = totals.parties.get(party) or PartyTotals()
        pairs = [("lines", sums.get(party, [0, 0])[0], own.lines)]
        pairs.append(("fen", sums.get(party, [0, 0])[1], own.net))
        for program, (issued, redeemed) in own.points.items():
            there = points.get((party, program), 0)
            pairs.append((f"points of {program}", there, issued - redeemed))
        for what, found, expected in pairs:
            if found != expected:
                raise DoesNotHold(
                    STORES,
                    f"the ledgers of the stores of {party} sum to {found} {what}, its own to"
                    f" {expected}",
                )
    return sum(net for _, net in sums.values())


@dataclass(slots=True)
class Begun:
    """A run that was begun.

    Attributes:
        date, number: the business date, and which run of it.
        closed: local time of the cut-off, YYYYMMDDhhmmss.
        run: with all that its files depend on.
    """

    date: int
    number: int
    closed: int
    run: Run

    @property
    def name(self) -> str:
        """What accounts of payables call it, like ``20260301-1``."""
        return f"{self.date}-{self.number}"


def net(
    begun: Begun,
    totals: Totals,
    balanced: Balanced,
    register: Register,
    carried: dict[str, Carry],
    exceptions: tuple[ExceptionItem, ...],
) -> Day:
    """Make the netted day.

    Args:
        begun: the run.
        totals: of the date.
        balanced: of the same.
        register: as of its cut-off.
        carried: what parties owed after the date before.
        exceptions: by id, ascending.
    """
    date, number, run = begun.date, begun.number, begun.run
    names = sorted(register.always | totals.parties.keys() | carried.keys())
    stores = _store_totals(totals, register)
    parties = tuple(
        _party_day(
            register.parties.get(name) or Party(name, "sponsor", name, "", "", "", ""),
            totals.parties.get(name) or PartyTotals(),
            carried.get(name),
            date,
            run.collect_limit,
            tuple(stores.get(name, ())),
        )
        for name in names
    )
    programs = register.programs
    return Day(
        date,
        number,
        run.supersedes,
        run.value_date,
        begun.closed,
        run.first,
        run.last,
        run.considered,
        run.version,
        run.chain,
        Operator(run.operator[0], run.zone, *run.operator[1:]),
        parties,
        balanced.programs,
        tuple(
            MatrixCell(program, issuer, redeemer, points, value_of(points, programs[program]))
            for (program, issuer, redeemer), points in sorted(totals.matrix.items())
            if points
        ),
        tuple(ChannelTotal(*key, *row) for key, row in sorted(totals.channels.items())),
        tuple(Movement(name, fen) for name, fen in sorted(totals.movements.items()) if fen),
        balanced.checks,
        exceptions,
    )


def _store_totals(totals: Totals, register: Register) -> dict[str, list[StoreTotal]]:
    """Merchants that have stores to what these came to; nothing for the others."""
    found: dict[str, list[StoreTotal]] = {row.merchant: [] for row in register.stores.values()}
    for (party, store, unit), figures in sorted(totals.stores.items()):
        if party in found:
            name = register.stores[store].name if store else ""
            found[party].append(StoreTotal(store, name, unit, *figures))
    return found


def _party_day(
    party: Party,
    totals: PartyTotals,
    carried: Carry | None,
    date: int,
    limit: int,
    stores: tuple[StoreTotal, ...],
) -> PartyDay:
    amounts = tuple(
        Amount(heading, *numbers) for heading, numbers in sorted(totals.amounts.items())
    )
    debit = sum(amount.debit for amount in amounts)
    credit = sum(amount.credit for amount in amounts)
    before = carried.amount if carried is not None else 0
    left = before + credit - debit
    collect = -left if limit and -left >= limit else 0
    since = 0
    if left < 0:
        since = carried.since if carried is not None else date
    return PartyDay(
        party.id,
        party.name,
        party.kind,
        party.institution,
        party.account_name,
        party.account_number,
        party.bank_code,
        amounts,
        tuple(PointsTotal(name, *points) for name, points in sorted(totals.points.items())),
        tuple(sorted((kind, fen) for kind, fen in totals.fees.items() if fen)),
        totals.lines,
        debit,
        credit,
        credit - debit,
        before,
        max(left, 0),
        left if left < 0 and not collect else 0,
        collect,
        since,
        stores,
    )


def digest(day: Day) -> bytes:
    """SHA-256 of all that was netted, without the software's version and the journal's chain."""
    return hashlib.sha256(codec.pack_value(replace(day, version="", chain=""))).digest()
