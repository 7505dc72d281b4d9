"""The steps of the state machine that are about coupons, and the model's own coupons."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from engine.campaigns import NO_EFFECT
from engine.rules.coupons import EXPIRED_MAX, Claim, ExpireCoupons, Handover, Use
from ledger import schema
from tests.engine.house import sealed, token
from tests.scenarios.coupons import campaign

MONEY = "156"
DAY_MS = 24 * 3600 * 1000
END = 20260531
POINTS = ("P02", 30, 10)
"""What a coupon of ``BUY`` costs: points of a program, and the fen that they are worth."""
SOLD, QUANTITY, PER_MEMBER, PER_DAY, BUDGET, GRACE, VALID_DAYS = 4_000, 6, 3, 3, 2_500, 2, 10
FACES = {"ONCE": 1_000, "CASH": 5_000, "BUY": 700}
USES = {"TWICE": 2}
CAMPAIGNS = (
    f"ONCE amount_off face 10.00 quantity {QUANTITY} per-member {PER_MEMBER} budget 25.00",
    f"CASH voucher face 50.00 sold 40.00 refund parts per-day {PER_DAY} funders HOTEL=1/3",
    f"BUY points face 7.00 points 30 program P02 refund never valid-days {VALID_DAYS}",
    f"TWICE pickup uses 2 refund reissue grace {GRACE}",
)
PLOT = ("use", "use", "part", "void", "un-void", "reverse", "refund", "days", "flush", "crash")
PLOT += ("give", "give", "use the old code", "the one before")
OTHERS = (token("C", "A"), token("C", "C"), token("P", "B"), token("P", "H"), token("C", "nobody"))


@dataclass
class Slip:
    """A coupon: what is left of it, what was paid for it, and the code that took its place."""

    campaign: str
    holder: str
    until: int
    uses: int
    value: int
    cost: int
    money: int
    state: str = "live"
    successor: bytes = b""

    def full(self) -> bool:
        fresh = USES.get(self.campaign, 1), FACES["CASH"] if self.campaign == "CASH" else 0
        return self.state == "live" and (self.uses, self.value) == fresh

    def wear(self, value: int, money: int, sign: int) -> None:
        """A use takes of it, or (below 0) gives back, whatever day it is."""
        self.count(value, sign)
        self.money -= sign * money
        if sign > 0 and not self.uses:
            self.state = "used"
        elif sign < 0 and self.state in {"used", "expired"}:
            self.state = "live"

    def count(self, value: int, sign: int) -> None:
        """What a use takes or gives back is known to the codes before this one, too."""
        self.value -= sign * value
        if self.campaign != "CASH":
            self.uses -= sign
        elif sign < 0 or not self.value:
            self.uses = 0 if sign > 0 else 1

    def left(self) -> tuple[int, int]:
        return self.uses, self.value


class CouponModel:
    """The part of a model that knows coupons, and what has come of each campaign."""

    def __init__(self) -> None:
        self.slips: dict[bytes, Slip] = {}
        self.effects: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.taken_by: dict[tuple[str, str], int] = defaultdict(int)
        self.issued_on: dict[str, tuple[int, int]] = {}

    def claim(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        name = command.campaign
        if name not in {*FACES, *USES}:
            return "CAMPAIGN_UNKNOWN"
        if self.today > END:
            return "CAMPAIGN_OVER"
        program, points, worth = POINTS
        if name == "BUY" and program not in self.programs_of(command):
            return "NO_TERMS"
        if name == "CASH" and command.amount not in {0, SOLD}:
            return "AMOUNT_DIFFERS"
        if name == "ONCE" and self.taken_by[name, done.member] >= PER_MEMBER:
            return "TAKEN_ENOUGH"
        if name == "BUY":
            phone_alone = all(kind == "P" for kind, _ in command.tokens)
            bad = self.judge_pin(command.pin, done.member, needed=phone_alone)
            if bad:
                return bad
        if name == "ONCE" and self.effects[name]["issued"] >= QUANTITY:
            return "QUANTITY_EXHAUSTED"
        if name == "CASH" and self.issued_on.get(name, (0, 0)) >= (self.today, PER_DAY):
            return "DAY_EXHAUSTED"
        if name == "BUY":
            holding = self.open(done.member, program, done)
            if holding.available(self.today) < points:
                return "NOT_ENOUGH"
            holding.spend(points, self.today)
            self.note(done, program, "D", points)
        cost = {"BUY": worth, "CASH": SOLD}.get(name, 0)
        value = FACES[name] if name == "CASH" else 0
        until = self.day_after(VALID_DAYS) if name == "BUY" else END
        slip = Slip(name, done.member, until, USES.get(name, 1), value, cost, cost)
        self.slips[command.code] = slip
        done.day = self.today
        if self.issued_on.get(name, (0, 0))[0] != self.today:
            self.issued_on[name] = self.today, 0
        self.count_claim(done, 1)
        return "APPROVED"

    def unfit(self, code: bytes) -> str:
        """Why a coupon is nobody's to use or to hand over any more, empty where it is."""
        slip = self.slips.get(code)
        if slip is None:
            return "COUPON_UNKNOWN"
        if slip.state in {"used", "void"}:
            return f"COUPON_{slip.state.upper()}"
        return "COUPON_EXPIRED" if slip.until < self.today else ""

    def handover(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done) if command.tokens else ""
        other = ""
        if not bad:
            other, bad = self.other(command.other)
        bad = bad or self.unfit(command.coupon)
        if bad:
            return bad
        slip = self.slips[command.coupon]
        if done.member not in {"", slip.holder}:
            return "COUPON_NOT_HOLDER"
        done.member = slip.holder
        if other == slip.holder:
            return "TO_ONESELF"
        self.slips[command.code] = replace(slip, holder=other)
        slip.state, slip.money, slip.successor = "void", 0, command.code
        return "APPROVED"

    def codes_of(self, code: bytes) -> list[Slip]:
        """A coupon under the code that it had once, and under those that it had since."""
        found = []
        while code:
            found.append(self.slips[code])
            code = found[-1].successor
        return found

    def wear(self, code: bytes, value: int, money: int, sign: int) -> Slip:
        """A use of a code takes of its coupon or gives back; returns that as it is now."""
        *before, slip = self.codes_of(code)
        for old in before:
            old.count(value, sign)
        slip.wear(value, money, sign)
        return slip

    def count_claim(self, done: Any, sign: int) -> None:
        """Count a coupon that came to life; of a day only while it is that day."""
        name = done.command.campaign
        self.effects[name]["issued"] += sign
        self.effects[name]["claimed"] += sign
        self.taken_by[name, done.member] += sign
        day, count = self.issued_on[name]
        if day == done.day == self.today:
            self.issued_on[name] = day, count + sign

    def use(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done) if command.tokens else ""
        bad = bad or self.unfit(command.coupon)
        if bad:
            return bad
        slip = self.slips[command.coupon]
        done.member = done.member or slip.holder
        name, sale = slip.campaign, command.amount
        if not sale and name != "TWICE":
            return "AMOUNT_ZERO"
        off = min(sale, slip.value if name == "CASH" else FACES.get(name, sale))
        effect = self.effects[name]
        if name == "ONCE" and effect["discount"] + off > BUDGET:
            return "BUDGET_EXHAUSTED"
        value, money = 0, slip.money
        if name == "CASH":
            value, whole = off, FACES[name]
            money -= SOLD - SOLD * (whole - slip.value + off) // whole
        done.took = value, max(0, money), off
        slip.wear(value, max(0, money), 1)
        effect["used"] += 1
        effect["discount"] += off
        effect["sales"] += sale
        done.counted = [("CPN", "D", off)]
        return "APPROVED"

    def cannot_be_undone(self, done: Any) -> str:
        command = done.command
        if type(command).__name__ == "Claim" and not self.slips[command.code].full():
            return "COUPON_USED_SINCE"
        if type(command).__name__ == "Handover" and self.touched(command.code, command.coupon):
            return "COUPON_USED_SINCE"
        return super().cannot_be_undone(done)

    def touched(self, code: bytes, other: bytes) -> bool:
        """True where one of two codes of a coupon is not as it was when it got its place."""
        slip = self.slips[code]
        return slip.state != "live" or slip.left() != self.slips[other].left()

    def cannot_stand_again(self, done: Any) -> str:
        command = done.command
        if type(command).__name__ == "Handover":
            return "COUPON_USED_SINCE" if self.touched(command.coupon, command.code) else ""
        if type(command).__name__ == "Use":
            slip, (value, money, _) = self.codes_of(command.coupon)[-1], done.took
            gone = slip.state != "live" or slip.value < value or slip.money < money
            return "COUPON_USED_SINCE" if gone else ""
        return super().cannot_stand_again(done)

    def use_again(self, done: Any, sign: int) -> None:
        """A claim or use is undone, or stands again."""
        command = done.command
        if type(command).__name__ == "Claim":
            slip = self.slips[command.code]
            slip.state, slip.money = ("live", slip.cost) if sign > 0 else ("void", 0)
            self.count_claim(done, sign)
        elif type(command).__name__ == "Handover":
            old, new = self.slips[command.coupon], self.slips[command.code]
            old.successor = command.code if sign > 0 else b""
            gone, good = (old, new) if sign > 0 else (new, old)
            good.state, good.money, good.until = "live", gone.money, gone.until
            gone.state, gone.money = "void", 0
        elif type(command).__name__ == "Use":
            value, money, off = done.took
            slip = self.wear(command.coupon, value, money, sign)
            self.count_use(slip.campaign, -sign, sign * off, sign * command.amount)
        super().use_again(done, sign)

    def count_use(self, name: str, restored: int, discount: int, sales: int) -> None:
        effect = self.effects[name]
        effect["restored"] += restored
        effect["discount"] += discount
        effect["sales"] += sales

    def refund_use(self, original: Any, done: Any, before: int, after: int) -> None:
        """What the customer has back of a use is by the campaign's rule, what is owed by parts."""
        whole = original.command.amount
        code, (value, money, off) = original.command.coupon, original.took
        slip = self.codes_of(code)[-1]
        value, money, off = (
            amount * after // whole - amount * before // whole for amount in (value, money, off)
        )
        full = after == whole
        if slip.campaign != "BUY":  # of which nothing is ever given back
            if full or value:
                self.wear(code, value, money, -1)
            else:
                slip.money += money
            if full and slip.campaign == "TWICE" and slip.until < self.today:
                for one in self.codes_of(code):
                    one.until = self.day_after(GRACE)
        again = int(full and slip.campaign != "BUY")
        self.count_use(slip.campaign, again, -off, before - after)
        done.counted = [("CPN", "C", off)]

    def sweep_coupons(self) -> int:
        """End what has run out; returns how many entries that makes."""
        made = 0
        for slip in self.slips.values():
            if slip.until < self.today and (slip.state == "live" or slip.money):
                if slip.state == "live":
                    slip.state = "expired"
                    self.effects[slip.campaign]["expired"] += 1
                slip.money = 0
                made += 1
        made = -(-made // EXPIRED_MAX)
        self.sequence += made
        return made


class CouponSteps:
    """Coupons are claimed and used, by whoever brings them, and end."""

    def register_coupons(self, at):
        self.coupon_codes = []
        for line in CAMPAIGNS:
            row = campaign([*line.split(), "from", "2026-03-01", "to", "2026-05-31"])
            assert self.house.execute(row, at).approved

    @rule(
        till=st.sampled_from(["00000001", "00000003"]),
        who=st.sampled_from([*[(token("C", "C"),)] * 2, (token("C", "A"),), (token("P", "B"),)]),
        name=st.sampled_from(["ONCE", "CASH", "CASH", "BUY", "TWICE", "NEWS"]),
        pin=st.sampled_from([0, 1, 1, 2]),
        paid=st.sampled_from([0, 0, 0, SOLD, 1]),
        plot=st.lists(st.sampled_from(PLOT), max_size=7),
        sale=st.sampled_from([0, 1, 333, 700, 1_200, 3_100, 9_000]),
        friends=st.sampled_from([OTHERS[:2], OTHERS[1:4], OTHERS[3:]]),
    )
    def tell_of_a_coupon(self, till, who, name, pin, paid, plot, sale, friends=OTHERS):
        """A coupon, and what becomes of it."""
        code = token("K", f"coupon {len(self.coupon_codes)}")[1]
        self.coupon_codes.append(code)
        said = {"tokens": who, "campaign": name, "code": code, "sealed": sealed("c"), "pin": pin}
        amount = paid if name == "CASH" else 0
        unit = MONEY if amount else ""
        self.send(self.request(Claim, till, **said, unit=unit, amount=amount))
        trades = [self.sent[-1]]
        for act in plot:
            trade = trades[-1]
            if act in {"use", "part", "use the old code"}:
                back = 2 if act == "use the old code" else 1
                self.use_coupon(till, back, sale // 3 if act == "part" else sale, ())
                trades.append(self.sent[-1])
            elif act == "give":
                friends = (*friends[1:], friends[0])
                self.hand_over_coupon(till, 1, (), friends[0])
                trades.append(self.sent[-1])
            elif act == "the one before":
                trades = [trade, *trades[:-1]]
            elif act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                self.reverse_message(self.sent[-1], "")
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "refund":
                self.return_part(trade, trade.amount // 3 or trade.amount, (), till)
            elif act == "days":
                self.at = self.model.now(self.at) + 6 * DAY_MS
            elif act == "flush":
                self.flush()
            else:
                self.crash_and_reopen()
            self.books_hold()
            self.coupons_agree()

    @precondition(lambda self: self.coupon_codes)
    @rule(
        till=st.sampled_from(["00000001", "00000002", "00000003"]),
        back=st.integers(1, 5),
        sale=st.sampled_from([0, 1, 333, 700, 1_200, 3_100, 9_000]),
        who=st.sampled_from([(), (), (token("C", "A"),), (token("C", "nobody"),)]),
    )
    def use_coupon(self, till, back, sale, who):
        code = self.coupon_codes[-min(back, len(self.coupon_codes))]
        said = {"coupon": code, "code_batch": 0, "serial": 0, "amount": sale, "quantity": 0}
        self.send(self.request(Use, till, **said, tokens=who, reference="", coupon_pin=0))

    @precondition(lambda self: self.coupon_codes)
    @rule(
        till=st.sampled_from(["00000001", "00000002", "00000003"]),
        back=st.integers(1, 5),
        who=st.sampled_from([(), (), (token("C", "A"),), (token("C", "C"),)]),
        other=st.sampled_from(OTHERS),
    )
    def hand_over_coupon(self, till, back, who, other):
        old = self.coupon_codes[-min(back, len(self.coupon_codes))]
        code = token("K", f"coupon {len(self.coupon_codes)}")[1]
        said = {"tokens": who, "other": (other,), "coupon": old, "code_batch": 0, "serial": 0}
        said |= {"unit": "", "amount": 0, "code": code, "sealed": sealed("c"), "coupon_pin": 0}
        answer = self.send(self.request(Handover, till, **said))
        if answer.approved:
            self.coupon_codes.append(code)

    @rule()
    def sweep_coupons(self):
        self.sweep("coupons", ExpireCoupons((b"nobody's",)), self.model.sweep_coupons)

    @invariant()
    def coupons_agree(self):
        """Coupons, what waits for them, and what has come of campaigns are the model's."""
        waiting = defaultdict(int)
        for code, slip in self.model.slips.items():
            row = self.book.view.get(schema.coupon(code))
            assert (row.state, row.uses_left, row.value_left) == (slip.state, slip.uses, slip.value)
            assert (row.money, row.until, row.holder) == (slip.money, slip.until, slip.holder)
            waiting[slip.campaign] += slip.money
        for name in (*FACES, *USES):
            assert self.sums[f"Voucher:{name}"] == waiting[name]
            row = self.book.view.get(schema.named(schema.EFFECT, name)) or NO_EFFECT
            for counter, count in self.model.effects[name].items():
                assert getattr(row, counter) == count
        assert 0 <= self.model.effects["ONCE"]["discount"] <= BUDGET
