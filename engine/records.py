"""The engine's records: what each row of the ledger's tables means, and its layout.

Reference records (program, merchant, terminal, …) are replaced whole by administration commands
and carry a revision, which entries note. Hot records (points, batch) hold plain tuples, so that
packing them costs one call. Ratios are pairs of integers (numerator, denominator); dates are
integers YYYYMMDD; times are milliseconds since 1970 UTC; amounts are fen or points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

from ledger import codec, schema
from ledger.model import Hot

Ratio: TypeAlias = tuple[int, int]
Parts: TypeAlias = tuple[tuple[str, Ratio], ...]
"""Parties and their parts of an amount, in the order of their ids."""
Lot: TypeAlias = tuple[int, str, int]
"""Expiry day, issuer, points: in the order in which lots are consumed."""

_SEQUENCE_BYTES: Final = 8

BASE: Final = "base"
"""The tier of everybody who has none."""

ASKED_NEVER: Final = 999_999_999_999_999
"""A `pin_above` that no amount reaches."""
SITE_TERMINALS_MAX: Final = 256
"""Terminals in a chunk of a merchant's."""

RECENT_MAX: Final = 5
"""Entries that a record of a member remembers for the mini-statement."""
Pending: TypeAlias = tuple[int, int, str, int]
"""First day on which it can be spent (`NEVER` until it is released), expiry, issuer, points."""

HeldPoints: TypeAlias = tuple[int, int, tuple[Lot, ...]]
"""Sequence number of the hold, the time in ms from which it holds no more, lots held."""

NEVER: Final = 99991231
"""The expiry day of points that do not expire."""


@dataclass(slots=True)
class Program:
    """A kind of points.

    Attributes:
        id: ``P01`` to ``P99``.
        name: for people.
        points_per_yuan: how many points are worth one yuan; fixed for the life of the program.
        expiry: ``none``, ``rolling:24m`` or ``calendar:1y``.
        settled: False for a private program: points legs and fees only.
        after_expiry: what a refund does with points whose lot has run out: ``expire`` or
            ``reissue``.
        grace_days: days that reissued points last.
        clawback: ``negative`` or ``zero``: taking back points that are spent already.
        phone_spends: True when a member named by phone alone may spend without a PIN.
        pin_above: fen; a redemption worth more asks for a PIN, also with a card.
        breakage_share: the part of expired points' value that their issuers are paid.
        revision: counts the versions of this record, from 1.
    """

    id: str
    name: str
    points_per_yuan: int
    expiry: str
    settled: bool
    after_expiry: str
    grace_days: int
    clawback: str
    phone_spends: bool
    pin_above: int
    breakage_share: Ratio
    revision: int


@dataclass(slots=True)
class Institution:
    """A regional group of merchants."""

    id: str
    name: str
    revision: int


@dataclass(slots=True)
class Terms:
    """What a merchant and the operator agreed, from a day on.

    Attributes:
        since: first local day on which they apply.
        program: the program they are about.
        earn: points per yuan of the sale.
        funding: fen that the merchant pays for a point it issues.
        settlement: the part of a redeemed point's value that the merchant is paid.
        fee_permille: fee in thousandths of the money value of the points moved; of stored value
            spent, of that.
        fee_min, fee_max: bounds of a fee in fen; 0 for no upper bound.
        refund_days: how long after a sale it may be refunded; 0 for no limit.
        refund_fee: True when a refund gives the fee back too.
        pin_above: as the program's; the lower of both holds.
        burn_min, burn_max: least and most points of one redemption; 0 for no bound.
        tier_earn: tiers with points per yuan of their own.
        hold_minutes: how long a hold lasts.
        pending_days: days after which points can be spent; -1 until they are released by hand.
        top_up: fen that a point costs when it is loaded; (0, 0) for what it is worth.
        refund_pin_above: fen above which a void or refund needs a supervisor's PIN.
        margin_share, fee_share: parties with the parts that they get of the operator's margin and
            of the fee, see `engine.revenue`.
        fee_fixed: fen that each fee has beside its thousandths.
        fee_tiers: values in fen, ascending, and the thousandths that count from each on in place of
            `fee_permille`.
    """

    since: int
    program: str
    earn: Ratio
    funding: Ratio
    settlement: Ratio
    fee_permille: int
    fee_min: int
    fee_max: int
    refund_days: int
    refund_fee: bool
    pin_above: int = ASKED_NEVER
    burn_min: int = 0
    burn_max: int = 0
    tier_earn: tuple[tuple[str, Ratio], ...] = ()
    hold_minutes: int = 30
    pending_days: int = 0
    top_up: Ratio = (0, 0)
    refund_pin_above: int = ASKED_NEVER
    margin_share: Parts = ()
    fee_share: Parts = ()
    fee_fixed: int = 0
    fee_tiers: tuple[tuple[int, int], ...] = ()

    def values(self) -> tuple[Any, ...]:
        """The fields in order, without the last ones that say nothing.

        A row that nobody has changed is packed as it was before there were such fields, and the
        digest of its replay is the same.
        """
        packed = tuple([getattr(self, name) for name in _OF_TERMS])
        count = len(packed)
        while count > TERMS_FIELDS_MIN and not packed[count - 1]:
            count -= 1
        return packed[:count]


TERMS_FIELDS_MIN: Final = 18
"""Fields of terms that are always packed, those up to `refund_pin_above`."""
_OF_TERMS: Final = tuple([field.name for field in fields(Terms)])


@dataclass(slots=True)
class Merchant:
    """A merchant with its dated terms, in ascending order of their first day.

    Attributes:
        operators: True where each transaction names an operator of the merchant.
    """

    id: str
    name: str
    institution: str
    category: str
    terms: tuple[Terms, ...]
    enabled: bool
    revision: int
    operators: bool = False

    @classmethod
    def restore(cls, *values: Any) -> Merchant:
        """Make the record from its packed fields."""
        row = list(values)
        row[4] = tuple(Terms(*terms) for terms in row[4])
        return cls(*row)


@dataclass(slots=True)
class Store:
    """A place of a merchant where its tills stand; it stays the same merchant's for good."""

    id: str
    merchant: str
    name: str
    revision: int


@dataclass(slots=True)
class Placed:
    """The store in which a terminal stands from an entry on, empty for none."""

    store: str


@dataclass(slots=True)
class Terminal:
    """A terminal's registration.

    Attributes:
        profile: ``aes``, ``tdes-x919`` or ``tdes-cup``.
        tmk: the terminal master key, sealed under the key file.
        tmk_check: its check value, hex, for people and for noticing a change.
        charset: ``gb18030`` or ``utf-8``.
        networks: from where it may connect (CIDR); empty for anywhere.
        serial: keyed digest of the bound device serial, or empty.
        role: ``sales`` or ``information``.
        locked: True while it was locked, by hand, beside being enabled or not.
        store: the merchant's store in which it stands, or empty.
    """

    id: str
    merchant: str
    profile: str
    tmk: bytes
    tmk_check: str
    charset: str
    networks: tuple[str, ...]
    serial: bytes
    role: str
    enabled: bool
    revision: int
    locked: bool = False
    store: str = ""

    def values(self) -> tuple[Any, ...]:
        """The fields in order, a store only where there is one, as in rows from before stores."""
        packed = tuple([getattr(self, name) for name in _OF_TERMINAL])
        return packed if self.store else packed[:-1]


_OF_TERMINAL: Final = tuple([field.name for field in fields(Terminal)])


@dataclass(slots=True)
class Operator:
    """Somebody who works at a merchant's tills.

    Attributes:
        id: three characters, as field 63 begins.
        pin: keyed digest of the PIN, empty for none.
        pin_failures: wrong PINs in a row; three lock the operator.
        role: ``cashier`` or ``supervisor``.
    """

    merchant: str
    id: str
    name: str
    pin: bytes
    pin_failures: int
    role: str
    enabled: bool
    revision: int


@dataclass(slots=True)
class Parameters:
    """What terminals of a scope download.

    Attributes:
        version: of the parameters, as terminals report it (element 1D).
        software: the version of the program that they should run, empty for any.
        entries: names and values, in the order in which they are sent.
    """

    version: str
    software: str
    entries: tuple[tuple[str, str], ...]
    revision: int


@dataclass(slots=True)
class HotCards:
    """Cards reported lost of late, for terminals to know.

    Attributes:
        number: counts the changes of the list.
        cards: digests, the oldest report first.
    """

    number: int
    cards: tuple[bytes, ...]


@dataclass(slots=True)
class Keys:
    """Which key sets of a terminal are in use.

    A set's keys follow from the key file, the terminal and the set's number, so none is stored and
    handing one out writes nothing. The pending set is always the one after `number`.

    Attributes:
        number: the last confirmed set; 0 before the first.
        live: False when the confirmed set was cancelled by a new master key.
        previous: the set before, still honoured until `previous_until` (ms); 0 for none.
    """

    number: int
    live: bool
    previous: int
    previous_until: int


@dataclass(slots=True)
class Member:
    """A member, named or anonymous.

    Attributes:
        tier: name of the tier in force.
        state: ``active``, ``frozen``, ``closed`` or ``forgotten``.
        pin: keyed digest of the PIN, empty for none.
        pin_failures: wrong PINs in a row; three lock the PIN.
        tokens: kinds and names of the cards, phones and tokens that name the member.
        programs: programs in which the member has ever held points.
        granted: the tier that the operator gave; a higher one may be earned (`engine.ladder`).
        former: phones and tokens that named the member once, for when it is forgotten.
    """

    id: str
    tier: str
    state: str
    pin: bytes
    pin_failures: int
    tokens: tuple[tuple[str, bytes], ...]
    programs: tuple[str, ...]
    revision: int
    granted: str = BASE
    former: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Alias:
    """A card, phone or token: whom it names, and itself as ciphertext for display.

    Attributes:
        member: the member named.
        state: ``active``, ``lost``, ``replaced``, ``removed``; or the state of the member where
            that is not ``active``, so that a transaction need not read the member to know;
            ``issued`` for a card of a batch that nobody has presented yet, whose state is that of
            its range (`CardBatch`); ``expired`` for one whose stored value has run out.
        sealed: the token, sealed under the key file; of an identity number its digest alone.
        tier: the member's tier, likewise; empty for `BASE`.
    """

    member: str
    state: str
    sealed: bytes
    tier: str = ""


@dataclass(slots=True)
class Replacement:
    """What a replaced card leads to.

    Attributes:
        card: digest of the card that took its place.
        at: when, ms since 1970 UTC.
    """

    card: bytes
    at: int


@dataclass(slots=True)
class Points(Hot):
    """A member's points in a program.

    Attributes:
        lots: the lots that are consumed first, ascending.
        debts: issuer and points owed by the member, after spent points were taken back.
        chunks: for lots beyond those in `lots`: expiry and issuer of the chunk's first lot, the
            chunk's number, the sum of its points; ascending.
        used: time of the last movement, ms.
        recent: sequence numbers of the last `RECENT_MAX` entries that moved them, the newest first.
        holds: what is held, the oldest hold first; not in `lots`.
        pending: what cannot be spent yet, ascending; not in `lots`, though on their accounts.
    """

    lots: tuple[Lot, ...]
    debts: tuple[tuple[str, int], ...]
    chunks: tuple[tuple[int, str, int, int], ...]
    used: int
    recent: tuple[int, ...]
    holds: tuple[HeldPoints, ...] = ()
    pending: tuple[Pending, ...] = ()

    def __init__(
        self,
        lots: tuple[Lot, ...],
        debts: tuple[tuple[str, int], ...],
        chunks: tuple[tuple[int, str, int, int], ...],
        used: int,
        recent: tuple[int, ...],
        holds: tuple[HeldPoints, ...] = (),
        pending: tuple[Pending, ...] = (),
    ) -> None:
        self.lots = lots
        self.debts = debts
        self.chunks = chunks
        self.used = used
        self.recent = recent
        self.holds = holds
        self.pending = pending

    def values(self) -> tuple[Any, ...]:
        """The fields in order."""
        return (
            self.lots,
            self.debts,
            self.chunks,
            self.used,
            self.recent,
            self.holds,
            self.pending,
        )


@dataclass(slots=True)
class Chunk:
    """Lots beyond those in the points record."""

    lots: tuple[Lot, ...]


@dataclass(slots=True)
class Value:
    """A member's stored value.

    Attributes:
        balance: fen in the ledger; below zero after a load that was spent already was undone.
        expires: last local day on which it can be spent; 0 before the first load.
        product: the card product whose rules apply; empty for none.
        holds: sequence of the hold, time in ms at which it ends, fen; what is held counts
            against what is available and posts nothing.
        used: time of the last movement, ms.
    """

    balance: int
    expires: int
    product: str
    holds: tuple[tuple[int, int, int], ...]
    used: int


@dataclass(slots=True)
class Identity:
    """What is remembered of a request (``protocol.md``, section 6); a row of it is bytes.

    Every request leaves one behind and few are read again, so a row is kept as its bytes, made by
    `packed_identity` and read by `identity_of`.

    Attributes:
        sequence: its entry; 0 when it was reversed before it arrived.
        content: keyed digest of its content.
    """

    sequence: int
    content: bytes


def packed_identity(sequence: int, content: bytes) -> bytes:
    """The row of an identity."""
    return sequence.to_bytes(_SEQUENCE_BYTES, "big") + content


def identity_of(row: bytes | None) -> Identity | None:
    """The identity in a row, None where there is no row."""
    if row is None:
        return None
    return Identity(int.from_bytes(row[:_SEQUENCE_BYTES], "big"), row[_SEQUENCE_BYTES:])


@dataclass(slots=True)
class Undo:
    """What became of a transaction since.

    Attributes:
        reversed_by: entry of the reversal, 0 for none.
        voided_by: entry of the void that stands, 0 for none.
        refunded: the amount refunded so far, in the unit of the original's amount.
    """

    reversed_by: int
    voided_by: int
    refunded: int


@dataclass(slots=True)
class Rate:
    """What points of one program are worth in another, from a day on.

    Attributes:
        since: first local day on which it applies.
        ratio: points of the program entered for one of the program left.
        owner: the merchant that pays where the program left is private, else empty.
    """

    since: int
    ratio: Ratio
    owner: str


@dataclass(slots=True)
class Rates:
    """The dated rates from one program to another, in ascending order of their first day."""

    rows: tuple[Rate, ...]
    revision: int

    @classmethod
    def restore(cls, rows: Any, revision: int) -> Rates:
        """Make the record from its packed fields."""
        return cls(tuple(Rate(*row) for row in rows), revision)


@dataclass(slots=True)
class Sequel:
    """What followed a transaction: the entry that ended a hold or completed a transfer."""

    sequence: int


@dataclass(slots=True)
class Transit:
    """The second half of a transfer, still to be posted: a command's kind and fields."""

    kind: str
    command: tuple[Any, ...]


@dataclass(slots=True)
class Batch(Hot):
    """A terminal's batch.

    Attributes:
        state: ``open``, ``settled`` or ``disputed``.
        since: time of its first transaction.
        date: business date of the last transaction that counted.
        totals: of that date: unit, debit count, debit amount, credit count, credit amount;
            ascending by unit.
        earlier: the same of the business dates before, each line behind its date; ascending.
            `engine.batches.whole` adds them up.
        stan_min, stan_max: the lowest and highest STAN of which an identity is kept, so that a
            higher one is known to be new without looking for it.
        closed: time at which it was settled or its upload ended, 0 while it is open.
    """

    state: str
    since: int
    date: int
    totals: tuple[tuple[str, int, int, int, int], ...]
    earlier: tuple[tuple[int, str, int, int, int, int], ...]
    stan_min: int
    stan_max: int
    closed: int

    def __init__(
        self,
        state: str,
        since: int,
        date: int,
        totals: tuple[tuple[str, int, int, int, int], ...],
        earlier: tuple[tuple[int, str, int, int, int, int], ...],
        stan_min: int,
        stan_max: int,
        closed: int,
    ) -> None:
        self.state = state
        self.since = since
        self.date = date
        self.totals = totals
        self.earlier = earlier
        self.stan_min = stan_min
        self.stan_max = stan_max
        self.closed = closed

    def values(self) -> tuple[Any, ...]:
        """The fields in order."""
        return (
            self.state,
            self.since,
            self.date,
            self.totals,
            self.earlier,
            self.stan_min,
            self.stan_max,
            self.closed,
        )


@dataclass(slots=True)
class Link:
    """A terminal's standing with the host: the batch in force."""

    batch: int


@dataclass(slots=True)
class Upload:
    """An item of a batch upload, as the terminal told it."""

    function: str
    amount: int
    unit: str
    rrn: str
    response: str
    tokens: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Site:
    """Terminals that have been registered for a merchant, also such as have left it since.

    Attributes:
        terminals: up to `SITE_TERMINALS_MAX` of them.
        chunks: in the first chunk only: how many more there are.
    """

    terminals: tuple[str, ...]
    chunks: int


@dataclass(slots=True)
class Advices:
    """Advices of offline sales that were taken from a terminal.

    Attributes:
        day: local day on which.
        count: how many.
    """

    day: int
    count: int


@dataclass(slots=True)
class Opening:
    """An opening balance that was posted."""

    amount: int


@dataclass(slots=True)
class Calendar:
    """The operator's calendar.

    Attributes:
        date: the open business date.
        cutoff_minutes: minutes after local midnight of the date at which it closes; 1440 is
            midnight at its end.
        zone: IANA name of the operator's time zone.
        batch_days: days after which an open batch is retired.
        offline_days: how many days old an advice of an offline sale may be.
        offline_daily: such advices of a terminal that are taken on a day.
    """

    date: int
    cutoff_minutes: int
    zone: str
    batch_days: int
    offline_days: int
    offline_daily: int


NO_HOT_CARDS: Final = HotCards(0, ())
NO_UNDO: Final = Undo(0, 0, 0)
NO_POINTS: Final = Points((), (), (), 0, ())
NO_VALUE: Final = Value(0, 0, "", (), 0)
NO_KEYS: Final = Keys(0, False, 0, 0)
FIRST_LINK: Final = Link(1)
NEW_BATCH: Final = Batch("open", 0, 0, (), (), 999_999, 0, 0)
CALENDAR: Final = schema.named(schema.CALENDAR, "calendar")

codec.register_plain(schema.IDENTITY)
codec.register(schema.UNDO, Undo)
codec.register(schema.MEMBER, Member)
codec.register(schema.ALIAS, Alias, sealed=("sealed",))
codec.register(schema.REPLACEMENT, Replacement)
codec.register(schema.POINTS, Points)
codec.register(schema.LOTS, Chunk)
codec.register(schema.VALUE, Value)
codec.register(schema.PROGRAM, Program)
codec.register(schema.INSTITUTION, Institution)
codec.register(schema.MERCHANT, Merchant)
codec.register(schema.STORE, Store)
codec.register(schema.PLACED, Placed)
codec.register(schema.TERMINAL, Terminal, sealed=("tmk",))
codec.register(schema.KEYS, Keys)
codec.register(schema.OPERATOR, Operator)
codec.register(schema.HOT_CARDS, HotCards)
codec.register(schema.PARAMETERS, Parameters)
codec.register(schema.BATCH, Batch)
codec.register(schema.LINK, Link)
codec.register(schema.OPENING, Opening)
codec.register(schema.SITE, Site)
codec.register(schema.OFFLINE, Advices)
codec.register(schema.CALENDAR, Calendar)
codec.register(schema.UPLOAD, Upload)
codec.register(schema.RATE, Rates)
codec.register(schema.SEQUEL, Sequel)
codec.register(schema.TRANSIT, Transit)
