"""Rests between turns: none while there is little to do, short ones while there is much."""

from types import SimpleNamespace

import pytest

from posd import pace as module
from posd.link import Limits, Link, Links
from posd.pace import ENOUGH, REST_NS_MAX, WINDOW_NS, Pace
from tests.posd.conversation import Conversation
from tests.posd.test_session import Transport

MS = 1_000_000


class Machine:
    """A clock, the processor time of the loop, and a sleep; ns."""

    def __init__(self, monkeypatch):
        self.now = self.worked = 0
        self.slept = []
        self.answer_after = None
        self.tick = 0
        clock = SimpleNamespace(
            perf_counter_ns=self.passing,
            thread_time_ns=lambda: self.worked,
            sleep=lambda seconds: self.select((7,), (), (), seconds),
        )
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "select", SimpleNamespace(select=self.select))

    def passing(self):
        """Each look at the clock takes `tick`, in which the thread works."""
        self.work(self.tick)
        return self.now

    def select(self, readable, writable, exceptional, seconds):
        assert (readable, writable, exceptional) == ((7,), (), ())
        ns = round(seconds * 1e9)
        answered = self.answer_after is not None and self.answer_after <= self.now + ns
        if answered:
            ns = max(0, self.answer_after - self.now)
        self.slept.append(ns)
        self.now += ns
        return ([7], [], []) if answered else ([], [], [])

    def work(self, ns, idle_ns=0):
        self.worked += ns
        self.now += ns + idle_ns


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def turn(pace, machine, messages, work_ns, idle_ns=0):
    """One turn with so many messages: the time that they waited for it, ns."""
    began = machine.now
    while pace.rest(messages, 7):
        pass
    waited = machine.now - began
    machine.work(work_ns, idle_ns)
    return waited


def pass_windows(pace, machine, work_ns, idle_ns, messages=1, windows=40):
    until = machine.now + windows * WINDOW_NS
    waits = []
    while machine.now < until:
        waits.append(turn(pace, machine, messages, work_ns, idle_ns))
    return waits


def test_a_loop_with_little_to_do_never_rests(machine):
    assert not any(pass_windows(Pace(awake=False), machine, MS // 10, MS))
    assert machine.slept == []


def test_a_busy_loop_rests_until_its_period_is_over_and_no_longer(machine):
    pace = Pace(awake=False)
    waits = pass_windows(pace, machine, MS // 2, MS // 20)
    assert waits[0] == 0
    assert 0 < max(waits) <= REST_NS_MAX
    assert pace.rested_ns == sum(machine.slept)
    # It does not sleep more than it takes to be busy no longer.
    assert module.CALM < (MS / 2) / (MS / 2 + MS / 20 + waits[-1]) < module.BUSY


def test_rests_end_when_there_is_little_to_do_again(machine):
    pace = Pace(awake=False)
    pass_windows(pace, machine, MS, 0)
    assert pace.period_ns
    assert pass_windows(pace, machine, MS // 10, 10 * MS)[-1] == 0
    assert pace.period_ns == 0


def test_a_turn_with_enough_to_do_waits_for_nothing(machine):
    pace = Pace(awake=False)
    pass_windows(pace, machine, 3 * MS // 2, 0)
    assert pace.period_ns == REST_NS_MAX
    assert turn(pace, machine, ENOUGH - 1, MS // 2)
    assert not turn(pace, machine, ENOUGH, MS // 2)


def test_a_group_that_is_durable_ends_a_rest_and_the_next_goes_on_to_its_end(machine):
    pace = Pace(awake=False)
    pass_windows(pace, machine, 3 * MS // 2, 0)
    turn(pace, machine, 1, 0)
    machine.slept.clear()
    machine.answer_after = machine.now + MS // 2
    assert pace.rest(1, 7)
    assert machine.slept == [MS // 2]
    machine.answer_after = None
    assert pace.rest(1, 7)
    assert machine.slept == [MS // 2, REST_NS_MAX - MS // 2]
    assert not pace.rest(1, 7)


@pytest.mark.parametrize("awaited", [1 << 20, -1])  # a high one, and that of what was closed
def test_a_descriptor_that_cannot_be_waited_for_ends_no_rest(machine, awaited):
    pace = Pace(awake=False)
    pass_windows(pace, machine, 3 * MS // 2, 0)
    turn(pace, machine, 1, 0)
    machine.slept.clear()
    assert pace.rest(1, awaited)
    assert machine.slept == [REST_NS_MAX]


def test_one_that_rests_awake_never_sleeps_and_does_not_take_its_rests_for_work(machine):
    machine.tick = 1_000
    pace = Pace(awake=True)
    pass_windows(pace, machine, MS // 2, MS // 20)
    assert not any(machine.slept)
    assert module.CALM < pace.share < module.BUSY
    assert 0 < pace.rested_ns < machine.worked


def test_a_group_that_is_durable_ends_a_rest_awake_soon(machine):
    pace = Pace(awake=True)
    machine.tick = 1_000
    pass_windows(pace, machine, 3 * MS // 2, 0)
    turn(pace, machine, 1, 0)
    began = machine.now
    machine.answer_after = began + MS // 2
    assert pace.rest(1, 7)
    assert MS // 2 <= machine.now - began < 3 * MS // 4
    machine.answer_after = None
    assert pace.rest(1, 7)
    assert REST_NS_MAX <= machine.now - began < 5 * REST_NS_MAX // 4


class Resting:
    """A pipeline that rests once, and keeps what is to be done soon."""

    halted = False

    def __init__(self):
        self.due = []
        self.asked = []
        self.groups = 0
        self.book = SimpleNamespace(durable=1 << 40)

    def soon(self, callback):
        self.due.append(callback)

    def rest(self, messages):
        self.asked.append(messages)
        return len(self.asked) == 1

    def watch_clock(self, at, monotonic):
        pass

    def seal(self):
        self.groups += 1


class Written(Transport):
    """Takes what a link writes."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.write = self.written.append


def test_what_arrives_during_a_rest_is_handled_with_what_was_there_before():
    talk = Conversation()
    pipeline = Resting()
    links = Links(talk.host, pipeline, talk.meter, Limits())
    echo = talk.build("0820 code=301")
    transports = [Written(), Written()]
    for transport in transports:
        link = Link(links)
        link.connection_made(transport)
        link.data_received(echo)
        if transport is transports[0]:
            pipeline.due.pop(0)()  # it rests, and the loop goes round and reads the other
    assert [transport.written for transport in transports] == [[], []]
    while pipeline.due:
        pipeline.due.pop(0)()
    assert pipeline.asked == [1, 2]
    assert pipeline.groups == 1
    assert [len(transport.written) for transport in transports] == [1, 1]
