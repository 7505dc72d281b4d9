"""A request on its way to a command: its fields, and what names the member.

Builders (`posd.builders`) take an `Incoming` and return a command, or raise `Malformed` (30).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine import codes
from engine.commands import Pin, Token
from engine.vault import Vault

TOKEN_LETTERS: Final = "PQUC"  # noqa: S105 - letters that name kinds of tokens, not a secret
PERSONAL_TAGS: Final = frozenset({"10", "11", "1F", "1H"})
"""Elements that name a person."""
LOSS_REPORT: Final = "96"
"""The function in which an identity number names the member: it may block cards, never spend."""
RRN_UNKNOWN: Final = -1
QUANTITY_DIGITS: Final = 9
ID_BYTES: Final = 32
COUPON_MAX: Final = 40
"""Characters of what is taken for a coupon's code."""
REFERENCE_MAX: Final = 40
"""Bytes of an order or receipt reference."""


class Malformed(Exception):
    """A request whose form is wrong although it could be decoded: response 30."""


class Unlisted(Exception):
    """A request of good form that is no row of the protocol's table: response 12."""


def nothing_read(_key: bytes) -> Any:
    """The reads of a request that is only looked at."""
    return None


class Incoming:
    """A request on its way to a command.

    Attributes:
        mti: message type as sent; bitmap: the same, empty where it is not known.
        fields: decoded fields by number.
        elements: tags and values of field 48 as sent; tlv: the same by tag, the last of each.
        totals: the values of the elements 50.
        pan: card number in clear from field 2 or 35, empty for none; never stored.
        pin: the verdict on the PIN; new_pin: keyed digest of the one in field 62, empty for none.
        tokens: what names the member.
        content: keyed digest of the content.
        read: point reads of the newest rows, for what a rule may not do itself.
        operator, operator_pin: who field 63 names, where the merchant has operators, and the
            verdict on the PIN in element 19.
    """

    __slots__ = (
        "batch",
        "bitmap",
        "content",
        "elements",
        "fields",
        "function",
        "merchant",
        "mti",
        "new_pin",
        "operator",
        "operator_pin",
        "pan",
        "pin",
        "read",
        "stan",
        "terminal",
        "tlv",
        "tokens",
        "totals",
        "vault",
    )

    def __init__(
        self,
        mti: str,
        fields: dict[int, Any],
        vault: Vault,
        read: Callable[[bytes], Any] = nothing_read,
        bitmap: bytes = b"",
    ) -> None:
        self.bitmap = bitmap
        self.read = read
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
        self.operator = ""
        self.operator_pin: int = Pin.ABSENT
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

    def reference(self) -> str:
        """Element 17, the order or receipt that this belongs to; empty for none.

        Raises:
            Malformed: it is empty, too long or not printable ASCII.
        """
        value = self.tlv.get("17")
        if value is None:
            return ""
        if not 0 < len(value) <= REFERENCE_MAX or not value.isascii():
            raise Malformed("a reference that is empty, too long or not ASCII")
        text = value.decode("ascii")
        if not text.isprintable():
            raise Malformed("a reference that is not printable")
        return text

    def unit(self) -> str:
        """Field 49, required here: ``156`` or a program."""
        unit: str = self.fields.get(49, "")
        if unit != "156" and not is_program(unit):
            raise Malformed("unit missing or unknown")
        return unit


def quantity(incoming: Incoming) -> int:
    """Element 15, pieces; 1 without it.

    Raises:
        Malformed: it is other than 1 to 9 digits.
    """
    value = incoming.tlv.get("15", b"1")
    if not 0 < len(value) <= QUANTITY_DIGITS or not value.isdigit():
        raise Malformed("a quantity is 1 to 9 digits")
    return int(value)


def named_in(incoming: Incoming, tag: str) -> str:
    """The id of something in an element: 1 to 32 ASCII characters.

    Raises:
        Malformed: it is missing or of another form.
    """
    value = incoming.tlv.get(tag, b"")
    if not 0 < len(value) <= ID_BYTES or not value.isascii():
        raise Malformed("an id that is missing, too long or not ASCII")
    return value.decode("ascii")


def is_program(unit: str) -> bool:
    """True for ``P01`` to ``P99``."""
    return len(unit) == 3 and unit[0] == "P" and unit[1:].isdecimal() and unit != "P00"  # noqa: PLR2004


def program_named(value: bytes) -> str:
    """The program in an element 49.

    Raises:
        Malformed: it is none.
    """
    unit = value.decode("ascii", "replace")
    if not is_program(unit):
        raise Malformed("target unit unknown")
    return unit


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
    if "1H" in incoming.tlv and incoming.function[:2] == LOSS_REPORT:
        tokens.append(identity_token(incoming.tlv["1H"], incoming.vault))
    incoming.pan = pan
    incoming.tokens = tuple(tokens)


def naming(fields: dict[int, Any], tokens: list[str]) -> None:
    """Add what `name_member` will probably ask the names of, as `engine.vault.Vault.expect` has it.

    Args:
        fields: of a request that nothing was checked of yet.
        tokens: takes the card numbers in fields 2 and 35, and element 10 heading field 48.
    """
    pan = fields.get(2)
    if pan:
        tokens.append("C" + pan)
    track = fields.get(35)
    if track:
        tokens.append("C" + track.partition("D")[0])
    elements: bytes = fields.get(48, b"")
    if elements[:2] == b"10" and elements[2:5].isdigit():
        named = elements[5 : 5 + int(elements[2:5])].decode("ascii", "replace")
        if named and named[0] in TOKEN_LETTERS:
            tokens.append(named)


def token_of(named: bytes, vault: Vault) -> Token:
    """The token of an element 10 or 11: a letter and the value.

    Raises:
        Malformed: an unknown letter or an empty or unprintable value.
    """
    text = token_text(named)
    return text[0], vault.token_digest(text[0], text[1:])


def coupon_named(incoming: Incoming, series: str = codes.COUPON) -> tuple[bytes, int, int]:
    """The code of element 12: its digest, and batch and serial number that it says in a series.

    What cannot be a code is looked up like one that nobody has.

    Raises:
        Malformed: it is missing, or nothing that could have been typed.
    """
    named = incoming.tlv.get("12", b"")
    if not 0 < len(named) <= COUPON_MAX or not named.isascii():
        raise Malformed("a coupon's code is missing, too long or not ASCII")
    text = named.decode("ascii")
    return codes.find(incoming.vault, text, series)


def coupon_digest(incoming: Incoming) -> bytes:
    """The digest of the code in element 12, empty without it."""
    named = incoming.tlv.get("12")
    return codes.digest_of(incoming.vault, named.decode("latin-1")) if named else b""


def identity_token(named: bytes, vault: Vault) -> Token:
    """The token of an identity number (element 1H); small letters count as capitals.

    Raises:
        Malformed: nothing that an identity document could bear.
    """
    text = named.decode("ascii", "replace")
    if not text.isascii() or not text.isalnum():
        raise Malformed("identity number of another form")
    return "I", vault.token_digest("I", text.upper())


def name_in(tag: str, value: bytes, vault: Vault) -> bytes:
    """What stands for the person in an element of `PERSONAL_TAGS`, whatever its form."""
    text = value.decode("latin-1")
    if tag == "1F":
        return vault.token_digest("C", text)
    if tag == "1H":
        return vault.token_digest("I", text.upper())
    kind = text[:1]
    return vault.token_digest(
        *((kind, text[1:]) if kind in TOKEN_LETTERS and kind else ("Q", text))
    )


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


def original_rrn(incoming: Incoming) -> int:
    """The sequence number in field 37; 0 without the field, -1 where it carries none of ours."""
    rrn = incoming.fields.get(37)
    if rrn is None:
        return 0
    found = incoming.vault.sequence(rrn)
    return found[1] if found is not None and found[0] == 0 and found[1] else RRN_UNKNOWN


def original_identity(incoming: Incoming) -> tuple[int, int]:
    """Batch and STAN in field 61, zeros without the field."""
    original = incoming.fields.get(61)
    if original is None:
        return 0, 0
    if len(original) not in {12, 16}:
        raise Malformed("field 61 is batch, STAN and perhaps a date")
    return int(original[:6]), int(original[6:12])


def network_code(incoming: Incoming) -> str:
    """Field 60.3."""
    code: str = incoming.fields[60][8:11]
    return code
