"""The verbs of gifts, for `tests.scenarios.stage`.

Setting the stage::

    gift MUG of HOTEL for P01 [stock 3] [per-member 2] [off] from 2026-01-01 500 pays 400 [from …]
                                                    (points, and fen that the owner is paid)

Acts::

    gift-exchange MUG [2] card A [pin right]
    gift-order FIRST handed-over                    (sent, cancelled, cancelled lost)

Expectations::

    stock of MUG 2 used
    order FIRST is reserved
"""

from typing import Any

from engine import gifts, pools
from engine.commands import Answer
from engine.rules.gifts import GiftExchange, MoveGiftOrder, PutGift
from ledger import schema
from tests.scenarios.words import day


class Gifts:
    """The part of a stage that knows gifts."""

    def set_gift(self, words: list[str], at: int) -> Answer:
        name, *rest = words
        said: dict[str, Any] = {"stock": -1, "per-member": 0, "on": True}
        prices = []
        while rest:
            word = rest.pop(0)
            if word == "off":
                said["on"] = False
            elif word == "from":
                prices.append((day(rest[0]), int(rest[1]), int(rest[3])))
                del rest[:4]
            else:
                said[word] = rest.pop(0)
        command = PutGift(
            name,
            name,
            said["of"],
            said["for"],
            tuple(prices),
            int(said["stock"]),
            int(said["per-member"]),
            said["on"],
        )
        return self.house.execute(command, at)

    def gift_exchange(self, words: Any) -> Any:
        name, *quantity = words.rest[2:] if "gift-exchange" in words.rest else words.rest
        return self.request(
            GiftExchange,
            words,
            tokens=words.named(),
            gift=name,
            quantity=int(quantity[0]) if quantity else 1,
            unit="",
            amount=0,
            pin=self.pin(words),
            function="936500",
        )

    def gift_order(self, words: Any) -> Any:
        name, state, *lost = words.rest
        order = self.sequences.get(name, 1)
        return MoveGiftOrder(order, state.replace("-", " "), "clerk", "why", bool(lost))

    def expect_stock(self, gift: str, used: str) -> None:
        pool = self.book.view.get(pools.key_of(gifts.pool_of(gift)))
        self.same("pieces given out", pool.used if pool else 0, int(used))

    def expect_order(self, name: str, state: str) -> None:
        row = self.book.view.get(schema.gift_order(self.sequences[name]))
        self.same("the order", row.state, state)


SETTINGS = {"gift": Gifts.set_gift}
ACTS = {"gift-exchange": Gifts.gift_exchange, "gift-order": Gifts.gift_order}
EXPECTATIONS = [
    (r"stock of (\w+) (\d+) used", Gifts.expect_stock),
    (r"order (\w+) is (.+)", Gifts.expect_order),
]
