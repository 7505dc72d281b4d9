"""A whole set of files from a netted day, by as many worker processes as there are to be.

Parties are divided into chunks of about equal work, the same chunks however many workers there
are. A worker streams the lines of a chunk once and makes from them its part of the settlement file,
the parties' CSV and their statements, while it adds the lines up and compares them with the
netted figures. Parts are then joined in order; short files and the manifest follow. Memory does
not grow with the number of lines.

Workers are started afresh (``spawn``), never forked: what a parent holds open (a database, a lock)
is none of theirs. They end with their parent; should one outlive it for a moment, nothing that it
writes has the name of what another process writes.
"""

from __future__ import annotations

import io
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, TextIO

from clearing.files import details, lists, manifest, payments, settlement, statement, summary
from clearing.files.folder import (
    DETAILS,
    MANIFEST,
    PARTS,
    PRIVATE,
    READABLE,
    STATEMENTS,
    Written,
    as_text,
    keep,
    place,
    place_made,
    prepare,
    put,
    stem,
    sync_folder,
    temporary_name,
)
from clearing.model import Day, Inconsistent, Line, LineSource, PartyDay, check_day
from ledger.workers import yield_to_others

CHUNK_WORK = 60_000
"""Work of a chunk, in lines; a statement counts as `STATEMENT_WORK` of them."""
STATEMENT_WORK = 200


@dataclass(slots=True)
class Chunk:
    """A range of parties, and what a worker made of it."""

    number: int
    first: int
    end: int


@dataclass(slots=True)
class Made:
    """What a worker made: its part of the settlement file, totals, files, digests of lines."""

    part: Path
    totals: settlement.Totals
    files: list[Written]
    digests: list[str]


@dataclass(slots=True)
class Job:
    """What every worker needs to know."""

    day: Day
    source: LineSource
    folder: Path
    encoding: str


def has_statement(party: PartyDay) -> bool:
    """True for a party that gets a page: one with lines, or with money open."""
    return bool(party.lines or party.carried_in or party.payable or party.collect)


def chunks_of(day: Day) -> list[Chunk]:
    """Divide the parties into ranges of about equal work."""
    chunks: list[Chunk] = []
    first, work = 0, 0
    for place_, party in enumerate(day.parties, 1):
        work += party.lines + (STATEMENT_WORK if has_statement(party) else 1)
        if work >= CHUNK_WORK or place_ == len(day.parties):
            chunks.append(Chunk(len(chunks), first, place_))
            first, work = place_, 0
    return chunks


def write_set(
    day: Day,
    source: LineSource,
    folder: Path,
    *,
    workers: int = 2,
    encoding: str = "utf-8-sig",
    progress: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Write all files of a day into a folder, the manifest last.

    Args:
        day: as netted.
        source: where its lines are; pickled into the workers.
        folder: made if it is not there; what an earlier attempt left in it is replaced.
        workers: processes beside this one; 0 does the work here.
        encoding: of the parties' CSV, one of `details.ENCODINGS`.
        progress: called with (done, all) parts of the work.

    Returns:
        The files, by name, without the manifest.

    Raises:
        Inconsistent: figures and lines do not agree; nothing is kept.
        folder.Refused: the folder holds something else.
        settlement.Unwritable: a value does not fit its column.
    """
    if encoding not in details.ENCODINGS:
        raise ValueError(f"the encoding of CSV is one of {', '.join(details.ENCODINGS)}")
    check_day(day)
    prepare(folder)
    job = Job(day, source, folder, encoding)
    chunks = chunks_of(day)
    totals, parts, files, digests = settlement.Totals(), list[Path](), list[Written](), list[str]()
    for done, made in enumerate(_worked(job, chunks, workers), 1):
        totals.add(made.totals)
        parts.append(made.part)
        files += made.files
        digests += made.digests
        if progress:
            progress(done, len(chunks) + 1)
    files += _short_files(job, parts, totals)
    shutil.rmtree(folder / PARTS)
    for below in (folder / DETAILS, folder / STATEMENTS, folder):
        sync_folder(below)
    sealed = manifest.make(day, files, manifest.logical_digest(day, digests))
    place(folder, MANIFEST, partial(_put, data=sealed), PRIVATE)
    sync_folder(folder)
    if progress:
        progress(len(chunks) + 1, len(chunks) + 1)
    return sorted(files, key=attrgetter("name"))


def _put(stream: BinaryIO, data: bytes) -> int:
    stream.write(data)
    return 1


_job: list[Job] = []
"""The job of this worker process; empty in every other process."""


def _begin(job: Job) -> None:
    yield_to_others()
    _job.append(job)


def _work(chunk: Chunk) -> Made:
    return make_chunk(_job[0], chunk)


def _worked(job: Job, chunks: list[Chunk], workers: int) -> Iterator[Made]:
    """Give what the workers made of each chunk, in order."""
    if workers < 1 or len(chunks) < 2:  # noqa: PLR2004 - nothing to divide
        for chunk in chunks:
            yield make_chunk(job, chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(chunks)), mp_context=context, initializer=_begin, initargs=(job,)
    ) as pool:
        yield from pool.map(_work, chunks)


def make_chunk(job: Job, chunk: Chunk) -> Made:
    """Write everything about a range of parties."""
    path = job.folder / PARTS / temporary_name(f"{chunk.number:06d}")
    made = Made(path, settlement.Totals(), [], [])
    lines = groupby(job.source.lines(chunk.first, chunk.end), key=attrgetter("party"))
    following = next(lines, None)
    with path.open("wb", buffering=1 << 18) as part:
        for party in job.day.parties[chunk.first : chunk.end]:
            own: Iterable[Line] = ()
            if following is not None and following[0] == party.id:
                own = following[1]
            _make_party(job, party, own, part, made)
            if own:
                following = next(lines, None)
    if following is not None:
        raise Inconsistent(f"lines of {following[0]} stand where none of that party are expected")
    keep(job.folder, made.files)
    return made


@dataclass(slots=True)
class _Reading:
    """Lines of a party passing by: into the settlement file, the sums, the digest, to the CSV."""

    party: PartyDay
    lines: Iterable[Line]
    part: BinaryIO
    digest: manifest.LinesDigest
    count: int = 0
    debit: int = 0
    credit: int = 0
    hash_total: int = 0

    def __iter__(self) -> Iterator[Line]:
        write, add, detail = self.part.write, self.digest.add, settlement.detail
        before = (-1, "")
        for line in self.lines:
            place_ = (line.sequence, line.unit)
            if place_ <= before:
                raise Inconsistent(f"party {self.party.id}: entry {line.sequence} out of order")
            before = place_
            write(detail(line))
            add(line)
            for _, fen in line.money:
                if fen < 0:
                    self.debit -= fen
                else:
                    self.credit += fen
            self.count += 1
            self.hash_total += line.sequence
            yield line


def _make_party(
    job: Job, party: PartyDay, lines: Iterable[Line], part: BinaryIO, made: Made
) -> None:
    """Write a party's batch, its CSV and its statement."""
    name = f"{stem(job.day)}-{party.id}"
    part.write(settlement.batch_header(job.day, party))
    digest = manifest.LinesDigest()
    reading = _Reading(party, lines, part, digest)
    if party.lines:

        def fill(stream: BinaryIO) -> int:
            with as_text(stream, job.encoding) as text:
                details.write(reading, text)
            return reading.count

        made.files.append(put(job.folder, f"{DETAILS}/details-{name}.csv", fill))
    else:
        for _ in reading:
            pass
    found = (reading.count, reading.debit, reading.credit)
    if found != (party.lines, party.debit, party.credit):
        raise Inconsistent(
            f"party {party.id}: its lines give {found} (count, debit, credit),"
            f" netting says {(party.lines, party.debit, party.credit)}"
        )
    hash_total = reading.hash_total % settlement.HASH_MODULUS
    part.write(settlement.controls(party, reading.count, hash_total))
    made.totals.add(settlement.party_totals(party, reading.count, hash_total))
    made.digests.append(digest.hex())
    if has_statement(party):

        def draw(stream: BinaryIO) -> int:
            page = io.BytesIO()
            statement.write(job.day, party, page)
            stream.write(page.getbuffer())
            return 1

        made.files.append(put(job.folder, f"{STATEMENTS}/statement-{name}.pdf", draw))


def _short_files(job: Job, parts: list[Path], totals: settlement.Totals) -> list[Written]:
    """Write what there is one of: settlement file, workbook, payments, lists."""
    day, folder, name = job.day, job.folder, stem(job.day)

    def join(stream: BinaryIO) -> int:
        settlement.assemble(day, _opened(parts), totals, stream)
        return totals.records + 2

    def workbook(path: Path) -> int:
        return summary.write(day, path, folder / PARTS)

    def listed(write: Callable[[Day, TextIO], int]) -> Callable[[BinaryIO], int]:
        def fill(stream: BinaryIO) -> int:
            with as_text(stream, "utf-8-sig") as text:
                return write(day, text)

        return fill

    files = [
        place(folder, f"settlement-{name}.txt", join),
        place_made(folder, f"summary-{name}.xlsx", workbook, READABLE),
        place(folder, f"exceptions-{name}.csv", listed(lists.write_exceptions)),
        place(folder, f"unpaid-{name}.csv", listed(lists.write_unpaid)),
        place(folder, f"collections-{name}.csv", listed(lists.write_collections)),
    ]
    if lists.credits_of(day)[0]:

        def pay(stream: BinaryIO) -> int:
            count, _ = payments.write(day, stream)
            return count

        files.append(place(folder, f"payments-{name}.xml", pay, PRIVATE))
    return files


def _opened(parts: list[Path]) -> Iterator[BinaryIO]:
    for path in parts:
        with path.open("rb") as part:
            yield part
