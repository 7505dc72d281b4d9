"""Worked examples for makers of terminals: ``python -m tests.posd.vendor_examples`` writes them.

A till of each key profile talks to the host in memory, with fixed keys, times and numbers. Each
frame is written down in hexadecimal digits and explained. `test_vendor_examples`
finds the document out of date, and an example answered otherwise than it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from posd.iso8583.describe import describe
from tests.posd.conversation import CARD, OTHER_CARD, PHONE, PIN, TMK, Conversation

DOCUMENT = Path(__file__).parents[2] / "posd" / "EXAMPLES.md"
SALE = "0200 3=220065 2={card} 4=000000012345 49=156"
SPEND = "0200 3=006500 2={card} 4=000000001000 49=P01"
HEX_LINE = 32


class Example(NamedTuple):
    """What a till says, the response code, and the word that its RRN is kept under."""

    title: str
    said: str
    code: str = "00"
    keep: str = ""


AES = (
    Example("Sign-on: keys under the master key", "0800 code=001 mac=master"),
    Example("Echo, for the line alone", "0820 code=301"),
    Example("Balance of all units", "0100 3=310000 2={card}"),
    Example("Balance of points, with the PIN", "0100 3=310065 2={card} pin=123456"),
    Example("Rate inquiry between programs that have none", "0100 3=320000 49=P01 48=49:P02", "57"),
    Example("Accrual: a sale of 123.45 yuan", f"{SALE} stan=500", keep="sale"),
    Example("The same again, for want of the reply: MTI 0201, nothing is posted twice",
            "0201 3=220065 2={card} 4=000000012345 49=156 stan=500"),
    Example("Redemption of 1,000 points, with the PIN", f"{SPEND} pin=123456", keep="spent"),
    Example("A wrong PIN", f"{SPEND} pin=000000", "55"),
    Example("Too few points", "0200 3=006500 2={card} 4=000000999999 49=P01", "51"),
    Example("Void of the redemption",
            "0200 3=200000 2={card} 4=000000001000 49=P01 37={spent}"),
    Example("Refund of a part of the sale", "0220 3=200000 4=000000000501 49=156 37={sale}"),
    Example("A sale whose reply does not come …", f"{SALE} stan=540"),
    Example("… and its reversal", "0400 3=220065 2={card} 4=000000012345 49=156 39=98 stan=540"),
    Example("Offline sale, told later",
            "0220 3=220065 2={card} 4=000000012345 49=156 48=1G:20260301221500,17:R77"),
    Example("Hold of points", "0100 3=036500 2={card} 4=000000001000 49=P01", keep="held"),
    Example("Capture of a part of the hold", "0220 3=006500 4=000000000600 49=P01 37={held}"),
    Example("Another hold …", "0100 3=036500 2={card} 4=000000000500 49=P01", keep="second"),
    Example("… and its release", "0100 3=200000 37={second}"),
    Example("Transfer of points to another card",
            "0200 3=406565 2={card} 4=000000000100 49=P01 48=11:C{other}"),
    Example("Top-up of points", "0200 3=210065 2={card} 4=000000000500 49=P01"),
    Example("An unknown card", "0200 3=220065 2=6222020000000000059 4=000000012345 49=156", "14"),
    Example("A wrong MAC", f"{SALE} mac=wrong", "A0"),
    Example("Totals of the terminal today", "0100 3=380000"),
    Example("Enrolment of a new member", "0600 3=980000 2={next} 48=10:P13900000000"),
    Example("Loss report by phone", "0600 3=960000 48=10:P{phone}"),
    Example("Settlement of the batch, with totals that differ: the host tells its own",
            "0500 code=201 48=50:P01000001000000001001000001000000000999", "95"),
    Example("Batch upload, an item",
            "0320 3=220065 2={card} 4=000000012345 49=156 code=201 61=000001000500 39=00"),
    Example("End of the upload: the next batch opens", "0320 code=207"),
    Example("Sign-off", "0820 code=002"),
)  # fmt: skip
"""A day of a terminal of profile ``aes``."""

OTHERS = (
    Example("Sign-on", "0800 code=001 mac=none"),
    Example("Accrual", f"{SALE} stan=500"),
)
"""The profiles under TDES, where keys and MACs are all that differs."""


def frames(
    talk: Conversation, examples: tuple[Example, ...]
) -> Iterator[tuple[Example, bytes, bytes]]:
    """Play examples one after another; their frames, and the frames of the replies."""
    for example in examples:
        sent = talk.build(example.said.format(**talk.words))
        answer = talk.send(sent)
        assert answer is not None, example.title
        found = talk.reply.fields.get(39)
        assert found == example.code, f"{example.title}: {found} {talk.reply.fields.get(44)}"
        talk._learn()
        if example.keep:
            talk.words[example.keep] = talk.words["rrn"]
        yield example, sent, answer


def told(data: bytes) -> str:
    """A frame in hexadecimal digits, and what each part of it is."""
    digits = data.hex()
    lines = [digits[at : at + 2 * HEX_LINE] for at in range(0, len(digits), 2 * HEX_LINE)]
    rows = [
        f"| {row.position} | {row.number} | {row.name} | {row.meaning.replace('|', '/')} |"
        for row in describe(data, "utf-8")
    ]
    table = ["| at | field | name | value |", "|---|---|---|---|", *rows]
    return "\n".join(["```", *lines, "```", "", *table])


def document() -> str:
    """The whole document."""
    parts = [HEAD]
    for profile, terminal, examples in (
        ("aes", "00000001", AES),
        ("tdes-x919", "00000002", OTHERS),
        ("tdes-cup", "00000003", OTHERS),
    ):
        talk = Conversation()
        talk.till(terminal)
        parts.append(f"## Profile {profile}, terminal {terminal}")
        for example, sent, answer in frames(talk, examples):
            parts += [f"### {example.title}", "Terminal:", told(sent), "Host:", told(answer)]
    return "\n\n".join(parts) + "\n"


HEAD = f"""\
# Worked examples

For makers of terminals: frames as they go over the line, explained field by field. The contract
is the *Terminal protocol, version 1*, what this host decided beside it is `PROTOCOL.md`. This
page is generated by `python -m tests.posd.vendor_examples` from the code that serves; a test
fails when it is out of date. Values that are secret or a member's are masked in the tables, as in
every explanation (`counterfoil decode HEX` gives the same for any frame); the digits above a
table are whole.

Everything here can be computed again: the master key of each terminal is `{TMK.hex()}`, the
member's card `{CARD}`, the other's `{OTHER_CARD}`, the phone `{PHONE}`, the PIN `{PIN}`; random
fill of a PIN block is zero. Session keys are those that the sign-on's field 62 brings under the
master key. The time is 2 March 2026.

## How to certify a terminal

1. Compute the examples: unwrap field 62, make the MAC of each request under the keys and compare
   with the frame's last eight bytes; the PIN block likewise.
2. Register the terminal in a directory of its own with its test key (`counterfoil init cert &&
   counterfoil load cert FILE`, as in the README's first evening), and serve it. Have the terminal
   do each transaction of this page. `counterfoil decode HEX` explains a capture; `counterfoil
   tail cert` shows what was posted.
3. Pull the plug: close the line after a request left and before its reply is read, at least once
   for each transaction. The terminal repeats (MTI ending in 1, the same STAN) or reverses;
   `counterfoil simulate` does the same, and can trade beside it.
4. Settle: a batch whose totals agree is closed at once, one whose totals differ is uploaded item
   by item and still closed.
5. It passes when `counterfoil show cert transaction RRN` shows each receipt's transaction once,
   in the terminal's own amounts, and the metrics `counterfoil_undecodable_total`,
   `counterfoil_bad_frames_total`, `counterfoil_unknown_elements_total` and
   `counterfoil_mac_failures_total` stand where they stood before.

Coupons, gifts, draws, stored value, conversions and replacements are framed as the transactions
below; their elements are in the contract and in `PROTOCOL.md`."""


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
