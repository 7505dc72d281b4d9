"""What terminals do in the state machine about holds, transfers and exchange."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.commands import Pin
from engine.rules import exchange, holds, transfers, undo
from tests.engine.house import token
from tests.properties.model import MONEY
from tests.properties.model_holds import RATES

TILLS = st.sampled_from(["00000001", "00000001", "00000002", "00000003"])
FIRST, SECOND, PHONE = token("C", "A"), token("C", "C"), token("P", "B")
NAMED = st.sampled_from([(FIRST,), (FIRST,), (PHONE,), (SECOND,)])
PINS = st.sampled_from([Pin.ABSENT, Pin.RIGHT, Pin.RIGHT])
FULL = token("C", "F")
OTHERS = (FIRST, SECOND, SECOND, PHONE, token("P", "H"), token("C", "nobody"), FULL, FULL)
OTHERS = st.sampled_from(OTHERS)
PROGRAMS = st.sampled_from(["P01", "P02", "P02"])
UNITS = st.sampled_from([MONEY, "P01", "P02", "P02"])
AMOUNTS = st.sampled_from([0, 1, 7, 40, 40, 150, 300])
BACK = st.integers(1, 3)
MINUTE = 60_000
WAITS = {"wait a little": 10 * MINUTE, "wait long": 31 * MINUTE, "wait a month": 31 * 1440 * MINUTE}
PLOT = ["capture", "part", "part", "release", "void", "un-void", "un-void", "refund", "reverse"]
PLOT += ["spend", *WAITS]
TRANSFERS_PLOT = ["transfer", "void", "void", "un-void", "un-void", "reverse", "the one before"]
TRANSFERS_PLOT += ["the one before", "sweep", "dies", "dies", "crash", "wait long"]
HOLD_TRADES = (holds.Hold, holds.Capture, holds.ValueHold, holds.ValueCapture)
HOLD_TRADES += (transfers.Transfer, exchange.Exchange)


class HoldRules:
    """Rules of the state machine; `Counter` has the rest."""

    def put_rates(self, at):
        for (unit, target), ratio in RATES.items():
            command = exchange.PutRate(unit, target, 20260101, ratio, "")
            assert self.house.execute(command, at).approved

    @rule(till=TILLS, who=NAMED, unit=UNITS, amount=AMOUNTS, pin=PINS)
    def hold(self, till, who, unit, amount, pin):
        said = {"tokens": who, "unit": unit, "amount": amount, "pin": pin}
        self.send(self.request(holds.Hold, till, **said))

    @rule(till=TILLS, who=NAMED, amount=AMOUNTS, pin=PINS)
    def hold_value(self, till, who, amount, pin):
        said = {"tokens": who, "amount": amount, "pin": pin}
        self.send(self.request(holds.ValueHold, till, **said))

    def of_holds(self):
        return [one for one in self.sent if isinstance(one, (holds.Hold, holds.ValueHold))]

    @rule()
    def sweep_holds(self):
        """What holds of points keep whose time is over is given back, once."""
        self.sweep("holds", holds.TimeOut("M1", "P01"), self.model.sweep_holds)

    @rule()
    def sweep_transfers(self):
        """Second halves that could not be posted are tried again."""
        self.sweep("transfers", transfers.TransferIn(0, "M1", "P01", ()), self.model.finish)

    @precondition(lambda self: self.of_holds())
    @rule(
        back=BACK,
        till=TILLS,
        who=st.sampled_from([(), (), (FIRST,)]),
        percent=st.sampled_from([0, 1, 50, 50, 100, 100, 101]),
    )
    def capture(self, back, till, who, percent):
        found = self.of_holds()
        one = found[-min(back, len(found))]
        said = {"tokens": who, "original": self.sequence_of(one)}
        said |= {"unit": getattr(one, "unit", MONEY), "amount": one.amount * percent // 100}
        self.send(self.request(self.capture_of(one), till, **said))

    @staticmethod
    def capture_of(hold):
        return holds.ValueCapture if isinstance(hold, holds.ValueHold) else holds.Capture

    @precondition(lambda self: self.of_holds())
    @rule(back=BACK, till=TILLS)
    def release(self, back, till):
        found = self.of_holds()
        one = found[-min(back, len(found))]
        said = {"tokens": (), "original": self.sequence_of(one)}
        self.send(self.request(holds.Release, till, **said))

    @precondition(lambda self: self.of_holds())
    @rule(back=BACK)
    def reverse_a_hold(self, back):
        found = self.of_holds()
        self.reverse_message(found[-min(back, len(found))], "")

    @rule(
        till=TILLS,
        who=st.sampled_from([(FIRST,), (SECOND,)]),
        story=st.sampled_from(["hold", "hold", "value", "transfer", "exchange"]),
        plot=st.lists(st.sampled_from(PLOT), min_size=2, max_size=7),
    )
    def tell_of_holds(self, till, who, story, plot):
        """One hold, transfer or exchange, and all that is done to it, close together."""
        self.accrue("00000003", who, 10_000)
        unit = "P02"
        if story == "hold":
            self.hold(till, who, unit, 150, Pin.ABSENT)
        elif story == "value":
            self.top_up(till, who, 1_000, MONEY)
            self.hold_value(till, who, 150, Pin.ABSENT)
            unit = MONEY
        elif story == "transfer":
            self.transfer(till, who, SECOND if who == (FIRST,) else FIRST, unit, 40, Pin.ABSENT)
        else:
            self.exchange(till, who, unit, "P01", 40, Pin.ABSENT)
        trade = first = self.sent[-1]
        for act in plot:
            if act in {"capture", "part"} and story in {"hold", "value"}:
                said = {"tokens": (), "original": self.sequence_of(first), "unit": unit}
                said["amount"] = 150 if act == "capture" else 70
                self.send(self.request(self.capture_of(first), till, **said))
                trade = self.sent[-1]
            elif act == "release" and story in {"hold", "value"}:
                said = {"tokens": (), "original": self.sequence_of(first)}
                self.send(self.request(holds.Release, till, **said))
            elif act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                if isinstance(self.sent[-1], undo.Void):
                    self.reverse_message(self.sent[-1], "")
            elif act == "refund":
                self.return_part(trade, trade.amount // 3, trade.tokens, till)
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "spend":
                self.spend_everything(till, (SECOND,))
            elif act.startswith("wait"):
                self.at = self.model.now(self.at) + WAITS[act]
            self.books_hold()
            self.members_agree()

    @rule(till=TILLS, who=NAMED, other=OTHERS, unit=PROGRAMS, amount=AMOUNTS, pin=PINS)
    def transfer(self, till, who, other, unit, amount, pin):
        said = {"tokens": who, "other": (other,), "unit": unit, "amount": amount, "pin": pin}
        self.send(self.request(transfers.Transfer, till, **said))

    @rule(till=TILLS, who=NAMED, unit=PROGRAMS, into=PROGRAMS, amount=AMOUNTS, pin=PINS)
    def exchange(self, till, who, unit, into, amount, pin):
        said = {"tokens": who, "unit": unit, "amount": amount, "target": into, "pin": pin}
        self.send(self.request(exchange.Exchange, till, **said))

    @rule(
        till=TILLS,
        who=st.sampled_from([(FIRST,), (SECOND,)]),
        other=st.sampled_from([FULL, FULL, FIRST, SECOND]),
        plot=st.lists(st.sampled_from(TRANSFERS_PLOT), min_size=3, max_size=9),
    )
    def tell_of_transfers(self, till, who, other, plot):
        """Two transfers, to a member who may have no room for both, and what becomes of them."""
        self.accrue("00000003", who, 10_000)
        trades = []
        for act in ["transfer", "transfer", *plot]:
            if act == "transfer":
                self.transfer(till, who, other, "P02", 40, Pin.ABSENT)
                trades.append(self.sent[-1])
            elif act == "void":
                self.void_message(trades[-1], till)
            elif act == "un-void":
                self.reverse_void_of(trades[-1])
            elif act == "reverse":
                self.reverse_message(trades[-1], "")
            elif act == "the one before":
                trades = [trades[-1], *trades[:-1]]
            elif act == "sweep":
                self.sweep_transfers()
            elif act == "dies":
                self.dying = True
            elif act == "crash":
                self.crash_and_reopen()
            else:
                self.at = self.model.now(self.at) + WAITS[act]
            self.books_hold()
            self.members_agree()
