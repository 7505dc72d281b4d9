"""Words of scenarios that several families read alike."""

import re

from ledger.model import MONEY
from tests.engine.house import token

KINDS = {"card": "C", "phone": "P", "qr": "Q", "contactless": "U", "identity": "I"}
VALUED = (
    "code",
    "coupon",
    "coupon-pin",
    "pieces",
    "batch",
    "stan",
    "as",
    "pin",
    "by",
    "merchant",
    "reference",
    "operator",
    "operator-pin",
    "version",
    "software",
)


def day(text: str) -> int:
    return int(text.replace("-", ""))


def ratio(text: str) -> tuple[int, int]:
    above, below = text.split("/")
    return int(above), int(below)


def options(words: list[str], *flags: str) -> dict[str, str]:
    """Words as a dict: flags stand alone, others are followed by a value."""
    said: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        said[word] = "" if word in flags else rest.pop(0)
    return said


def fen(text: str) -> int:
    """Fen of an amount in yuan, which may be below zero."""
    sign = -1 if text.startswith("-") else 1
    yuan, _, cents = text.lstrip("-").partition(".")
    return sign * (int(yuan) * 100 + int(cents.ljust(2, "0") if cents else 0))


class Words:
    """The words of an act, taken apart: values behind known words, amounts, and the rest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.valued: dict[str, str] = {}
        self.tokens: list[tuple[str, str]] = []
        self.amount: int | None = None
        self.unit = ""
        self.rest: list[str] = []
        words = text.split()
        while words:
            word = words.pop(0)
            if word in KINDS:
                self.tokens.append((KINDS[word], words.pop(0)))
            elif word in VALUED:
                self.valued[word] = words.pop(0)
            elif words and words[0] == "yuan":
                self.amount, self.unit = fen(word), MONEY
                words.pop(0)
            elif words and re.fullmatch(r"P\d\d", words[0]) and word.isdecimal():
                self.amount, self.unit = int(word), words.pop(0)
            else:
                self.rest.append(word)

    def named(self) -> tuple:
        return tuple(token(*one) for one in self.tokens)

    def number(self, name: str) -> int:
        return int(self.valued.get(name, 0))
