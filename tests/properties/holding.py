"""The model's points of a member in a program, moved one leg at a time."""

from collections import defaultdict

FOR_EVER = 99991231


def ripened(
    lots: dict[tuple[int, str], int], waiting: dict[tuple[int, int, str], int], today: int
) -> tuple[dict[tuple[int, str], int], dict[tuple[int, int, str], int]]:
    """Lots, and points that wait still, on a day: nothing is written on the day they can be spent.

    What runs out while it waits is in its lot from the day after.
    """
    free, left = defaultdict(int, lots), dict(waiting)
    for day, expiry, issuer in waiting:
        if day <= today or expiry < today:
            free[expiry, issuer] += left.pop((day, expiry, issuer))
    return free, left


class Holding:
    """Points of a member in a program: lots by (expiry, issuer), what is owed, what holds keep.

    A move is of a lot, of a debt, or of points that wait until a day, which is then its kind.

    Attributes:
        waiting: points that cannot be spent yet, by (day, expiry, issuer).
        held: sequence of the hold to the time from which it keeps nothing, and (expiry, issuer,
            points) in the order in which they are spent.
    """

    def __init__(self) -> None:
        self.lots: dict[tuple[int, str], int] = defaultdict(int)
        self.debts: dict[str, int] = defaultdict(int)
        self.waiting: dict[tuple[int, int, str], int] = defaultdict(int)
        self.held: dict[int, tuple[int, list[tuple[int, str, int]]]] = {}
        self.moves: list[tuple[str | int, str, int, int]] = []

    def move(self, kind: str | int, issuer: str, expiry: int, amount: int) -> None:
        if not amount:
            return
        self.moves.append((kind, issuer, expiry, amount))
        if isinstance(kind, int):
            self.waiting[kind, expiry, issuer] += amount
            assert self.waiting[kind, expiry, issuer] >= 0
            if not self.waiting[kind, expiry, issuer]:
                del self.waiting[kind, expiry, issuer]
        elif kind == "lot":
            self.lots[expiry, issuer] += amount
            assert self.lots[expiry, issuer] >= 0
            if not self.lots[expiry, issuer]:
                del self.lots[expiry, issuer]
        else:
            self.debts[issuer] -= amount
            assert self.debts[issuer] >= 0
            if not self.debts[issuer]:
                del self.debts[issuer]

    def available(self, today: int) -> int:
        good = sum(amount for (expiry, _), amount in self.lots.items() if expiry >= today)
        return good - sum(self.debts.values())

    def ledger(self) -> int:
        kept = sum(lot[2] for _, lots in self.held.values() for lot in lots)
        all_lots = sum(self.lots.values()) + sum(self.waiting.values())
        return all_lots + kept - sum(self.debts.values())

    def ripen(self, today: int) -> None:
        """Let points that waited into their lots."""
        lots, waiting = ripened(self.lots, self.waiting, today)
        self.lots, self.waiting = defaultdict(int, lots), defaultdict(int, waiting)

    def free(self, hold: int, today: int) -> None:
        """What a hold keeps goes back, or runs out at once."""
        for expiry, issuer, amount in self.held.pop(hold)[1]:
            if expiry >= today:
                self.move("lot", issuer, expiry, amount)

    def earn(self, issuer: str, expiry: int, amount: int, wait: int = 0) -> None:
        """Repay what is owed; the rest can be spent from the day `wait` on, if one is said."""
        for creditor in sorted(self.debts):
            part = min(self.debts[creditor], amount)
            self.move("debt", creditor, 0, part)
            amount -= part
        self.move(wait or "lot", issuer, expiry, amount)

    def spend(self, amount: int, today: int) -> None:
        for expiry, issuer in sorted(self.lots):
            if expiry >= today:
                part = min(self.lots[expiry, issuer], amount)
                self.move("lot", issuer, expiry, -part)
                amount -= part
        assert not amount

    def take_back(self, issuer: str, expiry: int, amount: int, *, owe: bool) -> int:
        wanted = amount
        latest_first = sorted(self.waiting, reverse=True)
        for place in [one for one in latest_first if one[1:] == (expiry, issuer)]:
            amount -= self.take_waiting(place, amount)
        own = [(expiry, issuer)] if (expiry, issuer) in self.lots else []
        for lot in own + sorted(set(self.lots) - set(own)):
            part = min(self.lots[lot], amount)
            self.move("lot", lot[1], lot[0], -part)
            amount -= part
        for place in sorted(self.waiting, reverse=True):
            amount -= self.take_waiting(place, amount)
        if owe:
            self.move("debt", issuer, 0, -amount)
            amount = 0
        return wanted - amount

    def take_waiting(self, place: tuple[int, int, str], amount: int) -> int:
        part = min(self.waiting[place], amount)
        self.move(place[0], place[2], place[1], -part)
        return part

    def let_free(self, issuer: str, expiry: int, amount: int) -> int:
        """Let so many points of a lot be spent that wait; those that wait longest first."""
        wanted = amount
        for day, until, party in sorted(self.waiting, reverse=True):
            if (until, party) == (expiry, issuer):
                part = self.take_waiting((day, until, party), amount)
                self.move("lot", issuer, expiry, part)
                amount -= part
        return wanted - amount

    def undo(self, moves: list[tuple[str | int, str, int, int]], today: int) -> None:
        """Negate moves; what waited and was taken waits again, if its day is still to come."""
        for kind, issuer, expiry, amount in reversed(moves):
            if kind != "debt" and amount > 0:
                self.take_back(issuer, expiry, amount, owe=True)
            elif isinstance(kind, int) and kind > today <= expiry:
                self.move(kind, issuer, expiry, -amount)
            elif kind != "debt":
                self.move("lot", issuer, expiry, -amount)
            elif amount > 0:
                self.move("debt", issuer, 0, -amount)
            else:
                part = min(self.debts.get(issuer, 0), -amount)
                self.move("debt", issuer, 0, part)
                self.move("lot", issuer, FOR_EVER, -amount - part)
