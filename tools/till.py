"""A till: a terminal with somebody behind it, who chooses what to do next.

Its choices come from the seed, its own id and what it was answered, so the same seed and the same
answers give the same frames. It loses replies on purpose, as `Conduct` says. What the fleet's file
does not tell (programs, codes, worth of points) is not done; something usual is done instead.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from posd.framing import Frame
from posd.iso8583.compile import Codec
from tools import till_requests as requests
from tools.fleet import (
    KINDS,
    TEST_PREFIX,
    Conduct,
    Fleet,
    Placement,
    RechargeCard,
    with_check_digit,
)
from tools.terminal import APPROVED, Answer, Terminal
from tools.till_books import Posted, Presented
from tools.till_replies import MONEY

HOST_ZONE: Final = ZoneInfo("Asia/Shanghai")
"""Where tills made up here stand; the time of a sale made offline is by their clocks."""
LOAD_YUAN_MAX: Final = 60
SALE_FEN_MAX: Final = 2_000_000
_SALE_LOG_MEAN: Final = 9.4
"""Logarithm of a usual sale in fen: about 120 yuan."""
_SALE_LOG_SPREAD: Final = 0.9
_SWIPED, _KEYED = 0.55, 0.8
_PAIR: Final = 2
_NEWCOMERS_MAX: Final = 200
_NOTED: Final = frozenset({"enrolment", "replacement", "loss report"})
_STRANGERS_MAX: Final = 5
"""Unknown cards that a till tries in one run; the host takes more than ten a minute for guesses."""


class Till:
    """A terminal and whoever works at it.

    Args:
        fleet: The fleet that it is of.
        placement: Which terminal.
        seed: Seed of the run.
        conduct: Which replies are lost.
        codec: Shared by all tills of a thread.
        clock: Where its clock stands, in `HOST_ZONE`.

    Attributes:
        terminal: The terminal.
        placement: Who and where it is.
        newcomers: Members that were enrolled here, by their names in the books.
    """

    def __init__(
        self,
        fleet: Fleet,
        placement: Placement,
        seed: int,
        conduct: Conduct,
        codec: Codec,
        clock: Callable[[], datetime] = lambda: datetime.now(HOST_ZONE),
    ) -> None:
        self._clock = clock
        name = placement.registration.id
        self._choice = Random(f"{seed} {name}")
        self._line = Random(f"{seed} {name} line")
        self._fleet = fleet
        self._conduct = conduct
        self._kinds = tuple(fleet.mix)
        self._weights = tuple(fleet.mix.values())
        self._with_pin = fleet.with_pin()
        self._applicant: Presented | None = None
        self._losing: Presented | None = None
        self._reported: Presented | None = None
        self._strangers = 0
        self._cards = [*placement.cards]
        self._scratched: list[RechargeCard] = []
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
        if self._reported is not None:
            return self._replace(now)  # whoever lost a card waits for a new one
        return self._DOINGS[kind](self, now)

    @property
    def keeps_waiting(self) -> bool:
        """True while somebody whose card is lost waits for a new one: the next thing it does."""
        return self._reported is not None

    @classmethod
    def doings(cls) -> set[str]:
        """The kinds of transactions that it knows."""
        return {*cls._DOINGS}

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
        if answer is not None and answer.kind in _NOTED and answer.settled:
            self._note_newcomer(answer)
        return answer

    def _note_newcomer(self, answer: Answer) -> None:
        """Remember the card that somebody has now, or has no more."""
        if answer.kind == "loss report":
            self._reported = self._losing if answer.code == APPROVED else None
            return
        applicant, self._applicant = self._applicant, None
        if answer.kind == "replacement":
            self._reported = None
        elif len(self.newcomers) >= _NEWCOMERS_MAX:
            return
        if applicant is not None and answer.code == APPROVED:
            self.newcomers[applicant.member] = applicant

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

    def _accrue(self, now: float) -> bytes:
        return self.terminal.accrue(self._presented(), self._sale(), now)

    def _stranger(self, now: float) -> bytes:
        if self._strangers >= _STRANGERS_MAX:
            return self._accrue(now)
        self._strangers += 1
        return self.terminal.accrue(Presented("", card=self._new_card("8")), self._sale(), now)

    def _advise(self, now: float) -> bytes:
        sold = self._clock() - timedelta(minutes=self._choice.randrange(1, 600))
        return self.terminal.advise(self._presented(), self._sale(), f"{sold:%Y%m%d%H%M%S}", now)

    def _reward(self, now: float) -> bytes:
        reasons = self._fleet.reasons
        if not reasons:
            return self._accrue(now)
        code = self._choice.choice(reasons)
        return self._send(requests.reward(self._presented(), code, self._sale()), now)

    def _refer(self, now: float) -> bytes:
        code, points = self._fleet.referral
        units = self.placement.units
        if not code or not units or self._alone:
            return self._accrue(now)
        # A sale, and so a reason, is of the program that a merchant's terms name first.
        one, other = self._two()
        return self._send(requests.referral(one, other, code, units[0], points), now)

    def _claim(self, now: float) -> bytes:
        if not self._fleet.campaigns:
            return self._accrue(now)
        campaign = self._choice.choice(self._fleet.campaigns)
        return self._send(requests.coupon_claim(self._presented(to_spend=True), campaign), now)

    def _use_coupon(self, now: float) -> bytes:
        coupons = self.terminal.coupons
        if not coupons:
            return self._claim(now)
        return self._send(requests.coupon_use(coupons.pop(), self._sale()), now)

    def _give_coupon(self, now: float) -> bytes:
        coupons = self.terminal.coupons
        if not coupons or self._alone:
            return self._claim(now)
        return self._send(requests.coupon_transfer(coupons.pop(0), self._two()[1]), now)

    def _ask_coupon(self, now: float) -> bytes:
        coupons = self.terminal.coupons
        if not coupons:
            return self._balance(now)
        code = self._choice.choice(coupons)
        return self._send(requests.coupon_inquiry(code, self._sale()), now)

    def _gift(self, now: float) -> bytes:
        if not self._fleet.gifts:
            return self._redeem_points(now)
        sku, owner = self._choice.choice(self._fleet.gifts)
        spender, pieces = self._presented(to_spend=True), self._choice.randint(1, 2)
        return self._send(requests.gift(spender, sku, owner, pieces), now)

    def _draw(self, now: float) -> bytes:
        if not self._fleet.lotteries:
            return self._redeem_points(now)
        lottery = self._choice.choice(self._fleet.lotteries)
        spender = self._presented(to_spend=True)
        return self._send(requests.lottery_draw(spender, lottery), now)

    def _top_up(self, now: float) -> bytes:
        fen = 1000 * self._choice.randint(1, LOAD_YUAN_MAX // 10)
        return self.terminal.top_up(self._presented(), MONEY, fen, now)

    def _load_points(self, now: float) -> bytes:
        units = self.placement.units
        if not units:
            return self._top_up(now)
        unit, points = self._choice.choice(units), 100 * self._choice.randint(1, 20)
        return self.terminal.top_up(self._presented(), unit, points, now)

    def _recharge(self, now: float) -> bytes:
        """A recharge card, now and then one that was tried before: used, unless that was undone."""
        choice = self._choice
        if self._cards and (not self._scratched or choice.random() < 3 / 4):
            self._scratched.append(self._cards.pop())
            card = self._scratched[-1]
        elif self._scratched and choice.random() < 1 / 2:
            card = choice.choice(self._scratched)
        else:
            return self._top_up(now)
        amount = card.amount if card.unit == MONEY or choice.random() < 1 / 2 else 0
        request = requests.recharge(self._presented(), card.unit, card.code, amount)
        return self._send(request, now)

    def _purchase(self, now: float) -> bytes:
        spender = self._presented(to_spend=True)
        return self.terminal.purchase(spender, self._choice.randrange(100, 5000), now)

    def _convert(self, now: float) -> bytes:
        known = self._fleet.points_per_yuan
        units = [unit for unit in self.placement.units if unit in known]
        if not units:
            return self._redeem_value(now)
        unit, points = self._choice.choice(units), self._choice.randrange(50, 2000)
        spender = self._presented(to_spend=True)
        return self._send(requests.conversion(spender, unit, points, known[unit]), now)

    def _exchange(self, now: float) -> bytes:
        units = self.placement.units
        if len(units) < _PAIR:
            return self._redeem_points(now)
        left, entered = units[:_PAIR]  # its own program first, and nobody sells that one
        points = self._choice.randrange(10, 1000)
        spender = self._presented(to_spend=True)
        return self._send(requests.exchange(spender, left, points, entered), now)

    def _transfer(self, now: float) -> bytes:
        units = self.placement.units
        if not units or self._alone:
            return self._redeem_value(now)
        unit, points = self._choice.choice(units), self._choice.randrange(10, 500)
        return self._send(requests.transfer(*self._two(), unit, points), now)

    def _redeem_points(self, now: float) -> bytes:
        return self._redeem(self._presented(to_spend=True), now, in_points=True)

    def _redeem_value(self, now: float) -> bytes:
        return self._redeem(self._presented(to_spend=True), now, in_points=False)

    def _wrong_pin(self, now: float) -> bytes:
        return self._redeem(self._presented(to_spend=True, wrong_pin=True), now, in_points=False)

    def _redeem(self, presented: Presented, now: float, *, in_points: bool) -> bytes:
        units = self.placement.units
        if in_points and units:
            unit, amount = self._choice.choice(units), self._choice.randrange(10, 800)
        else:
            unit, amount = MONEY, self._choice.randrange(100, 2000)
        return self.terminal.redeem(presented, unit, amount, now)

    def _hold_points(self, now: float) -> bytes:
        return self._hold(now, of_value=False)

    def _hold_value(self, now: float) -> bytes:
        return self._hold(now, of_value=True)

    def _hold(self, now: float, *, of_value: bool) -> bytes:
        """Set something aside, or end an earlier hold: spend of it, or let it go."""
        choice, terminal = self._choice, self.terminal
        if terminal.held and choice.random() < 2 / 3:
            held = terminal.held.pop(choice.randrange(len(terminal.held)))
            if choice.random() < 3 / 4:
                return terminal.capture(held, choice.randint(1, held.amount), now)
            return terminal.release(held, now)
        if of_value:
            fen = choice.randrange(100, 5000)
            return self._send(requests.value_hold(self._presented(to_spend=True), fen), now)
        unit = choice.choice(self.placement.units) if self.placement.units else MONEY
        return terminal.hold(self._presented(to_spend=True), unit, choice.randrange(10, 800), now)

    def _undoable(self, *, in_batch: bool) -> Posted | None:
        """A transaction that may be undone: the latest few are the likely ones."""
        batch = self.terminal.batch
        found = [
            posted
            for posted in self.terminal.posted
            if not posted.undone
            and (posted.refunded < posted.amount or (in_batch and not posted.amount))
            and (in_batch or posted.kind in requests.REFUNDABLE)
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

    def _lose(self, now: float) -> bytes:
        """A card of somebody enrolled here is lost; see `_replace`."""
        if not self.newcomers:
            return self._enrol(now)
        self._losing = self._choice.choice([*self.newcomers.values()])
        return self._send(requests.loss_report(self._losing), now)

    def _replace(self, now: float) -> bytes:
        """A new card for somebody enrolled here; what the old one did is undone with the old one.

        Their cards are known at this till only, so that no other till goes on with the old one.
        """
        if not self.newcomers:
            return self._enrol(now)
        customer = self._reported or self._choice.choice([*self.newcomers.values()])
        self._applicant = Presented(customer.member, card=self._new_card("7"))
        return self.terminal.replace_card(customer, self._applicant.card, now)

    def _change_pin(self, now: float) -> bytes:
        if not self._with_pin:
            return self._accrue(now)
        customer = self._choice.choice(self._with_pin)
        presented = Presented(customer.id, card=customer.card, pin=customer.pin)
        return self._send(requests.pin_change(presented), now)

    # Questions, and the line.

    def _balance(self, now: float) -> bytes:
        return self.terminal.balance(self._presented(), now)

    def _statement(self, now: float) -> bytes:
        return self._send(requests.statement(self._presented()), now)

    def _rate(self, now: float) -> bytes:
        units = self.placement.units
        if len(units) < _PAIR:
            return self._statement(now)
        return self._send(requests.rate(*units[:_PAIR]), now)

    def _day_totals(self, now: float) -> bytes:
        return self._send(requests.day_totals(merchant=self._choice.random() < 1 / 2), now)

    def _settle(self, now: float) -> bytes:
        return self.terminal.settle(now)

    def _echo(self, now: float) -> bytes:
        return self.terminal.echo(now)

    def _download(self, now: float) -> bytes:
        return self._send(requests.download(), now)

    def _sign_off(self, now: float) -> bytes:
        return self._send(requests.sign_off(), now)

    def _send(self, request: requests.Request, now: float) -> bytes:
        return self.terminal.send(request, now)

    @property
    def _alone(self) -> bool:
        """True for a fleet of one member, who has nobody to give anything to."""
        return len(self._fleet.customers) < _PAIR

    def _two(self) -> tuple[Presented, Presented]:
        """Two members with their cards; the first comes with the PIN."""
        one, other = self._choice.sample(self._fleet.customers, _PAIR)
        return Presented(one.id, card=one.card, pin=one.pin), Presented(other.id, card=other.card)

    def _new_card(self, series: str) -> str:
        """A card number that no member of a sample has."""
        return with_check_digit(f"{TEST_PREFIX}{series}{self._choice.randrange(10**9):09d}")

    _DOINGS: ClassVar[dict[str, Callable[[Till, float], bytes]]] = {
        "accrual": _accrue,
        "redeem_points": _redeem_points,
        "redeem_value": _redeem_value,
        "offline": _advise,
        "reward": _reward,
        "referral": _refer,
        "top_up": _top_up,
        "load_points": _load_points,
        "recharge": _recharge,
        "purchase": _purchase,
        "convert": _convert,
        "exchange": _exchange,
        "transfer": _transfer,
        "hold": _hold_points,
        "hold_value": _hold_value,
        "claim": _claim,
        "use_coupon": _use_coupon,
        "give_coupon": _give_coupon,
        "ask_coupon": _ask_coupon,
        "gift": _gift,
        "draw": _draw,
        "balance": _balance,
        "statement": _statement,
        "rate": _rate,
        "day_totals": _day_totals,
        "void": _void,
        "refund": _refund,
        "enrol": _enrol,
        "lose": _lose,
        "replace": _replace,
        "change_pin": _change_pin,
        "wrong_pin": _wrong_pin,
        "stranger": _stranger,
        "settle": _settle,
        "echo": _echo,
        "download": _download,
        "sign_off": _sign_off,
    }


if Till.doings() != set(KINDS):
    raise ImportError("a kind of the default mix has nothing that a till would do")
