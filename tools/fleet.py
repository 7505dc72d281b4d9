"""A fleet of terminals: its description, and what each till of it does next, from a seed.

A fleet file is JSON or TOML (by its ending)::

    {"seed": 1, "timeout_s": 10, "think_ms": [20, 60],
     "mix": {"accrual": 50, "redeem_points": 15, ...},
     "terminals": [{"id": "00000001", "merchant": "104110045110012", "profile": "aes",
                    "tmk": "<32 hex>", "address": "0001", "link": "direct", "units": ["P01"]}],
     "members": [{"id": "M0000001", "card": "9999150000000018", "phone": "13800000001",
                  "pin": "1234", "balances": {"P01": 5000}}]}

`link` is `direct` for a connection of its own, or the name of the network access controller (NAC)
that the terminal shares with others; `address` is its TPDU address, four hex digits, which tells
those on one link apart. `units` are the programs in which it redeems points; `mix` gives weights
of `KINDS`. `seed`, `timeout_s`, `think_ms`, `mix`, a terminal's `serial`, a member's `phone`, `pin`
and `balances` may be left out. The file holds keys, so it belongs in mode 0600.

A `Till` is a terminal with somebody behind it: it chooses the next transaction, and it loses
replies on purpose. Its choices come from the seed, its own id and what it was answered, so the same
seed and the same answers give the same frames.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from posd import security
from posd.framing import Frame
from posd.iso8583.compile import Codec
from tools.terminal import Answer, Registration, Terminal
from tools.till_books import Posted, Presented
from tools.till_replies import MONEY

DIRECT: Final = "direct"
TEST_PREFIX: Final = "999915"
"""First digits of the card numbers made up here; no issuer has them (ISO/IEC 7812)."""

DEFAULT_MIX: Final = {
    "accrual": 47,
    "redeem_points": 14,
    "redeem_value": 12,
    "offline": 1,
    "top_up": 3,
    "purchase": 2,
    "hold": 3,
    "balance": 12,
    "void": 5,
    "refund": 5,
    "enrol": 1.5,
    "replace": 0.3,
    "wrong_pin": 0.5,
    "stranger": 0.1,
    "settle": 0.1,
    "echo": 0.3,
}
KINDS: Final = tuple(DEFAULT_MIX)
"""What a till may choose to do; `stranger` is a sale to a card that nobody knows."""

HOST_ZONE: Final = ZoneInfo("Asia/Shanghai")
"""Where tills made up here stand; the time of a sale made offline is by their clocks."""
LOAD_YUAN_MAX: Final = 500
SALE_FEN_MAX: Final = 2_000_000
_SALE_LOG_MEAN: Final = 9.4
"""Logarithm of a usual sale in fen: about 120 yuan."""
_SALE_LOG_SPREAD: Final = 0.9
_SWIPED, _KEYED = 0.55, 0.8
_NEWCOMERS_MAX: Final = 200
_NOTED: Final = frozenset({"enrolment", "replacement", "settlement"})
_STRANGERS_MAX: Final = 5
"""Unknown cards that a till tries in one run; the host takes more than ten a minute for guesses."""


class FleetError(Exception):
    """The fleet file cannot be used; the text says what to change."""


@dataclass(frozen=True, slots=True, repr=False)
class Customer:
    """A member as the fleet knows it; `balances` are opening points by program."""

    id: str
    card: str
    phone: str = ""
    pin: str = ""
    balances: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """A terminal of the fleet: who it is, over which link it talks, what it redeems."""

    registration: Registration
    link: str
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a run goes wrong on purpose: shares of replies, 0 to 1, that are lost.

    Attributes:
        drop: Lost, so that the terminal reverses.
        repeat: Lost, so that the terminal sends its message again.
    """

    drop: float = 0.0
    repeat: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Fleet:
    """A fleet file, read.

    Attributes:
        seed: What all choices come from.
        timeout_s: How long a terminal waits for an answer.
        think_ms: Least and most time between two transactions of a till in a closed loop.
        mix: Weight of each of `KINDS`.
        placements: The terminals.
        customers: The members.
    """

    seed: int
    timeout_s: float
    think_ms: tuple[float, float]
    mix: dict[str, float]
    placements: tuple[Placement, ...]
    customers: tuple[Customer, ...]

    def with_pin(self) -> tuple[Customer, ...]:
        """The members that have a PIN."""
        return tuple(customer for customer in self.customers if customer.pin)


def read_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        FleetError: The file cannot be read or lacks something.
    """
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise FleetError(f"the fleet file {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise FleetError(f"the fleet file {path} is neither JSON nor TOML") from None
    try:
        return fleet_of(data)
    except KeyError as error:
        raise FleetError(f"the fleet file {path} lacks {error}") from None
    except (TypeError, ValueError, AttributeError):
        raise FleetError(f"the fleet file {path} holds a value of the wrong form") from None


def fleet_of(data: dict[str, Any]) -> Fleet:
    """Make a fleet out of the content of its file.

    Raises:
        FleetError: A kind of transaction is unknown, two terminals share an address, or there is
            no terminal or no member.
        KeyError, TypeError, ValueError, AttributeError: Something is missing or malformed.
    """
    mix = {str(kind): float(weight) for kind, weight in data.get("mix", DEFAULT_MIX).items()}
    unknown = sorted(mix.keys() - set(KINDS))
    if unknown:
        raise FleetError(f"a fleet's mix has no {unknown[0]!r}; there are {', '.join(KINDS)}")
    low, high = data.get("think_ms", (0, 0))
    placements = tuple(_placement(row) for row in data["terminals"])
    places = {(place.link, place.registration.address) for place in placements}
    shared = [place for place in placements if place.link != DIRECT]
    if len([place for place in places if place[0] != DIRECT]) != len(shared):
        raise FleetError("two terminals of a fleet share a link and an address")
    customers = tuple(_customer(row) for row in data["members"])
    if not placements or not customers:
        raise FleetError("a fleet has at least one terminal and one member")
    return Fleet(
        int(data.get("seed", 1)),
        float(data.get("timeout_s", 10)),
        (float(low), float(high)),
        mix,
        placements,
        customers,
    )


def _placement(row: dict[str, Any]) -> Placement:
    registration = Registration(
        row["id"],
        row["merchant"],
        row["profile"],
        bytes.fromhex(row["tmk"]),
        bytes.fromhex(row["address"]),
        row.get("serial") or "",
    )
    if registration.profile not in security.PROFILES:
        raise FleetError(f"terminal {registration.id} has none of {', '.join(security.PROFILES)}")
    return Placement(registration, row.get("link", DIRECT), tuple(row.get("units", ())))


def _customer(row: dict[str, Any]) -> Customer:
    return Customer(
        row["id"],
        row["card"],
        row.get("phone") or "",
        row.get("pin") or "",
        row.get("balances", {}),
    )


def with_check_digit(digits: str) -> str:
    """Return a number with its Luhn digit behind it (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the sum of two digits
    return digits + str(-total % 10)


class Till:
    """A terminal and whoever works at it.

    Args:
        fleet: The fleet that it is of.
        placement: Which terminal.
        seed: Seed of the run.
        conduct: Which replies are lost.
        codec: Shared by all tills of a thread.

    Attributes:
        terminal: The terminal.
        placement: Who and where it is.
        newcomers: Members that were enrolled here, by their names in the books.
    """

    def __init__(
        self, fleet: Fleet, placement: Placement, seed: int, conduct: Conduct, codec: Codec
    ) -> None:
        name = placement.registration.id
        self._choice = Random(f"{seed} {name}")
        self._line = Random(f"{seed} {name} line")
        self._fleet = fleet
        self._conduct = conduct
        self._kinds = tuple(fleet.mix)
        self._weights = tuple(fleet.mix.values())
        self._with_pin = fleet.with_pin()
        self._applicant: Presented | None = None
        self._strangers = 0
        self.placement = placement
        self.newcomers: dict[str, Presented] = {}
        self.terminal = Terminal(
            placement.registration, self._choice.randbytes, fleet.timeout_s, codec
        )

    def think_s(self) -> float:
        """How long the next customer takes."""
        low, high = self._fleet.think_ms
        return self._choice.uniform(low, high) / 1000

    # What it does.

    def next_frame(self, now: float) -> bytes:
        """The frame of the next transaction; nothing may be due (`Terminal.due`).

        Args:
            now: Seconds on the caller's clock.
        """
        kind = self._choice.choices(self._kinds, self._weights)[0]
        terminal = self.terminal
        if kind == "balance":
            return terminal.balance(self._presented(), now)
        if kind == "void":
            return self._void(now)
        if kind == "refund":
            return self._refund(now)
        if kind == "enrol" or (kind == "replace" and not self.newcomers):
            return self._enrol(now)
        if kind == "replace":
            return self._replace(now)
        if kind == "top_up":
            fen = 1000 * self._choice.randint(1, LOAD_YUAN_MAX // 10)
            return terminal.top_up(self._presented(), MONEY, fen, now)
        if kind == "offline":
            sold = datetime.now(HOST_ZONE) - timedelta(minutes=self._choice.randrange(1, 600))
            sold_at = f"{sold:%Y%m%d%H%M%S}"
            return terminal.advise(self._presented(), self._sale(), sold_at, now)
        if kind == "purchase":
            spender = self._presented(to_spend=True)
            return terminal.purchase(spender, self._choice.randrange(100, 5000), now)
        if kind == "hold":
            return self._hold(now)
        if kind == "settle":
            return terminal.settle(now)
        if kind == "echo":
            return terminal.echo(now)
        if kind == "stranger" and self._strangers < _STRANGERS_MAX:
            self._strangers += 1
            return terminal.accrue(Presented("", card=self._new_card("8")), self._sale(), now)
        if kind in {"accrual", "stranger"}:
            return terminal.accrue(self._presented(), self._sale(), now)
        return self._redeem(kind, now)

    def inquire(self, presented: Presented, now: float) -> bytes:
        """The frame that asks what a member has."""
        return self.terminal.balance(presented, now)

    def take(self, reply: Frame, *, careful: bool = False) -> Answer | None:
        """Take a frame from the host, or lose it.

        Args:
            reply: The frame.
            careful: Lose nothing.

        Returns:
            As `Terminal.receive`.
        """
        if not careful:
            roll, conduct = self._line.random(), self._conduct
            if roll < conduct.drop + conduct.repeat:
                return self.terminal.lose(reply, repeat=roll >= conduct.drop)
        answer = self.terminal.receive(reply)
        if (
            answer is not None
            and answer.kind in {"enrolment", "replacement", "settlement"}
            and answer.settled
        ):
            self._note_newcomer(answer)
        return answer

    def _note_newcomer(self, answer: Answer) -> None:
        applicant = self._applicant
        if answer.kind == "replacement" and applicant is not None:
            if answer.code == "00":
                self.newcomers[applicant.member] = applicant
            self._applicant = None
        if answer.kind == "enrolment" and applicant is not None:
            if answer.code == "00" and len(self.newcomers) < _NEWCOMERS_MAX:
                self.newcomers[applicant.member] = applicant
            self._applicant = None

    # Choices.

    def _sale(self) -> int:
        """A sale in fen."""
        fen = int(self._choice.lognormvariate(_SALE_LOG_MEAN, _SALE_LOG_SPREAD))
        return max(1, min(fen, SALE_FEN_MAX))

    def _presented(self, *, to_spend: bool = False, wrong_pin: bool = False) -> Presented:
        """Somebody from the queue, with a card or a phone."""
        choice = self._choice
        if self.newcomers and not wrong_pin and choice.random() < 1 / 16:
            return choice.choice([*self.newcomers.values()])
        customer = choice.choice(self._fleet.customers)
        if wrong_pin and self._with_pin:
            customer = choice.choice(self._with_pin)
        pin = ""
        if wrong_pin and customer.pin:
            pin = customer.pin[:-1] + str((int(customer.pin[-1]) + 1) % 10)
        elif customer.pin and to_spend and choice.random() < 1 / 2:
            pin = customer.pin
        how = choice.random()
        if how < _SWIPED:
            return Presented(customer.id, track=f"{customer.card}D49121010000000", pin=pin)
        if how < _KEYED or not customer.phone:
            return Presented(customer.id, card=customer.card, pin=pin)
        # A PIN block is bound to a card, and a phone alone does not spend.
        card = customer.card if to_spend else ""
        return Presented(customer.id, card=card, phone=customer.phone, pin=pin)

    def _redeem(self, kind: str, now: float) -> bytes:
        presented = self._presented(to_spend=True, wrong_pin=kind == "wrong_pin")
        units = self.placement.units
        if kind == "redeem_points" and units:
            unit, amount = self._choice.choice(units), self._choice.randrange(10, 800)
        else:
            unit, amount = MONEY, self._choice.randrange(100, 2000)
        return self.terminal.redeem(presented, unit, amount, now)

    def _hold(self, now: float) -> bytes:
        """Set points aside, or end an earlier hold: spend of it, or let it go."""
        choice, terminal = self._choice, self.terminal
        if terminal.held and choice.random() < 2 / 3:
            held = terminal.held.pop(choice.randrange(len(terminal.held)))
            if choice.random() < 3 / 4:
                return terminal.capture(held, choice.randint(1, held.amount), now)
            return terminal.release(held, now)
        unit = choice.choice(self.placement.units) if self.placement.units else MONEY
        return terminal.hold(self._presented(to_spend=True), unit, choice.randrange(10, 800), now)

    def _undoable(self, *, in_batch: bool) -> Posted | None:
        """A transaction that may be undone: the latest few are the likely ones."""
        batch = self.terminal.batch
        found = [
            posted
            for posted in self.terminal.posted
            if not posted.undone
            and posted.refunded < posted.amount
            and (in_batch or posted.kind != "top-up")
            and (not in_batch or (posted.batch == batch and not posted.refunded))
        ]
        return self._choice.choice(found) if found else None

    def _void(self, now: float) -> bytes:
        original = self._undoable(in_batch=True)
        if original is None:
            return self.terminal.accrue(self._presented(), self._sale(), now)
        return self.terminal.void(original, now)

    def _refund(self, now: float) -> bytes:
        original = self._undoable(in_batch=False)
        if original is None:
            return self.terminal.accrue(self._presented(), self._sale(), now)
        left = original.amount - original.refunded
        amount = left if self._choice.random() < 1 / 2 else self._choice.randint(1, left)
        return self.terminal.refund(original, amount, now)

    def _enrol(self, now: float) -> bytes:
        name = f"enrolled at {self.placement.registration.id}, {len(self.newcomers) + 1}"
        self._applicant = Presented(name, card=self._new_card("9"))
        return self.terminal.enrol(self._applicant, now)

    def _replace(self, now: float) -> bytes:
        """A new card for somebody enrolled here; what the old one did is undone with the old one.

        Their cards are known at this till only, so that no other till goes on with the old one.
        """
        customer = self._choice.choice([*self.newcomers.values()])
        self._applicant = Presented(customer.member, card=self._new_card("7"))
        return self.terminal.replace_card(customer, self._applicant.card, now)

    def _new_card(self, series: str) -> str:
        """A card number that no member of a sample has."""
        return with_check_digit(f"{TEST_PREFIX}{series}{self._choice.randrange(10**9):09d}")
