"""A fleet of terminals: its description as a file. What its tills do is in `tools.till`.

A fleet file is JSON or TOML (by its ending)::

    {"seed": 1, "timeout_s": 10, "think_ms": [20, 60],
     "mix": {"accrual": 50, "redeem_points": 15, ...},
     "terminals": [{"id": "00000001", "merchant": "104110045110012", "profile": "aes",
                    "tmk": "<32 hex>", "address": "0001", "link": "direct", "units": ["P01"]}],
     "members": [{"id": "M0000001", "card": "9999150000000018", "phone": "13800000001",
                  "pin": "1234", "balances": {"P01": 5000}}],
     "points_per_yuan": {"P01": 100}, "reasons": ["SIGNIN"],
     "referral": {"code": "REFER", "points": 50},
     "campaigns": ["SPRING10"], "gifts": {"MUG": "104110045110012"},
     "lotteries": ["SPIN"],
     "recharge": [{"unit": "P01", "amount": 500, "codes": ["90000000000000000017"]}]}

`link` is `direct` for a connection of its own, or the name of the network access controller (NAC)
that the terminal shares with others; `address` is its TPDU address, four hex digits, which tells
those on one link apart. `units` are the programs in which it redeems points; `mix` gives weights
of `KINDS`. `points_per_yuan` is what points are worth that become stored value, `reasons` are codes
of accruals without a purchase, `referral` is the one that gives somebody else points too,
`campaigns` have coupons for the bearer, `gifts` are SKUs and who supplies them, in `lotteries`
members draw, `recharge` are codes of recharge cards and what each is worth, dealt out among the
terminals: what no reply tells, a till has to know; without them it does not do such things.
These, `seed`, `timeout_s`, `think_ms`, `mix`, a terminal's `serial`, a member's `phone`, `pin` and
`balances` may be left out. The file holds keys, so it belongs in mode 0600.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from posd import security
from tools.terminal import Registration
from tools.till_replies import MONEY

DIRECT: Final = "direct"
TEST_PREFIX: Final = "999915"
"""First digits of the card numbers made up here; no issuer has them (ISO/IEC 7812)."""

DEFAULT_MIX: Final = {
    "accrual": 47,
    "redeem_points": 14,
    "redeem_value": 12,
    "offline": 1,
    "reward": 1.5,
    "referral": 0.5,
    "top_up": 2,
    "load_points": 0.5,
    "recharge": 0.5,
    "purchase": 4,
    "convert": 1,
    "exchange": 3,
    "transfer": 1.5,
    "hold": 3,
    "hold_value": 1.5,
    "claim": 1.5,
    "use_coupon": 1.5,
    "give_coupon": 0.3,
    "ask_coupon": 0.3,
    "gift": 1,
    "draw": 1,
    "balance": 11,
    "statement": 1,
    "rate": 0.3,
    "day_totals": 0.3,
    "void": 5,
    "refund": 5,
    "enrol": 1.5,
    "lose": 0.3,
    "replace": 0.3,
    "change_pin": 0.3,
    "wrong_pin": 0.5,
    "stranger": 0.1,
    "settle": 0.1,
    "echo": 0.3,
    "download": 0.1,
    "sign_off": 0.1,
}
KINDS: Final = tuple(DEFAULT_MIX)
"""What a till may choose to do; `stranger` is a sale to a card that nobody knows."""


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


@dataclass(frozen=True, slots=True, repr=False)
class RechargeCard:
    """A card that somebody scratches: its code, and the points of a program or fen of `156`."""

    unit: str
    amount: int
    code: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A terminal of the fleet: who it is, over which link it talks, what it redeems.

    `cards` are the recharge cards that are brought to it and to no other.
    """

    registration: Registration
    link: str
    units: tuple[str, ...]
    cards: tuple[RechargeCard, ...] = ()


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
        points_per_yuan: Program to how many of its points are worth a yuan.
        reasons: Codes of accruals without a purchase.
        referral: The code of one that gives a second member points, and how many; "" for none.
        campaigns: Ids of campaigns whose coupons members claim.
        gifts: SKU and the merchant that supplies it.
        lotteries: Ids of lotteries in which members draw.
    """

    seed: int
    timeout_s: float
    think_ms: tuple[float, float]
    mix: dict[str, float]
    placements: tuple[Placement, ...]
    customers: tuple[Customer, ...]
    points_per_yuan: dict[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    referral: tuple[str, int] = ("", 0)
    campaigns: tuple[str, ...] = ()
    gifts: tuple[tuple[str, str], ...] = ()
    lotteries: tuple[str, ...] = ()

    def with_pin(self) -> tuple[Customer, ...]:
        """The members that have a PIN."""
        return tuple(customer for customer in self.customers if customer.pin)


def read_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        FleetError: The file cannot be read or lacks something.
    """
    try:
        text = path.read_text("utf-8-sig")
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
    referral = data.get("referral")
    cards = [
        RechargeCard(str(batch["unit"]), int(batch["amount"]), str(code))
        for batch in data.get("recharge", ())
        for code in batch["codes"]
    ]
    rows = data["terminals"]
    placements = tuple(
        _placement(row, cards[number :: len(rows)]) for number, row in enumerate(rows)
    )
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
        {str(unit): int(worth) for unit, worth in data.get("points_per_yuan", {}).items()},
        tuple(map(str, data.get("reasons", ()))),
        (str(referral["code"]), int(referral["points"])) if referral else ("", 0),
        tuple(map(str, data.get("campaigns", ()))),
        tuple((str(sku), str(owner)) for sku, owner in data.get("gifts", {}).items()),
        tuple(map(str, data.get("lotteries", ()))),
    )


def _placement(row: dict[str, Any], cards: list[RechargeCard]) -> Placement:
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
    link, units = row.get("link", DIRECT), tuple(row.get("units", ()))
    # A merchant without terms in a program takes no cards of it.
    taken = tuple(card for card in cards if card.unit == MONEY or card.unit in units)
    return Placement(registration, link, units, taken)


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
