"""The daemon under a service manager: what it says to it, and the unit file."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "posd" / "ops" / "counterfoil.service"


def hear(listening, wanted):
    """Wait for a word."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = listening.recv(4096).decode().splitlines()
        if wanted in said:
            return
    raise AssertionError(f"{wanted} was never said")


def test_the_manager_hears_ready_alive_and_stopping(daemon, tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(60)
        daemon.environment["NOTIFY_SOCKET"] = address
        daemon.start()
        hear(listening, "READY=1")
        hear(listening, "WATCHDOG=1")
        daemon.terminate()
        hear(listening, "STOPPING=1")
        assert daemon.wait() == 0


def test_a_manager_that_is_gone_stops_nothing(daemon, tmp_path):
    daemon.environment["NOTIFY_SOCKET"] = str(tmp_path / "nobody")
    daemon.start()
    daemon.terminate()
    assert daemon.wait() == 0


def test_a_signal_to_the_whole_group_stops_the_daemon_in_order(daemon):
    """As from a terminal, or a manager that does not know which process is the main one."""
    daemon.start()
    helpers = [daemon.syncer(), daemon.follower()]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        for process in helpers:
            os.kill(process, number)
    time.sleep(0.2)
    assert [daemon.syncer(), daemon.follower()] == helpers
    daemon.terminate()
    assert daemon.wait() == 0


def test_a_daemon_that_crashes_leaves_no_core_with_its_keys(daemon):
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    daemon.start()
    process = daemon.pid
    os.kill(process, signal.SIGABRT)
    # The status as the kernel gives it says whether a core was written, wherever it went.
    _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)


def test_the_unit_file_is_one_and_exposes_little(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here to judge the unit file")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/counterfoil/.venv/bin/counterfoil", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
