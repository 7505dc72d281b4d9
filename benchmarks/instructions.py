"""What a message costs the daemon in instructions, which are counted and not timed.

The pace of a virtual machine changes from minute to minute, and microseconds with it; how many
instructions a message takes does not, so that two versions can be compared by a few thousand of
them. The daemon runs under callgrind, some fifty times slower than else, and folds nothing
meanwhile. Told are those of the whole daemon and of stages, system calls not included.

It needs the tools ``valgrind``, ``callgrind_control`` and ``callgrind_annotate``.

    python -m benchmarks.instructions
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import daemon
from benchmarks.field import Field, Till
from benchmarks.load import Load

FOLDER = Path("var/bench")
TOOLS = ("valgrind", "callgrind_control", "callgrind_annotate")
MEMBERS = 20_000
TERMINALS = 400
WARMING, COUNTED = 4, 16
"""Messages of each terminal before counting, and counted."""
SECONDS_MAX = 600.0
SHAPES = {"8 links, 16 in flight": (8, 16), "one message at a time": (1, 1)}
"""Links, and messages in flight on each."""
STAGES = {
    "decode": "CPyDef_decoding___Decoders___decode",
    "names of members": "CPyDef_persons___Persons___names",
    "checks": "CPyDef_posd___exchange___Exchange____checked",
    "decide and stage": "CPyDef_machine___Machine___execute",
    "reply": "CPyDef_posd___exchange___Exchange____reply_to",
}
"""Compiled functions that stand for a stage, with all that they call."""
SETTINGS = daemon.HEAPLESS | {
    "COUNTERFOIL_LIMITS_FOLD_SECONDS": "3600",
    "PYTHONHASHSEED": "0",
}

# LMDB's map of a tebibyte is more than valgrind gives.
_SERVE = """
from ledger import tables
from tools.cli import main
tables.MAP_BYTES = 1 << 34
main(prog_name="counterfoil")
"""
_COUNT = re.compile(r"^\s*([\d,]+) \([\d. ]+%\)\s+\S*?:(\w+)")
_TOTAL = re.compile(r"^\s*([\d,]+) \([\d. ]+%\)\s+PROGRAM TOTALS", re.MULTILINE)


def missing() -> list[str]:
    """The tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def measure(folder: Path) -> dict[str, dict[str, int]]:
    """For each of `SHAPES` the instructions a message, in all and of each stage.

    Args:
        folder: where to make the data, which is removed again.

    Raises:
        RuntimeError: the daemon did not get ready.
        OSError: a tool is missing.
    """
    field = Field(folder / "instructions", MEMBERS, TERMINALS)
    field.prepare()
    found = {}
    stan = 0
    for name, (links, depth) in SHAPES.items():
        found[name] = _counted(field, links, depth, stan)
        stan += WARMING + COUNTED
    shutil.rmtree(field.folder)
    return found


def _counted(field: Field, links: int, depth: int, stan: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "callgrind.out"
        field.program = (
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
            *(f"--callgrind-out-file={written}", "--log-file=/dev/null"),
            *(sys.executable, "-c", _SERVE),
        )
        with field.serving(**SETTINGS):
            tills = field.tills(0, TERMINALS, seed=1)
            for till in tills:
                till.stan = stan
            _ask(field, tills, WARMING, links, depth)
            _tell("callgrind_control", "-i", "on", str(field.pid))
            replies = _ask(field, tills, COUNTED, links, depth)
            _tell("callgrind_control", "-i", "off", str(field.pid))
        told = _tell("callgrind_annotate", "--inclusive=yes", "--threshold=100", str(written))
    return {name: round(count / replies) for name, count in _read(told).items()}


def _tell(*arguments: str) -> str:
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def _ask(field: Field, tills: list[Till], count: int, links: int, depth: int) -> int:
    """Send so many messages of each terminal, the terminals of a link in turn."""
    conversations = []
    for link in range(links):
        frames = [till.frames(count, field.members) for till in tills[link::links]]
        conversations.append([frame for row in zip(*frames, strict=True) for frame in row])
    return Load(field.address, conversations).closed_loop(depth, SECONDS_MAX).replies


def _read(told: str) -> dict[str, int]:
    """Counts in what ``callgrind_annotate`` tells: of everything, and of the stages."""
    total = _TOTAL.search(told)
    if total is None:
        raise RuntimeError("callgrind_annotate told no total")
    found = {"the daemon": _number(total[1])}
    stages = {function: name for name, function in STAGES.items()}
    for line in told.splitlines():
        row = _COUNT.match(line)
        if row and row[2] in stages:
            found.setdefault(stages[row[2]], _number(row[1]))
    return found


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def main() -> int:
    """Measure and print."""
    without = missing()
    if without:
        print(f"not measured: {', '.join(without)} is not installed")
        return 1
    for shape, row in measure(FOLDER).items():
        for name, count in row.items():
            print(f"{shape}: {name} {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
