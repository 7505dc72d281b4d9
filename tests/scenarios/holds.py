"""Verbs of scenarios about holds, transfers and exchange.

rate P01 P02 from DATE 1/10 [owner SHOP]                           (setting)
at DATE TIME hold 100 P01 card A as H1
at DATE TIME capture H1 60 P01 [card A]
at DATE TIME release H1 [card A]
at DATE TIME value-hold 12.30 yuan card A as H1
at DATE TIME value-capture H1 10.00 yuan
at DATE TIME time-out M1 P01
at DATE TIME transfer 100 P01 card A to card C                     (the last named gets them)
at DATE TIME exchange 100 P01 into P02 card A
at DATE TIME second-half T1                                        (once more, for the transfer T1)

``before it KIND`` and ``then KIND`` below an act turn to the entry that the machine made by itself.
"""

from typing import Any

from engine.commands import Answer, Outcome
from engine.rules import exchange, holds, transfers
from ledger import schema
from tests.engine.house import token

UNKNOWN_RRN = -1


class Holds:
    """The part of a stage that plays these verbs."""

    def set_rate(self, words: list[str], at: int) -> Answer:
        unit, target, _, since, ratio, *more = words
        above, below = ratio.split("/")
        return self.house.execute(
            exchange.PutRate(
                unit,
                target,
                int(since.replace("-", "")),
                (int(above), int(below)),
                more[1] if more else "",
            ),
            at,
        )

    def set_rates(self, words: list[str], at: int) -> Answer:
        """``rates P01 P02 are 400``: so many between two programs, one from each day on."""
        days = [20200101 + 100 * (n % 12) + 10000 * (n // 12 % 8) + n // 96 for n in range(1000)]
        for since in sorted(days)[: int(words[3]) - 1]:
            answer = self.set_rate([words[0], words[1], "from", str(since), "1/3"], at)
        return answer

    def set_holds(self, words: list[str], at: int) -> Answer:
        """``holds 32 of 1 P01 card A``: so many."""
        for _ in range(int(words[0])):
            said = {"tokens": (token("C", words[5]),), "unit": words[3], "amount": int(words[2])}
            answer = self.house.send(holds.Hold, self.terminal, at, pin=0, **said)
        return answer

    def hold(self, words: Any) -> Any:
        return self.request(
            holds.Hold,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            pin=self.pin(words),
        )

    def _held(self, words: Any) -> dict[str, Any]:
        original = self.sequences.get(words.rest[0], UNKNOWN_RRN)
        return {"tokens": words.named(), "original": original}

    def release(self, words: Any) -> Any:
        return self.request(holds.Release, words, **self._held(words))

    def capture(self, words: Any) -> Any:
        said = {"unit": words.unit, "amount": words.amount}
        return self.request(holds.Capture, words, **self._held(words), **said)

    def value_hold(self, words: Any) -> Any:
        return self.request(
            holds.ValueHold,
            words,
            tokens=words.named(),
            amount=words.amount,
            pin=self.pin(words),
        )

    def value_capture(self, words: Any) -> Any:
        said = {"unit": words.unit, "amount": words.amount}
        return self.request(holds.ValueCapture, words, **self._held(words), **said)

    def time_out(self, words: Any) -> Any:
        return holds.TimeOut(*words.rest)

    def transfer(self, words: Any) -> Any:
        *tokens, other = words.named()
        return self.request(
            transfers.Transfer,
            words,
            tokens=tuple(tokens),
            other=(other,),
            unit=words.unit,
            amount=words.amount,
            pin=self.pin(words),
        )

    def second_half(self, words: Any) -> Any:
        """The command that completed an entry, as a crash would have it sent again."""
        done = self.book.view.get(schema.sequel(self.sequences[words.rest[0]]))
        entry = self.entry(done.sequence)
        kinds = transfers.HALVES
        return kinds[entry.kind](*entry.command)

    def exchange(self, words: Any) -> Any:
        return self.request(
            exchange.Exchange,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            target=words.rest[1],
            pin=self.pin(words),
        )

    def expect_neighbour(self, where: str, kind: str) -> None:
        """Turn to the entry before or behind, which the machine made by itself."""
        self.check_legs()
        entry = self.entry(self.answer.sequence + (1 if where == "then" else -1))
        self.same("the entry", entry.kind, kind)
        self.answer = Answer(Outcome(*entry.outcome), entry.sequence, entry.date, False)

    def expect_gained(self, gained: str) -> None:
        self.same("points gained", self.facts().get("gained"), gained)

    def expect_in_transit(self, count: str) -> None:
        rows = [*self.book.view.rows(bytes((schema.TRANSIT,)))]
        self.same("second halves open", len(rows), int(count))


SETTINGS = {"rate": Holds.set_rate, "rates": Holds.set_rates, "holds": Holds.set_holds}

ACTS = {
    "hold": Holds.hold,
    "release": Holds.release,
    "capture": Holds.capture,
    "value-hold": Holds.value_hold,
    "value-capture": Holds.value_capture,
    "time-out": Holds.time_out,
    "transfer": Holds.transfer,
    "second-half": Holds.second_half,
    "exchange": Holds.exchange,
}

EXPECTATIONS = [
    (
        r"(before it|then) (hold time-out|transfer in|transfer back|reward other)",
        Holds.expect_neighbour,
    ),
    (r"gained (\+\d+P\d\d)", Holds.expect_gained),
    (r"(\d+) in transit", Holds.expect_in_transit),
]
