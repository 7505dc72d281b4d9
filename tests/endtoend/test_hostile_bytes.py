"""Strangers send rubbish on many links while an honest till works.

Frames are made of nothing, cut, glued, flipped and re-lengthened from good ones, all from a seed.
The honest till notices nothing, nothing is posted that it did not ask for, the daemon's memory
stays bounded and its log holds no traceback.
"""

import os
import socket
from collections import Counter
from random import Random

import pytest
from daemon_process import OPENING
from tally import check_books

from tests.independent import keys, spec8583
from tests.independent.client import Link, LinkClosed, Terminal
from tests.independent.conftest import HOTEL, master_key
from tests.independent.messages import by_phone, swiped
from tests.independent.spec8583 import Frame

LONG = bool(os.environ.get("COUNTERFOIL_LONG"))
ROUNDS = 400 if LONG else 60
LINKS = 24
GROWTH_BYTES_MAX = 48 << 20
VICTIM = 16
"""The till whose messages strangers have overheard, and change."""


def overheard(members):
    """Good frames of a till that has not signed on here, under keys that the host never gave."""
    till = Terminal("aes", f"{VICTIM:08d}", HOTEL, master_key(f"{VICTIM:08d}", "aes"), VICTIM)
    requests = [
        till.accrual(members[1], 9900),
        till.redemption(members[1], 100),
        till.compose("0100", "310000", members[1]),
        till.compose("0600", "980000", members[1]),
        till.settlement({"P01": (1, 100, 1, 99)}),
        till.compose("0820", network="301"),
    ]
    frames = [till.seal(request, bytes(16)).frame.encode() for request in requests]
    return [*frames, till.sign_on_request().frame.encode()]


def damaged(source, frames):
    """Bytes for a link: rubbish, or a good frame with something wrong."""
    frame = bytearray(source.choice(frames))
    way = source.randrange(7)
    if way == 0:
        return source.randbytes(source.randrange(1, 3000))
    if way == 1:
        body = source.randbytes(source.randrange(21, 600))
        return len(body).to_bytes(2) + body
    if way == 2:
        for _ in range(source.randrange(1, 9)):
            frame[source.randrange(2, len(frame))] ^= 1 << source.randrange(8)
        return bytes(frame)
    if way == 3:
        at = source.randrange(13, len(frame))
        body = frame[2:at] + source.randbytes(source.randrange(40)) + frame[at:]
        return len(body).to_bytes(2) + bytes(body)
    if way == 4:
        return bytes(frame[: source.randrange(1, len(frame))])
    if way == 5:
        frame[15:23] = source.randbytes(8)  # the message type stays, the bitmap does not
        return bytes(frame)
    return bytes(frame) * source.randrange(1, 40)


class Stranger:
    """A link that is opened again whenever the host has had enough."""

    def __init__(self, address, source, frames):
        self._address, self._source, self._frames = address, source, frames
        self._socket = None

    def act(self):
        """Send something; take what comes, if anything does."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setblocking(False)
        try:
            self._socket.send(damaged(self._source, self._frames))
            while self._socket.recv(65536):
                pass
            self.leave()
        except BlockingIOError:
            pass
        except OSError:
            self.leave()
        if self._source.random() < 0.05:
            self.leave()

    def leave(self):
        """Hang up, with or without half a frame on the way."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@pytest.mark.parametrize("seed", range(10) if LONG else [1])
def test_an_honest_till_works_on_among_strangers(daemon, traffic, tmp_path, seed):
    daemon.start()
    traffic.tills.pop()  # this one stays at home
    traffic.sign_on(daemon.address)
    till, honest, victim = traffic.tills[0], traffic.members[0], traffic.members[1]
    traffic.members = [member for member in traffic.members if member is not victim]
    source = Random(seed)
    frames = overheard([honest, victim])
    strangers = [Stranger(daemon.address, source, frames) for _ in range(LINKS)]
    till.link = Link(daemon.address)
    sales = 0
    before = 0
    for number in range(ROUNDS):
        for stranger in strangers:
            stranger.act()
        assert till.accrue(honest, 1000).code == "00"
        sales += 1
        if number == ROUNDS // 5:
            before = daemon.resident_bytes()
    grown = daemon.resident_bytes() - before
    for stranger in strangers:
        stranger.leave()

    assert grown < GROWTH_BYTES_MAX
    assert till.balance(honest) == OPENING + 10 * sales
    assert till.balance(victim) == OPENING
    till.link.close()
    assert daemon.metric("_undecodable_total") > 0
    assert daemon.metric("_bad_frames_total") > 0
    traffic.members.remove(honest)
    traffic.note(traffic.run(daemon.address, traffic.ask(200)))
    check_books(daemon, traffic, tmp_path)
    assert "host_fault" not in daemon.log()
    assert honest.card not in daemon.log()
    assert victim.card not in daemon.log()


def business(till, source, members):
    """Something that a till may ask, of any kind."""
    member, other = source.sample(members, 2)
    sale = till.accrual(swiped(member.card), source.randrange(100, 9000))
    choices = (
        lambda: sale,
        lambda: till.accrual(by_phone(member.phone), 5000, elements=[("17", "4711")]),
        lambda: till.redemption(member, source.randrange(1, 300)),
        lambda: till.redemption(member, source.randrange(1, 300), "156"),
        lambda: till.compose("0100", "310000", member),
        lambda: till.compose("0200", "200000", more={"4": f"{100:012d}", "61": "000001000001"}),
        lambda: till.compose("0220", "200000", more={"37": "000000000001", "4": f"{1:012d}"}),
        lambda: till.compose("0600", "980000", by_phone(f"139{source.randrange(10**8):08d}")),
        lambda: till.compose("0200", "406565", member, elements=[("11", f"C{other.card}")]),
        lambda: till.pin_change(member, member.pin, "654321"),
        lambda: till.reversal(sale),
        lambda: till.compose("0800", network="360", more={"62": b"0001".hex()}),
    )
    return source.choice(choices)()


def spoiled(till, sent, source):
    """The message with some of its bytes changed, under a right MAC."""
    body = bytearray(sent.frame.message[:-8])
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        at = source.randrange(len(body))
        # The bitmap and the type mostly stay: what cannot be decoded ends the link at once.
        if at < 10 and source.random() < 0.9:
            at = source.randrange(10, len(body))
        body[at] = source.choice((body[at] ^ 1 << source.randrange(8), source.randrange(256)))
    message = bytes(body) + keys.mac(till.profile, till.session.mac_key, bytes(body))
    return Frame(sent.frame.tpdu, sent.frame.header, message).encode()


def codes_until_echo(till, link):
    """Send an echo behind what was sent, and give the codes of what is answered before it."""
    echo = till.echo_request()
    link.send(echo.frame.encode())
    while True:
        fields = spec8583.decode_message(Frame.decode(link.receive()).message)
        if (fields["t"], fields["11"]) == ("0830", echo.request.stan):
            return
        yield fields["39"]


@pytest.mark.parametrize("seed", range(10) if LONG else [2])
def test_a_registered_till_gone_mad_meets_no_fault_of_the_host(daemon, traffic, tmp_path, seed):
    daemon.start()
    for till in traffic.tills:
        till.link = Link(daemon.address)
        till.sign_on()
    source = Random(seed)
    codes = Counter()
    closed = 0
    # Many tills, since one that names too many unknown members is not listened to for a while.
    for number in range(ROUNDS * 30):
        mad = traffic.tills[number % len(traffic.tills)]
        sent = mad.sealed(business(mad, source, traffic.members))
        good = source.random() < 0.3
        try:
            mad.link.send(sent.frame.encode() if good else spoiled(mad, sent, source))
            codes.update(codes_until_echo(mad, mad.link))
        except (LinkClosed, ConnectionError):
            closed += 1
            mad.link.close()
            mad.link = Link(daemon.address)
    for till in traffic.tills:
        till.link.close()
    assert closed > ROUNDS
    assert codes["00"] > ROUNDS
    assert codes["30"] > 0
    assert codes["96"] == 0
    assert "host_fault" not in daemon.log()
    assert "Traceback" not in daemon.log()
    assert daemon.stop() == 0
    assert daemon.digest() == daemon.replayed_digest(tmp_path / "again")
