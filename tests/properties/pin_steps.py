"""The steps of the state machine that are about PINs, and how the model judges and counts them."""

from collections import defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from engine.commands import Pin
from engine.rules.accounts import UnlockPin
from engine.rules.members import PinChange, PinCheck
from ledger import schema
from tests.engine.house import token

ABSENT, RIGHT, WRONG = 0, 1, 2
TRIES = 3
FIRST_PIN = b"pin"


class PinModel:
    """The part of a model that knows members' PINs, and how often a wrong one came in a row."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = defaultdict(int)
        self.pins: dict[str, bytes] = defaultdict(lambda: FIRST_PIN)

    def judge_spender(self, command: Any, done: Any) -> str:
        """Who is named by phone alone spends with a PIN."""
        phone_alone = all(kind == "P" for kind, _ in command.tokens)
        return self.judge_pin(command.pin, done.member, needed=phone_alone)

    def judge_pin(self, pin: int, member: str, *, needed: bool) -> str:
        if pin == ABSENT and not needed:
            return ""
        if self.failures[member] == TRIES:
            return "PIN_LOCKED"
        if pin == ABSENT:
            return "PIN_MISSING"
        self.failures[member] = self.failures[member] + 1 if pin == WRONG else 0
        if not self.failures[member]:
            return ""
        return "PIN_LOCKED" if self.failures[member] == TRIES else "PIN_WRONG"

    def pinchange(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        bad = bad or self.judge_pin(command.pin, done.member, needed=True)
        if bad:
            return bad
        self.pins[done.member] = command.new_pin
        return "APPROVED"

    def check_pin(self, command: Any) -> str:
        """A PIN that came with an inquiry; one that is declined is in the journal, too."""
        before = self.failures[command.member]
        bad = self.judge_pin(command.pin, command.member, needed=False)
        self.sequence += bool(bad)
        return bad or ("APPROVED" if before and command.pin == RIGHT else "UNCHANGED")

    def unlock_pin(self, command: Any) -> str:
        return "APPROVED" if self.failures.pop(command.member, 0) else "UNCHANGED"


class PinSteps:
    """PINs are changed, tried with inquiries, and unlocked."""

    @rule(
        till=st.sampled_from(["00000001", "00000003"]),
        who=st.sampled_from([(token("C", "A"),), (token("P", "B"),), (token("C", "C"),)]),
        pin=st.sampled_from([Pin.ABSENT, Pin.RIGHT, Pin.RIGHT, Pin.WRONG]),
        new=st.sampled_from([b"one", b"two"]),
    )
    def change_pin(self, till, who, pin, new):
        self.send(self.request(PinChange, till, tokens=who, pin=pin, new_pin=new))

    @rule(
        member=st.sampled_from(["M1", "M2"]),
        pin=st.sampled_from([Pin.ABSENT, Pin.RIGHT, Pin.WRONG, Pin.WRONG]),
    )
    def ask_with_a_pin(self, member, pin):
        self.administer(PinCheck(member, pin), self.model.check_pin)

    @rule(member=st.sampled_from(["M1", "M2"]))
    def unlock_pin(self, member):
        self.administer(UnlockPin(member, "clerk", "asked for"), self.model.unlock_pin)

    @invariant()
    def pins_agree(self):
        for member in ("M1", "M2", "M3"):
            row = self.book.view.get(schema.named(schema.MEMBER, member))
            assert (row.pin, row.pin_failures) == (
                self.model.pins[member],
                self.model.failures[member],
            )
