"""The days of the tills in the worked examples: sections of messages, for `vendor_examples`."""

from tests.posd.vendor_stage import (
    SALE,
    SPEND,
    USE,
    Example,
    Note,
    Section,
    new_parameters,
    supervisor,
    totals,
)
from tests.posd.vendor_undo import EACH

# What the tills say.

LINE = Section(
    "The line: sign-on, downloads, echo",
    "A terminal begins with a sign-on, which brings its keys and its batch number. The header's\n"
    "processing request (byte 9 of the frame, its low digit) tells what waits for it.",
    (
        Example("Sign-on: keys under the master key", "0800 code=001 mac=master"),
        Example("Echo, for the line alone", "0820 code=301"),
        Example("Download of parameters, the first block", "0800 code=360 62=0001"),
        Example("… and the last", "0800 code=360 62=0002"),
        new_parameters,
        Example(
            "Sign-on that tells versions: the header of the reply says that parameters wait",
            "0800 code=005 mac=master 48=1C:4.0,1D:00000000-0",
        ),
    ),
)

POINTS = Section(
    "Points",
    "",
    (
        Example("Accrual: a sale of 123.45 yuan", f"{SALE} stan=500", keep="sale"),
        Example(
            "The same again, for want of the reply: MTI 0201, nothing is posted twice",
            "0201 3=220065 2={card} 4=000000012345 49=156 stan=500",
        ),
        Example(
            "Accrual with a card that is swiped",
            "0200 3=220065 35={card}D29121010000012345 4=000000008000 49=156 22=022 25=00",
        ),
        Example(
            "Accrual for a phone number, with the number of the receipt",
            "0200 3=220065 4=000000010000 49=156 48=10:P{phone},17:R-1001",
        ),
        Example(
            "Points without a purchase: a sign-in",
            "0200 3=220065 2={card} 4=000000000000 49=156 48=1E:SIGNIN",
        ),
        Example(
            "… and a referral, which gives to both",
            "0200 3=220065 2={card} 4=000000000000 49=156 48=1E:REFERRAL,11:C{other}",
        ),
        Example("Redemption of 1,000 points, with the PIN", f"{SPEND} pin=123456", keep="spent"),
        Example(
            "Redemption of what 10.01 yuan cost in points",
            "0200 3=006500 2={card} 4=000000001001 49=156",
            keep="worth",
        ),
        Example("Top-up of points", "0200 3=210065 2={card} 4=000000000500 49=P01"),
        Example(
            "Top-up by a recharge card: its code is in element 12",
            "0200 3=210065 2={card} 49=P01 48=12:{scratch1}",
        ),
        Example(
            "Offline sale, told later",
            "0220 3=220065 2={card} 4=000000012345 49=156 48=1G:20260301221500,17:R77",
        ),
    ),
)

UNDOING = Section(
    "Reversal, void, refund",
    "A reversal (0400) is for a message that had no good answer, a void for a transaction of the\n"
    "same terminal's open batch, a refund for any later day. The same for each other transaction\n"
    "stands further down.",
    (
        Example("A sale whose reply does not come …", f"{SALE} stan=540"),
        Example(
            "… and its reversal", "0400 3=220065 2={card} 4=000000012345 49=156 39=98 stan=540"
        ),
        Example(
            "A reversal that finds nothing: the sale, should it come late, is refused",
            "0400 3=220065 2={card} 4=000000012345 49=156 39=98 stan=541",
            "25",
        ),
        Example("… and the sale that comes late", f"{SALE} stan=541", "22"),
        Example(
            "Void of a redemption, by its RRN",
            "0200 3=200000 2={card} 4=000000001000 49=P01 37={spent} stan=550",
        ),
        Example(
            "Reversal of the void: the redemption stands again",
            "0400 3=200000 2={card} 4=000000001000 49=P01 39=98 stan=550",
        ),
        Example(
            "Void by batch and STAN of the original",
            "0200 3=200000 2={card} 4=000000012345 49=156 61=000001000500 stan=551",
        ),
        Example(
            "… which is reversed, too",
            "0400 3=200000 2={card} 4=000000012345 49=156 39=98 stan=551",
            brief=True,
        ),
        Example("Refund of a part of the sale", "0220 3=200000 4=000000000501 49=156 37={sale}"),
        Example(
            "Refund of a part of a redemption", "0220 3=200000 4=000000000400 49=P01 37={spent}"
        ),
    ),
)

VALUE = Section(
    "Stored value",
    "The gift card of these examples is distributed and not yet active: its first top-up\n"
    "activates it.",
    (
        Example("Top-up of 100 yuan", "0200 3=210060 2={gift} 4=000000010000 49=156"),
        Example(
            "Purchase of 10 yuan",
            "0200 3=006000 2={gift} 4=000000001000 49=156 48=17:R-1002",
            keep="bought",
        ),
        Example(
            "Refund of 4 yuan of the purchase", "0220 3=200000 4=000000000400 49=156 37={bought}"
        ),
        Example("Balance of stored value", "0100 3=310060 2={gift}"),
        Example("Points become stored value", "0200 3=406560 2={card} 4=000000000500 49=P01"),
    ),
)

HOLDS = Section(
    "Holds",
    "What is held is captured by any terminal of the merchant, in part or whole; the rest is free.",
    (
        Example("Hold of points", "0100 3=036500 2={card} 4=000000001000 49=P01", keep="held"),
        Example(
            "Capture of a part of the hold",
            "0220 3=006500 4=000000000600 49=P01 37={held}",
            keep="captured",
        ),
        Example(
            "Refund of a part of the capture", "0220 3=200000 4=000000000100 49=P01 37={captured}"
        ),
        Example("Another hold …", "0100 3=036500 2={card} 4=000000000500 49=P01", keep="second"),
        Example("… and its release", "0100 3=200000 37={second}"),
        Example(
            "Hold of stored value", "0100 3=036000 2={gift} 4=000000005000 49=156", keep="deposit"
        ),
        Example("… captured", "0220 3=006000 4=000000004200 49=156 37={deposit}"),
    ),
)

BETWEEN = Section(
    "Between programs and members",
    "",
    (
        Example("Rate inquiry: points of P01 into P02", "0100 3=320000 49=P01 48=49:P02"),
        Example("Exchange at that rate", "0200 3=406565 2={card} 4=000000000090 49=P01 48=49:P02"),
        Example(
            "Transfer of points to another card",
            "0200 3=406565 2={card} 4=000000000100 49=P01 48=11:C{other}",
        ),
    ),
)

COUPONS = Section(
    "Coupons",
    "Field 4 of a redemption is the sale; of its reply, what is left to pay.",
    (
        Example("Claim of a coupon", "0200 3=910000 2={card} 48=14:SPRING", keep="spring"),
        Example("What the coupon is", "0100 3=390000 48=12:{spring_code}"),
        Example(
            "… and what it is worth on a sale of 60 yuan",
            "0100 3=390000 4=000000006000 48=12:{spring_code}",
        ),
        Example(
            "Redemption: 10 yuan off a sale of 60 yuan", USE + " 48=12:{spring_code}", keep="used"
        ),
        Example(
            "Void of the redemption: the coupon can be used again",
            "0200 3=200000 4=000000006000 49=156 37={used} 48=12:{spring_code}",
        ),
        Example("Claim for points; it has a PIN", "0200 3=910000 2={card} 48=14:PAID", keep="paid"),
        Example(
            "Transfer to another member: a new code, a new PIN, the old ones are dead",
            "0200 3=920000 48=12:{paid_code},11:C{other},13:{paid_pin}",
            keep="theirs",
        ),
        Example(
            "Redemption of a coupon with a PIN, by the member who holds it",
            USE + " 2={other} 48=12:{theirs_code},13:{theirs_pin}",
        ),
        Note(
            "Several coupons on one sale are several messages that say the same receipt (element\n"
            "`17`); field 4 of each is what is left to pay after the ones before."
        ),
        Example(
            "Claim of a voucher of 100 yuan",
            "0200 3=910000 2={card} 48=14:CASH",
            keep="cash",
            brief=True,
        ),
        Example("Claim of a gift", "0200 3=910000 2={card} 48=14:BEER", keep="beer", brief=True),
        Example(
            "Two coupons on one sale of 60 yuan: the first takes 10 yuan off …",
            USE + " 48=12:{spring_code},17:R-1003",
            keep="first",
        ),
        Example(
            "… the second, a voucher used in parts, what is left of the 50",
            "0200 3=900000 4=000000005000 49=156 48=12:{cash_code},17:R-1003",
            keep="part",
        ),
        Example("What is left of the voucher", "0100 3=390000 48=12:{cash_code}"),
        Example(
            "A coupon for goods, by pieces, on a sale of nothing",
            "0200 3=900000 4=000000000000 49=156 48=12:{beer_code},15:1",
        ),
        Example(
            "Refund of a part of the sale on which the voucher was used",
            "0220 3=200000 4=000000002000 49=156 37={part}",
        ),
    ),
)

GIFTS = Section(
    "Gifts and draws",
    "",
    (
        Example("Gift exchange, two pieces", "0200 3=936500 2={card} 48=16:MUG,15:2", keep="mugs"),
        Example("Void of both pieces", "0200 3=200000 2={card} 37={mugs}"),
        Example("Lottery draw", "0200 3=946500 2={card} 48=14:SPIN stan=600"),
        Example(
            "Reversal of the draw: the cost comes back …", "0400 3=946500 2={card} 39=98 stan=600"
        ),
        Example("… and the next draw brings the same", "0200 3=946500 2={card} 48=14:SPIN"),
    ),
)

INQUIRIES = Section(
    "Balances and totals",
    "",
    (
        Example("Balance of all units", "0100 3=310000 2={card}"),
        Example("Balance of points, with the PIN", "0100 3=310065 2={card} pin=123456"),
        Example(
            "Member inquiry with a mini-statement: 60.1 is 03",
            "0100 3=310000 2={card} 60=03{batch}000",
        ),
        Example("Totals of the terminal today", "0100 3=380000"),
        Example("Totals of the merchant today", "0100 3=380001"),
    ),
)

CARDS = Section(
    "Cards and members",
    "",
    (
        Example("Enrolment of a new member", "0600 3=980000 2={next} 48=10:P13900000000"),
        Example(
            "PIN change: the old PIN in field 110, the new one's block in 62",
            "0600 3=990000 2={card} pin=123456 new_pin=654321",
        ),
        Example("Loss report, by the card", "0600 3=960000 2={card}"),
        Example("… by phone: all cards of the member", "0600 3=960000 48=10:P13900000000"),
        Example("… by identity number", "0600 3=960000 48=1H:{lost_identity}"),
        Example("A lost card is 41 from now on", SALE, "41"),
        Example("Replacement of the card", "0600 3=970000 2={card} 48=1F:{replacing}"),
        Example(
            "Download after the loss: the last block names lost cards (`HC`)",
            "0800 code=360 62=0002",
        ),
        Example(
            "The old card still leads to its refunds",
            "0220 3=200000 2={card} 4=000000000100 49=P01 37={spent}",
        ),
    ),
)

BATCH = Section(
    "The end of a batch, with totals that differ",
    "",
    (
        Example(
            "Settlement: the host tells its own totals",
            "0500 code=201 48=50:P01000001000000001001000001000000000999",
            "95",
        ),
        Example(
            "Batch upload, an item",
            "0320 3=220065 2={card} 4=000000012345 49=156 code=201 61=000001000500 39=00",
        ),
        Example("End of the upload: the next batch opens", "0320 code=207"),
        Example("Sign-off", "0820 code=002"),
    ),
)

DESK = Section(
    "A merchant with operators, and totals that agree",
    "Field 63 begins with the operator. Above an amount that the merchant's terms name, a void or\n"
    "refund needs a supervisor's PIN block in element `19`.",
    (
        Example("Sign-on of a terminal with operators", "0800 code=001 mac=master", brief=True),
        Example(
            "Accrual by cashier 001",
            "0200 3=220065 2={other} 4=000000012345 49=156 63=001",
            keep="sale",
        ),
        Example(
            "Redemption by cashier 001",
            "0200 3=006500 2={other} 4=000000000300 49=P01 63=001",
        ),
        supervisor,
        Example(
            "Void by supervisor 007, with the PIN",
            "0200 3=200000 2={other} 4=000000012345 49=156 37={sale} 63=007 48=19:{block}",
        ),
        Example("Totals of the terminal", "0100 3=380000 63=001", brief=True),
        totals,
        Example(
            "Settlement with the same totals: the batch is closed, 60.2 is the next",
            "0500 code=201 63=001 48={totals}",
        ),
    ),
    "00000008",
)

DEVICE = Section(
    "A terminal that is registered with its serial number",
    "",
    (
        Example(
            "Sign-on with the serial number in element 1B",
            "0800 code=001 mac=master 48=1B:{serial}",
        ),
        Example("… and with another", "0800 code=001 mac=master 48=1B:000000000000000", "58"),
    ),
    "00000005",
)

DAY = (
    LINE,
    POINTS,
    UNDOING,
    VALUE,
    HOLDS,
    BETWEEN,
    COUPONS,
    GIFTS,
    EACH,
    INQUIRIES,
    CARDS,
    BATCH,
    DESK,
    DEVICE,
)
"""A day of terminals of profile ``aes``."""


def _profile(name: str, terminal: str) -> Section:
    return Section(
        f"Profile {name}",
        "Keys, MACs and PIN blocks are all that differs.",
        (
            Example(f"Sign-on, {name}", "0800 code=001 mac=none"),
            Example(f"Accrual, {name}", "0200 3=220065 2={card} 4=000000012345 49=156"),
            Example(
                f"Redemption with the PIN, {name}",
                "0200 3=006500 2={card} 4=000000001000 49=P01 pin=123456",
            ),
        ),
        terminal,
    )


PROFILES = (_profile("tdes-x919", "00000002"), _profile("tdes-cup", "00000003"))
