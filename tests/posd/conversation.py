"""Conversations: what a till sends, what the host posts and says, as text.

A conversation is played on a session, a host and a machine in memory, with time injected::

    >> 0200 3=220065 2={card} 4=000000012345 49=156        a message of the till
    .. accrual APPROVED                                    an entry that it made
    << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+123 49=156 54=* 64=*

Lines:

``>> MTI field=value …``
    11, 41, 42, 60 and the MAC are filled in where they are not said. Words besides fields:
    ``-N`` leaves field N out; ``mac=none``, ``mac=wrong``, ``mac=old`` (the till's keys before),
    ``mac=master`` (the sign-on key); ``pin=DIGITS`` puts a PIN block where the profile has it,
    ``new_pin=DIGITS`` one into field 62;
    ``code=NNN`` is 60.3; ``batch=NNNNNN`` is 60.2; ``stan=N``.
    48 is written ``tag:value,tag:value``.
``.. kind REASON``
    an entry that the message left in the journal; all are told, so that a message without such a
    line posts nothing.
``<< MTI field=value …``
    the reply. What every reply has is not told (3 where asked, 11, 12, 13, 41, 42, 60); any other
    field that is there has to be, and none that is told may be missing. ``=*`` takes any value.
    ``<< silence`` and ``<< closed`` are the other answers.
``@ SECONDS``
    time passes.
``till ID``, ``from ADDRESS``, ``from ADDRESS tls``
    another terminal speaks, from elsewhere.

`{name}` stands for what an earlier line or the test set in `Conversation.words`.
"""

import re
from collections import Counter

from engine.commands import Outcome
from engine.machine import Machine
from engine.reasons import Reason
from engine.rules import reference
from engine.vault import Vault
from posd import security
from posd.framing import Deframer, frame
from posd.host import Host, Peer
from posd.iso8583.compile import Codec
from posd.iso8583.tlv import build_tlv, parse_tlv
from posd.logs import EVENTS
from posd.metrics import Meter
from posd.session import Session
from tests.engine.house import moment, whole_terms
from tests.engine.memory_book import MemoryBook

MERCHANT = "104110045110012"
OTHER_MERCHANT = "104110045110013"
CARD = "6222020000000000018"
OTHER_CARD = "6222020000000000026"
NEXT_CARD = "6222020000000000042"
PHONE = "13800000001"
IDENTITY = "11010519491231002X"
PIN = "123456"
TMK = bytes.fromhex("0123456789abcdeffedcba9876543210")
SERIAL = "356938035643809"
TERMINALS = {
    "00000001": {},
    "00000002": {"profile": "tdes-x919"},
    "00000003": {"profile": "tdes-cup"},
    "00000004": {"role": "information"},
    "00000005": {"serial": SERIAL},
    "00000006": {"enabled": False},
    "00000007": {"networks": ("10.0.0.0/8",)},
    "00000008": {"merchant": OTHER_MERCHANT},
    "00000009": {"profile": "tdes-cup", "networks": ("10.0.0.0/8",)},
}
ALWAYS = frozenset({3, 11, 12, 13, 41, 42, 60})
TPDU, HEADER = bytes.fromhex("6012340001"), bytes.fromhex("603100311234")
LOOPBACK = "127.0.0.1"
FEEDINGS = ("whole", "byte by byte", "trailing bytes")
_FIELD = re.compile(r"(\d+)=(.*)").fullmatch


class Gate:
    shut = False


class Till:
    """What a terminal knows."""

    def __init__(self, name, profile):
        self.name, self.profile = name, profile
        self.stan, self.batch = 0, 1
        self.keys = []


class Conversation:
    """A host with a few terminals and members, and the tills that talk to it.

    Attributes:
        words: what `{name}` stands for; `rrn` and `stan` are those of the last message.
        events: names of events and how often they happened.
        request, reply, frame: the last message sent, its reply decoded and as a frame.
    """

    def __init__(self, feeding="whole"):
        self.feeding = feeding
        self.now, self.monotonic = moment(20260302), 5_000_000
        self.vault = Vault(bytes(range(32)))
        self.book = MemoryBook()
        self.machine = Machine(self.book)
        self.gate, self.meter, self.events = Gate(), Meter(), Counter()
        self.host = Host(
            self.machine, self.book.view.get, self.vault, self.gate, self.meter, self._event
        )
        self.codec = Codec()
        self.sessions = {}
        self.tills = {}
        self.words = {"card": CARD, "other": OTHER_CARD, "phone": PHONE, "serial": SERIAL}
        self.words |= {"identity": IDENTITY, "next": NEXT_CARD}
        self._load()
        self.till("00000001")
        self.peer(LOOPBACK)

    def _event(self, name, **values):
        assert set(values) <= EVENTS[name]
        self.events[name] += 1

    def _load(self):
        self.administer(reference.SetCalendar(20260302, 1440, "Asia/Shanghai", 7, 3, 500))
        self.administer(
            reference.PutProgram(
                "P01", "联盟积分", 100, "none", True, "expire", 0, "negative", False
            )
        )
        self.administer(reference.PutInstitution("HB01", "Hebei"))
        terms = ((20260101, "P01", (1, 1), (1, 1), (95, 100), 6, 0, 0, 0, False),)
        for name in (MERCHANT, OTHER_MERCHANT):
            self.administer(
                reference.PutMerchant(name, "湖边酒店", "HB01", "7011", whole_terms(terms), True)
            )
        for name in TERMINALS:
            self.register(name)
        for name, cards in (("M1", (CARD,)), ("M2", (OTHER_CARD,))):
            tokens = [("C", card) for card in cards]
            tokens += [("P", PHONE), ("I", IDENTITY)] if name == "M1" else []
            self.administer(
                reference.PutMember(
                    name,
                    "base",
                    "active",
                    self.vault.pin_digest(name, PIN),
                    tuple((kind, self.vault.token_digest(kind, text)) for kind, text in tokens),
                    tuple(self.vault.seal_token(kind, text)[1] for kind, text in tokens),
                )
            )
        self.administer(reference.OpeningBalance("M1", "P01", 5000, 20271231))

    def administer(self, command):
        answer = self.machine.execute(command, self.now)
        assert answer.outcome.reason in {Reason.APPROVED, Reason.UNCHANGED}, answer
        return answer

    def register(self, name, tmk=TMK, **said):
        """Register a terminal as `TERMINALS` has it, but for what is said."""
        row = {
            "merchant": MERCHANT, "profile": "aes", "charset": "utf-8", "networks": (),
            "serial": "", "role": "sales", "enabled": True,
        } | TERMINALS[name] | said  # fmt: skip
        serial = row["serial"] and self.vault.token_digest("D", row["serial"])
        self.administer(
            reference.PutTerminal(
                name,
                row["merchant"],
                row["profile"],
                self.vault.seal(f"tmk:{name}", tmk),
                security.check_value(row["profile"], tmk).hex().upper(),
                row["charset"],
                row["networks"],
                serial or b"",
                row["role"],
                row["enabled"],
            )
        )

    def till(self, name):
        """Let another terminal speak."""
        profile = TERMINALS.get(name, {}).get("profile", "aes")
        self.speaker = self.tills.setdefault(name, Till(name, profile))

    def peer(self, address, *, tls=False):
        """Speak from another place, over a link of its own."""
        key = address, tls
        if key not in self.sessions or self.sessions[key].closed:
            self.sessions[key] = Session(self.host, Peer(address, tls=tls), 4096)
        self.session = self.sessions[key]

    # Playing.

    def play(self, text):
        """Play the lines of a conversation."""
        lines = [line.split("#")[0].strip() for line in text.splitlines()]
        lines = [line for line in lines if line]
        while lines:
            verb, _, rest = lines.pop(0).partition(" ")
            if verb == ">>":
                entries = []
                while lines and lines[0].startswith(".. "):
                    entries.append(lines.pop(0)[3:].strip())
                answer, _, told = lines.pop(0).partition(" ")
                assert answer == "<<", "a message is followed by its answer"
                self._message(rest, entries, told)
            elif verb == "@":
                self.pass_time(int(rest))
            elif verb == "till":
                self.till(rest)
            elif verb == "from":
                address, _, tls = rest.partition(" ")
                self.peer(address, tls=bool(tls))
            else:
                raise AssertionError(f"a conversation has no line {verb!r}")

    def pass_time(self, seconds):
        """Let both clocks go on."""
        self.now += seconds * 1000
        self.monotonic += seconds * 1000

    def sign_on(self):
        """Sign the till that speaks on, and use the keys once, so that they are confirmed."""
        aes = self.speaker.profile == "aes"
        offered = ".. sign-on APPROVED" if aes else ""
        self.play(f"""
            >> 0800 code=001 mac={"master" if aes else "none"}
            {offered}
            << 0810 39=00 62=* 64=*
            >> 0820 code=002
            .. keys confirmed APPROVED
            << 0830 39=00 64=*
            """)

    def _message(self, said, expected_entries, told):
        before = self.book.sequence
        answer = self.send(self.build(said.format(**self.words)))
        entries = [
            f"{entry.kind} {Reason(Outcome(*entry.outcome).reason).name}"
            for entry in map(self.book.entry, range(before + 1, self.book.sequence + 1))
        ]
        if told in {"silence", "closed"}:
            assert answer is None, f"{said}: answered {self.reply.fields}"
            assert self.session.closed == (told == "closed")
        else:
            assert answer is not None, f"{said}: no reply"
            self._compare(said, told.format(**self.words))
        assert entries == expected_entries, said
        self._learn()

    def _compare(self, said, told):
        mti, *words = told.split()
        wanted = {int(number): value for number, value in (_FIELD(word).groups() for word in words)}
        fields = self.reply.fields
        shown = {n: fields[n] for n in sorted(fields)}
        assert self.reply.mti == mti, said
        known = ALWAYS - wanted.keys()
        assert known - fields.keys() <= {3, 11, 41, 42, 60} - self.request.keys(), said
        assert fields.keys() - known == wanted.keys(), f"{said}: {shown}"
        for number in (3, 11, 41, 42):
            assert fields.get(number) == self.request.get(number), said
        for number, value in wanted.items():
            given = fields[number]
            if number == 48 and value != "*":
                given = ",".join(f"{tag}:{text.decode()}" for tag, text in parse_tlv(given))
            elif isinstance(given, bytes) and value != "*":
                given = given.decode()
            assert value in {"*", given}, f"{said}: field {number} is {given!r}"
        if 64 in fields:
            self._verify_mac(said)

    def _verify_mac(self, said):
        """A reply's MAC is under the key of its request."""
        mac = self._mac
        if mac is None:
            keys = self._unwrapped(self.reply.fields[62])
            mac = security.mac_calculator(self.speaker.profile, keys.mac_key)
        message = Deframer().feed(self.frame)[0].message
        assert mac(message[:-8]) == message[-8:], f"{said}: MAC of the reply"

    def _unwrapped(self, field_62):
        return security.unwrap_keys(self.speaker.profile, TMK, field_62)

    def _learn(self):
        """Take from a reply what a till takes: keys, the batch number, the RRN."""
        if self.reply is None:
            return
        fields = self.reply.fields
        if self.reply.mti == "0810" and len(fields.get(62, b"")) in {40, 56}:
            keys = self._unwrapped(fields[62])
            if keys not in self.speaker.keys:
                self.speaker.keys.append(keys)
        if 60 in fields and fields.get(41) == self.speaker.name:
            self.words["batch"] = fields[60][2:8]
            self.speaker.batch = int(fields[60][2:8])
        self.words |= {name: fields[n] for name, n in (("rrn", 37), ("stan", 11)) if n in fields}

    # Building and sending.

    def build(self, said):
        """A framed message of the till that speaks."""
        mti, *words = said.split()
        till = self.speaker
        options = {"mac": "", "code": "000", "batch": f"{till.batch:06d}"}
        fields, dropped = {}, set()
        for word in words:
            found = _FIELD(word)
            if found:
                fields[int(found[1])] = found[2]
            elif word.startswith("-"):
                dropped.add(int(word[1:]))
            else:
                name, _, value = word.partition("=")
                options[name] = value
        if "stan" not in options:
            till.stan += 1
            options["stan"] = till.stan
        stated = {
            11: f"{int(options['stan']):06d}",
            41: till.name,
            42: TERMINALS.get(till.name, {}).get("merchant", MERCHANT),
            60: f"00{options['batch']}{options['code']}",
        }
        fields = {n: v for n, v in (stated | fields).items() if n not in dropped}
        if isinstance(fields.get(48), str):
            fields[48] = build_tlv(
                (element[:2], element[3:].encode()) for element in fields[48].split(",") if element
            )
        for number in (44, 52, 55, 59, 62, 63, 110):
            if isinstance(fields.get(number), str):
                fields[number] = fields[number].encode()
        if "pin" in options:
            self._add_pin(fields, options["pin"])
        if "new_pin" in options:
            fields[62] = self.pin_block(options["new_pin"])
        self.request = fields
        return self._sealed(mti, fields, options["mac"])

    def pin_block(self, pin, card=CARD):
        """A PIN block as this till makes them."""
        till = self.speaker
        fill = bytes(8) if till.profile == "aes" else b""
        return security.pin_block(till.profile, till.keys[-1].pin_key, pin, card, fill)

    def _add_pin(self, fields, pin):
        card = fields.get(2) or fields.get(35, CARD).partition("D")[0]
        fields[110 if self.speaker.profile == "aes" else 52] = self.pin_block(pin, card)

    def _sealed(self, mti, fields, which):
        till = self.speaker
        mac_field = 128 if max(fields, default=0) > 64 else 64
        self._mac = None
        if which == "none" or (mti[:3] == "082" and fields.get(60, "")[8:11] == "301"):
            return self._framed(self.codec.encode(mti, fields))
        if which == "master":
            self._mac = security.mac_calculator("aes", security.sign_on_key(TMK))
        elif which == "wrong" or not till.keys:
            self._mac = lambda _: b"\1" * 8
        else:
            keys = till.keys[-2 if which == "old" else -1]
            self._mac = security.mac_calculator(till.profile, keys.mac_key)
        body = self.codec.encode(mti, fields | {mac_field: bytes(8)})[:-8]
        return self._framed(body + self._mac(body))

    def _framed(self, message):
        return frame(TPDU, HEADER, message)

    def send(self, data):
        """Feed a frame in the way of this conversation; returns the reply's frame, or None."""
        replies = [reply for piece in self._pieces(data) for reply in self.feed(piece)]
        replies = [reply for reply in replies if reply != b"\0\0"]
        assert len(replies) <= 1
        self.frame = replies[0] if replies else None
        self.reply = None
        if replies:
            framed = Deframer().feed(self.frame)[0]
            self.header = framed.header
            self.reply = self.codec.decode(framed.message)
        return self.frame

    def _pieces(self, data):
        if self.feeding == "byte by byte":
            return [data[n : n + 1] for n in range(len(data))]
        if self.feeding == "trailing bytes":
            # Half of a keep-alive, which the next message finds waiting and completes.
            return [(b"\0" if self.session.half_frame else b"") + data + b"\0"]
        return [data]

    def feed(self, data):
        """Frames of the replies to what is read now; they leave at once."""
        replies = self.session.receive(data, self.now, self.monotonic)
        self.session.sent(len(replies))
        assert all(reply.sequence <= self.book.sequence for reply in replies)
        return [reply.data for reply in replies]
