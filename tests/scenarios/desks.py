"""Verbs of scenarios about tills: operators, locks, what terminals download.

operator 007 at HOTEL supervisor pin 1234       (or cashier; the merchant's terms say what for)
at DATE TIME void … operator 007 operator-pin right
at DATE TIME unlock-operator 007 merchant HOTEL by lead
at DATE TIME set-terminal 00000001 lock by lead
at DATE TIME put-parameters any version 1.2 [software 3.4]
at DATE TIME key-component 00000001 1 AA [with BB gives CC] by anna
at DATE TIME reseal 00000001 OLD NEW
"""

from typing import Any

from engine.rules import custody, desks
from ledger import schema


class Desks:
    """The part of a stage that plays these verbs."""

    def set_operator(self, words: list[str], at: int) -> Any:
        pin = words[5].encode() if len(words) > 5 else b""
        command = desks.PutOperator(words[2], words[0], words[0], pin, words[3], True)
        return self.house.execute(command, at)

    def operator(self, words: Any) -> dict[str, Any]:
        """Who approves a void or refund, as the till says it."""
        return {
            "operator": words.valued.get("operator", ""),
            "operator_pin": int(self.verdict(words.valued.get("operator-pin"))),
        }

    def unlock_operator(self, words: Any) -> Any:
        return desks.UnlockOperator(
            words.valued["merchant"], words.rest[0], words.valued["by"], "asked"
        )

    def set_terminal_state(self, words: Any) -> Any:
        return desks.SetTerminal(words.rest[0], words.rest[1], words.valued["by"], "asked")

    def put_parameters(self, words: Any) -> Any:
        said = words.valued
        entries = (("NAME", "text"),)
        return desks.PutParameters("any", "", said["version"], said.get("software", ""), entries)

    def load_component(self, words: Any) -> Any:
        rest = [*words.rest, "", "", "", ""]
        second = bool(rest[3])
        return custody.LoadComponent(
            rest[0],
            int(rest[1]),
            words.valued["by"],
            rest[2],
            b"" if second else b"sealed",
            rest[4],
            b"sealed".ljust(custody.SEAL_HEAD, b".") if second else b"",
            rest[6],
        )

    def reseal(self, words: Any) -> Any:
        key = schema.terminal(schema.TERMINAL, words.rest[0])
        old, new = (word.encode().ljust(custody.SEAL_HEAD, b".") for word in words.rest[1:3])
        return custody.Reseal(((key, old, new),))

    def expect_key(self, name: str, check: str) -> None:
        row = self.book.view.get(schema.terminal(schema.TERMINAL, name))
        self.same("the key's check value", row.tmk_check, check)

    def expect_operator(self, name: str, merchant: str, failures: str) -> None:
        row = self.book.view.get(schema.operator(merchant, name))
        self.same("wrong PINs", row.pin_failures, int(failures))

    def expect_terminal(self, name: str, state: str) -> None:
        row = self.book.view.get(schema.terminal(schema.TERMINAL, name))
        words = ["enabled" if row.enabled else "disabled"] + ["locked"] * row.locked
        self.same("the terminal", " ".join(words), state)


SETTINGS = {"operator": Desks.set_operator}

ACTS = {
    "unlock-operator": Desks.unlock_operator,
    "set-terminal": Desks.set_terminal_state,
    "put-parameters": Desks.put_parameters,
    "key-component": Desks.load_component,
    "reseal": Desks.reseal,
}

EXPECTATIONS = [
    (r"operator (\w+) at (\w+) has (\d+) wrong PINs?", Desks.expect_operator),
    (r"key of terminal (\w+) is (\w+)", Desks.expect_key),
    (r"terminal (\w+) is ([a-z ]+)", Desks.expect_terminal),
]
