"""The scenes of the demonstration: what a customer sees, one message after the other.

A till of its own, with members that nobody else serves, plays what the fleet does by chance: a tier
is reached, a limit bites, a hold is captured and another one forgotten, a card is lost and
replaced, a coupon is used. Each answer is told in a row of the summary, and each is what it has to
be, or a fault. Everything goes through a socket, as with any till.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from posd.framing import Deframer
from tools import till_requests as requests
from tools.demo_page import Section
from tools.fleet import TEST_PREFIX, with_check_digit
from tools.sample import ALLIANCE
from tools.terminal import Answer, Registration, Terminal
from tools.till_books import Presented
from tools.till_replies import MONEY

MERCHANT: Final = "104110070119999"
TERMINAL: Final = "90000001"
HOLD_S: Final = 60
"""A hold here lasts a minute: the shortest that terms allow."""
ANSWER_S: Final = 20.0

GUEST: Final = Presented("D0000001", card=with_check_digit(f"{TEST_PREFIX}610000001"))
LOSER: Final = Presented("D0000002", card=with_check_digit(f"{TEST_PREFIX}610000002"))
FOUND: Final = Presented("D0000002", card=with_check_digit(f"{TEST_PREFIX}610000003"))
_OPENING: Final[dict[str, dict[str, int]]] = {
    GUEST.member: {ALLIANCE: 3000},
    LOSER.member: {ALLIANCE: 120, MONEY: 20_000},
}
_RUN_OUT: Final = 120
"""Points whose day has passed: the night finds them."""


@dataclass
class Scenes:
    """What came of the scenes.

    Attributes:
        rows: Scene, what the till sent, response code, what was told.
        faults: Sentences on what was wrong; empty at best.
        forgotten_at: When the hold was made that nobody ended, on the monotonic clock.
        books: Merchants' points as the till believes, in the form of a run's books.
    """

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    forgotten_at: float = 0.0
    books: dict[str, Any] = field(default_factory=dict)

    def wait_s(self) -> float:
        """Seconds until the forgotten hold has timed out; below zero when it has."""
        return self.forgotten_at + HOLD_S + 1 - time.monotonic()


def _lines(tmk: str) -> list[dict[str, Any]]:
    """What is loaded for the scenes."""
    terms = {
        "from": "2026-01-01",
        "program": ALLIANCE,
        "earn": "1/1",
        "tier_earn": {"gold": "2/1"},
        "funding_fen_per_point": "1/1",
        "settlement": "95/100",
        "fee_permille": 6,
        "hold_minutes": HOLD_S // 60,
    }
    lines: list[dict[str, Any]] = [
        {
            "type": "tier",
            "id": "gold",
            "name": "金卡",
            "rank": 2,
            "rules": [{"from": "2026-01-01", "spending_fen": 100_000}],
        },
        {
            "type": "merchant",
            "id": MERCHANT,
            "name": "示范客栈",
            "institution": "BJ01",
            "category": "7011",
            "terms": [terms],
        },
        {"type": "terminal", "id": TERMINAL, "merchant": MERCHANT, "tmk": tmk},
        {
            "type": "limit",
            "id": "DAILY",
            "unit": ALLIANCE,
            "scope": "merchant",
            "key": MERCHANT,
            "what": "redemption",
            "per": "day",
            "max_amount": 1000,
        },
        {"type": "member", "id": GUEST.member, "cards": [GUEST.card]},
        {"type": "member", "id": LOSER.member, "cards": [LOSER.card]},
    ]
    for member, balances in _OPENING.items():
        for unit, amount in balances.items():
            expires = "2020-12-31" if amount == _RUN_OUT else "2099-12-31"
            line = {"type": "balance", "member": member, "unit": unit, "amount": amount}
            lines.append(line | {"expires": expires})
    return lines


class Counter:
    """The till, its line to the daemon, and what is told of each answer."""

    def __init__(self, address: str, tmk: str, scenes: Scenes) -> None:
        host, _, port = address.rpartition(":")
        self.terminal = Terminal(
            Registration(TERMINAL, MERCHANT, "aes", bytes.fromhex(tmk), b"\x99\x01"),
            secrets.token_bytes,
        )
        self._scenes = scenes
        self._line = socket.create_connection((host, int(port)), timeout=ANSWER_S)
        self._deframer = Deframer()
        self.ask(self.terminal.due(0) or b"")

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def ask(self, data: bytes) -> Answer:
        """Send a frame and wait for its answer.

        Raises:
            OSError: The daemon hung up or stayed silent.
        """
        self._line.sendall(data)
        while True:
            received = self._line.recv(65536)
            if not received:
                raise OSError("the daemon hung up")
            for reply in self._deframer.feed(received):
                answer = self.terminal.receive(reply)
                if answer is not None:
                    return answer

    def play(self, scene: str, sent: str, data: bytes, told: str, code: str = "00") -> Answer:
        """Ask, and note what was answered; another code than `code` is a fault."""
        answer = self.ask(data)
        if answer.moved:
            told = told.replace("MOVED", f"{answer.moved:+,} points")
        self._scenes.rows.append((scene, sent, answer.code, told))
        if answer.code != code:
            self._scenes.faults.append(f"{scene}: {sent} was answered {answer.code}, not {code}")
        return answer


def load_scenes(counterfoil: Callable[..., str], data: Path, folder: Path) -> str:
    """Load what the scenes need; returns the master key of their till, 32 hex digits."""
    tmk = secrets.token_hex(16)
    path = folder / "scenes.jsonl"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(tmk))
    counterfoil("load", data, path)
    path.unlink()  # it held a key in clear
    return tmk


def play_scenes(address: str, tmk: str) -> Scenes:
    """Play all scenes at the daemon."""
    scenes = Scenes()
    counter = Counter(address, tmk, scenes)
    try:
        _tier(counter)
        _limit(counter)
        _holds(counter)
        _loss(counter)
        _coupon(counter)
        _compare(counter, scenes)
        scenes.books = _books(counter.terminal)
    finally:
        counter.close()
    return scenes


def _tier(counter: Counter) -> None:
    till = counter.terminal
    first, second = till.accrue, till.accrue
    counter.play("a tier", "a stay for 1,200 yuan", first(GUEST, 120_000, 0), "MOVED; now gold")
    counter.play("", "coffee for 100 yuan", second(GUEST, 10_000, 0), "MOVED: gold earns double")


def _limit(counter: Counter) -> None:
    till = counter.terminal
    counter.play(
        "a limit", "600 points spent", till.redeem(GUEST, ALLIANCE, 600, 0), "MOVED of 1,000 a day"
    )
    again = till.redeem(GUEST, ALLIANCE, 600, 0)
    counter.play("", "600 more", again, "over the inn's limit, nothing moved", "61")


def _holds(counter: Counter) -> None:
    till = counter.terminal
    counter.play(
        "a hold", "500 points set aside", till.hold(GUEST, ALLIANCE, 500, 0), "held for a minute"
    )
    captured = till.capture(till.held.pop(), 300, 0)
    counter.play("", "300 of them captured", captured, "MOVED, the rest is free again")
    counter.play(
        "", "400 points set aside", till.hold(GUEST, ALLIANCE, 400, 0), "forgotten: see the night"
    )
    counter._scenes.forgotten_at = time.monotonic()  # noqa: SLF001 - of this module


def _loss(counter: Counter) -> None:
    till = counter.terminal
    lost = till.send(requests.loss_report(LOSER), 0)
    counter.play("a lost card", "reported", lost, "blocked from now on")
    refused = till.purchase(LOSER, 3000, 0)
    counter.play("", "somebody pays 30 yuan with it", refused, "reported lost, nothing moved", "41")
    counter.play(
        "", "a new card", till.replace_card(LOSER, FOUND.card, 0), "names the same account"
    )
    paid = till.purchase(FOUND, 3000, 0)
    counter.play("", "its owner pays 30 yuan", paid, "paid with stored value")


def _coupon(counter: Counter) -> None:
    till = counter.terminal
    claim = till.send(requests.coupon_claim(GUEST, "SPRING10"), 0)
    counter.play("a coupon", "claimed", claim, "a code of 20 digits")
    for told, code in (("10 yuan off", "00"), ("used before", "78")):
        use = till.send(requests.coupon_use(till.coupons[-1], 8000), 0)
        counter.play("", "shown with a sale of 80 yuan", use, told, code)


def _compare(counter: Counter, scenes: Scenes) -> None:
    """What the two members have is what the till believes; then the batch is settled."""
    for presented in (GUEST, FOUND):
        answer = counter.ask(counter.terminal.balance(presented, 0))
        told = {unit: ledger for unit, _, ledger in answer.balances}
        believed = dict(_OPENING[presented.member])
        for (member, unit), amount in counter.terminal.books.members.items():
            if member == presented.member:
                believed[unit] = believed.get(unit, 0) + amount
        if told != believed:
            scenes.faults.append(f"member {presented.member} has {told}, believed {believed}")
    settled = counter.ask(counter.terminal.settle(0))
    if settled.code != "00":
        scenes.faults.append(f"the till of the scenes settled with {settled.code}")


def _books(terminal: Terminal) -> dict[str, Any]:
    """Merchants' points as books of a run have them."""
    merchants: dict[str, dict[str, dict[str, int]]] = {}
    for name, column in (
        ("issued", terminal.books.issued),
        ("redeemed", terminal.books.redeemed),
    ):
        for (merchant, program), points in column.items():
            merchants.setdefault(merchant, {}).setdefault(program, {})[name] = points
    return {"merchants": merchants}


def about_scenes(scenes: Scenes) -> Section:
    """Tell the scenes."""
    text = (
        "One till of an inn, one message after the other. The code is field 39 of the reply: 00 is"
        " approved, anything else is a decline that posts nothing."
    )
    head = ("scene", "at the till", "code", "what came of it")
    return Section("What customers met", text, head, tuple(scenes.rows))
