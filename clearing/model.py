"""What a netted day consists of: the plain records between netting and files.

Netting (`clearing.settle`) makes a `Day` with one `PartyDay` for each party and a stream of `Line`;
the formats in `clearing.files` turn them into bytes. Every file is a function of these records
alone: no format looks at a clock, a locale or the environment, so the same records give the same
bytes.

Memory is flat in the number of transactions: a `Day` grows with parties, programs and exceptions,
lines only ever pass by. Whoever keeps them hands out a `LineSource`, which worker processes ask for
the lines of a range of parties.

Units and signs: money is whole fen, points are whole points, dates are integers YYYYMMDD, local
times integers YYYYMMDDhhmmss in the operator's zone; 0 stands for "none". Money is seen from the
operator's books as in ``accounting.md``: + is owed to the party, - is owed by it. Points of a line
are seen by the member: + received, - given.

The rules that hold between the fields of one record are checked by `check_day`, before any file
is begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

FEN_MAX = 10**13 - 1
"""The largest amount of money that the formats have columns for (100 billion yuan)."""

LEGS_MAX = 6
"""Headings on one line; what accounting.md posts for one party in one entry needs four at most."""

PARTY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
"""Party ids are parts of file names, so they are kept to these characters."""

ACCOUNT = re.compile(r"[A-Za-z0-9-]{1,34}")
"""Account numbers and bank codes that a payment file can carry; never cut, never guessed."""

KINDS = ("merchant", "institution", "sponsor", "channel")


def account_known(number: str, bank_code: str) -> bool:
    """Whether a payment file can carry this account, the payer's or the payee's."""
    return bool(ACCOUNT.fullmatch(number) and ACCOUNT.fullmatch(bank_code))


@dataclass(slots=True)
class Heading:
    """A reason for which money moves on a party's position.

    Attributes:
        code: two digits, as they stand in the files; never used for another meaning.
        english, chinese: what statements call it.
    """

    code: str
    english: str
    chinese: str


ISSUED = "10"
TOPPED_UP = "12"
REDEEMED = "20"
VALUE_LOADED = "30"
VALUE_SPENT = "31"
COUPON_HONOURED = "40"
COUPON_FUNDED = "41"
VOUCHER_SOLD = "42"
RECHARGE_SOLD = "43"
GIFT = "50"
FEE = "60"
REVENUE_SHARE = "70"
BREAKAGE_SHARE = "71"
EXCHANGE = "80"
ADJUSTMENT = "90"

HEADINGS: tuple[Heading, ...] = (
    Heading(ISSUED, "Points issued (funding)", "积分发放资金"),
    Heading(TOPPED_UP, "Points top-up", "积分充值"),
    Heading(REDEEMED, "Points redeemed (settlement)", "积分消费结算"),
    Heading(VALUE_LOADED, "Stored value loaded", "储值卡充值"),
    Heading(VALUE_SPENT, "Stored value spent", "储值卡消费"),
    Heading(COUPON_HONOURED, "Coupons honoured", "优惠券核销"),
    Heading(COUPON_FUNDED, "Coupon funding", "优惠券出资"),
    Heading(VOUCHER_SOLD, "Vouchers sold", "代金券销售"),
    Heading(RECHARGE_SOLD, "Recharge cards sold", "充值卡销售"),
    Heading(GIFT, "Gifts supplied", "礼品兑换"),
    Heading(FEE, "Fees", "手续费"),
    Heading(REVENUE_SHARE, "Revenue share", "分润"),
    Heading(BREAKAGE_SHARE, "Breakage share", "残值分成"),
    Heading(EXCHANGE, "Points exchange", "积分互换"),
    Heading(ADJUSTMENT, "Adjustments", "调整"),
)
HEADING: dict[str, Heading] = {heading.code: heading for heading in HEADINGS}
if len(HEADING) != len(HEADINGS) or list(HEADING) != sorted(HEADING):
    raise ValueError("HEADINGS must be in ascending order of distinct codes")

FEE_KINDS: dict[str, str] = {
    "accrual": "消费积分",
    "redemption": "积分消费",
    "purchase": "储值卡消费",
}
"""What a fee was taken on, as the rules name it, and what statements call that."""


@dataclass(slots=True)
class Line:
    """What one posted transaction did to one party; an entry with three funders makes three more.

    Lines of a party are in ascending order of (sequence, unit), and that pair occurs once: a
    transaction that moves two programs has a line for each.

    Attributes:
        party: whose line it is.
        sequence: the entry in the journal.
        rrn: its retrieval reference number, empty where there is none.
        local: local time of the transaction, YYYYMMDDhhmmss.
        date: its business date.
        merchant, terminal: where it happened, empty for what the operator posted.
        batch, stan: the terminal's numbers for it, 0 for none.
        channel: how it came in: ``pos``, ``admin``, ``app`` …
        kind: name of the command in the engine's catalogue.
        unit: the program whose points moved, or ``156`` for money alone.
        points: points moved as the member sees it, 0 if none.
        sale: the sale that it belongs to, fen, 0 for none.
        money: (heading, fen) of this party, each heading once, in ascending order.
        member: the member, masked, or empty.
        original: the entry that it undoes or refunds, 0 for none.
        text: a remark for people, such as the reason of an adjustment.
    """

    party: str
    sequence: int
    rrn: str
    local: int
    date: int
    merchant: str
    terminal: str
    batch: int
    stan: int
    channel: str
    kind: str
    unit: str
    points: int
    sale: int
    money: tuple[tuple[str, int], ...]
    member: str
    original: int
    text: str


class LineSource(Protocol):
    """Where the lines of a day are kept. It is pickled into worker processes."""

    def lines(self, first: int, end: int) -> Iterator[Line]:
        """Give the lines of ``day.parties[first:end]``, by party and then (sequence, unit)."""
        ...


@dataclass(slots=True)
class Amount:
    """The legs of one heading, added up: `debit` and `credit` are both ≥ 0."""

    heading: str
    count: int
    debit: int
    credit: int


@dataclass(slots=True)
class PointsTotal:
    """Points of one program that a party issued and took, net of what was undone."""

    program: str
    issued: int
    redeemed: int


@dataclass(slots=True)
class StoreTotal:
    """What a merchant's tills in a store did in a day, of one unit.

    Attributes:
        store, name: which; both empty for what no till did that stood in a store.
        unit: the program whose points moved, or ``156`` for money alone.
        lines: how many of the merchant's lines.
        issued, redeemed: points, net of what was undone.
        sales: fen of the sales less those undone; of what moved two programs with the first.
        net: fen, + owed to the merchant.
    """

    store: str
    name: str
    unit: str
    lines: int
    issued: int
    redeemed: int
    sales: int
    net: int


@dataclass(slots=True)
class PartyDay:
    """A party's day: ``carried_in + net == payable + carried_forward - collect``.

    Attributes:
        id, name, kind: who; `kind` is one of `KINDS`.
        institution: the regional group it belongs to, or empty.
        account_name, account_number, bank_code: where it is paid; number and code are empty as
            long as nobody has entered them, and then it stands on the list of the unpaid.
        amounts: by heading, ascending, those that occur.
        points: by program, ascending.
        fees: (kind of fee, fen ≥ 0 paid by the party or < 0 given back), ascending.
        lines: how many lines it has.
        debit, credit: sums of the legs below and above zero, both ≥ 0.
        net: credit - debit.
        carried_in: what earlier days left unpaid or owed.
        payable: paid out by this run, ≥ 0.
        carried_forward: left for the next run, of either sign.
        collect: asked for by the collection list, ≥ 0.
        owing_since: first business date since which it owes, 0 if it does not.
        stores: of a merchant that has stores, by store and unit, ascending.
    """

    id: str
    name: str
    kind: str
    institution: str
    account_name: str
    account_number: str
    bank_code: str
    amounts: tuple[Amount, ...]
    points: tuple[PointsTotal, ...]
    fees: tuple[tuple[str, int], ...]
    lines: int
    debit: int
    credit: int
    net: int
    carried_in: int
    payable: int
    carried_forward: int
    collect: int
    owing_since: int
    stores: tuple[StoreTotal, ...] = ()

    def values(self) -> tuple[Any, ...]:
        """The fields in order, stores only where there are any: digests from before stay right."""
        packed = tuple([getattr(self, name) for name in self.__dataclass_fields__])
        return packed if self.stores else packed[:-1]

    @property
    def transferable(self) -> bool:
        """True when something is paid and it is known where to."""
        return bool(self.payable) and account_known(self.account_number, self.bank_code)


@dataclass(slots=True)
class ProgramDay:
    """A program at the end of the day: points moved, points outstanding, the fund behind them.

    Attributes:
        issued, redeemed, expired: points of the day, net of what was undone.
        outstanding: points that members hold at the end of the day.
        fund: fen set aside for them.
        rounding: fen that the nightly true-up moved between the fund and ``Rounding``.
    """

    id: str
    name: str
    points_per_yuan: int
    issued: int
    redeemed: int
    expired: int
    outstanding: int
    fund: int
    rounding: int


@dataclass(slots=True)
class MatrixCell:
    """Points of `issuer` redeemed at `redeemer`, and their value in fen at the fund's price."""

    program: str
    issuer: str
    redeemer: str
    points: int
    value: int


@dataclass(slots=True)
class ChannelTotal:
    """What came in by one channel, by kind of transaction."""

    channel: str
    kind: str
    count: int
    points_issued: int
    points_redeemed: int
    debit: int
    credit: int


@dataclass(slots=True)
class Movement:
    """What the day moved on one of the operator's own money accounts, by its name in the chart."""

    account: str
    fen: int


@dataclass(slots=True)
class Check:
    """A named check of the day (``accounting.md``) and the two figures that it compared."""

    name: str
    expected: int
    found: int


@dataclass(slots=True)
class ExceptionItem:
    """Something that the two sides tell differently, until an adjustment resolves it.

    Attributes:
        id: stays the same from run to run.
        reason: ``only-here``, ``only-there``, ``amount``, ``twice``, ``date``, ``reversed`` …
        since: business date on which it was first seen.
        age_days: days from then to this run.
        owner: who has to look at it.
        merchant, terminal, batch, stan, rrn: the transaction, as far as known.
        sequence: its entry, 0 if it is only there.
        unit: fen for ``156``, else points.
        here, there: the amounts that the two sides tell, in `unit`.
        resolution: sequence of the adjustment entry, 0 while open.
        text: a sentence for people.
    """

    id: str
    reason: str
    since: int
    age_days: int
    owner: str
    merchant: str
    terminal: str
    batch: int
    stan: int
    rrn: str
    sequence: int
    unit: str
    here: int
    there: int
    resolution: int
    text: str


@dataclass(slots=True)
class Operator:
    """Who settles, and the account that payments are made from (numbers may be empty)."""

    name: str
    zone: str
    account_name: str
    account_number: str
    bank_code: str


@dataclass(slots=True)
class Day:
    """A netted business date, ready to be written.

    Attributes:
        date, run: business date and the number of the run, from 1.
        supersedes: the run that this one replaces, 0 for none.
        value_date: when payments are executed.
        closed: local time of the cut-off, YYYYMMDDhhmmss; files carry it as their time.
        first_sequence, last_sequence: the entries of the date, 0 and 0 if there are none.
        considered: the last entry that matching looked at.
        version: the software's.
        chain: the head of the journal's chain at the cut-off, ``SEQ:HASH``.
        parties: by id, ascending.
        programs, matrix, channels, movements, checks, exceptions: each in ascending order of
            its first fields.
    """

    date: int
    run: int
    supersedes: int
    value_date: int
    closed: int
    first_sequence: int
    last_sequence: int
    considered: int
    version: str
    chain: str
    operator: Operator
    parties: tuple[PartyDay, ...]
    programs: tuple[ProgramDay, ...]
    matrix: tuple[MatrixCell, ...]
    channels: tuple[ChannelTotal, ...]
    movements: tuple[Movement, ...]
    checks: tuple[Check, ...]
    exceptions: tuple[ExceptionItem, ...]


class Inconsistent(Exception):
    """A day whose own figures contradict each other: no file is written from it."""


def check_day(day: Day) -> None:
    """Refuse a day whose figures do not agree, before a file is begun.

    Raises:
        Inconsistent: naming the party or the check.
    """
    before = ""
    for party in day.parties:
        if not PARTY_ID.fullmatch(party.id):
            raise Inconsistent(f"party {party.id!r}: the id has characters that files cannot carry")
        if party.id <= before:
            raise Inconsistent(f"party {party.id} does not stand in ascending order")
        before = party.id
        _check_party(party)
    for check in day.checks:
        if check.expected != check.found:
            raise Inconsistent(
                f"check {check.name}: {check.found} where {check.expected} is expected"
            )
    positions = sum(party.net for party in day.parties)
    own = sum(movement.fen for movement in day.movements)
    if positions + own:
        raise Inconsistent(
            f"positions of parties sum to {positions} fen, the operator's own accounts moved {own}"
        )


def _check_party(party: PartyDay) -> None:
    """Check the sums inside one party's day."""
    if party.kind not in KINDS:
        raise Inconsistent(f"party {party.id}: {party.kind!r} is no kind of party")
    if [amount.heading for amount in party.amounts] != sorted(
        {amount.heading for amount in party.amounts} & HEADING.keys()
    ):
        raise Inconsistent(f"party {party.id}: headings unknown, repeated or out of order")
    figures: tuple[tuple[str, int, int], ...] = (
        ("debit", party.debit, sum(amount.debit for amount in party.amounts)),
        ("credit", party.credit, sum(amount.credit for amount in party.amounts)),
        ("net", party.net, party.credit - party.debit),
        (
            "carried",
            party.carried_in + party.net,
            party.payable + party.carried_forward - party.collect,
        ),
    )
    if party.stores:
        figures += (
            ("net of its stores", sum(store.net for store in party.stores), party.net),
            ("lines of its stores", sum(store.lines for store in party.stores), party.lines),
        )
    for name, found, expected in figures:
        if found != expected:
            raise Inconsistent(f"party {party.id}: {name} is {found}, its parts give {expected}")
        if abs(found) > FEN_MAX:
            raise Inconsistent(f"party {party.id}: {name} of {found} fen is beyond all columns")
    if party.payable < 0 or party.collect < 0 or party.debit < 0 or party.credit < 0:
        raise Inconsistent(f"party {party.id}: payable, collect, debit and credit are never < 0")
