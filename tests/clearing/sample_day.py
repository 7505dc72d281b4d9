"""A small netted day with everything in it, made from its lines: what the tests of files write.

`fold` adds lines up into a party's day in the plainest way; `Kept` hands out lines as the source
that worker processes ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clearing import model
from clearing.model import Amount, Day, Line, Operator, PartyDay, PointsTotal

OPERATOR = Operator(
    "冀旅联盟 Jilv Alliance",
    "Asia/Shanghai",
    "Jilv Alliance",
    "0200001234567890123",
    "102100099996",
)


@dataclass
class Kept:
    """Lines of the parties of a day, in order."""

    of: tuple[tuple[Line, ...], ...]

    def lines(self, first: int, end: int) -> Iterator[Line]:
        for lines in self.of[first:end]:
            yield from lines


def line(party: str, sequence: int, **changed) -> Line:
    """An accrual of 123 points on 123.45 yuan, changed as told."""
    values = {
        "party": party,
        "sequence": sequence,
        "rrn": f"{sequence * 7919:012d}",
        "local": 20261122101112,
        "date": 20261122,
        "merchant": party,
        "terminal": "00000001",
        "batch": 1,
        "stan": sequence % 1000000,
        "channel": "pos",
        "kind": "accrual",
        "unit": "P01",
        "points": 123,
        "sale": 12345,
        "money": ((model.ISSUED, -123), (model.FEE, -7)),
        "member": "622202*********0018",
        "original": 0,
        "text": "",
    }
    return Line(**{**values, **changed})


def amounts_of(lines: Iterable[Line]) -> tuple[Amount, ...]:
    """Add legs up by heading."""
    sums: dict[str, list[int]] = {}
    for each in lines:
        for heading, fen in each.money:
            row = sums.setdefault(heading, [0, 0, 0])
            row[0] += 1
            row[1] -= min(fen, 0)
            row[2] += max(fen, 0)
    return tuple(Amount(heading, *sums[heading]) for heading in sorted(sums))


def fold(party: str, lines: Iterable[Line], carried_in: int = 0, **changed) -> PartyDay:
    """Add the lines of a party up; what it owes is carried forward."""
    lines = tuple(lines)
    amounts = amounts_of(lines)
    debit = sum(amount.debit for amount in amounts)
    credit = sum(amount.credit for amount in amounts)
    points: dict[str, list[int]] = {}
    for each in lines:
        if each.points:
            row = points.setdefault(each.unit, [0, 0])
            row[each.kind == "redemption"] += abs(each.points)
    balance = carried_in + credit - debit
    fees = sum(fen for each in lines for heading, fen in each.money if heading == model.FEE)
    values = {
        "id": party,
        "name": f"Shop {party}",
        "kind": "merchant",
        "institution": "HB01",
        "account_name": f"Shop {party} Ltd",
        "account_number": f"6217{party[-6:]:0>15}",
        "bank_code": "105121000013",
        "amounts": amounts,
        "points": tuple(PointsTotal(unit, *points[unit]) for unit in sorted(points)),
        "fees": (("points", -fees),) if fees else (),
        "lines": len(lines),
        "debit": debit,
        "credit": credit,
        "net": credit - debit,
        "carried_in": carried_in,
        "payable": max(balance, 0),
        "carried_forward": min(balance, 0),
        "collect": 0,
        "owing_since": 20261122 if balance < 0 else 0,
    }
    return PartyDay(**{**values, **changed})


def redemption(party: str, sequence: int, points: int, **changed) -> Line:
    """Points spent, at 100 a yuan, settled at 95/100 with a fee of one fen."""
    money = ((model.REDEEMED, points * 95 // 100), (model.FEE, -1))
    return line(
        party, sequence, **{"kind": "redemption", "points": -points, "money": money, **changed}
    )


def day_of(parties: Iterable[PartyDay], **changed) -> Day:
    """A day of these parties; the operator's own accounts take the other side."""
    parties = tuple(parties)
    values = {
        "date": 20261122,
        "run": 1,
        "supersedes": 0,
        "value_date": 20261123,
        "closed": 20261122235959,
        "first_sequence": 100,
        "last_sequence": 900,
        "considered": 905,
        "version": "0.1.0",
        "chain": f"901:{'ab' * 32}",
        "operator": OPERATOR,
        "parties": parties,
        "programs": (model.ProgramDay("P01", "Alliance", 100, 246, 1500, 10, 98700, 98700, 1),),
        "matrix": (model.MatrixCell("P01", "104110045110012", "104110045110013", 1500, 1500),),
        "channels": (model.ChannelTotal("pos", "accrual", 2, 246, 0, 260, 0),),
        "movements": (model.Movement("Fund:P01", -sum(party.net for party in parties)),),
        "checks": (model.Check("positions", 0, 0),),
        "exceptions": (
            model.ExceptionItem(
                id="20261122-000001",
                reason="only-there",
                since=20261121,
                age_days=1,
                owner="104110045110012",
                merchant="104110045110012",
                terminal="00000001",
                batch=1,
                stan=77,
                rrn="",
                sequence=0,
                unit="156",
                here=0,
                there=1050,
                resolution=0,
                text="=HYPERLINK(1)",
            ),
        ),
    }
    return Day(**{**values, **changed})


def small() -> tuple[Day, Kept]:
    """A day of five parties: paid, owing, empty, without an account, with odd texts."""
    lakeside = (
        line("104110045110012", 100),
        redemption("104110045110012", 101, 100000),
        redemption("104110045110012", 103, 2001, local=20261122235901),
        line(
            "104110045110012",
            104,
            kind="adjustment",
            unit="156",
            points=0,
            money=((model.ADJUSTMENT, 1050),),
            text="=1+1 更正",
        ),
    )
    tea = (line("104110045110013", 102), line("104110045110013", 105, unit="P02"))
    sponsor = (
        line(
            "SPONSOR-1",
            106,
            merchant="104110045110012",
            kind="coupon",
            points=0,
            money=((model.COUPON_FUNDED, -40000),),
        ),
    )
    garden = (redemption("104110045110015", 107, 500),)
    parties = (
        fold("104110045110012", lakeside, name="湖畔酒店 Lakeside Hotel"),
        fold("104110045110013", tea, carried_in=-5, name='茶馆, "Old" Tea House'),
        fold("104110045110014", (), name="Empty\nShop"),
        fold("104110045110015", garden, account_number="", bank_code="", name="+Garden"),
        fold("SPONSOR-1", sponsor, kind="sponsor", carried_forward=0, collect=40000),
    )
    return day_of(parties), Kept((lakeside, tea, (), garden, sponsor))
