"""The engine on a real ledger against a model of plain dicts, step by step.

Commands of every kind come in any order, with repeats, changed repeats, reversals before and after
their originals, days passing, and crashes that drop whatever is not durable. After each step the
books must hold and agree with the model; at the end the journal's commands, run again on a book in
memory, must give the same bytes.

``COUNTERFOIL_LONG=1`` runs many more and longer histories, with fresh seeds.
"""

import os
import shutil
import tempfile
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.catalogue import command_of
from engine.commands import Pin
from engine.holdings import holdings
from engine.machine import Machine
from engine.reasons import Reason
from engine.records import NO_POINTS, Terms
from engine.rules import (
    accounts,
    cards,
    forgetting,
    holds,
    members,
    offline,
    points,
    reference,
    refund,
    rewards,
    tiers,
    undo,
    value,
)
from engine.rules.coupons import Claim, Handover, Use
from engine.rules.expiry import ExpirePoints
from engine.rules.gifts import GiftExchange
from engine.rules.lotteries import Draw
from engine.rules.recharge import Recharge
from engine.rules.undo import legs_of
from ledger import audit, schema
from ledger.book import Book, Limits
from ledger.model import values_of
from ledger.storage import Storage
from tests.engine.house import House, identified, moment, sealed, token
from tests.engine.memory_book import MemoryBook
from tests.properties.batch_steps import BatchSteps, earlier
from tests.properties.clearing_steps import ClearingSteps
from tests.properties.coupon_steps import CouponSteps
from tests.properties.gift_steps import GiftSteps
from tests.properties.hold_rules import FULL, HOLD_TRADES, HoldRules
from tests.properties.holding import ripened
from tests.properties.limit_steps import LimitSteps
from tests.properties.message_steps import FATES, MessageSteps, as_original
from tests.properties.model import MERCHANTS, MONEY, POINTS_MAX, PROGRAMS, WAITS, ZONE
from tests.properties.model_holds import Model
from tests.properties.pin_steps import PinSteps
from tests.properties.prize_steps import PrizeSteps
from tests.properties.recharge_steps import RechargeSteps
from tests.properties.sweep_steps import SweepSteps
from tests.properties.value_steps import ValueSteps
from tests.properties.waiting_steps import WaitingSteps

LONG = os.environ.get("COUNTERFOIL_LONG") == "1"
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = moment(20260301, "10:00")
TERMINALS = {"00000001": "HOTEL", "00000002": "HOTEL", "00000003": "SHOP", "00000004": "CLUB"}
CARD, PHONE, OTHER, STRANGER = (
    token("C", "A"),
    token("P", "B"),
    token("C", "C"),
    token("C", "nobody"),
)
HOLDER = token("P", "H")
WALLET = [token("C", f"W{number}") for number in range(6)]
"""A third member's phone, and the cards it has had or may come to have."""
OPENING = (
    ("M1", "P01", 900, 20260310),
    ("M1", "P02", 50, 20260402),
    ("M2", "P02", 400, 20271231),
    ("M3", "P02", 300, 20271231),
    ("M4", "P02", POINTS_MAX - 45, 20271231),
)
SEALED = (sealed("A"), sealed("B"))

tills = st.sampled_from(sorted(TERMINALS))
named = st.sampled_from([(CARD,), (CARD,), (PHONE,), (CARD, PHONE), (OTHER,), (OTHER,)])
badly_named = st.sampled_from([(STRANGER,), (CARD, OTHER), ()])
holders = st.sampled_from([(HOLDER,), *((card,) for card in WALLET), tuple(WALLET[:2])])
HOLDS = (holds.Hold, holds.ValueHold)
OWN = ("Lot:", "Held:", "Debt:")
"""Accounts inside members' records."""
LIMITS = Limits(segment_bytes_alone=1 << 20)
PLOT = ["spend", "spend", "earn", "void", "un-void", "void", "refund", "refund", "reverse"]
PLOT += ["a day", "a month"]
ENTRIES = bytes((schema.ENTRY,))
TRADES = (
    *HOLD_TRADES,
    points.Accrual,
    rewards.Reward,
    points.Redemption,
    undo.Void,
    GiftExchange,
    Claim,
    Handover,
    Use,
    Draw,
    Recharge,
    value.TopUp,
    value.Purchase,
    value.Conversion,
)
sales = st.integers(0, 40_000)
same_till = st.sampled_from([None] * 8 + sorted(TERMINALS))
pins = st.sampled_from([Pin.ABSENT, Pin.ABSENT, Pin.RIGHT, Pin.RIGHT, Pin.WRONG])


class Unsynced(Storage):
    """The process dies here, the machine does not: waiting for the disk would prove nothing."""

    def sync(self, descriptor):
        pass

    def sync_folder(self, folder):
        pass


class Counter(
    SweepSteps,
    HoldRules,
    CouponSteps,
    GiftSteps,
    PrizeSteps,
    RechargeSteps,
    ValueSteps,
    LimitSteps,
    BatchSteps,
    ClearingSteps,
    MessageSteps,
    PinSteps,
    WaitingSteps,
    RuleBasedStateMachine,
):
    """Terminals, a ledger that can crash, and the model."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="counterfoil-model-"))
        Book.create(self.folder / "book")
        self.book = self.open_book()
        self.house = House(self.book)
        self.model = Model()
        self.at = START
        # What terminals remember of what they sent; a crash of the host does not change it.
        self.sent = []
        self.trades = []
        self.reversals = []
        self.fates, self.pause = [], 0
        self.befalling = self.dying = False
        self.checked = 0
        self.sums = defaultdict(int)

    def open_book(self):
        return Book.open(self.folder / "book", follower=False, limits=LIMITS, storage=Unsynced())

    @initialize()
    def register(self):
        house, model = self.house, self.model
        house.open(20260301, at=START)
        house.institution("HB01", START)
        for name, program in PROGRAMS.items():
            house.program(
                name,
                START,
                points_per_yuan=program["rate"],
                expiry=f"rolling:{program['months']}m",
                after_expiry="expire" if program["grace"] is None else "reissue",
                grace_days=program["grace"] or 0,
                clawback="zero" if program["zero"] else "negative",
                breakage_share=(1, 3) if program["zero"] else (0, 1),
            )
        for name, merchant in MERCHANTS.items():
            usual = (merchant["earn"], (3, 2), (95, 100), 6, 1, 40, 0, False)
            terms = [
                Terms(since, program, *usual, pending_days=waits)
                for since, waits in WAITS.get(name, ((20260101, 0),))
                for program in merchant["programs"]
            ]
            kept = [replace(row, **merchant["shares"]) for row in terms]
            house.merchant(name, START, tuple(values_of(row) for row in kept))
        self.put_rates(START)
        for rank, (name, spending) in enumerate((("silver", 30_000), ("gold", 90_000)), 1):
            rules = ((20260101, spending, 0, False, 3, 1),)
            house.execute(tiers.PutTier(name, name, rank, rules), START)
        for number, (name, merchant) in enumerate(TERMINALS.items()):
            store = f"S{number}" if number % 2 else ""
            if store:
                house.store(store, merchant, START)
            house.terminal(name, merchant, START, store)
        house.member("M1", START, (("C", "A"), ("P", "B")))
        house.member("M2", START, (("C", "C"),))
        house.member("M3", START, (("P", "H"), ("C", "W0"), ("C", "W1")))
        house.member("M4", START, (("C", "F"),))
        for member, unit, amount, expiry in OPENING:
            house.balance(member, unit, amount, START, expiry)
            model.holdings[member, unit].lots[expiry, "opening"] = amount
        model.members = {CARD: "M1", PHONE: "M1", OTHER: "M2", FULL: "M4"}
        model.members |= dict.fromkeys((HOLDER, *WALLET[:2]), "M3")
        self.register_value(START)
        self.register_limits(START)
        self.register_gifts(START)
        self.register_lottery(START)
        self.register_recharge(START)
        self.register_coupons(START)
        model.date, model.at, model.sequence = 20260301, START, self.book.sequence
        self.flush()

    # Sending.

    def send(self, command):
        """Send a command to both, and compare what they answer; `fate` is what befalls it."""
        fate = self.next_fate()
        if fate == "late" and not isinstance(command, undo.Reversal):
            self.befall(command, ["reverse"])
        self.model.come(self.at)
        self.model.dies, self.dying = fate == "dies" or self.dying, False
        if isinstance(command, undo.Reversal):
            reason, done = self.model.reversal(command)
        else:
            reason, done = self.model.request(command)
        if self.model.dies:
            self.house.machine = Machine(self.book, replays=True)  # which posts no second half
        answer = self.house.execute(command, self.at)
        assert Reason(answer.outcome.reason).name == reason
        assert self.book.sequence == self.model.sequence
        if done is not None:
            assert answer.sequence == done.sequence
            self.compare_reply(answer, done)
        if reason == "APPROVED" and isinstance(command, TRADES) and not answer.repeated:
            self.trades.append(command)
        if self.model.dies:
            self.start_again()
        if answer.approved and not isinstance(command, undo.Reversal):
            self.befall(command, FATES.get(fate, ()))
        return answer

    def compare_reply(self, answer, done):
        facts = dict(answer.outcome.facts)
        if done.reason == "APPROVED" and done.program and "moved" in facts:
            assert abs(int(facts["moved"])) == done.moved
        if done.reason == "TOTALS_DIFFER":
            command = done.command
            assert facts["totals"] != command.totals
        if not answer.repeated:
            for kind, unit, available, ledger in answer.outcome.balances:
                if kind == "value":
                    worth = self.model.values[done.member]
                    assert (available, ledger) == (
                        worth.available(self.model.today, self.model.at),
                        worth.balance,
                    )
                    continue
                holding = self.model.holdings[done.member, unit]
                assert (available, ledger) == (
                    holding.available(self.model.today),
                    holding.ledger(),
                )

    def request(self, cls, terminal, **said):
        at = self.model.now(self.at)
        batch = said.pop("batch", 0) or self.model.in_force(terminal, at)
        command = self.house.request(cls, terminal, at, batch=batch, **said)
        self.sent.append(command)
        return command

    def pick(self, meant):
        kind, back = meant
        among = (kind == "trade" and self.trades) or self.sent
        return among[-min(back, len(among))]

    def sequence_of(self, command):
        """The sequence number in the RRN that the terminal was told for a request."""
        done = self.model.done.get((command.terminal, command.batch, command.stan))
        return done.sequence if done is not None else -1

    # Requests.

    @rule(till=tills, who=named, amount=sales)
    def accrue(self, till, who, amount):
        self.send(self.request(points.Accrual, till, tokens=who, amount=amount))

    @rule(
        till=tills,
        who=named,
        amount=st.integers(0, 300),
        unit=st.sampled_from([MONEY, "P01", "P02", "P02"]),
        pin=pins,
    )
    def redeem(self, till, who, amount, unit, pin):
        said = {"tokens": who, "unit": unit, "amount": amount, "pin": pin}
        self.send(self.request(points.Redemption, till, **said))

    @rule(till=tills, who=st.sampled_from([(CARD,), (OTHER,)]))
    def spend_everything(self, till, who):
        """So that what is undone later is not there any more."""
        program = MERCHANTS[TERMINALS[till]]["programs"][0]
        holding = self.model.holdings[self.model.members[who[0]], program]
        amount = max(holding.available(self.model.today), 0)
        said = {"tokens": who, "unit": program, "amount": amount, "pin": Pin.ABSENT}
        self.send(self.request(points.Redemption, till, **said))

    @rule(
        till=tills,
        who=st.sampled_from([(CARD,), (OTHER,)]),
        amount=st.integers(5_000, 40_000),
        spends=st.booleans(),
        plot=st.lists(st.sampled_from(PLOT), min_size=2, max_size=6),
    )
    def tell_a_story(self, till, who, amount, spends, plot):
        """One trade, and all that is done to it, close together."""
        self.accrue(till, who, amount)
        if spends:
            self.accrue(till, who, amount + 1)
            self.spend_everything(till, who)
        trade = self.sent[-1]
        for act in plot:
            if act == "spend":
                self.spend_everything(till, who)
            elif act == "earn":
                self.accrue(till, who, amount // 2)
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "refund":
                self.return_part(trade, trade.amount // 3, trade.tokens, till)
            elif act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                if isinstance(self.sent[-1], undo.Void):
                    self.reverse_message(self.sent[-1], "")
            else:
                self.at = self.model.now(self.at) + (31 * DAY if act == "a month" else DAY)
            self.books_hold()
            self.members_agree()

    @rule(
        till=tills,
        who=named,
        amount=sales,
        ago=st.sampled_from([0, HOUR, 9 * HOUR, DAY, 2 * DAY, 3 * DAY - HOUR, 4 * DAY, -HOUR]),
    )
    def accrue_offline(self, till, who, amount, ago):
        sold = datetime.fromtimestamp((self.model.now(self.at) - ago) // 1000, ZONE)
        said = {"tokens": who, "amount": amount, "sold_at": int(f"{sold:%Y%m%d%H%M%S}")}
        self.send(self.request(offline.OfflineAccrual, till, **said))

    @rule(till=tills, who=badly_named, amount=sales)
    def name_nobody(self, till, who, amount):
        self.send(self.request(points.Accrual, till, tokens=who, amount=amount))

    @rule(till=tills, batch=st.integers(1, 4))
    def use_a_batch_of_its_own(self, till, batch):
        said = {"tokens": (CARD,), "amount": 100, "batch": batch}
        self.send(self.request(points.Accrual, till, **said))

    @rule(till=tills, number=st.integers(1, 5))
    def enrol(self, till, number):
        named_by = (token("C", f"N{number}"), token("P", f"O{number % 3}"))
        said = {"tokens": named_by, "sealed": SEALED, "numbers_valid": True}
        self.send(self.request(members.Enrolment, till, **said))

    @rule(frozen=st.sampled_from([True, False, False]))
    def freeze_or_release(self, frozen):
        self.model.come(self.at)
        state = "frozen" if frozen else "active"
        command = accounts.SetState("M3", "clerk", "asked for", state)
        answer = self.house.execute(command, self.at)
        assert answer.approved == self.model.freeze("M3", frozen=frozen)

    @rule(number=st.integers(1, 5))
    def forget_who_enrolled(self, number):
        """Its card and phone are a stranger's again, and may be enrolled by somebody new."""
        member = self.model.members.get(token("C", f"N{number}"))
        if member is None:
            return
        self.model.come(self.at)
        who = (member, "clerk", "asked to be")
        assert not self.house.execute(forgetting.ForgetMember(*who), self.at).approved
        for command in (
            accounts.CloseAccount(*who, False),
            forgetting.ForgetMember(*who),
            forgetting.DropNames(*who),
        ):
            assert self.house.execute(command, self.at).approved
        self.model.forget(member)

    @rule(till=tills, who=holders)
    def report_a_loss(self, till, who):
        self.send(self.request(cards.LossReport, till, tokens=who))

    @rule(till=tills, who=holders, new=st.sampled_from(WALLET), pin=pins)
    def replace_a_card(self, till, who, new, pin):
        said = {"new_card": new[1], "sealed": sealed("W"), "number_valid": True, "pin": pin}
        self.send(self.request(cards.CardReplacement, till, tokens=who, **said))

    @rule(till=tills, card=st.sampled_from(WALLET), amount=sales, spends=st.booleans())
    def use_a_card_of_many(self, till, card, amount, spends):
        """One that may be lost, replaced, new or unknown; what it did is undone like any other."""
        said = {"tokens": (card,), "amount": amount % 300 if spends else amount}
        if spends:
            said |= {"unit": "P02", "pin": Pin.ABSENT}
        kind = points.Redemption if spends else points.Accrual
        self.send(self.request(kind, till, **said))

    @rule(member=st.sampled_from(["M1", "M2", "M3"]))
    def review_a_tier(self, member):
        self.model.come(self.at)
        answer = self.house.execute(tiers.ReviewTier(member), self.at)
        self.model.sequence += answer.approved
        row = self.book.view.get(schema.named(schema.STANDING, member))
        assert row is None or not row.tier or row.until >= self.model.today

    @precondition(lambda self: self.sent)
    @rule(meant=earlier, other_amount=st.booleans())
    def repeat(self, meant, other_amount):
        command = self.pick(meant)
        if other_amount and hasattr(command, "amount"):
            command = identified(replace(command, amount=command.amount + 1))
        self.send(command)

    @precondition(lambda self: self.trades)
    @rule(
        meant=earlier,
        way=st.sampled_from(["rrn", "stan", "both", "both"]),
        till=same_till,
        spoil=st.sampled_from([""] * 12 + ["amount", "unit", "member", "rrn", "number", "number"]),
    )
    def void(self, meant, way, till, spoil):
        original = self.pick(meant)
        amount, unit, tokens = as_original(original)
        by_stan = (original.batch, original.stan) if way != "rrn" else (0, 0)
        number = self.sequence_of(original)
        if spoil == "rrn":
            number = self.sequence_of(self.pick((meant[0], meant[1] + 1)))
        elif spoil == "number":  # of whatever entry, one that no terminal was told of too
            number = max(self.book.sequence - 2 * meant[1], 1)
        self.send(
            self.request(
                undo.Void,
                till or original.terminal,
                tokens=(OTHER,) if spoil == "member" else tokens,
                unit="P01" if spoil == "unit" else unit,
                amount=amount + 1 if spoil == "amount" else amount,
                original=number if way != "stan" else 0,
                original_batch=by_stan[0],
                original_stan=by_stan[1],
                coupon=coupon_of(original),
            )
        )

    @precondition(lambda self: self.trades)
    @rule(
        meant=earlier,
        percent=st.sampled_from([0, 1, 33, 50, 50, 67, 100, 100, 101]),
        who=st.sampled_from([(), (), (), None, None, (OTHER,)]),
        till=same_till,
    )
    def refund(self, meant, percent, who, till):
        original = self.pick(meant)
        amount, _, tokens = as_original(original)
        amount = amount * percent // 100
        self.return_part(original, amount, tokens if who is None else who, till)

    def return_part(self, original, amount, tokens, till):
        self.send(
            self.request(
                refund.Refund,
                till or original.terminal,
                tokens=tokens,
                unit=as_original(original)[1],
                amount=amount,
                original=self.sequence_of(original),
            )
        )

    def void_message(self, original, till):
        amount, unit, tokens = as_original(original)
        self.send(
            self.request(
                undo.Void,
                till,
                tokens=tokens,
                unit=unit,
                amount=amount,
                original=self.sequence_of(original),
                original_batch=0,
                original_stan=0,
                coupon=coupon_of(original),
            )
        )

    @precondition(lambda self: self.sent)
    @rule(meant=earlier, spoil=st.sampled_from([""] * 8 + ["amount", "card", "phone"]))
    def reverse(self, meant, spoil):
        self.reverse_message(self.pick(meant), spoil)

    @precondition(lambda self: any(isinstance(one, undo.Void) for one in self.trades))
    @rule()
    def reverse_the_last_void(self):
        voids = [one for one in self.trades if isinstance(one, undo.Void)]
        self.reverse_message(voids[-1], "")

    def reverse_void_of(self, original):
        number = self.sequence_of(original)
        voids = [one for one in self.sent if isinstance(one, undo.Void) and one.original == number]
        if voids:
            self.reverse_message(voids[-1], "")

    @precondition(lambda self: self.reversals)
    @rule(back=st.integers(1, 4))
    def repeat_reversal(self, back):
        self.send(self.reversals[-min(back, len(self.reversals))])

    @rule(till=tills, who=named, amount=sales)
    def reverse_what_never_arrived(self, till, who, amount):
        lost = self.request(points.Accrual, till, tokens=who, amount=amount)
        self.reverse_message(lost, "")

    def reverse_message(self, original, spoil):
        amount, unit, tokens = as_original(original)
        tokens = {"card": (OTHER,), "phone": (PHONE,)}.get(spoil, tokens)
        command = identified(
            undo.Reversal(
                original.terminal,
                original.merchant,
                original.batch,
                original.stan,
                b"",
                original.function,
                tokens,
                unit,
                amount + 1 if spoil == "amount" else amount,
                "98",
                coupon_of(original),
            )
        )
        self.reversals.append(command)
        self.send(command)

    # Time, durability.

    @rule(step=st.sampled_from([MINUTE, HOUR, 9 * HOUR, DAY, DAY, 8 * DAY, -HOUR]))
    def time_passes(self, step):
        self.at += step

    @rule()
    def sweep_points(self):
        """What has run out is taken, once; what the sweep finds twice changes nothing."""
        self.model.come(self.at)
        due = self.due("points")
        answers = [self.house.execute(command, self.at) for command in (*due, *due)]
        if not answers:
            self.house.execute(ExpirePoints("M1", "P01"), self.at)
            self.model.open("M1", "P01")
        made = self.model.sweep_points()
        assert sum(answer.approved for answer in answers) == made

    @rule()
    def cut_off(self):
        """By hand, unless it ran ahead already."""
        self.model.come(self.at)
        before = self.model.date
        ahead = before > self.model.today
        answer = self.house.execute(
            reference.CutOff(0 if ahead else before, automatic=False), self.at
        )
        if not ahead:
            self.model.cut_off()
        assert answer.approved != ahead
        assert self.house.machine.date == self.model.date

    @rule()
    def flush(self):
        self.book.flush()
        self.books_hold()
        self.safe = deepcopy(self.model), dict(self.sums)

    @rule()
    def crash_and_reopen(self):
        """Lose what is not durable; what was answered must be there."""
        self.book._abandon()
        self.book = self.open_book()
        self.house.book, self.house.machine = self.book, Machine(self.book)
        model, sums = self.safe
        self.model, self.sums = deepcopy(model), defaultdict(int, sums)
        self.checked = self.book.sequence
        assert self.book.sequence == self.model.sequence
        assert self.house.machine.date == self.model.date
        if self.model.unfinished:  # which each start posts first, as far as it can
            self.model.come(self.at)
            self.house.machine.execute(reference.Opened(1, "1"), self.at)
            self.model.sequence += 1
            self.house.machine.complete_transfers(self.at)
            self.model.finish()

    def start_again(self):
        """A crash that lost nothing but what was to follow the last entry; the start posts that."""
        self.model.dies = False
        self.flush()
        self.at += self.pause
        self.crash_and_reopen()

    # What must hold after each step.

    @invariant()
    def books_hold(self):
        """As many entries as there should be; each balances, and each balance is their sum."""
        assert self.book.sequence == self.model.sequence
        read = self.book.view.get
        touched = {}
        at = read(schema.entry(self.checked)).at if self.checked else 0
        for sequence in range(self.checked + 1, self.book.sequence + 1):
            entry = read(schema.entry(sequence))
            assert entry.at >= at
            at = entry.at
            by_unit = defaultdict(int)
            for account, unit, amount in entry.postings:
                self.sums[account] += amount
                by_unit[unit] += amount
                touched[account] = unit
            assert not any(by_unit.values())
        self.checked = self.book.sequence
        for account in touched:
            if not account.startswith((*OWN, "Value:")):
                assert read(schema.balance(account)) == self.sums[account]

    @invariant()
    def members_agree(self):
        """Lots and debts are the model's, and the sums of their postings."""
        held = defaultdict(int)
        for (member, program), holding in self.model.holdings.items():
            key = schema.points(member, program)
            row = self.book.view.get(key) or NO_POINTS
            lots = {(expiry, issuer): amount for expiry, issuer, amount in row.lots}
            waiting = {one[:3]: one[3] for one in row.pending}
            today = self.model.today
            modelled = ripened(holding.lots, holding.waiting, today)
            assert ripened(lots, waiting, today) == modelled
            assert dict(row.debts) == dict(holding.debts)
            kept = {hold: (until, list(lots)) for hold, until, lots in row.holds}
            assert kept == holding.held
            for account, _, amount in holdings(key, row):
                held[account] += amount
        posted = {
            account: amount
            for account, amount in self.sums.items()
            if amount and account.startswith(OWN)
        }
        assert held == posted

    @invariant()
    def spending_agrees(self):
        """By month, as far as months are kept; and whoever names a member knows its tier."""
        read = self.book.view.get
        for member, months in self.model.spent.items():
            row = read(schema.named(schema.STANDING, member))
            newest = row.months[-1][0]
            for number, fen, visits in row.months:
                assert months[number // 12 * 100 + number % 12 + 1] == [fen, visits]
            missing = [
                month for month in months if month // 100 * 12 + month % 100 - 1 > newest - 3
            ]
            assert len([one for one in row.months if one[0] > newest - 3]) == len(missing)
            named = read(schema.named(schema.MEMBER, member))
            assert {read(schema.alias(*one)).tier or "base" for one in named.tokens} == {named.tier}

    def teardown(self):
        try:
            self.replay()
            self.everything_undone_sums_to_nothing()
            self.every_date_is_cleared()
            self.beancount_agrees()
        finally:
            self.book.close(fold=False)
            shutil.rmtree(self.folder)

    def replay(self):
        """The commands of the journal, run again, make the same journal and the same tables."""
        again = MemoryBook()
        machine = Machine(again, replays=True)
        read = self.book.view.get
        entries = [read(schema.entry(n)) for n in range(1, self.book.sequence + 1)]
        for entry in entries:
            # An automatic cut-off comes up by itself, but by its time: a request that left no
            # entry may have brought it about.
            command = command_of(entry.kind, entry.command)
            machine.execute(command, entry.at, entry.nonce, entry.trail[:2])
        assert again.entries == [row for _, row in self.book.view.rows(ENTRIES)]
        assert again.digest() == audit.digest(self.book.view)

    def everything_undone_sums_to_nothing(self):
        """An original and all that undid it, or un-undid it, leave nothing behind in money."""
        legs = defaultdict(lambda: defaultdict(int))
        for sequence in range(1, self.book.sequence + 1):
            entry = self.book.view.get(schema.entry(sequence))
            undid = dict(entry.outcome[3]).get("undid", sequence)
            while (before := self.undid(undid)) != undid:
                undid = before
            for account, unit, amount in legs_of(entry) if entry.postings else ():
                if unit == MONEY:
                    # A position is the party's, whatever the date.
                    legs[undid][account.rsplit(":", 1)[0] if "Pos:" in account else account] += (
                        amount
                    )
        for sequence, done in self.model.by_sequence.items():
            if done.undone and done.voids is None and not isinstance(done.command, HOLDS):
                assert not any(legs[sequence].values())

    def undid(self, sequence):
        return dict(self.book.view.get(schema.entry(sequence)).outcome[3]).get("undid", sequence)


def coupon_of(command):
    """The code of a message, as its undo has to name it."""
    return getattr(command, "coupon", b"")


Counter.TestCase.settings = settings(
    max_examples=2000 if LONG else 180,
    stateful_step_count=100 if LONG else 60,
    derandomize=not LONG,
    deadline=None,
    database=None,
    # A failing history is made short only in the long form: that takes minutes.
    phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestEngineAgainstModel = Counter.TestCase
