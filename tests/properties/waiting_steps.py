"""The steps of the state machine that are about points which cannot be spent yet."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.rules import adjustments
from tests.engine.house import token

CLUB = "00000004"
DAY_MS = 24 * 3600 * 1000
PLOT = ["earn", "free", "spend", "a day", "void", "void another", "un-void", "reverse", "refund"]
PLOT += ["void", "un-void", "crash"]


class WaitingSteps:
    """Sales whose points wait, what is undone of them, and points that are let free by hand."""

    @precondition(lambda self: self.trades)
    @rule(back=st.integers(1, 5))
    def let_free(self, back):
        trade = self.trades[-min(back, len(self.trades))]
        self.administer(
            adjustments.Release(self.sequence_of(trade), "supervisor"), self.model.let_free
        )

    @rule(
        who=st.sampled_from([(token("C", "A"),), (token("C", "C"),)]),
        amount=st.integers(5_000, 20_000),
        plot=st.lists(st.sampled_from(PLOT), min_size=2, max_size=8),
    )
    def tell_of_waiting(self, who, amount, plot):
        """A sale at a merchant's whose points wait, beside one whose points do not."""
        self.accrue("00000001", who, amount)
        free = self.sent[-1]
        self.accrue(CLUB, who, amount)
        trade = self.sent[-1]
        for act in plot:
            if act == "earn":
                self.accrue(CLUB, who, amount // 2)
            elif act == "free":
                self.let_free(1)
            elif act == "spend":
                self.spend_everything("00000001", who)
            elif act == "a day":
                self.at = self.model.now(self.at) + DAY_MS
            elif act == "void":
                self.void_message(trade, CLUB)
            elif act == "void another":
                self.void_message(free, "00000001")
            elif act == "un-void":
                self.reverse_void_of(trade if amount % 2 else free)
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "refund":
                self.return_part(trade, trade.amount // 3, trade.tokens, CLUB)
            else:
                self.crash_and_reopen()
            self.books_hold()
            self.members_agree()
