"""Bulk work on the control socket beside terminals: whose turn it is, without sockets or clocks."""

from itertools import count
from types import SimpleNamespace

import pytest

from posd import control, pace


class Loop:
    """Takes what is put off."""

    def __init__(self):
        self.rests = []

    def call_later(self, seconds, _callback):
        self.rests.append(seconds)


@pytest.fixture
def desk(monkeypatch):
    """Two connections with more requests than one turn takes, and what they lean on."""
    loop, turns = Loop(), []
    ticks = count(0, 100_000)
    monkeypatch.setattr(control, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    monkeypatch.setattr(control, "time", SimpleNamespace(perf_counter_ns=lambda: next(ticks)))
    pipeline = SimpleNamespace(
        book=SimpleNamespace(overlay_size=0, limits=SimpleNamespace(overlay_records=100)),
        asked=1,
        written_ns=0,
        pace=SimpleNamespace(share=0.0),
        soon=turns.append,
    )
    pipeline.terminals_ns = lambda: pipeline.asked
    answered = []
    owner = SimpleNamespace(pipeline=pipeline, serve_terminals=lambda: answered.append("terminals"))
    socket = control.Control(owner)
    for name in ("first", "second"):
        connection = control.Connection(socket)
        connection._answer = lambda request, name=name: answered.append((name, request))
        connection._requests.extend(bytes((number,)) for number in range(2 * control.SLICE))
        socket.want_turn(connection)
    return SimpleNamespace(
        socket=socket, pipeline=pipeline, loop=loop, turns=turns, answered=answered
    )


def take_turn(desk):
    """Let what was put off happen; returns what was answered then."""
    desk.answered.clear()
    desk.turns.clear()
    desk.socket._turn()
    return [one for one in desk.answered if one != "terminals"]


def test_what_terminals_have_sent_by_then_goes_before_a_turn(desk):
    take_turn(desk)
    assert desk.answered[0] == "terminals"
    assert desk.answered.count("terminals") == 1
    assert len(desk.answered) > 1


def test_a_turn_takes_a_slice_only(desk):
    assert 0 < len(take_turn(desk)) <= 1 + control.SLICE_NS // 100_000


def test_connections_take_turns_and_answer_in_order(desk):
    first, second, again = (list(take_turn(desk)) for _ in range(3))
    assert [{name for name, _ in turn} for turn in (first, second, again)] == [
        {"first"},
        {"second"},
        {"first"},
    ]
    requests = [request for _, request in (*first, *again)]
    assert b"".join(requests) == bytes(range(len(requests)))


def test_work_rests_for_longer_than_it_lasted_while_terminals_ask(desk):
    take_turn(desk)
    assert (len(desk.loop.rests), desk.turns) == (1, [])
    assert desk.loop.rests[0] > 5 * control.SLICE_NS / 1e9


def test_work_goes_on_in_the_next_turn_where_no_terminal_asks(desk):
    take_turn(desk)
    desk.socket._rest_until = 0
    take_turn(desk)
    assert (len(desk.loop.rests), len(desk.turns)) == (1, 1)
    desk.pipeline.asked += 1
    take_turn(desk)
    assert (len(desk.loop.rests), len(desk.turns)) == (2, 0)


def test_what_comes_in_during_a_rest_waits_for_its_end(desk):
    take_turn(desk)
    desk.socket._turns.clear()
    desk.socket.want_turn(control.Connection(desk.socket))
    assert (len(desk.loop.rests), desk.turns) == (2, [])


def test_work_rests_longer_where_groups_take_long_to_be_durable_but_not_for_ever(desk):
    take_turn(desk)
    rests = []
    for written_ns in (2 * control.CALM_NS, 1_000 * control.CALM_NS):
        desk.pipeline.asked += 1
        desk.pipeline.written_ns = written_ns
        take_turn(desk)
        rests.append(desk.loop.rests[-1])
    usual = desk.loop.rests[0]
    assert usual < rests[0] < rests[1] <= control.REST_NS_MAX / 1e9


def test_work_rests_longer_the_busier_the_loop_is(desk):
    rests = []
    for share in (0.0, pace.BUSY, 0.8, 1.0):
        desk.pipeline.pace.share = share
        desk.pipeline.asked += 1
        take_turn(desk)
        rests.append(desk.loop.rests[-1])
    assert rests[0] == rests[1] < rests[2] < rests[3] <= control.REST_NS_MAX / 1e9


def test_one_whose_work_fails_does_not_hold_up_the_others(desk):
    def fail(_request):
        raise ZeroDivisionError

    desk.socket._turns[0]._answer = fail
    with pytest.raises(ZeroDivisionError):
        take_turn(desk)
    assert {name for name, _ in take_turn(desk)} == {"second"}


class Line:
    """A transport that keeps each write."""

    def __init__(self):
        self.writes = []
        self.closed = False

    def write(self, data):
        self.writes.append(data)

    def is_closing(self):
        return self.closed

    def resume_reading(self):
        pass

    pause_reading = resume_reading

    def close(self):
        self.closed = True


def answering(desk, requests):
    """A connection that answers each request at once, and what it writes."""
    connection = control.Connection(desk.socket)
    connection._transport = line = Line()
    connection._answer = lambda request: connection._reply(request + b",")
    connection._requests.extend(b"%d" % number for number in range(requests))
    return connection, line


def work_off(desk, connection):
    """Let a connection work to its end, with what it puts off."""
    desk.turns.clear()
    more = True
    while more:
        more = connection.work()
        while desk.turns:
            desk.turns.pop(0)()


def test_a_peer_is_woken_for_many_answers_at_a_time_and_for_the_last(desk):
    sent = 3 * control.ANSWERS + 1
    connection, line = answering(desk, sent)
    work_off(desk, connection)
    assert b"".join(line.writes) == b"".join(b"%d," % number for number in range(sent))
    assert len(line.writes) <= 4 < sent // (control.SLICE_NS // 100_000)


def test_a_single_command_is_answered_at_once(desk):
    connection, line = answering(desk, 1)
    work_off(desk, connection)
    assert line.writes == [b"0,"]


def test_who_is_hung_up_on_has_its_answers(desk):
    connection, line = answering(desk, control.ANSWERS)
    connection.work()
    connection.hang_up()
    assert (line.writes[0][:2], line.closed) == (b"0,", True)


def test_work_waits_while_the_tables_are_far_behind(desk):
    desk.pipeline.book.overlay_size = 51
    assert (take_turn(desk), len(desk.loop.rests)) == ([], 1)
    assert desk.answered == []


def test_a_peer_whose_large_requests_wait_is_not_read_until_they_have_been_begun(desk):
    reading = []
    transport = SimpleNamespace(
        is_closing=lambda: False,
        pause_reading=lambda: reading.append(False),
        resume_reading=lambda: reading.append(True),
    )
    connection = control.Connection(desk.socket)
    connection._transport = transport
    connection._answer = lambda _request: None
    large = control.LENGTH.pack(control.FRAME_BYTES_MAX) + bytes(control.FRAME_BYTES_MAX)
    for _ in range(control.PENDING_BYTES_MAX // control.FRAME_BYTES_MAX):
        assert reading == [True] * len(reading)
        connection.data_received(large)
    assert reading[-1] is False
    while connection.work():
        pass
    connection._judge_reading()
    assert reading[-1] is True
