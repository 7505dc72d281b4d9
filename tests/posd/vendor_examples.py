"""Worked examples for makers of terminals: ``python -m tests.posd.vendor_examples`` writes them.

Tills talk to the host in memory, with fixed keys, times and numbers. What they say are the
sections of `vendor_days`, `vendor_undo` and `vendor_declines`. Each frame is written down in
hexadecimal digits and explained part by part. `test_vendor_examples` finds the document out of
date, an example answered otherwise than it says, and what the protocol has and no example shows.
"""

import re
from collections.abc import Iterator
from hashlib import shake_256
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from posd import security
from posd.iso8583.describe import Row, describe
from posd.iso8583.tlv import parse_tlv
from tests.posd.conversation import CARD, OTHER_CARD, PHONE, PIN, TMK, Conversation
from tests.posd.vendor_days import DAY, PROFILES
from tests.posd.vendor_declines import ADVICE, DECLINES
from tests.posd.vendor_stage import ROWS, Example, Note, Section, stage
from tests.posd.vendor_stage import Row as Transaction

DOCUMENT = Path(__file__).parents[2] / "posd" / "EXAMPLES.md"
HEX_LINE = 32
ENVELOPE = 13
"""Bytes of length, TPDU and header."""
PROCESSING_REQUEST = 9
"""The byte whose low digit the host sets."""
HOSTS = ((*DAY, DECLINES), *((section,) for section in PROFILES))
"""The sections, by the host that they are played on: a later one finds what earlier ones left."""
SECTIONS = tuple(section for sections in HOSTS for section in sections)
NONE = "–"  # noqa: RUF001 - a dash in a table
UNDO = {"R": "reversal", "V": "void", "F": "refund"}


class Exchanged(NamedTuple):
    """A message and its reply: decoded, and as frames."""

    example: Example
    mti: str
    request: dict
    reply: dict
    sent: bytes
    answer: bytes
    profile: str


# Playing.


def played(talk: Conversation, section: Section) -> Iterator[Exchanged | Note]:
    """Let the terminal of a section say what it says."""
    talk.till(section.terminal)
    for step in section.steps:
        if isinstance(step, Note):
            yield step
        elif isinstance(step, Example):
            yield _exchanged(talk, step)
        else:
            step(talk)


def _exchanged(talk: Conversation, example: Example) -> Exchanged:
    said = example.said.format(**talk.words)
    sent = talk.build(said)
    answer = talk.send(sent)
    assert answer is not None, example.title
    found = talk.reply.fields.get(39)
    assert found == example.code, f"{example.title}: {found} {talk.reply.fields.get(44)}"
    talk._learn()
    _keep(talk, example.keep)
    profile = talk.speaker.profile
    return Exchanged(example, said[:4], talk.request, talk.reply.fields, sent, answer, profile)


def _keep(talk: Conversation, word: str) -> None:
    """Remember what later messages of the section name."""
    if not word:
        return
    if 37 in talk.reply.fields:
        talk.words[word] = talk.words["rrn"]
    elements = dict(parse_tlv(talk.reply.fields.get(48, b""), repeats_allowed=True))
    for tag, name in (("38", "code"), ("13", "pin")):
        if tag in elements:
            talk.words[f"{word}_{name}"] = elements[tag].decode()


def exchanges() -> dict[str, list[Exchanged | Note]]:
    """All sections by their titles, with what they say; the same every time."""
    drawn = 0

    def urandom(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return shake_256(drawn.to_bytes(8, "big")).digest(size)

    with patch("os.urandom", urandom):
        found = {}
        for sections in HOSTS:
            talk = stage()
            found |= {section.title: list(played(talk, section)) for section in sections}
    return found


def shows(row: Transaction, one: Exchanged) -> bool:
    """Whether an approved message is an example of a line of section 4."""
    if one.mti[:3] != row.mti or one.reply[39] != "00":
        return False
    if row.codes and one.request[60][8:11] not in row.codes:
        return False
    if not one.request.get(3, "").startswith(row.functions):
        return False
    tags = dict(parse_tlv(one.request.get(48, b""), repeats_allowed=True))
    return (row.tag[1:] not in tags) if row.tag.startswith("!") else row.tag in {"", *tags}


def undoes(one: Exchanged, original: Exchanged) -> str:
    """R, V or F where a message undid another; empty where it did not."""
    if one.reply[39] != "00" or one.request[41] != original.request[41]:
        return ""
    batch, stan, rrn = original.request[60][2:8], original.request[11], original.reply.get(37)
    if one.mti[:3] == "040":
        same = (one.request[60][2:8], one.request[11]) == (batch, stan)
        return "R" if same else ""
    named = one.request.get(37) == rrn or one.request.get(61, "")[:12] == batch + stan
    if one.request.get(3) != "200000" or not named:
        return ""
    return {"020": "V", "022": "F"}.get(one.mti[:3], "")


def undone(row: Transaction, all_of_them: list[Exchanged]) -> dict[str, Exchanged]:
    """The ways to undo a line of section 4, each with the first message that did."""
    ways: dict[str, Exchanged] = {}
    for original in all_of_them:
        if shows(row, original):
            for one in all_of_them:
                way = undoes(one, original)
                if way:
                    ways.setdefault(way, one)
    return ways


# Writing.


def told(one: Exchanged, data: bytes, fields: dict, *, first: bool) -> str:
    """A frame in hexadecimal digits, and what each part of it is.

    Length, TPDU and header are explained in the first example of a section, and where the
    header asks for something.
    """
    digits = data.hex()
    lines = [digits[at : at + 2 * HEX_LINE] for at in range(0, len(digits), 2 * HEX_LINE)]
    shown = "\n".join(["```", *lines, "```"])
    if one.example.brief:
        return shown
    rows = list(_parts(one, data, fields))
    ends = [row.position for row in rows[1:]] + [len(data)]
    table = ["| at | bytes | field | name | value |", "|---|---|---|---|---|"]
    for row, end in zip(rows, ends, strict=True):
        if row.position < ENVELOPE and not (first or data[PROCESSING_REQUEST] & 0x0F):
            continue
        part = data[row.position : end].hex()
        meaning = row.meaning.replace("|", "/")
        table.append(f"| {row.position} | `{part}` | {row.number} | {row.name} | {meaning} |")
    return "\n".join([shown, "", *table])


def _parts(one: Exchanged, data: bytes, fields: dict) -> Iterator[Row]:
    for row in describe(data, "utf-8"):
        if row.number == "62":
            value = fields[62]
            yield row._replace(meaning=f"{len(value)} bytes")
            yield from _key_parts(one, value, row.position + 2)
        elif row.number in {"64", "128"}:
            yield row._replace(meaning="")
        else:
            yield row


def _key_parts(one: Exchanged, value: bytes, at: int) -> Iterator[Row]:
    """What stands in field 62, which `describe` hides."""
    download = one.request[60][8:11] == "360"
    if download:
        names = [(1, "1 more, 0 last"), (4, "block number")]
        if one.reply.get(62) is not value:
            names = [(4, "block wanted")]
    elif one.mti[:2] == "06":
        names = [(len(value), "PIN block of the new PIN")]
    else:
        key, zeros = {"aes": (24, 0), "tdes-x919": (16, 0), "tdes-cup": (16, 8)}[one.profile]
        names = [
            (key, "PIN key, wrapped"),
            (4, "its check value"),
            (key - zeros, "MAC key, wrapped"),
        ]
        names += [(zeros, "zeros")] * (zeros > 0) + [(4, "its check value")]
    start = 0
    for size, name in names:
        text = value[start : start + size].decode() if download else ""
        yield Row(at + start, "62", name, "", text)
        start += size
    for tag, element in parse_tlv(value[start:], repeats_allowed=True) if download else ():
        text = element.decode().replace("`", "'")
        yield Row(at + start, f"62.{tag}", DOWNLOADED[tag], "", text)
        start += 5 + len(element)


DOWNLOADED = {
    "1D": "version",
    "34": "name of the merchant",
    "49": "program",
    "PN": "its name",
    "40": "points per yuan of value",
    "PV": "version of the parameters",
    "SV": "program to run",
    "PE": "an entry",
    "HC": "hot cards",
    "DG": "digest of all blocks",
}


def document() -> str:
    """The whole document."""
    found = exchanges()
    all_of_them = messages(found)
    parts = [HEAD, _contents(all_of_them), _secrets(all_of_them)]
    for section in SECTIONS:
        parts.append(f"## {section.title}")
        if section.head:
            parts.append(section.head)
        if section is DECLINES:
            parts.append(_advice())
        first = True
        for one in found[section.title]:
            if isinstance(one, Note):
                parts.append(one.text)
                continue
            parts += [f"### {one.example.title}", _heading("Terminal:", one)]
            parts += [told(one, one.sent, one.request, first=first)]
            parts += [_heading("Host:", one), told(one, one.answer, one.reply, first=first)]
            first = False
    return "\n\n".join(parts) + "\n"


def _heading(who: str, one: Exchanged) -> str:
    """Who speaks, with the outcome where no table tells it."""
    if not one.example.brief:
        return who
    if who == "Host:":
        why = one.reply.get(44, b"").decode()
        return f"Host, {one.reply[39]}{' ' + why if why else ''}:"
    return f"Terminal, {one.mti} {one.request.get(3, '')}".rstrip() + ":"


def _anchor(title: str) -> str:
    """The fragment that leads to a heading, as Markdown's usual renderers make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def messages(found: dict[str, list[Exchanged | Note]]) -> list[Exchanged]:
    """All that was said, in the order of the page."""
    return [one for many in found.values() for one in many if isinstance(one, Exchanged)]


def _link(one: Exchanged, text: str = "") -> str:
    return f"[{text or one.example.title}](#{_anchor(one.example.title)})"


def _contents(all_of_them: list[Exchanged]) -> str:
    """Each line of section 4 with its first example, and the first of each way to undo it."""
    lines = ["## Transactions", "", "| transaction | MTI | field 3 | example | undone by |"]
    lines.append("|---|---|---|---|---|")
    for row in ROWS:
        first = next(one for one in all_of_them if shows(row, one))
        found = undone(row, all_of_them)
        ways = ", ".join(_link(found[way], UNDO[way]) for way in row.undo)
        function = first.request.get(3, NONE)
        lines.append(
            f"| {row.transaction} | {first.mti} | {function} | {_link(first)} | {ways or NONE} |"
        )
    return "\n".join(lines)


def _secrets(all_of_them: list[Exchanged]) -> str:
    """The keys of the page, in clear, and how a PIN block and a MAC are made."""
    lines = ["## Keys, PIN blocks and MACs of this page", ""]
    lines += ["| terminal | keys of | key | value |", "|---|---|---|---|"]
    for one in all_of_them:
        if one.mti == "0800" and one.request[60][8:11] != "360" and 62 in one.reply:
            lines += list(_keys_of(one))
    return "\n".join([*lines, "", _pin_example(all_of_them)])


def _keys_of(one: Exchanged) -> Iterator[str]:
    head = f"| {one.request[41]} | {_link(one)} |"
    if one.profile == "aes":
        yield f"{head} sign-on | `{security.sign_on_key(TMK).hex()}` |"
    keys = security.unwrap_keys(one.profile, TMK, one.reply[62])
    yield f"{head} PIN | `{keys.pin_key.hex()}` |"
    yield f"{head} MAC | `{keys.mac_key.hex()}` |"


def _pin_example(all_of_them: list[Exchanged]) -> str:
    """How the PIN blocks of the page come about."""
    lines = ["| format, profiles | PIN field | card number field | block, in | made by |"]
    lines.append("|---|---|---|---|---|")
    for name, field, clear, pan, how in (
        (
            "ISO 9564 format 4, aes",
            110,
            f"46{PIN:a<14}{'0' * 16}",
            f"7{CARD:0<31}",
            "AES of the PIN field, XOR the card number field, AES again",
        ),
        (
            "ISO 9564 format 0, tdes",
            52,
            f"06{PIN:f<14}",
            CARD[:-1][-12:].zfill(16),
            "PIN field XOR card number field, then TDES",
        ),
    ):
        one = next(
            each for each in all_of_them if each.request.get(2) == CARD and field in each.request
        )
        block = one.request[field].hex()
        lines.append(f"| {name} | `{clear}` | `{pan}` | `{block}`, {_link(one)} | {how} |")
    lines.append(
        "\nA MAC covers the message from its type (byte 13 of the frame) up to the byte before\n"
        "the MAC, which is the frame's last eight bytes."
    )
    return "\n".join(lines)


def _advice() -> str:
    """What a terminal does on each response code."""
    rows = [f"| `{code}` | {what} |" for code, what in ADVICE.items()]
    return "\n".join(["| code | what to do |", "|---|---|", *rows])


HEAD = f"""\
# Worked examples

For makers of terminals: frames as they go over the line, explained field by field. The contract
is the *Terminal protocol, version 1*, what this host decided beside it is `PROTOCOL.md`. This
page is generated by `python -m tests.posd.vendor_examples` from the code that serves; a test
fails when it is out of date, or when a transaction, a way to undo it, a response code or an
element of field 48 has no example. `counterfoil decode HEX` explains any frame in the same way;
what it masks, as the last column does here, stands in the column of bytes.

- Everything can be computed again. The master key of each terminal is
  `{TMK.hex()}`; session keys and PIN blocks are worked out below.
- Member: card `{CARD}`, phone `{PHONE}`, PIN `{PIN}`. The other member's card:
  `{OTHER_CARD}`. Random fill of a PIN block is zero here.
- The time is noon of 2 March 2026 in Shanghai. Text is in UTF-8, as these terminals are
  registered; the usual character set is GB 18030.
- Fields 37 and coupon codes are what this host's key made of them: take them from replies.
- Length, TPDU and header (before byte {ENVELOPE}) are explained in the first example of a section.

## How to certify a terminal

The steps work as typed, in the folder of the project after `make demo` or `make .venv/ready`.
They make a host for tests with the terminals, keys, cards, campaigns and gifts of this page
(`posd/certification/alliance.jsonl`; put the terminal's own id and key in, or use those).

```
export PATH="$PWD/.venv/bin:$PATH"
umask 077 && mkdir -p var/certify && cp posd/certification/* var/certify && cd var/certify
counterfoil init cert
counterfoil load cert alliance.jsonl
counterfoil issue cert cards --product GIFT --count 10 --output cards.csv
counterfoil issue cert distribute --batch cards
counterfoil issue cert recharge-cards --unit P01 --amount 500 --expires 2036-12-31 \\
  --count 10 --output scratch.csv
counterfoil issue cert sell-recharge --batch scratch --first 1 --last 10 \\
  --merchant 104110045110012 --price 500
counterfoil issue cert activate-recharge --batch scratch --first 1 --last 10
counterfoil serve cert --listen 0.0.0.0:8583 & daemon=$!; sleep 2
```

Gift cards are in `cards.csv`, codes of recharge cards in `scratch.csv`. First see that the host
is well: the simulator's three tills, one of each profile, trade over bad lines, lose replies,
reverse and repeat, settle, and compare what they believe with what the host says.

```
counterfoil simulate 127.0.0.1:8583 --fleet fleet.json \\
  --transactions 200 --drop-replies 0.1 --repeat 0.1 --audit
faults='^counterfoil_(undecodable|bad_frames|unknown_elements|mac_failures)_total'
curl -s http://127.0.0.1:9583/metrics | grep -E "$faults" | tee before
```

1. **Compute the examples**: unwrap field 62, make the MAC of each request under the keys and
   compare with the frame's last eight bytes; the PIN block likewise.
2. **Trade**: have the terminal do each transaction of the table below, and undo it in each way that
   the table names. `counterfoil tail cert --follow` shows what is posted, and `counterfoil decode
   HEX` explains a capture.
3. **Decline**: provoke the response codes of *What goes wrong*; the display says what to do.
4. **Pull the plug**: close the line after a request left and before its reply is read, at least
   once for each transaction; and stop the host (`kill -9 $daemon`), start it again. The terminal
   repeats (MTI ending in 1, the same STAN) or reverses.
5. **Settle**: a batch whose totals agree is closed at once; of one whose totals differ each item
   is uploaded, and it is closed as disputed.

It passes when each receipt is there once, in the terminal's own amounts (`counterfoil show cert
transaction RRN`), when every balance is what the receipts say (`counterfoil show cert member
{CARD}`), and when the four metrics stand where they stood before:

```
curl -s http://127.0.0.1:9583/metrics | grep -E "$faults" | diff before - && echo unchanged
counterfoil verify cert
kill $daemon; wait $daemon
```"""


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
