"""One message: the order of checks, the command, the reply.

`Exchange.prepare` goes through the checks in the order of ``protocol.md``, section 3; the first
that fails answers. What passes becomes a command for the machine. A `Reply` names the journal
sequence that must be durable before it may leave; the caller holds it back until then.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, Final, Protocol

from librt.strings import BytesWriter

from engine import batches
from engine.commands import Answer, Outcome, Pin
from engine.machine import SwapFailed
from engine.reasons import Reason
from engine.records import Operator
from engine.rules.members import PinCheck
from engine.rules.terminals import ConfirmKeys
from engine.terms import in_force
from ledger import schema
from posd import coupon_replies, elements, network, pins, responses
from posd.bindings import Binding, find
from posd.framing import Frame, reply_frame
from posd.host import Host, Peer, Reply
from posd.incoming import Incoming, Malformed, Unlisted, name_member, naming
from posd.inquiries import Inquire
from posd.iso8583.assemble import assemble, digits, field, packed, put_amount, variable
from posd.iso8583.message import Message, Undecodable, blank
from posd.iso8583.spec import TAGS
from posd.iso8583.tlv import MalformedTlv, parse_tlv
from posd.terminals import CUP, KeySet, Mac, Standing

SIGN_ON_AGAIN: Final = 3
"""Digit of the reply's header that asks for a sign-on."""

SIGN_ON_CODES: Final = frozenset({"77", "A0"})
MAC_FIELD: Final = 64
MAC_FIELD_SECONDARY: Final = 128
SECONDARY_BITMAP: Final = 0x80
"""Bit 1 of the bitmap, in the byte after the message type."""

REPLY_TYPES: Final = {
    f"{version}{kind}{origin}{repeat}": bytes.fromhex(f"{version}{kind}{int(origin) + 1}0")
    for version in "0123456789"
    for kind in "0123456789"
    for origin in "02468"
    for repeat in "0123456789"
}
"""Message types of requests and of their replies, those that nobody has defined included: a peer
may send any, and is answered."""

ELEMENTS: Final = 48
UNIT: Final = 49
COUPON: Final = "12"
COUPON_REDEMPTION: Final = "coupon_redemption"
COUPON_INQUIRY: Final = "coupon_inquiry"
OPERATOR: Final = 63
OPERATOR_BYTES: Final = 3
BALANCES_MAX: Final = 3
"""Units in field 54: two entries each, six at most."""
AMOUNT_MAX: Final = elements.AMOUNT_MAX
AVAILABLE: Final = b"02"
LEDGER: Final = b"01"
"""Types of amount of those two."""

APPROVED: Final = int(Reason.APPROVED)
COUPON_USED: Final = int(Reason.COUPON_USED)
AMOUNT: Final = 4
GUESSES: Final = frozenset({int(Reason.MEMBER_UNKNOWN), int(Reason.COUPON_UNKNOWN)})
"""Reasons that count as a guess at a card or code."""

LOCAL_TIME: Final = 12
LOCAL_DATE: Final = 13
RESPONSE: Final = 39
ECHOED: Final = [3, 11, 41, 42]
PRIVATE: Final = 60
BATCH_END: Final = 8
"""Digits of field 60 up to the end of the batch number."""


class Party(Protocol):
    """The link that a message came from, as far as the message needs it.

    Attributes:
        peer: the far end.
        closed: True once the link is given up; nothing more of it is handled.
    """

    peer: Peer
    closed: bool

    def put(self, reply: Reply | None) -> None:
        """Take the reply to a message; None where none is due."""
        ...

    def fail(self, counter: str) -> None:
        """Give the link up for a fault of its peer."""
        ...


def handle_all(host: Host, arrivals: list[tuple[Party, Frame]], at: int, monotonic: int) -> None:
    """Answer the frames of one turn; each link is given its replies.

    The messages of a turn go through the stages together: all are decoded, then the names of those
    whom they name are worked out, then all are checked, all decided, all replies made. A stage that
    runs many times in a row runs out of the processor's nearest cache, which nearly halves its
    time. A terminal is in a batch once only, so that each of its messages sees what the one before
    it did; a change of a PIN goes alone.

    Args:
        host: what all messages share.
        arrivals: links and the frames that they read, in order of arrival.
        at: wall clock, ms since 1970 UTC.
        monotonic: monotonic clock, ms.

    Raises:
        SwapFailed: the process has to stop.
    """
    exchanges = _decoded(host, arrivals, at, monotonic)
    expected: list[str] = []
    for exchange in exchanges:
        naming(exchange.fields, expected)
    host.vault.expect(expected)
    batch: list[Exchange] = []
    terminals: set[Any] = set()
    for exchange in exchanges:
        terminal = exchange.fields.get(41)
        alone = exchange.mti[1] == "6"
        if terminal in terminals or alone:
            _run(batch)
            batch = []
            terminals.clear()
        batch.append(exchange)
        terminals.add(terminal)
        if alone:
            _run(batch)
            batch = []
    _run(batch)
    host.vault.expect([])


def _decoded(
    host: Host, arrivals: list[tuple[Party, Frame]], at: int, monotonic: int
) -> list[Exchange]:
    """Decode frames; what cannot be decoded gives its link up, with all that came after it."""
    exchanges: list[Exchange] = []
    decode = host.decoders.decode
    meter = host.meter
    for party, frame in arrivals:
        if party.closed:
            party.put(None)
            continue
        begun = perf_counter_ns()
        try:
            message = decode(frame.message)
        except Undecodable:
            party.put(None)
            party.fail("undecodable")
            continue
        meter.decode.add(perf_counter_ns() - begun)
        if message.mti[2] in "13579":
            meter.count("dropped_reply_form")
            party.put(None)
            continue
        exchanges.append(Exchange(host, party, frame, message, at, monotonic))
    return exchanges


def _run(batch: list[Exchange]) -> None:
    for exchange in batch:
        exchange.prepare()
    for exchange in batch:
        if exchange.command is not None:
            exchange.decide()
    for exchange in batch:
        exchange.complete()


class Exchange:
    """One message and its reply.

    Attributes:
        keys: the key set whose MAC the message carried, and `mac`, under which the reply goes.
        tag: what metrics call the transaction.
        waiting: the processing request of the reply's header, 0 for none.
        batch_told: True when field 60 of the request names the batch in force already, or none is
            known.
    """

    __slots__ = (
        "answer",
        "at",
        "batch_told",
        "binding",
        "bitmap",
        "command",
        "fields",
        "frame",
        "host",
        "incoming",
        "keys",
        "mac",
        "monotonic",
        "mti",
        "party",
        "peer",
        "raw",
        "reply",
        "standing",
        "tag",
        "waiting",
    )

    def __init__(
        self,
        host: Host,
        party: Party,
        frame: Frame,
        message: Message,
        at: int,
        monotonic: int,
    ) -> None:
        self.host = host
        self.party = party
        self.frame = frame
        self.mti = message.mti
        self.fields: dict[int, Any] = message.fields
        self.raw = message.raw
        self.bitmap = message.bitmap
        self.peer = party.peer
        self.at = at
        self.monotonic = monotonic
        self.keys: KeySet
        self.mac: Mac | None = None
        self.standing: Standing
        self.binding: Binding | None = None
        self.incoming: Incoming
        self.batch_told = False
        self.tag = "unknown"
        self.waiting = 0
        self.command: Any = None
        self.answer: Answer | None = None
        self.reply: Reply | None = None

    # The stages.

    def prepare(self) -> None:
        """Go through the checks: afterwards there is a command, or the reply is settled."""
        try:
            self.reply = self._checked()
        except SwapFailed:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours, and nothing is posted: 96
            self._host_fault(error)

    def decide(self) -> None:
        """Execute the command."""
        host = self.host
        begun = perf_counter_ns()
        try:
            # What gets here while the gate is shut only reads a stored reply. It must not close a
            # business date on the way, for the clock may be what is wrong: no time, no cut-off.
            answer = host.machine.execute(self.command, 0 if host.gate.shut else self.at)
        except SwapFailed:
            raise
        except Exception as error:  # noqa: BLE001 - a bug before the swap: 96, nothing changed
            self._host_fault(error)
            return
        host.meter.decide.add(perf_counter_ns() - begun)
        self.answer = answer
        if answer.outcome.reason in GUESSES and not answer.repeated:
            self._guessed()

    def complete(self) -> None:
        """Make the reply to the command, and hand it to the link."""
        if self.answer is not None:
            try:
                self.reply = self._reply_to(self.answer)
            except Exception as error:  # noqa: BLE001 - a bug; what is posted stays, nothing is told
                self._note_fault(error)
        self.party.put(self.reply)

    def _host_fault(self, error: Exception) -> None:
        """Answer 96 to a bug of ours that posted nothing.

        Where even that reply cannot be made there is none: other messages of the turn get theirs.
        """
        self._note_fault(error)
        self.command = None
        try:
            self.reply = self.fault(responses.FAULT)
        except Exception as second:  # noqa: BLE001 - see above
            self.reply = None
            self._note_fault(second)

    def _note_fault(self, error: Exception) -> None:
        """Tell operations of a bug of ours; the error's text might hold a value, so its kind."""
        kind, link = type(error).__name__, self.peer.link
        self.host.event("host_fault", error=kind, transaction=self.tag, link=link)

    # The order of checks.

    def _checked(self) -> Reply | None:
        """Go through the checks; the first that fails answers."""
        host = self.host
        fields = self.fields
        terminal = fields.get(41)
        standing = host.standing(terminal) if terminal is not None else None
        if standing is None:
            self.batch_told = True
            return self.fault(responses.TERMINAL_UNKNOWN)
        self.standing = standing
        if standing.waiting < 0:
            host.look_for_downloads(standing, self.at)
        self.waiting = standing.waiting
        if host.guards.dropped(standing.row.id, self.peer.address, self.monotonic):
            host.meter.count("dropped_after_wrong_macs")
            return None
        bad = self._check_standing(standing)
        if bad is not None:
            return self.fault(bad)
        if self.mti[1] == "8":
            return network.manage(self)
        bad = self.check_mac()
        if bad is not None:
            return self.fault(bad)
        standing.heard = self.monotonic
        return self._transaction()

    def _check_standing(self, standing: Standing) -> tuple[str, str] | None:
        row = standing.row
        if not row.enabled:
            return responses.TERMINAL_DISABLED
        if row.locked:
            return responses.TERMINAL_LOCKED
        if (row.networks or row.profile == CUP) and not standing.network_allowed(
            self.peer.address, tls=self.peer.tls
        ):
            return responses.TERMINAL_NETWORK
        merchant = standing.merchant
        if row.role != "sales" and not self._for_information():
            return responses.TERMINAL_ROLE
        if merchant is None or not merchant.enabled or self.fields.get(42) != merchant.id:
            return responses.MERCHANT_UNKNOWN
        return None

    def _for_information(self) -> bool:
        """True for what an information desk may send."""
        if self.mti[1] == "8":
            return True
        binding = find(self.mti, self.fields.get(3, ""))
        return binding is None or binding.information

    def carries_mac(self) -> bool:
        """True when the last 8 bytes of the message are its MAC."""
        secondary = self.frame.message[2] & SECONDARY_BITMAP
        return (MAC_FIELD_SECONDARY if secondary else MAC_FIELD) in self.fields

    def check_mac(self) -> tuple[str, str] | None:
        """Verify the MAC; the first message under the pending keys confirms them."""
        host = self.host
        standing = self.standing
        message = self.frame.message
        used = standing.verify(message, self.at) if self.carries_mac() else None
        if used is None:
            if not standing.offered:
                return responses.SIGN_ON_FIRST
            self.wrong_mac()
            return responses.MAC_WRONG
        host.guards.right_mac(standing.row.id, self.peer.address)
        self.keys = used
        self.mac = used.mac
        confirmed = standing.keys
        if (confirmed is None or used.number > confirmed.number) and not host.gate.shut:
            host.machine.execute(ConfirmKeys(standing.row.id, used.number), self.at)
        return None

    def wrong_mac(self) -> None:
        """Count a wrong MAC."""
        host, terminal = self.host, self.standing.row.id
        host.meter.count("mac_failures")
        if host.guards.wrong_mac(terminal, self.peer.address, self.monotonic):
            peer = self.peer
            host.event("mac_guard", terminal=terminal, peer=peer.address, link=peer.link)

    def _transaction(self) -> Reply | None:
        host = self.host
        fields = self.fields
        function = fields.get(3, "")
        binding = find(self.mti, function)
        private = fields.get(PRIVATE, "")
        stan = fields.get(11)
        if stan is None or len(private) < BATCH_END:
            return self.decline(Reason.FORM)
        if binding is None or self.mti[3] not in "01":
            return self.decline(Reason.FUNCTION_UNKNOWN)
        self.binding = binding
        self.tag = binding.name
        if binding.build is None and binding.inquire is None:
            return self.decline(Reason.FUNCTION_OFF)
        incoming = Incoming(self.mti, fields, host.vault, host.read, self.bitmap)
        self.incoming = incoming
        incoming.stan = int(stan)
        incoming.batch = int(private[2:8])
        try:
            if ELEMENTS in fields:
                self.read_elements(incoming)
            name_member(incoming)
            merchant = self.standing.merchant
            if merchant is not None and merchant.operators and not self._operator(incoming):
                return self.fault(responses.OPERATOR_UNKNOWN)
            if binding.member and not incoming.tokens:
                return self.decline(Reason.MEMBER_MISSING)
            incoming.content = host.content(incoming)
            if (incoming.tokens or COUPON in incoming.tlv) and binding.name != "reversal":
                if incoming.tokens and (pins.BLOCK in fields or pins.BLOCK_AES in fields):
                    incoming.pin = pins.of_member(
                        incoming, self.standing.row.profile, self._pin_key()
                    )
                if host.guards.locked and self._is_guessing(incoming):
                    return self.fault(responses.GUESSING)
            if host.gate.shut and (binding.name == "reversal" or not self._is_known(incoming)):
                return self.fault(responses.BUSY)
            if binding.inquire is not None:
                return self._inquiry(incoming, binding.inquire)
            assert binding.build is not None  # noqa: S101 - judged above
            self.command = binding.build(incoming)
        except (Malformed, MalformedTlv):
            return self.decline(Reason.FORM)
        except Unlisted:
            return self.decline(Reason.FUNCTION_UNKNOWN)
        return None

    def read_elements(self, incoming: Incoming) -> None:
        """Read field 48.

        Raises:
            MalformedTlv: it is not a run of elements.
            Malformed: an unknown element came from a terminal whose MAC is weak.
        """
        unknown = 0
        for tag, value in parse_tlv(self.fields.get(ELEMENTS, b"")):
            incoming.elements.append((tag, value))
            if tag == "50":
                incoming.totals.append(value)
                continue
            incoming.tlv[tag] = value
            unknown += tag not in TAGS
        if unknown:
            self.host.meter.count("unknown_elements", unknown)
            if self.standing.row.profile == CUP:
                raise Malformed("an unknown element from a terminal with a weak MAC")

    def _guessers(self) -> list[str]:
        """To whom a guess is counted: the terminal, and the operator at whatever terminal."""
        incoming = self.incoming
        named = [incoming.terminal]
        if incoming.operator:
            named.append(f"{incoming.merchant} {incoming.operator}")
        return named

    def _is_guessing(self, incoming: Incoming) -> bool:
        """True where the answer is 34; a repeat of what was answered is still told."""
        guessing = self.host.guards.guessing
        found = [guessing(name, self.monotonic) for name in self._guessers()]
        return any(found) and not self._is_known(incoming)

    def _is_known(self, incoming: Incoming) -> bool:
        """True where a reply is stored, which is told also when nothing new is taken."""
        key = schema.identity(incoming.terminal, incoming.batch, incoming.stan)
        return self.host.read(key) is not None

    def _guessed(self) -> None:
        """Count an unknown member or code."""
        guessed = self.host.guards.guessed
        stopped = [guessed(name, self.monotonic) for name in self._guessers()]
        if any(stopped):
            self.host.event("guessing", terminal=self.standing.row.id, link=self.peer.link)

    # The operator.

    def _operator(self, incoming: Incoming) -> bool:
        """Find the operator whom field 63 names, and judge the PIN in element 19, if any.

        Returns:
            False where none is named, or one that this merchant does not have.
        """
        named = self.fields.get(OPERATOR, b"")[:OPERATOR_BYTES]
        operator = named.decode("ascii", "replace")
        merchant = incoming.merchant
        row: Operator | None = self.host.read(schema.operator(merchant, operator))
        if row is None or not row.enabled:
            return False
        incoming.operator = operator
        block = incoming.tlv.get("19")
        if block is not None:
            profile = self.standing.row.profile
            incoming.operator_pin = pins.of_operator(incoming, row, block, profile, self._pin_key())
        return True

    def _pin_key(self) -> bytes:
        return self.keys.keys.pin_key

    # Inquiry.

    def _inquiry(self, incoming: Incoming, inquire: Inquire) -> Reply:
        machine = self.host.machine
        draft = machine.look(self.at)
        bad = draft.find_member(incoming.tokens) if incoming.tokens else None
        if bad is None and draft.member and incoming.pin != Pin.ABSENT:
            if incoming.pin == Pin.BAD_BLOCK:
                bad = Reason.PIN_BLOCK_BAD
            else:
                checked = machine.execute(PinCheck(draft.member, incoming.pin), self.at)
                reason = Reason(checked.outcome.reason)
                bad = None if reason in {Reason.APPROVED, Reason.UNCHANGED} else reason
        if bad is None:
            reason = inquire(incoming, draft)
            bad = None if reason is Reason.APPROVED else reason
        if bad is not None:
            if bad in GUESSES:
                self._guessed()
            return self.decline(bad, machine.sequence)
        if self.tag == COUPON_INQUIRY:
            self.host.inquired.count(incoming, draft, self.at)
        outcome = Outcome(0, draft.member, draft.balances, draft.facts, ())
        return self._reply_to(Answer(outcome, machine.sequence, machine.date, False))

    # Replies.

    def decline(self, reason: Reason, sequence: int = 0) -> Reply:
        """The reply to what is not accepted for an engine's reason."""
        return self.build(responses.RESPONSES[reason], blank(), sequence)

    def fault(self, row: tuple[str, str]) -> Reply:
        """The reply to what the engine never sees."""
        return self.build(row, blank(), 0)

    def _reply_to(self, answer: Answer) -> Reply:
        """The reply to a command's answer."""
        outcome = answer.outcome
        sequence = answer.sequence
        told = blank()
        binding = self.binding
        if outcome.reason == APPROVED and binding is not None:
            if binding.financial:
                raw = self.raw
                told[15] = self.host.business_date(answer.date)
                told[37] = self.host.vault.rrn(sequence).encode("ascii")
                told[38] = digits(sequence % 1_000_000, 6).encode("ascii")
                if raw[AMOUNT] is not None:
                    told[AMOUNT] = raw[AMOUNT]
                    told[UNIT] = raw[UNIT]
                # A reversal names its original's batch, which need not be the one in force.
                self.batch_told = not answer.repeated and binding.name != "reversal"
            if outcome.balances:
                told[54] = variable(_balances(outcome))
        if outcome.facts:
            if len(outcome.facts) > 1:
                if not answer.repeated:
                    self._tell_events(outcome.facts, answer.sequence)
                if self.tag == COUPON_REDEMPTION and told[AMOUNT] is not None:
                    told[AMOUNT] = coupon_replies.less_discount(self.fields[AMOUNT], outcome)
            elements_told = elements.build(self._facts(outcome.facts))
            if elements_told:
                told[ELEMENTS] = variable(elements_told)
        row = responses.BY_NUMBER[outcome.reason]
        if outcome.reason == COUPON_USED and self.incoming.operator:
            zone = self.host.machine.clock.zone
            row = (row[0], coupon_replies.where_used(outcome, zone) or row[1])
        return self.build(row, told, sequence or self.host.machine.sequence)

    def _facts(self, facts: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
        """The facts to tell: points moved with their unit, where the message does not say it."""
        if len(facts) == 1:
            return facts
        told = dict(facts)
        if "code" in told or "title" in told:
            coupon_replies.told_facts(told, self.host.vault, self.standing.row.charset)
        if "moved" in told and "program" in told:
            unit = self._unit_to_name(told["program"])
            told["moved"] += unit
            if "won" in told:
                told["won"] += unit
        return tuple(told.items())

    def _tell_events(self, facts: tuple[tuple[str, Any], ...], sequence: int) -> None:
        """Tell operations of soft limits that a transaction went beyond."""
        for name, value in facts:
            if name == "event":
                rrn, link = self.host.vault.rrn(sequence), self.peer.link
                terminal = self.standing.row.id
                for limit in value:
                    self.host.event(
                        "soft_limit", limit=limit, terminal=terminal, rrn=rrn, link=link
                    )

    def _unit_to_name(self, program: str) -> str:
        """The unit of points moved, where it is not that of field 49 or the merchant's own."""
        if self.fields.get(UNIT) == program:
            return ""
        merchant = self.standing.merchant
        today = self.host.machine.clock.date(self.at)
        terms = in_force(merchant, "", today) if merchant is not None else None
        return "" if terms is not None and terms.program == program else program

    def build(self, row: tuple[str, str], reply: list[bytes | None], sequence: int) -> Reply:
        """Put a reply together, MAC and frame it.

        Args:
            row: response code and text.
            reply: further fields as they go on the wire (`posd.iso8583.assemble`); takes the rest.
            sequence: what must be durable before it leaves.
        """
        host = self.host
        raw = self.raw
        code, text = row
        reply[LOCAL_TIME], reply[LOCAL_DATE] = host.local_time(self.at)
        reply[RESPONSE] = code.encode("ascii")
        for number in ECHOED:
            reply[number] = raw[number]
        private = raw[PRIVATE]
        if private is not None:
            reply[PRIVATE] = self._private(private)
        if text:
            reply[44] = field(44, text.encode("ascii"))
        mac = self.mac
        if mac is not None:
            reply[MAC_FIELD] = b""
        encoded = assemble(REPLY_TYPES[self.mti], reply)
        if mac is not None:
            encoded += mac(encoded)
        host.meter.answered(self.tag, code)
        digit = SIGN_ON_AGAIN if code in SIGN_ON_CODES else self.waiting
        return Reply(sequence, reply_frame(self.frame, digit, encoded))

    def _private(self, raw: bytes) -> bytes:
        """Field 60 of the reply: the request's, with the batch in force."""
        filled = raw[1] & 1 and raw[-1] & 0x0F  # an odd number of digits, and not 0 behind them
        if self.batch_told and not filled:
            return raw
        private: str = self.fields[PRIVATE]
        if not self.batch_told and len(private) >= BATCH_END:
            batch = batches.in_force(self.host.read, self.standing.row.id, self.at)
            private = f"{private[:2]}{digits(batch, 6)}{private[BATCH_END:]}"
        return packed(private)


def _balances(outcome: Outcome) -> bytes:
    """Field 54: the available, then the ledger entry of each unit."""
    writer = BytesWriter()
    for kind, unit, available, ledger in outcome.balances[:BALANCES_MAX]:
        account = b"65" if kind == "points" else b"60"
        currency = unit.encode("ascii")
        _put_entry(writer, account, AVAILABLE, currency, available)
        _put_entry(writer, account, LEDGER, currency, ledger)
    return writer.getvalue()


def _put_entry(
    writer: BytesWriter, account: bytes, kind: bytes, currency: bytes, amount: int
) -> None:
    """Write an entry of field 54: its sign is a letter, and twelve digits follow."""
    writer.write(account)
    writer.write(kind)
    writer.write(currency)
    writer.write(b"D" if amount < 0 else b"C")
    whole = -amount if amount < 0 else amount
    put_amount(writer, whole if whole < AMOUNT_MAX else AMOUNT_MAX)
