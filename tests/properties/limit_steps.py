"""The steps of the state machine that are about limits, reasons and adjustments by hand."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from engine.reasons import Reason
from engine.rules import adjustments, rewards
from tests.engine.house import token
from tests.properties.limit_model import BONUSES, FRIENDS, LIMITS, MONEY, REASONS

tills = st.sampled_from(("00000001", "00000002", "00000003", "00000004"))
named = st.sampled_from([(token("C", "A"),), (token("P", "B"),), (token("C", "C"),)])
OTHERS = (token("C", "A"), token("C", "C"), token("P", "H"), token("C", "nobody"))
names = st.sampled_from(["T1", "T2"])
persons = st.sampled_from(["teller", "supervisor"])


class LimitSteps:
    """Points for reasons, and points given and taken by two persons."""

    def register_limits(self, at):
        """The limits, bonuses and reasons of the model."""
        for name, scope, what, unit, per, most, times in LIMITS:
            said = {"scope": scope, "what": what, "unit": unit, "per": per}
            assert self.house.limit(name, at, amount_max=most, count_max=times, **said).approved
        for merchant, (rate, funder) in BONUSES.items():
            said = {"scope": "merchant", "key": merchant, "multiplier": rate, "funder": funder}
            for program in ("P01", "P02"):
                self.house.earn_rule("BONUS", at, program=program, **said)
        for (program, code), (points, rate, times, funder) in REASONS.items():
            friends = FRIENDS.get((program, code), 0)
            terms = (points, rate, times, funder, 0, 99991231, friends)
            row = rewards.PutReason(program, code, *terms)
            assert self.house.execute(row, at).approved

    @rule(
        till=tills,
        who=named,
        amount=st.sampled_from([0, 0, 199, 5_000]),
        code=st.sampled_from(["SIGN", "SIGN", "REVIEW", "NEWS"]),
        often=st.integers(1, 3),
    )
    def reward(self, till, who, amount, code, often):
        said = {"tokens": who, "amount": amount, "code": code, "other": ()}
        for _ in range(often):
            self.send(self.request(rewards.Reward, till, **said))

    @rule(
        till=st.sampled_from(("00000003", "00000003", "00000001", "00000004")),
        who=named,
        other=st.sampled_from([(), *((one,) for one in OTHERS)]),
        amount=st.sampled_from([0, 5_000]),
        plot=st.lists(
            st.sampled_from(["void", "un-void", "reverse", "refund", "dies"]), max_size=5
        ),
    )
    def refer(self, till, who, other, amount, plot):
        """A referral, and what is undone of it."""
        said = {"tokens": who, "amount": amount, "code": "FRIEND", "other": other}
        self.send(self.request(rewards.Reward, till, **said))
        trade = self.sent[-1]
        for act in plot:
            if act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                self.reverse_message(self.sent[-1], "")
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "dies":
                self.dying = True
            else:
                self.return_part(trade, trade.amount // 3, trade.tokens, till)
            self.books_hold()
            self.members_agree()

    @rule(
        name=names,
        member=st.sampled_from(["M1", "M2"]),
        program=st.sampled_from(["P01", "P02"]),
        amount=st.sampled_from([-300, -40, 0, 25, 500]),
        by=persons,
    )
    def propose(self, name, member, program, amount, by):
        row = adjustments.Propose(name, "points", member, program, amount, 0, "a complaint", by)
        self.administer(row, self.model.propose)

    @rule(name=names, by=persons)
    def withdraw(self, name, by):
        self.administer(adjustments.Withdraw(name, by), self.model.withdraw)

    @rule(
        number=st.integers(1, 9),
        member=st.sampled_from(["M1", "M2"]),
        what=st.sampled_from(["points", "points", "debt", "debt", "value"]),
        program=st.sampled_from(["P01", "P02"]),
        amount=st.sampled_from([-300, -40, 1, 25, 500]),
    )
    def adjust(self, number, member, what, program, amount):
        """Both persons, one after the other."""
        unit = MONEY if what == "value" else program
        self.propose_and_confirm(f"A{number}", (what, member, unit, amount))

    def propose_and_confirm(self, name, said):
        row = (name, *said, 0, "a complaint", "teller")
        self.administer(adjustments.Propose(*row), self.model.propose)
        self.administer(adjustments.Confirm(name, "supervisor"), self.model.confirm)

    @rule(name=names, by=persons)
    def confirm(self, name, by):
        self.administer(adjustments.Confirm(name, by), self.model.confirm)

    def administer(self, command, judge):
        """Send an administration command to both, and compare the reason."""
        self.model.come(self.at)
        reason = judge(command)
        answer = self.house.execute(command, self.at)
        assert Reason(answer.outcome.reason).name == reason
        if reason == "APPROVED":
            self.model.sequence += 1
        assert self.book.sequence == self.model.sequence
