"""A POS terminal and its line, as the protocol document describes them.

`Link` is one TCP connection that carries frames, of one terminal or of many. `Terminal` keeps
what a device keeps: its keys, batch number and STAN. Its verbs (`accrue`, `void`, ...) send one
request and return the `Reply`; its nouns (`accrual`, `redemption`, ...) only build a `Request`,
for repeating, pipelining or damaging it.

Every reply passes `Terminal.read`, which holds it against the sections that apply to all replies
(TPDU, header, echoes, MAC, the fields of an approval, the text of a decline) and raises `Breach`
with the section. A test therefore asserts only what is particular to its conversation.
"""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace

import iso8583

from . import keys, messages, spec8583
from .messages import (
    CNY,
    PROGRAM,
    Breach,
    Member,
    Named,
    Reply,
    Request,
    Sent,
    keyed,
    member_fields,
    naming,
    total_line,
)
from .spec8583 import Frame

REPLY_LIMIT_S = 10.0  # a reply that takes this long is a failure, not a slow success
QUIET_S = 0.3  # how long silence is listened to
FINANCIAL = ("0200", "0220")
BEFORE_MAC = ("97", "58", "03", "77")  # answered, or possibly answered, before the MAC is judged


class LinkClosed(Exception):
    """The host closed the connection where a frame was expected."""


# --- the line ----------------------------------------------------------------------------------


class Link:
    """One TCP connection to the host."""

    def __init__(self, address: tuple[str, int], source: str = "127.0.0.1"):
        self._socket = socket.create_connection(address, REPLY_LIMIT_S, (source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arrived = b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def finish_sending(self) -> None:
        """Half-close: the host sees the end of the stream and may still answer."""
        self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """The next frame without its length.

        Raises:
            LinkClosed: the host hung up instead.
            TimeoutError: it said nothing at all.
        """
        self._need(2)
        size = int.from_bytes(self._arrived[:2])
        self._need(2 + size)
        body, self._arrived = self._arrived[2 : 2 + size], self._arrived[2 + size :]
        return body

    def _need(self, count: int) -> None:
        self._socket.settimeout(REPLY_LIMIT_S)
        while len(self._arrived) < count:
            try:
                piece = self._socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise LinkClosed("the host closed the connection")
            self._arrived += piece

    def is_silent(self) -> bool:
        """Whether nothing comes, and the link stays open, for a short while."""
        if self._arrived:
            return False
        self._socket.settimeout(QUIET_S)
        try:
            piece = self._socket.recv(65536)
        except TimeoutError:
            return True
        except ConnectionResetError:
            piece = b""
        self._arrived += piece
        return False

    def was_closed_without_a_word(self) -> bool:
        """Whether the host hangs up and has said nothing before."""
        try:
            self._need(1)
        except LinkClosed:
            return True
        return False


def collect(link: Link, expected: Iterable[tuple["Terminal", Sent]]) -> dict[Sent, Reply]:
    """Receive a reply for each request on one link, in whatever order they come.

    Replies are told apart the way a NAC does it: by the TPDU address, then by STAN.
    """
    waiting = {(sent.frame.swapped_tpdu, sent.request.stan): (t, sent) for t, sent in expected}
    replies = {}
    while waiting:
        body = link.receive()
        frame = Frame.decode(body)
        stan = spec8583.decode_message(frame.message)["11"]
        if (frame.tpdu, stan) not in waiting:
            raise Breach(f"section 1: a reply to nobody, or a second one, for STAN {stan}")
        terminal, sent = waiting.pop((frame.tpdu, stan))
        replies[sent] = terminal.read(sent, body)
    return replies


# --- the terminal ------------------------------------------------------------------------------


class Terminal:
    """One device: its registration, its keys, its batch and its STAN."""

    def __init__(
        self,
        profile: str,
        terminal_id: str,
        merchant_id: str,
        tmk: bytes,
        source: int = 0x0003,
    ):
        self.profile = profile
        self.terminal_id = terminal_id
        self.merchant_id = merchant_id
        self.tmk = tmk
        self.tpdu = b"\x60\x12\x34" + source.to_bytes(2)
        self.header = bytes.fromhex("603100311234")
        self.keys: keys.KeySet | None = None
        self.batch = "000001"
        self.next_stan = 1
        self.link: Link | None = None

    def __repr__(self) -> str:
        return f"Terminal({self.terminal_id}, {self.profile})"

    # -- building, sealing, reading ---------------------------------------------------------

    def compose(
        self,
        mti: str,
        function: str = "",
        who: Member | Named | None = None,
        *,
        stan: str = "",
        batch: str = "",
        network: str = "000",
        elements: Iterable[tuple[str, str]] = (),
        more: Mapping[str, str] | None = None,
    ) -> Request:
        """A message with the fields that all have; the STAN counts up unless one is given."""
        named = naming(who)
        fields = {
            "t": mti,
            "11": stan or self.take_stan(),
            "41": self.terminal_id,
            "42": self.merchant_id,
            "60": f"00{batch or self.batch}{network}",
            **named.fields,
        }
        if function:
            fields |= {"3": function, "25": "00"}
            fields.setdefault("22", "012")
        run = [*named.elements, *elements]
        if run:
            fields["48"] = spec8583.encode_elements(run)
        return Request({**fields, **(more or {})})

    def take_stan(self) -> str:
        """The next STAN."""
        stan, self.next_stan = f"{self.next_stan:06d}", self.next_stan + 1
        return stan

    def seal(self, request: Request, key: bytes | None) -> Sent:
        """Code the message and put its MAC behind it (none without a key)."""
        fields = dict(request.fields)
        if key is None:
            message = spec8583.encode_message(fields)
        else:
            fields[spec8583.mac_field(fields)] = "00" * 8
            covered = spec8583.encode_message(fields)[:-8]
            message = covered + keys.mac(self.profile, key, covered)
        return Sent(request, Frame(self.tpdu, self.header, message), key)

    def sealed(self, request: Request) -> Sent:
        """The message under the session's MAC key."""
        return self.seal(request, self.session.mac_key)

    @property
    def session(self) -> keys.KeySet:
        """The keys in use."""
        if self.keys is None:
            raise AssertionError(f"{self!r} has not signed on")
        return self.keys

    def ask(self, request: Request, link: Link | None = None) -> Reply:
        """Send under the session's MAC key and read the reply."""
        return self.exchange(self.sealed(request), link)

    def ask_without_mac(self, request: Request) -> Reply:
        """Send without a MAC; the reply may have none either."""
        return self.exchange(self.seal(request, None))

    def ask_under(self, request: Request, foreign: bytes) -> Reply:
        """Send with the MAC of a key that is not this terminal's."""
        return self.exchange(replace(self.seal(request, foreign), key=None))

    def damaged(self, request: Request, mask: int = 0x01) -> Sent:
        """The message with the last byte of its MAC changed."""
        sent = self.sealed(request)
        message = sent.frame.message
        spoiled = message[:-1] + bytes([message[-1] ^ mask])
        return Sent(request, replace(sent.frame, message=spoiled), None)

    def exchange(self, sent: Sent, link: Link | None = None) -> Reply:
        """Send a prepared frame and read the reply to it."""
        line = link or self.link
        line.send(sent.frame.encode())
        return self.read(sent, line.receive())

    def read(self, sent: Sent, body: bytes) -> Reply:
        """Decode a reply and hold it against what the protocol says of every reply.

        Raises:
            Breach: naming the section.
        """
        frame = Frame.decode(body)
        try:
            fields = spec8583.decode_message(frame.message)
            elements = spec8583.decode_elements(fields.get("48", ""))
        except (iso8583.DecodeError, ValueError) as fault:
            raise Breach(f"sections 2 and 5: a reply that does not decode: {fault}") from fault
        reply = Reply(sent.request, frame, fields, elements)
        messages.check_envelope(sent, frame)
        messages.check_echoes(sent.request, reply)
        messages.check_elements(reply)
        self._check_mac(sent, reply)
        if reply.code != "00":
            messages.check_decline(reply)
        elif sent.request.mti[:3] in [mti[:3] for mti in FINANCIAL]:
            messages.check_approval(sent.request, reply)
        return reply

    def _check_mac(self, sent: Sent, reply: Reply) -> None:
        key = sent.key
        delivers = sent.request.mti == "0800" and sent.request.fields["60"][8:] != "360"
        if delivers and self.profile != "aes" and reply.code == "00":
            key = self._offered(reply).mac_key
        present = reply.has_mac
        if key is None or reply.code == "A0":
            if present:
                raise Breach("section 3: a MAC on the reply to a request without a right one")
            return
        if not present:
            if reply.code not in BEFORE_MAC:
                raise Breach(f"section 3: the request's MAC was right, reply {reply.code} has none")
            return
        where = spec8583.mac_field({n: v for n, v in reply.fields.items() if n != "128"})
        if where not in reply.fields:
            raise Breach(f"section 2: the MAC is not in field {where}")
        covered, given = reply.frame.message[:-8], reply.frame.message[-8:]
        if keys.mac(self.profile, key, covered) != given:
            raise Breach(f"section 3: reply {reply.code} has a wrong MAC")

    def _offered(self, reply: Reply) -> keys.KeySet:
        if "62" not in reply.fields:
            raise Breach("section 3: the 0810 has no keys in field 62")
        return keys.open_key_set(self.profile, self.tmk, bytes.fromhex(reply.fields["62"]))

    # -- sessions ---------------------------------------------------------------------------

    def sign_on_request(self, elements: Iterable[tuple[str, str]] = ()) -> Sent:
        """The 0800: under the sign-on key in the aes profile, without MAC in the others."""
        aes = self.profile == "aes"
        request = self.compose(
            "0800", network="005" if aes else "003", elements=elements, more={"63": "01 "}
        )
        return self.seal(request, keys.sign_on_key(self.tmk) if aes else None)

    def request_keys(self) -> tuple[Reply, keys.KeySet]:
        """Sign on and look at the keys, but go on with the old ones."""
        reply = self.exchange(self.sign_on_request())
        if reply.code != "00":
            raise Breach(f"{self!r} signs on: {reply.code} {reply.fields.get('44')}")
        return reply, self._offered(reply)

    def sign_on(self) -> Reply:
        """Sign on, take the keys and the batch number."""
        reply, _ = self.request_keys()
        self.adopt(reply)
        return reply

    def adopt(self, reply: Reply) -> None:
        """Go on with the keys and the batch number of a 0810."""
        self.keys, self.batch = self._offered(reply), reply.batch

    def sign_off(self) -> Reply:
        """0820 with 002."""
        return self.ask(self.compose("0820", network="002"))

    def echo_request(self) -> Sent:
        """0820 with 301, without MAC."""
        return self.seal(self.compose("0820", network="301"), None)

    def echo(self, link: Link | None = None) -> Reply:
        """Ask whether the host is there."""
        return self.exchange(self.echo_request(), link)

    def download_block(self, number: int) -> Reply:
        """One block of the parameters."""
        block = f"{number:04d}".encode().hex()
        return self.ask(self.compose("0800", network="360", more={"62": block}))

    # -- what the counter does --------------------------------------------------------------

    def accrual(self, who: Member | Named | None, fen: int, **how) -> Request:
        """A sale that earns points."""
        return self._sale("0200", "220065", who, fen, CNY, **how)

    def redemption(self, who, amount: int, unit: str = PROGRAM, **how) -> Request:
        """Points spent: so many points, or with unit 156 a value in fen."""
        return self._sale("0200", "006500", who, amount, unit, **how)

    def _sale(self, mti, function, who, amount, unit, **how) -> Request:
        more = {"4": f"{amount:012d}", "49": unit, **how.pop("more", {})}
        return self.compose(mti, function, who, more=more, **how)

    def accrue(self, who, fen: int, **how) -> Reply:
        """Give points for a sale."""
        return self.ask(self.accrual(who, fen, **how))

    def redeem(self, who, amount: int, unit: str = PROGRAM, **how) -> Reply:
        """Take points."""
        return self.ask(self.redemption(who, amount, unit, **how))

    def inquire(self, who, function: str = "310000", **how) -> Reply:
        """Ask for balances."""
        return self.ask(self.compose("0100", function, who, **how))

    def balance(self, who, unit: str = PROGRAM) -> int:
        """The available points of a member; the inquiry itself must be approved."""
        reply = self.inquire(who)
        if reply.code != "00":
            raise Breach(f"balance inquiry: {reply.code} {reply.fields.get('44')}")
        return reply.available(unit)

    def void_request(self, original: Reply, by: str = "rrn", **changes: str) -> Request:
        """A void of an approved transaction, named by its RRN, its STAN or both.

        Args:
            original: the reply to the transaction.
            by: `rrn` (field 37), `stan` (61), `stan and date`, or `both`.
            **changes: `amount`, `unit`, `card`, `rrn` or `stan` where they shall differ.
        """
        first = original.request
        more = {
            "4": changes.get("amount", first.fields["4"]),
            "49": changes.get("unit", first.fields["49"]),
            **member_fields(first),
        }
        if "card" in changes:
            more = {n: v for n, v in more.items() if n != "35"} | {"2": changes["card"]}
        if by in ("rrn", "both"):
            more["37"] = changes.get("rrn", original.fields.get("37", ""))
        if by != "rrn":
            date = original.fields["13"] if by == "stan and date" else ""
            more["61"] = first.batch + changes.get("stan", first.stan) + date
        return self.compose("0200", "200000", more=more)

    def void(self, original: Reply, by: str = "rrn", **changes: str) -> Reply:
        """Undo an approved transaction of the batch in force."""
        return self.ask(self.void_request(original, by, **changes))

    def reversal(self, original: Request, **changes: str) -> Request:
        """The 0400 for a message that had no good answer; `changes` as for a void."""
        fields = original.fields
        more = {
            "4": changes.get("amount", fields["4"]),
            "49": changes.get("unit", fields["49"]),
            "39": "98",
            **member_fields(original),
        }
        if "card" in changes:
            more = {n: v for n, v in more.items() if n != "35"} | {"2": changes["card"]}
        if "22" in fields:
            more["22"] = fields["22"]
        return self.compose(
            "0400", fields["3"], stan=original.stan, batch=original.batch, more=more
        )

    def reverse(self, original: Request, **changes: str) -> Reply:
        """Undo a message whatever became of it."""
        return self.ask(self.reversal(original, **changes))

    def refund(self, rrn: str, amount: int, unit: str, who=None) -> Reply:
        """Give back a part, or all, of an earlier transaction."""
        return self.ask(self._sale("0220", "200000", who, amount, unit, more={"37": rrn}))

    def enrol(self, who: Named) -> Reply:
        """Open an account."""
        return self.ask(self.compose("0600", "980000", who))

    # -- PIN --------------------------------------------------------------------------------

    @property
    def pin_field(self) -> str:
        """Where this profile carries the PIN block."""
        return "110" if self.profile == "aes" else "52"

    def pin_block(self, pin: str, card: str, control: str = "") -> str:
        """The encrypted PIN block, hex."""
        key = self.session.pin_key
        return keys.pin_block(self.profile, key, pin, card, control=control).hex().upper()

    def pin_change(self, member: Member, old: str, new: str) -> Request:
        """Old PIN in the PIN field, the new block in 62."""
        more = {
            "22": "011",
            self.pin_field: self.pin_block(old, member.card),
            "62": self.pin_block(new, member.card),
        }
        return self.compose("0600", "990000", keyed(member.card), more=more)

    def change_pin(self, member: Member, old: str, new: str) -> Reply:
        """Replace a PIN."""
        return self.ask(self.pin_change(member, old, new))

    # -- settlement -------------------------------------------------------------------------

    def settlement(self, totals: Mapping[str, tuple[int, int, int, int]]) -> Request:
        """The 0500 with debit count, debit amount, credit count, credit amount of each unit."""
        elements = [("50", total_line(unit, *sums)) for unit, sums in totals.items()]
        return self.compose("0500", network="201", elements=elements)

    def settle(self, totals: Mapping[str, tuple[int, int, int, int]]) -> Reply:
        """Close the batch; where the host agrees or not is in the code."""
        return self.ask(self.settlement(totals))

    def upload(self, item: Reply, *, last: bool = False) -> Reply:
        """One item of a batch that the host counts otherwise."""
        first = item.request
        more = {
            "4": first.fields["4"],
            "49": first.fields["49"],
            "37": item.rrn,
            "39": item.code,
            "61": first.batch + first.stan,
            **member_fields(first),
        }
        network = "207" if last else "201"
        return self.ask(self.compose("0320", first.fields["3"], network=network, more=more))
