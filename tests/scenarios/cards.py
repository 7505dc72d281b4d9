"""Verbs of scenarios about cards and accounts: what is lost, replaced, frozen, closed.

at DATE TIME loss-report card A | phone B | identity I
at DATE TIME replacement card A new card N [misread] [pin right]
"""

from typing import Any

from engine.cards import card_state
from engine.draft import amended
from engine.rules import cards
from ledger import codec, schema
from tests.engine.house import sealed, token


class Cards:
    """The part of a stage that plays these verbs."""

    def loss_report(self, words: Any) -> Any:
        return self.request(cards.LossReport, words, tokens=words.named())

    def replacement(self, words: Any) -> Any:
        """The last card said, after ``new``, is the new one."""
        number = words.tokens.pop()[1]
        return self.request(
            cards.CardReplacement,
            words,
            tokens=words.named(),
            new_card=token("C", number)[1],
            sealed=sealed(number),
            number_valid="misread" not in words.rest,
            pin=self.pin(words),
        )

    def set_tokens(self, words: list[str], _at: int) -> None:
        """A member that has had many phones: ``tokens of M3 are 256``."""
        key = schema.named(schema.MEMBER, words[1])
        row = self.book.view.get(key)
        spare = tuple(token("P", f"former {n}") for n in range(int(words[3]) - len(row.tokens)))
        row = amended(row, tokens=row.tokens + spare)
        self.book.view.put(key, codec.pack_record(row))

    def expect_card(self, name: str, state: str) -> None:
        row = self.book.view.get(schema.alias(*token("C", name)))
        self.same("the card", card_state(self.book.view.get, row), state)

    def expect_replaced_by(self, old: str, new: str) -> None:
        row = self.book.view.get(schema.replacement(token("C", old)[1]))
        self.same("its successor", row.card, token("C", new)[1])


SETTINGS = {"tokens": Cards.set_tokens}

ACTS = {
    "loss-report": Cards.loss_report,
    "replacement": Cards.replacement,
}

EXPECTATIONS = [
    (r"card (\w+) is ([a-z]+)", Cards.expect_card),
    (r"card (\w+) leads to (\w+)", Cards.expect_replaced_by),
]
