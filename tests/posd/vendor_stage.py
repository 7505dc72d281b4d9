"""What the worked examples of `vendor_examples` are made of: a stage, sections, and messages.

`ROWS` is section 4 of the protocol as a table; `test_vendor_examples` finds the rows of which no
example is approved, and of which a way to undo it is not shown.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine import codes, lotteries
from engine.codes import Codes
from engine.rules import desks, gifts, products, recharge, reference, rewards
from engine.rules.exchange import PutRate
from engine.rules.lotteries import PutLottery
from engine.vault import operator_owner
from posd.iso8583.tlv import parse_tlv
from tests.engine.house import whole_terms
from tests.posd.conversation import MERCHANT, OTHER_MERCHANT, Conversation
from tests.scenarios.coupons import campaign

GIFT_CARD = "6212340000000003"
INACTIVE_CARD = "6212340000000019"
LOST_CARD = "6222020000000000067"
LOST_IDENTITY = "110105199001010017"
REPLACING_CARD = "6222020000000000075"
UNKNOWN_CARD = "6222020000000000059"
OPERATOR_PIN = "777777"
ZEROS = "0000000000000"
SALE = "0200 3=220065 2={card} 4=000000012345 49=156"
SPEND = "0200 3=006500 2={card} 4=000000001000 49=P01"
USE = "0200 3=900000 4=000000006000 49=156"


class Example(NamedTuple):
    """What a till says, the response code, and the word that its RRN is kept under.

    A coupon code of the reply is kept under the word with `_code` behind it, its PIN with `_pin`.
    `brief` shows the bytes alone, for messages that differ little from those before.
    """

    title: str
    said: str
    code: str = "00"
    keep: str = ""
    brief: bool = False


class Note(NamedTuple):
    """A paragraph, above the example that follows."""

    text: str


Step = Callable[[Conversation], None]
"""Something that happens in between and is no message."""


class Section(NamedTuple):
    """A part of the page: its heading, what is said first, and the terminal that talks."""

    title: str
    head: str
    steps: tuple[Example | Note | Step, ...]
    terminal: str = "00000001"


class Row(NamedTuple):
    """A line of section 4: what its messages look like, and how they may be undone.

    Attributes:
        functions: field 3, or its beginning; empty for none.
        codes: 60.3, where that tells them apart.
        tag: an element of field 48 that they have, or, behind ``!``, have not.
        undo: of R (reversal), V (void), F (refund).
    """

    transaction: str
    mti: str
    functions: tuple[str, ...]
    codes: tuple[str, ...] = ()
    tag: str = ""
    undo: str = ""


ROWS = (
    Row("sign-on", "080", ("",), ("001", "003", "004", "005")),
    Row("parameter download", "080", ("",), ("360",)),
    Row("sign-off", "082", ("",), ("002",)),
    Row("echo", "082", ("",), ("301",)),
    Row("balance of all units", "010", ("310000",)),
    Row("balance of points", "010", ("310065",)),
    Row("balance of stored value", "010", ("310060",)),
    Row("rate inquiry", "010", ("320000",)),
    Row("day totals of the terminal", "010", ("380000",)),
    Row("day totals of the merchant", "010", ("380001",)),
    Row("coupon inquiry", "010", ("390000",)),
    Row("hold of points", "010", ("036500",), undo="R"),
    Row("hold of stored value", "010", ("036000",), undo="R"),
    Row("release of a hold", "010", ("200000",)),
    Row("accrual", "020", ("220065",), tag="!1E", undo="RVF"),
    Row("accrual without a purchase", "020", ("220065",), tag="1E", undo="RVF"),
    Row("redemption", "020", ("006500",), undo="RVF"),
    Row("stored-value purchase", "020", ("006000",), undo="RVF"),
    Row("top-up of points", "020", ("210065",), tag="!12", undo="RV"),
    Row("top-up by a recharge card", "020", ("210065",), tag="12", undo="RV"),
    Row("top-up of stored value", "020", ("210060",), undo="RV"),
    Row("points to stored value", "020", ("406560",), undo="RV"),
    Row("points exchange", "020", ("406565",), tag="49", undo="RV"),
    Row("transfer to another member", "020", ("406565",), tag="11", undo="RV"),
    Row("coupon issue (claim)", "020", ("910000",), undo="RV"),
    Row("coupon redemption", "020", ("900000",), undo="RVF"),
    Row("coupon transfer", "020", ("920000",), undo="RV"),
    Row("gift exchange", "020", ("936500",), undo="RV"),
    Row("lottery draw", "020", ("946500",), undo="R"),
    Row("void", "020", ("200000",), undo="R"),
    Row("refund", "022", ("200000",)),
    Row("capture of held points", "022", ("006500",), undo="RVF"),
    Row("capture of held value", "022", ("006000",), undo="RVF"),
    Row("offline accrual advice", "022", ("220065",)),
    Row("reversal", "040", ("",)),
    Row("batch settlement", "050", ("",)),
    Row("batch upload, an item", "032", ("",), ("201",)),
    Row("batch upload, the end", "032", ("",), ("207",)),
    Row("loss report", "060", ("960000",)),
    Row("card replacement", "060", ("970000",)),
    Row("enrolment", "060", ("980000",)),
    Row("PIN change", "060", ("990000",)),
)


# The stage.


def stage() -> Conversation:
    """A host with everything that the examples name."""
    talk = Conversation()
    talk.words |= {"gift": GIFT_CARD, "lost": LOST_CARD, "lost_identity": LOST_IDENTITY}
    talk.words |= {"inactive": INACTIVE_CARD, "replacing": REPLACING_CARD}
    _programs(talk)
    _cards(talk)
    _campaigns(talk)
    _downloads(talk, "2026.02")
    _operators(talk)
    return talk


def _programs(talk: Conversation) -> None:
    talk.administer(
        reference.PutProgram("P02", "里程", 300, "none", True, "expire", 0, "negative", False)
    )
    talk.administer(PutRate("P01", "P02", 20260101, (1, 3), ""))
    for code, points, other in (("SIGNIN", 5, 0), ("REFERRAL", 100, 50)):
        talk.administer(rewards.PutReason("P01", code, points, (0, 1), 0, "", 0, 99991231, other))
    talk.administer(reference.OpeningBalance("M2", "P01", 2000, 20271231))


def _cards(talk: Conversation) -> None:
    vault = talk.vault
    talk.administer(
        products.PutCardProduct(
            "GIFT", "Gift", False, True, 100_000, "none", True, True, "top-up", 5000, "621234", 16
        )
    )
    talk.administer(products.OpenCardBatch("B1", "GIFT", 2))
    digests = [vault.token_digest("C", card) for card in (GIFT_CARD, INACTIVE_CARD)]
    made = tuple((digest, b"sealed") for digest in digests)
    talk.administer(products.IssueCards("B1", 1, made))
    talk.administer(products.MoveCards("B1", 1, 2, "distributed"))
    tokens = tuple(
        (kind, vault.token_digest(kind, text))
        for kind, text in (("C", LOST_CARD), ("I", LOST_IDENTITY))
    )
    sealed = (vault.seal_token("C", LOST_CARD)[1], b"sealed")
    talk.administer(reference.PutMember("M3", "base", "active", b"", tokens, sealed))
    talk.administer(recharge.OpenRecharge("R1", 9, 20, vault.key_id, "P01", 500, 20271231))
    talk.administer(recharge.MoveRecharge("R1", 1, 9, "sold", MERCHANT, 500))
    talk.administer(recharge.MoveRecharge("R1", 1, 9, "active", "", 0))
    scratch = Codes(vault, 20, codes.RECHARGE).make(1, 1, 9)
    talk.words |= {f"scratch{number}": code for number, code in enumerate(scratch, 1)}


def _campaigns(talk: Conversation) -> None:
    for line in (
        f"SPRING amount_off title 立减 face 10 min-sale 50 stacking any funders {MERCHANT}=1/1",
        "PAID points title 积分换券 face 10.00 points 500 program P01 pin",
        "CASH voucher title 代金券 face 100.00 stacking any",
        "BEER gift title 赠啤酒 face 12.00",
        "ONCE amount_off face 10.00 min-sale 50.00 per-member 1",
        "PAST amount_off face 10.00 to 2026-02-01",
        "NEXT amount_off face 10.00 from 2026-12-01",
        "LAST amount_off face 10.00 quantity 1",
    ):
        talk.administer(campaign(line.split()))
    talk.administer(
        gifts.PutGift("MUG", "杯子", MERCHANT, "P01", ((20260101, 200, 150),), 9, 9, True)
    )
    sealed, seed_hash = lotteries.seal_seed(talk.vault, "SPIN", bytes(32))
    prizes = (("CUP", "Cup", (1, 4), 1, 0, 900), ("P50", "Points", (3, 4), -1, 50, 50))
    talk.administer(
        PutLottery(
            "SPIN", "抽奖", "P01", 100, 20260101, 20261231, prizes, True, 0, True, sealed, seed_hash
        )
    )


def _downloads(talk: Conversation, version: str) -> None:
    entries = (
        ("RECEIPT.HEAD", "湖边酒店 欢迎光临"),
        ("RECEIPT.FOOT", "积分有效期两年, 详见会员中心"),
        ("REVERSAL.SECONDS", "30"),
        *((f"MENU.{n:02}", f"菜单 {n:02} " + "·" * 20) for n in range(1, 13)),
    )
    talk.administer(desks.PutParameters("any", "", version, "4.0", entries))


def new_parameters(talk: Conversation) -> None:
    """The operator has changed what terminals show."""
    _downloads(talk, "2026.03")


def _operators(talk: Conversation) -> None:
    row = talk.host.standing("00000008").merchant
    terms = ((20260101, "P01", (1, 1), (1, 1), (95, 100), 6, 0, 0, 0, False),)
    rows = whole_terms(terms)
    names = list(row.terms[0].__dataclass_fields__)
    last = dict(zip(names, rows[0], strict=True)) | {"refund_pin_above": 10_000}
    talk.administer(
        reference.PutMerchant(
            OTHER_MERCHANT, row.name, "HB01", "7011", (tuple(last.values()),), True, True
        )
    )
    for name, role, pin in (("001", "cashier", "1111"), ("007", "supervisor", OPERATOR_PIN)):
        digest = talk.vault.pin_digest(operator_owner(OTHER_MERCHANT, name), pin)
        talk.administer(desks.PutOperator(OTHER_MERCHANT, name, name, digest, role, True))


def supervisor(talk: Conversation) -> None:
    """The supervisor enters the PIN."""
    talk.words["block"] = talk.pin_block(OPERATOR_PIN, ZEROS).hex().upper()


def totals(talk: Conversation) -> None:
    """The till knows its totals: those that the inquiry just told."""
    told = parse_tlv(talk.reply.fields[48], repeats_allowed=True)
    talk.words["totals"] = ",".join(f"{tag}:{value.decode()}" for tag, value in told)
