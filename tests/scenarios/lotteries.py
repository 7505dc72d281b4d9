"""The verbs of lotteries, for `tests.scenarios.stage`.

The seed of a scenario is its lottery's name, so that what a draw comes to is known beforehand.

Setting the stage::

    lottery L1 for P01 cost 100 from 2026-03-01 to 2026-03-31 [passes-on] [per-member 3] [live]
        prize CAR 1/100 stock 1 worth 900 prize POINTS 1/2 points 50 …

Acts::

    draw L1 card A [k 2] [pin right]       (k: of another draw than the member's next)
    lottery-approval L1
    lottery-end L1

Expectations::

    drew CAR as draw 1
    prize CAR of L1: 1 given
"""

from typing import Any

from engine import lotteries, pools
from engine.commands import Answer
from engine.rules.lotteries import ApproveLottery, Draw, EndLottery, PutLottery
from ledger import schema
from tests.scenarios.words import day, ratio


def seed_of(lottery: str) -> bytes:
    return lottery.encode().ljust(lotteries.SEED_BYTES, b".")


class Lotteries:
    """The part of a stage that knows lotteries."""

    def set_lottery(self, words: list[str], at: int) -> Answer:
        name, *rest = words
        said: dict[str, Any] = {"per-member": 0}
        prizes: list[tuple] = []
        while rest:
            word = rest.pop(0)
            if word in {"passes-on", "live"}:
                said[word] = True
            elif word == "prize":
                prizes.append((rest.pop(0), "a prize", ratio(rest.pop(0)), -1, 0, 0))
            elif word in {"stock", "points", "worth"}:
                place = {"stock": 3, "points": 4, "worth": 5}[word]
                prize = list(prizes[-1])
                prize[place] = int(rest.pop(0))
                prizes[-1] = tuple(prize)
            else:
                said[word] = rest.pop(0)
        command = PutLottery(
            name,
            name,
            said["for"],
            int(said["cost"]),
            day(said["from"]),
            day(said["to"]),
            tuple(prizes),
            "passes-on" in said,
            int(said["per-member"]),
            "live" in said,
            b"sealed " + name.encode(),
            "hash of " + name,
        )
        return self.house.execute(command, at)

    def draw(self, words: Any) -> Any:
        rest = words.rest[2:] if "draw" in words.rest else words.rest
        alias = self.book.view.get(schema.alias(*words.named()[0]))
        member = alias.member if alias is not None else ""
        draws = self.book.view.get(schema.draws(rest[0], member)) or lotteries.NO_DRAWS
        k = draws.kept[0][0] if draws.kept else draws.count + 1
        if "k" in rest:
            k = int(rest[-1])
        return self.request(
            Draw,
            words,
            tokens=words.named(),
            lottery=rest[0],
            unit="",
            amount=0,
            k=k,
            ticket=lotteries.ticket(seed_of(rest[0]), rest[0], member, k),
            pin=self.pin(words),
            function="946500",
        )

    def lottery_approval(self, words: Any) -> Any:
        name = words.rest[0]
        return ApproveLottery(name, b"sealed " + name.encode(), "hash of " + name, "clerk")

    def lottery_end(self, words: Any) -> Any:
        return EndLottery(words.rest[0], "clerk", "why")

    def expect_drew(self, prize: str, k: str) -> None:
        self.same("the prize", self.facts()["prize"], prize)
        self.same("the draw", self.facts()["draw"][0], int(k))

    def expect_given(self, prize: str, lottery: str, used: str) -> None:
        pool = self.book.view.get(pools.key_of(lotteries.pool_of(lottery, prize)))
        self.same("pieces given", pool.used if pool else 0, int(used))


SETTINGS = {"lottery": Lotteries.set_lottery}
ACTS = {
    "draw": Lotteries.draw,
    "lottery-approval": Lotteries.lottery_approval,
    "lottery-end": Lotteries.lottery_end,
}
EXPECTATIONS = [
    (r"drew (\w+) as draw (\d+)", Lotteries.expect_drew),
    (r"prize (\w+) of (\w+): (\d+) given", Lotteries.expect_given),
]
