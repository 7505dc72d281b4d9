"""Verbs of the back office on single members.

at DATE TIME unlock M1
at DATE TIME new-pin M1 [none]
at DATE TIME freeze M1 | unfreeze M1 | set-state M1 closed
at DATE TIME close M1 [forfeit]
at DATE TIME forget M1 | drop-names M1
at DATE TIME grant M1 gold
at DATE TIME rename M1 1 phone B phone Q card N     (the first goes, the others come)
at DATE TIME set-card M1 card A lost | active
    changed member M1: state active → frozen            (what the trail of the entry tells)
"""

from typing import Any

from engine.rules import accounts, forgetting
from engine.trail import told
from tests.engine.house import CLERK, sealed, token

WHO = ("clerk", "asked for")
"""Who did it, and why."""


class Accounts:
    """The part of a stage that plays these verbs."""

    def unlock(self, words: Any) -> Any:
        return accounts.UnlockPin(words.rest[0], *WHO)

    def new_pin(self, words: Any) -> Any:
        return accounts.SetPin(words.rest[0], *WHO, b"" if "none" in words.rest else b"new")

    def freeze(self, words: Any) -> Any:
        return accounts.SetState(words.rest[0], *WHO, "frozen")

    def release_account(self, words: Any) -> Any:
        return accounts.SetState(words.rest[0], *WHO, "active")

    def set_state_to(self, words: Any) -> Any:
        return accounts.SetState(words.rest[0], *WHO, words.rest[1])

    def close_account(self, words: Any) -> Any:
        return accounts.CloseAccount(words.rest[0], *WHO, "forfeit" in words.rest)

    def forget(self, words: Any) -> Any:
        return forgetting.ForgetMember(words.rest[0], *WHO)

    def drop_names(self, words: Any) -> Any:
        return forgetting.DropNames(words.rest[0], *WHO)

    def grant(self, words: Any) -> Any:
        return accounts.GrantTier(words.rest[0], *WHO, words.rest[1])

    def rename(self, words: Any) -> Any:
        """So many of the tokens said are removed, the others added."""
        count = int(words.rest[1])
        removed, added = words.tokens[:count], words.tokens[count:]
        return accounts.ChangeTokens(
            words.rest[0],
            *WHO,
            tuple(token(*one) for one in removed),
            tuple(token(*one) for one in added),
            tuple(sealed(value) for _, value in added),
            tuple("" for _ in added),
        )

    def set_card_state(self, words: Any) -> Any:
        return accounts.SetCard(words.rest[0], *WHO, words.named()[0][1], words.rest[1])

    def expect_change(self, when: str, said: str) -> None:
        self.same(when, self.facts().get(when), said)

    def expect_trail(self, change: str) -> None:
        """The entry says who gave the command, and this among what it changed."""
        operator, _, changed = self.entry(self.answer.sequence).trail
        self.same("the operator", operator, CLERK[0])
        found = [told(one) for one in changed]
        self.same("what changed", change if change in found else found, change)


ACTS = {
    "unlock": Accounts.unlock,
    "new-pin": Accounts.new_pin,
    "freeze": Accounts.freeze,
    "unfreeze": Accounts.release_account,
    "set-state": Accounts.set_state_to,
    "close": Accounts.close_account,
    "forget": Accounts.forget,
    "drop-names": Accounts.drop_names,
    "grant": Accounts.grant,
    "rename": Accounts.rename,
    "set-card": Accounts.set_card_state,
}

EXPECTATIONS = [
    (r"(before|after): (.+)", Accounts.expect_change),
    (r"changed (.+)", Accounts.expect_trail),
]
