"""A daemon on data of a chosen size, and terminals ready to load it.

`Field` makes a data directory through the command line, as an operator would, starts the daemon
as a process of its own and signs terminals on. `Till` builds frames by patching a template, so
that the load generator costs little beside the daemon it measures.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from posd import security
from posd.framing import Deframer, frame
from posd.iso8583.compile import Codec

MERCHANTS = 100
ROOT = Path(__file__).resolve().parent.parent
HEADER = bytes.fromhex("603100311234")
BATCH = 1
OPENING_POINTS = 1_000_000
LAPSED_POINTS = 500
ACCRUALS_PERMILLE = 800
STOP_SECONDS_MAX = 120
ACCRUAL, REDEMPTION = "220065", "006500"
PIN_BLOCK_BYTES = 16
COUPON_KINDS = {"inquiry": ("0100", "390000"), "use": ("0200", "900000")}
CODE_DIGITS = 20
COUPON_SALE_FEN = 10_000


def card_number(member: int) -> str:
    """The card of a member: 19 digits."""
    return f"62220200{member:011d}"


def merchant_id(number: int) -> str:
    """A merchant's id."""
    return f"1041100{number:08d}"


def master_key(number: int) -> bytes:
    """A terminal's master key; for measuring only."""
    return number.to_bytes(16, "big")


def merchant_line(number: int, terms: dict[str, object], **said: object) -> dict[str, object]:
    """A merchant's line for `counterfoil load`, its terms with what differs from the usual."""
    usual = {
        "from": "2020-01-01",
        "program": "P01",
        "earn": "1/1",
        "funding_fen_per_point": "1/1",
        "settlement": "95/100",
        "fee_permille": 6,
    }
    return {
        "type": "merchant",
        "id": merchant_id(number),
        "name": f"Merchant {number}",
        "institution": "HB01",
        "category": "5411",
        "terms": [usual | terms],
        **said,
    }


def reference(
    members: int, terminals: int, *, lapsed: bool = False, merchants: int = MERCHANTS
) -> Iterator[dict[str, object]]:
    """Lines for `counterfoil load`: a program, merchants, terminals, members with points.

    With `lapsed`, each member also has points whose day has passed.
    """
    yield {
        "type": "program",
        "id": "P01",
        "name": "Alliance",
        "points_per_yuan": 100,
        "expiry": "rolling:24m",
    }
    yield {"type": "institution", "id": "HB01", "name": "Hebei"}
    for number in range(merchants):
        yield merchant_line(number, {})
    for number in range(terminals):
        yield {
            "type": "terminal",
            "id": f"{number:08d}",
            "merchant": merchant_id(number % merchants),
            "profile": "aes",
            "tmk": master_key(number).hex(),
            "charset": "gb18030",
            "networks": [],
            "serial": None,
        }
    for number in range(members):
        member = f"M{number:08d}"
        yield {"type": "member", "id": member, "cards": [card_number(number)], "tier": "base"}
        yield {
            "type": "balance",
            "member": member,
            "unit": "P01",
            "amount": OPENING_POINTS,
            "expires": "2099-12-31",
        }
        if lapsed:
            yield {
                "type": "balance",
                "member": member,
                "unit": "P01",
                "amount": LAPSED_POINTS,
                "expires": "2020-12-31",
            }


class Till:
    """A terminal that builds accrual and redemption frames cheaply.

    Attributes:
        operator: whom field 63 of its messages names; empty for nobody.
        pin: of every member, in the PIN block of a redemption; empty for none.
    """

    def __init__(self, number: int, seed: int, merchants: int = MERCHANTS) -> None:
        self.number = number
        self.id = f"{number:08d}"
        self.merchant = merchant_id(number % merchants)
        self.tpdu = bytes.fromhex("601234") + number.to_bytes(2, "big")
        self.stan = 0
        self.operator = ""
        self.pin = ""
        self._pin_key = b""
        self._random = random.Random(seed * 1_000_003 + number)
        self._codec = Codec()
        self._mac: security.Callable[[bytes], bytes]

    def sign_on(self, connection: socket.socket) -> None:
        """Sign on over a blocking connection."""
        mac = security.mac_calculator("aes", security.sign_on_key(master_key(self.number)))
        fields = {
            11: "000000",
            41: self.id,
            42: self.merchant,
            60: "00000001005",
            63: b"01 ",
            64: bytes(8),
        }
        body = self._codec.encode("0800", fields)[:-8]
        connection.sendall(frame(self.tpdu, HEADER, body + mac(body)))
        deframer = Deframer()
        frames = []
        while not frames:
            frames = deframer.feed(connection.recv(4096))
        reply = self._codec.decode(frames[0].message)
        if reply.fields[39] != "00":
            raise RuntimeError(f"sign-on of {self.id} was answered {reply.fields[39]}")
        wrapped = reply.fields[62]
        assert isinstance(wrapped, bytes)  # noqa: S101 - field 62 is of kind b
        keys = security.unwrap_keys("aes", master_key(self.number), wrapped)
        self._mac = security.mac_calculator("aes", keys.mac_key)
        self._pin_key = keys.pin_key

    def frames(
        self, count: int, members: int, accruals_permille: int = ACCRUALS_PERMILLE
    ) -> list[bytes]:
        """The next `count` requests on random members, complete as they go on the wire."""
        templates = [self._template(ACCRUAL, "156"), self._template(REDEMPTION, "P01")]
        draw = self._random.random
        mac = self._mac
        made = []
        for _ in range(count):
            self.stan += 1
            redemption = draw() * 1000 >= accruals_permille
            head, middle, tail = templates[redemption]
            amount = int(draw() * (100 if redemption else 50_000)) + 100
            card = card_number(int(draw() * members))
            body = b"".join(
                (
                    head,
                    bytes.fromhex(card + "0"),
                    middle,
                    bytes.fromhex(f"{amount:012d}{self.stan:06d}"),
                    tail,
                    self._pin_block(card) if redemption and self.pin else b"",
                )
            )
            made.append(frame(self.tpdu, HEADER, body + mac(body)))
        return made

    def coupon_frames(self, kind: str, codes: Iterable[str]) -> list[bytes]:
        """The next requests of a kind of `COUPON_KINDS`, one for each code, complete.

        Args:
            kind: which.
            codes: of `CODE_DIGITS` digits.
        """
        message_type, function = COUPON_KINDS[kind]
        fields = {
            3: function,
            4: f"{COUPON_SALE_FEN:012d}",
            11: "0" * 6,
            41: self.id,
            42: self.merchant,
            48: f"12{CODE_DIGITS:03d}{'9' * CODE_DIGITS}".encode(),
            49: "156",
            60: f"00{BATCH:06d}000",
            64: bytes(8),
        }
        message = self._codec.encode(message_type, fields)[:-8]
        # type 2, bitmap 8, function 3, amount 6, STAN 3, then up to the code
        code_at = message.index(b"9" * CODE_DIGITS)
        head, middle, tail = message[:19], message[22:code_at], message[code_at + CODE_DIGITS :]
        made = []
        for code in codes:
            self.stan += 1
            stan = bytes.fromhex(f"{self.stan:06d}")
            body = b"".join((head, stan, middle, code.encode(), tail))
            made.append(frame(self.tpdu, HEADER, body + self._mac(body)))
        return made

    def _template(self, function: str, unit: str) -> tuple[bytes, bytes, bytes]:
        """The parts of a message before the card, before the amount, and after the STAN.

        A PIN block, which comes last, is left out.
        """
        fields: dict[int, str | bytes] = {
            2: card_number(0),
            3: function,
            4: "0" * 12,
            11: "0" * 6,
            22: "012",
            25: "00",
            41: self.id,
            42: self.merchant,
            49: unit,
            60: f"00{BATCH:06d}000",
        }
        if self.operator:
            fields[63] = self.operator.encode()
        if self.pin and function == REDEMPTION:
            fields |= {110: bytes(PIN_BLOCK_BYTES), 128: bytes(8)}
            card, end = 2 + 16 + 1, -8 - PIN_BLOCK_BYTES
        else:
            fields[64] = bytes(8)
            card, end = 2 + 8 + 1, -8
        message = self._codec.encode("0200", fields)[:end]
        # type 2, bitmap 8 or 16, length 1, card 10, function 3, amount 6, STAN 3
        return message[:card], message[card + 10 : card + 13], message[card + 22 :]

    def _pin_block(self, card: str) -> bytes:
        return security.pin_block("aes", self._pin_key, self.pin, card, bytes(8))


class Field:
    """A data directory with members and terminals, and the daemon on it.

    Attributes:
        program: what starts the daemon, up to its command.
    """

    def __init__(
        self,
        folder: Path,
        members: int,
        terminals: int,
        *,
        lapsed: bool = False,
        merchants: int = MERCHANTS,
    ) -> None:
        self.folder = folder
        self.lapsed = lapsed
        self.merchants = merchants
        self.members = members
        self.terminals = terminals
        self.program: tuple[str, ...] = (sys.executable, "-m", "tools")
        self.address = ("127.0.0.1", 0)
        self.metrics_url = ""
        self._daemon: subprocess.Popen[str] | None = None

    def prepare(self, more: Iterable[dict[str, object]] = ()) -> float:
        """Make and load the directory; returns the seconds that loading took.

        Args:
            more: lines to load behind the usual ones.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for left in (self.folder.with_suffix(".key"), Path(f"{self.folder}.key")):
            left.unlink(missing_ok=True)
        lines = self.folder.with_suffix(".jsonl")
        lines.touch(mode=0o600)
        with lines.open("w") as out:
            usual = reference(
                self.members, self.terminals, lapsed=self.lapsed, merchants=self.merchants
            )
            for line in chain(usual, more):
                out.write(json.dumps(line) + "\n")
        lines.chmod(0o600)
        counterfoil("init", str(self.folder))
        began = time.monotonic()
        counterfoil("load", str(self.folder), str(lines))
        took = time.monotonic() - began
        lines.unlink()
        return took

    def start(self, **settings: str) -> float:
        """Start the daemon; returns the seconds until it was ready.

        Args:
            settings: variables of the environment that override its configuration.
        """
        began = time.monotonic()
        self._daemon = subprocess.Popen(
            [
                *(*self.program, "serve", str(self.folder), "--confirm-clock"),
                *("--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **settings},
        )
        assert self._daemon.stdout is not None  # noqa: S101 - asked for above
        line = self._daemon.stdout.readline().split()
        if line[:1] != ["ready"]:
            self.kill()
            raise RuntimeError("the daemon did not get ready")
        host, _, port = line[1].rpartition(":")
        self.address = (host, int(port))
        self.metrics_url = f"http://{line[3]}/metrics"
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self._daemon is not None  # noqa: S101 - started before
        return self._daemon.pid

    def stop(self) -> None:
        """Stop the daemon in order; it must say that all went well."""
        assert self._daemon is not None  # noqa: S101 - started before
        self._daemon.send_signal(signal.SIGTERM)
        with self._daemon as ending:
            try:
                status = ending.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                ending.kill()
                raise
        if status:
            raise RuntimeError(f"the daemon ended with status {status}")

    def kill(self) -> None:
        """Kill the daemon where it stands."""
        assert self._daemon is not None  # noqa: S101 - started before
        with self._daemon as ending:
            ending.kill()

    @contextmanager
    def serving(self, **settings: str) -> Iterator[None]:
        """The daemon, for as long as something is measured and ended whatever comes of it.

        Args:
            settings: as `start` takes them.
        """
        self.start(**settings)
        try:
            yield
        except BaseException:
            self.kill()
            raise
        self.stop()

    def tills(self, first: int, count: int, seed: int) -> list[Till]:
        """Terminals `first` and following, signed on."""
        return self.some(range(first, first + count), seed)

    def some(self, numbers: Iterable[int], seed: int = 1) -> list[Till]:
        """Terminals of these numbers, signed on."""
        tills = [Till(number, seed, self.merchants) for number in numbers]
        with socket.create_connection(self.address) as connection:
            for till in tills:
                till.sign_on(connection)
        return tills

    def scrape(self) -> dict[str, float]:
        """The daemon's metrics by name with labels."""
        with urllib.request.urlopen(self.metrics_url) as page:  # noqa: S310 - our own daemon
            text = page.read().decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def resident_bytes(self) -> int:
        """Resident memory of the daemon."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def verify(self) -> str:
        """Run every audit check; returns the last line, the digest."""
        return counterfoil("verify", str(self.folder)).splitlines()[-1]


def counterfoil(*arguments: str) -> str:
    """Run a command that has to succeed, as a process of its own; returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tools", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"counterfoil {arguments[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
