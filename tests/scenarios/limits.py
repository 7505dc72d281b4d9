"""Verbs of scenarios about limits, earn rules and credit.

Setting the stage::

    limit DAILY member redemption P01 day [of M1] [min 5] [max 500] [count 3] [soft]
        [from 2026-03-02] [until 2026-03-05]
    earn-rule GOLD P01 times 2/1 [merchant HOTEL] [category 7011] [institution HB01] [tier gold]
        [paid-by HB01] [alone] [priority 5] [from 2026-03-02] [until 2026-03-05]
    credit HOTEL 10000          (fen; "none" lifts it)
    tier M1 gold
    reason SIGNIN P01 [points 10] [rate 1/1] [per-day 1] [paid-by HB01] [other 30]
        [from …] [until …]

Acts::

    reward SIGNIN [5.00 yuan] card A [with card C]
    propose TICKET give 100 P01 M1 by teller [expires 2027-12-31]
        (or take, write-off, to-income)
    confirm TICKET by supervisor
    withdraw TICKET by teller
    let-spend S1 by teller             (pending points of a transaction)
"""

from typing import Any

from engine.commands import Answer
from engine.draft import amended
from engine.records import NEVER
from engine.rules import adjustments, rewards
from engine.rules.earning import PutCredit
from ledger import codec, schema
from ledger.model import MONEY
from tests.engine.house import House
from tests.engine.memory_book import MemoryBook
from tests.scenarios.words import day, options, ratio

OWNERS = ("merchant", "category", "institution")


class LimitsOnStage:
    """What a stage knows of limits."""

    house: House
    book: MemoryBook
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

    def set_earn_rule(self, words: list[str], at: int) -> Answer:
        name, program, *rest = words
        said = options(rest, "alone")
        scope = next((one for one in OWNERS if one in said), "any")
        return self.house.earn_rule(
            name,
            at,
            program=program,
            multiplier=ratio(said["times"]),
            scope=scope,
            key=said.get(scope, ""),
            tier=said.get("tier", ""),
            funder=said.get("paid-by", ""),
            stacks="alone" not in said,
            priority=int(said.get("priority", 100)),
            since=day(said.get("from", "0")),
            until=day(said.get("until", str(NEVER))),
        )

    def set_credit(self, words: list[str], at: int) -> Answer:
        most = -1 if words[1] == "none" else int(words[1])
        return self.house.execute(PutCredit(words[0], most), at)

    def set_reason(self, words: list[str], at: int) -> Answer:
        code, program, *rest = words
        said = options(rest)
        return self.house.execute(
            rewards.PutReason(
                program,
                code,
                int(said.get("points", 0)),
                ratio(said.get("rate", "0/1")),
                int(said.get("per-day", 0)),
                said.get("paid-by", ""),
                day(said.get("from", "0")),
                day(said.get("until", str(NEVER))),
                int(said.get("other", 0)),
            ),
            at,
        )

    def reward(self, words: Any) -> Any:
        named = list(words.named())
        other = [named.pop()] if "with" in words.rest else []
        return self.request(
            rewards.Reward,
            words,
            tokens=tuple(named),
            amount=words.amount or 0,
            code=words.rest[0],
            other=tuple(other),
        )

    def propose(self, words: Any) -> Any:
        name, verb, member, *more = words.rest
        what = {"write-off": "debt", "to-income": "breakage"}.get(verb, "")
        what = what or ("value" if words.unit == MONEY else "points")
        amount = -words.amount if verb == "take" else words.amount
        expires = day(more[1]) if more else 0
        by = words.valued["by"]
        return adjustments.Propose(
            name, what, member, words.unit, amount, expires, "a complaint", by
        )

    def confirm(self, words: Any) -> Any:
        return adjustments.Confirm(words.rest[0], words.valued["by"])

    def withdraw(self, words: Any) -> Any:
        return adjustments.Withdraw(words.rest[0], words.valued["by"])

    def release(self, words: Any) -> Any:
        sequence = self.sequences.get(words.rest[0], 0)
        return adjustments.Release(sequence, words.valued["by"])

    def set_tier(self, words: list[str], _at: int) -> None:
        """The copy of a member's tier that cards and phones carry."""
        for key, packed in list(self.book.view.rows(bytes((schema.ALIAS,)))):
            row = codec.unpack_row(key, packed)
            if row.member == words[0]:
                self.book.view.put(key, codec.pack_record(amended(row, tier=words[1])))

    def expect_event(self, names: str) -> None:
        self.same("soft limits told", " ".join(self.facts().get("event", ())), names)

    def expect_no_event(self) -> None:
        self.same("soft limits told", self.facts().get("event", ()), ())


SETTINGS = {
    "limit": LimitsOnStage.set_limit,
    "earn-rule": LimitsOnStage.set_earn_rule,
    "tier": LimitsOnStage.set_tier,
    "credit": LimitsOnStage.set_credit,
    "reason": LimitsOnStage.set_reason,
}

ACTS = {
    "reward": LimitsOnStage.reward,
    "propose": LimitsOnStage.propose,
    "confirm": LimitsOnStage.confirm,
    "withdraw": LimitsOnStage.withdraw,
    "let-spend": LimitsOnStage.release,
}
