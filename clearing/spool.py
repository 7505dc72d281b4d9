"""Where the lines of a day wait for its files: runs on disk, sorted by party.

Lines come in the order of the journal and leave by party. A writer gathers some, sorts them by
party and writes them as a *run*; the next lines make the next run. Since runs follow the journal,
a party's lines in order are its lines of the first run, then those of the second, and so on: no
merging is needed. Beside each run stands an index of parties to offsets, sparse, so that whoever
makes the files of a range of parties reads that range alone.

A run is MessagePack, one array a line, as long as the run is a matter of one night and one version
of the software. Memory: the lines gathered for one run while writing, a buffer a run while reading.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgpack

from clearing.model import Line

RUN_LINES = 100_000
"""Lines of a run, which are in memory at once while it is gathered."""

_INDEX_LINES = 256
_BUFFER = 1 << 17


class LineWriter:
    """Takes lines, given as the fields of `Line`, and writes runs ``NAME-NNNN.lines``."""

    def __init__(self, folder: Path, name: str, run_lines: int = RUN_LINES) -> None:
        self._folder = folder
        self._name = name
        self._limit = run_lines
        self._gathered: list[tuple[str, bytes]] = []
        self._pack = msgpack.Packer(autoreset=True).pack
        self._runs = 0

    def add(self, fields: tuple[Any, ...]) -> None:
        """Take a line in."""
        self._gathered.append((fields[0], self._pack(fields)))
        if len(self._gathered) >= self._limit:
            self._write()

    def _write(self) -> None:
        # The sort is stable: lines of a party stay in the order of the journal.
        self._gathered.sort(key=itemgetter(0))
        path = self._folder / f"{self._name}-{self._runs:04}.lines"
        index: list[tuple[str, int]] = []
        offset = 0
        with path.open("wb", buffering=_BUFFER) as file:
            for number, (party, packed) in enumerate(self._gathered):
                if not number % _INDEX_LINES:
                    index.append((party, offset))
                file.write(packed)
                offset += len(packed)
        path.with_suffix(".index").write_bytes(msgpack.packb(index))
        self._runs += 1
        self._gathered = []

    def close(self) -> None:
        """Write what is gathered still."""
        if self._gathered:
            self._write()


class SpooledLines:
    """The lines of a day in the runs of a folder; a `clearing.model.LineSource`.

    Args:
        folder: where the runs are; their names ascend with the journal.
        parties: ids of the day's parties, ascending.
    """

    def __init__(self, folder: Path, parties: tuple[str, ...]) -> None:
        self._folder = folder
        self._parties = parties

    def lines(self, first: int, end: int) -> Iterator[Line]:
        """Give the lines of ``parties[first:end]``, by party, then by sequence."""
        wanted = self._parties[first:end]
        if not wanted:
            return
        runs = [_Run(path, wanted[0]) for path in sorted(self._folder.glob("*.lines"))]
        try:
            for party in wanted:
                for run in runs:
                    yield from run.of(party)
        finally:
            for run in runs:
                run.close()


class _Run:
    """One run, read from the first line of a party on."""

    def __init__(self, path: Path, first: str) -> None:
        index = msgpack.unpackb(path.with_suffix(".index").read_bytes(), use_list=False)
        place = max(0, bisect_left(index, first, key=itemgetter(0)) - 1)
        self._file = path.open("rb", buffering=0)
        self._file.seek(index[place][1])
        self._rows = msgpack.Unpacker(self._file, use_list=False, read_size=_BUFFER)
        self._next: tuple[Any, ...] | None = None
        self._advance()
        while self._next is not None and self._next[0] < first:
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._rows, None)

    def of(self, party: str) -> Iterator[Line]:
        """The lines of a party; parties are asked for in ascending order."""
        while self._next is not None and self._next[0] < party:
            self._advance()  # a party that the day does not have; files will find it missing
        while self._next is not None and self._next[0] == party:
            yield Line(*self._next)
            self._advance()

    def close(self) -> None:
        self._file.close()
