"""Processes that step back for others, and one that answers promptly; each a process of its own."""

import os
import subprocess
import sys

import pytest

from ledger.priority import AUTOGROUP, interrupts_told, nice_told

STANDING = "print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))"


SESSION = "print(AUTOGROUP.read_text().split()[-1])"


def told_by(*lines, leads=False):
    """The words of each line that a new process prints which runs these.

    Args:
        lines: of Python.
        leads: whether it leads a session of its own, as a job of cron does.
    """
    code = "\n".join(("import os", "from ledger.priority import *", *lines))
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        start_new_session=leads,
    )
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def test_who_steps_back_is_nice_and_in_the_idle_class():
    assert told_by("step_back()", STANDING) == [(19, os.SCHED_IDLE)]


def test_who_stepped_back_sleeps_now_and_then_in_the_middle_of_its_work():
    slept = "import time; slept = []; time.sleep = lambda s: slept.append(1)"
    busy = (
        "def busy(s):",
        "    end = time.process_time() + s",
        "    while time.process_time() < end: sum(range(999))",
    )
    lines = ("with stepping_back(): busy(0.3)", "print(len(slept))", "busy(0.3)")
    during, afterwards = told_by(slept, *busy, *lines, "print(len(slept))")
    assert during[0] >= 10
    assert afterwards == during


def test_who_stepped_back_for_good_ends_in_order():
    lines = ("import atexit", "step_back()")
    late = "atexit.register(lambda: [sum(range(999)) for _ in range(9999)])"
    assert told_by(*lines, late, "print(1)") == [(1,)]


def test_stepping_back_lasts_while_the_work_does():
    lines = ("with stepping_back():", f"    {STANDING}", STANDING)
    assert told_by(*lines)[0] == (19, os.SCHED_IDLE)


@pytest.mark.parametrize(
    ("text", "nice"),
    [("/autogroup-1 nice 0\n", 0), ("/autogroup-77 nice -5\n", -5), ("", 0), ("\n", 0), ("/", 0)],
)
def test_the_place_of_a_session_is_read_where_the_system_tells_one(text, nice):
    assert nice_told(text) == nice


def grouped():
    """Whether this system groups by session, and tells it."""
    return AUTOGROUP.exists() and bool(AUTOGROUP.read_text())


@pytest.mark.skipif(not grouped(), reason="a system that does not group by session")
def test_who_leads_a_session_steps_back_with_it_and_who_shares_one_does_not():
    lines = (SESSION, "step_back()", SESSION)
    assert told_by(*lines, leads=True) == [(0,), (19,)]
    before, after = told_by(*lines)
    assert before == after


def test_who_answers_promptly_goes_before_others_where_it_may_and_what_it_starts_does_not():
    thread = "import threading; each = threading.Thread(target=lambda: print(policy()))"
    policy = "policy = lambda: os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK"
    asking = ("try: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)); print(1)",)
    ((allowed,),) = told_by(*asking, "except OSError: print(0)")
    lines = (policy, "answer_promptly()", "print(policy())", thread, "each.start(); each.join()")
    own, other = told_by(*lines)
    assert own == (os.SCHED_RR if allowed else os.SCHED_OTHER,)
    assert other == (os.SCHED_OTHER,)


def test_who_stepped_back_stays_there():
    lines = ("os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))", "os.nice(3)", STANDING)
    before, after = told_by(*lines, "answer_promptly()", STANDING)
    assert before == after


def test_who_keeps_off_leaves_the_same_processor_as_others_and_may_go_back():
    started = "import subprocess, sys; one = [sys.executable, '-c', 'input()']"
    several = "both = [subprocess.Popen(one, stdin=subprocess.PIPE) for _ in range(2)]"
    off = "for each in both: keep_off(each.pid, off=True)"
    back = "for each in both: keep_off(each.pid, off=False)"
    told = "print(*[len(os.sched_getaffinity(each.pid)) for each in both])"
    same = "print(len(os.sched_getaffinity(both[0].pid) | os.sched_getaffinity(both[1].pid)))"
    ended = "for each in both: each.communicate(b'\\n')"
    processors = len(os.sched_getaffinity(0))
    rest = max(processors - 1, 1)
    found = told_by(started, several, off, told, same, back, told, ended)
    assert found == [(rest, rest), (rest,), (processors, processors)]


def test_where_the_table_of_interrupts_is_another_a_processor_is_left_all_the_same(tmp_path):
    table = tmp_path / "interrupts"
    table.write_text("some other\n\ntable\n")
    known = "from ledger import priority; import pathlib"
    other = f"priority.INTERRUPTS = pathlib.Path({str(table)!r})"
    assert told_by(known, other, "print(priority._quietest(frozenset({3, 5})))") == [(3,)]


def test_interrupts_by_devices_are_counted_by_processor():
    table = """\
           CPU0       CPU2
 24:          1          5  IO-APIC   5-edge      ACPI:Ged
 36:          0    3284106 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
LOC:    2185604    2384386   Local timer interrupts
ERR:          0
"""
    assert interrupts_told(table) == {0: 1, 2: 3284111}
    assert interrupts_told("") == {}
