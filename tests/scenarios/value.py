"""The verbs of stored value and of card products, for `tests.scenarios.stage`.

Acts::

    top-up 100.00 yuan card A              (500 P01: points)
    purchase 12.30 yuan card A pin right [reference R-17]
    conversion 500 P01 card A
    value-expiry M1
    reactivation M1 until 2028-12-31

Setting the stage::

    product GIFT prefix 621234 length 16 [once] [face 1000.00] [valid 36m] [named] [no-stock]
        [by-top-up] [pin-above 200.00] [no-loss]
    cards B1 of GIFT K1 K2 K3              (serial numbers 1, 2, 3; cards of these names)
    range B1 1 2 distributed

Expectations::

    M1 has 12.30 yuan[, 20.00 in the ledger]
    reply tells 12.30 yuan [20.00]
"""

from typing import Any

from engine.cards import cover_of
from engine.commands import Answer
from engine.records import ASKED_NEVER
from engine.rules import products, value
from ledger.model import MONEY
from tests.engine.house import sealed, token
from tests.scenarios.words import fen, options


class ValueStage:
    """The part of a stage that knows stored value."""

    def top_up(self, words: Any) -> Any:
        return self.request(
            value.TopUp,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            reference=words.valued.get("reference", ""),
            function="210060" if words.unit == MONEY else "210065",
        )

    def purchase(self, words: Any) -> Any:
        return self.request(
            value.Purchase,
            words,
            tokens=words.named(),
            amount=words.amount,
            pin=self.pin(words),
            reference=words.valued.get("reference", ""),
        )

    def conversion(self, words: Any) -> Any:
        return self.request(
            value.Conversion,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            pin=self.pin(words),
        )

    def covers(self, words: Any) -> tuple[str, ...]:
        """The covers of the cards that are named by their numbers, where the act asks for them."""
        if "covered" not in words.rest:
            return ()
        return tuple(cover_of(name) if kind == "C" else "" for kind, name in words.tokens)

    def value_expiry(self, words: Any) -> Any:
        return value.ExpireValue(words.rest[0])

    def reactivation(self, words: Any) -> Any:
        return value.ReactivateValue(words.rest[0], int(words.rest[2].replace("-", "")))

    def set_product(self, words: list[str], at: int) -> Answer:
        flags = {"once", "named", "no-stock", "by-top-up", "no-loss"}
        said = options(words[1:], *flags)
        command = products.PutCardProduct(
            words[0],
            words[0],
            "named" in said,
            "once" not in said,
            fen(said.get("face", "0")),
            said.get("valid", "none"),
            "no-loss" not in said,
            "no-stock" not in said,
            "top-up" if "by-top-up" in said else "operator",
            fen(said["pin-above"]) if "pin-above" in said else ASKED_NEVER,
            said.get("prefix", "621234"),
            int(said.get("length", 16)),
        )
        return self.house.execute(command, at)

    def set_cards(self, words: list[str], at: int) -> Answer:
        batch, _, product, *names = words
        self.house.execute(products.OpenCardBatch(batch, product, len(names)), at)
        numbers = tuple((token("C", name)[1], sealed(name)) for name in names)
        return self.house.execute(products.IssueCards(batch, 1, numbers), at)

    def set_range(self, words: list[str], at: int) -> Answer:
        batch, first, last, state = words
        command = products.MoveCards(batch, int(first), int(last), state)
        return self.house.execute(command, at)

    def expect_value(self, member: str, available: str, ledger: str | None) -> None:
        wallet = self.house.wallet(member)
        today = self.house.machine.clock.date(self.at)
        self.same("available", wallet.available(self.at, today), fen(available))
        self.same("in the ledger", wallet.balance, fen(ledger or available))

    def expect_value_told(self, available: str, ledger: str | None) -> None:
        wanted = ("value", MONEY, fen(available), fen(ledger or available))
        told = self.answer.outcome.balances
        self.same("the reply's balances", wanted if wanted in told else told, wanted)


VALUE_SETTINGS = {
    "product": ValueStage.set_product,
    "cards": ValueStage.set_cards,
    "range": ValueStage.set_range,
}

VALUE_ACTS = {
    "top-up": ValueStage.top_up,
    "purchase": ValueStage.purchase,
    "conversion": ValueStage.conversion,
    "value-expiry": ValueStage.value_expiry,
    "reactivation": ValueStage.reactivation,
}

_YUAN = r"(-?\d+(?:\.\d\d)?)"
VALUE_EXPECTATIONS = [
    (rf"([\w.-]+) has {_YUAN} yuan(?:, {_YUAN} in the ledger)?", ValueStage.expect_value),
    (rf"reply tells {_YUAN} yuan(?: {_YUAN})?", ValueStage.expect_value_told),
]
