"""The host's side of a message: from a frame to its reply, without I/O.

`Host.handle` goes through the checks in the order of ``protocol.md``, section 3; the first that
fails answers. What passes becomes a command for the machine. A `Reply` names the journal sequence
that must be durable before it may leave; the caller holds it back until then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hmac import compare_digest
from time import perf_counter_ns
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgpack

from engine import batches
from engine.commands import Answer, Outcome, Pin
from engine.inquiry import holdings
from engine.machine import Machine, SwapFailed
from engine.reasons import Reason
from engine.records import Alias, Member, Merchant
from engine.rules.members import PinCheck
from engine.rules.terminals import ConfirmKeys, SignOn
from engine.terms import in_force
from engine.vault import Vault
from ledger import schema
from posd import responses, security
from posd.bindings import Binding, Incoming, Malformed, find, name_member
from posd.framing import Frame, reply_frame
from posd.iso8583.compile import Codec
from posd.iso8583.message import Message
from posd.iso8583.spec import TAGS
from posd.iso8583.tlv import MalformedTlv, build_tlv, parse_tlv
from posd.metrics import Meter
from posd.terminals import AES, CUP, STANDINGS_MAX, Guards, KeySet, Mac, Standing

SIGN_ON = frozenset({"001", "003", "004", "005"})
SIGN_OFF = "002"
ECHO = "301"
DOWNLOAD = "360"
SIGN_ON_AGAIN = 3
BALANCES_MAX = 3
UNCONTENT = frozenset({2, 11, 12, 13, 14, 22, 25, 35, 41, 48, 52, 53, 60, 63, 64, 110, 128})
UNCONTENT_TAGS = frozenset({"19", "1B", "1C", "1D"})
MAC_PLACEHOLDER = bytes(8)
UNKNOWN = frozenset({int(Reason.MEMBER_UNKNOWN)})

_pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True, autoreset=True).pack


class Gate(Protocol):
    """Whether new work can be taken now."""

    def closed(self) -> bool:
        """True when the answer is 91."""
        ...


class Reply:
    """A framed reply and the journal sequence that has to be durable before it leaves."""

    __slots__ = ("data", "sequence")

    def __init__(self, sequence: int, data: bytes) -> None:
        self.sequence = sequence
        self.data = data


class Peer:
    """The far end of a link.

    Attributes:
        address: IP address as text.
        tls: True when the link is under TLS.
    """

    __slots__ = ("address", "tls")

    def __init__(self, address: str, *, tls: bool) -> None:
        self.address = address
        self.tls = tls


class Host:
    """Answers messages of all terminals on all links.

    Args:
        machine: what decides.
        read: point reads of the newest rows.
        vault: keys.
        gate: whether new work can be taken.
        meter: counters.
        event: takes what operations should see: name, and values without secrets.
    """

    def __init__(
        self,
        machine: Machine,
        read: Callable[[bytes], Any],
        vault: Vault,
        gate: Gate,
        meter: Meter,
        event: Callable[..., None],
    ) -> None:
        self.machine = machine
        self.read = read
        self.vault = vault
        self.gate = gate
        self.meter = meter
        self.event = event
        self.codec = Codec()
        self._standings: dict[str, Standing] = {}
        self.guards = Guards()
        self._plans: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._second = 0
        self._time = ("", "")

    def handle(self, frame: Frame, peer: Peer, at: int, monotonic: int) -> Reply | None:
        """Answer one frame.

        Args:
            frame: as cut from the link.
            peer: whence it came.
            at: wall clock, ms since 1970 UTC.
            monotonic: monotonic clock, ms.

        Returns:
            The reply; None where none is due.

        Raises:
            Undecodable: the link has to be closed.
            SwapFailed: the process has to stop.
        """
        begun = perf_counter_ns()
        message = self.codec.decode(frame.message)
        self.meter.decoded(perf_counter_ns() - begun)
        mti = message.mti
        if mti[2] in "13579":
            self.meter.count("dropped_reply_form")
            return None
        exchange = Exchange(self, frame, message, peer, at, monotonic)
        return exchange.answer()

    # What an exchange asks of its host.

    def standing(self, terminal: str) -> Standing | None:
        """The terminal as it stands now, None for an unknown one."""
        known = self._standings.get(terminal)
        if known is not None and known.current(self.read):
            return known
        offered = known is not None and known.offered
        try:
            row = self.read(schema.terminal(schema.TERMINAL, terminal))
        except UnicodeEncodeError:
            return None
        if row is None:
            return None
        if len(self._standings) >= STANDINGS_MAX:
            self._standings.clear()
        made = Standing(row, self.read, self.vault)
        if known is not None and known.row.tmk_check == row.tmk_check:
            made.offered = made.offered or offered
        self._standings[terminal] = made
        return made

    def local_time(self, at: int) -> tuple[str, str]:
        """Host time hhmmss and date MMDD in the operator's zone."""
        second = at // 1000
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC).astimezone(
                ZoneInfo(self.machine.clock.zone)
            )
            self._time = (moment.strftime("%H%M%S"), moment.strftime("%m%d"))
            self._second = second
        return self._time

    def content(self, incoming: Incoming) -> bytes:
        """The keyed digest of a request's content (``protocol.md``, section 6)."""
        fields = incoming.fields
        numbers = tuple(fields)
        plan = self._plans.get(numbers)
        if plan is None:
            if len(self._plans) >= 256:  # noqa: PLR2004 - as many as there are compiled bitmaps
                self._plans.clear()
            plan = tuple(number for number in sorted(numbers) if number not in UNCONTENT)
            self._plans[numbers] = plan
        parts: list[Any] = [incoming.mti[:3], incoming.pan, plan]
        parts += [fields[number] for number in plan]
        if incoming.tlv:
            parts.append(
                sorted(
                    (tag, value) for tag, value in incoming.tlv.items() if tag not in UNCONTENT_TAGS
                )
            )
            parts.append(sorted(incoming.totals))
        return self.vault.content_digest(_pack(parts))


class Exchange:
    """One message and its reply."""

    __slots__ = (
        "_at",
        "_batch",
        "_binding",
        "_fields",
        "_frame",
        "_host",
        "_incoming",
        "_mac",
        "_message",
        "_monotonic",
        "_mti",
        "_peer",
        "_standing",
        "_tag",
    )

    def __init__(
        self, host: Host, frame: Frame, message: Message, peer: Peer, at: int, monotonic: int
    ) -> None:
        self._host = host
        self._frame = frame
        self._message = message
        self._mti = message.mti
        self._fields: dict[int, Any] = message.fields
        self._peer = peer
        self._at = at
        self._monotonic = monotonic
        self._mac: Mac | None = None
        self._standing: Standing
        self._binding: Binding | None = None
        self._incoming: Incoming
        self._batch = 0
        self._tag = "unknown"

    # The order of checks.

    def answer(self) -> Reply | None:
        """Go through the checks; the first that fails answers."""
        host = self._host
        fields = self._fields
        terminal = fields.get(41)
        standing = host.standing(terminal) if terminal is not None else None
        if standing is None:
            return self._fault(responses.TERMINAL_UNKNOWN)
        self._standing = standing
        if host.guards.dropped(standing.row.id, self._peer.address, self._monotonic):
            host.meter.count("dropped_after_wrong_macs")
            return None
        bad = self._check_standing(standing)
        if bad is not None:
            return self._fault(bad)
        if self._mti[:3] in {"080", "082"}:
            return self._network_management(standing)
        bad = self._check_mac(standing)
        if bad is not None:
            return self._fault(bad)
        return self._transaction()

    def _check_standing(self, standing: Standing) -> tuple[str, str] | None:
        row = standing.row
        if not row.enabled:
            return responses.TERMINAL_DISABLED
        if (row.networks or row.profile == CUP) and not standing.network_allowed(
            self._peer.address, tls=self._peer.tls
        ):
            return responses.TERMINAL_NETWORK
        merchant = standing.merchant
        if row.role != "sales" and not self._for_information():
            return responses.TERMINAL_ROLE
        if merchant is None or not merchant.enabled or self._fields.get(42) != merchant.id:
            return responses.MERCHANT_UNKNOWN
        return None

    def _for_information(self) -> bool:
        if self._mti[:3] in {"080", "082"}:
            return True
        binding = find(self._mti, self._fields.get(3, ""))
        return binding is None or binding.information

    def _check_mac(self, standing: Standing) -> tuple[str, str] | None:
        host = self._host
        fields = self._fields
        terminal = standing.row.id
        carried = 128 if max(fields) > 64 else 64  # noqa: PLR2004
        used = standing.verify(self._frame.message, self._at) if carried in fields else None
        if used is None:
            if not standing.keyed():
                return responses.SIGN_ON_FIRST
            host.meter.count("mac_failures")
            if host.guards.wrong_mac(terminal, self._peer.address, self._monotonic):
                host.event("mac_guard", terminal=terminal, peer=self._peer.address)
            return responses.MAC_WRONG
        host.guards.right_mac(terminal, self._peer.address)
        self._mac = used.mac
        keys = standing.keys
        if keys is None or used.number > keys.number:
            host.machine.execute(ConfirmKeys(terminal, used.number), self._at)
        return None

    def _transaction(self) -> Reply | None:
        host = self._host
        fields = self._fields
        function = fields.get(3, "")
        binding = find(self._mti, function)
        private = fields.get(60, "")
        stan = fields.get(11)
        if stan is None or len(private) < 8:  # noqa: PLR2004 - type and batch number
            return self._decline(Reason.FORM)
        if binding is None or self._mti[3] not in "01":
            return self._decline(Reason.FUNCTION_UNKNOWN)
        self._binding = binding
        self._tag = binding.name
        if binding.build is None and binding.handler == "engine":
            return self._decline(Reason.FUNCTION_OFF)
        incoming = Incoming(self._mti, fields, host.vault)
        self._incoming = incoming
        incoming.stan = int(stan)
        incoming.batch = int(private[2:8])
        try:
            self._read_elements(incoming)
            name_member(incoming)
            if binding.member and not incoming.tokens:
                return self._decline(Reason.MEMBER_MISSING)
            incoming.content = host.content(incoming)
            if incoming.tokens and binding.name != "reversal":
                incoming.pin = self._pin(incoming)
                if self._is_guessing(incoming):
                    return self._fault(responses.GUESSING)
            if host.gate.closed():
                return self._fault(responses.BUSY)
            if binding.handler == "inquiry":
                return self._balance(incoming)
            assert binding.build is not None  # noqa: S101 - judged above
            command = binding.build(incoming)
        except (Malformed, MalformedTlv):
            return self._decline(Reason.FORM)
        return self._execute(command)

    def _read_elements(self, incoming: Incoming) -> None:
        raw = self._fields.get(48)
        if raw is None:
            return
        unknown = 0
        for tag, value in parse_tlv(raw):
            if tag == "50":
                incoming.totals.append(value)
            elif tag in TAGS:
                incoming.tlv[tag] = value
            else:
                unknown += 1
        if unknown:
            self._host.meter.count("unknown_elements", unknown)
            if self._standing.row.profile == CUP:
                raise Malformed("an unknown element from a terminal with a weak MAC")

    def _is_guessing(self, incoming: Incoming) -> bool:
        """True when the terminal is answered 34; a repeat of what was answered is still told."""
        host = self._host
        if not host.guards.guessing(incoming.terminal, self._monotonic):
            return False
        key = schema.identity(incoming.terminal, incoming.batch, incoming.stan)
        return host.read(key) is None

    def _execute(self, command: Any) -> Reply:
        host = self._host
        begun = perf_counter_ns()
        try:
            answer = host.machine.execute(command, self._at)
        except SwapFailed:
            raise
        except Exception as error:  # noqa: BLE001 - a bug before the swap: 96, nothing changed
            host.event("host_fault", error=type(error).__name__, transaction=self._tag)
            return self._fault(responses.FAULT)
        host.meter.decided(perf_counter_ns() - begun)
        outcome = answer.outcome
        if (
            outcome.reason in UNKNOWN
            and not answer.repeated
            and host.guards.guessed(self._standing.row.id, self._monotonic)
        ):
            host.event("guessing", terminal=self._standing.row.id)
        return self._reply_to(answer)

    # PINs.

    def _pin(self, incoming: Incoming) -> int:
        """The verdict on the PIN that came with a message."""
        fields = self._fields
        profile = self._standing.row.profile
        block = fields.get(110 if profile == AES else 52)
        if block is None:
            other = fields.get(52 if profile == AES else 110)
            return Pin.ABSENT if other is None else Pin.BAD_BLOCK
        member = self._member_named(incoming)
        if member is None:
            return Pin.ABSENT
        pin_key = self._key_set().keys.pin_key
        try:
            pin = security.read_pin_block(profile, pin_key, block, incoming.pan)
            if incoming.mti[:3] == "060":
                new = security.read_pin_block(profile, pin_key, fields.get(62, b""), incoming.pan)
                incoming.new_pin = self._host.vault.pin_digest(member.id, new)
        except security.PinBlockError:
            return Pin.BAD_BLOCK
        given = self._host.vault.pin_digest(member.id, pin)
        return Pin.RIGHT if compare_digest(given, member.pin) else Pin.WRONG

    def _member_named(self, incoming: Incoming) -> Member | None:
        alias: Alias | None = self._host.read(schema.alias(*incoming.tokens[0]))
        if alias is None:
            return None
        member: Member | None = self._host.read(schema.named(schema.MEMBER, alias.member))
        return member

    def _key_set(self) -> KeySet:
        """The key set whose MAC the message carried; its PIN key is the one used."""
        used = self._standing.verify(self._frame.message, self._at)
        assert used is not None  # noqa: S101 - the MAC was judged before
        return used

    # Inquiry.

    def _balance(self, incoming: Incoming) -> Reply:
        host = self._host
        machine = host.machine
        draft = machine.look(self._at)
        bad = draft.find_member(incoming.tokens)
        if bad is None and incoming.pin != Pin.ABSENT:
            if incoming.pin == Pin.BAD_BLOCK:
                bad = Reason.PIN_BLOCK_BAD
            else:
                checked = machine.execute(PinCheck(draft.member, incoming.pin), self._at)
                reason = Reason(checked.outcome.reason)
                bad = None if reason in {Reason.APPROVED, Reason.UNCHANGED} else reason
        if bad is not None:
            if bad == Reason.MEMBER_UNKNOWN and host.guards.guessed(
                self._standing.row.id, self._monotonic
            ):
                host.event("guessing", terminal=self._standing.row.id)
            return self._decline(bad, machine.sequence)
        found = holdings(host.read, draft.member, draft.today)
        if incoming.function[2:4] not in {"00", "65"}:
            found = []
        facts: list[tuple[str, Any]] = []
        if found and found[0].next_expiry is not None:
            facts.append(("next_expiry", found[0].next_expiry))
        outcome = Outcome(
            int(Reason.APPROVED),
            draft.member,
            tuple(("points", one.unit, one.available, one.ledger) for one in found),
            tuple(facts),
            (),
        )
        return self._reply_to(Answer(outcome, machine.sequence, machine.date, False))

    # Network management.

    def _network_management(self, standing: Standing) -> Reply | None:
        host = self._host
        private = self._fields.get(60, "")
        code = private[8:11]
        echo = self._mti[:3] == "082" and code == ECHO
        if self._mti[:3] == "080" and code in SIGN_ON:
            return self._sign_on(standing)
        if not echo:
            bad = self._check_mac(standing)
            if bad is not None:
                return self._fault(bad)
        if self._fields.get(11) is None or len(private) < 11:  # noqa: PLR2004
            return self._decline(Reason.FORM)
        self._tag = "echo" if echo else "network_management"
        if echo or (self._mti[:3] == "082" and code == SIGN_OFF):
            return self._build(responses.RESPONSES[Reason.APPROVED], {}, host.machine.sequence)
        if code == DOWNLOAD:
            return self._decline(Reason.FUNCTION_OFF)
        return self._decline(Reason.FUNCTION_UNKNOWN)

    def _sign_on(self, standing: Standing) -> Reply | None:
        host = self._host
        self._tag = "sign_on"
        row = standing.row
        if row.profile == AES:
            mac = standing.sign_on_mac()
            message = self._frame.message
            if 64 not in self._fields or not compare_digest(mac(message[:-8]), message[-8:]):  # noqa: PLR2004
                host.meter.count("mac_failures")
                if host.guards.wrong_mac(row.id, self._peer.address, self._monotonic):
                    host.event("mac_guard", terminal=row.id, peer=self._peer.address)
                return self._fault(responses.MAC_WRONG)
            host.guards.right_mac(row.id, self._peer.address)
            self._mac = mac
        if self._fields.get(11) is None or len(self._fields.get(60, "")) < 11:  # noqa: PLR2004
            return self._decline(Reason.FORM)
        incoming = Incoming(self._mti, self._fields, host.vault)
        try:
            self._read_elements(incoming)
        except (Malformed, MalformedTlv):
            return self._decline(Reason.FORM)
        if row.serial and not self._device_known(incoming.tlv.get("1B")):
            return self._fault(responses.TERMINAL_DEVICE)
        pending = standing.pending()
        if row.profile == AES and not standing.offered:
            host.machine.execute(
                SignOn(row.id, pending.number, _version(incoming, "1C"), _version(incoming, "1D")),
                self._at,
            )
        standing.offered = True
        if row.profile != AES:
            self._mac = pending.mac
        keys = security.wrap_keys(row.profile, standing.tmk(), pending.keys)
        return self._build(responses.RESPONSES[Reason.APPROVED], {62: keys}, host.machine.sequence)

    def _device_known(self, serial: bytes | None) -> bool:
        if serial is None:
            return False
        digest = self._host.vault.token_digest("D", serial.decode("ascii", "replace"))
        return compare_digest(digest, self._standing.row.serial)

    # Replies.

    def _decline(self, reason: Reason, sequence: int = 0) -> Reply:
        return self._build(responses.RESPONSES[reason], {}, sequence)

    def _fault(self, row: tuple[str, str]) -> Reply:
        return self._build(row, {}, 0)

    def _reply_to(self, answer: Answer) -> Reply:
        """The reply to a command's answer."""
        outcome = answer.outcome
        row = responses.BY_NUMBER[outcome.reason]
        binding = self._binding
        sequence = answer.sequence or self._host.machine.sequence
        extra: dict[int, Any] = {}
        if outcome.reason == Reason.APPROVED and binding is not None:
            if binding.financial:
                fields = self._fields
                extra[15] = f"{answer.date % 10000:04d}"
                extra[37] = self._host.vault.rrn(answer.sequence)
                extra[38] = f"{answer.sequence % 1_000_000:06d}"
                amount = fields.get(4)
                if amount is not None:
                    extra[4] = amount
                    if 49 in fields:  # noqa: PLR2004
                        extra[49] = fields[49]
            if outcome.balances:
                extra[54] = _balances(outcome)
            if not answer.repeated and binding.financial:
                self._batch = self._incoming.batch
        if outcome.facts:
            elements = self._elements(outcome)
            if elements:
                extra[48] = build_tlv(elements)
        return self._build(row, extra, sequence)

    def _elements(self, outcome: Outcome) -> list[tuple[str, bytes]]:
        elements: list[tuple[str, bytes]] = []
        facts = dict(outcome.facts)
        moved = facts.get("moved")
        if moved is not None:
            unit = self._unit_to_name(facts.get("program"))
            elements.append(("30", (moved + unit).encode("ascii")))
        expiry = facts.get("next_expiry")
        if expiry is not None:
            elements.append(("32", b"%012d%08d" % expiry))
        elements.extend(
            ("50", b"%b%06d%012d%06d%012d" % (line[0].encode(), *line[1:]))
            for line in facts.get("totals", ())
        )
        return elements

    def _unit_to_name(self, program: str | None) -> str:
        """The unit of points moved, where it is not that of field 49 or the merchant's own."""
        if program is None or self._fields.get(49) == program:
            return ""
        merchant: Merchant | None = self._standing.merchant
        today = self._host.machine.clock.date(self._at)
        terms = in_force(merchant, "", today) if merchant is not None else None
        return "" if terms is not None and terms.program == program else program

    def _build(self, row: tuple[str, str], extra: dict[int, Any], sequence: int) -> Reply:
        """Encode, MAC and frame a reply."""
        host = self._host
        fields = self._fields
        code, text = row
        time, date = host.local_time(self._at)
        reply: dict[int, Any] = {12: time, 13: date, 39: code}
        for number in (3, 11, 41, 42):
            value = fields.get(number)
            if value is not None:
                reply[number] = value
        private = fields.get(60)
        if private is not None:
            reply[60] = self._private(private)
        if extra:
            reply.update(extra)
        if text:
            reply[44] = text.encode("ascii")
        mti = self._mti
        reply_mti = f"{mti[:2]}{int(mti[2]) + 1}0"
        mac = self._mac
        if mac is None:
            encoded = host.codec.encode(reply_mti, reply)
        else:
            reply[64] = MAC_PLACEHOLDER
            body = host.codec.encode(reply_mti, reply)[:-8]
            encoded = body + mac(body)
        host.meter.answered(self._tag, code)
        digit = SIGN_ON_AGAIN if code in {"77", "A0"} else 0
        return Reply(sequence, reply_frame(self._frame, digit, encoded))

    def _private(self, private: str) -> str:
        """Field 60 of the reply: the request's, with the batch in force."""
        if len(private) < 8:  # noqa: PLR2004
            return private
        batch = self._batch
        if not batch:
            standing = getattr(self, "_standing", None)
            if standing is None:
                return private
            batch = batches.in_force(self._host.read, standing.row.id, self._at)
        return f"{private[:2]}{batch:06d}{private[8:]}"


def _balances(outcome: Outcome) -> str:
    """Field 54: the available, then the ledger entry of each unit."""
    parts = []
    for kind, unit, available, ledger in outcome.balances[:BALANCES_MAX]:
        account = "65" if kind == "points" else "60"
        for amount_type, amount in (("02", available), ("01", ledger)):
            sign = "D" if amount < 0 else "C"
            parts.append(f"{account}{amount_type}{unit}{sign}{abs(amount):012d}")
    return "".join(parts)


def _version(incoming: Incoming, tag: str) -> str:
    return incoming.tlv.get(tag, b"")[:40].decode("ascii", "replace")
