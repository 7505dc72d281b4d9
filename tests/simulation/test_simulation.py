"""A whole alliance in one seed: terminals, a bad network, a disk that fails, a daemon that dies.

Each history is some hours of trading by tills that do whatever tills do. When it is over, the
network and the disk behave, everything owed is made good, batches are settled, and everybody's
balance is asked for. Then what the tills believe, what the auditor saw leave, and what the journal
says have to be the same. ``COUNTERFOIL_LONG=1`` runs many fresh seeds, and longer histories;
``COUNTERFOIL_SEED=N`` runs one.
"""

import logging
import os
import random
import shutil
import sys
from collections import Counter

import pytest

from engine.directory import configure, init_directory
from engine.submit import Submitter
from ledger.journal import JournalDamaged
from tests.engine.house import moment
from tests.simulation.auditor import Auditor
from tests.simulation.disk import Disk, LyingDisk
from tests.simulation.fleet import Tills
from tests.simulation.host import Host
from tests.simulation.network import GOOD, Manners
from tests.simulation.office import Office
from tests.simulation.world import SECOND, World
from tests.tools.conftest import must
from tools import sample
from tools.fleet import fleet_of
from tools.load import load

LONG = os.environ.get("COUNTERFOIL_LONG") == "1"
MEMBERS, TILLS = 24, 10
BEGAN = moment(20260301, "20:00")
PACES = {60: 1, 400: 5, 15_000: 120}
"""Seconds between two customers of a till, and by how much the daemon's seconds are stretched: some
histories take hours, some weeks."""
HOURS_MAX = 24 * 120
SEEDS = (3, 4, 8, 22, 25)


def seeds():
    """Which histories are run."""
    chosen = os.environ.get("COUNTERFOIL_SEED")
    if chosen:
        return [int(chosen)]
    return [random.SystemRandom().getrandbits(32) for _ in range(200)] if LONG else SEEDS


@pytest.fixture(autouse=True)
def quiet(caplog):
    """A daemon that dies a hundred times says so a hundred times."""
    with caplog.at_level(logging.CRITICAL, "counterfoil"):
        yield


@pytest.fixture(scope="module")
def alliance(tmp_path_factory):
    """A data directory as the operator has loaded it, the same each time, and its fleet."""
    folder = tmp_path_factory.mktemp("alliance")
    directory = folder / "book"
    with World("alliance", BEGAN - 60_000).ruling():
        vault = init_directory(directory)
        data, _ = sample.write_sample(folder, MEMBERS, TILLS)
        configure(directory, sample.OPERATOR)
        with Submitter(directory) as submitter:
            assert not load(submitter, vault, data).rejected
    return directory, fleet_of(sample.fleet(MEMBERS, TILLS))


class History:
    """What happens under a seed.

    Args:
        seed: of all chance.
        alliance: a directory and its fleet; the directory is copied.
        folder: where to.
        transactions: of each till.
        disk: under the journal, in place of the usual one.

    Attributes:
        digest: of the book in the end.
        done: what network and disk did, and how often.
    """

    def __init__(self, seed, alliance, folder, transactions, disk=None):
        directory, fleet = alliance
        self.folder = folder / "book"
        shutil.copytree(directory, self.folder)
        shutil.copyfile(directory.with_name("book.key"), folder / "book.key")
        (folder / "book.key").chmod(0o600)
        self.seed = seed
        self.done = Counter()
        self.world = World(seed, BEGAN)
        self.auditor = Auditor()
        self._think_s = self.world.chance("pace").choice([*PACES])
        stretch = PACES[self._think_s]
        self.host = Host(self.world, self.folder, self.auditor, disk or Disk(), stretch)
        self.digest = ""
        with self.world.ruling():
            self._run(fleet, transactions)

    def _run(self, fleet, transactions):
        world, host = self.world, self.host
        host.start()
        manners = Manners.drawn(world.chance("manners"))
        self.tills = tills = Tills(
            world, fleet, host, manners, transactions, self._think_s, self.done
        )
        self.office = Office(world, host)
        self._until_done()
        tills.behave(GOOD)
        host.calm_down()
        tills.ask()
        self._until_done()
        host.stop()
        self.done.update(host.disk.happened)

    def _until_done(self):
        while not self.tills.done:
            assert self.world.step(), "nothing happens any more"
            assert self.world.now < HOURS_MAX * 3600 * SECOND, self._stuck()

    def _stuck(self):
        doing = {
            desk.till.placement.registration.id: (desk.doing, desk.till.terminal.owing)
            for desk in self.tills.desks
            if desk.doing != "done"
        }
        return f"tills do not come to an end: {doing}"

    def __str__(self):
        self.done["office posted"] = self.office.posted
        ends = Counter(end.partition(":")[0] for end in self.host.ends)
        told = (f"{count} {what}" for what, count in sorted((self.done + ends).items()))
        hours = self.world.now // SECOND // 3600
        return f"seed {self.seed}: {hours} h, {len(self.auditor)} approvals; {', '.join(told)}"

    def check(self):
        """Hold everybody's books against each other."""
        for desk in self.tills.desks:
            terminal = desk.till.terminal
            assert not terminal.owing, terminal.registration.id
            assert not terminal.forged, terminal.registration.id
        told, believed = self.tills.told(), self.tills.believed()
        differing = {
            member: (believed.get(member), told.get(member))
            for member in believed.keys() | told.keys()
            if believed.get(member, {}) != told.get(member)
        }
        assert not differing, f"believed and told: {differing}"
        verified = must("verify", self.folder)
        replayed = must("replay", self.folder, "--into", self.folder.with_name("again"))
        self.digest = verified.split()[-1]
        assert self.digest in replayed


@pytest.mark.parametrize("seed", seeds())
def test_whatever_network_disk_and_daemon_do_nothing_is_lost_or_doubled(seed, alliance, tmp_path):
    history = History(seed, alliance, tmp_path, 400 if LONG else 60)
    history.check()
    assert len(history.auditor) > TILLS * 10
    sys.stdout.write(f"{history}\n")


def test_a_disk_that_says_it_wrote_and_did_not_is_found_out(alliance, tmp_path):
    found = "is not in the journal|were durable and are not here|is damaged at byte"
    with pytest.raises((AssertionError, JournalDamaged), match=found):
        History(5, alliance, tmp_path, 60, LyingDisk())


def test_a_history_is_the_same_each_time(alliance, tmp_path):
    histories = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        history = History(7, alliance, folder, 20)
        history.check()
        histories.append((history.digest, history.world.now, history.host.ends, history.done))
    assert histories[0] == histories[1]
