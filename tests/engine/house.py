"""A house to test in: a machine with programs, merchants, terminals and members, and a till.

Names are short and readable; what the daemon would digest is digested here with a fixed key, so
that the same test gives the same journal everywhere.
"""

from dataclasses import fields
from datetime import datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from engine import batches
from engine.commands import Answer, Pin, Token
from engine.machine import Machine
from engine.points import Purse
from engine.records import NEVER, Terms
from engine.rules import (
    cards,
    coupons,
    earning,
    exchange,
    holds,
    limits,
    members,
    offline,
    points,
    reference,
    refund,
    rewards,
    terminals,
    transfers,
    undo,
    value,
)
from engine.value import Wallet
from ledger import schema

FUNCTIONS = {
    points.Accrual: "220065",
    points.Redemption: "006500",
    rewards.Reward: "220065",
    offline.OfflineAccrual: "220065",
    value.TopUp: "210060",
    value.Purchase: "006000",
    value.Conversion: "406560",
    holds.Hold: "036500",
    holds.ValueHold: "036000",
    holds.ValueCapture: "006000",
    holds.Release: "200000",
    holds.Capture: "006500",
    transfers.Transfer: "406565",
    exchange.Exchange: "406565",
    coupons.Claim: "910000",
    coupons.Use: "900000",
    coupons.Handover: "920000",
    undo.Void: "200000",
    refund.Refund: "200000",
    members.Enrolment: "980000",
    members.PinChange: "990000",
    cards.LossReport: "960000",
    cards.CardReplacement: "970000",
    terminals.Settlement: "",
    terminals.UploadItem: "220065",
}
CLERK = ("clerk", "counterfoil")
_NOT_CONTENT = {"content", "pin", "sealed"}


def token(kind: str, value: str) -> Token:
    """What names a member: the kind's letter and a digest, as the daemon makes them."""
    return kind, blake2b(value.encode(), digest_size=16, person=kind.encode()).digest()


def sealed(value: str) -> bytes:
    return b"sealed " + value.encode()


def moment(date: int, clock: str = "12:00", zone: str = "Asia/Shanghai") -> int:
    """Milliseconds of a local time."""
    hours, minutes = (int(part) for part in clock.split(":"))
    day = datetime(
        date // 10000, date // 100 % 100, date % 100, hours, minutes, tzinfo=ZoneInfo(zone)
    )
    return int(day.timestamp() * 1000)


def identified(command: Any) -> Any:
    """The command with the digest of its content, which is what a repeat has to repeat."""
    cls = type(command)
    names = [field.name for field in fields(cls)]
    said = repr((cls.__name__, *(getattr(command, n) for n in names if n not in _NOT_CONTENT)))
    values = {name: getattr(command, name) for name in names}
    values["content"] = blake2b(said.encode(), digest_size=16).digest()
    return cls(**values)


def whole_terms(rows: tuple) -> tuple:
    """Rows of terms with the usual values where they end early: commands have whole rows."""
    names = [field.name for field in fields(Terms)]
    return tuple(tuple(getattr(Terms(*row), name) for name in names) for row in rows)


class House:
    """A machine on a book, and short ways to say what happens in it."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.machine = Machine(book)
        self.merchant_of: dict[str, str] = {}
        self.stans: dict[tuple[str, int], int] = {}

    def execute(self, command: Any, at: int) -> Answer:
        """Execute a command; one of administration is given by a clerk."""
        return self.machine.execute(command, at, b"", CLERK)

    # Registering.

    def open(
        self,
        date: int,
        cutoff_minutes: int = 1440,
        zone: str = "Asia/Shanghai",
        at: int = 0,
        *,
        days: tuple[int, int, int] = (7, 3, 500),
    ) -> Answer:
        """The calendar; `days` are its batch days, offline days and offline advices a day."""
        return self.execute(reference.SetCalendar(date, cutoff_minutes, zone, *days), at)

    def program(self, name: str, at: int, **said: Any) -> Answer:
        """A program of 100 points a yuan that last 24 months, but for what is `said`."""
        usual = {
            "points_per_yuan": 100,
            "expiry": "rolling:24m",
            "settled": True,
            "after_expiry": "expire",
            "grace_days": 0,
            "clawback": "negative",
            "phone_spends": False,
        }
        return self.execute(reference.PutProgram(name, name, **(usual | said)), at)

    def merchant(
        self, name: str, at: int, terms: tuple, institution: str = "HB01", category: str = "7011"
    ) -> Answer:
        return self.execute(
            reference.PutMerchant(name, name, institution, category, whole_terms(terms), True), at
        )

    def institution(self, name: str, at: int) -> Answer:
        return self.execute(reference.PutInstitution(name, name), at)

    def store(self, name: str, merchant: str, at: int) -> Answer:
        return self.execute(reference.PutStore(name, merchant, name), at)

    def terminal(self, name: str, merchant: str, at: int, store: str = "") -> Answer:
        self.merchant_of[name] = merchant
        return self.execute(
            reference.PutTerminal(
                name, merchant, "aes", b"tmk", "C0FFEE00", "utf-8", (), b"", "sales", True, store
            ),
            at,
        )

    def member(
        self,
        name: str,
        at: int,
        tokens: tuple = (),
        state: str = "active",
        pin: bytes = b"pin",
        tier: str = "",
    ) -> Answer:
        return self.execute(
            reference.PutMember(
                name,
                tier,
                state,
                pin,
                tuple(token(*one) for one in tokens),
                tuple(sealed(value) for _, value in tokens),
            ),
            at,
        )

    def balance(self, member: str, unit: str, amount: int, at: int, expiry: int = NEVER) -> Answer:
        return self.execute(reference.OpeningBalance(member, unit, amount, expiry), at)

    def earn_rule(self, name: str, at: int, **said: Any) -> Answer:
        """A rule of P01 for everybody, paid for by the merchant, but for what is `said`."""
        usual = {
            "scope": "any",
            "key": "",
            "tier": "",
            "multiplier": (1, 1),
            "funder": "",
            "stacks": True,
            "priority": 100,
            "since": 0,
            "until": NEVER,
        }
        return self.execute(
            earning.PutEarnRule(said.pop("program", "P01"), name, **(usual | said)), at
        )

    def limit(self, name: str, at: int, **said: Any) -> Answer:
        """A hard limit on each transaction, but for what is `said`."""
        usual = {
            "scope": "member",
            "key": "",
            "what": "any",
            "unit": "P01",
            "per": "transaction",
            "amount_min": 0,
            "amount_max": 0,
            "count_max": 0,
            "hard": True,
            "since": 0,
            "until": NEVER,
        }
        return self.execute(limits.PutLimit(name, **(usual | said)), at)

    # At the till.

    def batch_in_force(self, terminal: str, at: int) -> int:
        return batches.in_force(self.book.view.get, terminal, at)

    def request(
        self, cls: Any, terminal: str, at: int, batch: int = 0, stan: int = 0, **said: Any
    ) -> Any:
        """A command of a terminal, under the batch in force and a fresh STAN unless told."""
        batch = batch or self.batch_in_force(terminal, at)
        if not stan:
            stan = self.stans[terminal, batch] = self.stans.get((terminal, batch), 0) + 1
        function = said.pop("function", FUNCTIONS.get(cls, ""))
        merchant = said.pop("merchant", self.merchant_of[terminal])
        return identified(cls(terminal, merchant, batch, stan, b"", function, **said))

    def send(self, cls: Any, terminal: str, at: int, **said: Any) -> Answer:
        return self.execute(self.request(cls, terminal, at, **said), at)

    def accrue(self, terminal: str, at: int, named: Token, amount: int, **more: Any) -> Answer:
        return self.send(points.Accrual, terminal, at, tokens=(named,), amount=amount, **more)

    def redeem(
        self,
        terminal: str,
        at: int,
        named: Token,
        amount: int,
        unit: str = "P01",
        pin: int = Pin.ABSENT,
        **more: Any,
    ) -> Answer:
        return self.send(
            points.Redemption,
            terminal,
            at,
            tokens=(named,),
            unit=unit,
            amount=amount,
            pin=pin,
            **more,
        )

    # Looking.

    def purse(self, member: str, program: str) -> Purse:
        return Purse(self.book.view.get, member, program)

    def wallet(self, member: str) -> Wallet:
        return Wallet(self.book.view.get, member, [])

    def account(self, name: str) -> int:
        return self.book.view.get(schema.balance(name)) or 0
