"""The daemon as a process that is killed, stopped, starved and spied on.

It adds to the daemon of `tests.independent` what a bad day needs: limits in the configuration,
variables in the environment (a library that fails a system call), the follower's process number,
metrics, health, and starts that have to be refused.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.independent.conftest import (
    HOTEL,
    HOUSES,
    NEXT_EXPIRY,
    ROOT,
    card_number,
    counterfoil,
    master_key,
    must,
    phone_number,
)
from tests.independent.conftest import Daemon as ServedDirectory
from tests.independent.messages import Member

PATIENCE_S = 60.0
POLL_S = 0.01
OPENING = 5000


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition; a test fails with `what` when it never comes."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


FRIENDS_POINTS = 7
REFERRAL = {"type": "reason", "program": "P01", "code": "FRIEND", "points": 10}
REFERRAL |= {"other_points": FRIENDS_POINTS, "per_day": 0}


def reference(terminals: int, members: int) -> tuple[list[dict], list[Member]]:
    """Lines to load: terminals of one hotel, and members with an opening balance each."""
    lines = [*HOUSES, REFERRAL]
    lines += [
        {
            "type": "terminal",
            "id": f"{number:08d}",
            "merchant": HOTEL,
            "profile": "aes",
            "tmk": master_key(f"{number:08d}", "aes").hex(),
            "charset": "gb18030",
            "serial": None,
        }
        for number in range(1, terminals + 1)
    ]
    pool = []
    for number in range(1, members + 1):
        member = Member(f"M{number:07d}", card_number(number), phone_number(number))
        pool.append(member)
        lines += [
            {"type": "member", "id": member.id, "cards": [member.card], "phone": member.phone}
            | {"tier": "base", "pin": member.pin},
            {"type": "balance", "member": member.id, "unit": "P01", "amount": OPENING}
            | {"expires": NEXT_EXPIRY},
        ]
    return lines, pool


class Daemon(ServedDirectory):
    """`counterfoil serve` over a directory of its own.

    Attributes:
        environment: variables for the daemon alone.
        tls: where it listens under TLS, if it does.
    """

    def __init__(self, folder: Path, errors: Path | None = None) -> None:
        super().__init__(folder)
        self._errors = errors or self._errors
        self.environment: dict[str, str] = {}
        self._limits: dict[str, float] = {}

    def limit(self, **limits: float) -> None:
        """Write bounds into the directory's configuration, besides those written before."""
        self._limits |= limits
        place = self.directory / "counterfoil.toml"
        head, _, _ = place.read_text().partition("[limits]\n")
        bounds = "".join(f"{name} = {value}\n" for name, value in self._limits.items())
        place.write_text(f"{head}[limits]\n{bounds}")

    # Processes.

    def launch(self, *options: object) -> None:
        """Start serving and return at once."""
        command = [sys.executable, "-m", "tools", "serve", str(self.directory)]
        command += ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", *map(str, options)]
        environment = {**os.environ, "COUNTERFOIL_KEY": f"{self.directory}.key"}
        environment |= self.environment
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors
            )

    def start(self) -> None:
        """Serve on free ports and wait for the `ready` line."""
        self.launch()
        self.await_ready()

    def await_ready(self) -> None:
        """Wait for the `ready` line and take the addresses from it."""
        words = self._ready_line().split()
        assert words[:4:2] == ["ready", "metrics"], words
        self.address, self.metrics = _address(words[1]), _address(words[3])
        if words[4:]:
            assert words[4] == "tls", words
            self.tls = _address(words[5])

    def says_something(self, seconds: float) -> bool:
        """Whether anything stands on stdout, an end of it included, within some seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def refused_start(self) -> subprocess.CompletedProcess:
        """Run `serve` where it has to give up by itself."""
        return counterfoil(
            "serve",
            self.directory,
            "--listen",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
            directory=self.directory,
        )

    @property
    def pid(self) -> int:
        """The daemon's process number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """The exit status of a daemon that ends by itself."""
        return self._gone()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._process.send_signal(signal.SIGTERM)

    def kill_if_running(self) -> None:
        """Leave nothing behind, however a test ended."""
        if self._process is not None:
            self.kill()

    def follower(self) -> int:
        """Process number of the follower that is there now, 0 for none."""
        return self._child(b"ledger.follower")

    def syncer(self) -> int:
        """The same of the process that waits for the disk."""
        return self._child(b"ledger.syncer")

    def _child(self, module: bytes) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        for child in children.read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            if module in command and _state(int(child)) != "Z":
                return int(child)
        return 0

    def resident_bytes(self) -> int:
        """Memory of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    # What it says.

    def log(self) -> str:
        """All that was written to stderr."""
        return self._errors.read_text(errors="replace")

    def page(self, name: str) -> tuple[int, str]:
        """Status and text of an HTTP page."""
        url = f"http://{self.metrics[0]}:{self.metrics[1]}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def metric(self, name: str) -> float:
        """One plain counter or gauge, without the house's prefix."""
        _, text = self.page("metrics")
        wanted = f"counterfoil{name}"
        values = [line.split()[1] for line in text.splitlines() if line.split()[0] == wanted]
        assert len(values) == 1, f"{name}: {values}"
        return float(values[0])

    # What it left behind.

    def replayed_digest(self, into: Path) -> str:
        """The digest after all commands ran again through the rules, in a new directory."""
        told = must(self.run("replay", self.directory, "--into", into))
        return told.strip().splitlines()[-1].split()[1]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def must_fail(done: subprocess.CompletedProcess) -> str:
    """The one sentence of a command that was refused."""
    assert done.returncode == 1, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("counterfoil: "), sentence
    return sentence
