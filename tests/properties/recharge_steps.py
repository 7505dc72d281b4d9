"""The steps of the state machine that are about recharge cards, and the model's own cards."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from engine.rules.recharge import ExpireRecharge, MoveRecharge, OpenRecharge, Recharge
from ledger import schema
from tests.engine.house import token

MONEY = "156"
BATCHES = (
    # name, cards, unit, what each is worth, fen that stand for it, price, last day
    ("POINTS", 8, "P02", 60, 20, 22, 20260520),
    ("FEN", 6, MONEY, 2_000, 2_000, 1_900, 20260412),
)
FUNCTIONS = {MONEY: "210060"}
STEPS = {"active": ("sold", "active"), "closed": ("produced", "sold", "active", "closed")}


def code(batch: int, serial: int) -> bytes:
    return token("K", f"recharge {batch} {serial}")[1]


class RechargeModel:
    """The part of a model that knows recharge cards: their states, and what they stand for."""

    def __init__(self) -> None:
        self.cards = {
            (number, serial): "produced"
            for number, batch in enumerate(BATCHES, 1)
            for serial in range(1, batch[1] + 1)
        }
        self.used_cards: set[tuple[int, int]] = set()
        self.buyers: dict[tuple[int, int], tuple[str, int]] = {}
        self.stock = dict.fromkeys((batch[0] for batch in BATCHES), 0)

    def recharge(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        card = command.code_batch, command.serial
        if card not in self.cards:
            return "COUPON_UNKNOWN"
        name, _, unit, amount, value, _, last = BATCHES[card[0] - 1]
        if card in self.used_cards:
            return "RECHARGE_USED"
        if self.cards[card] == "closed" or last < self.today:
            return "RECHARGE_EXPIRED"
        if self.cards[card] != "active":
            return "RECHARGE_NOT_ACTIVE"
        if unit not in (MONEY, *self.programs_of(command)):
            return "NO_TERMS"
        if command.unit != unit:
            return "UNIT_DIFFERS"
        if command.amount not in {0, amount}:
            return "AMOUNT_DIFFERS"
        if unit == MONEY:
            bad = self.may_load(done.member, amount)
            if bad:
                return bad
            self.load(done, amount)
            done.counted = [(MONEY, "C", amount)]
        else:
            holding = self.open(done.member, unit, done)
            holding.move("lot", unit, self.last_day(unit), amount)
            self.note(done, unit, "C", amount)
        self.used_cards.add(card)
        self.stock[name] -= value
        return "APPROVED"

    def fresh_card(self, batch: int) -> int:
        """The serial number of a card of a batch that can be used, 1 where there is none."""
        usable = {card for card, state in self.cards.items() if state == "active"}
        return min([card[1] for card in usable - self.used_cards if card[0] == batch], default=1)

    def cannot_stand_again(self, done: Any) -> str:
        """Why a void cannot be undone, if somebody has used the card since."""
        command = done.command
        if type(command).__name__ != "Recharge":
            return super().cannot_stand_again(done)
        used = (command.code_batch, command.serial) in self.used_cards
        return "COUPON_USED_SINCE" if used else ""

    def use_again(self, done: Any, sign: int) -> None:
        command = done.command
        if type(command).__name__ == "Recharge":
            name, value = BATCHES[command.code_batch - 1][0], BATCHES[command.code_batch - 1][4]
            self.stock[name] -= sign * value
            self.used_cards ^= {(command.code_batch, command.serial)}
        super().use_again(done, sign)

    def move_cards(self, command: Any) -> str:
        names = [batch[0] for batch in BATCHES]
        number = names.index(command.name) + 1
        _, _, unit, _, value, _, last = BATCHES[number - 1]
        some = [(number, serial) for serial in range(command.first, command.last + 1)]
        before = {self.cards[card] for card in some}
        buyer = (command.merchant, command.price)
        if command.state == "sold":
            buyers = {self.buyers.get(card, buyer) for card in some}
            if buyers != {buyer}:
                return "REFUSED"
            if all(card in self.buyers for card in some):
                return "UNCHANGED"
        if before == {command.state}:
            return "UNCHANGED"
        allowed = STEPS.get(command.state, ("produced",))
        if not before <= set(allowed):
            return "REFUSED"
        if command.state == "sold":
            if (command.merchant == "SHOP" and unit == "P01") or last < self.today:
                return "REFUSED"
            self.stock[command.name] += value * len(some)
            self.buyers |= dict.fromkeys(some, buyer)
        self.cards |= dict.fromkeys(some, command.state)
        return "APPROVED"

    def sweep_cards(self) -> int:
        """Take what stands for cards whose day has passed; returns how many entries that makes."""
        made = 0
        for name, *_, last in BATCHES:
            if last < self.today and self.stock[name]:
                self.stock[name] = 0
                made += 1
        self.sequence += made
        return made


class RechargeSteps:
    """Recharge cards are sold, activated, closed and used."""

    def register_recharge(self, at):
        for name, count, unit, amount, _, price, last in BATCHES:
            opening = OpenRecharge(name, count, 20, "key", unit, amount, last)
            assert self.house.execute(opening, at).approved
            self.model.date, self.model.at = 20260301, at
            for state, cards in (("sold", count - 2), ("active", count - 3)):
                row = MoveRecharge(name, 1, cards, state, "SHOP", price)
                assert self.model.move_cards(row) == "APPROVED"
                assert self.house.execute(row, at).approved

    @rule(
        till=st.sampled_from(["00000001", "00000003"]),
        who=st.sampled_from([(token("C", name),) for name in ("A", "A", "A", "C", "C", "G1")]),
        batch=st.integers(1, 2),
        serial=st.sampled_from([0, 0, 0, 0, 1, 5, 7, 9]),
        said=st.sampled_from(["right"] * 5 + ["nothing", "amount", "unit"]),
        plot=st.lists(
            st.sampled_from(["void", "void", "un-void", "reverse", "use", "day"]), max_size=5
        ),
    )
    def recharge_by_card(self, till, who, batch, serial, said, plot):
        """A card is used, and what is done to that; `said` is what the till takes it for.

        For serial number 0, the first card that can be used.
        """
        serial = serial or self.model.fresh_card(batch)
        _, _, unit, amount, *_ = BATCHES[batch - 1]
        amount = {"nothing": 0, "amount": amount + 1}.get(said, amount)
        unit = "P01" if said == "unit" else unit
        trade = None
        for act in ["use", *plot]:
            if act == "use":
                known = {"coupon": code(batch, serial), "code_batch": batch, "serial": serial}
                known |= {"tokens": who, "unit": unit, "amount": amount}
                function = FUNCTIONS.get(unit, "210065")
                self.send(self.request(Recharge, till, **known, function=function))
                trade = trade or self.sent[-1]
            elif act == "void":
                self.void_message(trade, till)
            elif act == "un-void":
                self.reverse_message(self.sent[-1], "")
            elif act == "reverse":
                self.reverse_message(trade, "")
            else:
                self.at = self.model.now(self.at) + 24 * 3600 * 1000

    @rule(
        batch=st.integers(1, 2),
        first=st.integers(1, 6),
        more=st.integers(0, 2),
        state=st.sampled_from(["sold", "active", "active", "closed"]),
        merchant=st.sampled_from(["SHOP", "HOTEL"]),
    )
    def move_recharge_cards(self, batch, first, more, state, merchant):
        name, count, *_, price, _ = BATCHES[batch - 1]
        last = min(first + more, count)
        row = MoveRecharge(name, first, last, state, merchant, price)
        self.administer(row, self.model.move_cards)

    @rule()
    def sweep_recharge(self):
        self.sweep("recharge", ExpireRecharge(1), self.model.sweep_cards)

    @invariant()
    def recharge_agrees(self):
        for name, stock in self.model.stock.items():
            assert self.sums[f"CardStock:{name}"] == stock
        for batch, serial in self.model.cards:
            row = self.book.view.get(schema.recharge_card(code(batch, serial)))
            assert (row is not None) == ((batch, serial) in self.model.used_cards)
