"""Memory that the daemon takes once: how much there is, and by which pages it is backed."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAP_MIB = 64
PROGRAM = """
import sys
from pathlib import Path
from posd import heap

def kib(name):
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(name))

before = kib("Rss")
heap.take(int(sys.argv[1]), int(sys.argv[1]))
thread = heap.use_huge_pages()
if thread is not None:
    thread.join()
print(kib("Rss") - before, kib("AnonHugePages"))
"""

LULL = """
import sys, time
from types import SimpleNamespace
from posd import heap

looks = []
heap.time = SimpleNamespace(perf_counter_ns=time.perf_counter_ns, sleep=looks.append)
heap.take(8, 8)
busy = lambda: time.perf_counter_ns() if len(looks) < 20 else 0
heap.use_huge_pages(busy).join()
print(looks.index(heap._LOOK_S), looks[:20].count(heap._LOOK_S), looks[21:].count(heap._LOOK_S))
"""


def run(program, *words):
    """The whole numbers that a process of its own tells."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return [int(word) for word in done.stdout.split()]


def sizes(mebibytes):
    """How many KiB a process of its own took, and how many of all it has lie in huge pages."""
    return run(PROGRAM, mebibytes)


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="a system without huge pages"
)
def test_a_heap_is_taken_and_held_in_huge_pages():
    taken, huge = sizes(HEAP_MIB)
    assert taken > HEAP_MIB * 1024 * 0.9
    assert huge > HEAP_MIB * 1024 // 2


def test_without_a_heap_nothing_is_touched():
    taken, huge = sizes(0)
    assert taken < 8 * 1024
    assert huge == 0


def test_pages_are_joined_while_few_terminals_talk():
    """After each page it looks; while many talk, it looks again and joins nothing."""
    first, while_busy, afterwards = run(LULL)
    assert (first, while_busy, afterwards) == (1, 19, 0)
