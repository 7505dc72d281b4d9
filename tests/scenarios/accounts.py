"""Verbs of the back office on single members.

at DATE TIME unlock M1
at DATE TIME new-pin M1 [none]
at DATE TIME freeze M1 | unfreeze M1 | set-state M1 closed
at DATE TIME close M1 [forfeit]
at DATE TIME grant M1 gold
at DATE TIME rename M1 1 phone B phone Q card N     (the first goes, the others come)
at DATE TIME set-card M1 card A lost | active
"""

from typing import Any

from engine.rules import accounts
from tests.engine.house import sealed, token

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


ACTS = {
    "unlock": Accounts.unlock,
    "new-pin": Accounts.new_pin,
    "freeze": Accounts.freeze,
    "unfreeze": Accounts.release_account,
    "set-state": Accounts.set_state_to,
    "close": Accounts.close_account,
    "grant": Accounts.grant,
    "rename": Accounts.rename,
    "set-card": Accounts.set_card_state,
}

EXPECTATIONS = [(r"(before|after): (.+)", Accounts.expect_change)]
