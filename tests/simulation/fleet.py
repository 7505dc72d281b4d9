"""The terminals of the world, and whoever works at them: the simulator's tills, without a loop."""

from datetime import datetime, timedelta

from posd.iso8583.compile import Codec
from tests.simulation.network import Line
from tests.simulation.world import SECOND
from tools.fleet import DIRECT, Conduct
from tools.till import HOST_ZONE, Till
from tools.till_books import Books, Presented

CONDUCT = Conduct(drop=0.02, repeat=0.03)
RETRY_S = 2.0


class Desk:
    """A till at its line: trades, makes good what went wrong, then settles its batch.

    Attributes:
        doing: what its work is by now: ``trading``, ``settling``, ``asking``, ``done``.
        asked: members whose balance it still has to ask for.
        told: member to unit to ledger balance, as it was told.
    """

    def __init__(self, world, till, line, transactions, think_s):
        self._world = world
        self._line = line
        self._chance = world.chance(f"desk {till.placement.registration.id}")
        self._left = transactions
        self._think_s = think_s
        self._number = 0
        self._settled = False
        self._wants_line = False
        self.till = till
        self.doing = "trading"
        self.asked = []
        self.asking = None
        self.told = {}
        self._later(self._chance.expovariate(1 / self._think_s))

    def _later(self, seconds):
        self._number += 1
        self._world.after(seconds * SECOND, self._wake, self._number)

    def _wake(self, number):
        if number != self._number or self.till.terminal.busy:
            return
        self._wants_line = self._line.connection is None
        if not self._wants_line:
            data = self._next(self._world.seconds)
            if data is not None:
                self._line.send(data)
                self._wait()

    def _wait(self):
        self._number += 1
        until = self.till.terminal.deadline - self._world.seconds
        self._world.after(until * SECOND, self._in_vain, self._number)

    def _next(self, now):
        """The next frame, None when there is nothing to do."""
        till, terminal = self.till, self.till.terminal
        data = terminal.due(now)
        if data is not None:
            return data
        if self.doing == "trading":
            if self._left > 0 or till.keeps_waiting:
                self._left -= 1
                return till.next_frame(now)
            self.doing = "settling"
        if self.doing == "settling":
            if not self._settled:
                self._settled = True
                return terminal.settle(now)
            self.doing = "done"
        if self.doing == "asking":
            if self.asked:
                self.asking = self.asked[-1]
                return till.inquire(self.asking, now)
            self.doing = "done"
        return None

    def begin_asking(self):
        """Ask for the balances of `asked`."""
        self.doing = "asking"
        self._later(self._pause())

    def receive(self, frame):
        """Take a frame that the line brings."""
        terminal = self.till.terminal
        if not terminal.busy:
            return
        answer = self.till.take(frame, careful=self.doing == "asking")
        if answer is None:
            return
        if self.asking is not None and answer.kind == "balance" and answer.settled:
            asked, self.asking = self.asked.pop(), None
            self.told[asked.member] = {
                unit: ledger for unit, _, ledger in answer.balances if ledger
            }
        # Nobody waits for the next customer with something left to make good.
        served = self.doing == "trading" and answer.settled and answer.kind != "sign-on"
        self._later(self._chance.expovariate(1 / self._think_s) if served else self._pause())

    def _pause(self):
        return self._chance.uniform(0, RETRY_S)

    def _in_vain(self, number):
        """No answer came."""
        if number == self._number and self.till.terminal.busy:
            self.till.terminal.give_up(repeat=self._chance.random() < 0.5)
            self._later(self._pause())

    def line_is_up(self):
        """Go on."""
        if self._wants_line:
            self._later(self._pause())

    def line_is_down(self):
        """What was under way has no answer."""
        if self.till.terminal.busy:
            self._wants_line = True
            self.till.terminal.give_up(repeat=self._chance.random() < 0.5)


class Tills:
    """All desks and their lines.

    Attributes:
        desks: in the order of the fleet.
        lines: by name.
    """

    def __init__(self, world, fleet, host, manners, transactions, think_s, done):
        codec = Codec()
        began = datetime.fromtimestamp(world.began / 1000, HOST_ZONE)
        self._fleet = fleet
        self.desks = []
        self.lines = {}
        for place in fleet.placements:
            name = place.registration.id if place.link == DIRECT else place.link
            line = self.lines.get(name)
            if line is None:
                line = self.lines[name] = Line(world, name, host, manners, done)
            till = Till(
                fleet,
                place,
                world.seed,
                CONDUCT,
                codec,
                lambda: began + timedelta(microseconds=world.now),
            )
            desk = Desk(world, till, line, transactions, think_s)
            line.desks[place.registration.address] = desk
            self.desks.append(desk)

    @property
    def done(self):
        """True when no desk has anything left to do."""
        return all(desk.doing == "done" for desk in self.desks)

    def behave(self, manners):
        """Have all lines behave in another way from now on."""
        for line in self.lines.values():
            line.manners = manners
            if line.connection is not None:
                line.connection.manners = manners

    def ask(self):
        """Have everybody's balance asked for, by desks in turn."""
        members = {one.id: Presented(one.id, card=one.card) for one in self._fleet.customers}
        for desk in self.desks:
            members |= desk.till.newcomers
        for place, (_, presented) in enumerate(sorted(members.items())):
            self.desks[place % len(self.desks)].asked.append(presented)
        for desk in self.desks:
            desk.begin_asking()

    def told(self):
        """Member to unit to balance, as desks were told."""
        return {member: units for desk in self.desks for member, units in desk.told.items()}

    def believed(self):
        """The same as desks believe it."""
        books = Books()
        for desk in self.desks:
            books.add(desk.till.terminal.books)
        found = {one.id: dict(one.balances) for one in self._fleet.customers}
        for desk in self.desks:
            for name in desk.till.newcomers:
                found.setdefault(name, {})
        for (member, unit), amount in books.members.items():
            units = found.setdefault(member, {})
            units[unit] = units.get(unit, 0) + amount
        return {
            member: {unit: amount for unit, amount in units.items() if amount}
            for member, units in found.items()
        }
