"""The step of the state machine that is about lotteries, and the model's own draws.

The model reads a ticket by what ``engine/RULES.md`` says of it, and lays out the table itself.
"""

import hashlib
import hmac
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from engine.rules.lotteries import Draw, PutLottery
from ledger import schema
from tests.engine.house import token

LUCK, PROGRAM, COST, PER_MEMBER, OVER = "LUCK", "P02", 15, 5, 20260630
SEED = bytes(range(32))
PRIZES = (
    # id, one in so many, pieces in all (-1: as many as there are draws), points
    ("TRIP", 4, 1, 0),
    ("FORTY", 3, 2, 40),
    ("FIVE", 3, -1, 5),
)
EVEN = 12
"""The odds of all prizes are parts of this many."""


def ticket(member: str, k: int) -> bytes:
    return hmac.new(SEED, f"{LUCK}:{member}:{k}".encode(), hashlib.sha256).digest()


class PrizeModel:
    """The part of a model that knows lotteries: who drew what, and which prizes are gone."""

    def __init__(self) -> None:
        self.draws: dict[str, int] = {}
        self.kept: dict[str, list[tuple[int, int]]] = {}
        self.won: dict[str, int] = {}

    def next_k(self, member: str) -> int:
        """The number of a member's next draw: one that was reversed comes again first."""
        kept = self.kept.get(member)
        return kept[0][0] if kept else self.draws.get(member, 0) + 1

    def draw(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        if command.lottery != LUCK:
            return "LOTTERY_UNKNOWN"
        if self.today > OVER:
            return "LOTTERY_OVER"
        if PROGRAM not in self.programs_of(command):
            return "NO_TERMS"
        k, kept = self.next_k(done.member), self.kept.setdefault(done.member, [])
        if not kept and k > PER_MEMBER:
            return "DRAWS_ENOUGH"
        phone_alone = all(kind == "P" for kind, _ in command.tokens)
        bad = self.judge_pin(command.pin, done.member, needed=phone_alone)
        if bad:
            return bad
        if command.k != k:
            return "DRAW_AGAIN"
        holding = self.open(done.member, PROGRAM, done)
        if holding.available(self.today) < COST:
            return "NOT_ENOUGH"
        holding.spend(COST, self.today)
        if kept:
            _, place = kept.pop(0)
        else:
            self.draws[done.member] = k
            place = self.award(int.from_bytes(command.ticket, "big") % EVEN)
        if place < len(PRIZES):
            holding.earn(LUCK, self.last_day(PROGRAM), PRIZES[place][3])
        self.note(done, PROGRAM, "D", COST)
        done.prize = k, place
        return "APPROVED"

    def award(self, number: int) -> int:
        """The place in the table of the prize that is won; one behind it for none."""
        place = 0
        while place < len(PRIZES) and number >= EVEN // PRIZES[place][1]:
            number -= EVEN // PRIZES[place][1]
            place += 1
        for name, _, stock, _ in PRIZES[place:]:
            if stock < 0 or self.won.get(name, 0) < stock:
                self.won[name] = self.won.get(name, 0) + 1
                return place
            place += 1
        return place

    def use_again(self, done: Any, sign: int) -> None:
        """A draw is reversed, never voided: what it won is kept for the member's next one."""
        if type(done.command).__name__ == "Draw":
            self.kept[done.member] = sorted([*self.kept[done.member], done.prize])
        super().use_again(done, sign)


class PrizeSteps:
    """Draws, and the same again after they were reversed."""

    def register_lottery(self, at):
        prizes = tuple(
            (name, name, (1, parts), stock, points, 100) for name, parts, stock, points in PRIZES
        )
        said = (LUCK, LUCK, PROGRAM, COST, 20260301, OVER, prizes, True, PER_MEMBER, True)
        digest = hashlib.sha256(SEED).hexdigest()
        assert self.house.execute(PutLottery(*said, b"sealed", digest), at).approved

    @rule(
        till=st.sampled_from(["00000001", "00000003"]),
        who=st.sampled_from([*[(token("C", "C"),)] * 3, (token("C", "A"),), (token("P", "B"),)]),
        lottery=st.sampled_from([LUCK] * 5 + ["BAD"]),
        pin=st.sampled_from([0, 0, 1, 1, 2]),
        late=st.sampled_from([0] * 6 + [1]),
        plot=st.lists(
            st.sampled_from(["draw", "draw", "reverse", "reverse", "void", "refund"]), max_size=6
        ),
    )
    def draw_lots(self, till, who, lottery, pin, late, plot):
        """A draw, and what is done to it; one is `late` that another has come before."""
        for act in ["draw", *plot]:
            if act == "draw":
                member = self.model.members[who[0]]
                k = self.model.next_k(member) - late
                said = {"tokens": who, "lottery": lottery, "unit": "", "amount": 0, "pin": pin}
                said |= {"k": k, "ticket": ticket(member, k), "function": "946500"}
                self.send(self.request(Draw, till, **said))
                trade = self.sent[-1]
            elif act == "reverse":
                self.reverse_message(trade, "")
            elif act == "void":
                self.void_message(trade, till)
            else:
                self.return_part(trade, 0, trade.tokens, till)

    @invariant()
    def draws_agree(self):
        for member, count in self.model.draws.items():
            row = self.book.view.get(schema.draws(LUCK, member))
            assert row.count == count
            kept = [
                (k, place if place < len(PRIZES) else -1) for k, place in self.model.kept[member]
            ]
            assert list(row.kept) == kept
