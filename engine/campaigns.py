"""Campaigns and coupons: their records, and what a coupon is worth on a sale.

A *campaign* says what its coupons are good for; it is versioned, and a coupon keeps the version
under which it came to life as far as the customer's rights go (`rights_of`): worth, conditions,
places and times of use, what a refund restores. What the operator alone is concerned with — state,
budget, funders, what may stand together — is always that of the newest version.

A *coupon* has a row from its first touch on: a claim, an import, or the first use of a code that
was produced in a batch. `worth` is what it takes off a sale, in whole fen, never more than the sale
and never more than what is left of it. Times of campaigns are local: YYYYMMDDhhmm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from engine.draft import Draft, amended
from engine.records import CALENDAR, Calendar, Ratio
from engine.rounding import divided, floor_ratio
from engine.terms import add_days, day_number, local_ms
from ledger import codec, schema

KINDS: Final = (
    "amount_off",
    "percent_off",
    "voucher",
    "pickup",
    "special_price",
    "gift",
    "buy_x_get_y",
    "session",
    "vip",
    "trial",
    "points",
    "shared",
)
"""Kinds of campaigns; `worth` says what each takes off a sale."""

STATES: Final = ("draft", "approved", "live", "offline")
REFUND_RULES: Final = ("restore", "parts", "never", "reissue")
STACKING: Final = ("alone", "others", "any")
UNLIMITED: Final = -1
"""`uses_left` of a coupon that may be used until it expires."""

MINUTES: Final = 10_000
"""A local time YYYYMMDDhhmm is a day times this, plus hhmm."""
LAST_MINUTE: Final = 2359

OPERATOR: Final = "operator"
FREE_KINDS: Final = frozenset({"pickup", "gift", "session", "vip", "trial"})
"""Kinds that may be used without a sale."""
OPEN_KINDS: Final = frozenset({"vip", "shared"})
"""Kinds whose coupons do not wear out."""

Slot: TypeAlias = tuple[int, int, int]
"""A local day YYYYMMDD, and the first and last minute as hhmm."""


@dataclass(slots=True)
class Campaign:
    """A campaign, one version of it.

    Attributes:
        id, title: for the operator, and for receipts.
        kind: one of `KINDS`.
        state: one of `STATES`.
        start, end: first and last local minute in which it is claimed, and used where its coupons
            have no time of their own.
        until: last local day of use of all its coupons; 0 for the day of `end`.
        days: how many days after its claim a coupon can be used, in place of `until`; -1 for that.
        since: first local day of use; 0 for that of the claim.
        face: fen that one use takes off, or that a voucher holds; 0 for the whole sale.
        percent: the part of the sale that is taken off.
        cap: most fen that one use takes off; 0 for no limit.
        price: fen that the customer pays under ``special_price``.
        buy, free: of `buy` + `free` pieces, `free` cost nothing.
        uses: how often a coupon can be used.
        quantity, per_member, per_day: most coupons in all, of a member, on a local day; 0 for none.
        budget: most fen that all uses together take off; 0 for no limit.
        min_sale: least sale, fen.
        merchants, categories, institutions: where it is used, any of them; all empty for anywhere.
        weekdays: 1 Monday to 7 Sunday, empty for all; hours: pairs of hhmm; slots: of a session.
        funders: parties and their parts; the operator pays for what is left.
        points, program: points that a coupon costs, and the program of those and of the bonus.
        sold: fen for which merchants sell a coupon at its claim; 0 for free.
        bonus: points that a member gets for a use.
        transferable: whether a coupon may be given to another member.
        bound: whether the holder has to be named when it is used.
        pin: whether a use asks for the coupon's PIN.
        stacking: which coupons may be on the same receipt: none, those of ``others``, or ``any``.
        excludes: campaigns that may not.
        refund: what a refund of the sale does with the use, one of `REFUND_RULES`.
        grace: days that a coupon lasts that a refund gives back after its expiry, for ``reissue``.
        forfeit: who gets what was paid for a coupon that expires: ``breakage`` or ``funders``.
        approvals: how many persons have to approve it.
        approved_by: who has.
        version: counts what the operator said about it, from 1.
        revision: counts the changes of this record, from 1.
    """

    id: str
    title: str
    kind: str
    start: int
    end: int
    until: int
    days: int
    since: int
    face: int
    percent: Ratio
    cap: int
    price: int
    buy: int
    free: int
    uses: int
    quantity: int
    per_member: int
    per_day: int
    budget: int
    min_sale: int
    merchants: tuple[str, ...]
    categories: tuple[str, ...]
    institutions: tuple[str, ...]
    weekdays: tuple[int, ...]
    hours: tuple[tuple[int, int], ...]
    slots: tuple[Slot, ...]
    funders: tuple[tuple[str, Ratio], ...]
    points: int
    program: str
    sold: int
    bonus: int
    transferable: bool
    bound: bool
    pin: bool
    stacking: str
    excludes: tuple[str, ...]
    refund: str
    grace: int
    forfeit: str
    approvals: int
    state: str
    approved_by: tuple[str, ...]
    version: int
    revision: int


@dataclass(slots=True)
class Coupon:
    """A coupon that has been touched.

    Attributes:
        campaign, version: whose, and under which version its rights are.
        holder: the member that it was claimed by or transferred to; empty for a bearer's.
        state: ``live``, ``used``, ``expired``, ``locked`` (wrong PINs) or ``void`` (claim undone,
            or another code has taken its place).
        since, until: first local minute YYYYMMDDhhmm and last local day of use.
        uses_left: `UNLIMITED`, or how often it can still be used; value_left: fen of a voucher.
        cost: fen that were paid for it, in money or points, and money: what of it is still in
            ``Voucher``.
        code: the code, sealed under the key file; empty where it follows from batch and serial.
        batch, serial: of a produced code; 0 for others.
        failures: wrong PINs in a row.
        claimed: entry in which it came to life; 0 for a code that met nothing but wrong PINs.
        used, used_at, used_by, used_on: entry, time in ms, merchant and terminal of the last use.
        successor: digest of the code that took its place, empty for none.
    """

    campaign: str
    version: int
    holder: str
    state: str
    since: int
    until: int
    uses_left: int
    value_left: int
    cost: int
    money: int
    code: bytes
    batch: int
    serial: int
    failures: int
    claimed: int
    used: int
    used_at: int
    used_by: str
    used_on: str
    successor: bytes


@dataclass(slots=True)
class CodeBatch:
    """Codes that were produced, or imported, together.

    Attributes:
        campaign: whose.
        count: how many; their serial numbers begin with 1.
        length: digits of a code.
        key: name of the key under which they are made.
        imported: True for foreign codes, of which each has its own row.
    """

    campaign: str
    count: int
    length: int
    key: str
    imported: bool


@dataclass(slots=True)
class Effect:
    """What has come of a campaign so far.

    Attributes:
        issued: coupons that came to life; claimed: those that a member claimed.
        used, restored: uses, and uses that were undone or refunded.
        expired: coupons whose time was over before they were used up.
        discount, sales: fen taken off, of sales of how many fen; what was undone is taken off.
        day: local day YYYYMMDD of `issued_today`, coupons that came to life on it.
    """

    issued: int
    claimed: int
    used: int
    restored: int
    expired: int
    discount: int
    sales: int
    day: int
    issued_today: int


@dataclass(slots=True)
class Inquired:
    """How often coupons of a campaign were asked about, as far as that is noted."""

    count: int


@dataclass(slots=True)
class Taken:
    """How many coupons of a campaign a member has taken."""

    count: int


@dataclass(slots=True)
class Receipt:
    """The coupons that were used on one receipt of a merchant.

    Attributes:
        day: local day YYYYMMDD.
        uses: campaign and entry of each.
    """

    day: int
    uses: tuple[tuple[str, int], ...]


NO_EFFECT = Effect(0, 0, 0, 0, 0, 0, 0, 0, 0)

codec.register(schema.CAMPAIGN, Campaign)
codec.register(schema.COUPON, Coupon, sealed=("code",))
codec.register(schema.CODES, CodeBatch)
codec.register(schema.EFFECT, Effect)
codec.register(schema.INQUIRED, Inquired)
codec.register(schema.TAKEN, Taken)
codec.register(schema.RECEIPT, Receipt)


# Finding.


def campaign_of(draft: Draft, name: str) -> Campaign | None:
    """The newest version of a campaign."""
    found: Campaign | None = draft.newest(schema.named(schema.CAMPAIGN, name))
    return found


def rights_of(draft: Draft, campaign: Campaign, version: int) -> Campaign:
    """The version of a campaign under which a coupon's rights are."""
    if version == campaign.version:
        return campaign
    found: Campaign = draft.read(schema.campaign_version(campaign.id, version))
    return found


def effect_of(draft: Draft, campaign: str) -> Effect:
    """What has come of a campaign so far."""
    found: Effect | None = draft.newest(schema.named(schema.EFFECT, campaign))
    return found or NO_EFFECT


def count(draft: Draft, campaign: str, **steps: int) -> None:
    """Count what has come of a campaign; coupons come to life on the local day `today`."""
    effect = effect_of(draft, campaign)
    changes = {name: getattr(effect, name) + step for name, step in steps.items()}
    issued = steps.get("issued", 0)
    if issued:
        today = effect.issued_today if effect.day == draft.today else 0
        changes |= {"day": draft.today, "issued_today": today + issued}
    draft.rows[schema.named(schema.EFFECT, campaign)] = amended(effect, **changes)


def inquired(read: Callable[[bytes], Any], campaign: str) -> int:
    """How often coupons of a campaign were asked about so far."""
    row: Inquired | None = read(schema.named(schema.INQUIRED, campaign))
    return row.count if row is not None else 0


def taken(draft: Draft, campaign: str, member: str) -> int:
    """How many coupons of a campaign a member has taken."""
    row: Taken | None = draft.newest(schema.taken(campaign, member))
    return row.count if row is not None else 0


# Times.


def local_minute(draft: Draft) -> int:
    """The local time of a command, YYYYMMDDhhmm."""
    calendar: Calendar | None = draft.read(CALENDAR)
    zone = calendar.zone if calendar is not None else "Asia/Shanghai"
    minutes = (draft.at - local_ms(draft.today, 0, zone)) // 60_000
    return draft.today * MINUTES + minutes // 60 * 100 + minutes % 60


def last_day(campaign: Campaign, today: int) -> int:
    """The last day of use of a coupon that comes to life today."""
    if campaign.days >= 0:
        return add_days(max(today, campaign.since), campaign.days)
    if campaign.until:
        return campaign.until
    return campaign.end // MINUTES


def open_now(campaign: Campaign, now: int) -> bool:
    """Whether a campaign's days of the week and hours let a coupon be used at a local minute."""
    if campaign.weekdays:
        weekday = day_number(now // MINUTES).isoweekday()
        if weekday not in campaign.weekdays:
            return False
    if campaign.hours:
        clock = now % MINUTES
        return any(begin <= clock <= end for begin, end in campaign.hours)
    return True


def slot_of(campaign: Campaign, now: int) -> str:
    """How a local minute lies to the slots of a session: ``early``, ``now``, ``between``, ``over``.

    A campaign without slots is always now.
    """
    if not campaign.slots:
        return "now"
    spans = [(day * MINUTES + begin, day * MINUTES + end) for day, begin, end in campaign.slots]
    if any(begin <= now <= end for begin, end in spans):
        return "now"
    if now < min(begin for begin, _ in spans):
        return "early"
    return "over" if now > max(end for _, end in spans) else "between"


# Worth.


def worth(campaign: Campaign, coupon: Coupon, sale: int, quantity: int) -> int:
    """Fen that a use takes off a sale: from 0 to the sale, and to what is left of a voucher.

    Args:
        campaign: the version under which the coupon's rights are.
        coupon: of a voucher, what is left counts.
        sale: fen.
        quantity: pieces that the sale is for; 0 where the message does not say.
    """
    off = _off(campaign, coupon, sale, quantity)
    if campaign.cap:
        off = min(off, campaign.cap)
    return max(0, min(off, sale))


def _off(campaign: Campaign, coupon: Coupon, sale: int, quantity: int) -> int:
    kind = campaign.kind
    if kind == "voucher":
        return coupon.value_left
    if kind == "special_price":
        return sale - campaign.price
    if kind == "gift":
        return 0
    if kind == "buy_x_get_y":
        group = campaign.buy + campaign.free
        pieces = quantity // group * campaign.free
        return sale * pieces // quantity if quantity else 0
    if campaign.percent[0]:
        return floor_ratio(sale, campaign.percent)
    if kind in FREE_KINDS and not campaign.face:
        return sale
    return campaign.face


def cost_of_use(campaign: Campaign, discount: int) -> int:
    """Fen that funders pay the merchant for a use: the discount, or the worth of a gift."""
    return campaign.face if campaign.kind == "gift" else discount


def funded(campaign: Campaign, amount: int) -> list[tuple[str, int]]:
    """An amount divided among the funders of a campaign; shares of 0 are left out.

    What the parties owe together is rounded down, and divided among them by largest remainder,
    ties by party id; the operator takes what is left.
    """
    shares = divided(amount, [row for row in campaign.funders if row[0] != OPERATOR])
    left = amount - sum([part for _, part in shares])
    if left:
        shares.append((OPERATOR, left))
    return shares


def released(coupon: Coupon, campaign: Campaign, discount: int) -> int:
    """Fen of what was paid for a coupon that a use releases from ``Voucher``.

    Of a voucher in proportion to the face, else to the uses, so that the last releases the rest; of
    a coupon that does not wear out, as much as the use takes off.
    """
    if not coupon.money:
        return 0
    if campaign.kind == "voucher":
        left, whole = coupon.value_left - discount, campaign.face
    elif coupon.uses_left == UNLIMITED:
        return min(coupon.money, discount)
    else:
        left, whole = coupon.uses_left - 1, campaign.uses
    stays = coupon.cost - coupon.cost * (whole - left) // whole
    return max(0, coupon.money - stays)


def status_of(coupon: Coupon, today: int, now: int) -> str:
    """A coupon's status as terminals are told: live, used, expired, early, void or locked."""
    if coupon.state != "live":
        return coupon.state
    if coupon.until < today:
        return "expired"
    return "early" if now < coupon.since else "live"


def left_of(campaign: Campaign, coupon: Coupon) -> int:
    """Uses left, or fen of a voucher; `UNLIMITED` for no bound."""
    return coupon.value_left if campaign.kind == "voucher" else coupon.uses_left


def new_worth(campaign: Campaign) -> tuple[int, int]:
    """Uses and value left of a coupon that is not used yet."""
    uses = UNLIMITED if campaign.kind in OPEN_KINDS else campaign.uses
    return uses, campaign.face if campaign.kind == "voucher" else 0


def new_coupon(campaign: Campaign, draft: Draft, **said: Any) -> Coupon:
    """A coupon of a campaign as it is before anything has come of it."""
    uses, value = new_worth(campaign)
    coupon = Coupon(
        campaign.id,
        campaign.version,
        "",
        "live",
        max(campaign.start, campaign.since * MINUTES),
        last_day(campaign, draft.today),
        uses,
        value,
        0,
        0,
        b"",
        0,
        0,
        0,
        0,
        0,
        0,
        "",
        "",
        b"",
    )
    found: Coupon = amended(coupon, **said)
    return found
