"""The folder of a set: names, and how a file comes to be there whole or not at all.

A file is written under a temporary name, synced, renamed, many of them at a time; folders are
synced once all of their files are in place; the manifest comes last, so a set without a manifest is
unfinished. Writing a set again begins by taking the manifest away. Nothing in a folder that is not
of a set is ever touched: a folder with foreign files is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from clearing.model import Day
from ledger.storage import MEBIBYTE, Storage

MANIFEST = "manifest.json"
DETAILS = "details"
STATEMENTS = "statements"
PARTS = ".parts"

READABLE = 0o640
"""Mode of what settlement staff hand on."""
PRIVATE = 0o600
"""Mode of what names bank accounts, and of the manifest."""
FOLDER = 0o750

_STEM = r"[0-9]{8}-[0-9]{2,4}"
_PARTY = r"[A-Za-z0-9_-]{1,32}"
NAMES = re.compile(
    rf"manifest\.json|settlement-{_STEM}\.txt|summary-{_STEM}\.xlsx|payments-{_STEM}\.xml"
    rf"|(unpaid|collections|exceptions)-{_STEM}\.csv"
    rf"|details/details-{_STEM}-{_PARTY}\.csv|statements/statement-{_STEM}-{_PARTY}\.pdf"
)
"""Every name that a set may hold, relative to its folder."""


_TEMPORARY = re.compile(r"\.tmp-[0-9]+-")


def temporary_name(name: str) -> str:
    """Give the name under which this process writes a file: no other's, even one left over."""
    return f".tmp-{os.getpid()}-{name}"


class Refused(Exception):
    """The folder cannot take the set; the sentence says what to do."""


@dataclass(slots=True)
class Written:
    """A file of the set, as the manifest tells it."""

    name: str
    size: int
    records: int
    sha256: str


def stem(day: Day) -> str:
    """The part of all names that says which run: date ``-`` run."""
    return f"{day.date}-{day.run:02d}"


class _Digesting(io.RawIOBase):
    """A file that is hashed and counted while it is written, never by position.

    The disk gets it a piece at a time: a hundred megabytes at once, and the journal of a running
    daemon would wait for all of them.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.digest = hashlib.sha256()
        self.size = 0
        self.over = False
        self._storage = Storage()
        self._sent = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        count = 0
        if self.over:  # a buffer thrown away after a failure: its descriptor is another's by now
            return len(view)
        while count < len(view):
            count += os.write(self._descriptor, view[count:])
        self.digest.update(view)
        self.size += count
        if self.size - self._sent >= MEBIBYTE:
            self._storage.pass_on(self._descriptor, self._sent, self.size - self._sent)
            self._sent = self.size
        return count


def put(folder: Path, name: str, fill: Callable[[BinaryIO], int], mode: int = READABLE) -> Written:
    """Write a file under its temporary name; `keep` makes it durable and names it.

    The disk begins to write at once, so that whoever waits for many files in the end waits for few
    commits of the file system, and the journal of a running daemon, which shares the disk, for few
    of its flushes.

    Args:
        folder: of the set.
        name: of the file, relative to it.
        fill: puts its bytes into a stream and returns its records.
        mode: of the file.
    """
    temporary = _temporary(folder, name)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    raw = _Digesting(descriptor)
    try:
        os.fchmod(descriptor, mode)
        stream = io.BufferedWriter(raw, 1 << 18)
        records = fill(stream)
        stream.flush()
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        raw.over = True
        os.close(descriptor)
    return Written(name, raw.size, records, raw.digest.hexdigest())


def keep(folder: Path, files: Iterable[Written]) -> None:
    """Make files that were `put` durable, and then give them their names.

    Their folders are not synced; `sync_folder` does that once for all.
    """
    named = [(_temporary(folder, each.name), folder / each.name) for each in files]
    for temporary, _ in named:
        _sync(temporary, os.O_RDONLY)
    for temporary, target in named:
        temporary.replace(target)


def place(
    folder: Path, name: str, fill: Callable[[BinaryIO], int], mode: int = READABLE
) -> Written:
    """Write a file whole, durable and under its name; see `put` and `keep`."""
    written = put(folder, name, fill, mode)
    keep(folder, (written,))
    return written


def _temporary(folder: Path, name: str) -> Path:
    target = folder / name
    return target.with_name(temporary_name(target.name))


def place_made(folder: Path, name: str, make: Callable[[Path], int], mode: int) -> Written:
    """Put a file in place that a library writes by path: `make` gets the temporary one."""
    temporary = _temporary(folder, name)
    records = make(temporary)
    digest = hashlib.sha256()
    with temporary.open("rb") as made:
        while data := made.read(1 << 20):
            digest.update(data)
        size = made.tell()
        os.fchmod(made.fileno(), mode)
    written = Written(name, size, records, digest.hexdigest())
    keep(folder, (written,))
    return written


@contextmanager
def as_text(stream: BinaryIO, encoding: str) -> Iterator[TextIO]:
    """Lay a text layer over a stream that stays open afterwards."""
    text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
    try:
        yield text
    finally:
        text.detach()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> Iterator[str]:
    """Give the names of all files below a folder, relative to it, temporary ones too."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        below = Path(path).relative_to(folder)
        for name in sorted(files):
            yield (below / name).as_posix()


def _is_ours(name: str) -> bool:
    head, _, tail = name.rpartition("/")
    if name.startswith(PARTS + "/"):
        return True
    plain = (f"{head}/" if head else "") + _TEMPORARY.sub("", tail, count=1)
    return NAMES.fullmatch(plain) is not None


def prepare(folder: Path) -> None:
    """Make the folder ready for a set: make it, or clear what an earlier attempt left.

    Raises:
        Refused: it holds something that is no part of a set.
    """
    folder.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    names = []
    for name in names_in(folder):
        if not _is_ours(name):
            raise Refused(f"{folder} holds {name}, no part of a settlement: name an empty folder")
        names.append(name)
    (folder / MANIFEST).unlink(missing_ok=True)
    sync_folder(folder)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for below in (DETAILS, STATEMENTS, PARTS):
        (folder / below).mkdir(mode=FOLDER, exist_ok=True)
