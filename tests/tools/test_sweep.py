"""``counterfoil sweep`` beside a daemon and without one."""

import json
import os
import re

import pytest

from engine import sweeps
from engine.rules import pruning
from tests.tools.conftest import LINES, ROOT, Daemon, must, run, write_lines
from tools import demo_night

MEMBERS = 12


def some_lapsed():
    """Members of whom each has points of 2020, of 2021 and of a year far off."""
    for number in range(MEMBERS):
        member = f"L{number:07}"
        yield {"type": "member", "id": member, "phone": f"139{number:08}"}
        for day in ("2020-06-30", "2021-06-30", "2127-12-31"):
            yield {
                "type": "balance",
                "member": member,
                "unit": "P01",
                "amount": 100,
                "expires": day,
            }


@pytest.fixture
def lapsed(empty):
    """A data directory with points that nobody used in time."""
    must("load", empty, write_lines(empty.with_name("lines"), [*LINES, *some_lapsed()]))
    return empty


def points_of(directory, number):
    shown = json.loads(must("show", directory, "member", f"L{number:07}", "--json"))
    return shown["balances"][0]["available"], shown["balances"][0]["ledger"]


def swept(directory, *options):
    (told,) = json.loads(must("sweep", directory, "points", "--json", *options))
    return told["due"], told["done"], told["refused"]


def test_a_sweep_posts_what_has_run_out_once(lapsed):
    assert points_of(lapsed, 3) == (100, 300)
    assert swept(lapsed, "--dry-run") == (MEMBERS, 0, 0)
    assert points_of(lapsed, 3) == (100, 300)
    assert swept(lapsed) == (MEMBERS, MEMBERS, 0)
    assert points_of(lapsed, 3) == (100, 100)
    assert swept(lapsed) == (0, 0, 0)
    assert "failed" not in must("verify", lapsed)


def test_a_sweep_beside_the_daemon_goes_on_where_a_piece_ends(lapsed, monkeypatch):
    monkeypatch.setattr(sweeps, "PIECE_COMMANDS", 5)
    monkeypatch.setattr(sweeps, "PIECE_ROWS", 7)
    running = Daemon(lapsed)
    try:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        assert swept(lapsed) == (MEMBERS, MEMBERS, 0)
        assert swept(lapsed) == (0, 0, 0)
        assert os.getpriority(os.PRIO_PROCESS, 0) == before
        assert points_of(lapsed, MEMBERS - 1) == (100, 100)
    finally:
        assert running.stop() == 0


def test_all_sweeps_run_unless_some_are_named(lapsed):
    lines = must("sweep", lapsed).splitlines()
    assert [line.partition(":")[0] for line in lines] == [one.name for one in sweeps.SWEEPS]
    done = run("sweep", lapsed, "nothing")
    assert done.exit_code == 2


def test_the_operators_page_has_every_sweep_in_its_order():
    page = (ROOT / "posd" / "OPERATIONS.md").read_text(encoding="utf-8")
    table = page.partition("| sweep | what it posts |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [
        sweep.name for sweep in sweeps.SWEEPS
    ]


def test_the_demonstration_tells_every_sweep_that_posts():
    forgetting = {pruning.old_receipt, pruning.prunable}
    posting = [sweep.name for sweep in sweeps.SWEEPS if sweep.candidates not in forgetting]
    assert list(demo_night.SWEEPS) == posting
