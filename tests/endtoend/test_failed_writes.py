"""A sync or a write of the journal that fails once, in the real daemon.

A small library, compiled here and preloaded, fails one system call of the running process. After
that nothing may leave on any connection: what a till was told before has to be there after the
next start, and what it was not told is settled by repeats and reversals. Without a durable
``opened`` a start is refused.
"""

import errno
import subprocess
from pathlib import Path

import pytest
from tally import check_books

SOURCE = Path(__file__).with_name("failing_calls.c")
REQUESTS = 1500


@pytest.fixture(scope="session")
def failing_calls(tmp_path_factory):
    """The compiled library."""
    library = tmp_path_factory.mktemp("library") / "failing_calls.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"],
        check=True,
    )
    return library


@pytest.fixture
def fail(daemon, failing_calls, tmp_path):
    """Prepares the daemon to fail one call; gives the file that arms it."""
    armed = tmp_path / "armed"

    def prepare(call, at, error, *, name=".seg", ms=0):
        daemon.environment = {
            "LD_PRELOAD": str(failing_calls),
            "FAIL_CALL": call,
            "FAIL_NAME": name,
            "FAIL_ARMED": str(armed),
            "FAIL_AT": str(at),
            "FAIL_ERRNO": str(error),
            "FAIL_MS": str(ms),
        }
        return armed

    return prepare


@pytest.mark.parametrize(
    ("call", "at", "error", "ms"),
    [
        ("fdatasync", 1, errno.EIO, 300),
        ("fdatasync", 7, errno.EIO, 0),
        ("pwritev", 3, errno.ENOSPC, 100),
        ("pwritev", 2, 0, 0),
    ],
    ids=["first sync, slowly", "a later sync", "no space", "half a write"],
)
def test_after_a_failure_nothing_is_said_that_is_not_durable(
    daemon, traffic, fail, tmp_path, call, at, error, ms
):
    armed = fail(call, at, error, ms=ms)
    daemon.start()
    traffic.sign_on(daemon.address)

    def arm(count):
        if count > REQUESTS // 8:
            armed.touch()
        return False

    lines = traffic.run(daemon.address, traffic.ask(REQUESTS), arm, depth=4)
    assert all(line.closed for line in lines)
    assert daemon.wait() == 3
    traffic.note(lines)
    assert traffic.told
    assert traffic.open_requests()
    (stopped,) = [line for line in daemon.log().splitlines() if line.startswith("stopped: ")]
    assert "writing the journal failed; start again" in stopped

    daemon.environment = {}
    daemon.start()
    answered = [sent for sent in traffic.asked if sent in traffic.told]
    traffic.check_repeats(daemon.address, answered)
    traffic.settle(daemon.address, 0)
    check_books(daemon, traffic, tmp_path)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_start_that_cannot_write_is_refused_in_a_sentence(daemon, traffic, fail, tmp_path, at):
    daemon.start()
    traffic.sign_on(daemon.address)
    lines = traffic.run(daemon.address, traffic.ask(200), lambda count: count > 100)
    daemon.kill()
    traffic.note(lines)
    fail("fdatasync", at, errno.EIO, name="/journal/").touch()
    daemon.launch()
    assert daemon.says_something(30)
    assert daemon.wait() == 1
    log = daemon.log().splitlines()
    assert len(log) == 1, log
    (sentence,) = log
    assert sentence.startswith("counterfoil: ")
    daemon.environment = {}
    daemon.start()
    traffic.settle(daemon.address, 200)
    check_books(daemon, traffic, tmp_path)
