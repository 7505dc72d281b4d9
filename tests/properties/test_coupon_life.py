"""Coupons: what a use may take off, who pays for it, and that every limit holds in any order.

The state machine sends claims, uses, transfers, voids, reversals of them, refunds, and days that
pass, in any order; books of its own, which know nothing but what was approved, say what must hold.
"""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clearing.campaigns import effects
from engine import campaigns
from engine.campaigns import KINDS, UNLIMITED, Campaign, Coupon
from engine.catalogue import command_of
from engine.machine import Machine
from engine.reasons import Reason
from engine.rules import coupons, refund, undo
from engine.rules.coupon_inquiry import look
from engine.rules.coupons import ExpireCoupons, together
from ledger import schema
from ledger.model import values_of
from tests.engine.house import House, identified, moment, sealed, token, whole_terms
from tests.engine.memory_book import MemoryBook
from tests.properties.clearing_steps import ClearingSteps
from tests.scenarios.coupons import campaign as command_for

MONEY = "156"
DAY = 24 * 3600 * 1000
NEW = (b"", 0, 0, 0, 1, 0, 0, "", "", b"")
"""The other fields of a coupon that was only claimed."""
START = moment(20260301, "10:00")

fen = st.integers(0, 10_000_000)
ratios = st.tuples(st.integers(1, 50), st.integers(1, 50)).map(lambda r: (min(r), max(r)))


@st.composite
def made(draw):
    """A campaign of any kind, and a coupon of it in any state of use."""
    kind = draw(st.sampled_from(KINDS))
    words = f"ANY {kind} face 1.00".split()
    values = list(command_for(words).terms)
    made = Campaign(*values, "live", (), 1, 1)
    made.face = draw(st.integers(1, 100_000))
    made.percent = draw(st.sampled_from([(0, 1), draw(ratios)]))
    made.cap = draw(st.sampled_from([0, draw(fen)]))
    made.price, made.buy, made.free = draw(fen), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    made.uses = draw(st.integers(1, 20))
    left = draw(st.integers(0, made.face))
    uses = UNLIMITED if kind in campaigns.OPEN_KINDS else draw(st.integers(1, made.uses))
    cost = draw(st.integers(0, 200_000))
    row = Coupon("ANY", 1, "", "live", 0, 20261231, uses, left, cost, cost, *NEW)
    return made, row


@given(made(), fen, st.integers(0, 100))
def test_a_use_takes_off_something_between_nothing_and_the_sale(what, sale, pieces):
    rights, coupon = what
    off = campaigns.worth(rights, coupon, sale, pieces)
    assert 0 <= off <= sale
    if rights.kind == "voucher":
        assert off <= coupon.value_left
    if rights.cap:
        assert off <= rights.cap


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C", "D"]), ratios, max_size=4),
    st.integers(0, 10_000_000),
)
def test_the_parts_of_the_funders_sum_to_the_whole(funders, amount):
    rows = tuple((name, (above, below * 4)) for name, (above, below) in sorted(funders.items()))
    values = list(command_for(["ANY", "amount_off", "face", "1.00"]).terms)
    row = Campaign(*values, "live", (), 1, 1)
    row.funders = rows
    shares = campaigns.funded(row, amount)
    assert sum(share for _, share in shares) == amount
    for name, share in shares:
        assert share > 0
        if name != campaigns.OPERATOR:
            above, below = dict(rows)[name]
            assert amount * above // below <= share <= amount * above // below + 1


@given(st.integers(1, 100_000), st.integers(0, 100_000), st.lists(st.integers(1, 9_999)))
def test_parts_of_a_voucher_sum_to_its_face_and_release_all_that_was_paid(face, paid, sales):
    values = list(command_for(["ANY", "voucher", "face", "1.00"]).terms)
    rights = Campaign(*values, "live", (), 1, 1)
    rights.face = face
    coupon = Coupon("ANY", 1, "", "live", 0, 20261231, 1, face, paid, paid, *NEW)
    taken = released = 0
    for sale in [*sales, face]:
        if coupon.state != "live":
            break
        off = campaigns.worth(rights, coupon, sale, 0)
        money = campaigns.released(coupon, rights, off)
        assert money >= 0
        coupon = coupons.worn(coupon, rights, off, money)
        taken, released = taken + off, released + money
        assert released == paid * taken // face
    assert (taken, released, coupon.state) == (face, paid, "used")


LINES = (
    "ONCE amount_off face 10.00 quantity 3 per-member 2 budget 15.00 funders HOTEL=1/3,SHOP=1/3",
    "CASH voucher face 50.00 sold 40.00 refund parts per-day 2",
    "BUY points face 7.00 points 300 program P01 refund never valid-days 1",
    "TWICE pickup uses 2 refund reissue grace 2 bonus 10 program P01",
    "ALL shared face 1.00 quantity 4",
)
NAMES = tuple(line.split()[0] for line in LINES)
TILLS = {"00000001": "HOTEL", "00000002": "SHOP"}
CARDS = {"M1": token("C", "A"), "M2": token("C", "C")}
QUANTITIES = {"ONCE": 3, "ALL": 4}
PER_MEMBER, PER_DAY = 2, 2
BUDGET = 1500
FACE = 5000


class Use:
    """A use that stands: what it took off."""

    def __init__(self, command, facts):
        self.command, self.sale = command, command.amount
        self.campaign, self.discount = facts["campaign"], facts["discount"]
        self.cost = facts["use"][2]
        self.refunded = 0

    def left(self):
        return self.cost - self.cost * self.refunded // self.sale if self.sale else self.cost


class Coupons(ClearingSteps, RuleBasedStateMachine):
    """Two tills, two members, five campaigns."""

    def __init__(self):
        super().__init__()
        self.book = MemoryBook()
        self.house = House(self.book)
        self.at = START
        self.codes, self.trades, self.voids = [], [], []
        self.uses, self.stood = {}, {}
        self.claims, self.unclaimed = {}, {}
        self.checked, self.sums = 0, defaultdict(int)
        terms = ((20260101, "P01", (1, 1), (1, 1), (1, 1), 0, 0, 0, 0, False),)
        self.house.open(20260301, at=START)
        self.house.institution("HB01", START)
        self.house.program("P01", START)
        for name in ("HOTEL", "SHOP"):
            self.house.merchant(name, START, whole_terms(terms))
        for till, merchant in TILLS.items():
            self.house.terminal(till, merchant, START)
        for member, card in (("M1", "A"), ("M2", "C")):
            self.house.member(member, START, (("C", card),))
            self.house.balance(member, "P01", 1_000, START, 20261231)
        for line in LINES:
            assert self.house.execute(command_for(line.split()), START).approved

    def send(self, cls, till, **said):
        command = self.house.request(cls, till, self.at, **said)
        answer = self.house.execute(command, self.at)
        if answer.approved:
            again = self.house.execute(command, self.at)
            assert again.repeated
            assert again.outcome == answer.outcome
        return command, answer

    @rule(till=st.sampled_from(sorted(TILLS)), member=st.sampled_from(sorted(CARDS)),
          name=st.sampled_from(NAMES))  # fmt: skip
    def claim(self, till, member, name):
        code = token("K", f"C{len(self.codes)}")[1]
        said = {"campaign": name, "unit": "", "amount": 0, "code": code, "pin": 0}
        tokens = (CARDS[member],)
        command, answer = self.send(coupons.Claim, till, tokens=tokens, sealed=sealed("c"), **said)
        mine = [one for one in self.claims.values() if one[0] == name]
        if answer.approved:
            self.codes.append(code)
            self.trades.append((command, answer.sequence))
            if name in QUANTITIES:
                assert len(mine) + self.taken_by_use(name) < QUANTITIES[name]
            if name == "ONCE":
                assert len([one for one in mine if one[1] == member]) < PER_MEMBER
            if name == "CASH":
                assert len([one for one in mine if one[2] == self.today()]) < PER_DAY
            self.claims[answer.sequence] = name, member, self.today()

    def today(self):
        return self.house.machine.clock.date(self.at)

    def taken_by_use(self, name):
        """A shared code is taken by each of its uses, too."""
        return len(self.of(name)) if name == "ALL" else 0

    @precondition(lambda self: self.codes)
    @rule(till=st.sampled_from(sorted(TILLS)), which=st.integers(0, 99),
          sale=st.sampled_from([0, 1, 333, 1_000, 1_200, 3_100, 9_000]))  # fmt: skip
    def use(self, till, which, sale):
        code = self.codes[-1 - which % min(6, len(self.codes))]
        said = {"coupon": code, "code_batch": 0, "serial": 0, "amount": sale, "quantity": 0}
        more = {"tokens": (), "reference": "", "coupon_pin": 0}
        asked = self.house.machine.look(self.at)
        assert look(asked, (code, 0, 0), TILLS[till], sale, 0) is Reason.APPROVED
        told = dict(asked.facts)["discount"]
        command, answer = self.send(coupons.Use, till, **said, **more)
        if not answer.approved:
            assert told == 0
        else:
            facts = dict(answer.outcome.facts)
            assert 0 <= facts["discount"] <= sale
            assert facts["discount"] == told, "an inquiry tells what a use then takes off"
            self.uses[answer.sequence] = Use(command, facts)
            self.trades.append((command, answer.sequence))
            if facts["campaign"] == "ALL":
                taken = [one for one in self.claims.values() if one[0] == "ALL"]
                assert len(taken) + self.taken_by_use("ALL") <= QUANTITIES["ALL"]
            if facts["campaign"] == "ONCE":
                assert sum(u.left() for u in self.of("ONCE")) <= BUDGET

    @rule(name=st.sampled_from(NAMES), member=st.sampled_from(sorted(CARDS)),
          often=st.integers(1, 3))  # fmt: skip
    def rush(self, name, member, often):
        """A member takes what there is, and uses each at once."""
        for _ in range(often):
            known = len(self.codes)
            self.claim("00000001", member, name)
            if len(self.codes) > known:
                self.use("00000002", 0, 1_200)

    def of(self, name):
        return [use for use in self.uses.values() if use.campaign == name]

    @precondition(lambda self: self.codes)
    @rule(which=st.integers(0, 99), other=st.sampled_from(sorted(CARDS)))
    def hand_over(self, which, other):
        old = self.codes[-1 - which % min(6, len(self.codes))]
        code = token("K", f"C{len(self.codes)}")[1]
        said = {"coupon": old, "code_batch": 0, "serial": 0, "unit": "", "amount": 0}
        more = {"tokens": (), "other": (CARDS[other],), "sealed": sealed("c"), "coupon_pin": 0}
        command, answer = self.send(coupons.Handover, "00000001", code=code, **said, **more)
        if answer.approved:
            self.codes.append(code)
            self.trades.append((command, answer.sequence))

    @precondition(lambda self: self.trades)
    @rule(which=st.integers(0, 99))
    def void(self, which):
        original, sequence = self.trades[-1 - which % min(6, len(self.trades))]
        command, answer = self.send(
            undo.Void,
            original.terminal,
            tokens=original.tokens,
            unit=getattr(original, "unit", MONEY),
            amount=original.amount,
            original=sequence,
            original_batch=0,
            original_stan=0,
            coupon=getattr(original, "coupon", b""),
        )
        if answer.approved:
            self.voids.append((command, sequence))
            if sequence in self.uses:
                self.stood[sequence] = self.uses.pop(sequence)
            if sequence in self.claims:
                self.unclaimed[sequence] = self.claims.pop(sequence)

    def reverse(self, original):
        unit = getattr(original, "unit", MONEY)
        coupon = getattr(original, "coupon", b"")
        command = undo.Reversal(
            original.terminal, original.merchant, original.batch, original.stan, b"",
            original.function, original.tokens, unit, original.amount, "98", coupon,
        )  # fmt: skip
        return self.house.execute(identified(command), self.at)

    @precondition(lambda self: self.trades)
    @rule(which=st.integers(0, 99))
    def reverse_trade(self, which):
        original, sequence = self.trades[-1 - which % min(6, len(self.trades))]
        if self.reverse(original).approved:
            self.uses.pop(sequence, None)
            self.claims.pop(sequence, None)

    @precondition(lambda self: self.voids)
    @rule(which=st.integers(0, 99))
    def reverse_void(self, which):
        place = -1 - which % min(3, len(self.voids))
        command, sequence = self.voids[place]
        answer = self.reverse(command)
        if answer.approved and not answer.repeated:
            if sequence in self.stood:
                self.uses[sequence] = self.stood.pop(sequence)
            if sequence in self.unclaimed:
                self.claims[sequence] = self.unclaimed.pop(sequence)

    @precondition(lambda self: self.uses)
    @rule(which=st.integers(0, 99), percent=st.sampled_from([1, 33, 50, 100]))
    def refund(self, which, percent):
        sequence = list(self.uses)[which % len(self.uses)]
        use = self.uses[sequence]
        amount = use.sale * percent // 100
        said = {"tokens": (), "unit": MONEY, "amount": amount, "original": sequence}
        _, answer = self.send(refund.Refund, use.command.terminal, **said)
        reason = Reason(answer.outcome.reason)
        fits = 0 < amount <= use.sale - use.refunded
        assert (reason is Reason.APPROVED) == fits, reason
        if fits:
            use.refunded += amount

    @rule(days=st.sampled_from([1, 2, 30]))
    def pass_days(self, days):
        self.at += days * DAY
        for command in together([ExpireCoupons((code,)) for code in self.codes]):
            self.house.execute(command, self.at)
            again = self.house.execute(command, self.at)
            assert again.outcome.reason == Reason.UNCHANGED

    @invariant()
    def the_books_hold(self):
        for sequence in range(self.checked + 1, self.book.sequence + 1):
            by_unit = Counter()
            for account, unit, amount in self.book.entry(sequence).postings:
                self.sums[account] += amount
                by_unit[unit] += amount
            assert not any(by_unit.values())
        self.checked = self.book.sequence
        for account, total in self.sums.items():
            if not account.startswith(("Lot:", "Debt:")):
                assert self.house.account(account) == total

    @invariant()
    def what_was_paid_waits_for_the_coupons_that_are_left(self):
        waiting = Counter()
        for code in self.codes:
            row = self.book.view.get(schema.coupon(code))
            assert 0 <= row.money <= row.cost
            assert 0 <= row.value_left <= FACE
            assert UNLIMITED <= row.uses_left <= 2
            waiting[row.campaign] += row.money
        for name in NAMES:
            assert self.house.account(f"Voucher:{name}") == waiting[name]

    @invariant()
    def the_counters_are_those_of_what_stands(self):
        for name in NAMES:
            row = self.book.view.get(schema.named(schema.EFFECT, name))
            if row is None:
                continue
            uses = self.of(name)
            assert row.discount == sum(use.left() for use in uses)
            assert row.sales == sum(use.sale - use.refunded for use in uses)
            assert row.claimed >= 0

    def teardown(self):
        self.every_date_is_cleared()
        self.days_sum_to_the_counters()
        self.replay_agrees()

    def days_sum_to_the_counters(self):
        """The report of campaigns, by date, sums to what their counters say."""
        entries = [self.book.entry(number) for number in range(1, self.book.sequence + 1)]
        found = effects(map(values_of, entries), self.book.view.get)
        for name in NAMES:
            row = self.book.view.get(schema.named(schema.EFFECT, name)) or campaigns.NO_EFFECT
            days = [day for (_, campaign), day in found.items() if campaign == name]
            for counter in ("issued", "claimed", "expired", "sales", "discount"):
                assert sum(getattr(day, counter) for day in days) == getattr(row, counter), counter
            stands = sum(day.used - day.restored for day in days)
            assert stands == row.used - row.restored
            for day in days:
                assert day.used >= 0

    def replay_agrees(self):
        """The commands, run again on another book, give the same entries."""
        again = MemoryBook()
        machine = Machine(again, replays=True)
        for sequence in range(1, self.book.sequence + 1):
            entry = self.book.entry(sequence)
            command = command_of(entry.kind, entry.command)
            machine.execute(command, entry.at, entry.nonce, entry.trail[:2])
        assert again.sequence == self.book.sequence
        for sequence in range(1, again.sequence + 1):
            assert again.entry(sequence) == self.book.entry(sequence)


Coupons.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestCoupons = Coupons.TestCase
