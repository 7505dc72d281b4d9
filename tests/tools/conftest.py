"""A data directory made by the command line, and the command line as a function."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.cli import main

ROOT = Path(__file__).resolve().parents[2]
CARD = "6222020000000000018"
PHONE = "13800000001"
TMK = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SERIAL = "IMEI358240051111110"
HOTEL = "104110045110012"

PROGRAM = {"type": "program", "id": "P01", "name": "Alliance", "points_per_yuan": 100}
PROGRAM["expiry"] = "rolling:24m"
INSTITUTION = {"type": "institution", "id": "HB01", "name": "Hebei"}
MERCHANT = {
    "type": "merchant",
    "id": HOTEL,
    "name": "湖畔 [bold]酒店",
    "institution": "HB01",
    "category": "7011",
    "terms": [
        {
            "from": "2020-01-01",
            "program": "P01",
            "earn": "1/1",
            "funding_fen_per_point": "1/1",
            "settlement": "95/100",
            "fee_permille": 6,
        }
    ],
}
TERMINAL = {
    "type": "terminal",
    "id": "00000001",
    "merchant": HOTEL,
    "profile": "aes",
    "tmk": TMK,
    "charset": "gb18030",
    "networks": ["127.0.0.0/8"],
    "serial": SERIAL,
}
MEMBER = {"type": "member", "id": "M0000001", "cards": [CARD], "phone": PHONE}
MEMBER |= {"tier": "base", "pin": "123456"}
BALANCE = {"type": "balance", "member": "M0000001", "unit": "P01", "amount": 5000}
BALANCE["expires"] = "2127-12-31"
LINES = [PROGRAM, INSTITUTION, MERCHANT, TERMINAL, MEMBER, BALANCE]


def run(*arguments, typed=None):
    """Run a command in this process; `typed` is its standard input."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=typed)


def must(*arguments):
    """The output of a command that has to succeed."""
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def close_date(directory, *options):
    """Close the open date, also one that has not begun; returns it as YYYY-MM-DD."""
    done = run(*options, "cutoff", directory, "--json")
    if done.exit_code:
        (date,) = re.findall(r"open business date is (\S+), which has not begun", done.stderr)
        must(*options, "cutoff", directory, "--date", date)
        return date
    closed = str(json.loads(done.stdout)["closed"])
    return f"{closed[:4]}-{closed[4:6]}-{closed[6:]}"


def write_lines(path, lines, mode=0o600):
    """A file of JSON Lines; a text stands for itself."""
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _no_key_variable(monkeypatch):
    monkeypatch.delenv("COUNTERFOIL_KEY", raising=False)


@pytest.fixture
def empty(tmp_path):
    """A new data directory."""
    must("init", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def loaded(empty):
    """A data directory with one of each."""
    must("load", empty, write_lines(empty.with_name("reference.jsonl"), LINES))
    return empty


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A data directory with one of each, for tests that leave it as it is."""
    os.environ.pop("COUNTERFOIL_KEY", None)
    folder = tmp_path_factory.mktemp("shared")
    must("init", folder / "data")
    must("load", folder / "data", write_lines(folder / "reference.jsonl", LINES))
    return folder / "data"


class Daemon:
    """`counterfoil serve` as a process."""

    def __init__(self, directory, *options):
        self.directory = directory
        ports = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posd", "serve", str(directory), *ports, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        assert ready, "the daemon says nothing"
        words = self.process.stdout.readline().split()
        assert words[:1] == [b"ready"], "the daemon is not ready"
        self.address = words[1].decode()
        self.metrics = words[3].decode()

    def stop(self, number=signal.SIGTERM):
        """End it; returns the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="session")
def long_path(tmp_path_factory):
    """A folder whose path is longer than a socket's address may be."""
    folder = tmp_path_factory.mktemp("long") / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def daemon(long_path, request):
    """A running daemon over a directory with one of each."""
    os.environ.pop("COUNTERFOIL_KEY", None)
    directory = long_path / request.module.__name__
    must("init", directory)
    must("load", directory, write_lines(long_path / "reference.jsonl", LINES))
    running = Daemon(directory)
    yield running
    assert running.stop() == 0
