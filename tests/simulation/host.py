"""The daemon in the world: its own code, on a loop, a disk and connections that are simulated.

It dies in all the ways there are: killed, with the power, at an operation of the disk, by its own
hand after one that failed. Each time what it held in memory is gone, its connections break, and it
is started again on what is on the disk.
"""

import time
from functools import partial

from engine.directory import begin, open_vault, read_configuration
from ledger.book import Book, Limits, OutcomeUnknown
from posd.server import Daemon
from tests.ledger.failing import Killed
from tests.simulation.network import MILLISECOND
from tests.simulation.world import SECOND

LIMITS = Limits(segment_bytes_alone=128 << 10, fold_records=400, disk_free_bytes_min=1)
FATES = ("killed", "power", "dies before", "dies after", "fails", "is short", "low")


class Halted(BaseException):
    """The daemon ended itself."""


class Loop:
    """What the daemon needs of an event loop; nothing is called once its process is dead.

    Where days pass, what is called every second is called a little less often (`stretch` times).
    """

    def __init__(self, world, run, stretch):
        self._world = world
        self._run = run
        self._stretch = stretch
        self.alive = True
        self.readable = None

    def call_soon(self, call, *arguments):
        self._world.after(0, self.called, call, *arguments)

    def call_later(self, seconds, call, *arguments):
        self._world.after(seconds * self._stretch * SECOND, self.called, call, *arguments)

    def called(self, call, *arguments):
        """Call something in the daemon's name."""
        if self.alive:
            self._run(call, *arguments)

    def add_reader(self, _descriptor, call):
        self.readable = call

    def remove_reader(self, _descriptor):
        self.readable = None

    def create_future(self):
        return None

    def set_exception_handler(self, handler):
        pass


class SimulatedBook(Book):
    """A book whose groups are written when the simulated disk gets to them."""

    on_disk = None
    _error = None

    def start_syncer(self):
        return self

    def stop_syncer(self):
        pass

    def fileno(self):
        return -1

    def write_begin(self, group):
        self._require_sound()
        group.write_ns = -time.perf_counter_ns()
        self.on_disk(group)

    def append(self, group):
        """Write and sync; whether it went well is told by `write_end`."""
        try:
            self._journal.append(group)
        except OSError as error:
            self._error = error

    def write_end(self, group):
        if self._error is not None:
            raise self._failed(self._error) from self._error
        self._written(group)


class Transport:
    """The host's end of a connection."""

    def __init__(self, host, loop, connection):
        self._host = host
        self._loop = loop
        self._connection = connection
        self.protocol = None
        self._closing = False

    def get_extra_info(self, name):
        return {"peername": ("127.0.0.1", 1)}.get(name)

    def set_write_buffer_limits(self, high):
        pass

    def write(self, data):
        assert self._loop.alive, "something left the daemon after its end"
        self._host.auditor.left(data)
        self._connection.to_line.send(data)

    def pause_reading(self):
        self._connection.to_host.flow(flowing=False)

    def resume_reading(self):
        self._connection.to_host.flow(flowing=True)

    def close(self):
        """Close once what was written has arrived."""
        if self._connection.to_line.under_way and self._connection.up:
            self._loop.call_later(0.01, self.close)
        else:
            self.abort()

    def abort(self):
        self._connection.end()

    def lost(self):
        """The connection is gone."""
        self._loop.call_soon(self.protocol.connection_lost, None)


class Host:
    """A data directory, its disk, and the daemon that serves it, as long as one does.

    Attributes:
        disk: under the journal.
        ends: how its processes ended, in order.
        auditor: sees what leaves.
        calm: True when nothing goes wrong any more.
    """

    def __init__(self, world, directory, auditor, disk, stretch):
        self._world = world
        self._chance = world.chance("host")
        self._directory = directory
        self._stretch = stretch
        self._loop = None
        self._book = None
        self._flight = None
        self._transports = []
        self.daemon = None
        self.disk = disk
        self.auditor = auditor
        self.ends = []
        self.calm = False

    # Its life.

    def start(self):
        """Open the book and serve, if the disk lets it; else try again later."""
        loop = Loop(self._world, self._run, self._stretch)
        self._loop = loop
        self._draw_fate()
        self._run(self._open, loop)

    def _open(self, loop):
        directory = self._directory
        configuration = read_configuration(directory)
        try:
            book = SimulatedBook.open(directory, follower=False, limits=LIMITS, storage=self.disk)
        except OSError as error:
            self._die(f"could not start: {error}")
            return
        self._book = book
        book.on_disk = partial(self._write_later, loop, book)
        vault = open_vault(directory)
        machine = begin(book, configuration)
        daemon = Daemon(loop, book, machine, vault, configuration, directory)
        daemon.pipeline.halt = self._halt
        daemon.pipeline.check_start()
        book.view.keep_aliases(0.0)
        loop.call_later(1, daemon._tick)
        self.daemon = daemon
        self.auditor.opened(book, vault)

    def _draw_fate(self):
        """Decide how this process ends."""
        chance = self._chance
        fate = "none" if self.calm else chance.choice(FATES)
        self.disk.low = False
        if fate in {"killed", "power", "low"}:
            self._world.after(chance.expovariate(1 / 900) * SECOND, self._strike, self._loop, fate)
        elif fate != "none":
            self.disk.plan(fate, 1 + int(chance.expovariate(1 / 60)))

    def _strike(self, loop, fate):
        if loop is not self._loop or not loop.alive or self.calm:
            return
        if fate == "low":
            self.disk.low = True
            self._world.after(self._chance.uniform(1, 60) * SECOND, self._room_again)
            self._draw_fate_later()
        else:
            self._die(fate)

    def _draw_fate_later(self):
        self.disk.happened.append("low")
        fate = self._chance.choice(("killed", "power"))
        self._world.after(120 * SECOND, self._strike, self._loop, fate)

    def _room_again(self):
        self.disk.low = False

    def _run(self, call, *arguments):
        """Run something of the daemon's, which may be the last that it does."""
        try:
            call(*arguments)
        except Killed as death:
            self._die(f"died: at {death}")
        except Halted as end:
            self._die(f"ended itself: {end}")
        except (OSError, OutcomeUnknown) as error:
            self._die(f"ended: {error}")

    def _halt(self, error):
        self.daemon.pipeline.halted = True
        raise Halted(error)

    def _die(self, how):
        loop, book = self._loop, self._book
        loop.alive = False
        self.ends.append(how)
        # A process that was killed may have given a group to the disk, which goes on without it.
        if self._flight is not None and how == "killed" and self._chance.random() < 0.5:
            self.disk.plan(None, 0)
            book.append(self._flight)
        self._flight = None
        self._book = self.daemon = None
        if book is not None:
            book._abandon()
        # The power takes what was not synced; a process that dies by itself leaves it to the
        # system, which may go down with it.
        if how != "killed" and (how == "power" or self._chance.random() < 0.5):
            self.disk.cut(lambda: self._chance.random() < 0.5)
        self.disk.plan(None, 0)
        transports, self._transports = self._transports, []
        for transport in transports:
            transport.abort()
        self._world.after(self._chance.uniform(0.1, 20) * SECOND, self.start)

    def in_daemon(self, daemon, call, *arguments):
        """Call something in the name of a daemon, if that one is still alive."""
        if daemon is self.daemon:
            self._loop.called(call, *arguments)

    def calm_down(self):
        """Let nothing go wrong any more."""
        self.calm = True
        self.disk.plan(None, 0)
        self.disk.low = False

    def stop(self):
        """End in good order, with everything durable."""
        self._loop.alive = False
        self._book.close()

    # The disk.

    def _write_later(self, loop, book, group):
        self._flight = group
        delay = self._chance.expovariate(1 / 3) * MILLISECOND
        self._world.after(delay, loop.called, self._written, loop, book, group)

    def _written(self, loop, book, group):
        book.append(group)
        self._flight = None
        loop.readable()

    # The listener.

    def accept(self, connection):
        """Take a connection; False where nobody listens."""
        daemon, loop = self.daemon, self._loop
        if daemon is None or not loop.alive:
            return False
        transport = Transport(self, loop, connection)
        self._transports.append(transport)
        transport.protocol = daemon.links.accept()
        connection.to_host.arrived = partial(loop.called, transport.protocol.data_received)
        connection.broken = transport.lost
        loop.called(transport.protocol.connection_made, transport)
        return loop.alive
