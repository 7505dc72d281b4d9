"""The verbs of recharge cards, for `tests.scenarios.stage`.

Acts; a card is ``batch.serial``::

    recharge-batch R1 count 10 of P01 500 until 2026-12-31       (of 156 5000: fen)
    recharge-cards R1 1 5 sold HOTEL 450                        (fen for each)
    recharge-cards R1 1 5 active
    recharge 1.3 500 P01 card A                                 (0 P01: the till does not say)
    recharge-expiry 1
"""

from typing import Any

from engine.rules.recharge import ExpireRecharge, MoveRecharge, OpenRecharge, Recharge
from ledger.model import MONEY
from tests.engine.house import token
from tests.scenarios.words import day


class Recharging:
    """The part of a stage that knows recharge cards."""

    def recharge_batch(self, words: Any) -> Any:
        name, _, count, _, *face, _, until = words.text.split()
        return OpenRecharge(name, int(count), 20, "key", face[0], int(face[1]), day(until))

    def recharge_cards(self, words: Any) -> Any:
        name, first, last, state, *sold = words.rest
        merchant, price = sold or ("", 0)
        return MoveRecharge(name, int(first), int(last), state, merchant, int(price))

    def recharge(self, words: Any) -> Any:
        name = words.rest[-1]
        batch, serial = (int(part) for part in name.split("."))
        return self.request(
            Recharge,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            coupon=token("K", name)[1],
            code_batch=batch,
            serial=serial,
            function="210060" if words.unit == MONEY else "210065",
        )

    def recharge_expiry(self, words: Any) -> Any:
        return ExpireRecharge(int(words.rest[0]))


ACTS = {
    "recharge-batch": Recharging.recharge_batch,
    "recharge-cards": Recharging.recharge_cards,
    "recharge": Recharging.recharge,
    "recharge-expiry": Recharging.recharge_expiry,
}
