"""The steps of the state machine that are about stored value."""

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from engine.reasons import Reason
from engine.records import ASKED_NEVER
from engine.rules import adjustments, products, value
from ledger import schema
from tests.engine.house import sealed, token
from tests.properties.value_model import GIFT_DAYS, GIFT_FACE, MONEY, Worth

GIFTS = (token("C", "G1"), token("C", "G2"))
NAMES = ("A", "C", "G1", "G2")
TILLS = ("00000001", "00000002", "00000003", "00000004")
PINS = (0, 0, 0, 1, 1, 2)
DAY_MS = 24 * 3600 * 1000

tills = st.sampled_from(TILLS)
holders = st.sampled_from(
    [(token("C", "A"),), (token("P", "B"),), (token("C", "C"),), *((gift,) for gift in GIFTS)]
)
fen = st.sampled_from([0, 1, 250, 1_000, 4_000, 8_000])


class ValueSteps:
    """Loads, purchases, conversions; the sweep and re-activation."""

    def register_value(self, at):
        """A product whose cards are loaded by terminals, two of them, and one opening balance."""
        execute = self.house.execute
        product = ("GIFT", "GIFT", False, True, GIFT_FACE, f"{GIFT_DAYS}d", True, True, "top-up")
        execute(products.PutCardProduct(*product, ASKED_NEVER, "621234", 16), at)
        execute(products.OpenCardBatch("B1", "GIFT", len(GIFTS)), at)
        numbers = tuple((digest, sealed("G")) for _, digest in GIFTS)
        execute(products.IssueCards("B1", 1, numbers), at)
        execute(products.MoveCards("B1", 1, len(GIFTS), "distributed"), at)
        self.house.balance("M2", MONEY, 3_000, at, 20260312)
        self.model.values["M2"] = Worth(3_000, 20260312)
        for serial, gift in enumerate(GIFTS, 1):
            self.model.members[gift] = f"B1.{serial:07d}"
            self.model.states[gift] = "dormant"

    @rule(till=tills, who=holders, amount=fen, unit=st.sampled_from([MONEY, MONEY, "P01", "P02"]))
    def top_up(self, till, who, amount, unit):
        said = {"tokens": who, "unit": unit, "amount": amount, "reference": ""}
        self.send(self.request(value.TopUp, till, **said))

    @rule(till=tills, who=holders, amount=fen, pin=st.sampled_from(PINS))
    def purchase(self, till, who, amount, pin):
        said = {"tokens": who, "amount": amount, "pin": pin, "reference": "R-1"}
        self.send(self.request(value.Purchase, till, **said))

    @rule(
        till=tills,
        who=holders,
        amount=st.sampled_from([0, 1, 2, 50, 300]),
        unit=st.sampled_from(["P01", "P02", "P02"]),
        pin=st.sampled_from(PINS),
    )
    def convert(self, till, who, amount, unit, pin):
        said = {"tokens": who, "unit": unit, "amount": amount, "pin": pin}
        self.send(self.request(value.Conversion, till, **said))

    @rule(
        till=tills,
        who=holders,
        plot=st.lists(
            st.sampled_from(["load", "spend", "void", "un-void", "reverse", "refund", "a week"]),
            min_size=3,
            max_size=8,
        ),
    )
    def tell_of_value(self, till, who, plot):
        """A load, a purchase, and what is done to them, close together."""
        self.top_up(till, who, 4_000, MONEY)
        trade = self.sent[-1]
        for act in plot:
            if act == "load":
                self.top_up(till, who, 1_000, MONEY)
                trade = self.sent[-1]
            elif act == "spend":
                self.purchase(till, who, 1_000, 1)
                trade = self.sent[-1]
            elif act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                self.reverse_message(self.sent[-1], "")
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "refund":
                self.return_part(trade, trade.amount // 3, trade.tokens, till)
            else:
                self.at = self.model.now(self.at) + 7 * DAY_MS
            self.books_hold()
            self.value_agrees()

    @rule()
    def sweep_value(self):
        """What is left after the last day is taken, once."""
        self.sweep("value", value.ExpireValue("M1"), self.model.sweep_value)

    @rule(member=st.sampled_from(["M1", "M2", "B1.0000001", "B1.0000002"]))
    def reactivate(self, member):
        self.model.come(self.at)
        command = value.ReactivateValue(member, self.model.today)
        answer = self.house.execute(command, self.at)
        reason = self.model.reactivate(member, self.model.today)
        assert Reason(answer.outcome.reason).name == reason

    @rule(
        member=st.sampled_from(["M1", "M2"]),
        what=st.sampled_from(["value", "breakage"]),
        amount=st.sampled_from([-900, -1, 0, 1, 250, 2_000]),
    )
    def adjust_value(self, member, what, amount):
        """Value given or taken by two persons, or what has run out taken to income."""
        said = (f"V{self.book.sequence}", what, member, MONEY, amount, 0, "year end", "teller")
        self.administer(adjustments.Propose(*said), self.model.propose_value)
        self.administer(adjustments.Confirm(said[0], "supervisor"), self.model.confirm_value)

    @invariant()
    def value_agrees(self):
        """Balances and last days are the model's, and the sums of the postings."""
        for member, worth in self.model.values.items():
            row = self.book.view.get(schema.named(schema.VALUE, member))
            assert (row.balance, row.expires) == (worth.balance, worth.expires)
            assert self.sums[f"Value:{member}"] == worth.balance
            assert self.sums[f"ValueExpired:{member}"] == self.model.ran_out.get(member, 0)
        held = {account for account, amount in self.sums.items() if amount}
        held = {account for account in held if account.startswith("Value:")}
        assert held <= {f"Value:{member}" for member in self.model.values}
