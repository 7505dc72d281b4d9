"""Verbs of scenarios about limits."""

from typing import Any

from engine.commands import Answer
from tests.engine.house import House
from tests.scenarios.words import day, options


class LimitsOnStage:
    """What a stage knows of limits."""

    house: House
    answer: Answer | None

    def set_limit(self, words: list[str], at: int) -> Answer:
        name, scope, what, unit, per, *rest = words
        said = options(rest, "soft")
        more: dict[str, Any] = {}
        if "from" in said:
            more["since"] = day(said["from"])
        if "until" in said:
            more["until"] = day(said["until"])
        return self.house.limit(
            name,
            at,
            scope=scope,
            key=said.get("of", ""),
            what=what,
            unit=unit,
            per=per,
            amount_min=int(said.get("min", 0)),
            amount_max=int(said.get("max", 0)),
            count_max=int(said.get("count", 0)),
            hard="soft" not in said,
            **more,
        )

    def expect_event(self, names: str) -> None:
        self.same("soft limits told", " ".join(self.facts().get("event", ())), names)

    def expect_no_event(self) -> None:
        self.same("soft limits told", self.facts().get("event", ()), ())
