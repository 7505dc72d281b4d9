"""The model's limits, earn rules, reasons and adjustments by hand."""

from collections import defaultdict
from typing import Any

MONEY = "156"
BLOCKED = {
    "lost": "CARD_LOST",
    "replaced": "CARD_BLOCKED",
    "frozen": "CARD_BLOCKED",
    "dormant": "CARD_NOT_ACTIVE",
    "expired": "CARD_EXPIRED",
}

LIMITS = (
    # name, scope, what, unit, per, most, times; a program's are judged last
    ("OFTEN", "member", "redemption", "P02", "day", 0, 2),
    ("SALES", "terminal", "accrual", MONEY, "month", 70_000, 0),
    ("CAP", "program", "redemption", "P01", "day", 1_000, 0),
    ("SIGNS", "merchant", "reward", "P01", "day", 0, 3),
)
BONUSES = {
    # merchant: the rate with the bonus, and who pays for what it adds
    "HOTEL": ((3, 2), "HB01"),
    "SHOP": ((2, 1), "operator"),
    "CLUB": ((3, 2), "HB01"),
}
REASONS = {
    # program and code: points, points a yuan, times a day, who pays
    ("P01", "SIGN"): (10, (0, 1), 2, ""),
    ("P01", "REVIEW"): (3, (1, 2), 0, "HB01"),
    ("P02", "SIGN"): (7, (1, 1), 1, ""),
    ("P02", "FRIEND"): (20, (0, 1), 0, "HB01"),
    ("P01", "FRIEND"): (15, (0, 1), 0, ""),
}
FRIENDS = {("P02", "FRIEND"): 30, ("P01", "FRIEND"): 25}
"""What the other member of a referral gets."""


class LimitModel:
    """The part of a model that counts what is used, and knows who pays for points."""

    def __init__(self) -> None:
        self.used: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
        self.proposals: dict[str, list] = {}

    # Limits.

    def uses(
        self, command: Any, done: Any, what: str, amounts: dict[str, int], day: int = 0
    ) -> list[tuple]:
        """What a transaction would use: (name, owner, period), amount, most, times.

        One of an earlier day uses nothing of a period that is over.
        """
        owners = {
            "member": done.member,
            "terminal": command.terminal,
            "merchant": command.merchant,
            "program": "",
        }
        found = []
        for name, scope, kind, unit, per, most, times in LIMITS:
            if kind == what and unit in amounts:
                period = self.today if per == "day" else self.today // 100
                if period != ((day or self.today) if per == "day" else (day or self.today) // 100):
                    continue
                found.append(((name, owners[scope], period), amounts[unit], most, times))
        return found

    def over(self, uses: list[tuple], *, pools: bool) -> str:
        """Why a transaction goes beyond a limit, of those of the program or of the others."""
        for key, amount, most, times in uses:
            if (key[1] == "") != pools:
                continue
            used, count = self.used[key]
            if most and used + amount > most:
                return "POOL_EXHAUSTED" if pools else "LIMIT_AMOUNT"
            if times and count + 1 > times:
                return "POOL_EXHAUSTED" if pools else "LIMIT_COUNT"
        return ""

    def use_up(self, done: Any, uses: list[tuple]) -> None:
        done.uses = [(key, amount) for key, amount, _, _ in uses]
        self.use_again(done, 1)

    def cannot_be_undone(self, done: Any) -> str:
        """Why a transaction cannot be voided or reversed, though it is one of those that can."""
        return self.cannot_stand_again(done.voids) if done.voids is not None else ""

    def cannot_stand_again(self, _done: Any) -> str:
        """Why a transaction that was voided cannot stand again, if its void is reversed."""
        return ""

    def use_again(self, done: Any, sign: int) -> None:
        """A void or reversal gives back, its reversal takes again."""
        for key, amount in done.uses:
            self.used[key][0] += sign * amount
            self.used[key][1] += sign

    def use_less(self, done: Any, before: int, after: int, whole: int) -> None:
        """A refund gives its part of the amount back."""
        for key, amount in done.uses:
            self.used[key][0] -= amount * after // whole - amount * before // whole

    # Who pays for points.

    def parts_of(self, merchant: str, amount: int, rate: tuple[int, int]) -> list[tuple[str, int]]:
        """Points of a sale by issuer."""
        above, below = rate
        own = amount * above // (100 * below)
        bonus, funder = BONUSES[merchant]
        all_of_it = amount * above * bonus[0] // (100 * below * bonus[1])
        return [(merchant, own), (funder, all_of_it - own)]

    def shared(self, parts: list[tuple[str, int]], total: int) -> list[int]:
        """A part of the points among their issuers: each takes its floor of what is left."""
        left = sum(points for _, points in parts)
        found = []
        for _, points in parts:
            share = points * total // left if left else 0
            found.append(share)
            total, left = total - share, left - points
        return found

    def reward(self, command: Any, done: Any) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        program = self.programs_of(command)[0]
        given = REASONS.get((program, command.code))
        if given is None:
            return "REWARD_UNKNOWN"
        points, (above, below), times, funder = given
        friends = FRIENDS.get((program, command.code), 0)
        other, bad = self.other(command.other) if friends else ("", "")
        if bad or (friends and other == done.member):
            return bad or "TO_ONESELF"
        points += command.amount * above // (100 * below)
        amounts = {program: points, MONEY: command.amount}
        uses = self.uses(command, done, "reward", amounts)
        if times:
            key = (f"{program}/{command.code}", done.member, self.today)
            uses.append((key, points, 0, times))
        bad = self.over(uses, pools=False)
        if bad:
            return bad
        done.parts = [(funder or command.merchant, points)]
        self.open(done.member, program, done).earn(
            funder or command.merchant,
            self.last_day(program),
            points,
            self.first_day(command.merchant),
        )
        self.note(done, program, "C", points)
        self.use_up(done, uses)
        if other:
            move = (command.merchant, funder or command.merchant, 0, friends)
            done.follow = ("earn", other, program, [move])
        return "APPROVED"

    def other(self, tokens: tuple) -> tuple[str, str]:
        """The second member of a transaction, or why it cannot be that one."""
        if not tokens:
            return "", "MEMBER_MISSING"
        (token,) = tokens
        if token not in self.members:
            return "", "MEMBER_UNKNOWN"
        return self.members[token], BLOCKED.get(self.states[token], "")

    # By hand.

    def propose(self, command: Any) -> str:
        row = [command.what, command.member, command.unit, command.amount, command.by]
        if not command.amount or (command.what == "debt" and command.amount < 0):
            return "REFUSED"
        known = self.proposals.get(command.id)
        if known is not None:
            return "UNCHANGED" if known[:5] == row else "REFUSED"
        self.proposals[command.id] = [*row, ""]
        return "APPROVED"

    def withdraw(self, command: Any) -> str:
        known = self.proposals.get(command.id)
        if known is None or known[5] not in {"", f"{command.by} withdrew"}:
            return "REFUSED"
        if known[5]:
            return "UNCHANGED"
        known[5] = f"{command.by} withdrew"
        return "APPROVED"

    def confirm(self, command: Any) -> str:
        known = self.proposals.get(command.id)
        if known is None:
            return "REFUSED"
        what, member, unit, amount, proposer, decided = known
        if decided:
            return "UNCHANGED" if decided == command.by else "REFUSED"
        if proposer == command.by:
            return "REFUSED"
        change = self.adjust_value if what == "value" else self.adjust_points
        bad = change(what, member, unit, amount)
        if not bad:
            known[5] = command.by
        return bad or "APPROVED"

    def adjust_value(self, _what: str, member: str, _unit: str, amount: int) -> str:
        if amount < 0 and self.worth(member).available(self.today, self.at) < -amount:
            return "REFUSED"
        self.values.setdefault(member, self.worth(member)).balance += amount
        return ""

    def adjust_points(self, what: str, member: str, program: str, amount: int) -> str:
        holding = self.open(member, program)
        if what == "debt":
            if sum(holding.debts.values()) < amount:
                return "REFUSED"
            holding.earn("", 0, amount)
        elif amount > 0:
            holding.move("lot", "adjustment", self.last_day(program), amount)
        elif holding.available(self.today) < -amount:
            return "REFUSED"
        else:
            holding.spend(-amount, self.today)
        holding.moves = []
        return ""
