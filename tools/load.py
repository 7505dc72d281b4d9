"""Reference data and opening balances from JSON Lines into the ledger: ``counterfoil load``.

Each line is one object with a ``type`` (`tools.load_lines`); it becomes one command, or is rejected
with a sentence that names the key and never its value.

The file is streamed: memory does not grow with its length. Results come some way behind the
commands (`engine.submit`), so that a million members load in groups and not one by one.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine.reasons import Reason
from engine.submit import Result, Submitter
from engine.vault import Vault
from tools.load_checks import Rejected
from tools.load_lines import Lines

LINE_BYTES_MAX: Final = 1 << 20
REJECTED_MAX: Final = 10_000
"""Rejected lines that a report keeps; further ones are counted."""

_PRIVATE_MODE: Final = 0o600


@dataclass(slots=True)
class Report:
    """What became of a file's lines.

    Attributes:
        loaded: lines that changed the books.
        unchanged: lines that the books said already.
        rejected: line numbers, from 1, and reasons; the first `REJECTED_MAX`.
        rejected_count: all rejected lines.
    """

    loaded: int
    unchanged: int
    rejected: tuple[tuple[int, str], ...]
    rejected_count: int


def load(
    submitter: Submitter,
    vault: Vault,
    path: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    rejected: Callable[[int, str], None] | None = None,
) -> Report:
    """Load a file.

    Args:
        submitter: the way to the ledger.
        vault: the directory's key file.
        path: JSON Lines in UTF-8; empty lines are skipped.
        progress: called now and then with (bytes read, bytes of the file).
        rejected: called with line number and reason of each rejected line, as they are found.

    Raises:
        OSError: the file cannot be read.
        engine.submit.Refused, engine.submit.AnswerMissing: see there.
    """
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        private = stat.S_ISREG(state.st_mode) and not stat.S_IMODE(state.st_mode) & ~_PRIVATE_MODE
        lines = Lines(vault, submitter.read, private=private)
        job = _Job(lines, file, state.st_size, progress, rejected)
        for result in submitter.submit_many(job.commands()):
            job.take(result)
    return Report(job.loaded, job.unchanged, tuple(job.rejected), job.rejected_count)


class _Job:
    """One run over a file: which line each result belongs to, and the counts."""

    def __init__(
        self,
        lines: Lines,
        file: BinaryIO,
        size: int,
        progress: Callable[[int, int], None] | None,
        rejected: Callable[[int, str], None] | None,
    ) -> None:
        self._lines = lines
        self._file = file
        self._size = size
        self._progress = progress
        self._tell = rejected
        self._waiting: deque[tuple[int, str]] = deque()
        self.loaded = self.unchanged = self.rejected_count = 0
        self.rejected: list[tuple[int, str]] = []

    def commands(self) -> Iterator[Any]:
        """Read the file; yield its commands and note the lines that have none."""
        make, waiting, file = self._lines.command, self._waiting, self._file
        number = read = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            read += len(line)
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not number & 0xFFF and self._progress:
                self._progress(read, self._size)
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                self._reject(number, f"the line is longer than {LINE_BYTES_MAX} bytes")
                while (more := file.readline(LINE_BYTES_MAX)) and not more.endswith(b"\n"):
                    read += len(more)
                continue
            if not line.strip():
                continue
            try:
                command = make(line)
            except Rejected as fault:
                self._reject(number, str(fault))
                continue
            waiting.append((number, ""))
            yield command
        if self._progress:
            self._progress(self._size, self._size)

    def take(self, result: Result) -> None:
        """Count the next result."""
        number, _ = self._waiting.popleft()
        if result.reason == Reason.APPROVED:
            self.loaded += 1
        elif result.reason == Reason.UNCHANGED:
            self.unchanged += 1
        else:
            self._waiting.appendleft((number, result.text))
        self._tell_rejected()

    def _reject(self, number: int, why: str) -> None:
        self._waiting.append((number, why))
        self._tell_rejected()

    def _tell_rejected(self) -> None:
        """Tell the rejected lines that no unanswered line stands before: in order of the file."""
        waiting = self._waiting
        while waiting and waiting[0][1]:
            number, why = waiting.popleft()
            self.rejected_count += 1
            if len(self.rejected) < REJECTED_MAX:
                self.rejected.append((number, why))
            if self._tell:
                self._tell(number, why)
