"""A host in memory for tests of the simulated terminal: the protocol's answers, nothing durable.

It is written from the protocol, not from the daemon, and knows just enough of it: sign-on, MACs,
identities with stored replies, one program at a point a yuan, undo, settlement and upload.
"""

from random import Random

from posd import security
from posd.framing import Deframer, reply_frame
from posd.iso8583.compile import Codec
from posd.iso8583.tlv import build_tlv, parse_tlv

PROGRAM = "P01"
STORED = (4, 37, 38, 39, 44, 48, 49, 54)


class TillHost:
    """Answers frames; `deaf` requests never reach it."""

    def __init__(self, registrations, cards, opening=5000):
        self.codec = Codec()
        self.registrations = {one.id: one for one in registrations}
        self.balances = dict.fromkeys(cards, opening)
        self.phones = {f"138{number:08d}": card for number, card in enumerate(cards)}
        self.keys, self.batches, self.totals = {}, {}, {}
        self.known, self.sales, self.uploaded = {}, {}, []
        self.forced = []
        self.seen = []
        self.sequence = 0
        for one in registrations:
            keys = security.generate_keys(one.profile, Random(one.id).randbytes(32))
            self.keys[one.id] = keys, security.mac_calculator(one.profile, keys.mac_key)
            self.batches[one.id] = 1

    def answer(self, data):
        """The reply to a frame, as a frame."""
        (request,) = Deframer().feed(data)
        message = self.codec.decode(request.message)
        self.seen.append(message)
        fields = message.fields
        terminal = fields[41]
        if message.mti == "0800":
            return self.sign_on(request, message)
        body, mac = request.message[:-8], request.message[-8:]
        if self.keys[terminal][1](body) != mac:
            return self.reply(request, message, {39: "A0"}, None)
        forced = self.forced.pop(0) if self.forced else None
        extra = forced or self.judged(message)
        return self.reply(request, message, extra, self.keys[terminal][1])

    def sign_on(self, request, message):
        registration = self.registrations[message.fields[41]]
        profile, tmk = registration.profile, registration.tmk
        keys, mac = self.keys[registration.id]
        if profile == "aes":
            mac = security.mac_calculator("aes", security.sign_on_key(tmk))
            assert mac(request.message[:-8]) == request.message[-8:]
        field_62 = security.wrap_keys(profile, tmk, keys)
        return self.reply(request, message, {39: "00", 62: field_62}, mac)

    def reply(self, request, message, extra, mac):
        fields = message.fields
        private = fields[60]
        batch = self.batches[fields[41]]
        reply = {n: fields[n] for n in (3, 11, 41, 42) if n in fields}
        reply |= {12: "120000", 13: "0102", 60: f"{private[:2]}{batch:06d}{private[8:]}", **extra}
        mti = f"{message.mti[:2]}{int(message.mti[2]) + 1}0"
        if mac is None:
            return reply_frame(request, 3, self.codec.encode(mti, reply))
        body = self.codec.encode(mti, reply | {64: bytes(8)})[:-8]
        return reply_frame(request, 3 if extra[39] == "77" else 0, body + mac(body))

    # Judgement.

    def judged(self, message):
        fields = message.fields
        kind = message.mti[:3]
        batch, stan = int(fields[60][2:8]), int(fields[11])
        identity = fields[41], batch, stan
        if kind == "010":
            return self.inquiry(message)
        if kind == "040":
            return self.reversal(identity, fields)
        if identity in self.known:
            return self.known[identity]
        if batch != self.batches[fields[41]]:
            return {39: "77"}
        extra = getattr(self, f"on_{kind}")(message, identity)
        self.known[identity] = extra
        return extra

    def card(self, fields):
        track = fields.get(35, "").partition("D")[0]
        for tag, value in parse_tlv(fields.get(48, b"")):
            if tag == "10":
                return self.phones[value.decode()[1:]]
        return fields.get(2) or track

    def inquiry(self, message):
        card = self.card(message.fields)
        return {39: "00", 54: self.field_54(card)} if card in self.balances else {39: "14"}

    def field_54(self, card):
        amount = self.balances[card]
        entry = f"{PROGRAM}{'D' if amount < 0 else 'C'}{abs(amount):012d}"
        return f"6502{entry}6501{entry}"

    def count(self, terminal, side, points, times=1):
        line = self.totals.setdefault(terminal, [0, 0, 0, 0])
        line[side] += times
        line[side + 1] += times * points

    def approved(self, fields, card, moved):
        self.balances[card] += moved
        self.sequence += 1
        return {
            39: "00",
            4: fields[4],
            37: f"{self.sequence * 7919:012d}",
            38: f"{self.sequence:06d}",
            48: build_tlv([("30", f"{moved:+d}".encode())]),
            49: fields[49],
            54: self.field_54(card),
        }

    def on_020(self, message, identity):
        fields = message.fields
        if fields[3] == "200000":
            return self.void(identity, fields)
        card = self.card(fields)
        if card not in self.balances:
            return {39: "14"}
        amount, accrual = int(fields[4]), fields[3] == "220065"
        moved = amount // 100 if accrual else -amount
        if self.balances[card] + moved < 0 and not accrual:
            return {39: "51"}
        extra = self.approved(fields, card, moved)
        self.count(identity[0], 2 if accrual else 0, abs(moved))
        self.sales[identity] = self.sales[extra[37]] = {
            "card": card, "moved": moved, "amount": amount, "side": 2 if accrual else 0,
            "refunded": 0, "undone": False, "refund": 0,
        }  # fmt: skip
        return extra

    def void(self, identity, fields):
        sale = self.sales.get(fields[37])
        assert sale is self.sales[identity[0], int(fields[61][:6]), int(fields[61][6:12])]
        if sale["undone"] or sale["refunded"]:
            return {39: "12"}
        sale["undone"] = True
        self.balances[sale["card"]] -= sale["moved"]
        self.count(identity[0], sale["side"], abs(sale["moved"]), -1)
        self.sequence += 1
        self.sales[identity] = {"voided": sale, "undone": False}
        return {39: "00", 4: fields[4], 37: f"{self.sequence * 7919:012d}", 49: fields[49]}

    def on_022(self, message, identity):
        fields = message.fields
        sale = self.sales[fields[37]]
        sale["refunded"] += int(fields[4])
        if sale["undone"] or sale["refunded"] > sale["amount"]:
            sale["refunded"] -= int(fields[4])
            return {39: "64"}
        back = abs(sale["moved"]) * sale["refunded"] // sale["amount"]
        moved = (back - sale["refund"]) * (-1 if sale["moved"] > 0 else 1)
        sale["refund"] = back
        self.count(identity[0], 0 if sale["side"] else 2, abs(moved))
        return self.approved(fields, sale["card"], moved)

    def on_060(self, message, _identity):
        card = self.card(message.fields)
        if card in self.balances:
            return {39: "12"}
        self.balances[card] = 0
        return {39: "00"}

    def reversal(self, identity, fields):
        if identity not in self.known:
            self.known[identity] = {39: "22"}
            return {39: "25"}
        if self.known[identity][39] == "22":
            return {39: "25"}
        sale = self.sales.get(identity)
        if sale and not sale["undone"]:
            sale["undone"] = True
            if "voided" in sale:
                original, back = sale["voided"], 1
                original["undone"] = False
            else:
                original, back = sale, -1
                assert original["amount"] == int(fields[4])
            self.balances[original["card"]] += back * original["moved"]
            self.count(identity[0], original["side"], abs(original["moved"]), back)
        return {39: "00"}

    def on_050(self, message, identity):
        terminal = identity[0]
        claimed = [v.decode() for t, v in parse_tlv(message.fields.get(48, b"")) if t == "50"]
        line = self.totals.get(terminal, [0, 0, 0, 0])
        ours = f"{PROGRAM}{line[0]:06d}{line[1]:012d}{line[2]:06d}{line[3]:012d}"
        if claimed != ([ours] if any(line) else []):
            return {39: "95", 48: build_tlv([("50", ours.encode())])}
        self.close(terminal)
        return {39: "00"}

    def on_032(self, message, identity):
        if message.fields[60][8:] == "207":
            self.close(identity[0])
        else:
            self.uploaded.append(message)
        return {39: "00"}

    def close(self, terminal):
        self.batches[terminal] += 1
        self.totals.pop(terminal, None)
