"""Memory of a daemon that nobody asks anything: of a small alliance, of idle connections."""

import subprocess
import sys

import pytest

from benchmarks.daemon import idle
from benchmarks.field import ROOT, Field
from posd.heap import worth

MEBIBYTE = 1 << 20
IDLE_BYTES_MAX = 16 << 10
CONNECTIONS = 800


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An alliance of ten members."""
    field = Field(tmp_path_factory.mktemp("small") / "data", 10, 1, merchants=1)
    field.prepare()
    return field


def test_an_idle_connection_takes_no_more_than_promised(small):
    found = idle(small, CONNECTIONS)
    assert 0 < found["bytes_each"] <= IDLE_BYTES_MAX


def test_a_small_alliance_is_served_without_a_heap_taken_in_advance(small):
    resident = []
    for settings in ({}, {"COUNTERFOIL_SERVE_HEAP_MIB": "0"}):
        small.start(**settings)
        resident.append(small.resident_bytes())
        small.stop()
    assert resident[0] < resident[1] + 16 * MEBIBYTE


@pytest.mark.parametrize(
    ("tables", "overlay", "heap"),
    [(0, 1 << 30, 0), (10 * MEBIBYTE, 1 << 30, 40), (1 << 40, 64 * MEBIBYTE, 256)],
)
def test_the_heap_follows_the_tables_and_what_may_wait_for_them(tables, overlay, heap):
    assert worth(tables, overlay) == heap


@pytest.mark.parametrize(
    ("most", "mebibytes", "least_taken"), [(0, 96, 0), (96, 0, 0), (96, 1 << 20, 96), (96, 32, 32)]
)
def test_a_heap_that_is_taken_stays(most, mebibytes, least_taken):
    taking = f"""
import os
from posd import heap
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
before = resident()
heap.take({most}, {mebibytes})
print(resident() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", taking], cwd=ROOT, check=True, capture_output=True, text=True
    )
    taken = int(done.stdout) / MEBIBYTE
    assert 0.9 * least_taken <= taken <= 1.2 * least_taken + 4
