"""What goes to and fro: members as messages name them, requests, replies, and their rules.

The `check_` functions hold a reply against what the protocol says of every reply, and raise
`Breach` with the section that it breaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from . import spec8583
from .spec8583 import Frame

PROGRAM = "P01"  # the alliance's own, where a verb names none
CNY = "156"


class Breach(AssertionError):
    """A reply that the protocol does not allow; the message names the section."""


# --- who is served -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A member as the tests loaded it."""

    id: str
    card: str
    phone: str
    pin: str = "123456"
    opening: int = 5000


@dataclass(frozen=True)
class Named:
    """How a message names its member: fields and TLV elements."""

    fields: Mapping[str, str]
    elements: tuple[tuple[str, str], ...] = ()


def keyed(card: str) -> Named:
    """The card number typed in."""
    return Named({"2": card, "22": "012"})


def swiped(card: str) -> Named:
    """The card's track 2, with expiry, service code and discretionary data."""
    return Named({"35": f"{card}D30122010000012"[:37], "22": "022"})


def by_phone(phone: str) -> Named:
    """The telephone number alone."""
    return Named({"22": "012"}, (("10", f"P{phone}"),))


def by_element(card: str) -> Named:
    """The card number in TLV 10."""
    return Named({"22": "032"}, (("10", f"C{card}"),))


def naming(who: "Member | Named | None") -> Named:
    """A member without further word is named by the keyed card."""
    if who is None:
        return Named({})
    return keyed(who.card) if isinstance(who, Member) else who


# --- requests and replies ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Request:
    """A message before its MAC."""

    fields: Mapping[str, str] = field(repr=False)

    @property
    def mti(self) -> str:
        """The message type."""
        return self.fields["t"]

    @property
    def stan(self) -> str:
        """Field 11."""
        return self.fields["11"]

    @property
    def batch(self) -> str:
        """The batch number in 60.2."""
        return self.fields["60"][2:8]

    def but(self, changes: Mapping[str, str | None]) -> "Request":
        """The same message with other fields; None takes one out."""
        fields = {**self.fields, **changes}
        return Request({name: value for name, value in fields.items() if value is not None})


@dataclass(frozen=True, eq=False)
class Sent:
    """A request on its way, and the key under which its reply has to come (None: no MAC)."""

    request: Request
    frame: Frame
    key: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Balance:
    """One entry of field 54."""

    account: str
    kind: str
    unit: str
    amount: int


@dataclass(frozen=True, eq=False)
class Reply:
    """A decoded reply that kept the protocol."""

    request: Request = field(repr=False)
    frame: Frame = field(repr=False)
    fields: Mapping[str, str]
    elements: spec8583.Elements

    @property
    def code(self) -> str:
        """Field 39."""
        return self.fields["39"]

    @property
    def rrn(self) -> str:
        """Field 37."""
        return self.fields["37"]

    @property
    def batch(self) -> str:
        """The batch in force, 60.2."""
        return self.fields["60"][2:8]

    @property
    def has_mac(self) -> bool:
        """Whether a MAC came; a wrong one never gets here."""
        return "64" in self.fields or "128" in self.fields

    def values(self, tag: str) -> list[str]:
        """The values of every element with this tag, as text."""
        return [value.decode("gb18030") for name, value in self.elements if name == tag]

    @property
    def points(self) -> str:
        """TLV 30 where exactly one came."""
        (moved,) = self.values("30")
        return moved

    @property
    def balances(self) -> list[Balance]:
        """Field 54, entry by entry."""
        return parse_balances(self.fields.get("54", ""))

    def available(self, unit: str = PROGRAM) -> int:
        """The available points of a program, or stored value."""
        return self._amount("02", unit)

    def ledger(self, unit: str = PROGRAM) -> int:
        """The ledger balance, held amounts included."""
        return self._amount("01", unit)

    def _amount(self, kind: str, unit: str) -> int:
        found = [b.amount for b in self.balances if (b.kind, b.unit) == (kind, unit)]
        if len(found) != 1:
            raise Breach(f"field 54 names {unit} type {kind} {len(found)} times, not once")
        return found[0]

    @property
    def business(self) -> dict[str, str]:
        """What section 6 rule 1 promises to be the same in the reply to a repeat."""
        names = ("4", "15", "37", "38", "39", "44", "48", "49", "54", "62")
        return {name: self.fields[name] for name in names if name in self.fields}


def parse_balances(field_54: str) -> list[Balance]:
    """Cut field 54 into its entries of 20 characters and judge each.

    Raises:
        Breach: not whole entries, more than six, or an entry that is not of the form.
    """
    if len(field_54) % 20 or len(field_54) > 120:
        raise Breach("section 2, field 54: not one to six entries of 20 characters")
    entries = []
    for at in range(0, len(field_54), 20):
        entry = field_54[at : at + 20]
        account, kind, unit, sign, amount = (
            entry[:2],
            entry[2:4],
            entry[4:7],
            entry[7],
            entry[8:],
        )
        if account not in ("65", "60") or kind not in ("01", "02") or sign not in "CD":
            raise Breach(f"section 2, field 54: no entry is written {entry!r}")
        entries.append(Balance(account, kind, unit, int(amount) * (-1 if sign == "D" else 1)))
    return entries


def member_fields(request: Request) -> dict[str, str]:
    """The fields by which a request named its member: 2, 35, or 48 with TLV 10 alone."""
    fields = {name: request.fields[name] for name in ("2", "35") if name in request.fields}
    elements = spec8583.decode_elements(request.fields.get("48", ""))
    names = [(tag, value) for tag, value in elements if tag == "10"]
    if names:
        fields["48"] = spec8583.encode_elements(names)
    return fields


def total_line(unit: str, debits: int, debited: int, credits_: int, credited: int) -> str:
    """The value of TLV 50."""
    return f"{unit}{debits:06d}{debited:012d}{credits_:06d}{credited:012d}"


# --- what every reply must keep ----------------------------------------------------------------


def check_envelope(sent: Sent, frame: Frame) -> None:
    if frame.tpdu != sent.frame.swapped_tpdu:
        raise Breach("section 1: the reply's TPDU is not the request's with addresses swapped")
    at = spec8583.PROCESSING_REQUEST
    ours, theirs = sent.frame.header.hex(), frame.header.hex()
    if ours[:at] + ours[at + 1 :] != theirs[:at] + theirs[at + 1 :]:
        raise Breach("section 1: the header is not echoed")
    if theirs[at] not in "01367":
        raise Breach(f"section 1: there is no processing request {theirs[at]}")


def check_echoes(request: Request, reply: Reply) -> None:
    asked, told = request.fields, reply.fields
    expected_mti = f"{request.mti[:2]}{int(request.mti[2]) + 1}0"
    if told["t"] != expected_mti:
        raise Breach(f"section 2: {request.mti} is answered by {expected_mti}, not {told['t']}")
    for name in ("11", "12", "13", "39", "41", "42", "60"):
        if name not in told:
            raise Breach(f"section 2: reply without field {name}")
    for name in ("3", "11", "41", "42"):
        if told.get(name) != asked.get(name):
            raise Breach(f"section 2: field {name} is not the request's")
    if (told["60"][:2], told["60"][8:]) != (asked["60"][:2], asked["60"][8:]):
        raise Breach("section 2: 60.1 and 60.3 are not the request's")
    for name in ("2", "14", "22", "25", "35", "52", "61", "110"):
        if name in told:
            raise Breach(f"section 2: field {name} has no place in a reply")
    try:
        datetime.strptime(f"2024{told['13']}{told['12']}", "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError as fault:
        raise Breach("section 2: fields 12 and 13 are no date and time") from fault


def check_elements(reply: Reply) -> None:
    tags = sorted(tag for tag, _ in reply.elements)
    for first, second in pairwise(tags):
        if first == second and first not in ("30", "50", "63"):
            raise Breach(f"section 5: element {first} comes twice")


def check_approval(request: Request, reply: Reply) -> None:
    for name in ("15", "37", "38"):
        if name not in reply.fields:
            raise Breach(f"section 2: an approval without field {name}")
    asked = {name: request.fields.get(name) for name in ("4", "49")}
    if request.mti[:3] == "020" and request.fields.get("3", "")[:2] == "90":
        # The sale less the discount, which element 33 tells.
        (discount,) = reply.values("33")
        asked["4"] = f"{int(request.fields['4']) - int(discount):012d}"
    for name, value in asked.items():
        if reply.fields.get(name) != value:
            raise Breach(f"section 2: an approval has field {name} as asked")
    if not (reply.rrn.isdigit() and len(reply.rrn) == 12):
        raise Breach("section 2: field 37 is 12 digits")
    kinds = [(b.unit, b.kind) for b in reply.balances]
    for at in range(0, len(kinds), 2):
        pair = kinds[at : at + 2]
        if [kind for _, kind in pair] != ["02", "01"] or len({unit for unit, _ in pair}) != 1:
            raise Breach("section 2: field 54 has the available, then the ledger entry of a unit")


def check_decline(reply: Reply) -> None:
    text = reply.fields.get("44", "")
    if not text.strip():
        raise Breach(f"section 7: decline {reply.code} does not say why in field 44")
    card = reply.request.fields.get("2") or reply.request.fields.get("35", "").split("D")[0]
    if card and (card in text or card[-10:] in text):
        raise Breach("section 7: field 44 has card data")
