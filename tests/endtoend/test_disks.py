"""A disk that runs full under load, a disk that is full, and one that cannot be written.

The data directory lies on a small file system in memory of its own. A full one is made by a file
that takes the room. New work is then refused before anything fails, what was answered is there
afterwards, and work is taken again as soon as there is room.
"""

import os
import subprocess
from contextlib import suppress

import pytest
from daemon_process import must_fail, until
from tally import check_books

from ledger.storage import Lock

MEBIBYTE = 1 << 20
SIZE = 64 * MEBIBYTE
SEGMENT = 2 * MEBIBYTE
LEAST_FREE = 4 * MEBIBYTE
REQUESTS = 1500


class Disk:
    """A mounted file system, and the file that fills it."""

    def __init__(self, place):
        self.place = place
        self._filler = place / "filler"

    def mount(self, *options):
        """Mount, or change what is mounted."""
        told = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", self.place]
        subprocess.run(told, check=True)

    def free(self):
        """Bytes that are free."""
        state = os.statvfs(self.place)
        return state.f_bavail * state.f_frsize

    def fill(self, leave):
        """Take all room but `leave` bytes, also while somebody else writes."""
        with self._filler.open("ab") as file:
            while (room := self.free() - leave) > 0:
                with suppress(OSError):  # what was free is not any more
                    os.posix_fallocate(file.fileno(), file.tell(), room)
                    file.seek(0, os.SEEK_END)

    def clear(self):
        """Give the room back."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path):
    """A small disk; mounting one needs the rights of root."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own can be mounted by root only")
    place = tmp_path / "disk"
    place.mkdir()
    disk = Disk(place)
    disk.mount(f"size={SIZE}")
    yield disk
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def daemon(fresh_daemon, disk):
    """A daemon on the small disk, with bounds to match."""
    daemon = fresh_daemon(disk.place)
    daemon.limit(
        segment_bytes=SEGMENT,
        disk_free_bytes_min=LEAST_FREE,
        disk_check_seconds=0.05,
        fold_seconds=0.1,
    )
    return daemon


def load_until_refused(daemon, traffic):
    """Send until the answer is 91."""
    before = traffic.refused
    for _ in range(50):
        traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS // 5), depth=4))
        if traffic.refused > before:
            return
    pytest.fail("the daemon took everything")


def test_a_disk_that_runs_full(daemon, disk, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS)))
    assert not traffic.refused

    disk.fill(leave=LEAST_FREE + SEGMENT)
    load_until_refused(daemon, traffic)
    told = sum(1 for sent in traffic.asked if sent in traffic.told)
    assert told > REQUESTS
    status, why = daemon.page("readyz")
    assert (status, why) == (503, "the disk has no room for a further journal segment: free some\n")
    until(lambda: "answering 91: the disk has no room" in daemon.log(), "the log says nothing")

    disk.clear()
    until(lambda: daemon.page("readyz")[0] == 200, "there is room, and nobody noticed")
    until(lambda: "taking new work again" in daemon.log(), "the log says nothing")
    traffic.settle(daemon.address, REQUESTS)
    check_books(daemon, traffic, tmp_path)


def test_a_daemon_killed_on_a_full_disk(daemon, disk, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    disk.fill(leave=LEAST_FREE + SEGMENT)
    load_until_refused(daemon, traffic)
    disk.fill(leave=0)
    # Repeats and refusals are still answered; then it dies.
    traffic.check_repeats(daemon.address, [s for s in traffic.asked if s in traffic.told][:100])
    traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS // 5), lambda n: n > 50))
    daemon.kill()
    # A segment made ahead of need, whole or in part, is room enough to start and to answer 91.
    # Here there is to be none, and what its helpers still have open is theirs until they are gone.
    locks = [Lock(daemon.directory / name) for name in ("syncer.lock", "follower.lock")]
    until(lambda: not any(lock.is_held() for lock in locks), "a helper outlived its daemon")
    journal = daemon.directory / "journal"
    for ahead in (*journal.glob("*.tmp"), journal / "spare"):
        ahead.unlink(missing_ok=True)
    disk.fill(leave=0)

    refused = daemon.refused_start()
    assert refused.returncode == 1, refused.stderr
    assert "the disk is full: free some room" in must_fail(refused)
    disk.mount("remount", f"size={2 * SIZE}")
    daemon.start()
    traffic.settle(daemon.address, REQUESTS)
    check_books(daemon, traffic, tmp_path)


def test_a_disk_that_is_full_at_once_loses_nothing(daemon, disk, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)

    def strike(count):
        if count > REQUESTS // 2 and disk.free():
            disk.fill(leave=0)
        return False

    traffic.note(traffic.run(daemon.address, traffic.ask(2 * REQUESTS), strike, depth=4))
    if daemon.running:
        assert traffic.refused
        daemon.kill()
    else:
        assert daemon.wait() == 3
        assert "stopped: " in daemon.log()
    disk.clear()
    daemon.start()
    traffic.settle(daemon.address, REQUESTS)
    check_books(daemon, traffic, tmp_path)


def test_a_directory_that_can_only_be_read_is_not_served(daemon, disk):
    disk.mount("remount", "ro")
    refused = daemon.refused_start()
    assert refused.returncode == 1, refused.stderr
    assert "Read-only file system" in must_fail(refused)
    disk.mount("remount", "rw")
    daemon.start()
    assert daemon.stop() == 0
