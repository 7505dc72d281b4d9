"""The bounds of links and of the ledger, reached: who breaks one is cut off, others live on."""

import contextlib
import os
import signal
import socket
import time

import pytest
from daemon_process import until
from line_traffic import Line, pump
from tally import check_books

from tests.independent.client import Link

REQUESTS = 800
UNANSWERED_MAX = 256


@pytest.fixture
def till(traffic, daemon):
    """Starts the daemon with bounds, and gives a till on a link of its own."""
    links = []

    def start(**limits):
        daemon.limit(**limits)
        daemon.start()
        traffic.sign_on(daemon.address)
        links.append(Link(daemon.address))
        traffic.tills[0].link = links[0]
        return traffic.tills[0]

    yield start
    for link in links:
        link.close()


def trades(till, member):
    """Whether a sale goes through."""
    return till.accrue(member, 12345).code == "00"


def test_connections_beyond_the_limit_are_refused_until_one_ends(daemon, till, members):
    honest = till(connections=4)
    held = [Link(daemon.address) for _ in range(3)]
    for link in held:
        assert honest.echo(link).code == "00"
    late = Link(daemon.address)
    assert late.was_closed_without_a_word()
    late.close()
    assert daemon.metric("_connections_refused_total") == 1
    assert trades(honest, members[0])
    held.pop().close()
    until(lambda: daemon.metric("_connections") == 3, "the end of a link was not noticed")
    held.append(Link(daemon.address))
    assert honest.echo(held[-1]).code == "00"
    for link in held:
        link.close()


def test_a_frame_of_a_wrong_length_ends_its_link_after_what_came_before(daemon, till, members):
    honest = till(frame_bytes=512)
    sizes = (1, 20, 513, 0xFFFF)
    for size in sizes:
        bad = Link(daemon.address)
        good = honest.sealed(honest.accrual(members[0], 12345))
        bad.send(good.frame.encode() + size.to_bytes(2) + bytes(30))
        assert honest.read(good, bad.receive()).code == "00"
        assert bad.was_closed_without_a_word()
        bad.close()
    assert daemon.metric("_bad_frames_total") == len(sizes)
    assert trades(honest, members[0])


def test_half_a_frame_and_silence_end_a_link(daemon, till, members):
    honest = till(half_frame_ms=300, idle_ms=60_000)
    sent = honest.sealed(honest.accrual(members[0], 12345))
    data = sent.frame.encode()
    half = Link(daemon.address)
    half.send(data[:40])
    assert half.was_closed_without_a_word()
    half.close()
    assert daemon.metric("_closed_half_frame_total") == 1
    assert honest.exchange(sent).code == "00"


def test_a_line_that_is_always_in_the_middle_of_a_frame_lives_on(daemon, till, members):
    honest = till(half_frame_ms=1000)
    first = honest.sealed(honest.accrual(members[0], 100))
    honest.link.send(first.frame.encode()[:50])
    deadline = time.monotonic() + 2.5
    # Each piece ends one frame and begins another, for longer than half a frame may wait.
    while time.monotonic() < deadline:
        following = honest.sealed(honest.accrual(members[0], 100))
        honest.link.send(first.frame.encode()[50:] + following.frame.encode()[:50])
        assert honest.read(first, honest.link.receive()).code == "00"
        first = following
        time.sleep(0.05)
    honest.link.send(first.frame.encode()[50:])
    assert honest.read(first, honest.link.receive()).code == "00"
    assert daemon.metric("_closed_half_frame_total") == 0


def test_a_silent_line_is_closed_and_keep_alives_keep_another(daemon, till, members):
    honest = till(idle_ms=3000)
    silent = Link(daemon.address)
    assert honest.echo(silent).code == "00"

    def closed():
        honest.link.send(bytes(2))
        assert honest.link.receive() == b""
        return daemon.metric("_closed_idle_total") == 1

    until(closed, "the silent line stays")
    assert silent.was_closed_without_a_word()
    silent.close()
    assert trades(honest, members[0])


def test_a_peer_that_never_reads_is_closed_and_others_live_on(daemon, till, members):
    honest = till(unread_bytes=4096)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(daemon.address)
    deaf.settimeout(5)
    echo = honest.echo_request().frame.encode() * 64
    # The system's buffers take some; then the daemon has to hold, and gives up.
    with contextlib.suppress(ConnectionError, TimeoutError):
        for _ in range(4000):
            deaf.sendall(echo)
            assert trades(honest, members[0])
    deaf.close()
    assert daemon.metric("_closed_slow_reader_total") == 1
    assert trades(honest, members[0])


def test_at_256_unanswered_the_host_stops_reading_and_goes_on_later(daemon, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    # Tills behind one controller, which sends all it has and never waits.
    line = Line(daemon.address, depth=REQUESTS)
    line.waiting.extend(traffic.ask(REQUESTS))
    assert pump([line]) == REQUESTS > 2 * UNANSWERED_MAX
    traffic.note([line])
    assert daemon.metric("_reads_paused_total") > 0
    check_books(daemon, traffic, tmp_path)


def test_an_overlay_that_is_full_refuses_until_it_was_folded(daemon, traffic, tmp_path):
    daemon.limit(overlay_records=1000, fold_seconds=0.05)
    daemon.start()
    traffic.sign_on(daemon.address)
    follower = daemon.follower()
    os.kill(follower, signal.SIGSTOP)
    traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS)))
    assert traffic.refused
    assert traffic.told
    assert daemon.page("readyz")[0] == 503
    # What was answered is still told, though nothing new is taken.
    traffic.check_repeats(daemon.address, list(traffic.told)[:100])
    # Where all this took long, the daemon has put another follower in its place by now.
    with contextlib.suppress(ProcessLookupError):
        os.kill(follower, signal.SIGCONT)
    until(lambda: daemon.page("readyz")[0] == 200, "what was folded did not make room")
    refused, traffic.refused = traffic.refused, 0
    for _ in range(refused):
        traffic.settle(daemon.address, 0)
        if not traffic.open_requests():
            break
        until(lambda: daemon.page("readyz")[0] == 200, "it stays full")
    check_books(daemon, traffic, tmp_path)


def test_sigterm_under_load_ends_in_order(daemon, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    for _ in range(2):
        ended = []

        def end(count, ended=ended):
            if count > REQUESTS // 4 and not ended:
                ended.append(daemon.terminate())
            return False

        lines = traffic.run(daemon.address, traffic.ask(REQUESTS), end)
        assert daemon.wait() == 0
        assert all(line.done for line in lines)
        traffic.note(lines)
        daemon.start()
        traffic.settle(daemon.address, 300)
    check_books(daemon, traffic, tmp_path)


def test_a_link_that_was_closed_while_its_sale_was_posted_loses_nothing(daemon, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    for depth in (1, 16):
        stop_at = REQUESTS // 3
        lines = traffic.run(
            daemon.address, traffic.ask(REQUESTS), lambda n, stop_at=stop_at: n > stop_at, depth
        )
        traffic.note(lines)
        assert traffic.open_requests()
        traffic.settle(daemon.address, 200)
    check_books(daemon, traffic, tmp_path)
