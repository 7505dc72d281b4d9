"""What a till asks for: a request before it has an identity, and how it counts once approved.

A `Request` holds the fields that the cashier and the customer decide; the terminal adds who it is,
STAN, batch, PIN block and MAC when it sends it (`tools.terminal`). The functions here make the
requests for which a terminal has no method of its own. The sets at the head say of each kind what
becomes of it when no answer comes, and what an approval moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from posd.iso8583.tlv import build_tlv
from tools.till_books import Movement, Posted, Presented
from tools.till_replies import MONEY

RECORDED: Final = "recorded"
"""Kind of a request that another terminal sent before, in a recorded run; it enters no books."""

HARMLESS: Final = frozenset(
    {
        "sign-on",
        "sign-off",
        "echo",
        "download",
        "balance",
        "statement",
        "coupon inquiry",
        "rate",
        "day totals",
    }
)
"""What is simply forgotten when no answer comes."""
SALES: Final = frozenset(
    {
        "accrual",
        "reward",
        "referral",
        "advice",
        "redemption",
        "top-up",
        "recharge",
        "purchase",
        "conversion",
        "exchange",
        "transfer",
        "hold",
        "capture",
        "coupon claim",
        "coupon use",
        "coupon transfer",
        "gift",
        "lottery draw",
    }
)
"""What moves points or value of a member, or sets them aside."""
GIVING: Final = frozenset({"accrual", "reward", "referral", "advice", "top-up", "recharge"})
"""What gives them to the member."""
REVERSIBLE: Final = (SALES - {"advice"}) | {"void"}
"""What the protocol lets a 0400 undo; anything else is repeated."""
UNVOIDABLE: Final = frozenset({"advice", "lottery draw"})
"""What moves something, and no void undoes."""
REFUNDABLE: Final = frozenset({"accrual", "reward", "redemption", "purchase", "capture"})
"""What may be given back in parts."""
WITH_PIN: Final = frozenset(
    {
        "accrual",
        "redemption",
        "purchase",
        "conversion",
        "exchange",
        "transfer",
        "hold",
        "coupon claim",
        "gift",
        "lottery draw",
        "balance",
        "statement",
        "PIN change",
        RECORDED,
    }
)
"""What a PIN may come with."""

_VALUE_FUNCTIONS: Final = frozenset({"210060", "006000", "036000"})
FEN_PER_YUAN: Final = 100
NOBODY: Final = Presented("")
"""Who brings a coupon need not be known."""


@dataclass(slots=True, repr=False)
class Request:
    """A request that is made once and may be sent several times.

    Attributes:
        kind: Name of the transaction.
        mti: Message type of the first sending.
        body: Fields without 11, 41, 42, 60, PIN and MAC.
        presented: The customer, if there is one.
        original: The transaction that a void or refund is about.
        code: Network code, 60.3.
        stan, batch: The identity under which it was sent; 0 before the first sending.
        sendings: How often it was sent under this identity.
        retries: How often it was sent anew after 77, A0 or 94.
        unseen: Business fields of a reply that was lost on purpose.
        also: What an approval moves besides what its reply tells.
        redeemer: At whom points are spent, where that is not the terminal's merchant.
        coupon: The code that is used or given away.
    """

    kind: str
    mti: str
    body: dict[int, Any]
    presented: Presented | None = None
    original: Posted | None = None
    code: str = "000"
    stan: int = 0
    batch: int = 0
    sendings: int = 0
    retries: int = 0
    unseen: dict[int, Any] | None = None
    also: tuple[Movement, ...] = ()
    redeemer: str = ""
    coupon: str = ""


def of_value(body: dict[int, Any]) -> bool:
    """True for what moves stored value: its reply tells no points."""
    return body.get(3) in _VALUE_FUNCTIONS


def named(body: dict[int, Any], presented: Presented) -> dict[int, Any]:
    """Add what names the member, entry mode and condition code to a request's fields."""
    if presented.card:
        body[2] = presented.card
    if presented.track:
        body[35] = presented.track
    if presented.phone:
        body[48] = body.get(48, b"") + build_tlv([("10", f"P{presented.phone}".encode("ascii"))])
    mode = ("02" if presented.track else "01") + ("1" if presented.pin else "2")
    return body | {22: mode, 25: "00"}


# What the terminal has no method for.


def value_hold(presented: Presented, fen: int) -> Request:
    """0100: set stored value aside."""
    body = named({3: "036000", 4: f"{fen:012d}", 49: MONEY}, presented)
    return Request("hold", "0100", body, presented)


def conversion(presented: Presented, unit: str, points: int, points_per_yuan: int) -> Request:
    """0200: points become stored value; what a point is worth the till has to know."""
    body = named({3: "406560", 4: f"{points:012d}", 49: unit}, presented)
    fen = points * FEN_PER_YUAN // points_per_yuan
    also = (Movement(presented.member, MONEY, fen, "C"),)
    return Request("conversion", "0200", body, presented, also=also)


def exchange(presented: Presented, unit: str, points: int, target: str) -> Request:
    """0200: points of one program become points of another; the reply tells how many."""
    told = build_tlv([("49", target.encode("ascii"))])
    body = named({3: "406565", 4: f"{points:012d}", 48: told, 49: unit}, presented)
    return Request("exchange", "0200", body, presented)


def transfer(presented: Presented, other: Presented, unit: str, points: int) -> Request:
    """0200: points for another member, who is named by card."""
    told = build_tlv([("11", f"C{other.card}".encode("ascii"))])
    body = named({3: "406565", 4: f"{points:012d}", 48: told, 49: unit}, presented)
    also = (Movement(other.member, unit, points, ""),)
    return Request("transfer", "0200", body, presented, also=also)


def recharge(presented: Presented, unit: str, code: str, amount: int) -> Request:
    """0200: a top-up that a recharge card of `unit` pays for.

    `amount` is what the till takes the card for; 0 says nothing, and only of points, since no
    reply tells what stored value was loaded.
    """
    body = {3: "210060" if unit == MONEY else "210065", 49: unit}
    told = {4: f"{amount:012d}"} if amount else {}
    named_card = {48: build_tlv([("12", code.encode("ascii"))])}
    return Request("recharge", "0200", named(body | told | named_card, presented), presented)


def reward(presented: Presented, code: str, fen: int) -> Request:
    """0200: points for something else than a sale."""
    told = build_tlv([("1E", code.encode("ascii"))])
    body = named({3: "220065", 4: f"{fen:012d}", 48: told, 49: MONEY}, presented)
    return Request("reward", "0200", body, presented)


def referral(presented: Presented, other: Presented, code: str, unit: str, points: int) -> Request:
    """0200: points for who brought somebody along, and `points` of `unit` for the other."""
    told = build_tlv([("11", f"C{other.card}".encode("ascii")), ("1E", code.encode("ascii"))])
    body = named({3: "220065", 4: f"{0:012d}", 48: told, 49: MONEY}, presented)
    also = (Movement(other.member, unit, points, ""),)
    return Request("referral", "0200", body, presented, also=also)


def coupon_claim(presented: Presented, campaign: str) -> Request:
    """0200: a coupon, free or for points; the reply tells its code."""
    body = named({3: "910000", 48: build_tlv([("14", campaign.encode("ascii"))])}, presented)
    return Request("coupon claim", "0200", body, presented, redeemer=campaign)


def coupon_use(code: str, fen: int) -> Request:
    """0200: a coupon of whoever brings it, taken off a sale."""
    told = build_tlv([("12", code.encode("ascii"))])
    body = named({3: "900000", 4: f"{fen:012d}", 48: told, 49: MONEY}, NOBODY)
    return Request("coupon use", "0200", body, NOBODY, coupon=code)


def coupon_transfer(code: str, other: Presented) -> Request:
    """0200: a coupon for another member, under a new code that the reply tells."""
    told = build_tlv([("12", code.encode("ascii")), ("11", f"C{other.card}".encode("ascii"))])
    body = named({3: "920000", 48: told}, NOBODY)
    return Request("coupon transfer", "0200", body, NOBODY, coupon=code)


def coupon_inquiry(code: str, fen: int) -> Request:
    """0100: what a coupon would take off a sale."""
    told = build_tlv([("12", code.encode("ascii"))])
    return Request("coupon inquiry", "0100", {3: "390000", 4: f"{fen:012d}", 48: told, 49: MONEY})


def gift(presented: Presented, sku: str, owner: str, pieces: int) -> Request:
    """0200: points for a thing; `owner` is the merchant that supplies it."""
    told = build_tlv([("16", sku.encode("ascii")), ("15", b"%d" % pieces)])
    body = named({3: "936500", 48: told}, presented)
    return Request("gift", "0200", body, presented, redeemer=owner)


def lottery_draw(presented: Presented, lottery: str) -> Request:
    """0200: a draw for points; the reply tells the prize, and points where it has any."""
    body = named({3: "946500", 48: build_tlv([("14", lottery.encode("ascii"))])}, presented)
    return Request("lottery draw", "0200", body, presented, redeemer=lottery)


def loss_report(presented: Presented) -> Request:
    """0600: the card is lost."""
    return Request("loss report", "0600", named({3: "960000"}, presented), presented)


def pin_change(presented: Presented) -> Request:
    """0600: a new PIN, which is the old one, so that the customer still knows it."""
    body = named({3: "990000", 62: b""}, presented)
    return Request("PIN change", "0600", body, presented)


def statement(presented: Presented) -> Request:
    """0100: what a member has, and the last five transactions."""
    return Request("statement", "0100", named({3: "310000"}, presented), presented)


def rate(unit: str, target: str) -> Request:
    """0100: at which rate points are exchanged."""
    told = build_tlv([("49", target.encode("ascii"))])
    return Request("rate", "0100", {3: "320000", 48: told, 49: unit})


def day_totals(*, merchant: bool) -> Request:
    """0100: what the terminal, or all terminals of its merchant, posted today."""
    return Request("day totals", "0100", {3: "380001" if merchant else "380000"})


def download(block: int = 1) -> Request:
    """0800: a block of the terminal's parameters."""
    return Request("download", "0800", {62: f"{block:04d}".encode("ascii")}, code="360")


def sign_off() -> Request:
    """0820: the till is left."""
    return Request("sign-off", "0820", {}, code="002")
