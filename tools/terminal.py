"""A point-of-sale terminal without a socket and without a clock of its own.

A `Terminal` speaks the protocol (``protocol.md``) from the till's side and keeps what a real one
keeps: STAN, batch, session keys, the request under way and its deadline, what it still owes the
host, and books of its own. It makes frames and is given frames; time comes in as an argument.

The rules by which it speaks:

1. One request is under way at a time. `receive` answers None to anything that is not its reply.
2. A request without an answer is made good before anything new: `due` says with which frame. What
   can be undone is reversed (0400, then 0401 until it is answered); what cannot (refund, enrolment,
   settlement, upload) is repeated, and so is anything if the caller asks for it. An inquiry is
   forgotten.
3. An answer that settles nothing (77, 91, 96, A0 …) leaves a reversal or a repeat owed.
4. A repeat that is answered 77 under a MAC, with another batch, was never posted: its batch was
   left open for too long. It is sent as a new request.
5. 77 and A0, or the processing request "sign on again", lead to a sign-on; a new request that was
   refused so is sent again with the batch number of the reply, under a STAN of its own.
6. A reply counts only if its MAC is right. One without a MAC counts only if it is a refusal of
   those that the host makes before it has judged the MAC.
7. 95 at settlement leads to an upload, item by item, by way of `due`.

What it believes is in its books (`tools.till_books`). A request whose reply never came is in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final, NamedTuple

from posd import security
from posd.framing import Frame, frame
from posd.iso8583.compile import Codec
from posd.iso8583.tlv import build_tlv
from tools.till_books import COUPONS, Books, Movement, Posted, Presented
from tools.till_replies import (
    MONEY,
    balances_told,
    business_fields,
    elements_told,
    moved_lines,
    points_moved,
)
from tools.till_requests import (
    GIVING,
    HARMLESS,
    REVERSIBLE,
    SALES,
    UNVOIDABLE,
    WITH_PIN,
    Request,
    named,
    of_value,
)

HEADER: Final = bytes.fromhex("603100311234")
HOST_ADDRESS: Final = bytes.fromhex("1234")
STAN_MAX: Final = 999_999
REASON_NO_ANSWER: Final = "98"
"""Field 39 of a reversal whose original had no answer in time."""
RETRIES_MAX: Final = 5
"""How often a new request that was refused for want of keys or batch is sent again."""
STAN_SKIP: Final = 997
"""How far a terminal that lost its memory moves on after 94."""

APPROVED: Final = "00"
UNJUDGED: Final = frozenset({"97", "58", "03", "77", "A0"})
"""Refusals that the host makes before it has verified a MAC, so that they carry none."""
UNSETTLED: Final = UNJUDGED | {"91", "96", "34"}
"""Answers that say nothing about what became of an earlier message of the same identity."""
SIGN_ON_AGAIN: Final = 3

_PROCESSING_BYTE: Final = 2
_PRIVATE_TYPES: Final = {"statement": "03"}
"""Field 60.1, where it says something: the last transactions are asked for too."""
_MAC_ZEROS: Final = bytes(security.MAC_SIZE)
_REVERSED_FIELDS: Final[tuple[int, ...]] = (2, 3, 4, 22, 25, 35, 49)
_UPLOADED_FIELDS: Final[tuple[int, ...]] = (2, 3, 4, 35, 49)

Totals = dict[str, list[int]]
"""Unit to debit count, debit amount, credit count, credit amount."""


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """What a terminal was given by its operator.

    Attributes:
        id: Terminal id, 8 characters.
        merchant: Merchant id, 15 characters.
        profile: One of `posd.security.PROFILES`.
        tmk: Terminal master key, 16 bytes.
        address: TPDU address, 2 bytes; tells terminals on one link apart.
        serial: Device serial for element 1B, or empty.
    """

    id: str
    merchant: str
    profile: str
    tmk: bytes
    address: bytes
    serial: str = ""

    def __repr__(self) -> str:
        """Show the id only: the rest holds a key."""
        return f"Registration({self.id})"


class Answer(NamedTuple):
    """What came of a message.

    Attributes:
        kind: Name of the transaction; `reversal` for the undo of one.
        code: Response code, field 39.
        settled: False where the terminal has to send something again.
        moved, program: Points moved and their program, zero and empty where nothing was.
        balances: Unit, available and ledger points, as field 54 lists them.
        repeated: True for the answer to a repeat (0201, 0401 …).
        differs: True when a repeat was answered otherwise than the reply that was lost.
        lost: True for a reply that the terminal never saw, see `Terminal.lose`.
        rrn: Field 37, empty for none.
        coupon: The code of a new coupon, empty for none.
    """

    kind: str
    code: str
    settled: bool
    moved: int = 0
    program: str = ""
    balances: tuple[tuple[str, int, int], ...] = ()
    repeated: bool = False
    differs: bool = False
    lost: bool = False
    rrn: str = ""
    coupon: str = ""


class Terminal:
    """One terminal; see the head of this module.

    Args:
        registration: Who it is.
        fill: Gives so many random bytes, for PIN blocks of the `aes` profile.
        timeout_s: How long it waits for an answer.
        codec: A codec to share with other terminals of the same thread.

    Attributes:
        books: What it believes.
        posted: Approved transactions that may still be undone, the newest last.
        held: Approved holds. coupons: Codes that were given out here and not used yet.
        batch: Number of the batch in force, as far as it knows.
        stan: The last STAN used.
        deadline: When the request under way is given up, in the caller's clock; None for none.
        strays: Replies that were not for the request under way.
        forged: Replies whose MAC was wrong or missing.
        disputed: Batches that closed with an upload.
    """

    POSTED_MAX: Final = 64

    def __init__(
        self,
        registration: Registration,
        fill: Callable[[int], bytes],
        timeout_s: float = 10.0,
        codec: Codec | None = None,
    ) -> None:
        self.registration = registration
        self.books = Books()
        self.posted: list[Posted] = []
        self.held: list[Posted] = []
        self.coupons: list[str] = []
        self.batch = 1
        self.stan = 0
        self.deadline: float | None = None
        self.strays = 0
        self.forged = 0
        self.disputed = 0
        self._fill = fill
        self._timeout_s = timeout_s
        self._codec = codec or Codec()
        self._tpdu = b"\x60" + HOST_ADDRESS + registration.address
        self._keys: security.SessionKeys | None = None
        self._mac: Callable[[bytes], bytes] | None = None
        self._sign_on_mac: Callable[[bytes], bytes] | None = None
        if registration.profile == security.AES_PROFILE:
            key = security.sign_on_key(registration.tmk)
            self._sign_on_mac = security.mac_calculator(security.AES_PROFILE, key)
        self._signed_on = False
        self._request: Request | None = None
        self._owed: Request | None = None
        self._retry: Request | None = None
        self._totals: Totals = {}
        self._items: dict[int, Posted] = {}
        self._uploads: list[Request] = []

    def __repr__(self) -> str:
        """Show the id only."""
        return f"Terminal({self.registration.id})"

    # What it has to do, and has in hand.

    @property
    def busy(self) -> bool:
        """True while a request is under way."""
        return self._request is not None

    @property
    def owing(self) -> str:
        """The kind of request whose outcome is not known yet; empty for none."""
        for request in (self._request, self._owed):
            if request is not None and request.kind not in HARMLESS:
                return request.kind
        return ""

    @property
    def totals(self) -> Totals:
        """The open batch by unit; see `Totals`."""
        return self._totals

    def due(self, now: float) -> bytes | None:
        """The frame that has to go out before anything new; None when nothing is owed.

        Args:
            now: Seconds on the caller's clock.
        """
        if not self._signed_on:
            return self.sign_on(now)
        if self._owed is not None:
            return self._send(self._owed, now)
        if self._retry is not None:
            request, self._retry = self._retry, None
            return self._send(request, now)
        if self._uploads:
            return self._send(self._uploads.pop(0), now)
        return None

    # Requests. Each returns the frame; `now` is seconds on the caller's clock.

    def sign_on(self, now: float) -> bytes:
        """0800: ask for keys."""
        aes = self.registration.profile == security.AES_PROFILE
        body: dict[int, Any] = {63: b"01 "}
        if self.registration.serial:
            body[48] = build_tlv([("1B", self.registration.serial.encode("ascii"))])
        return self._send(Request("sign-on", "0800", body, code="005" if aes else "003"), now)

    def echo(self, now: float) -> bytes:
        """0820 with 301: ask whether the host is there."""
        return self._send(Request("echo", "0820", {}, code="301"), now)

    def balance(self, presented: Presented, now: float) -> bytes:
        """0100: ask what a member has."""
        body = named({3: "310000"}, presented)
        return self._send(Request("balance", "0100", body, presented), now)

    def accrue(self, presented: Presented, fen: int, now: float) -> bytes:
        """0200: give points for a sale."""
        body = named({3: "220065", 4: f"{fen:012d}", 49: MONEY}, presented)
        return self._send(Request("accrual", "0200", body, presented), now)

    def advise(self, presented: Presented, fen: int, sold_at: str, now: float) -> bytes:
        """0220: tell of a sale made offline; `sold_at` is its local time, YYYYMMDDhhmmss."""
        told = build_tlv([("1G", sold_at.encode("ascii"))])
        body = named({3: "220065", 4: f"{fen:012d}", 48: told, 49: MONEY}, presented)
        return self._send(Request("advice", "0220", body, presented), now)

    def redeem(self, presented: Presented, unit: str, amount: int, now: float) -> bytes:
        """0200: pay with points; `amount` in points of `unit`, or in fen where that is `156`."""
        body = named({3: "006500", 4: f"{amount:012d}", 49: unit}, presented)
        return self._send(Request("redemption", "0200", body, presented), now)

    def top_up(self, presented: Presented, unit: str, amount: int, now: float) -> bytes:
        """0200: load stored value (`156`) or points against payment."""
        function = "210060" if unit == MONEY else "210065"
        body = named({3: function, 4: f"{amount:012d}", 49: unit}, presented)
        return self._send(Request("top-up", "0200", body, presented), now)

    def purchase(self, presented: Presented, fen: int, now: float) -> bytes:
        """0200: pay with stored value."""
        body = named({3: "006000", 4: f"{fen:012d}", 49: MONEY}, presented)
        return self._send(Request("purchase", "0200", body, presented), now)

    def hold(self, presented: Presented, unit: str, amount: int, now: float) -> bytes:
        """0100: set points aside; `amount` as in a redemption."""
        body = named({3: "036500", 4: f"{amount:012d}", 49: unit}, presented)
        return self._send(Request("hold", "0100", body, presented), now)

    def capture(self, held: Posted, amount: int, now: float) -> bytes:
        """0220: spend what is held, or a part of it."""
        function = "00" + held.body[3][2:]
        told = {3: function, 4: f"{amount:012d}", 37: held.rrn, 49: held.unit}
        body = named(told, held.presented)
        return self._send(Request("capture", "0220", body, held.presented, held), now)

    def release(self, held: Posted, now: float) -> bytes:
        """0100: set what is held free."""
        body = named({3: "200000", 37: held.rrn}, held.presented)
        return self._send(Request("release", "0100", body, held.presented, held), now)

    def void(self, original: Posted, now: float) -> bytes:
        """0200: undo a transaction of the open batch."""
        told = {3: "200000", 37: original.rrn, 61: f"{original.batch:06d}{original.stan:06d}"}
        told |= {n: original.body[n] for n in (4, 49) if n in original.body}
        body = named(told, original.presented)
        return self._send(Request("void", "0200", body, original.presented, original), now)

    def refund(self, original: Posted, amount: int, now: float) -> bytes:
        """0220: give a part of a transaction back; `amount` in the unit of the original."""
        body = named(
            {3: "200000", 4: f"{amount:012d}", 37: original.rrn, 49: original.unit},
            original.presented,
        )
        return self._send(Request("refund", "0220", body, original.presented, original), now)

    def enrol(self, presented: Presented, now: float) -> bytes:
        """0600: open an account for a card or phone."""
        body = named({3: "980000"}, presented)
        return self._send(Request("enrolment", "0600", body, presented), now)

    def replace_card(self, presented: Presented, number: str, now: float) -> bytes:
        """0600: a new card for the one that is presented."""
        body = named({3: "970000"}, presented)
        body[48] = build_tlv([("1F", number.encode("ascii"))])
        return self._send(Request("replacement", "0600", body, presented), now)

    def settle(self, now: float) -> bytes:
        """0500: close the batch with its totals."""
        lines = [
            ("50", f"{unit}{line[0]:06d}{line[1]:012d}{line[2]:06d}{line[3]:012d}".encode())
            for unit, line in sorted(self._totals.items())
            if any(line)
        ]
        body: dict[int, Any] = {48: build_tlv(lines)} if lines else {}
        return self._send(Request("settlement", "0500", body, code="201"), now)

    def send(self, request: Request, now: float) -> bytes:
        """A request that was made elsewhere; one of kind `RECORDED` keeps its identity."""
        return self._send(request, now)

    # What becomes of a request.

    def receive(self, reply: Frame) -> Answer | None:
        """Take a frame from the host.

        Returns:
            What came of the request under way; None for a frame that is not its reply.

        Raises:
            Undecodable: The host's bytes are no message.
        """
        matched = self._matching(reply)
        if matched is None:
            return None
        request, fields = matched
        if not self._authentic(request, reply.message, fields):
            self.forged += 1
            return None
        self._request = self.deadline = None
        code: str = fields[39]
        if code in {"77", "A0"} or reply.header[_PROCESSING_BYTE] & 0x0F == SIGN_ON_AGAIN:
            self._signed_on = False
        return self._settle_request(request, code, fields)

    def lose(self, reply: Frame, *, repeat: bool = False) -> Answer | None:
        """Take a frame from the host and lose it, as a bad line would.

        What the host said is kept only to compare it with the answer to a repeat.

        Args:
            reply: The frame.
            repeat: Send the request again rather than reverse it.

        Returns:
            None if the frame was not the reply to the request under way; else what the terminal
            will never know, not settled.
        """
        matched = self._matching(reply)
        if matched is None:
            return None
        request, fields = matched
        if fields[39] not in UNSETTLED:
            request.unseen = business_fields(fields)
        self.give_up(repeat=repeat)
        return Answer(request.kind, fields[39], settled=False, lost=True)

    def expired(self, now: float) -> bool:
        """True when the request under way has waited too long."""
        return self.deadline is not None and now >= self.deadline

    def give_up(self, *, repeat: bool = False) -> None:
        """Note that the request under way got no answer.

        Args:
            repeat: Send it again rather than reverse it.
        """
        request, self._request, self.deadline = self._request, None, None
        if request is None or request.kind in HARMLESS or request is self._owed:
            return
        self._owed = request if repeat or request.kind not in REVERSIBLE else _reversal(request)

    # Sending.

    def _send(self, request: Request, now: float) -> bytes:
        """Give a request its identity if it has none, and make its next frame."""
        assert self._request is None, "one request is under way at a time"  # noqa: S101 - a bug
        registration = self.registration
        if not request.stan:
            self.stan = self.stan % STAN_MAX + 1
            request.stan, request.batch = self.stan, self.batch
        mti = request.mti if not request.sendings else request.mti[:3] + "1"
        request.sendings += 1
        fields = {
            **request.body,
            11: f"{request.stan:06d}",
            41: registration.id,
            42: registration.merchant,
            60: f"{_PRIVATE_TYPES.get(request.kind, '00')}{request.batch:06d}{request.code}",
        }
        if request.kind in WITH_PIN and request.presented is not None and request.presented.pin:
            self._add_pin(fields, request, request.presented)
        self._request = request
        self.deadline = now + self._timeout_s
        return frame(self._tpdu, HEADER, self._sealed(request.kind, mti, fields))

    def _sealed(self, kind: str, mti: str, fields: dict[int, Any]) -> bytes:
        """Encode a message with its MAC, where it carries one."""
        mac = self._sign_on_mac if kind == "sign-on" else self._mac
        if mac is None or kind == "echo":
            return self._codec.encode(mti, fields)
        fields[128 if 110 in fields else 64] = _MAC_ZEROS  # noqa: PLR2004 - the AES PIN block
        data = self._codec.encode(mti, fields)[: -security.MAC_SIZE]
        return data + mac(data)

    def _add_pin(self, fields: dict[int, Any], request: Request, presented: Presented) -> None:
        """Put the PIN block under the keys in force into its field."""
        assert self._keys is not None, "a PIN needs keys"  # noqa: S101 - a bug of the caller
        profile = self.registration.profile
        aes = profile == security.AES_PROFILE
        fill = self._fill(security.PIN_FILL_SIZE) if aes else b""
        number = presented.card or presented.track.partition("D")[0]
        block = security.pin_block(profile, self._keys.pin_key, presented.pin, number, fill)
        fields[110 if aes else 52] = block
        if 62 in request.body:  # noqa: PLR2004 - a change of PIN
            # To the same one. The block is a part of the content, and a repeat brings it again.
            if request.sendings == 1:
                request.body[62] = block
            fields[62] = request.body[62]

    # Receiving.

    def _matching(self, reply: Frame) -> tuple[Request, dict[int, Any]] | None:
        """The request under way and the reply's fields, if it is its reply; others are counted."""
        request = self._request
        if request is not None:
            message = self._codec.decode(reply.message)
            mti = request.mti
            fields: dict[int, Any] = message.fields
            expected = f"{mti[:2]}{int(mti[2]) + 1}0"
            if message.mti == expected and fields.get(11) == f"{request.stan:06d}":
                return request, fields
        self.strays += 1
        return None

    def _authentic(self, request: Request, message: bytes, fields: dict[int, Any]) -> bool:
        """True when a reply may be believed; the keys of a sign-on are taken if it may."""
        if request.kind == "echo":
            return True
        if 64 not in fields:  # noqa: PLR2004 - the MAC
            return fields[39] in UNJUDGED
        body, mac = message[: -security.MAC_SIZE], message[-security.MAC_SIZE :]
        if request.kind == "sign-on" and fields[39] == APPROVED:
            return self._take_keys(fields.get(62, b""), body, mac)
        calculate = self._sign_on_mac if request.kind == "sign-on" else self._mac
        return calculate is not None and compare_digest(calculate(body), mac)

    def _take_keys(self, field_62: bytes, body: bytes, mac: bytes) -> bool:
        """Take the keys of a sign-on reply, if they and its MAC are right."""
        registration = self.registration
        try:
            keys = security.unwrap_keys(registration.profile, registration.tmk, field_62)
        except security.KeyBlockError:
            return False
        delivered = security.mac_calculator(registration.profile, keys.mac_key)
        # In the TDES profiles the key that verifies the reply is in the reply itself.
        calculate = self._sign_on_mac or delivered
        if not compare_digest(calculate(body), mac):
            return False
        self._keys, self._mac = keys, delivered
        return True

    def _settle_request(self, request: Request, code: str, fields: dict[int, Any]) -> Answer:
        """Book an answer, or note what it leaves owed."""
        kind, repeated = request.kind, request.sendings > 1
        if kind == "sign-on":
            self._signed_on = code == APPROVED
            if self._signed_on:
                self._take_batch(fields)
            return Answer(kind, code, settled=self._signed_on)
        if self._stays_owed(request, code, fields):
            return Answer(kind, code, settled=False, repeated=repeated)
        differs = request.unseen is not None and request.unseen != business_fields(fields)
        self._owed = None
        moved, program = 0, ""
        if code == APPROVED:
            moved, program = self._book(request, fields)
        elif kind == "settlement" and code == "95":
            self._uploads = [*self._upload()]
        balances = tuple(balances_told(fields.get(54, "")))
        answer = Answer(kind, code, True, moved, program, balances, repeated, differs)
        return answer._replace(rrn=fields.get(37, ""), coupon=elements_told(fields).get("38", ""))

    def _stays_owed(self, request: Request, code: str, fields: dict[int, Any]) -> bool:
        """Arrange what has to be sent again after an answer that settles nothing."""
        if request is self._owed:
            if not _is_of_an_old_batch(request, code, fields):
                return code in UNSETTLED
            self._owed = None
        if code in {"77", "A0", "94"} and request.retries < RETRIES_MAX:
            # Nothing was posted and the identity is free (or somebody else's): a new one.
            if code == "94":
                self.stan = (self.stan + STAN_SKIP) % STAN_MAX
            request.retries += 1
            request.stan = request.sendings = 0
            self._retry = request if request.kind not in HARMLESS else None
            return True
        return False

    def _take_batch(self, fields: dict[int, Any]) -> None:
        """Learn the batch in force; another one than before starts with nothing in it."""
        batch = int(fields[60][2:8])
        if batch != self.batch:
            self.batch = batch
            self._totals = {}
            self._items = {}

    # Books.

    def _book(self, request: Request, fields: dict[int, Any]) -> tuple[int, str]:
        """Enter an approval; returns the points moved and their program."""
        kind = request.kind
        if kind in SALES:
            return self._book_sale(request, fields)
        if kind == "void":
            return self._book_void(request)
        if kind == "refund":
            return self._book_refund(request, fields)
        if kind == "enrolment" and request.presented is not None:
            self.books.enrolled.append(request.presented.member)
        elif kind == "settlement" or (kind == "upload" and request.code == "207"):
            self.disputed += kind == "upload"
            self._totals, self._items = {}, {}
            self._take_batch(fields)
        return 0, ""

    def _book_sale(self, request: Request, fields: dict[int, Any]) -> tuple[int, str]:
        assert request.presented is not None  # noqa: S101 - made so
        lines = moved_lines(fields)
        told = elements_told(fields)
        if of_value(request.body):
            fen = int(request.body[4])
            lines = [(fen if request.kind in GIVING else -fen, MONEY)]
        elif request.kind == "coupon use":
            lines = [(-int(told["33"]), COUPONS)]
        moved, program = lines[0] if lines else (0, "")
        member = request.presented.member
        side = "C" if request.kind != "lottery draw" else ""  # prizes are in no totals
        gained = tuple(Movement(member, unit, amount, side) for amount, unit in lines[1:])
        posted = Posted(
            request.kind,
            request.body,
            request.presented,
            request.body.get(49, ""),
            int(request.body.get(4, 0)),
            program,
            moved,
            fields[37],
            request.batch,
            request.stan,
            also=request.also + gained,
            redeemer=request.redeemer,
            coupon=told.get("38", ""),
        )
        if posted.coupon:
            self.coupons = [*self.coupons[-self.POSTED_MAX :], posted.coupon]
        if request.kind == "hold":  # moves nothing yet
            self.held = [*self.held[-self.POSTED_MAX :], posted]
            return 0, program
        self.books.move(self.registration.merchant, posted, moved)
        self._count_all(posted)
        self._items[posted.stan] = posted
        if request.kind not in UNVOIDABLE:
            self.posted.append(posted)
        if len(self.posted) > self.POSTED_MAX:
            del self.posted[0]
        return moved, program

    def _book_void(self, request: Request) -> tuple[int, str]:
        original = request.original
        assert original is not None  # noqa: S101 - made so
        original.undone = True
        if original.coupon in self.coupons:
            self.coupons.remove(original.coupon)
        self.books.move(self.registration.merchant, original, -original.moved)
        self._count_all(original, times=-1)
        self._items.pop(original.stan, None)
        return -original.moved, original.program

    def _count_all(self, posted: Posted, times: int = 1) -> None:
        """Count all that a transaction moved, or take it back (`times` -1)."""
        credit = posted.kind in GIVING
        if posted.program:  # a coupon that cost nothing is not counted
            self._count(posted.program, posted.moved, credit=credit, times=times)
        for other in posted.also:
            if other.side:
                self._count(other.unit, other.amount, credit=other.side == "C", times=times)

    def _book_refund(self, request: Request, fields: dict[int, Any]) -> tuple[int, str]:
        original = request.original
        assert original is not None  # noqa: S101 - made so
        moved, program = points_moved(fields)
        if of_value(original.body):
            moved, program = int(request.body[4]), MONEY
        original.refunded += int(request.body[4])
        self.books.move(self.registration.merchant, original, moved)
        self._count(program, moved, credit=original.kind not in GIVING)
        self._items[request.stan] = Posted(
            "refund",
            request.body,
            original.presented,
            original.unit,
            int(request.body[4]),
            program,
            moved,
            fields[37],
            request.batch,
            request.stan,
        )
        return moved, program

    def _count(self, unit: str, points: int, *, credit: bool, times: int = 1) -> None:
        """Count points in the totals of the open batch, or take them back (`times` -1)."""
        line = self._totals.setdefault(unit, [0, 0, 0, 0])
        place = 2 if credit else 0
        line[place] += times
        line[place + 1] += times * abs(points)

    def _upload(self) -> Iterator[Request]:
        """The items of the batch, one message each, and the message that ends the upload."""
        for stan, item in sorted(self._items.items()):
            body = {n: item.body[n] for n in _UPLOADED_FIELDS if n in item.body}
            body.update({37: item.rrn, 39: APPROVED, 61: f"{item.batch:06d}{stan:06d}"})
            if 48 in item.body:  # noqa: PLR2004 - the member
                body[48] = item.body[48]
            yield Request("upload", "0320", body, code="201")
        yield Request("upload", "0320", {3: "000000"}, code="207")


def _is_of_an_old_batch(request: Request, code: str, fields: dict[int, Any]) -> bool:
    """True for the answer that a repeat was never posted: its batch was retired meanwhile.

    The host has verified its MAC, so it is no want of keys; and it knows nothing of the request.
    """
    judged = code == "77" and 64 in fields and request.kind != "reversal"  # noqa: PLR2004 - the MAC
    return judged and int(fields[60][2:8]) != request.batch


def _reversal(request: Request) -> Request:
    """The 0400 for a request without an answer; it bears the identity of its original."""
    # 48 has the member.
    body = {n: request.body[n] for n in (*_REVERSED_FIELDS, 48) if n in request.body}
    body[39] = REASON_NO_ANSWER
    return Request(
        "reversal",
        "0400",
        body,
        request.presented,
        request.original,
        stan=request.stan,
        batch=request.batch,
    )
