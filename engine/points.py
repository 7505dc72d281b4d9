"""A member's points in one program while a rule works on them.

A `Purse` is a working copy: it reads the points record once, changes lists, and notes each change
as a posting, so that what is stored and what is posted cannot differ. Lots are kept in the order in
which they are consumed: earliest expiry first, then issuer. The record holds up to `LOTS_MAX` lots;
later ones are in chunks beside it, of which the first is pulled in when it is needed. What a hold
keeps is no longer in a lot, and goes back into its lot when the hold ends. Points that cannot be
spent before a day wait beside the lots, on the lots' accounts: to let them in posts nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from engine.records import NEVER, NO_POINTS, RECENT_MAX, Chunk, HeldPoints, Lot, Pending, Points
from ledger import chart, schema
from ledger.model import Posting

LOTS_MAX: Final = 256
"""Lots in a points record or a chunk; a full one is halved."""

PENDING_MAX: Final = 256
"""Days, expiries and issuers for which points of a member may wait; more are not made to wait."""

HOLDS_MAX: Final = 32
"""Holds that a member may have open in a program."""

_NONE: Final[list[Pending]] = []

POINTS_MAX: Final = 999_999_999_999
"""Points that a member may have in a program: a terminal can be told twelve digits."""


class Purse:
    """Working copy of a member's points in a program.

    Attributes:
        member, program: whose points, of which program.
        postings: what has been posted to lots, holds and debts so far.
        holds: what is held.
        waited: pending points that were taken back.
    """

    __slots__ = (
        "_chunks",
        "_debts",
        "_dirty",
        "_key",
        "_lots",
        "_name",
        "_read",
        "_recent",
        "fresh",
        "holds",
        "member",
        "pending",
        "postings",
        "program",
        "waited",
    )

    def __init__(self, read: Callable[[bytes], Any], member: str, program: str) -> None:
        """Read the record through `read`."""
        self._key: bytes = schema.points(member, program)
        row: Points | None = read(self._key)
        self.fresh = row is None
        if row is None:
            row = NO_POINTS
        self.member = member
        self.program = program
        self.postings: list[Posting] = []
        self._read = read
        self._name = f"Lot:{member}:{program}:"
        self._lots: list[Lot] = list(row.lots)
        self._debts = row.debts
        self._chunks = row.chunks
        self._recent = row.recent
        self.holds: tuple[HeldPoints, ...] = row.holds
        self.pending: tuple[Pending, ...] = row.pending
        self.waited: list[Pending] = _NONE
        self._dirty: dict[int, tuple[Lot, ...] | None] | None = None

    # What is there.

    def available(self, today: int) -> int:
        """Points that can be spent on the local day `today`, less debts; may be below zero."""
        total = 0
        for expiry, _, amount in self._lots:
            if expiry >= today:
                total += amount
        for expiry, _, number, chunk_total in self._chunks:
            if expiry >= today:
                total += chunk_total
            else:
                total += sum(lot[2] for lot in self._chunk(number) if lot[0] >= today)
        for _, amount in self._debts:
            total -= amount
        return total

    def ledger(self) -> int:
        """All points, those held or run out and not yet swept included, less debts."""
        total = 0
        for lot in self._lots:
            total += lot[2]
        for chunk in self._chunks:
            total += chunk[3]
        for _, amount in self._debts:
            total -= amount
        if self.holds:
            for _, _, lots in self.holds:
                for lot in lots:
                    total += lot[2]
        if self.pending:
            for _, _, _, amount in self.pending:
                total += amount
        return total

    def timed_out(self, at: int, today: int) -> int:
        """Points that can be spent on `today` although they are held: the hold's time is over."""
        return sum(
            amount
            for _, until, lots in self.holds
            if until <= at
            for expiry, _, amount in lots
            if expiry >= today
        )

    def has_timed_out(self, at: int) -> bool:
        """True when a hold's time is over at the command time `at`."""
        return any(until <= at for _, until, _ in self.holds)

    def held_by(self, hold: int) -> tuple[Lot, ...]:
        """The lots of a hold, in the order in which they are consumed; empty when it is none."""
        for number, _, lots in self.holds:
            if number == hold:
                return lots
        return ()

    def next_expiry(self, today: int) -> tuple[int, int] | None:
        """Points and day of the next expiry, None when nothing usable is held."""
        day = total = 0
        later = chain.from_iterable(self._chunk(number) for _, _, number, _ in self._chunks)
        for expiry, _, amount in chain(self._lots, later):
            if expiry < today:
                continue
            if day and expiry != day:
                break
            day = expiry
            total += amount
        return (total, day) if day else None

    @property
    def empty(self) -> bool:
        """True without points, held and pending ones included, and without debts."""
        return not (self._lots or self._chunks or self._debts or self.holds or self.pending)

    # Moves. Each appends its postings.

    def earn(self, issuer: str, expiry: int, amount: int, available_from: int = 0) -> None:
        """Give points: what is owed is repaid first, the rest is pending until a day, if one is."""
        if self._debts:
            amount -= self._repay(amount)
        if not amount:
            return
        if available_from and len(self.pending) < PENDING_MAX:
            self.postings.append((f"{self._name}{issuer}:{expiry}", self.program, amount))
            self._suspend(available_from, expiry, issuer, amount)
        else:
            self.put(issuer, expiry, amount)

    def ripen(self, today: int) -> None:
        """Let pending points into their lots on their day, or once they have run out."""
        if not self.pending:
            return
        left = []
        for waiting in self.pending:
            day, expiry, issuer, amount = waiting
            if day <= today or expiry < today:
                self._put_in_lot(issuer, expiry, amount)
            else:
                left.append(waiting)
        self.pending = tuple(left)

    def suspend(self, issuer: str, expiry: int, amount: int, day: int) -> None:
        """Let points of a lot, as far as they are there, wait until a day; posts nothing."""
        self._pull_up_to(issuer, expiry)
        index = bisect_left(self._lots, (expiry, issuer, 0))
        if index == len(self._lots) or self._lots[index][:2] != (expiry, issuer):
            return
        held = self._lots[index][2]
        part = min(held, amount)
        if part == held:
            del self._lots[index]
        else:
            self._lots[index] = (expiry, issuer, held - part)
        self._suspend(day, expiry, issuer, part)

    def release(self, issuer: str, expiry: int, amount: int) -> int:
        """Let pending points of a lot into it, those that wait longest first.

        Returns:
            How many were pending, at most `amount`.
        """
        parts = sum([one[3] for one in self._take_pending(issuer, expiry, amount)])
        if parts:
            self._put_in_lot(issuer, expiry, parts)
        return parts

    def put(self, issuer: str, expiry: int, amount: int) -> None:
        """Add points to the lot of this issuer and expiry."""
        self.postings.append((f"{self._name}{issuer}:{expiry}", self.program, amount))
        self._put_in_lot(issuer, expiry, amount)

    def _put_in_lot(self, issuer: str, expiry: int, amount: int) -> None:
        if self._chunks and (expiry, issuer) >= self._chunks[0][:2]:
            self._put_in_chunk(issuer, expiry, amount)
            return
        _merge(self._lots, (expiry, issuer, amount))
        if len(self._lots) > LOTS_MAX:
            self._split()

    def take(self, amount: int, today: int) -> list[Lot] | None:
        """Spend points, the earliest expiry first.

        Returns:
            The lots (expiry, issuer, points) in the order in which they were consumed; None, and
            nothing changed, when fewer points are available.
        """
        if self.available(today) < amount:
            return None
        taken: list[Lot] = []
        while amount:
            start = bisect_left(self._lots, (today, "", 0))
            if start == len(self._lots):
                self._pull()
                continue
            expiry, issuer, held = self._lots[start]
            part = held if held < amount else amount
            self._reduce(start, part)
            taken.append((expiry, issuer, part))
            amount -= part
        return taken

    def hold(self, hold: int, until: int, lots: list[Lot]) -> None:
        """Keep what was just taken under a hold, until the time `until` in ms."""
        for expiry, issuer, amount in lots:
            self._post_held(hold, issuer, expiry, amount)
        self.holds = (*self.holds, (hold, until, tuple(lots)))

    def unhold(self, hold: int, amount: int) -> list[Lot]:
        """Take points out of a hold, the earliest expiry first; they are then in no lot.

        Returns:
            The lots (expiry, issuer, points) in the order in which they were consumed.
        """
        taken: list[Lot] = []
        left: list[Lot] = []
        for expiry, issuer, there in self.held_by(hold):
            part = there if there < amount else amount
            amount -= part
            if part:
                self._post_held(hold, issuer, expiry, -part)
                taken.append((expiry, issuer, part))
            if part < there:
                left.append((expiry, issuer, there - part))
        self.holds = tuple(
            (number, until, tuple(left) if number == hold else lots)
            for number, until, lots in self.holds
            if number != hold or left
        )
        return taken

    def claw_back(self, issuer: str, expiry: int, amount: int, *, owe: bool) -> int:
        """Take points back: pending ones of their lot, then the lot, then the oldest.

        Then all that is pending, the longest first, and at last, if `owe`, as a debt.

        Returns:
            The points taken, debt included.
        """
        wanted = amount
        if self.pending:
            amount -= self._claw_pending(issuer, expiry, amount)
        self._pull_up_to(issuer, expiry)
        index = bisect_left(self._lots, (expiry, issuer, 0))
        if amount and index < len(self._lots) and self._lots[index][:2] == (expiry, issuer):
            part = min(self._lots[index][2], amount)
            self._reduce(index, part)
            amount -= part
        while amount and (self._lots or self._chunks):
            if not self._lots:
                self._pull()
                continue
            part = min(self._lots[0][2], amount)
            self._reduce(0, part)
            amount -= part
        while amount and self.pending:
            _, other_expiry, other, there = self.pending[-1]
            amount -= self._claw_pending(other, other_expiry, min(amount, there))
        if amount and owe:
            self.owe(issuer, amount)
            amount = 0
        return wanted - amount

    def expire(self, issuer: str, expiry: int, amount: int) -> None:
        """Take points that were just put back into a lot whose day has passed."""
        self._pull_up_to(issuer, expiry)
        index = bisect_left(self._lots, (expiry, issuer, 0))
        self._reduce(index, amount)

    def lapse(self, today: int, lots_max: int) -> list[Lot]:
        """Take lots whose day has passed before `today`, the oldest first.

        Returns:
            What was taken: expiry, issuer, points; at most `lots_max` of them.
        """
        taken: list[Lot] = []
        while len(taken) < lots_max:
            if not self._lots:
                if not self._chunks or self._chunks[0][0] >= today:
                    break
                self._pull()
                continue
            lot = self._lots[0]
            if lot[0] >= today:
                break
            self._reduce(0, lot[2])
            taken.append(lot)
        return taken

    def owe(self, issuer: str, amount: int) -> None:
        """Book a debt of the member."""
        self._debt(issuer, amount)

    def forgive(self, amount: int) -> int:
        """Write off what the member owes, up to an amount; returns how much there was."""
        return self._repay(amount)

    def settle_debt(self, issuer: str, amount: int) -> None:
        """Take a debt back, as far as it still stands; the rest becomes points that never expire.

        A debt that was repaid meanwhile cannot be taken back; the member then gets the points.
        """
        standing = dict(self._debts).get(issuer, 0)
        part = min(standing, amount)
        if part:
            self._debt(issuer, -part)
        if amount > part:
            self.put(issuer, NEVER, amount - part)

    # The record.

    def changes(self, at: int, sequence: int) -> dict[bytes, Any]:
        """The rows as they are now, by key; None for a row that is gone.

        Args:
            at: command time, ms.
            sequence: the entry that moves points; 0 where it moves none.
        """
        while len(self._lots) > LOTS_MAX:
            self._split()
        rows: dict[bytes, Any] = {
            self._key: Points(
                tuple(self._lots),
                self._debts,
                self._chunks,
                at,
                (sequence, *self._recent[: RECENT_MAX - 1]) if sequence else self._recent,
                self.holds,
                self.pending,
            )
        }
        if self._dirty is not None:
            for number, lots in self._dirty.items():
                rows[schema.lots(self.member, self.program, number)] = (
                    None if lots is None else Chunk(lots)
                )
        return rows

    def _reduce(self, index: int, amount: int) -> None:
        expiry, issuer, held = self._lots[index]
        self.postings.append((f"{self._name}{issuer}:{expiry}", self.program, -amount))
        if held == amount:
            del self._lots[index]
        else:
            self._lots[index] = (expiry, issuer, held - amount)

    def _suspend(self, day: int, expiry: int, issuer: str, amount: int) -> None:
        """Add to what is pending, joining what waits for the same day."""
        rows = {row[:3]: row[3] for row in self.pending}
        key = (day, expiry, issuer)
        rows[key] = rows.get(key, 0) + amount
        self.pending = tuple([(*row, rows[row]) for row in sorted(rows)])

    def _take_pending(self, issuer: str, expiry: int, amount: int) -> list[Pending]:
        """Take from what is pending of a lot, the longest first; posts nothing."""
        left: list[Pending] = []
        taken: list[Pending] = []
        for day, until, party, there in reversed(self.pending):
            part = min(there, amount) if (until, party) == (expiry, issuer) else 0
            if part:
                amount -= part
                taken.append((day, until, party, part))
            if part < there:
                left.append((day, until, party, there - part))
        self.pending = tuple(reversed(left))
        return taken

    def _claw_pending(self, issuer: str, expiry: int, amount: int) -> int:
        taken = self._take_pending(issuer, expiry, amount)
        points = sum([one[3] for one in taken])
        if points:
            self.postings.append((f"{self._name}{issuer}:{expiry}", self.program, -points))
            self.waited = self.waited + taken
        return points

    def _post_held(self, hold: int, issuer: str, expiry: int, amount: int) -> None:
        account = chart.held(self.member, self.program, issuer, expiry, hold)
        self.postings.append((account, self.program, amount))

    def _repay(self, amount: int) -> int:
        repaid = 0
        for issuer, owed in self._debts:
            part = min(owed, amount - repaid)
            if part:
                self._debt(issuer, -part)
                repaid += part
        return repaid

    def _debt(self, issuer: str, amount: int) -> None:
        debts = dict(self._debts)
        debts[issuer] = debts.get(issuer, 0) + amount
        if not debts[issuer]:
            del debts[issuer]
        self._debts = tuple(sorted(debts.items()))
        self.postings.append((f"Debt:{self.member}:{self.program}:{issuer}", self.program, -amount))

    # Chunks.

    def _chunk(self, number: int) -> tuple[Lot, ...]:
        if self._dirty is not None and number in self._dirty:
            return self._dirty[number] or ()
        row: Chunk = self._read(schema.lots(self.member, self.program, number))
        return row.lots

    def _store(self, number: int, lots: tuple[Lot, ...] | None) -> None:
        if self._dirty is None:
            self._dirty = {}
        self._dirty[number] = lots

    def _pull(self) -> None:
        """Move the first chunk into the record's lots."""
        number = self._chunks[0][2]
        self._lots.extend(self._chunk(number))
        self._chunks = self._chunks[1:]
        self._store(number, None)

    def _pull_up_to(self, issuer: str, expiry: int) -> None:
        """Pull the chunks in that may hold the lot of this issuer and expiry."""
        while self._chunks and (expiry, issuer) >= self._chunks[0][:2]:
            self._pull()

    def _split(self) -> None:
        """Move the last lots of the record into a new first chunk."""
        half = LOTS_MAX // 2
        start = max(half, len(self._lots) - half)
        self._new_chunk(0, tuple(self._lots[start:]))
        del self._lots[start:]

    def _new_chunk(self, place: int, lots: tuple[Lot, ...]) -> None:
        number = 1 + max((chunk[2] for chunk in self._chunks), default=0)
        head = (lots[0][0], lots[0][1], number, sum(lot[2] for lot in lots))
        self._chunks = (*self._chunks[:place], head, *self._chunks[place:])
        self._store(number, lots)

    def _put_in_chunk(self, issuer: str, expiry: int, amount: int) -> None:
        firsts = [chunk[:2] for chunk in self._chunks]
        place = bisect_left(firsts, (expiry, issuer))
        if place == len(firsts) or firsts[place] != (expiry, issuer):
            place -= 1
        number = self._chunks[place][2]
        lots = list(self._chunk(number))
        _merge(lots, (expiry, issuer, amount))
        keep = lots if len(lots) <= LOTS_MAX else lots[: LOTS_MAX // 2]
        head = (keep[0][0], keep[0][1], number, sum(lot[2] for lot in keep))
        self._chunks = (*self._chunks[:place], head, *self._chunks[place + 1 :])
        self._store(number, tuple(keep))
        if keep is not lots:
            self._new_chunk(place + 1, tuple(lots[LOTS_MAX // 2 :]))


def _merge(lots: list[Lot], lot: Lot) -> None:
    """Add a lot to an ascending list, joining the one of the same issuer and expiry."""
    expiry, issuer, amount = lot
    index = bisect_left(lots, (expiry, issuer, 0))
    if index < len(lots):
        there = lots[index]
        if there[0] == expiry and there[1] == issuer:
            lots[index] = (expiry, issuer, there[2] + amount)
            return
    lots.insert(index, lot)
