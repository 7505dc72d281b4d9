"""A data directory, a daemon over it, and terminals and members that no other test has used.

Each test module starts one daemon, and each test takes fresh terminals and members from a pool
that was loaded with it, so that tests share nothing but the process. The directory is made,
served and judged only by the documented command line. When a module ends, the daemon is
stopped by SIGTERM (exit 0) and `counterfoil verify` has to find the books in order.
"""

import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from . import keys
from .client import Link, Terminal
from .messages import Member

ROOT = Path(__file__).parents[2]
READY_LIMIT_S = 30.0
COMMAND_LIMIT_S = 60.0
YEAR = datetime.now(ZoneInfo("Asia/Shanghai")).year
NEXT_EXPIRY = f"{YEAR + 1}-12-31"  # before anything earned now, which lives 24 months

HOTEL = "104110045110012"  # earns 1/1 into P01, 100 points a yuan
SHOP = "104110045110013"  # earns 3/2 into P02, 50 points a yuan
CLOSED = "104110045110014"  # its terms begin in a time that no test reaches
PROFILES = ("aes", "tdes-x919", "tdes-cup")
SERIAL = "358240051111110"


def luhn(digits: str) -> str:
    """The number with its check digit."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if at % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def card_number(number: int) -> str:
    """A card number of 19 digits with a right check digit."""
    return luhn(f"622202{number:012d}")


def phone_number(number: int) -> str:
    """A mobile number."""
    return f"138{number:08d}"


def master_key(terminal_id: str, profile: str) -> bytes:
    """A terminal's master key: always the same, known to nobody else."""
    key = hashlib.sha256(f"{profile} {terminal_id}".encode()).digest()[:16]
    return key if profile == "aes" else keys.odd_parity(key)


# --- reference data ------------------------------------------------------------------------


def terms(program: str, earn: str, start: str = "2026-01-01") -> dict:
    """One set of terms as the load format writes it."""
    return {
        "from": start,
        "program": program,
        "earn": earn,
        "funding_fen_per_point": "1/1",
        "settlement": "95/100",
        "fee_permille": 6,
    }


def merchant(merchant_id: str, name: str, *terms_: dict) -> dict:
    """A merchant line."""
    return {
        "type": "merchant",
        "id": merchant_id,
        "name": name,
        "institution": "HB01",
        "category": "7011",
        "terms": list(terms_),
    }


def program(program_id: str, name: str, points_per_yuan: int) -> dict:
    """A program line."""
    return {
        "type": "program",
        "id": program_id,
        "name": name,
        "points_per_yuan": points_per_yuan,
        "expiry": "rolling:24m",
    }


HOUSES = [
    program("P01", "Alliance", 100),
    program("P02", "Tea", 50),
    {"type": "institution", "id": "HB01", "name": "Hebei"},
    merchant(HOTEL, "Lakeside Hotel", terms("P01", "1/1")),
    merchant(SHOP, "Tea House", terms("P02", "3/2")),
    merchant(CLOSED, "Not Yet Open", terms("P01", "1/1", start="2199-01-01")),
]

# (profile, merchant, network, serial) -> how many such terminals a module may use
FLEET = {
    ("aes", HOTEL, "", ""): 80,
    ("tdes-x919", HOTEL, "", ""): 25,
    ("tdes-cup", HOTEL, "", ""): 25,
    ("aes", SHOP, "", ""): 10,
    ("aes", CLOSED, "", ""): 2,
    ("tdes-cup", HOTEL, "10.9.0.0/16", ""): 2,
    ("aes", HOTEL, "", SERIAL): 4,
}
MEMBERS = 100


def terminal_lines() -> tuple[list[dict], dict[tuple, list[Terminal]]]:
    """The lines to load, and a pool of the devices that they register."""
    lines, pool, number = [], defaultdict(list), 0
    for kind, count in FLEET.items():
        profile, merchant_id, network, serial = kind
        for _ in range(count):
            number += 1
            terminal_id = f"{number:08d}"
            tmk = master_key(terminal_id, profile)
            line = {
                "type": "terminal",
                "id": terminal_id,
                "merchant": merchant_id,
                "profile": profile,
                "tmk": tmk.hex(),
                "charset": "gb18030",
                "serial": serial or None,
            }
            if network:
                line["networks"] = [network]
            lines.append(line)
            pool[kind].append(Terminal(profile, terminal_id, merchant_id, tmk, source=number))
    return lines, pool


def member_lines() -> tuple[list[dict], list[Member]]:
    """The lines to load, and the members with 5,000 points each."""
    lines, pool = [], []
    for number in range(1, MEMBERS + 1):
        member = Member(f"M{number:07d}", card_number(number), phone_number(number))
        lines.append(
            {
                "type": "member",
                "id": member.id,
                "cards": [member.card],
                "phone": member.phone,
                "tier": "base",
                "pin": member.pin,
            }
        )
        lines.append(
            {
                "type": "balance",
                "member": member.id,
                "unit": "P01",
                "amount": member.opening,
                "expires": NEXT_EXPIRY,
            }
        )
        pool.append(member)
    return lines, pool


# --- the daemon and its directory ----------------------------------------------------------


def counterfoil(*arguments: object, directory: Path) -> subprocess.CompletedProcess:
    """Run one command to its end, with the key file of `directory`."""
    environment = {**os.environ, "COUNTERFOIL_KEY": f"{directory}.key"}
    return subprocess.run(
        [sys.executable, "-m", "tools", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )


def must(done: subprocess.CompletedProcess) -> str:
    """The output of a command that has to succeed."""
    said = f"{' '.join(done.args[2:])}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    return done.stdout


class Daemon:
    """`counterfoil serve` as a process over one data directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.directory = folder / "data"
        self.address = ("", 0)
        self.metrics = ("", 0)
        self._process: subprocess.Popen | None = None
        self._errors = folder / "serve.stderr"

    def run(self, *arguments: object) -> subprocess.CompletedProcess:
        """Run a command of the same installation beside the daemon."""
        return counterfoil(*arguments, directory=self.directory)

    def prepare(self, lines: list[dict]) -> None:
        """Make the data directory and load the reference data, keys in clear (mode 0600)."""
        must(self.run("init", self.directory))
        reference = self.folder / "reference.jsonl"
        reference.touch(mode=0o600)
        reference.write_text("".join(json.dumps(line) + "\n" for line in lines))
        must(self.run("load", self.directory, reference))

    def start(self) -> None:
        """Serve on free ports and wait for the `ready` line."""
        command = [sys.executable, "-m", "tools", "serve", str(self.directory)]
        command += ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        environment = {**os.environ, "COUNTERFOIL_KEY": f"{self.directory}.key"}
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors
            )
        words = self._ready_line().split()
        if len(words) != 4 or words[::2] != ["ready", "metrics"]:
            self.kill()
            pytest.fail(f"not a ready line: {words}")
        self.address, self.metrics = _host_and_port(words[1]), _host_and_port(words[3])

    def _ready_line(self) -> str:
        output, line = self._process.stdout, b""
        deadline = time.monotonic() + READY_LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = deadline - time.monotonic()
                piece = os.read(output.fileno(), 4096) if selector.select(max(left, 0)) else b""
                if not piece:
                    self.kill()
                    pytest.fail(f"the daemon did not get ready: {line!r}\n{self.errors()}")
                line += piece
        return line.decode()

    def errors(self) -> str:
        """The end of what the daemon wrote to stderr."""
        return self._errors.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """Kill -9: nothing is said, nothing is finished."""
        self._process.kill()
        self._gone()

    def stop(self) -> int:
        """SIGTERM, and the exit status of the drained process."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self._gone()

    def _gone(self) -> int:
        try:
            status = self._process.wait(READY_LIMIT_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        return status

    def crash_and_restart(self) -> None:
        """Kill -9 and serve the same directory again, on other ports."""
        self.kill()
        self.start()

    def digest(self, directory: Path | None = None) -> str:
        """`verify` must find nothing; returns the digest of its last line."""
        report = must(self.run("verify", directory or self.directory))
        *_, sequence, digest = report.strip().splitlines()
        assert sequence.split()[0] == "sequence", report
        assert digest.split()[0] == "digest", report
        return digest.split()[1]


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


class World:
    """A daemon with everything that was registered there and not used yet."""

    def __init__(self, daemon: Daemon):
        terminals, self._terminals = terminal_lines()
        members, self._members = member_lines()
        self.daemon = daemon
        self.lines = [*HOUSES, *terminals, *members]
        self._unknown_cards = iter(range(900_000, 999_999))
        self._links: list[Link] = []

    def link(self, source: str = "127.0.0.1") -> Link:
        """A new connection, closed when the test ends."""
        link = Link(self.daemon.address, source)
        self._links.append(link)
        return link

    def hang_up(self) -> None:
        """Close what the test opened."""
        while self._links:
            self._links.pop().close()

    def member(self) -> Member:
        """A member whom no other test has seen."""
        return self._members.pop()

    def stranger(self) -> str:
        """A card number that leads to nobody."""
        return card_number(next(self._unknown_cards))

    def terminal(
        self,
        profile: str = "aes",
        merchant_id: str = HOTEL,
        *,
        network: str = "",
        serial: str = "",
        link: Link | None = None,
    ) -> Terminal:
        """A terminal fresh from the box, on a line of its own unless one is given."""
        terminal = self._terminals[profile, merchant_id, network, serial].pop()
        terminal.link = link or self.link()
        return terminal

    def till(self, profile: str = "aes", merchant_id: str = HOTEL, **how) -> Terminal:
        """A terminal that has signed on."""
        terminal = self.terminal(profile, merchant_id, **how)
        terminal.sign_on()
        return terminal


# --- fixtures ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _served(tmp_path_factory):
    world = World(Daemon(tmp_path_factory.mktemp("counterfoil")))
    daemon = world.daemon
    daemon.prepare(world.lines)
    daemon.start()
    yield world
    world.hang_up()
    status = daemon.stop()
    assert status == 0, f"SIGTERM: exit {status}\n{daemon.errors()}"
    daemon.digest()


@pytest.fixture
def world(_served):
    yield _served
    _served.hang_up()


@pytest.fixture
def daemon(world):
    return world.daemon


@pytest.fixture
def member(world):
    return world.member()


@pytest.fixture
def till(world):
    """A signed-on aes terminal of the hotel."""
    return world.till()


@pytest.fixture(params=PROFILES)
def profile(request):
    return request.param
