"""Messages to commands: which message type and processing code is which transaction.

`BINDINGS` is the table of ``protocol.md``, section 4: dispatch is by message type (its first three
digits, so that repeats go with their originals) and the first two digits of field 3, or four where
the account debited makes another transaction of it. A row without
a builder is in the protocol and not switched on here (response 40); what has no row is 12.

A builder takes an `Incoming` and returns the command, or raises `Malformed` (30).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.commands import Pin, Token
from engine.rules.members import Enrolment, PinChange
from engine.rules.points import Accrual, Redemption
from engine.rules.terminals import Settlement, UploadItem
from engine.rules.undo import Refund, Reversal, Void
from engine.vault import Vault

TOKEN_LETTERS = "PQUC"  # noqa: S105 - letters that name kinds of tokens, not a secret
CARD_DIGITS_MIN = 8
RRN_UNKNOWN = -1
SETTLEMENT = "201"
UPLOAD_END = "207"
TOTALS_LENGTH = 39


class Malformed(Exception):
    """A request whose form is wrong although it could be decoded: response 30."""


class Incoming:
    """A request on its way to a command.

    Attributes:
        mti: message type as sent.
        fields: decoded fields by number.
        elements: tags and values of field 48 as sent; tlv: the same by tag, the last of each.
        totals: the values of the elements 50.
        pan: card number in clear from field 2 or 35, empty for none; never stored.
        pin: the verdict on the PIN; new_pin: keyed digest of the one in field 62, empty for none.
        tokens: what names the member.
        content: keyed digest of the content.
    """

    __slots__ = (
        "batch",
        "content",
        "elements",
        "fields",
        "function",
        "merchant",
        "mti",
        "new_pin",
        "pan",
        "pin",
        "stan",
        "terminal",
        "tlv",
        "tokens",
        "totals",
        "vault",
    )

    def __init__(self, mti: str, fields: dict[int, Any], vault: Vault) -> None:
        self.mti = mti
        self.fields = fields
        self.vault = vault
        self.function: str = fields.get(3, "")
        self.terminal: str = fields[41]
        self.merchant: str = fields[42]
        self.stan = 0
        self.batch = 0
        self.pan = ""
        self.pin: int = Pin.ABSENT
        self.new_pin = b""
        self.content = b""
        self.elements: list[tuple[str, bytes]] = []
        self.tokens: tuple[Token, ...] = ()
        self.tlv: dict[str, bytes] = {}
        self.totals: list[bytes] = []

    def request(self) -> tuple[str, str, int, int, bytes, str]:
        """The fields of `engine.commands.Request`, with which every command begins."""
        return (
            self.terminal,
            self.merchant,
            self.batch,
            self.stan,
            self.content,
            self.function,
        )

    def amount(self) -> int:
        """Field 4, required here."""
        try:
            return int(self.fields[4])
        except KeyError:
            raise Malformed("amount missing") from None

    def unit(self) -> str:
        """Field 49, required here: ``156`` or a program."""
        unit: str = self.fields.get(49, "")
        if unit != "156" and not is_program(unit):
            raise Malformed("unit missing or unknown")
        return unit


def is_program(unit: str) -> bool:
    """True for ``P01`` to ``P99``."""
    return len(unit) == 3 and unit[0] == "P" and unit[1:].isdecimal() and unit != "P00"  # noqa: PLR2004


def luhn_valid(number: str) -> bool:
    """True when the last digit of a card number is its check digit (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004
    return total % 10 == 0


def name_member(incoming: Incoming) -> None:
    """Turn what names the member (field 2, field 35, element 10) into tokens.

    Raises:
        Malformed: a name that is not of its form.
    """
    fields = incoming.fields
    tokens: list[Token] = []
    pan = fields.get(2, "")
    digest = incoming.vault.token_digest
    if pan:
        tokens.append(("C", digest("C", pan)))
    track = fields.get(35)
    if track is not None:
        number, separator, _ = track.partition("D")
        if not separator or not number.isdecimal():
            raise Malformed("track 2 without a card number")
        token = ("C", digest("C", number))
        if token not in tokens:
            tokens.append(token)
        pan = pan or number
    named = incoming.tlv.get("10")
    if named is not None:
        token = token_of(named, incoming.vault)
        if token not in tokens:
            tokens.append(token)
    incoming.pan = pan
    incoming.tokens = tuple(tokens)


def token_of(named: bytes, vault: Vault) -> Token:
    """The token of an element 10 or 11: a letter and the value.

    Raises:
        Malformed: an unknown letter or an empty or unprintable value.
    """
    text = token_text(named)
    return text[0], vault.token_digest(text[0], text[1:])


def token_text(named: bytes) -> str:
    """The letter and value of an element 10 or 11 as text.

    Raises:
        Malformed: as `token_of`.
    """
    if len(named) < 2 or not named.isascii():  # noqa: PLR2004
        raise Malformed("member's name too short or not ASCII")
    text = named.decode("ascii")
    if text[0] not in TOKEN_LETTERS or not text.isprintable():
        raise Malformed("member's name of an unknown kind")
    return text


# Builders.


def _accrual(incoming: Incoming) -> Any:
    if incoming.unit() != "156":
        raise Malformed("the sale of an accrual is in money")
    return Accrual(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
    )


def _redemption(incoming: Incoming) -> Any:
    return Redemption(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        incoming.pin,
    )


def _original_rrn(incoming: Incoming) -> int:
    """The sequence number in field 37; 0 without the field, -1 where it carries none of ours."""
    rrn = incoming.fields.get(37)
    if rrn is None:
        return 0
    found = incoming.vault.sequence(rrn)
    return found[1] if found is not None and found[0] == 0 and found[1] else RRN_UNKNOWN


def _original_identity(incoming: Incoming) -> tuple[int, int]:
    """Batch and STAN in field 61, zeros without the field."""
    original = incoming.fields.get(61)
    if original is None:
        return 0, 0
    if len(original) not in {12, 16}:
        raise Malformed("field 61 is batch, STAN and perhaps a date")
    return int(original[:6]), int(original[6:12])


def _void(incoming: Incoming) -> Any:
    original = _original_rrn(incoming)
    batch, stan = _original_identity(incoming)
    if not original and 61 not in incoming.fields:  # noqa: PLR2004
        raise Malformed("a void names its original in field 37 or 61")
    return Void(
        *incoming.request(),
        incoming.tokens,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        original,
        batch,
        stan,
    )


def _refund(incoming: Incoming) -> Any:
    original = _original_rrn(incoming)
    if not original:
        raise Malformed("a refund names its original in field 37")
    return Refund(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        original,
    )


def _reversal(incoming: Incoming) -> Any:
    return Reversal(
        *incoming.request(),
        incoming.tokens,
        incoming.fields.get(49, ""),
        int(incoming.fields.get(4, 0)),
        incoming.fields.get(39, ""),
    )


def _enrolment(incoming: Incoming) -> Any:
    clear: list[tuple[str, str]] = []
    if incoming.pan:
        clear.append(("C", incoming.pan))
    if "10" in incoming.tlv:
        text = token_text(incoming.tlv["10"])
        if (text[0], text[1:]) not in clear:
            clear.append((text[0], text[1:]))
    vault = incoming.vault
    cards = [value for kind, value in clear if kind == "C"]
    return Enrolment(
        *incoming.request(),
        incoming.tokens,
        tuple(vault.seal(f"token:{kind}", value.encode()) for kind, value in clear),
        all(
            len(card) >= CARD_DIGITS_MIN and card.isdecimal() and luhn_valid(card) for card in cards
        ),
    )


def _pin_change(incoming: Incoming) -> Any:
    return PinChange(
        *incoming.request(),
        incoming.tokens,
        incoming.pin,
        incoming.new_pin,
    )


def _network_code(incoming: Incoming) -> str:
    code: str = incoming.fields[60][8:11]
    return code


def _settlement(incoming: Incoming) -> Any:
    if _network_code(incoming) != SETTLEMENT:
        raise Malformed("settlement has network code 201")
    totals = tuple(sorted(_totals(value) for value in incoming.totals))
    if len({line[0] for line in totals}) != len(totals):
        raise Malformed("totals of a unit twice")
    return Settlement(
        *incoming.request(),
        totals,
    )


def _totals(value: bytes) -> tuple[str, int, int, int, int]:
    text = value.decode("ascii", "replace")
    if len(text) != TOTALS_LENGTH or not (text[3:].isascii() and text[3:].isdecimal()):
        raise Malformed("totals are unit, count, amount, count, amount")
    return text[:3], int(text[3:9]), int(text[9:21]), int(text[21:27]), int(text[27:39])


def _upload(incoming: Incoming) -> Any:
    code = _network_code(incoming)
    batch, stan = _original_identity(incoming)
    if code not in {SETTLEMENT, UPLOAD_END} or (code == SETTLEMENT and not stan):
        raise Malformed("an uploaded item has network code 201 and its batch and STAN in field 61")
    fields = incoming.fields
    return UploadItem(
        *incoming.request(),
        batch,
        stan,
        fields.get(49, ""),
        int(fields.get(4, 0)),
        fields.get(37, ""),
        fields.get(39, ""),
        incoming.tokens,
        code == UPLOAD_END,
    )


@dataclass(slots=True)
class Binding:
    """A row of the table.

    Attributes:
        name: of the transaction, as metrics and logs call it.
        build: makes the command; None where the function is not switched on.
        financial: True when an approval carries 15, 37, 38, 4, 49 and 54.
        member: True when a member has to be named.
        information: True when an information desk may send it.
        handler: ``engine`` for a command of the machine; ``inquiry`` for a read.
    """

    name: str
    build: Callable[[Incoming], Any] | None
    financial: bool
    member: bool
    information: bool
    handler: str


def _off(name: str, *, information: bool = False) -> Binding:
    return Binding(name, None, False, False, information, "engine")


ANY = ""
BINDINGS: dict[tuple[str, str], Binding] = {
    ("010", "31"): Binding("balance", None, False, True, True, "inquiry"),
    ("010", "32"): _off("rate", information=True),
    ("010", "38"): _off("day_totals", information=True),
    ("010", "39"): _off("coupon_inquiry", information=True),
    ("010", "03"): _off("hold"),
    ("010", "20"): _off("release"),
    ("020", "22"): Binding("accrual", _accrual, True, True, False, "engine"),
    ("020", "00"): Binding("redemption", _redemption, True, True, False, "engine"),
    ("020", "0060"): _off("purchase"),
    ("020", "20"): Binding("void", _void, True, False, False, "engine"),
    ("020", "21"): _off("top_up"),
    ("020", "40"): _off("conversion"),
    ("020", "91"): _off("coupon_issue"),
    ("020", "90"): _off("coupon_redemption"),
    ("020", "92"): _off("coupon_transfer"),
    ("020", "93"): _off("gift"),
    ("020", "94"): _off("lottery"),
    ("022", "20"): Binding("refund", _refund, True, False, False, "engine"),
    ("022", "00"): _off("capture"),
    ("022", "22"): _off("offline_accrual"),
    ("032", ANY): Binding("upload", _upload, False, False, False, "engine"),
    ("040", ANY): Binding("reversal", _reversal, True, False, False, "engine"),
    ("050", ANY): Binding("settlement", _settlement, False, False, False, "engine"),
    ("060", "96"): _off("loss_report"),
    ("060", "97"): _off("card_replacement"),
    ("060", "98"): Binding("enrolment", _enrolment, False, True, False, "engine"),
    ("060", "99"): Binding("pin_change", _pin_change, False, True, False, "engine"),
}


def find(mti: str, function: str) -> Binding | None:
    """The row for a message, None where the protocol has none."""
    key = (mti[:3], function)
    if key in _FOUND:
        return _FOUND[key]
    kind = key[0]
    found = (
        BINDINGS.get((kind, function[:4]))
        or BINDINGS.get((kind, function[:2]))
        or BINDINGS.get((kind, ANY))
    )
    if len(_FOUND) < FOUND_MAX:
        _FOUND[key] = found
    return found


FOUND_MAX = 1024
_FOUND: dict[tuple[str, str], Binding | None] = {}
"""What was looked up before; bounded, since processing codes are the peer's to choose."""
