"""`kill -9` of the daemon and of its follower, at any moment and in every order, under load.

After each death the daemon is started again and asked: what was answered is there once, what was
not answered is settled by a repeat or a reversal, and a repeat brings the answer given before. At
the end the books agree with the tills', the audit finds nothing, and running all commands again
gives the same digest.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

from daemon_process import PATIENCE_S, ROOT, until
from tally import check_books

LONG = bool(os.environ.get("COUNTERFOIL_LONG"))
CYCLES = 50 if LONG else 6
REQUESTS = 1500
SAMPLE = 400
MEBIBYTE = 1 << 20
FUNCTIONS = {("0200", "22"), ("0200", "00"), ("0200", "40"), ("0200", "20")}
FUNCTIONS |= {("0100", "03"), ("0100", "20"), ("0220", "00")}
"""All that tills ask for in these tests."""


def load_and_strike(daemon, traffic, after, strike, depth=8):
    """Load the daemon; strike once `after` replies came, and go on until the links are gone."""
    struck = []

    def enough(count):
        if count >= after and not struck:
            struck.append(count)
            strike()
        return False

    traffic.note(traffic.run(daemon.address, traffic.ask(REQUESTS), enough, depth))
    assert struck


def test_what_was_answered_survives_a_kill_under_load(daemon, traffic, tmp_path):
    source = Random(20260101)
    daemon.start()
    traffic.sign_on(daemon.address)
    left_open = 0
    for _ in range(CYCLES):
        load_and_strike(daemon, traffic, source.randrange(1, REQUESTS * 9 // 10), daemon.kill)
        daemon.start()
        left_open += traffic.settle(daemon.address, SAMPLE)
    assert approved_functions(traffic) >= FUNCTIONS
    # A kill that leaves nothing open would have tested nothing.
    assert left_open > CYCLES * 10
    assert len(traffic.reversed) > CYCLES
    check_books(daemon, traffic, tmp_path)


def approved_functions(traffic):
    """Message type and the first digits of field 3 of what was approved."""
    return {(sent.request.fields["t"], sent.request.fields["3"][:2]) for sent in traffic.approved()}


def kill(process):
    os.kill(process, signal.SIGKILL)


def daemon_first(daemon):
    follower = daemon.follower()
    daemon.kill()
    until(lambda: not Path(f"/proc/{follower}").exists(), "the follower outlived its daemon")


def follower_first(daemon):
    kill(daemon.follower())
    daemon.kill()


def both_at_once(daemon):
    follower = daemon.follower()
    os.kill(daemon.pid, signal.SIGSTOP)
    kill(follower)
    daemon.kill()


def follower_stopped_then_daemon(daemon):
    os.kill(daemon.follower(), signal.SIGSTOP)
    daemon.kill()


ORDERS = (daemon_first, follower_first, both_at_once, follower_stopped_then_daemon)


def test_daemon_and_follower_die_in_every_order_while_segments_change(daemon, traffic, tmp_path):
    source = Random(4)
    # Segments for some hundred transactions, and folds that never rest.
    daemon.limit(segment_bytes=MEBIBYTE // 2, fold_seconds=0.05, tail_entries=500)
    daemon.start()
    traffic.sign_on(daemon.address)
    for strike in ORDERS * (6 if LONG else 1):
        until(daemon.follower, "there is no follower")
        after = source.randrange(REQUESTS // 2, REQUESTS * 9 // 10)
        load_and_strike(daemon, traffic, after, lambda strike=strike: strike(daemon))
        daemon.start()
        traffic.settle(daemon.address, SAMPLE)
    segments = sorted((daemon.directory / "journal").glob("*.seg"))
    assert len(segments) > len(ORDERS) + 3, "no segment was changed under load"
    check_books(daemon, traffic, tmp_path)


def test_a_follower_that_dies_again_and_again_costs_nothing(daemon, traffic, tmp_path):
    daemon.limit(fold_seconds=0.05)
    daemon.start()
    traffic.sign_on(daemon.address)
    for starts in (1, 2):
        # One that was killed is still there until it is given a processor to die on.
        replaced = "no follower was started in place of the dead one"
        until(lambda n=starts: daemon.metric("_follower_starts_total") >= n, replaced)
        assert daemon.follower()
        assert daemon.metric("_follower_starts_total") == starts
        until(lambda: daemon.metric("_follower_lag_entries") == 0, "the tables did not catch up")
        load_and_strike(daemon, traffic, REQUESTS // 2, lambda: kill(daemon.follower()))
        assert not traffic.open_requests()
    # The second one is not replaced before the daemon ends: the tables stay behind.
    traffic.check_repeats(daemon.address, traffic.asked[:SAMPLE])
    check_books(daemon, traffic, tmp_path)


def test_a_daemon_whose_syncer_is_killed_says_no_more(daemon, traffic, tmp_path):
    for depth in (2, 32):
        daemon.start()
        if not traffic.asked:
            traffic.sign_on(daemon.address)
        after = REQUESTS // 3
        load_and_strike(daemon, traffic, after, lambda: kill(daemon.syncer()), depth)
        assert daemon.wait() == 3
        assert "stopped: " in daemon.log()
        daemon.start()
        traffic.settle(daemon.address, REQUESTS)
        assert daemon.stop() == 0
    daemon.start()
    check_books(daemon, traffic, tmp_path)


def test_a_daemon_whose_disk_hangs_does_not_hang_for_ever(daemon, traffic, tmp_path):
    daemon.limit(drain_ms=500)
    daemon.start()
    traffic.sign_on(daemon.address)
    syncer = daemon.syncer()
    os.kill(syncer, signal.SIGSTOP)
    lines = traffic.run(daemon.address, [])
    lines[0].waiting.extend(sent for sent in traffic.ask(400) if sent.frame.tpdu[4] == 1)
    lines[0].push()
    until(lambda: daemon.metric("_sequence") > daemon.metric("_entries_total"), "nothing came")
    daemon.terminate()
    assert daemon.wait() == 3
    assert "the disk did not take the last group" in daemon.log()
    traffic.note(lines)
    assert not traffic.told
    daemon.start()
    traffic.settle(daemon.address, 0)
    check_books(daemon, traffic, tmp_path)


def test_a_new_daemon_waits_for_a_follower_that_outlived_the_old_one(daemon, traffic, tmp_path):
    daemon.start()
    traffic.sign_on(daemon.address)
    orphan = subprocess.Popen(
        [sys.executable, "-m", "ledger.follower", daemon.directory, "0.05", "100", "100"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    try:
        kill(daemon.follower())  # the orphan waits for the lock, and has it now
        load_and_strike(daemon, traffic, REQUESTS // 2, lambda: None)
        until(lambda: daemon.metric("_follower_lag_entries") < REQUESTS, "nobody folds")
        orphan.send_signal(signal.SIGSTOP)
        load_and_strike(daemon, traffic, REQUESTS // 2, daemon.kill)
        daemon.launch()
        assert not daemon.says_something(1.0), "two processes would write the tables"
        orphan.send_signal(signal.SIGCONT)
        orphan.stdin.close()
        assert orphan.wait(PATIENCE_S) == 0
    finally:
        orphan.kill()
        orphan.wait()
    daemon.await_ready()
    traffic.settle(daemon.address, SAMPLE)
    check_books(daemon, traffic, tmp_path)


def test_a_daemon_that_dies_while_it_starts_starts_the_next_time(daemon, traffic, tmp_path):
    source = Random(8)
    daemon.limit(tail_entries=100)
    daemon.start()
    traffic.sign_on(daemon.address)
    load_and_strike(daemon, traffic, REQUESTS // 2, daemon.kill)
    for _ in range(3):
        daemon.launch()
        daemon.says_something(source.uniform(0.2, 0.5))
        daemon.kill()
    daemon.start()
    traffic.settle(daemon.address, SAMPLE)
    check_books(daemon, traffic, tmp_path)
