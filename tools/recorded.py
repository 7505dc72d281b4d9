"""Journal entries back to messages: what a terminal sent, as far as the entry tells.

A command of a terminal holds all that its message said but the form: entry mode, condition code and
operator texts are made up, cards and phones come out of the ciphertexts of the directory.
`MESSAGES` is the table, a row a kind of command. RRNs and codes of coupons that a message names are
those of the new run; `Names` translates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine import codes
from engine.campaigns import CodeBatch, Coupon
from engine.commands import Pin, Token
from engine.recharge import RechargeBatch
from engine.records import Alias, identity_of
from engine.rules.undo import FIELDS
from engine.vault import Forgotten, Vault
from ledger import schema
from ledger.model import MONEY, Entry
from posd.iso8583.tlv import build_tlv
from tools.prepare import prepared_pin
from tools.till_books import Presented

RRN_OF_NOBODY = "NONE00000000"
"""Field 37 where the recorded message named none of the host's."""

CODE_OF_NOTHING = "0"
"""Element 12 where the recorded message named no coupon: no code is so short."""

Said = dict[str, Any]
"""What a command said, by the names of its fields."""


@dataclass(slots=True)
class NamedCoupon:
    """The coupon, or recharge card, of a message.

    Attributes:
        digest: keyed digest of its code in the recorded run.
        series: of the code, see `engine.codes.SERIES`.
        batch, serial: of a produced code; 0 for others.
        pin: the verdict on its PIN, see `engine.commands.Pin`.
    """

    digest: bytes
    series: str
    batch: int
    serial: int
    pin: int


class Names:
    """Who is meant: tokens in clear, and the RRNs of the new run.

    Args:
        vault: the key file of both runs.
        read: point reads of the recorded run's rows.

    Attributes:
        rrns: sequence number in the recorded run to the RRN that the new run gave.
        codes: digest of a coupon's code in the recorded run to the code that the new run gave.
    """

    def __init__(self, vault: Vault, read: Callable[[bytes], Any]) -> None:
        self.vault = vault
        self._read = read
        self.rrns: dict[int, str] = {}
        self.codes: dict[bytes, str] = {}

    def clear(self, token: Token) -> str:
        """A token's letter and value; empty where nobody has it (it was unknown then too)."""
        alias: Alias | None = self._read(schema.alias(*token))
        return self.opened(token[0], alias.sealed) if alias is not None else ""

    def opened(self, kind: str, sealed: bytes) -> str:
        """Letter and value of a sealed token; empty where it is not kept or was forgotten."""
        try:
            clear = self.vault.unseal_token(kind, sealed)
        except Forgotten:
            return ""
        return kind + clear if clear else ""

    def member(self, token: Token) -> str:
        """Whose a token is; empty where it is nobody's."""
        alias: Alias | None = self._read(schema.alias(*token))
        return alias.member if alias is not None else ""

    def rrn(self, sequence: int) -> str:
        """The RRN in the new run of a transaction of the recorded one."""
        if sequence < 0:
            return RRN_OF_NOBODY
        return self.rrns.get(sequence) or self.vault.rrn(sequence)

    def code(self, named: NamedCoupon) -> str:
        """The code in the new run of a coupon of the recorded one."""
        told = self.codes.get(named.digest)
        if told:
            return told
        row: Coupon | None = self._read(schema.coupon(named.digest))
        if row is not None and row.code:
            return codes.clear(self.vault, row.code)
        length = self._length(named)
        if not length:
            return CODE_OF_NOTHING
        maker = codes.Codes(self.vault, length, named.series)
        return maker.make(named.batch, named.serial, 1)[0]

    def _length(self, named: NamedCoupon) -> int:
        """Digits of the codes of a produced batch; 0 for none.

        A code that nobody has used yet may say a batch by chance, which then is none.
        """
        if not named.batch:
            return 0
        if named.series == codes.RECHARGE:
            cards: RechargeBatch | None = self._read(schema.recharge_batch(named.batch))
            return cards.length if cards is not None else 0
        batch: CodeBatch | None = self._read(schema.codes(named.batch))
        return batch.length if batch is not None and not batch.imported else 0

    def entry(self, sequence: int) -> Entry | None:
        """An entry of the recorded run; None for no number of one."""
        found: Entry | None = self._read(schema.entry(sequence)) if sequence > 0 else None
        return found

    def original(self, kind: str, said: Said) -> Entry | None:
        """What a void or reversal of the recorded run was about, as far as it said."""
        if said.get("original"):
            return self.entry(said["original"])
        batch, stan = (
            (said["batch"], said["stan"])
            if kind == "reversal"
            else (said["original_batch"], said["original_stan"])
        )
        known = identity_of(self._read(schema.identity(said["terminal"], batch, stan)))
        return self.entry(known.sequence) if known is not None else None

    def coupon(self, named: NamedCoupon) -> bytes:
        """The elements that name a coupon in the new run, and its PIN where one was given."""
        code = self.code(named)
        elements = [("12", code.encode("ascii"))]
        if named.pin != Pin.ABSENT:
            right = codes.pin_of(self.vault, codes.digest_of(self.vault, code))
            wrong = f"{(int(right) + 1) % 10 ** len(right):0{len(right)}d}"
            elements.append(("13", (right if named.pin == Pin.RIGHT else wrong).encode("ascii")))
        return build_tlv(elements)


@dataclass(slots=True)
class Recorded:
    """A message to send again.

    Attributes:
        sequence: its entry in the recorded run.
        kind: kind of command.
        at: recorded time, ms since 1970 UTC.
        terminal, batch, stan: its identity.
        member: the member that it concerned; empty for none.
        other: the second member that it concerned, of a transfer or referral; empty for none.
        named: sequence number of the transaction that it names; 0 for none.
        mti: message type.
        code: network code, 60.3.
        body: fields without identity, RRN, PIN and MAC.
        presented: card and PIN, for the PIN block.
        coupon: the coupon that it names; None for none.
        made: digest of the code of the coupon that it made; empty for none.
        reason: what it came to then, an `engine.reasons.Reason`.
    """

    sequence: int
    kind: str
    at: int
    terminal: str
    batch: int
    stan: int
    member: str
    other: str
    named: int
    mti: str
    code: str
    body: dict[int, Any]
    presented: Presented | None
    coupon: NamedCoupon | None
    made: bytes
    reason: int


Elements = list[tuple[str, bytes]]
Fill = Callable[[dict[int, Any], Said, Elements], None]
"""Adds to the fields what is a kind's own: the fields, what the command said, elements of 48."""


def _recharge(body: dict[int, Any], said: Said, _elements: Elements) -> None:
    if not said["amount"]:
        del body[4]


def _element(tag: str, name: str) -> Fill:
    """What tells one element of field 48: text that the command said under a name."""

    def fill(_body: dict[int, Any], said: Said, elements: Elements) -> None:
        elements.append((tag, said[name].encode("ascii")))

    return fill


def _nothing(_body: dict[int, Any], _said: Said, _elements: Elements) -> None:
    pass


def _sale(body: dict[int, Any], _said: Said, _elements: Elements) -> None:
    body[49] = MONEY


def _reward(body: dict[int, Any], said: Said, elements: Elements) -> None:
    body[49] = MONEY
    elements.append(("1E", said["code"].encode("ascii")))
    if "other_member" in said:
        elements.append(("11", said["other_member"].encode("ascii")))


def _original(body: dict[int, Any], said: Said, _elements: Elements) -> None:
    if said["original_stan"]:
        body[61] = f"{said['original_batch']:06d}{said['original_stan']:06d}"


def _reversal(body: dict[int, Any], said: Said, _elements: Elements) -> None:
    if said["cause"]:
        body[39] = said["cause"]


def _new_pin(body: dict[int, Any], _said: Said, _elements: Elements) -> None:
    body[62] = b""  # the old PIN again, under the keys of the new run


def _totals(_body: dict[int, Any], said: Said, elements: Elements) -> None:
    for unit, debits, debited, credits_, credited in said["totals"]:
        line = f"{unit}{debits:06d}{debited:012d}{credits_:06d}{credited:012d}"
        elements.append(("50", line.encode("ascii")))


def _gift(_body: dict[int, Any], said: Said, elements: Elements) -> None:
    elements += [("16", said["gift"].encode("ascii")), ("15", b"%d" % said["quantity"])]


def _use(body: dict[int, Any], said: Said, elements: Elements) -> None:
    body[49] = MONEY
    if said["quantity"]:
        elements.append(("15", b"%d" % said["quantity"]))


def _item(body: dict[int, Any], said: Said, elements: Elements) -> None:
    _original(body, said, elements)
    if said["response"]:
        body[39] = said["response"]


def _offline(body: dict[int, Any], said: Said, elements: Elements) -> None:
    body[49] = MONEY
    elements.append(("1G", b"%014d" % said["sold_at"]))


MESSAGES: dict[str, tuple[str, Fill]] = {
    "accrual": ("0200", _sale),
    "reward": ("0200", _reward),
    "redemption": ("0200", _nothing),
    "offline accrual": ("0220", _offline),
    "hold": ("0100", _nothing),
    "release": ("0100", _nothing),
    "capture": ("0220", _nothing),
    "value hold": ("0100", _sale),
    "value capture": ("0220", _nothing),
    "transfer": ("0200", _element("11", "other_member")),
    "exchange": ("0200", _element("49", "target")),
    "gift": ("0200", _gift),
    "coupon claim": ("0200", _element("14", "campaign")),
    "coupon use": ("0200", _use),
    "coupon transfer": ("0200", _element("11", "other_member")),
    "draw": ("0200", _element("14", "lottery")),
    "void": ("0200", _original),
    "refund": ("0220", _nothing),
    "reversal": ("0400", _reversal),
    "enrolment": ("0600", _nothing),
    "pin change": ("0600", _new_pin),
    "top-up": ("0200", _nothing),
    "recharge": ("0200", _recharge),
    "purchase": ("0200", _sale),
    "conversion": ("0200", _nothing),
    "loss report": ("0600", _nothing),
    "card replacement": ("0600", _element("1F", "new_number")),
    "settlement": ("0500", _totals),
    "upload": ("0320", _item),
}
"""Kind of command to message type and what fills the fields of its own; a row a kind of request."""

UNDOES: Final = ("void", "reversal")
UNDONE_MAX: Final = 100
"""Voids of reversals of voids … that are followed; a terminal sends one or two."""


def message(entry: Entry, names: Names) -> Recorded | None:
    """The message of an entry; None for one that no terminal sent."""
    row = MESSAGES.get(entry.kind)
    if row is None:
        return None
    said: Said = dict(zip(FIELDS[entry.kind], entry.command, strict=True))
    mti, fill = row
    body: dict[int, Any] = {22: "012"}
    if said["function"]:
        body[3] = said["function"]
    unit = said.get("unit", "")
    if "amount" in said and (said["amount"] or unit or "unit" not in said):
        body[4] = f"{said['amount']:012d}"
    if unit:
        body[49] = unit
    elements: Elements = []
    member = entry.outcome[1]
    presented = _name(body, elements, said, member, names)
    if said.get("reference"):
        elements.append(("17", said["reference"].encode("ascii")))
    if entry.kind == "card replacement":
        number = names.clear(("C", said["new_card"])) or names.opened("C", said["sealed"])
        said["new_number"] = number[1:]
    other = ""
    if said.get("other"):
        token = said["other"][0]
        other = names.member(token)
        said["other_member"] = names.clear(token) or f"{token[0]}NOBODY"
    fill(body, said, elements)
    if elements:
        body[48] = build_tlv(elements)
    return Recorded(
        entry.sequence,
        entry.kind,
        entry.at,
        said["terminal"],
        said["batch"],
        said["stan"],
        member,
        other,
        said.get("original", 0) or _named_item(said, names),
        mti,
        _network_code(entry.kind, said),
        body,
        presented,
        _coupon(entry.kind, said, names),
        said.get("code", b"") if "sealed" in said else b"",
        entry.outcome[0],
    )


def _coupon(kind: str, said: Said, names: Names) -> NamedCoupon | None:
    """The coupon that a command names; what an undo names, its original tells more of."""
    digest: bytes = said.get("coupon", b"")
    if not digest:
        return None
    pin = said.get("coupon_pin", Pin.ABSENT)
    for _ in range(UNDONE_MAX):
        original = names.original(kind, said) if kind in UNDOES else None
        if original is None:
            break
        kind = original.kind
        said = dict(zip(FIELDS[kind], original.command, strict=True))
    series = codes.RECHARGE if kind == "recharge" else codes.COUPON
    same = said.get("coupon") == digest
    batch, serial = (said.get("code_batch", 0), said.get("serial", 0)) if same else (0, 0)
    return NamedCoupon(digest, series, batch, serial, pin)


def _named_item(said: Said, names: Names) -> int:
    """The transaction that an uploaded item names by its RRN."""
    found = names.vault.sequence(said["rrn"]) if said.get("rrn") else None
    return found[1] if found is not None else 0


def _network_code(kind: str, said: Said) -> str:
    if kind == "upload":
        return "207" if said["last"] else "201"
    return "201" if kind == "settlement" else "000"


def _name(
    body: dict[int, Any],
    elements: Elements,
    said: Said,
    member: str,
    names: Names,
) -> Presented | None:
    """Name the member as the message did; what to make a PIN block of, where it had one."""
    card = ""
    for number, token in enumerate(said.get("tokens", ())):
        clear = names.clear(token)
        if not clear and isinstance(said.get("sealed"), tuple):  # an enrolment that was declined
            clear = names.opened(token[0], said["sealed"][number])
        if clear[:1] == "C" and not card:
            card = body[2] = clear[1:]
        elif token[0] == "I":
            elements.append(("1H", (clear[1:] or "NOBODY").encode("ascii")))
        else:
            # What nobody has now had nobody then: any value that is nobody's will do.
            elements.append(("10", (clear or f"{token[0]}NOBODY").encode("ascii")))
    pin = said.get("pin", Pin.ABSENT)
    if pin == Pin.ABSENT or not card:
        return None
    known = prepared_pin(names.vault, member)
    if pin == Pin.WRONG:
        known = f"{(int(known) + 1) % 10 ** len(known):0{len(known)}d}"
    return Presented(member, card=card, pin=known)
