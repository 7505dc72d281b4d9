"""The model's stored value: what members have, until when, and the cards of one product."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MONEY = "156"
FOR_EVER = 99991231
HOLD_MS = 30 * 60_000
HOLDS_MAX = 32
GIFT_DAYS = 12
GIFT_FACE = 9_000
"""Cards of the batch B1 are loaded by terminals, last so many days, and hold so many fen."""


@dataclass
class Worth:
    """Fen in the ledger, and the last day on which they can be spent; 0 before the first load.

    Attributes:
        held: sequence of the hold to the time from which it keeps nothing, and fen.
    """

    balance: int = 0
    expires: int = 0
    held: dict[int, tuple[int, int]] = field(default_factory=dict)

    def run_out(self, today: int) -> bool:
        return 0 < self.expires < today

    def kept(self, at: int) -> int:
        return sum(amount for until, amount in self.held.values() if until > at)

    def available(self, today: int, at: int) -> int:
        free = self.balance - self.kept(at)
        return min(free, 0) if self.run_out(today) else free


def is_gift(member: str) -> bool:
    return member.startswith("B1.")


class ValueModel:
    """The part of a model that knows stored value."""

    def __init__(self) -> None:
        self.values: dict[str, Worth] = {}
        self.ran_out: dict[str, int] = {}
        self.asked: Any = None

    def worth(self, member: str) -> Worth:
        return self.values.get(member) or Worth()

    def may_load(self, member: str, amount: int) -> str:
        worth = self.worth(member)
        if worth.run_out(self.today):
            return "CARD_EXPIRED"
        if not amount:
            return "AMOUNT_ZERO"
        return "OVER_FACE_VALUE" if is_gift(member) and worth.balance + amount > GIFT_FACE else ""

    def load(self, done: Any, amount: int) -> None:
        worth = self.values.setdefault(done.member, Worth())
        worth.balance += amount
        done.value = amount
        last = FOR_EVER
        if is_gift(done.member):
            day = datetime.strptime(str(self.today), "%Y%m%d").replace(tzinfo=UTC)
            last = int((day + timedelta(days=GIFT_DAYS)).strftime("%Y%m%d"))
        if last > worth.expires:
            done.validity = worth.expires, last
            worth.expires = last

    def topup(self, command: Any, done: Any) -> str:
        dormant = [t for t in command.tokens if self.states[t] == "dormant"]
        if command.unit == MONEY:
            self.states |= dict.fromkeys(dormant, "active")
        reason = self.loaded(command, done)
        if reason != "APPROVED":
            self.states |= dict.fromkeys(dormant, "dormant")
        return reason

    def loaded(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        if command.unit == MONEY:
            bad = self.may_load(done.member, command.amount)
            if bad:
                return bad
            self.load(done, command.amount)
            done.counted = [(MONEY, "C", command.amount)]
            return "APPROVED"
        if command.unit not in self.programs_of(command):
            return "NO_TERMS"
        if not command.amount:
            return "AMOUNT_ZERO"
        holding = self.open(done.member, command.unit, done)
        holding.move("lot", command.unit, self.last_day(command.unit), command.amount)
        self.note(done, command.unit, "C", command.amount)
        return "APPROVED"

    def may_pay(self, command: Any, done: Any) -> tuple[Worth, str]:
        """The member's stored value, and why it may not be asked for so much."""
        bad = self.find(command.tokens, done)
        worth = self.worth(done.member)
        if not bad and worth.run_out(self.today):
            bad = "CARD_EXPIRED"
        if not bad and not command.amount:
            bad = "AMOUNT_ZERO"
        return worth, bad or self.judge_spender(command, done)

    def purchase(self, command: Any, done: Any) -> str:
        worth, bad = self.may_pay(command, done)
        if bad:
            return bad
        if worth.available(self.today, self.at) < command.amount:
            return "NOT_ENOUGH"
        worth.balance -= command.amount
        done.value = -command.amount
        done.counted = [(MONEY, "D", command.amount)]
        return "APPROVED"

    # Holds, which post nothing.

    def valuehold(self, command: Any, done: Any) -> str:
        worth, bad = self.may_pay(command, done)
        if bad:
            return bad
        if sum(until > self.at for until, _ in worth.held.values()) >= HOLDS_MAX:
            return "HOLDS_FULL"
        if worth.available(self.today, self.at) < command.amount:
            return "NOT_ENOUGH"
        worth.held[done.sequence] = (self.at + HOLD_MS, command.amount)
        return "APPROVED"

    def valuecapture(self, command: Any, done: Any) -> str:
        original, bad = self.held(command, done, "ValueHold")
        if original is None:
            return bad
        if command.unit != MONEY:
            return "UNIT_DIFFERS"
        if not command.amount:
            return "AMOUNT_ZERO"
        if command.amount > original.command.amount:
            return "HOLD_EXCEEDED"
        worth = self.values[original.member]
        if worth.balance < command.amount:
            return "NOT_ENOUGH"
        del worth.held[original.sequence]
        worth.balance -= command.amount
        original.ended = "captured"
        done.value = -command.amount
        done.counted = [(MONEY, "D", command.amount)]
        return "APPROVED"

    def refund_purchase(self, command: Any, original: Any, done: Any) -> None:
        self.values[original.member].balance += command.amount
        done.value = command.amount
        done.counted = [(MONEY, "C", command.amount)]

    def conversion(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        if command.unit not in self.programs_of(command):
            return "NO_TERMS"
        value = command.amount * 100 // self.rate_of(command.unit)
        bad = self.may_load(done.member, command.amount and value)
        if bad:
            nothing = bad == "AMOUNT_ZERO" and command.amount
            return "CONVERTS_TO_NOTHING" if nothing else bad
        bad = self.judge_spender(command, done)
        if bad:
            return bad
        holding = self.open(done.member, command.unit, done)
        if holding.available(self.today) < command.amount:
            return "NOT_ENOUGH"
        holding.spend(command.amount, self.today)
        self.note(done, command.unit, "D", command.amount)
        self.load(done, value)
        done.counted.append((MONEY, "C", value))
        return "APPROVED"

    def give_back_value(self, original: Any, done: Any) -> None:
        """Undo what a message did to value; of a void, let what it undid stand again."""
        if original.value:
            self.values[original.member].balance -= original.value
            done.value = -original.value
        first, place = (original, 0) if original.voids is None else (original.voids, 1)
        if first.validity is not None:
            worth = self.values[original.member]
            if worth.expires == first.validity[1 - place]:
                worth.expires = first.validity[place]

    def sweep_value(self) -> int:
        """Take what has run out; returns how many entries that makes."""
        made = 0
        for member, worth in self.values.items():
            rest = worth.balance - worth.kept(self.at)
            if worth.run_out(self.today) and rest > 0:
                self.ran_out[member] = self.ran_out.get(member, 0) + rest
                worth.balance -= rest
                made += 1
                if not worth.balance:
                    self.turn(member, "active", "expired")
        self.sequence += made
        return made

    def reactivate(self, member: str, expires: int) -> str:
        worth = self.values.get(member)
        if worth is None:
            return "REFUSED"
        amount = self.ran_out.get(member, 0)
        if not amount and worth.expires == expires:
            return "UNCHANGED"
        if not amount and not worth.run_out(self.today):
            return "REFUSED"
        worth.balance += amount
        worth.expires = expires
        self.ran_out[member] = 0
        self.turn(member, "expired", "active")
        self.sequence += 1
        return "APPROVED"

    def propose_value(self, command: Any) -> str:
        senseless = command.amount < 0 and command.what == "breakage"
        self.asked = None if senseless or not command.amount else command
        return "APPROVED" if self.asked else "REFUSED"

    def confirm_value(self, _: Any) -> str:
        """Post what was just proposed."""
        if self.asked is None:
            return "REFUSED"
        member, amount = self.asked.member, self.asked.amount
        if self.asked.what == "breakage":
            if amount > self.ran_out.get(member, 0):
                return "REFUSED"
            self.ran_out[member] -= amount
            return "APPROVED"
        if amount < 0 and self.worth(member).available(self.today, self.at) < -amount:
            return "REFUSED"
        self.values.setdefault(member, Worth()).balance += amount
        return "APPROVED"

    def turn(self, member: str, before: str, after: str) -> None:
        for token, name in self.members.items():
            if name == member and is_gift(member) and self.states[token] == before:
                self.states[token] = after
