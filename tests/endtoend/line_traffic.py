"""Tills that keep many messages on the way, and the books of what they were told.

Requests are made and sealed beforehand by the independent terminal, so that under load nothing is
done but sending and cutting replies by their length. Replies are judged afterwards, each held to
the rules that hold for every reply.

A request is a sale, a redemption, a hold, its capture or release, a transfer or referral, which the
host posts in two entries, or a void of an earlier one of the same till. `Traffic.settle` clears up
what a dead daemon left open: each unanswered request is repeated as it was or, where nothing builds
on it, reversed; answered ones are repeated in samples and have to be answered again with the same
bytes. What the replies say must then be in the members' balances, once.
"""

import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable
from random import Random

from daemon_process import FRIENDS_POINTS

from tests.independent import messages, spec8583
from tests.independent.client import Link, Terminal
from tests.independent.conftest import HOTEL, master_key
from tests.independent.messages import Member, Reply, Sent
from tests.independent.spec8583 import Frame

TILLS_ON_A_NAC = 4
DEPTH = 48
STALLED_S = 30.0
READ_BYTES = 1 << 18
FREE_TO_DIFFER = ("12", "13", "64", "128")
AGAIN_LATER = ("91",)


def key_of_request(sent: Sent) -> tuple[bytes, str]:
    """What pairs a request with its reply on a link: TPDU source and STAN."""
    return sent.frame.tpdu[3:5], sent.request.stan


def key_of_reply(body: bytes) -> tuple[bytes, str]:
    """The same of a reply: field 11 stands behind 3 and, in an approval, 4."""
    fields = body[13]
    stan = 21 + (3 if fields & 0x20 else 0) + (6 if fields & 0x10 else 0)
    return body[1:3], body[stan : stan + 3].hex()


def stable(body: bytes) -> tuple[bytes, dict[str, str]]:
    """A reply without what a repeat may bring anew: times, the batch in force, the MAC."""
    frame = Frame.decode(body)
    fields = spec8583.decode_message(frame.message)
    fields["60"] = fields["60"][:2] + fields["60"][8:]
    kept = {n: value for n, value in fields.items() if n not in (*FREE_TO_DIFFER, "p")}
    return frame.tpdu + frame.header, kept


class Line:
    """One connection under load: what is to be sent, what is on its way, what came."""

    def __init__(self, address: tuple[str, int], depth: int) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.waiting: deque[Sent] = deque()
        self.flying: dict[tuple[bytes, str], Sent] = {}
        self.answers: list[tuple[Sent, bytes]] = []
        self.closed = False
        self._depth = depth
        self._unsent = b""
        self._arrived = b""

    @property
    def done(self) -> bool:
        """Whether nothing is to be expected any more."""
        return self.closed or not (self.waiting or self.flying)

    @property
    def wants(self) -> int:
        """What to wait for: replies, and room to send where some bytes are left over."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def push(self) -> None:
        """Send as much as the depth and the socket allow."""
        frames = [self._unsent]
        while self.waiting and len(self.flying) < self._depth:
            sent = self.waiting.popleft()
            self.flying[key_of_request(sent)] = sent
            frames.append(sent.frame.encode())
        data = b"".join(frames)
        if data and not self.closed:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
        self._unsent = data

    def pull(self) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        data = self._arrived + data
        at = 0
        while len(data) - at >= 2:
            size = int.from_bytes(data[at : at + 2])
            if len(data) - at < 2 + size:
                break
            body = data[at + 2 : at + 2 + size]
            at += 2 + size
            # A reply to nobody, or a second one, is a KeyError here.
            self.answers.append((self.flying.pop(key_of_reply(body)), body))
        self._arrived = data[at:]

    def close(self) -> None:
        """Hang up; what was on its way stays unanswered."""
        self.closed = True
        self.socket.close()


def pump(lines: Iterable[Line], enough: Callable[[int], bool] = lambda _: False) -> int:
    """Move frames until everything is answered, all lines are closed, or it is enough.

    Args:
        lines: the connections.
        enough: asked with the number of replies so far, again and again.

    Returns:
        The number of replies.
    """
    lines = list(lines)
    with selectors.DefaultSelector() as selector:
        for line in lines:
            line.push()
            if not line.closed:
                selector.register(line.socket, line.wants, line)
        while True:
            count = sum(len(line.answers) for line in lines)
            if enough(count) or all(line.done for line in lines):
                return count
            ready = selector.select(STALLED_S)
            assert ready, f"{STALLED_S} s without a reply"
            for key, events in ready:
                line = key.data
                # Out of the selector first: a closed socket has no number any more.
                selector.unregister(line.socket)
                if events & selectors.EVENT_READ:
                    line.pull()
                if not line.closed:
                    line.push()
                if not line.closed:
                    selector.register(line.socket, line.wants, line)


class Traffic:
    """The tills of one daemon, what they asked, and what they were told.

    Attributes:
        asked: every request, in the order of its till.
        told: the reply to each request that has one.
        reversed: requests that were reversed for want of a reply.
        refused: replies that said "not now".
    """

    def __init__(self, members: list[Member], tills: int, seed: int) -> None:
        self.members = members
        self._random = Random(seed)
        self.tills = [
            Terminal("aes", f"{n:08d}", HOTEL, master_key(f"{n:08d}", "aes"), source=n)
            for n in range(1, tills + 1)
        ]
        self.asked: list[Sent] = []
        self.told: dict[Sent, Reply] = {}
        self.raw: dict[Sent, bytes] = {}
        self.reversed: dict[Sent, Reply] = {}
        self.refused = 0
        self._till_of: dict[Sent, Terminal] = {}
        self._undoes: dict[Sent, Sent] = {}
        self._ends: dict[Sent, Sent] = {}
        self._latest: dict[Terminal, list[Sent]] = {till: [] for till in self.tills}

    # Links.

    def sign_on(self, address: tuple[str, int]) -> None:
        """Give every till its keys, and use them once."""
        link = Link(address)
        for till in self.tills:
            till.link = link
            till.sign_on()
            assert till.balance(self.members[0]) == self.members[0].opening
            till.link = None
        link.close()

    def lines(self, address: tuple[str, int], depth: int = DEPTH) -> dict[Terminal, Line]:
        """Half of the tills on lines of their own, the others behind controllers."""
        direct = self.tills[: len(self.tills) // 2]
        shared = self.tills[len(direct) :]
        placed = {till: Line(address, depth) for till in direct}
        for at in range(0, len(shared), TILLS_ON_A_NAC):
            line = Line(address, depth * TILLS_ON_A_NAC)
            placed |= dict.fromkeys(shared[at : at + TILLS_ON_A_NAC], line)
        return placed

    # Requests.

    def ask(self, count: int) -> list[Sent]:
        """Make `count` new requests, shared out among the tills."""
        made = [self._request(self.tills[n % len(self.tills)]) for n in range(count)]
        self.asked += made
        return made

    def _request(self, till: Terminal) -> Sent:
        source = self._random
        roll = source.random()
        latest = self._latest[till]
        if roll < 0.08 and latest:
            original = latest.pop(source.randrange(len(latest)))
            return self._note(till, _void(till, original), original)
        member = source.choice(self.members)
        if roll < 0.12:
            return self._hold_or_end_one(till, member)
        if roll < 0.2:
            return self._note(till, self._between(till, member))
        if roll < 0.4:
            return self._note(till, till.redemption(member, source.randrange(1, 60)))
        return self._note(till, till.accrual(member, source.randrange(100, 20_000)))

    def _between(self, till: Terminal, member: Member) -> messages.Request:
        """A transfer or a referral: two members, and two entries of the journal."""
        other = self._random.choice([one for one in self.members if one is not member])
        told = [("11", f"C{other.card}")]
        if self._random.random() < 0.3:
            told.append(("1E", "FRIEND"))
            more = {"4": f"{0:012d}", "49": "156"}
            return till.compose("0200", "220065", member, elements=told, more=more)
        more = {"4": f"{self._random.randrange(1, 90):012d}", "49": "P01"}
        return till.compose("0200", "406565", member, elements=told, more=more)

    def _hold_or_end_one(self, till: Terminal, member: Member) -> Sent:
        """A hold, or the capture or release of one whose reply is there."""
        ended = set(self._ends.values())
        held = [
            sent
            for sent, reply in self.told.items()
            if sent.request.fields.get("3") == "036500" and reply.code == "00"
        ]
        held = [sent for sent in held[-64:] if sent not in ended]
        if not held or self._random.random() < 0.4:
            amount = self._random.randrange(1, 80)
            more = {"4": f"{amount:012d}", "49": "P01"}
            return self._seal(till, till.compose("0100", "036500", member, more=more))
        hold = self._random.choice(held)
        rrn = {"37": self.told[hold].rrn}
        if self._random.random() < 0.4:
            request = till.compose("0100", "200000", more=rrn)
        else:
            part = self._random.randrange(1, int(hold.request.fields["4"]) + 1)
            rrn |= {"4": f"{part:012d}", "49": "P01"}
            request = till.compose("0220", "006500", more=rrn)
        sent = self._seal(till, request)
        self._ends[sent] = hold
        return sent

    def _seal(self, till: Terminal, request: messages.Request) -> Sent:
        sent = till.sealed(request)
        self._till_of[sent] = till
        return sent

    def _note(
        self, till: Terminal, request: messages.Request, original: Sent | None = None
    ) -> Sent:
        sent = self._seal(till, request)
        if original is None:
            self._latest[till].append(sent)
            del self._latest[till][:-8]
        else:
            self._undoes[sent] = original
        return sent

    # Running.

    def run(
        self,
        address: tuple[str, int],
        requests: list[Sent],
        enough: Callable[[int], bool] = lambda _: False,
        depth: int = DEPTH,
    ) -> list[Line]:
        """Send requests and note the replies until everything is said or the links are gone."""
        placed = self.lines(address, depth)
        for sent in requests:
            placed[self._till_of[sent]].waiting.append(sent)
        lines = list(dict.fromkeys(placed.values()))
        try:
            pump(lines, enough)
        except BaseException:
            for line in lines:
                line.close()
            raise
        return lines

    def note(self, lines: list[Line]) -> None:
        """Judge the replies that came, and close the lines."""
        for line in lines:
            line.close()
            for sent, body in line.answers:
                reply = self._till_of[sent].read(sent, body)
                if reply.code in AGAIN_LATER:
                    self.refused += 1
                    continue
                self.told[sent] = reply
                self.raw[sent] = body
            line.answers.clear()

    def open_requests(self) -> list[Sent]:
        """Requests of which nobody knows what became of them, in their order."""
        return [sent for sent in self.asked if sent not in self.told and sent not in self.reversed]

    def settle(self, address: tuple[str, int], sample: int) -> int:
        """Clear up what is open, and ask again for what was answered.

        Args:
            address: the daemon.
            sample: how many answered requests are repeated; each must be told the same again.

        Returns:
            How many requests had been open.
        """
        unknown = self.open_requests()
        built_on = {*self._undoes.values(), *self._ends}
        doubtful = [
            sent
            for sent in unknown
            if sent not in built_on and sent not in self._undoes and self._random.random() < 0.5
        ]
        self._reverse(address, doubtful)
        left = set(doubtful)
        self.note(self.run(address, [sent for sent in unknown if sent not in left]))
        known = [sent for sent in self.told if sent not in self.reversed]
        self.check_repeats(address, self._random.sample(known, min(sample, len(known))))
        return len(unknown)

    def check_repeats(self, address: tuple[str, int], requests: list[Sent]) -> None:
        """Each of these has to be told the same bytes again, but for what may differ."""
        lines = self.run(address, requests)
        again = [pair for line in lines for pair in line.answers]
        for line in lines:
            line.close()
        assert len(again) == len(requests)
        for sent, body in again:
            self._till_of[sent].read(sent, body)
            assert stable(body) == stable(self.raw[sent])

    def _reverse(self, address: tuple[str, int], requests: list[Sent]) -> None:
        link = Link(address)
        for sent in requests:
            till = self._till_of[sent]
            reply = till.ask(till.reversal(sent.request), link)
            assert reply.code in {"00", "25"}
            self.reversed[sent] = reply
            # Now that it is undone or barred, the original posts nothing, however late it comes.
            late = till.exchange(sent, link)
            assert (late.code == "22") == (reply.code == "25")
        link.close()

    # Books.

    def expected(self) -> dict[str, int]:
        """What each member has to have, by the replies alone."""
        points = {member.card: member.opening for member in self.members}
        for sent, reply in self.told.items():
            if reply.code != "00" or sent in self.reversed:
                continue
            original = self._undoes.get(sent)
            for card, moved in self._moved(original or sent).items():
                points[card] += moved if original is None else -moved
        return points

    def _moved(self, sent: Sent) -> dict[str, int]:
        """What an approved request did to the points that members can spend."""
        fields = sent.request.fields
        hold = self._ends.get(sent)
        if hold is not None:
            spent = int(fields["4"]) if fields["t"] == "0220" else 0
            return {hold.request.fields["2"]: int(hold.request.fields["4"]) - spent}
        card = fields["2"]
        if fields["t"] == "0100":
            return {card: -int(fields["4"])}
        moved = int(self.told[sent].points)
        told = dict(spec8583.decode_elements(fields.get("48", "")))
        if "11" not in told:
            return {card: moved}
        gained = FRIENDS_POINTS if "1E" in told else -moved
        return {card: moved, told["11"][1:].decode(): gained}

    def balances(self, address: tuple[str, int]) -> dict[str, int]:
        """What each member has, by asking."""
        till = self.tills[0]
        till.link = Link(address)
        found = {member.card: till.balance(member) for member in self.members}
        till.link.close()
        return found

    def approved(self) -> list[Sent]:
        """Requests whose reply was 00."""
        return [sent for sent, reply in self.told.items() if reply.code == "00"]


def _void(till: Terminal, original: Sent) -> messages.Request:
    """A void that names its original by batch and STAN, before its reply is there."""
    first = original.request
    more = {"4": first.fields["4"], "49": first.fields["49"], "61": first.batch + first.stan}
    return till.compose("0200", "200000", more={**more, **messages.member_fields(first)})
