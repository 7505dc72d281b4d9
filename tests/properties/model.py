"""What the engine should come to, written a second time with plain dicts and lists.

The model knows members' points, batches and identities; it takes the same commands (it only reads
their fields) and says the reason, the points moved, and the state after. It is written from
``protocol.md`` and ``accounting.md``, slow and naive, and shares no code with the engine.
"""

from calendar import monthrange
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.properties.coupon_steps import CouponModel
from tests.properties.gift_steps import GiftModel
from tests.properties.holding import FOR_EVER, Holding, ripened
from tests.properties.limit_model import BLOCKED, LimitModel
from tests.properties.pin_steps import PinModel
from tests.properties.prize_steps import PrizeModel
from tests.properties.recharge_steps import RechargeModel
from tests.properties.value_model import ValueModel

ZONE = ZoneInfo("Asia/Shanghai")
WEEK_MS = 7 * 24 * 3600 * 1000
MONEY = "156"
POINTS_MAX = 999_999_999_999
VOIDABLE = {"Accrual", "Reward", "Redemption", "TopUp", "Purchase", "Conversion"}
VOIDABLE |= {"GiftExchange", "Capture", "ValueCapture", "Transfer", "Exchange", "Recharge"}
VOIDABLE |= {"Claim", "Use", "Handover"}
REFUNDABLE = {"Accrual", "Reward", "Redemption", "Purchase", "Capture", "ValueCapture", "Use"}
REVERSIBLE = VOIDABLE | {"Void", "Hold", "ValueHold", "Draw"}

PROGRAMS = {
    # points a yuan, months to live (None: for ever), days of grace or None, stops at zero
    "P01": {"rate": 100, "months": 2, "grace": None, "zero": False},
    "P02": {"rate": 300, "months": 1, "grace": 5, "zero": True},
}
MERCHANTS = {
    # programs taken, the own one first; points a yuan earned; what is shared, which moves no points
    "HOTEL": {
        "programs": ["P01", "P02"],
        "earn": (1, 1),
        "shares": {
            "top_up": (4, 3),
            "margin_share": (("HB01", (1, 4)), ("issuer", (1, 2))),
            "fee_share": (("HB01", (1, 3)), ("HOTEL", (1, 7))),
        },
    },
    "SHOP": {"programs": ["P02"], "earn": (3, 2), "shares": {"margin_share": (("HB01", (1, 1)),)}},
    "CLUB": {"programs": ["P01"], "earn": (2, 1), "shares": {}},
}
WAITS = {"CLUB": ((20260101, 2), (20260312, -1))}
"""From a day on, days after which points can be spent; -1: once somebody lets them free."""


def local_day(at: int) -> int:
    moment = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZONE)
    return int(moment.strftime("%Y%m%d"))


def after_days(day: int, days: int) -> int:
    moment = datetime.strptime(str(day), "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=days)
    return int(moment.strftime("%Y%m%d"))


def last_day(program: str, today: int) -> int:
    months = PROGRAMS[program]["months"]
    year, month = divmod(today // 10000 * 12 + today // 100 % 100 - 1 + months, 12)
    return year * 10000 + (month + 1) * 100 + monthrange(year, month + 1)[1]


def first_day(merchant: str, day: int) -> int:
    """The day from which points of a day can be spent; 0 for at once."""
    days = [days for since, days in WAITS.get(merchant, ()) if since <= day]
    if not days:
        return 0
    return after_days(day, days[-1]) if days[-1] >= 0 else FOR_EVER


class Batch:
    def __init__(self) -> None:
        self.state = "open"
        self.since = 0
        self.closed = 0
        self.totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    def count(self, unit: str, side: str, amount: int, sign: int = 1) -> None:
        place = 0 if side == "D" else 2
        self.totals[unit][place] += sign
        self.totals[unit][place + 1] += sign * amount

    def lines(self) -> tuple:
        return tuple((unit, *line) for unit, line in sorted(self.totals.items()) if any(line))


class Done:
    """A request that was answered for good.

    Attributes:
        counted: (unit, side, amount, sign) in the totals.
        moves: what its member's holding in `program` went through.
        undone: None, ``reversed`` or ``voided``; `returned`: amount refunded so far.
        voids: the request that this one voided.
        undone_by: command of the reversal that undid it.
        parts: points given, by issuer; `uses`: what it used of limits, and how much.
        more: program and moves of a second holding of the member.
        follow: what the machine does next for it: ``in``, ``earn`` or ``back``, member, program,
            moves (of ``earn``: merchant, issuer, nothing, points); then `other` is what that moved.
        ended: how a hold was ended by another message.
        again: what it lets stand again, where the second half of that has to be posted still.
        freed: True once somebody let its points free by hand.
        value: fen that its member's stored value went up; `validity`: last day before and after.
    """

    def __init__(self, command: Any, sequence: int, reason: str) -> None:
        self.command = command
        self.sequence = sequence
        self.reason = reason
        self.member = ""
        self.program = ""
        self.moved = 0
        self.moves: list = []
        self.counted: list = []
        self.undone: str | None = None
        self.returned = 0
        self.voids: Done | None = None
        self.undone_by: Any = None
        self.parts: list[tuple[str, int]] = []
        self.uses: list[tuple[tuple, int]] = []
        self.more: tuple[str, list] | None = None
        self.follow: tuple[str, str, str, list] | None = None
        self.other: tuple[str, str, list] | None = None
        self.ended = ""
        self.freed = False
        self.again: Done | None = None
        self.value = 0
        self.validity: tuple[int, int] | None = None
        self.month = 0


class Model(PinModel, ValueModel, GiftModel, PrizeModel, RechargeModel, CouponModel, LimitModel):
    def __init__(self) -> None:
        PinModel.__init__(self)
        CouponModel.__init__(self)
        ValueModel.__init__(self)
        PrizeModel.__init__(self)
        RechargeModel.__init__(self)
        LimitModel.__init__(self)
        self.sequence = 0
        self.at = 0
        self.last = 0, 0
        self.date = 0
        self.members: dict[tuple[str, bytes], str] = {}
        self.states: dict[tuple[str, bytes], str] = defaultdict(lambda: "active")
        self.replaced: set = set()
        self.frozen: set[str] = set()
        self.spent: dict[str, dict[int, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0])
        )
        self.holdings: dict[tuple[str, str], Holding] = defaultdict(Holding)
        self.batches: dict[tuple[str, int], Batch] = defaultdict(Batch)
        self.linked: dict[str, int] = defaultdict(lambda: 1)
        self.done: dict[tuple[str, int, int], Done | None] = {}
        self.by_sequence: dict[int, Done] = {}
        self.uploads: set = set()
        self.dies = False
        self.unfinished: dict[int, Done] = {}

    # Time.

    def now(self, at: int) -> int:
        """The time of a command that comes in at `at`: a clock set back stops at the last entry.

        What left no entry left no time either.
        """
        if self.sequence != self.last[0]:
            self.last = self.sequence, self.at
        return max(at, self.last[1])

    def come(self, at: int) -> None:
        """A command comes in at a time: dates whose midnight has passed are closed first."""
        self.at = self.now(at)
        while self.date < local_day(self.at):
            self.cut_off()

    def sweep_points(self) -> int:
        """Take every lot whose day has passed; returns how many entries that makes."""
        made = 0
        for (member, program), holding in self.holdings.items():
            lots, _ = ripened(holding.lots, holding.waiting, self.today)
            gone = [lot for lot in sorted(lots) if lot[0] < self.today]
            if gone:
                self.open(member, program)
            for expiry, issuer in gone:
                holding.move("lot", issuer, expiry, -holding.lots[expiry, issuer])
            holding.moves = []
            made += bool(gone)
        self.sequence += made
        return made

    def sweep_batches(self) -> None:
        """Forget what nobody can repeat any more, 256 trace numbers an entry."""
        for (terminal, number), batch in list(self.batches.items()):
            weeks = 1 if batch.state == "settled" else 60 / 7
            if not batch.closed or self.at - batch.closed <= weeks * WEEK_MS:
                continue
            if self.in_force(terminal, self.at) - number < 3:
                continue
            known = [key for key in self.done if key[:2] == (terminal, number)]
            stans = [stan for *_, stan in known]
            for key in known:
                del self.done[key]
            del self.batches[terminal, number]
            self.sequence += 1 + (max(stans) - min(stans)) // 256

    def open(self, member: str, program: str, done: Done | None = None) -> Holding:
        """Look into a member's points: holds whose time is over end first, in an entry before."""
        holding = self.holdings[member, program]
        holding.ripen(self.today)
        over = [hold for hold, (until, _) in holding.held.items() if until <= self.at]
        for hold in over:
            holding.free(hold, self.today)
        if over:
            holding.moves = []
            self.sequence += 1
            if done is not None:
                done.sequence = self.sequence + 1
        return holding

    def complete(self, done: Done) -> None:
        """The second half of a transfer, or of its undo, in an entry behind."""
        if done.follow is None:
            return
        self.unfinished[done.sequence] = done
        if not self.dies:
            self.post_half(done)

    def post_half(self, done: Done) -> None:
        """Post a second half; it stays open where the member cannot have so many points."""
        assert done.follow is not None
        kind, member, program, moves = done.follow
        holding = self.open(member, program)
        if kind == "in" and holding.ledger() - sum(move[3] for move in moves) > POINTS_MAX:
            return
        del self.unfinished[done.sequence]
        if kind == "in":
            for _, issuer, expiry, amount in moves:
                holding.move("lot", issuer, expiry, -amount)
        elif kind == "earn":
            for merchant, issuer, _, amount in moves:
                wait = self.first_day(merchant)
                holding.earn(issuer, self.last_day(program), amount, wait)
        else:
            holding.undo(moves, self.today)
        done.other = member, program, holding.moves
        holding.moves = []
        self.sequence += 1

    def let_free(self, command: Any) -> str:
        """Points of a transaction that wait may be spent from now on."""
        done = self.by_sequence.get(command.origin)
        if done is None or done.reason != "APPROVED" or done.voids is not None:
            return "REFUSED"
        if done.freed:
            return "UNCHANGED"
        if done.undone:
            return "REFUSED"
        freed = 0
        for program, moves in ((done.program, done.moves), done.more or ("", [])):
            for kind, issuer, expiry, amount in moves:
                if kind != "debt" and amount > 0:
                    freed += self.open(done.member, program).let_free(issuer, expiry, amount)
            self.holdings[done.member, program].moves = []
        done.freed = bool(freed)
        return "APPROVED" if freed else "REFUSED"

    def finish(self) -> int:
        """Post the second halves that are open; returns how many that were."""
        before = len(self.unfinished)
        for _, done in sorted(self.unfinished.items()):
            self.post_half(done)
        return before - len(self.unfinished)

    def cut_off(self) -> None:
        self.date = after_days(self.date, 1)
        self.sequence += 1

    @property
    def today(self) -> int:
        return local_day(self.at)

    # Batches.

    def in_force(self, terminal: str, at: int) -> int:
        number = self.linked[terminal]
        since = self.batches[terminal, number].since
        return number + 1 if since and at - since > WEEK_MS else number

    # Requests.

    def request(self, command: Any) -> tuple[str, Done | None]:
        """The reason, and what is stored of the request (None: nothing)."""
        key = (command.terminal, command.batch, command.stan)
        if key in self.done:
            known = self.done[key]
            if known is None:
                return "REVERSED_BEFORE_ARRIVAL", None
            if known.command.content != command.content:
                return "OTHER_CONTENT", None
            return known.reason, known
        batch = self.batches[command.terminal, command.batch]
        in_force = self.in_force(command.terminal, self.at)
        closing = type(command).__name__ in {"Settlement", "UploadItem"}
        if batch.state != "open" or not (command.batch == in_force or (closing and batch.since)):
            return "BATCH_NOT_IN_FORCE", None
        done = Done(command, self.sequence + 1, "APPROVED")
        done.month = self.today // 100
        failures = self.failures.copy()
        done.reason = getattr(self, type(command).__name__.lower())(command, done)
        if done.reason in {"MEMBER_MISSING", "PIN_BLOCK_BAD", "DRAW_AGAIN"}:
            self.failures = failures  # what leaves no entry leaves no count
            return done.reason, None
        self.sequence += 1
        if command.batch == in_force and self.linked[command.terminal] < in_force:
            self.linked[command.terminal] = in_force
        if done.reason == "APPROVED":
            batch.since = batch.since or self.at
            for line in done.counted:
                batch.count(*line)
            self.complete(done.again or done)
        self.done[key] = self.by_sequence[done.sequence] = done
        return done.reason, done

    def find(self, tokens: tuple, done: Done, *, whatever_state: bool = False) -> str:
        for token in tokens:
            if token not in self.members:
                return "MEMBER_UNKNOWN"
            if done.member and self.members[token] != done.member:
                return "MEMBERS_DIFFER"
            done.member = self.members[token]
        if not tokens:
            return "MEMBER_MISSING"
        bad = [BLOCKED[self.states[token]] for token in tokens if self.states[token] != "active"]
        return "" if whatever_state or not bad else bad[-1]

    def names(self, tokens: tuple, member: str) -> bool:
        return all(self.members.get(token) == member for token in tokens)

    def programs_of(self, command: Any) -> list[str]:
        return MERCHANTS[command.merchant]["programs"]

    def rate_of(self, program: str) -> int:
        return PROGRAMS[program]["rate"]

    def day_after(self, days: int) -> int:
        return after_days(self.today, days)

    def last_day(self, program: str) -> int:
        return last_day(program, self.today)

    def first_day(self, merchant: str) -> int:
        return first_day(merchant, self.today)

    def note(self, done: Done, program: str, side: str, moved: int) -> None:
        done.program, done.moved = program, moved
        done.counted = [(program, side, moved)]
        holding = self.holdings[done.member, program]
        done.moves, holding.moves = holding.moves, []

    def accrual(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done)
        if bad or not command.amount:
            return bad or "AMOUNT_ZERO"
        return self.earn(command, done, self.today)

    def earn(self, command: Any, done: Done, day: int) -> str:
        """Points for a sale by the rules of a day."""
        merchant = MERCHANTS[command.merchant]
        program = merchant["programs"][0]
        parts = self.parts_of(command.merchant, command.amount, merchant["earn"])
        earned = sum(points for _, points in parts)
        moved = {program: earned, MONEY: command.amount}
        uses = self.uses(command, done, "accrual", moved, day)
        bad = self.over(uses, pools=False)
        if bad:
            return bad
        holding = self.open(done.member, program, done)
        wait = first_day(command.merchant, day)
        wait = wait if wait > self.today else 0
        for issuer, points in parts:
            holding.earn(issuer, last_day(program, day), points, wait)
        done.parts = parts
        self.note(done, program, "C", earned)
        self.use_up(done, uses)
        self.spend(done, 1, command.amount, 1)
        return "APPROVED"

    def offlineaccrual(self, command: Any, done: Done) -> str:
        sold = datetime.strptime(str(command.sold_at), "%Y%m%d%H%M%S").replace(tzinfo=ZONE)
        ago = self.at - int(sold.timestamp() * 1000)
        if ago < -60_000:
            return "SALE_IN_FUTURE"
        if ago > 3 * WEEK_MS // 7:
            return "SALE_TOO_OLD"
        bad = self.find(command.tokens, done)
        if bad or not command.amount:
            return bad or "AMOUNT_ZERO"
        return self.earn(command, done, local_day(self.at - max(ago, 0)))

    def spend(self, sale: Done, sign: int, amount: int, visits: int) -> None:
        """Count a sale in its month, or take it back; sales alone count."""
        if type(sale.command).__name__ in {"Accrual", "OfflineAccrual"}:
            months = self.spent[sale.member][sale.month]
            months[0] += sign * amount
            months[1] += sign * visits

    def redemption(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done)
        if bad:
            return bad
        programs = MERCHANTS[command.merchant]["programs"]
        program = programs[0] if command.unit == MONEY else command.unit
        if program not in programs:
            return "NO_TERMS"
        if not command.amount:
            return "AMOUNT_ZERO"
        amount = command.amount
        if command.unit == MONEY:
            rate = PROGRAMS[program]["rate"]
            amount = (amount * rate + 99) // 100
        uses = self.uses(command, done, "redemption", {program: amount})
        bad = self.over(uses, pools=False)
        if bad:
            return bad
        bad = self.judge_spender(command, done)
        if bad:
            return bad
        holding = self.open(done.member, program, done)
        if holding.available(self.today) < amount:
            return "NOT_ENOUGH"
        bad = self.over(uses, pools=True)
        if bad:
            return bad
        holding.spend(amount, self.today)
        self.note(done, program, "D", amount)
        self.use_up(done, uses)
        return "APPROVED"

    def enrolment(self, command: Any, done: Done) -> str:
        if any(token in self.members for token in command.tokens):
            return "MEMBER_KNOWN"
        done.member = f"E{self.sequence + 1:010d}"
        self.members |= dict.fromkeys(command.tokens, done.member)
        return "APPROVED"

    def lossreport(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done, whatever_state=True)
        if bad:
            return bad
        cards = [token for token in command.tokens if token[0] == "C"] or [
            token
            for token, member in self.members.items()
            if member == done.member and token[0] == "C"
        ]
        usable = [token for token in cards if self.states[token] in {"active", "frozen"}]
        if not usable:
            return BLOCKED[self.states[cards[-1]]] if cards else "NO_CARD"
        self.states |= dict.fromkeys(usable, "lost")
        return "APPROVED"

    def freeze(self, member: str, *, frozen: bool) -> bool:
        """Freeze or release a member by hand; True where that changes anything."""
        if frozen == (member in self.frozen):
            return False
        self.frozen ^= {member}
        old, new = ("active", "frozen") if frozen else ("frozen", "active")
        for token, whose in self.members.items():
            if whose == member and self.states[token] == old:
                self.states[token] = new
        self.sequence += 1
        return True

    def forget(self, member: str) -> None:
        """Close a member's empty account, forget it and drop its names: three commands."""
        self.members = {token: whose for token, whose in self.members.items() if whose != member}
        self.sequence += 3

    def cardreplacement(self, command: Any, done: Done) -> str:
        bad = self.find(command.tokens, done, whatever_state=True)
        if bad:
            return bad
        cards = [token for token in command.tokens if token[0] == "C"]
        if not cards and done.member in self.frozen:
            return "CARD_BLOCKED"
        if not cards:
            mine = [token for token, member in self.members.items() if member == done.member]
            fit = [token for token in mine if token[0] == "C" and token not in self.replaced]
            cards = [token for token in fit if self.states[token] == "lost"] or fit
        if len(cards) != 1:
            return "CARD_UNCLEAR" if cards else "NO_CARD"
        if cards[0] in self.replaced:
            return BLOCKED[self.states[cards[0]]]
        if done.member in self.frozen:
            return "CARD_BLOCKED"
        if ("C", command.new_card) in self.members:
            return "CARD_TAKEN"
        bad = self.judge_pin(command.pin, done.member, needed=False)
        if bad:
            return bad
        if self.states[cards[0]] == "active":
            self.states[cards[0]] = "replaced"
        self.replaced.add(cards[0])
        self.members["C", command.new_card] = done.member
        return "APPROVED"

    def void(self, command: Any, done: Done) -> str:
        identity = (command.terminal, command.original_batch, command.original_stan)
        by_stan = self.done.get(identity) if command.original_stan else None
        original = by_stan
        if command.original:
            original = self.by_sequence.get(command.original)
            if command.original_stan and original is not by_stan:
                return "ORIGINALS_DISAGREE"
        if original is None or original.command.terminal != command.terminal:
            return "ORIGINAL_UNKNOWN"
        if original.reason != "APPROVED":
            return "ORIGINAL_UNKNOWN"
        batch = original.command.batch
        if batch != command.batch:
            state = self.batches[command.terminal, batch].state
            return "ORIGINAL_UNKNOWN" if state == "open" else "BATCH_SETTLED"
        done.member = original.member
        if not self.names(command.tokens, original.member):
            return "OTHER_MEMBER"
        if command.coupon and command.coupon != getattr(original.command, "coupon", b""):
            return "COUPON_DIFFERS"
        if type(original.command).__name__ not in VOIDABLE:
            return "NOT_UNDOABLE"
        if command.unit != getattr(original.command, "unit", MONEY):
            return "UNIT_DIFFERS"
        if command.amount != original.command.amount:
            return "AMOUNT_DIFFERS"
        if original.undone or original.returned:
            return "ALREADY_UNDONE"
        bad = self.cannot_be_undone(original)
        if bad:
            return bad
        original.undone = "voided"
        done.voids = original
        self.spend(original, -1, original.command.amount, 1)
        self.give_back(original, done)
        return "APPROVED"

    def give_back(self, original: Done, done: Done) -> None:
        done.member, done.program = original.member, original.program
        if original.moves:
            holding = self.open(original.member, original.program, done)
        if original.more:
            program, moves = original.more
            second = self.open(original.member, program, done)
            second.undo(moves, self.today)
            done.more, second.moves = (program, second.moves), []
        if original.moves:
            holding.undo(original.moves, self.today)
            done.moves, holding.moves = holding.moves, []
        if original.other:
            done.follow = ("back", *original.other)
        elif original.voids is not None and original.voids.other is None:
            done.again = original.voids
        else:
            self.unfinished.pop(original.sequence, None)
        self.give_back_value(original, done)
        self.use_again(original, -1)
        done.counted = [
            (unit, side, amount, -(sign[0] if sign else 1))
            for unit, side, amount, *sign in original.counted
        ]

    def refund(self, command: Any, done: Done) -> str:
        original = self.by_sequence.get(command.original)
        if original is None or original.command.merchant != command.merchant:
            return "ORIGINAL_UNKNOWN"
        if original.reason != "APPROVED":
            return "ORIGINAL_UNKNOWN"
        done.member = original.member
        if not self.names(command.tokens, original.member):
            return "OTHER_MEMBER"
        kind = type(original.command).__name__
        if kind not in REFUNDABLE:
            return "NOT_UNDOABLE"
        if command.unit != getattr(original.command, "unit", MONEY):
            return "UNIT_DIFFERS"
        if not command.amount:
            return "AMOUNT_ZERO"
        whole = original.command.amount
        before, after = original.returned, original.returned + command.amount
        if after > whole:
            return "REFUND_EXCEEDS"
        if original.undone:
            return "ALREADY_UNDONE"
        original.returned = after
        self.use_less(original, before, after, whole)
        self.spend(original, -1, command.amount, 1 if after == whole else 0)
        part = original.moved * after // whole - original.moved * before // whole
        if kind == "Use":
            self.refund_use(original, done, before, after)
        elif kind in {"Purchase", "ValueCapture"}:
            self.refund_purchase(command, original, done)
        elif kind in {"Accrual", "Reward"}:
            first = original.moved * before // whole
            self.refund_accrual(original, done, (first, first + part))
        else:
            self.refund_redemption(original, done, original.moved * before // whole, part)
        return "APPROVED"

    def refund_accrual(self, original: Done, done: Done, span: tuple[int, int]) -> None:
        holding = self.open(original.member, original.program, done)
        expiry = max((move[2] for move in original.moves), default=0)
        stops = PROGRAMS[original.program]["zero"]
        before, after = (self.shared(original.parts, points) for points in span)
        taken = sum(
            holding.take_back(issuer, expiry, after[place] - before[place], owe=not stops)
            for place, (issuer, _) in enumerate(original.parts)
        )
        self.note(done, original.program, "D", taken)

    def refund_redemption(self, original: Done, done: Done, skip: int, part: int) -> None:
        """Point by point, from the last consumed: slow, and hard to get wrong."""
        holding = self.open(original.member, original.program, done)
        grace = PROGRAMS[original.program]["grace"]
        spent = [
            (issuer, expiry, -amount) for _, issuer, expiry, amount in reversed(original.moves)
        ]
        for issuer, expiry, amount in spent:
            skipped = min(skip, amount)
            skip -= skipped
            back = min(part, amount - skipped)
            part -= back
            if expiry < self.today and grace is None:
                holding.move("lot", issuer, expiry, back)
                holding.move("lot", issuer, expiry, -back)
            elif expiry < self.today:
                holding.move("lot", issuer, after_days(self.today, grace), back)
            else:
                holding.move("lot", issuer, expiry, back)
        moved = sum(move[3] for move in holding.moves if move[3] > 0)
        self.note(done, original.program, "C", moved)

    def settlement(self, command: Any, done: Done) -> str:
        batch = self.batches[command.terminal, command.batch]
        if batch.lines() != tuple(line for line in command.totals if any(line[1:])):
            return "TOTALS_DIFFER"
        self.close(command, "settled")
        done.member = ""
        return "APPROVED"

    def uploaditem(self, command: Any, _done: Done) -> str:
        if command.original_stan:
            self.uploads.add((command.terminal, command.original_batch, command.original_stan))
        if command.last:
            self.close(command, "disputed")
        return "APPROVED"

    def close(self, command: Any, state: str) -> None:
        batch = self.batches[command.terminal, command.batch]
        in_force = self.in_force(command.terminal, self.at)
        batch.state = state
        batch.closed = self.at
        # A batch that closes on its first message has no time of its own.
        batch.since = batch.since or self.at
        self.linked[command.terminal] = max(in_force, command.batch + 1)

    # Reversals.

    def reversal(self, command: Any) -> tuple[str, Done | None]:
        """The reason, and what is stored of the reversal; None where it is answered from memory."""
        key = (command.terminal, command.batch, command.stan)
        if key in self.done and self.done[key] is None:
            return "ORIGINAL_UNKNOWN", None
        original = self.done.get(key)
        before = original.undone_by if original is not None else None
        if before is not None and before.tokens == command.tokens and self.same(command, original):
            return "APPROVED", None
        done = Done(command, self.sequence + 1, "APPROVED")
        done.reason = self.reverse(command, original, done)
        if done.reason == "OTHER_CONTENT":
            return done.reason, None
        self.sequence += 1
        self.complete(done.again or done)
        return done.reason, done

    def reverse(self, command: Any, original: Done | None, done: Done) -> str:
        if self.batches[command.terminal, command.batch].state != "open":
            return "BATCH_SETTLED"
        if original is None:
            self.done[command.terminal, command.batch, command.stan] = None
            return "ORIGINAL_UNKNOWN"
        if not self.same(command, original):
            return "OTHER_CONTENT"
        if original.reason != "APPROVED":
            original.undone_by = command
            return "APPROVED"
        if original.undone:
            return "APPROVED"
        if type(original.command).__name__ not in REVERSIBLE:
            return "NOT_UNDOABLE"
        if original.returned:
            return "ALREADY_UNDONE"
        bad = self.cannot_be_undone(original)
        if bad:
            return bad
        if type(original.command).__name__ in {"Hold", "ValueHold"}:
            bad = self.undo_hold(original, done)
            if bad:
                return bad
        original.undone, original.undone_by = "reversed", command
        self.give_back(original, done)
        batch = self.batches[command.terminal, command.batch]
        for line in done.counted:
            batch.count(*line)
        if original.voids is not None:
            original.voids.undone = None
            self.use_again(original.voids, 1)
            self.spend(original.voids, 1, original.voids.command.amount, 1)
        elif original.returned == 0:
            self.spend(original, -1, getattr(original.command, "amount", 0), 1)
        return "APPROVED"

    def same(self, command: Any, original: Done) -> bool:
        first = original.command
        amount = getattr(first, "amount", 0)
        unit = getattr(first, "unit", MONEY if hasattr(first, "amount") else "")
        if (command.function, command.amount, command.unit) != (first.function, amount, unit):
            return False
        tokens = getattr(first, "tokens", ())
        if command.tokens == tokens:
            return True
        both = command.tokens and tokens and original.member
        return bool(both) and self.names(command.tokens, original.member)
