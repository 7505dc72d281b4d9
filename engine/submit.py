"""A command to the ledger: through the running daemon, or by this process when there is none.

A book has one writer. `Submitter` first tries the daemon's control socket; when nobody listens
there it takes the book's lock and runs the machine itself. Either way a command goes through the
same rules into the same journal, and a result is given only once it is durable.

The wire (`posd.control` is the other end): frames of a 4-byte big-endian length and a MessagePack
array. Requests are answered in order. A connection speaks for the operator that it named last; the
account of its process the daemon knows from the kernel.

| request | answer |
|---|---|
| ``[id, "operator", name]`` | ``[id, {}]`` |
| ``[id, "execute", kind, values]`` | ``[id, reason, facts, sequence, date]`` |
| ``[id, "status"]``, ``[id, "confirm clock"]``, ``[id, "reload"]`` | ``[id, {name: value}]`` |
| ``[id, "keys"]`` | ``[id, {}]`` |
| ``[id, "log", level]`` | ``[id, {}]`` |
| anything that is refused | ``[id, "error", sentence]`` |

Every administration command is idempotent: after a daemon died between question and answer, the
remedy for what is unknown is to submit it again.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgpack

from engine.catalogue import BY_COMMAND
from engine.commands import Answer
from engine.configuration import ledger_limits
from engine.directory import (
    control_address,
    open_machine,
    read_configuration,
    require_directory,
    wall_ms,
)
from engine.giver import giver_here, operator_name
from engine.machine import Machine
from engine.reasons import Reason
from ledger.book import Book, BookInUse
from ledger.model import values_of
from ledger.tables import Snapshot

LENGTH = struct.Struct(">I")
FRAME_BYTES_MAX = 1 << 20
"""Longest frame on the control socket, either way."""
WINDOW = 1024
"""Commands that may be on their way to the daemon unanswered."""

_GROUP = 4096
_SEND_BYTES = 1 << 16
_ANSWER_SECONDS_MAX = 60.0
_LOCK_SECONDS_MAX = 5.0


class Refused(Exception):
    """The daemon would not take a command; its sentence says why. Nothing of it was posted."""


class AnswerMissing(Exception):
    """The daemon went away, or is slow: whether the unanswered commands were posted is unknown."""


@dataclass(slots=True)
class Result:
    """What a command came to, durable.

    Attributes:
        reason: an `engine.reasons.Reason`.
        facts: named values of the outcome; ``text`` is a sentence for people.
        sequence: its journal entry, 0 when none was made.
        date: the business date, YYYYMMDD.
    """

    reason: int
    facts: dict[str, Any]
    sequence: int
    date: int

    @property
    def done(self) -> bool:
        """True when the books now say what the command wanted, by this command or before."""
        return self.reason in {Reason.APPROVED, Reason.UNCHANGED}

    @property
    def text(self) -> str:
        """Why not, in words."""
        text: str = self.facts.get("text", "")
        return text or Reason(self.reason).name.lower().replace("_", " ")


def result_of(answer: Answer) -> Result:
    """The result that an answer of the machine tells."""
    outcome = answer.outcome
    return Result(outcome.reason, dict(outcome.facts), answer.sequence, answer.date)


class Submitter:
    """A way to the ledger, as a context manager.

    Args:
        directory: the data directory.
        progress: called with (entries folded, entries to fold) while a long tail is folded.
        fold_records: changed rows at which this process, where it writes the book itself, folds
            them into the tables, if that is less than configured. A fold keeps a page in memory
            for each row where keys are scattered.

    Raises:
        engine.directory.DirectoryError: this is not a data directory.
        engine.giver.OperatorUnfit: the name of who gives the commands is none.
        ledger.book.BookInUse: it is held by a process that is no daemon.
    """

    def __init__(
        self,
        directory: Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        fold_records: int | None = None,
    ) -> None:
        self._directory = directory
        self._progress = progress
        self._fold_records = fold_records
        self._way: _Daemon | _Own | None = None

    def __enter__(self) -> Self:
        require_directory(self._directory)
        deadline = time.monotonic() + _LOCK_SECONDS_MAX
        while self._way is None:
            try:
                self._way = _connect(self._directory) or _Own(
                    self._directory, self._progress, self._fold_records
                )
            except BookInUse:
                # Another command, or a daemon that starts or stops: soon one way is open.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        way, self._way = self._way, None
        if way is not None:
            way.close()

    @property
    def through_daemon(self) -> bool:
        """Whether a daemon executes the commands."""
        return isinstance(self._opened, _Daemon)

    def submit(self, command: Any) -> Result:
        """Execute one command.

        Raises:
            Refused, AnswerMissing, ledger.book.OutcomeUnknown: see there.
        """
        return next(self.submit_many((command,)))

    def submit_many(self, commands: Iterable[Any], window: int = WINDOW) -> Iterator[Result]:
        """Execute commands in order; results come in the same order, some way behind.

        Args:
            commands: what to execute.
            window: how many may be with the daemon unanswered: the fewer, the more room terminals
                have beside it.

        Raises:
            Refused, AnswerMissing, ledger.book.OutcomeUnknown: see there.
        """
        return self._opened.execute(iter(commands), window)

    def scan(self, table: int, after: bytes = b"") -> Generator[tuple[bytes, Any], None, None]:
        """Yield key and decoded row of a table in key order, read-only beside a daemon.

        Rows that change meanwhile may be told as they were. Close the iterator when it is not read
        to its end: beside a daemon it holds a snapshot open.

        Args:
            table: number of the table, see `ledger.schema`.
            after: a key; only rows behind it are told.
        """
        return self._opened.scan(table, after)

    def read(self, key: bytes) -> Any | None:
        """The row under `key` where it can be had without asking: None beside a daemon."""
        return self._opened.read(key)

    def date(self) -> int:
        """The open business date, YYYYMMDD."""
        return self._opened.date()

    @property
    def _opened(self) -> _Daemon | _Own:
        if self._way is None:
            raise RuntimeError("a submitter is used within its context")
        return self._way


class _Own:
    """The book in this process."""

    def __init__(
        self,
        directory: Path,
        progress: Callable[[int, int], None] | None,
        fold_records: int | None,
    ) -> None:
        self._book: Book
        self._machine: Machine
        configuration = read_configuration(directory)
        limits = ledger_limits(configuration)
        if fold_records is not None:
            limits = replace(limits, fold_records=min(fold_records, limits.fold_records))
        self._book, self._machine = open_machine(
            directory,
            follower=False,
            progress=progress,
            limits=limits,
            configuration=configuration,
        )
        self._giver = giver_here()
        self.read: Callable[[bytes], Any | None] = self._book.view.get

    def execute(self, commands: Iterator[Any], _window: int) -> Iterator[Result]:
        book, execute, giver = self._book, self._machine.execute, self._giver
        while some := list(islice(commands, _GROUP)):
            answers = [execute(command, wall_ms(), b"", giver) for command in some]
            book.flush()
            yield from map(result_of, answers)

    def scan(self, table: int, after: bytes) -> Generator[tuple[bytes, Any], None, None]:
        yield from self._book.view.scan(bytes((table,)), after)

    def date(self) -> int:
        return self._machine.date

    def close(self) -> None:
        self._book.close()


def daemon_status(directory: Path) -> dict[str, Any] | None:
    """What a directory's running daemon says of itself; None when there is none."""
    return _tell(directory, "status")


def confirm_clock(directory: Path) -> bool:
    """Tell the running daemon that the clock is right; False when there is none."""
    return _tell(directory, "confirm clock") is not None


def reload_configuration(directory: Path) -> dict[str, Any] | None:
    """Have the running daemon read its configuration again; None when there is none.

    Returns:
        ``taken`` and ``restart``, keys with old and new values; or ``refused``, a sentence.
    """
    return _tell(directory, "reload")


def refresh_keys(directory: Path) -> bool:
    """Have the running daemon take up a changed key file; False when there is none."""
    return _tell(directory, "keys") is not None


def set_log_level(directory: Path, level: str) -> bool:
    """Have the running daemon log from a level on; False when there is none.

    Raises:
        Refused: there is no such level.
    """
    return _tell(directory, "log", level) is not None


def _tell(directory: Path, *what: str) -> dict[str, Any] | None:
    require_directory(directory)
    daemon = _connect(directory)
    if daemon is None:
        return None
    try:
        return daemon.tell(*what)
    finally:
        daemon.close()


def _connect(directory: Path) -> _Daemon | None:
    """A connection to the running daemon, None when nobody listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(_ANSWER_SECONDS_MAX)
    try:
        with control_address(directory) as address:
            link.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        link.close()
        return None
    except BlockingIOError:
        link.close()
        raise Refused(
            "the daemon is there and takes no further connection: look at its log and load, then"
            " run the same again"
        ) from None
    except BaseException:
        link.close()
        raise
    daemon = _Daemon(link, directory)
    try:
        daemon.tell("operator", operator_name())
    except BaseException:
        daemon.close()
        raise
    return daemon


class _Daemon:
    """The daemon's control socket, from this side."""

    def __init__(self, link: socket.socket, directory: Path) -> None:
        self._link = link
        self._directory = directory
        self._number = 0
        self._received = bytearray()
        self._waiting: deque[int] = deque()

    def read(self, _key: bytes) -> Any | None:
        return None

    def scan(self, table: int, after: bytes) -> Generator[tuple[bytes, Any], None, None]:
        with Snapshot(self._directory) as snapshot:
            yield from snapshot.table(table, after)

    def execute(self, commands: Iterator[Any], window: int) -> Iterator[Result]:
        sending: list[bytes] = []
        size = 0
        for command in commands:
            frame = self._frame("execute", BY_COMMAND[type(command)].kind, values_of(command))
            sending.append(frame)
            size += len(frame)
            full = len(self._waiting) >= window
            if full or size >= _SEND_BYTES:
                self._send(sending)
                sending, size = [], 0
            while full and len(self._waiting) > window // 2:
                yield self._result()
        self._send(sending)
        while self._waiting:
            yield self._result()

    def date(self) -> int:
        date: int = self.tell("status")["date"]
        return date

    def tell(self, *what: str) -> dict[str, Any]:
        self._send([self._frame(*what)])
        answer = self._answer()
        told: dict[str, Any] = answer[0]
        return told

    def close(self) -> None:
        self._link.close()

    def _frame(self, *words: Any) -> bytes:
        self._number += 1
        self._waiting.append(self._number)
        body: bytes = msgpack.packb((self._number, *words))
        return LENGTH.pack(len(body)) + body

    def _send(self, frames: list[bytes]) -> None:
        try:
            self._link.sendall(b"".join(frames))
        except OSError as error:
            raise self._missing(slow=isinstance(error, TimeoutError)) from None

    def _result(self) -> Result:
        reason, facts, sequence, date = self._answer()
        return Result(reason, dict(facts), sequence, date)

    def _answer(self) -> tuple[Any, ...]:
        """The next answer without its number."""
        length = LENGTH.unpack(self._take(LENGTH.size))[0]
        answer = msgpack.unpackb(self._take(length), use_list=False)
        if answer[0] != self._waiting.popleft():
            raise self._missing()
        if answer[1] == "error":
            raise Refused(answer[2])
        return tuple(answer[1:])

    def _take(self, size: int) -> bytes:
        received = self._received
        while len(received) < size:
            try:
                piece = self._link.recv(1 << 16)
            except TimeoutError:
                raise self._missing(slow=True) from None
            except OSError:
                piece = b""
            if not piece:
                raise self._missing()
            received += piece
        taken = bytes(received[:size])
        del received[:size]
        return taken

    def _missing(self, *, slow: bool = False) -> AnswerMissing:
        """What to raise where the daemon is gone, or is there and gives no answer for too long."""
        became = (
            f"the daemon is there and did not answer for {_ANSWER_SECONDS_MAX:.0f} s,"
            if slow
            else "the daemon went away"
        )
        then = ": look at its log and load, then" if slow else ":"
        return AnswerMissing(
            f"{became} with {len(self._waiting)} commands unanswered, whose outcome is unknown"
            f"{then} run the same again, it does nothing twice"
        )
