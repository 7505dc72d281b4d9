"""The part of the model that knows holds, transfers between members and exchange."""

from typing import Any

from tests.properties.model import MERCHANTS, MONEY, PROGRAMS, Done, last_day
from tests.properties.model import Model as Base
from tests.properties.value_model import HOLD_MS, HOLDS_MAX

RATES = {("P01", "P02"): (3, 1), ("P02", "P01"): (1, 3)}


class Model(Base):
    def may_spend(self, command: Any, done: Done, program: str) -> str:
        """Why points of a program cannot be spent at a merchant, whatever the balance."""
        if program not in MERCHANTS[command.merchant]["programs"]:
            return "NO_TERMS"
        if not command.amount:
            return "AMOUNT_ZERO"
        return self.judge_spender(command, done)

    # Holds.

    def hold(self, command: Any, done: Done) -> str:
        program = command.unit
        if program == MONEY:
            program = MERCHANTS[command.merchant]["programs"][0]
        bad = self.find(command.tokens, done) or self.may_spend(command, done, program)
        if bad:
            return bad
        holding = self.open(done.member, program, done)
        if len(holding.held) == HOLDS_MAX:
            return "HOLDS_FULL"
        amount = self.points(command, program)
        if holding.available(self.today) < amount:
            return "NOT_ENOUGH"
        holding.spend(amount, self.today)
        lots = [(expiry, issuer, -part) for _, issuer, expiry, part in holding.moves]
        holding.held[done.sequence] = (self.at + HOLD_MS, lots)
        holding.moves = []
        done.program = program
        return "APPROVED"

    @staticmethod
    def points(command: Any, program: str) -> int:
        if command.unit != MONEY:
            return command.amount
        return (command.amount * PROGRAMS[program]["rate"] + 99) // 100

    def held(self, command: Any, done: Done, *kinds: str) -> tuple[Done | None, str]:
        """The hold that is meant, and why it cannot be ended."""
        original = self.by_sequence.get(command.original)
        if original is None or type(original.command).__name__ not in kinds:
            return None, "ORIGINAL_UNKNOWN"
        if original.command.merchant != command.merchant or original.reason != "APPROVED":
            return None, "ORIGINAL_UNKNOWN"
        done.member = original.member
        if not self.names(command.tokens, original.member):
            return None, "OTHER_MEMBER"
        if original.undone or original.ended:
            if original.program:
                self.open(original.member, original.program, done)
            return None, "HOLD_ENDED"
        return (original, "") if self.still_keeps(original, done) else (None, "HOLD_TIMED_OUT")

    def still_keeps(self, original: Done, done: Done) -> bool:
        """Look into the points or the value that a hold keeps, whether it still does."""
        if not original.program:
            found = self.values[original.member].held.get(original.sequence)
            return found is not None and found[0] > self.at
        return original.sequence in self.open(original.member, original.program, done).held

    def release(self, command: Any, done: Done) -> str:
        original, bad = self.held(command, done, "Hold", "ValueHold")
        if original is None:
            return bad
        original.ended = "released"
        self.let_go(original)
        return "APPROVED"

    def let_go(self, original: Done) -> None:
        if not original.program:
            del self.values[original.member].held[original.sequence]
            return
        holding = self.holdings[original.member, original.program]
        holding.free(original.sequence, self.today)
        holding.moves = []

    def capture(self, command: Any, done: Done) -> str:
        original, bad = self.held(command, done, "Hold")
        if original is None:
            return bad
        if command.unit != original.command.unit:
            return "UNIT_DIFFERS"
        if not command.amount:
            return "AMOUNT_ZERO"
        if command.amount > original.command.amount:
            return "HOLD_EXCEEDED"
        holding = self.holdings[original.member, original.program]
        until, lots = holding.held[original.sequence]
        done.program, done.moved = original.program, self.points(command, original.program)
        uses = self.uses(command, done, "redemption", {done.program: done.moved})
        bad = self.over(uses, pools=False) or self.over(uses, pools=True)
        if bad:
            return bad
        self.use_up(done, uses)
        wanted, left = done.moved, []
        for expiry, issuer, there in lots:
            part = min(there, wanted)
            wanted -= part
            if part:
                done.moves.append(("lot", issuer, expiry, -part))
            left.append((expiry, issuer, there - part))
        holding.held[original.sequence] = (until, [lot for lot in left if lot[2]])
        self.let_go(original)
        original.ended = "captured"
        done.counted = [(done.program, "D", done.moved)]
        return "APPROVED"

    def undo_hold(self, original: Done, done: Done) -> str:
        if self.still_keeps(original, done):
            self.let_go(original)
        return "HOLD_ENDED" if original.ended == "captured" else ""

    def sweep_holds(self) -> int:
        """End every hold of points whose time is over; returns how many entries that makes."""
        before = self.sequence
        for member, program in list(self.holdings):
            if self.holdings[member, program].held:
                self.open(member, program)
        return self.sequence - before

    # Transfer and exchange.

    def transfer(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        other, bad = self.other(command.other)
        if bad:
            return bad
        if other == done.member:
            return "TO_ONESELF"
        bad = self.may_spend(command, done, command.unit)
        if bad:
            return bad
        holding = self.open(done.member, command.unit, done)
        if holding.available(self.today) < command.amount:
            return "NOT_ENOUGH"
        holding.spend(command.amount, self.today)
        self.note(done, command.unit, "D", command.amount)
        done.follow = ("in", other, command.unit, done.moves)
        return "APPROVED"

    def exchange(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        if command.unit not in MERCHANTS[command.merchant]["programs"]:
            return "NO_TERMS"
        rate = RATES.get((command.unit, command.target))
        if rate is None:
            return "NO_RATE"
        bad = self.may_spend(command, done, command.unit)
        if bad:
            return bad
        gained = command.amount * rate[0] // rate[1]
        if not gained:
            return "EXCHANGE_TOO_SMALL"
        holding = self.open(done.member, command.unit, done)
        second = self.open(done.member, command.target, done)
        if holding.available(self.today) < command.amount:
            return "NOT_ENOUGH"
        holding.spend(command.amount, self.today)
        self.note(done, command.unit, "D", command.amount)
        second.move("lot", "exchange", last_day(command.target, self.today), gained)
        done.more, second.moves = (command.target, second.moves), []
        done.counted.append((command.target, "C", gained))
        return "APPROVED"
