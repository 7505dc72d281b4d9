"""Netting: a pure fold of the legs that entries stored into the totals of a business date.

Nothing is computed anew at night: what a party owes or is owed is the sum of the legs on its
position, and what each leg was for (its *heading*) follows from the legs beside it. The money legs
of an entry fall into groups that sum to zero, in the order of ``accounting.md``; the other accounts
of a leg's group, and the points that the entry moved, say the heading (`heading_of`). No list of
transaction types is consulted, so a type that posts the legs of ``accounting.md`` is settled
without a line here.

A void, reversal or refund has its original's legs with the signs turned; it falls under the
original's headings. That an entry undoes is told by what it counted: a side with a minus before it,
or a refund.

Post-backs, confirmations and the true-up of funds are outside every fold: they settle what was
netted, and counting them again would settle it twice. They are known by their legs: ``Payable`` and
``Bank``, or ``Rounding`` beside ``Fund``.

`Fold.add` takes entries one by one. Memory grows with parties, programs and the operator's own
accounts, never with entries: lines are handed on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from clearing.model import (
    ADJUSTMENT,
    BREAKAGE_SHARE,
    COUPON_FUNDED,
    COUPON_HONOURED,
    EXCHANGE,
    FEE,
    GIFT,
    ISSUED,
    RECHARGE_SOLD,
    REDEEMED,
    REVENUE_SHARE,
    TOPPED_UP,
    VALUE_LOADED,
    VALUE_SPENT,
    VOUCHER_SOLD,
)
from clearing.stores import Placing, Tills
from clearing.totals import DISPUTED, Totals
from engine.catalogue import RULES
from engine.commands import Request
from ledger import chart
from ledger.model import MONEY

_PARSED_MAX = 200_000
_QUARTER_MS = 900_000
_MEMBERS = frozenset(
    name for name, kind in chart.KINDS.items() if kind.points and kind.home == "aggregate"
)
"""Points of members."""
_OUTSTANDING = _MEMBERS | {"Transit"}
"""Accounts whose points somebody will spend."""
_PROGRAM_AT = {
    name: kind.parts.index("program") + 1 for name, kind in chart.KINDS.items() if kind.points
}
"""Place of the program among the parts of an account's name, its kind being the first."""
_BY_KIND_ONLY = frozenset({"Value", "ValueExpired"})
"""Money accounts of single members: the day tells their sum, not each of them."""
_MANY = _MEMBERS | _BY_KIND_ONLY
"""Accounts of which there are too many to be remembered."""

Leg = tuple[tuple[str, ...], int]
"""Kind and parts of an account, and the amount."""


def _command_places() -> dict[str, tuple[int, int, int]]:
    """Kind of command to the places of amount, unit and original in it, -1 for none; requests."""
    places = {}
    for rule in RULES:
        if issubclass(rule.command, Request):
            names = list(rule.command.__dataclass_fields__)
            places[rule.kind] = (
                names.index("amount") if "amount" in names else -1,
                names.index("unit") if "unit" in names else -1,
                names.index("original") if "original" in names else -1,
            )
    return places


REQUESTS = _command_places()


def undoes(kind: str, counted: tuple[tuple[str, str, int], ...], facts: Any) -> bool:
    """True when an entry's legs are those of another with the signs turned.

    A reversal of a void turns them back, which shows in what it counts.
    """
    if kind == "refund":
        return True
    for _, side, _ in counted:
        return side[0] == "-"
    return any(name == "undid" for name, _ in facts)


def heading_of(
    kinds: frozenset[str],
    moved: frozenset[str],
    *,
    positive: bool,
    raised: bool,
    own_issue: bool,
) -> str:
    """What a leg on a position was for, all signs as its original had them.

    Args:
        kinds: kinds of the operator's accounts in the leg's group.
        moved: kinds of points accounts that the entry moved.
        positive: the leg is a credit of the party.
        raised: the first of the operator's accounts in the group is credited.
        own_issue: the points are the program's own, as those of a top-up.
    """
    if "Fund" in kinds:
        if "Issued" in moved:
            return TOPPED_UP if own_issue else ISSUED
        if "Redeemed" in moved:
            return REDEEMED
        return EXCHANGE if "Converted" in moved else ADJUSTMENT
    if "CardStock" in kinds:
        return RECHARGE_SOLD
    if "Voucher" in kinds:
        if raised:
            return VOUCHER_SOLD
        return COUPON_HONOURED if positive else COUPON_FUNDED
    if "Value" in kinds:
        return VALUE_SPENT if positive else VALUE_LOADED
    if "Breakage" in kinds:
        return BREAKAGE_SHARE
    if "Fee" in kinds:
        return FEE if raised else REVENUE_SHARE
    if "Margin" in kinds:
        return REVENUE_SHARE
    if kinds <= {"Promo"}:
        return COUPON_HONOURED if positive else COUPON_FUNDED
    return ADJUSTMENT


def rounding_fen(points_per_yuan: int) -> int:
    """How many fen the refund of a part may leave in a fund beside the value of its points.

    Points and money are shared out each for itself, rounded down: less than a fen and less than the
    value of a point; and the original's own half fen is shared with them. The next parts make up
    for it.
    """
    return -(-(3 * points_per_yuan + 200) // (2 * points_per_yuan))


class LocalTimes:
    """Times in ms as local YYYYMMDDhhmmss; one look into the zone each quarter of an hour."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._quarter = -1
        self._base = 0
        self._start = 0

    def __call__(self, at: int) -> int:
        """The local time of `at`, ms since 1970 UTC."""
        quarter = at // _QUARTER_MS
        if quarter != self._quarter:
            moment = datetime.fromtimestamp(quarter * _QUARTER_MS // 1000, UTC)
            local = moment.astimezone(self._zone)
            self._base = int(local.strftime("%Y%m%d%H%M%S"))
            self._quarter, self._start = quarter, quarter * _QUARTER_MS
        minutes, seconds = divmod((at - self._start) // 1000, 60)
        return self._base + minutes * 100 + seconds


def masked(member: str) -> str:
    """A member's id with its middle hidden, as it stands in files for others."""
    if len(member) <= 4:  # noqa: PLR2004 - too short to show anything of it
        return "*" * len(member)
    return f"{member[0]}{'*' * (len(member) - 4)}{member[-3:]}"


class Fold:
    """Adds the entries of a date up.

    Args:
        date: the business date.
        parties: ids of registered merchants, institutions, sponsors, channels: whoever has a line
            for points alone. Whoever has a position has one anyway.
        zone: the operator's time zone.
        emit: takes the fields of each `clearing.model.Line` as they come.
        rrn: makes the retrieval reference number of a transaction.
        worth: settled program to points a yuan: an entry whose fund does not follow its points is
            a fault.
        moves: in which stores tills stand, see `clearing.stores.placings`.
    """

    def __init__(
        self,
        date: int,
        parties: frozenset[str],
        zone: str,
        emit: Callable[[tuple[Any, ...]], None] | None = None,
        rrn: Callable[[int], str] | None = None,
        worth: dict[str, int] | None = None,
        moves: tuple[Placing, ...] = (),
    ) -> None:
        self.totals = Totals()
        self._date = str(date)
        self._parties = parties
        self._local = LocalTimes(zone)
        self._emit = emit
        self._rrn = rrn
        self._worth = worth or {}
        self._tills = Tills(moves)
        self._parsed: dict[str, tuple[str, ...]] = {}
        self._headings: dict[tuple[Any, ...], str] = {}

    def add(self, fields: tuple[Any, ...]) -> None:
        """Take in an entry, given as the fields of `ledger.model.Entry`."""
        sequence, kind, outcome, postings = fields[0], fields[4], fields[6], fields[7]
        if not postings:
            if outcome[0] == 0 and outcome[4]:
                self._channel(fields)[0] += 1
                self.totals.entries += 1
            elif kind in REQUESTS:
                self._mark(fields)
            return
        sums: dict[str, int] = {}
        money: list[Leg] = []
        points: list[tuple[tuple[str, ...], int]] = []
        try:
            for account, unit, amount in postings:
                parsed = self._parsed.get(account) or self._parse(account)
                sums[unit] = sums.get(unit, 0) + amount
                if unit == MONEY:
                    money.append((parsed, amount))
                else:
                    points.append((parsed, amount))
        except chart.UnknownAccount as error:
            self.totals.fault(f"entry {sequence} ({kind}): {error}")
            return
        for unit, total in sums.items():
            if total:
                self.totals.fault(f"entry {sequence} ({kind}): its legs in {unit} sum to {total:+}")
                return
        named = {parsed[0] for parsed, _ in money}
        if named & {"Payable", "Bank"} or named >= {"Rounding", "Fund"}:
            return
        if "Pos" in named and not self._on_date(sequence, kind, money):
            return
        self.totals.entries += 1
        self._settle(fields, points, money)

    def _parse(self, account: str) -> tuple[str, ...]:
        parts = tuple(account.split(":"))
        known = chart.KINDS.get(parts[0])
        if known is None or len(parts) != len(known.parts) + 1:
            raise chart.UnknownAccount(f"{account} is not of the chart of accounts")
        if parts[0] not in _MANY:
            if len(self._parsed) >= _PARSED_MAX:
                self._parsed.clear()
            self._parsed[account] = parts
        return parts

    def _mark(self, fields: tuple[Any, ...]) -> None:
        """Note what matching has to look at: exceptions, and the end of an upload."""
        sequence, kind, command, outcome = fields[0], fields[4], fields[5], fields[6]
        what = next((value for name, value in outcome[3] if name == "exception"), "")
        if kind == "upload" and outcome[0] == 0 and command[-1]:
            what = DISPUTED
        if what:
            self.totals.marks.append((sequence, what, command[1], command[0], *command[2:4]))

    def _on_date(self, sequence: int, kind: str, money: list[Leg]) -> bool:
        for parsed, _ in money:
            if parsed[0] == "Pos" and parsed[2] != self._date:
                self.totals.fault(
                    f"entry {sequence} ({kind}) of {self._date} posts on the position of"
                    f" {parsed[1]} of {parsed[2]}"
                )
                return False
        return True

    def _channel(self, fields: tuple[Any, ...]) -> list[int]:
        """The totals of an entry's channel and kind."""
        key = ("pos" if fields[4] in REQUESTS else "admin", fields[4])
        found = self.totals.channels.get(key)
        if found is None:
            found = self.totals.channels[key] = [0, 0, 0, 0, 0]
        return found

    def _settle(
        self,
        fields: tuple[Any, ...],
        points: list[tuple[tuple[str, ...], int]],
        money: list[Leg],
    ) -> None:
        channel = self._channel(fields)
        channel[0] += 1
        change: dict[str, int] = {}
        lines: dict[tuple[str, str], list[Any]] = {}
        moved: set[str] = set()
        own_issue = False
        for parsed, amount in points:
            kind = parsed[0]
            unit = parsed[_PROGRAM_AT[kind]]
            program = self.totals.programs.get(unit)
            if program is None:
                program = self.totals.programs[unit] = [0, 0, 0, 0, 0, 0]
            if kind in _OUTSTANDING:
                program[3] += amount
                change[unit] = change.get(unit, 0) + amount
                if kind == "Transit":
                    self.totals.transit[unit] = self.totals.transit.get(unit, 0) + amount
                continue
            moved.add(kind)
            if kind == "Issued":
                program[0] -= amount
                channel[1] -= amount
                own_issue = own_issue or parsed[2] == unit
                self._points(lines, parsed[2], unit, 0, -amount)
            elif kind == "Redeemed":
                program[1] += amount
                channel[2] += amount
                if amount:
                    key = (unit, parsed[2], parsed[3])
                    self.totals.matrix[key] = self.totals.matrix.get(key, 0) + amount
                self._points(lines, parsed[3], unit, 1, amount)
            elif kind == "Expired":
                program[2] += amount
        outcome = fields[6]
        turn = -1 if undoes(fields[4], outcome[4], outcome[3]) else 1
        if money:
            self._money(fields, money, lines, frozenset(moved), channel, turn, own_issue=own_issue)
        if lines:
            self._emit_lines(fields, lines, turn)
        for unit, (fen, legs) in self._funds(money, change).items():
            self._fund_follows(fields, unit, change.get(unit, 0), fen, legs)

    def _funds(self, money: list[Leg], change: dict[str, int]) -> dict[str, tuple[int, int]]:
        """What the funds of settled programs moved by, and legs; also where points moved alone."""
        funds = dict.fromkeys((unit for unit in change if unit in self._worth), (0, 0))
        for parsed, amount in money:
            if parsed[0] == "Fund" and parsed[1] in self._worth:
                fen, legs = funds.get(parsed[1], (0, 0))
                funds[parsed[1]] = fen + amount, legs + 1
        return funds

    def _fund_follows(
        self, fields: tuple[Any, ...], unit: str, points: int, fen: int, legs: int
    ) -> None:
        """Name an entry whose fund moved by something else than the value of its points.

        Each leg is rounded to half a fen; a refund leaves what `rounding_fen` says.
        """
        a_yuan = self._worth[unit]
        most = max(1, legs) + (rounding_fen(a_yuan) if fields[4] == "refund" else 0)
        self.totals.programs[unit][5] += most
        if abs(fen * a_yuan - points * 100) > most * a_yuan:
            self.totals.fault(
                f"entry {fields[0]} ({fields[4]}) moves {points:+} points of {unit} and the fund by"
                f" {fen:+} fen"
            )

    def _points(
        self, lines: dict[tuple[str, str], list[Any]], party: str, unit: str, place: int, count: int
    ) -> None:
        """Note points that a party issued (place 0) or took (place 1)."""
        if party not in self._parties:
            return
        totals = self.totals.party(party).points
        known = totals.get(unit)
        if known is None:
            known = totals[unit] = [0, 0]
        known[place] += count
        line = lines.get((party, unit))
        if line is None:
            line = lines[party, unit] = [0, 0, {}]
        line[place] += count

    def _money(
        self,
        fields: tuple[Any, ...],
        money: list[Leg],
        lines: dict[tuple[str, str], list[Any]],
        moved: frozenset[str],
        channel: list[int],
        turn: int,
        *,
        own_issue: bool,
    ) -> None:
        """Give each leg on a position its heading, and add the rest to the operator's accounts."""
        gift = fields[4].startswith("gift")
        unit = next((line[1] for line in lines), MONEY)
        start = total = 0
        for place, (_, amount) in enumerate(money, 1):
            total += amount
            if total:
                continue
            group = money[start:place]
            start = place
            own = [leg for leg in group if leg[0][0] != "Pos"]
            for leg in own:
                self._own(leg)
            if len(own) == len(group):
                continue
            kinds = frozenset([leg[0][0] for leg in own])
            fund = next((leg[0][1] for leg in own if leg[0][0] == "Fund"), unit)
            raised = bool(own) and own[0][1] * turn > 0
            for parsed, fen in group:
                if parsed[0] != "Pos":
                    continue
                positive = fen * turn > 0
                key = (kinds, moved, positive, raised, own_issue)
                heading = self._headings.get(key)
                if heading is None:
                    heading = self._headings[key] = heading_of(
                        kinds, moved, positive=positive, raised=raised, own_issue=own_issue
                    )
                if gift and heading == REDEEMED:
                    heading = GIFT
                self._leg(lines, parsed[1], fund, heading, fen)
                channel[3 if fen < 0 else 4] += abs(fen)
                if heading == FEE:
                    fees = self.totals.party(parsed[1]).fees
                    kind = next(leg[0][1] for leg in own if leg[0][0] == "Fee")
                    fees[kind] = fees.get(kind, 0) - fen

    def _own(self, leg: Leg) -> None:
        parsed, amount = leg
        name = parsed[0] if parsed[0] in _BY_KIND_ONLY else ":".join(parsed)
        movements = self.totals.movements
        movements[name] = movements.get(name, 0) + amount
        if parsed[0] == "Fund":
            program = self.totals.programs.get(parsed[1])
            if program is None:
                program = self.totals.programs[parsed[1]] = [0, 0, 0, 0, 0, 0]
            program[4] += amount

    def _leg(
        self,
        lines: dict[tuple[str, str], list[Any]],
        party: str,
        unit: str,
        heading: str,
        fen: int,
    ) -> None:
        """Put a leg on the party's line; its heading there is their sum."""
        line = lines.get((party, unit))
        if line is None:
            line = lines[party, unit] = [0, 0, {}]
        line[2][heading] = line[2].get(heading, 0) + fen

    def _count_line(self, party: str, money: tuple[tuple[str, int], ...]) -> None:
        """Add a line to the totals of its party."""
        totals = self.totals.party(party)
        totals.lines += 1
        for heading, fen in money:
            known = totals.amounts.get(heading)
            if known is None:
                known = totals.amounts[heading] = [0, 0, 0]
            known[0] += 1
            known[1 if fen < 0 else 2] += abs(fen)

    def _emit_lines(
        self, fields: tuple[Any, ...], lines: dict[tuple[str, str], list[Any]], turn: int
    ) -> None:
        sequence, at, date, _, kind, command, outcome = fields[:7]
        request = REQUESTS.get(kind)
        merchant = terminal = store = rrn = text = ""
        batch = stan = sale = original = 0
        if request is not None:
            terminal, merchant, batch, stan = command[:4]
            amount_at, unit_at, original_at = request
            if amount_at >= 0 and (unit_at < 0 or command[unit_at] == MONEY):
                sale = command[amount_at]
            if original_at >= 0:
                original = max(0, command[original_at])
            store = self._tills.store(sequence, terminal)
        rows = []
        stores = self.totals.stores
        sold = sale * turn
        for (party, unit), (issued, redeemed, moneys) in lines.items():
            points = issued - redeemed
            money = tuple(sorted((heading, fen) for heading, fen in moneys.items() if fen))
            if money or points:
                rows.append((party, unit, points, money))
                self._count_line(party, money)
                net = sum([fen for _, fen in money])
                own = party == merchant
                key = (party, store if own else "", unit)
                tally = stores.get(key)
                if tally is None:
                    tally = stores[key] = [0, 0, 0, 0, 0]
                tally[0] += 1
                tally[1] += issued
                tally[2] += redeemed
                tally[4] += net
                if own:
                    tally[3] += sold
                    sold = 0  # once, also where two programs were moved
        if self._emit is None:
            return
        if request is not None:
            rrn = self._rrn(sequence) if self._rrn else ""
        for name, value in outcome[3]:
            if name == "undid":
                original = value
            elif name == "text":
                text = value
        local = self._local(at)
        member = masked(outcome[1]) if outcome[1] else ""
        channel = "pos" if request is not None else "admin"
        for party, unit, points, money in rows:
            self._emit(
                (
                    *(party, sequence, rrn, local, date, merchant, terminal, batch, stan, channel),
                    *(kind, unit, points, sale, money, member, original, text),
                )
            )
