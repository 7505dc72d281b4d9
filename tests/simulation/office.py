"""The operator's side of the world: sweeps, and now and then a cut-off that is brought forward.

Its commands come in between those of tills, one at a time, as a sweep beside the daemon sends them;
where the daemon dies in the middle of them, the rest is left for the next time.
"""

from engine.rules.reference import CutOff
from engine.sweeps import SWEEPS
from engine.terms import Clock
from tests.simulation.network import MILLISECOND
from tests.simulation.world import SECOND

GIVER = ("clerk", "1000")
PAUSE_S = 1200.0
CUTOFFS = 1 / 8
"""How often it closes the date, instead of sweeping."""


class Office:
    """Somebody in the back office.

    Attributes:
        posted: how many of its commands posted something.
    """

    def __init__(self, world, host):
        self._world = world
        self._host = host
        self._chance = world.chance("office")
        self.posted = 0
        self._later()

    def _later(self):
        self._world.after(self._chance.expovariate(1 / PAUSE_S) * SECOND, self._come)

    def _come(self):
        self._later()
        chance, daemon = self._chance, self._host.daemon
        if daemon is None or daemon.pipeline.shut:
            return
        machine = daemon.pipeline.machine
        if chance.random() < CUTOFFS:
            commands = [CutOff(machine.date, False)]
        else:
            sweep = chance.choice(SWEEPS)
            at = self._world.wall_ms()
            today = Clock(machine.clock.zone).date(at)
            rows = list(daemon.book.view.scan(bytes((sweep.table,))))
            commands = sweep.commands(rows, today, at)
        for place, command in enumerate(commands):
            moment = place * MILLISECOND * chance.uniform(0, 2)
            self._world.after(moment, self._host.in_daemon, daemon, self._give, daemon, command)

    def _give(self, daemon, command):
        if not daemon.pipeline.shut:
            self.posted += bool(daemon.pipeline.execute(command, GIVER).sequence)
