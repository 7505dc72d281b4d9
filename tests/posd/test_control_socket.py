"""Bulk work on the control socket beside terminals: whose turn it is, without sockets or clocks."""

from itertools import count
from types import SimpleNamespace

import pytest

from posd import control


class Loop:
    """Takes what is put off."""

    def __init__(self):
        self.rests = []

    def call_later(self, seconds, _callback):
        self.rests.append(seconds)


@pytest.fixture
def desk(monkeypatch):
    """A connection with more requests than one turn takes, and what it leans on."""
    loop, turns = Loop(), []
    ticks = count(0, 100_000)
    monkeypatch.setattr(control, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    monkeypatch.setattr(control, "time", SimpleNamespace(perf_counter_ns=lambda: next(ticks)))
    pipeline = SimpleNamespace(
        book=SimpleNamespace(overlay_size=0, limits=SimpleNamespace(overlay_records=100)),
        asked=1,
        soon=turns.append,
    )
    pipeline.terminals_ns = lambda: pipeline.asked
    connection = control.Connection(SimpleNamespace(owner=SimpleNamespace(pipeline=pipeline)))
    answered = []
    connection._answer = answered.append
    connection._requests.extend([b""] * 10 * control.SLICE)
    return SimpleNamespace(
        connection=connection, pipeline=pipeline, loop=loop, turns=turns, answered=answered
    )


def test_a_turn_takes_a_slice_only(desk):
    desk.connection._work()
    assert 0 < len(desk.answered) <= 1 + control.SLICE_NS // 100_000


def test_work_rests_while_terminals_ask(desk):
    desk.connection._work()
    assert (len(desk.loop.rests), desk.turns) == (1, [])
    assert desk.loop.rests[0] > 0


def test_work_goes_on_in_the_next_turn_where_no_terminal_asks(desk):
    desk.connection._work()
    desk.connection._rest_until = 0
    desk.connection._work()
    assert (len(desk.loop.rests), len(desk.turns)) == (1, 1)
    desk.pipeline.asked += 1
    desk.connection._work()
    assert (len(desk.loop.rests), len(desk.turns)) == (2, 1)


def test_work_waits_while_the_tables_are_far_behind(desk):
    desk.pipeline.book.overlay_size = 51
    desk.connection._work()
    assert (desk.answered, len(desk.loop.rests)) == ([], 1)
