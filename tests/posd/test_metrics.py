"""Metrics: that each is told, what its name promises, and that the operators' page knows it."""

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from engine.settlement import Cleared, Run
from ledger import schema
from ledger.book import Limits as BookLimits
from ledger.notes import note, noted
from posd.link import Limits
from posd.metrics import NAMED, Exposition, Meter, Times
from posd.observed import Lag, Observed
from posd.pipeline import WAITING_MAX, Pipeline
from tests.posd.conversation import Conversation

PAGE = (Path(__file__).parents[2] / "posd" / "OPERATIONS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(counterfoil_[a-z_]+)`[^|]*\| (counter|gauge|histogram) \|", re.MULTILINE)


def families(*collectors):
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def observed(folder, rows=None, date=20261105, first=20261101):
    """What a daemon that has not begun would tell of itself, over some rows."""
    stats = SimpleNamespace(group_entries=1, groups=2, entries=3, bytes=4, follower_starts=1)
    book = SimpleNamespace(
        view=SimpleNamespace(get=(rows or {}).get),
        stats=stats,
        limits=BookLimits(),
        overlay_size=5,
        sequence=9,
        durable=9,
        applied=7,
        follower_alive=True,
        disk_low=False,
        disk_free_bytes=1 << 30,
    )
    pipeline = SimpleNamespace(
        shut=True,
        waiting=0,
        clock_suspect=False,
        machine=SimpleNamespace(date=first),
        pace=SimpleNamespace(rested_ns=1),
    )
    host = SimpleNamespace(heard_since=lambda _: 1, inquired=SimpleNamespace(waiting=6))
    links = SimpleNamespace(open={1, 2}, limits=Limits(), host=host)
    made = Observed(folder, book, pipeline, links)
    pipeline.machine.date = date
    return made


@pytest.fixture
def daemon_families(tmp_path):
    note(tmp_path, "verify", sequence=8, failed=1, **{"check balances": 1, "check signs": 0})
    note(tmp_path, "follower", folds=2, entries=7, ns=500_000_000)
    return families(Exposition(Meter()), observed(tmp_path))


def test_the_operators_page_has_every_metric_and_no_other(daemon_families):
    told = Counter()
    for name, family in daemon_families.items():
        told[name + "_total" if family.type == "counter" else name, family.type] += 1
    assert Counter(ROW.findall(PAGE)) == told


def test_names_keep_to_the_conventions(daemon_families):
    for name, family in daemon_families.items():
        assert re.fullmatch(r"counterfoil_[a-z]+(_[a-z]+)*", name)
        assert family.documentation.endswith(".")
        # The suffix of a counter is the exposition's business; base units, no abbreviations.
        assert not re.search(r"_(total|ms|ns|milliseconds|kb|count|info)$", name)
        assert family.type != "histogram" or name.endswith("_seconds")


def test_gauges_are_read_at_the_scrape(daemon_families):
    (lag,) = daemon_families["counterfoil_follower_lag_entries"].samples
    (refusing,) = daemon_families["counterfoil_refusing"].samples
    assert (lag.value, refusing.value) == (2, 1)


def test_checks_of_a_verification_and_of_a_clearing_are_told_by_name(tmp_path):
    note(tmp_path, "verify", failed=1, **{"check balances": 1})
    note(tmp_path, "clearing", date=20260301, failed=1, **{"check stores": 1, "check legs": 0})
    told = families(observed(tmp_path))
    for name, checks in (("verify", {"balances": 1}), ("clearing", {"stores": 1, "legs": 0})):
        samples = told[f"counterfoil_{name}_check_failed"].samples
        assert {sample.labels["check"]: sample.value for sample in samples} == checks


def test_every_counter_that_the_daemon_counts_is_told():
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parents[2].glob("posd/*.py")
    )
    counted = set(re.findall(r'(?:count|fail|abort)\("([a-z_]+)"', source))
    assert counted == set(NAMED)


def test_replies_are_told_by_transaction_and_code():
    talk = Conversation()
    talk.sign_on()
    sale = "3=220065 2={card} 4=000000010000 49=156"
    talk.play(f"""
        >> 0200 {sale}
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        >> 0200 {sale} mac=none
        << 0210 39=A0 44=*
        >> 0820 code=301
        << 0830 39=00
        """)
    replies = families(Exposition(talk.meter))["counterfoil_replies"]
    told = {(s.labels["transaction"], s.labels["code"]): s.value for s in replies.samples}
    assert told == {
        ("accrual", "00"): 1,
        ("echo", "00"): 1,
        ("network_management", "00"): 1,
        ("sign_on", "00"): 1,
        ("unknown", "A0"): 1,
    }


def test_a_peer_cannot_choose_labels():
    talk = Conversation()
    talk.sign_on()
    for number in range(40):
        talk.send(talk.build(f"0200 3={number:02d}7777 2={talk.words['card']}"))
        talk.send(talk.build(f"0{number % 8}00 3={number:02d}7777 41={number:08d}"))
    names = {transaction for transaction, _ in talk.meter.answers}
    assert len(names) < 20


@given(st.lists(st.integers(0, 2**38), max_size=30))
def test_a_histogram_counts_every_duration_under_its_bound(durations):
    times = Times()
    for duration in durations:
        times.add(duration)
    samples = times.family("x_seconds", "X.").samples
    for sample in samples:
        if sample.name == "x_seconds_bucket" and sample.labels["le"] != "+Inf":
            bound = float(sample.labels["le"]) * 1e9
            assert sample.value == sum(duration < round(bound) for duration in durations)
    plain = {sample.name: sample.value for sample in samples if "le" not in sample.labels}
    assert plain["x_seconds_count"] == len(durations)
    assert plain["x_seconds_sum"] == pytest.approx(sum(durations) / 1e9)


# The night's jobs and the follower.


def value(family):
    (sample,) = family.samples
    return sample.value


def test_what_jobs_left_is_told(daemon_families):
    assert value(daemon_families["counterfoil_verify_failed_checks"]) == 1
    assert value(daemon_families["counterfoil_follower_fold_seconds"]) == 0.5
    assert value(daemon_families["counterfoil_backup_timestamp_seconds"]) == 0
    checks = daemon_families["counterfoil_verify_check_failed"].samples
    assert {s.labels["check"]: s.value for s in checks} == {"balances": 1, "signs": 0}


def run_row(state):
    row = object.__new__(Run)
    row.state, row.unconfirmed = state, 3
    return row


def cleared_until(date, state):
    run = schema.run(date, 2)
    return {schema.cleared(0): Cleared(date), schema.cleared(date): Cleared(2), run: run_row(state)}


@pytest.mark.parametrize(
    ("rows", "behind", "state"),
    [
        ({}, 4, None),
        (cleared_until(20261104, "CONFIRMED"), 0, "CONFIRMED"),
        (cleared_until(20261104, "FILED"), 1, "FILED"),
        (cleared_until(20261031, "RELEASED"), 4, "RELEASED"),
        (cleared_until(20261102, "FAILED"), 3, "FAILED"),
    ],
)
def test_how_far_clearing_is_behind(tmp_path, rows, behind, state):
    told = families(observed(tmp_path, rows))
    assert value(told["counterfoil_clearing_behind_dates"]) == behind
    states = {s.labels["state"]: s.value for s in told["counterfoil_clearing_state"].samples}
    assert [name for name, holds in states.items() if holds] == ([state] if state else [])


def test_the_lag_is_the_age_of_the_oldest_entry_that_is_not_folded():
    lag = Lag()
    lag.look(1000, 10, 10)
    assert lag.seconds == 0
    lag.look(2000, 20, 10)
    lag.look(3000, 30, 10)
    assert lag.seconds == 1
    lag.look(4000, 30, 20)
    assert lag.seconds == 1
    lag.look(5000, 30, 30)
    assert lag.seconds == 0


def test_a_note_that_is_damaged_or_missing_says_nothing(tmp_path):
    assert noted(tmp_path, "backup") == {}
    note(tmp_path, "backup", sequence=3)
    assert noted(tmp_path, "backup")["sequence"] == 3
    (tmp_path / "notes" / "backup.json").write_text('{"at": 1')
    assert noted(tmp_path, "backup") == {}


def test_the_operators_page_has_every_limit_of_links_and_its_default():
    told = re.findall(r"^\| `([a-z_]+)` \| ([\d,]+) \|", PAGE, re.MULTILINE)
    assert {name: int(value.replace(",", "")) for name, value in told} == asdict(Limits())


def test_the_operators_page_has_every_reason_of_91():
    pipeline = object.__new__(Pipeline)
    pipeline.draining = pipeline.clock_suspect = True
    pipeline.book = SimpleNamespace(overlay_full=True, disk_low=True)
    pipeline._open_waiters = [None] * (WAITING_MAX + 1)
    sentences = pipeline.why_shut()
    assert len(sentences) >= 5
    flat = " ".join(PAGE.split())
    assert not [sentence for sentence in sentences if sentence not in flat]
