"""`counterfoil top`: what two scrapes tell, and that it says so when nobody answers."""

import io
import json

import pytest
from rich.console import Console

from tests.tools.conftest import must, run
from tools.top import _watch, draw, parse, scrape, sight

BEFORE = """\
counterfoil_replies_total{transaction="accrual",code="00"} 100
counterfoil_reply_seconds_bucket{le="0.001"} 50
counterfoil_reply_seconds_bucket{le="0.002"} 100
counterfoil_reply_seconds_bucket{le="+Inf"} 100
counterfoil_connections 3
"""
NOW = """\
counterfoil_replies_total{transaction="accrual",code="00"} 160
counterfoil_replies_total{transaction="redemption",code="51"} 20
counterfoil_reply_seconds_bucket{le="0.001"} 650
counterfoil_reply_seconds_bucket{le="0.002"} 1095
counterfoil_reply_seconds_bucket{le="+Inf"} 1100
counterfoil_connections 4
counterfoil_terminals_online 7
counterfoil_follower_alive 0
counterfoil_clearing_state{state="FILED"} 1
counterfoil_clearing_state{state="CUT"} 0
counterfoil_clearing_behind_dates 2
counterfoil_backup_timestamp_seconds 3600
counterfoil_verify_timestamp_seconds 0
counterfoil_verify_check_failed{check="balances"} 1
"""


def seen(now=NOW, reasons=()):
    return sight(parse(BEFORE, 0, 10, []), parse(now, 7200, 20, list(reasons)))


def text(view):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view)
    return console.export_text()


def test_rates_are_those_between_the_scrapes():
    told = seen()
    assert told.rate == 8
    assert told.transactions == {"accrual": 6, "redemption": 2}
    assert told.codes == {"00": 6, "51": 2}


def test_quantiles_are_bounds_of_what_happened_between_the_scrapes():
    # 1,000 new ones: 600 within a millisecond, 995 within two.
    assert seen().latencies["reply"] == [0.001, 0.002, float("inf")]
    assert seen().latencies["journal"] is None


def test_a_daemon_started_anew_counts_from_nothing():
    assert seen('counterfoil_replies_total{transaction="accrual",code="00"} 30\n').rate == 3


def test_the_view_tells_what_is_wrong():
    told = text(draw(seen(reasons=["the tables are too far behind the journal"]), "host:1"))
    for part in ("answering 91: the tables are too far", "down", "FILED", "1.0 h ago", "never"):
        assert part in told
    assert "balances" in told
    assert "25.0%" in told


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [24, 30, 50])
def test_the_view_fits_the_terminal_and_what_is_frequent_comes_first(height, width):
    """Twenty kinds of transactions, as many codes."""
    labels = [f'transaction="kind_{number}",code="{number:02}"' for number in range(20)]
    many = "".join(
        f"counterfoil_replies_total{{{told}}} {1000 - number}\n"
        for number, told in enumerate(labels)
    )
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(seen(many), "host:1", height))
    lines = console.export_text().splitlines()
    assert len(lines) <= height
    told = "\n".join(lines)
    for part in ("kind 0 ", "kind 2 ", "others", "all", "00  ", "02  ", "failed checks"):
        assert part in told


def test_nobody_there_is_a_sentence():
    done = run("top", "127.0.0.1:1", "--once")
    assert done.exit_code == 1
    assert "no daemon tells metrics at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_daemon_is_seen_once_as_data_and_live(daemon):
    told = json.loads(must("top", daemon.metrics, "--json", "--interval", "0.1"))
    assert told["ready"] is True
    assert told["gauges"]["follower_alive"] == 1
    assert told["gauges"]["sequence"] > 0
    shown = must("top", daemon.metrics, "--once", "--interval", "0.1")
    assert "newest entry" in shown
    console = Console(width=110, record=True, file=io.StringIO())
    turns = iter([True, True, False])
    _watch(daemon.metrics, scrape(daemon.metrics), 0.1, console, lambda: next(turns))
    assert "Replies a second" in console.export_text()


@pytest.mark.parametrize("interval", ["0", "-1"])
def test_an_interval_is_above_nothing(interval):
    assert run("top", "--interval", interval).exit_code == 2
