"""Coupons in clearing: what a fold makes of them, and the report of what campaigns came to."""

from clearing.campaigns import effects, rows
from clearing.model import COUPON_FUNDED, COUPON_HONOURED, VOUCHER_SOLD
from engine.campaigns import NO_EFFECT, inquired
from engine.rules import coupons, refund, undo
from engine.rules.code_batches import HandOut, OpenCodes, TakeBack
from engine.rules.coupon_inquiry import NoteInquiries
from ledger import schema
from tests.clearing.books import CARD, fold, house
from tests.engine.house import identified, moment, sealed, token
from tests.scenarios.coupons import campaign

LINES = (
    "FREE amount_off face 10.00 funders SHOP=1/4,INN=1/2",
    "CASH voucher face 50.00 sold 40.00 funders INN=1/1",
    "POINTS points face 7.00 points 300 program P01 funders INN=1/1 valid-days 1",
)


class Day:
    """A shop that honours coupons, and an inn that pays for them."""

    def __init__(self):
        self.made = house(("SHOP",), ("INN",))
        self.at = moment(20260301, "10:00")
        self.made.balance("M1", "P01", 1000, self.at, 20261231)
        for line in LINES:
            assert self.made.machine.execute(campaign(line.split()), self.at).approved

    def send(self, cls, **said):
        self.command = self.made.request(cls, "00000001", self.at, **said)
        answer = self.made.machine.execute(self.command, self.at)
        assert answer.approved, answer
        return answer.sequence

    def claim(self, name):
        code = token("K", name)[1]
        said = {"campaign": name, "unit": "", "amount": 0, "code": code, "pin": 0}
        return self.send(coupons.Claim, tokens=(CARD,), sealed=sealed("c"), **said)

    def use(self, name, sale):
        said = {"coupon": token("K", name)[1], "code_batch": 0, "serial": 0, "amount": sale}
        more = {"tokens": (), "quantity": 0, "reference": "", "coupon_pin": 0}
        return self.send(coupons.Use, **said, **more)

    def void(self, sequence, amount):
        said = {"tokens": (), "unit": "156", "amount": amount, "original": sequence}
        return self.send(undo.Void, **said, original_batch=0, original_stan=0)

    def effects(self):
        entries = [self.made.book.entry(n) for n in range(1, self.made.book.sequence + 1)]
        told = [
            (e.sequence, e.at, e.date, e.nonce, e.kind, e.command, e.outcome, e.postings)
            for e in entries
        ]
        return effects(told, self.made.book.view.get)


def test_what_coupons_are_for_is_told_by_party():
    day = Day()
    for name, sale in (("FREE", 6_000), ("CASH", 2_000), ("POINTS", 5_000)):
        day.claim(name)
        day.use(name, sale)
    totals, _ = fold(day.made, 20260301)
    assert totals.faults == []
    shop, inn = totals.parties["SHOP"].amounts, totals.parties["INN"].amounts

    def money(amounts, heading):
        return sum(sum(numbers) for key, numbers in amounts.items() if heading in str(key))

    assert money(shop, VOUCHER_SOLD)
    assert money(shop, COUPON_HONOURED)
    assert money(inn, COUPON_FUNDED)
    names = {str(key) for amounts in (shop, inn) for key in amounts}
    assert not [name for name in names if "ADJUST" in name.upper()], names


def test_codes_that_are_handed_out_and_come_back_are_told_by_date():
    day = Day()
    opening = OpenCodes("B1", "FREE", 100, 20, "key", rows=False)
    assert day.made.machine.execute(opening, day.at).approved
    for command in (
        HandOut("B1", 1, 60, "Depot"),
        HandOut("B1", 1, 60, "Depot"),
        HandOut("B1", 50, 70, "Depot"),
        TakeBack("B1", 41, 50, "Depot"),
    ):
        day.made.machine.execute(command, day.at)
    day.at = moment(20260302, "10:00")
    assert not day.made.machine.execute(HandOut("B1", 61, 0, "INN"), day.at).approved
    assert day.made.machine.execute(HandOut("B1", 71, 0, "INN"), day.at).approved
    found = day.effects()
    assert found[20260301, "FREE"].distributed == 60
    assert found[20260302, "FREE"].distributed == 30
    assert [row[:3] for row in rows(found)] == [(20260301, "FREE", 60), (20260302, "FREE", 30)]


def test_the_report_of_a_campaign_sums_to_its_counters():
    day = Day()
    day.claim("FREE")
    used = day.use("FREE", 6_000)
    day.void(used, 6_000)
    voided = day.command
    reversal = undo.Reversal(
        voided.terminal, voided.merchant, voided.batch, voided.stan, b"", voided.function,
        (), "156", 6_000, "98",
    )  # fmt: skip
    assert day.made.machine.execute(identified(reversal), day.at).approved
    asked = NoteInquiries((("FREE", 3), ("POINTS", 1)))
    assert day.made.machine.execute(asked, day.at).approved
    day.at = moment(20260302, "10:00")
    assert day.made.machine.execute(NoteInquiries((("FREE", 2),)), day.at).approved
    said = {"tokens": (), "unit": "156", "amount": 2_000, "original": used}
    day.send(refund.Refund, **said)
    day.claim("POINTS")
    day.at = moment(20260304, "10:00")
    expiry = coupons.ExpireCoupons((token("K", "POINTS")[1],))
    assert day.made.machine.execute(expiry, day.at).approved
    found = day.effects()
    first = found[20260301, "FREE"]
    assert (first.issued, first.claimed, first.used, first.restored) == (1, 1, 2, 1)
    assert (first.sales, first.discount) == (6_000, 1_000)
    assert {party: cost for party, cost in first.costs.items() if cost} == {
        "SHOP": 250,
        "INN": 500,
        "operator": 250,
    }
    assert found[20260302, "FREE"].costs == {"SHOP": -83, "INN": -166, "operator": -84}
    assert (first.inquired, found[20260302, "FREE"].inquired) == (3, 2)
    for name in ("FREE", "POINTS"):
        row = day.made.book.view.get(schema.named(schema.EFFECT, name)) or NO_EFFECT
        days = [one for (_, of), one in found.items() if of == name]
        for counter in ("issued", "claimed", "expired", "sales", "discount"):
            assert sum(getattr(one, counter) for one in days) == getattr(row, counter), counter
        assert sum(one.inquired for one in days) == inquired(day.made.book.view.get, name)
        uses = sum(one.used - one.restored for one in days)
        assert uses == row.used - row.restored
    assert [row[:2] for row in rows(found)] == [
        (20260301, "FREE"),
        (20260301, "POINTS"),
        (20260302, "FREE"),
        (20260302, "POINTS"),
        (20260304, "POINTS"),
    ]


def test_an_older_entry_that_ended_a_single_coupon_counts():
    outcome = (0, "M1", (), (("campaign", "FREE"), ("expired", 1)), ())
    entry = (1, 0, 20260304, b"", "coupon expiry", (b"K",), outcome, (), ())
    assert effects([entry], {}.get)[20260304, "FREE"].expired == 1
