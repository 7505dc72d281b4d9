"""One message for each response code of the protocol's section 7, for `vendor_examples`."""

from ledger import schema
from tests.posd.conversation import Conversation
from tests.posd.vendor_stage import SALE, UNKNOWN_CARD, USE, Example, Section

ADVICE = {
    "00": "done",
    "03": "check field 42: the terminal is registered with another merchant",
    "12": "nothing to repeat: the transaction is not one, or what it names is unknown or done with",
    "13": "ask for an amount",
    "14": "read the card again; the member is unknown, or not the original's",
    "22": "nothing: the reversal came first, the transaction is not posted",
    "25": "nothing is posted; after a reversal, the original will not be either",
    "30": "a fault of the terminal's program: look at field 44 and at the frame",
    "34": "too many unknown cards or codes: wait ten minutes, other messages go on",
    "40": "not switched on for this merchant",
    "41": "keep the card, if that is the shop's rule; it was reported lost",
    "51": "offer less, or another way to pay",
    "54": "card, coupon, hold or campaign is over",
    "55": "ask for the PIN (again)",
    "57": "not for this member, at this shop or time: field 44 says which",
    "58": "the terminal, its network or its operator may not: call the operator of the alliance",
    "61": "below or above what is allowed: another amount",
    "62": "the card is not active, was replaced, or is blocked",
    "64": "amount or unit are not the original's, or more than is left",
    "65": "once too often; not today, or not again",
    "68": "too late for this: the offline sale is too old, the time for a refund is over",
    "75": "the PIN is locked until somebody unlocks it",
    "76": "no such coupon: enter the code again",
    "77": "sign on, take the batch number of the reply, send it again under a new STAN",
    "78": "the coupon was used before",
    "79": "the coupon, campaign or recharge card is not valid yet",
    "80": "used up: quantity, stock or budget",
    "91": "not now: send it again a little later, with the same STAN",
    "94": "a STAN was used for something else: take the next; or settle first, see field 44",
    "95": "upload the batch item by item, or correct the totals and settle again",
    "96": "a fault of the host, nothing is posted: send it again later",
    "97": "the terminal is not registered: check field 41",
    "99": "the PIN block cannot be read: wrong key, wrong field, or no card number to bind it to",
    "A0": "the MAC is wrong: sign on for new keys",
}
"""What a terminal does on each response code."""

NEVER_SHOWN = {
    "40": "day totals of a merchant with more than 1,000 terminals, and nothing else",
}
"""Codes without an example, and why."""


def shut(talk: Conversation) -> None:
    """The host takes no new work."""
    talk.gate.shut = True


def reopened(talk: Conversation) -> None:
    """The host takes work again."""
    talk.gate.shut = False


def broken(talk: Conversation) -> None:
    """The host has a fault: a table cannot be read."""
    talk.book.view.broken.add(schema.ALIAS)


def mended(talk: Conversation) -> None:
    """The fault is over."""
    talk.book.view.broken.clear()


def guesses(talk: Conversation) -> None:
    """Eleven unknown cards in a minute, less the one that the section has shown."""
    for number in range(10):
        talk.send(talk.build(f"0100 3=310000 2=62220299{number:011d}"))


def _decline(code: str, title: str, said: str) -> Example:
    return Example(f"{code}: {title}", said, code, brief=True)


THEIRS = "2={other} 4=000000000100 49=P01"

DECLINES = Section(
    "What goes wrong",
    "The bytes of a message for each response code, and what the terminal does about it. Field 44\n"
    "says why in words; `counterfoil decode HEX` explains the rest.",
    (
        _decline("03", "another merchant", "0100 3=310000 2={other} 42=000000000000000"),
        _decline("12", "a processing code that nobody has", "0200 3=770000"),
        _decline("13", "an amount of zero", "0200 3=006500 2={other} 4=000000000000 49=P01"),
        _decline("14", "an unknown card", f"0200 3=220065 2={UNKNOWN_CARD} 4=000000012345 49=156"),
        _decline("25", "a void of what never was", "0200 3=200000 37=000000000000"),
        _decline("30", "no member", "0200 3=220065 4=000000012345 49=156"),
        _decline("41", "a lost card", SALE),
        _decline("51", "too few points", "0200 3=006500 2={other} 4=000000999999 49=P01"),
        _decline("54", "a campaign that is over", "0200 3=910000 2={other} 48=14:PAST"),
        _decline("55", "a wrong PIN", f"0200 3=006500 {THEIRS} pin=000000"),
        _decline("55", "another wrong PIN", f"0200 3=006500 {THEIRS} pin=000000"),
        _decline("75", "the third wrong PIN", f"0200 3=006500 {THEIRS} pin=000000"),
        _decline(
            "57", "a program that the shop does not take",
            "0200 3=006500 2={other} 4=000000000100 49=P03"
        ),
        _decline("58", "a terminal that is disabled", "0100 3=310000 2={other} 41=00000006"),
        Example("A coupon is claimed", "0200 3=910000 2={other} 48=14:ONCE",
                keep="once", brief=True),
        _decline("61", "a sale below the coupon's minimum",
                 "0200 3=900000 4=000000001000 49=156 48=12:{once_code}"),
        _decline("65", "a second claim", "0200 3=910000 2={other} 48=14:ONCE"),
        Example("The coupon is used", USE + " 48=12:{once_code}", brief=True),
        _decline("78", "the coupon is used again", USE + " 48=12:{once_code}"),
        _decline("76", "an unknown coupon", USE + " 48=12:00000000000000000000"),
        _decline("79", "a campaign that has not begun", "0200 3=910000 2={other} 48=14:NEXT"),
        Example("Claim of the last coupon", "0200 3=910000 2={other} 48=14:LAST", brief=True),
        _decline("80", "a campaign without coupons left", "0200 3=910000 2={other} 48=14:LAST"),
        _decline("62", "a gift card before its first top-up",
                 "0200 3=006000 2={inactive} 4=000000000100 49=156"),
        Example("A redemption", f"0200 3=006500 {THEIRS} stan=400", keep="spent", brief=True),
        _decline("64", "a void with another amount",
                 "0200 3=200000 2={other} 4=000000000200 49=P01 37={spent}"),
        _decline("94", "the same STAN for another sale",
                 "0200 3=006500 2={other} 4=000000000200 49=P01 stan=400"),
        _decline("68", "an offline sale of last month",
                 "0220 3=220065 2={other} 4=000000012345 49=156 48=1G:20260201120000"),
        _decline("77", "another batch than the one in force",
                 f"0200 3=006500 {THEIRS} batch=000009"),
        _decline("97", "an unknown terminal", "0100 3=310000 2={other} 41=99999999"),
        _decline("99", "a PIN block that is none", f"0200 3=006500 {THEIRS} 110=12345678"),
        _decline("A0", "a wrong MAC", f"0200 3=006500 {THEIRS} mac=wrong"),
        shut,
        _decline("91", "the host takes no new work", f"0200 3=006500 {THEIRS}"),
        reopened,
        broken,
        _decline("96", "a fault of the host", f"0200 3=006500 {THEIRS}"),
        mended,
        guesses,
        _decline("34", "after eleven unknown cards in a minute", f"0200 3=006500 {THEIRS}"),
    ),
)  # fmt: skip
