"""The step of the state machine that is about gifts, and the model's stock."""

from collections import defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from engine import gifts, pools
from engine.rules.gifts import GiftExchange, PutGift
from tests.engine.house import token

MUG, PROGRAM, PRICE, STOCK, PER_MEMBER = "MUG", "P02", 20, 4, 3


class GiftModel:
    """The part of a model that knows gifts: pieces given out, and to whom."""

    gifts_out = 0

    def pieces(self) -> dict[str, int]:
        return self.__dict__.setdefault("gifts_had", defaultdict(int))

    def giftexchange(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        if command.gift != MUG:
            return "GIFT_UNKNOWN"
        if PROGRAM not in self.programs_of(command):
            return "NO_TERMS"
        if not command.quantity:
            return "QUANTITY_ZERO"
        points = PRICE * command.quantity
        uses = self.uses(command, done, "gift", {PROGRAM: points})
        bad = self.over(uses, pools=False)
        if bad:
            return bad
        if self.pieces()[done.member] + command.quantity > PER_MEMBER:
            return "GIFTS_ENOUGH"
        bad = self.judge_spender(command, done)
        if bad:
            return bad
        holding = self.open(done.member, PROGRAM, done)
        if holding.available(self.today) < points:
            return "NOT_ENOUGH"
        if self.gifts_out + command.quantity > STOCK:
            return "GIFT_SOLD_OUT"
        bad = self.over(uses, pools=True)
        if bad:
            return bad
        holding.spend(points, self.today)
        self.note(done, PROGRAM, "D", points)
        self.use_up(done, uses)  # and the pieces with it, see `use_again`
        return "APPROVED"

    def hand_out(self, done: Any, sign: int) -> None:
        self.gifts_out += sign * done.command.quantity
        self.pieces()[done.member] += sign * done.command.quantity

    def use_again(self, done: Any, sign: int) -> None:
        if type(done.command).__name__ == "GiftExchange":
            self.hand_out(done, sign)
        super().use_again(done, sign)


class GiftSteps:
    """Exchanges of points for gifts."""

    def register_gifts(self, at):
        gift = PutGift(MUG, MUG, "SHOP", PROGRAM, ((20260101, PRICE, 5),), STOCK, PER_MEMBER, True)
        self.house.execute(gift, at)

    @rule(
        till=st.sampled_from(["00000001", "00000003"]),
        who=st.sampled_from([(token("C", "A"),), (token("P", "B"),), (token("C", "C"),)]),
        gift=st.sampled_from([MUG] * 5 + ["CUP"]),
        quantity=st.integers(0, 4),
        pin=st.sampled_from([0, 0, 1, 1, 2]),
    )
    def exchange_gift(self, till, who, gift, quantity, pin):
        said = {"tokens": who, "gift": gift, "quantity": quantity, "unit": "", "amount": 0}
        self.send(self.request(GiftExchange, till, **said, pin=pin, function="936500"))

    @invariant()
    def gifts_agree(self):
        pool = self.book.view.get(pools.key_of(gifts.pool_of(MUG)))
        assert (pool.used if pool is not None else 0) == self.model.gifts_out
