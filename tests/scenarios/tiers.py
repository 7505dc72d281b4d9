"""Verbs of scenarios about tiers.

tier silver rank 1 from 2026-01-01 spending 100.00 [visits 3] [both] [period 3] [keep 2]
at DATE TIME tier-review M1
"""

from typing import Any

from engine.commands import Answer
from engine.rules import tiers
from ledger import schema

KEYS = ("from", "spending", "visits", "period", "keep")


class Tiers:
    """The part of a stage that plays these verbs."""

    def set_tier(self, words: list[str], at: int) -> Answer:
        """More lines of the same tier add rules."""
        said: dict[str, str] = {}
        rest = words[3:]
        while rest:
            word = rest.pop(0)
            said[word] = rest.pop(0) if word in KEYS else ""
        yuan, _, cents = said.get("spending", "0").partition(".")
        rules = self.tier_rules.setdefault(words[0], [])
        rules.append(
            (
                int(said["from"].replace("-", "")),
                int(yuan) * 100 + int(cents or 0),
                int(said.get("visits", 0)),
                "both" in said,
                int(said.get("period", 12)),
                int(said.get("keep", 12)),
            )
        )
        command = tiers.PutTier(words[0], words[0], int(words[2]), tuple(rules))
        return self.house.execute(command, at)

    def tier_review(self, words: Any) -> Any:
        return tiers.ReviewTier(words.rest[0])

    def expect_tier(self, member: str, tier: str) -> None:
        """In the member's row, and on everything that names it."""
        row = self.book.view.get(schema.named(schema.MEMBER, member))
        self.same("the tier", row.tier, tier)
        for named in row.tokens:
            alias = self.book.view.get(schema.alias(*named))
            self.same("the tier on a token", alias.tier or "base", tier)

    def expect_earned(self, member: str, tier: str, until: str | None) -> None:
        row = self.book.view.get(schema.named(schema.STANDING, member))
        self.same("the tier earned", row.tier or "nothing", tier)
        self.same("its last day", row.until, int((until or "0").replace("-", "")))


SETTINGS = {"ladder": Tiers.set_tier}

ACTS = {"tier-review": Tiers.tier_review}

EXPECTATIONS = [
    (r"(\w+) is of tier (\w+)", Tiers.expect_tier),
    (r"(\w+) has earned (\w+)(?: until (\d{4}-\d\d-\d\d))?", Tiers.expect_earned),
]
