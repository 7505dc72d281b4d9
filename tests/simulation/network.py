"""The network between terminals and host: it delays, splits, loses, repeats, reorders, breaks.

A *line* belongs to a terminal or to a network access controller. It keeps one connection to the
host, opens it anew when it breaks, and carries frames in both directions. To a frame it may do what
a bad line, or a controller that tries again, does: lose it, bring it much later, or bring it twice,
and what comes late may come over another connection than it was given to. A *connection* is two
streams of bytes: each arrives in order, in pieces of any size, at any time; what is under way when
it breaks is gone.
"""

from posd.framing import TPDU_BYTES, Deframer
from tests.simulation.world import SECOND

MILLISECOND = SECOND // 1000


class Manners:
    """How badly a network behaves: chances, 0 to 1, a frame; of a break, a frame or more."""

    def __init__(self, *, lost, late, twice, breaks):
        self.lost = lost
        self.late = late
        self.twice = twice
        self.breaks = breaks

    @classmethod
    def drawn(cls, chance):
        """Manners of a history: now this is bad, now that, now all of it."""
        lost, late, twice = (chance.choice((0, 0.01, 0.05, 0.15)) for _ in range(3))
        return cls(lost=lost, late=late, twice=twice, breaks=chance.choice((0, 0.002, 0.02)))


GOOD = Manners(lost=0, late=0, twice=0, breaks=0)


class Line:
    """A line of terminals, as `desks` by their TPDU address.

    Attributes:
        manners: how badly it behaves.
        connection: the one that is open; None while there is none.
        done: what happened to frames, and how often.
    """

    def __init__(self, world, name, listener, manners, done):
        self._world = world
        self._listener = listener
        self._chance = world.chance(f"line {name}")
        self.manners = manners
        self.desks = {}
        self.connection = None
        self.done = done
        self._deframer = None
        self._connect()

    def _connect(self):
        connection = Connection(self, self._world, self._chance)
        if self._listener.accept(connection):
            self.connection = connection
            self._deframer = Deframer()
            for desk in self.desks.values():
                desk.line_is_up()
        else:
            self._world.after(self._chance.uniform(0.05, 2) * SECOND, self._connect)

    def send(self, data):
        """Take a frame for the host."""
        for delay in self._fates("request"):
            self._world.after(delay, self._give, data)

    def _give(self, data):
        if self.connection is None:
            self.done["request without a line"] += 1
        else:
            self.connection.to_host.send(data)

    def arrived(self, data):
        """Take bytes from the host."""
        for frame in self._deframer.feed(data):
            for delay in self._fates("reply"):
                self._world.after(delay, self._hand_out, frame)
        assert self._deframer.fault is None, "the host sent a broken frame"

    def _hand_out(self, frame):
        if len(frame.tpdu) == TPDU_BYTES and frame.tpdu[1:3] in self.desks:
            self.desks[frame.tpdu[1:3]].receive(frame)

    def _fates(self, what):
        """When a frame is brought, as delays: none where it is lost, two where it comes twice."""
        roll, chance, manners = self._chance.random(), self._chance, self.manners
        soon = chance.uniform(0, 3) * MILLISECOND
        for fate, share in (
            ("lost", manners.lost),
            ("late", manners.late),
            ("twice", manners.twice),
        ):
            if roll < share:
                self.done[f"{what} {fate}"] += 1
                later = chance.expovariate(1 / 20) * SECOND
                return {"lost": (), "late": (later,), "twice": (soon, later)}[fate]
            roll -= share
        return (soon,)

    def broke(self, connection):
        """The connection is gone."""
        if connection is self.connection:
            self.connection = None
            for desk in self.desks.values():
                desk.line_is_down()
            self._world.after(self._chance.uniform(0.05, 2) * SECOND, self._connect)


class Connection:
    """A connection, which the listener was offered and has taken; `transport` is the host's end.

    Attributes:
        up: False once it is gone.
        to_host, to_line: the two streams.
    """

    def __init__(self, line, world, chance):
        self._line = line
        self.up = True
        self.to_host = Stream(world, chance, self)
        self.to_line = Stream(world, chance, self)
        self.to_line.arrived = self._at_line
        self.manners = line.manners
        self.broken = lambda: None

    def _at_line(self, data):
        self._line.arrived(data)

    def end(self):
        """Break it, or close it, for both ends; what is under way is gone."""
        if self.up:
            self.up = False
            self.broken()
            self._line.broke(self)


class Stream:
    """One direction of a connection.

    Attributes:
        arrived: called with each piece.
        flowing: False while the far end does not read.
    """

    def __init__(self, world, chance, connection):
        self._world = world
        self._chance = chance
        self._connection = connection
        self._last = 0
        self._held = []
        self.under_way = 0
        self.flowing = True
        self.arrived = None

    def send(self, data):
        """Send bytes; they arrive in pieces."""
        chance = self._chance
        if not self._connection.up:
            return
        if chance.random() < self._connection.manners.breaks:
            self._world.after(chance.uniform(0, 5) * MILLISECOND, self._connection.end)
        places = sorted(
            chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3)))
        )
        for start, stop in zip((0, *places), (*places, len(data)), strict=True):
            if start < stop:
                moment = max(self._last, self._world.now + chance.expovariate(1 / 2) * MILLISECOND)
                self._last = moment
                self.under_way += 1
                self._world.after(moment - self._world.now, self._arrive, data[start:stop])

    def _arrive(self, piece):
        self.under_way -= 1
        if not self._connection.up:
            return
        if self.flowing:
            self.arrived(piece)
        else:
            self._held.append(piece)

    def flow(self, flowing):
        """Let the far end read, or not."""
        self.flowing = flowing
        while self.flowing and self._held and self._connection.up:
            self.arrived(self._held.pop(0))
