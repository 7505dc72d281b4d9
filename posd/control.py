"""The daemon's control socket: administration commands, status, and the word that a clock is right.

``DIR/control.sock`` has mode 0600, and a peer has to run as the daemon's own user or as root. What
it gives is journaled with its account, as the kernel tells it, and the operator that it names. The
wire is told in `engine.submit`, whose `Submitter` is the usual peer. Requests of a connection are
answered in order, each once what it reveals is durable.

Bulk work leaves room for terminals. Connections take turns, one in a turn of the event loop, after
whatever terminals have sent by then; it begins commands for at most `SLICE_NS`. Where terminals
have asked meanwhile all of them rest for `RESTS` times as long as that took, and for longer in
proportion where groups take longer than `CALM_NS` to become durable, and where the loop is busier
than `posd.pace.BUSY`: then the disk, the processors or the loop have enough to do. They wait while
the overlay is half full, and a connection is not read while `PENDING_MAX` of its requests are
unanswered, or `PENDING_BYTES_MAX` of them not begun. Its peer, which wants a processor too, is
woken for every `ANSWERS` results and for the last. While the daemon answers terminals 91, commands
are refused with the reason in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections import deque
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, Protocol, get_args, get_origin, get_type_hints

import msgpack

from engine.catalogue import BY_KIND, command_of
from engine.configuration import LEVELS
from engine.directory import control_address
from engine.giver import NAME_MAX, account_name, is_name
from engine.machine import SwapFailed
from engine.submit import FRAME_BYTES_MAX, LENGTH
from posd.pace import BUSY
from posd.pipeline import Pipeline, monotonic_ms, wall_ms

SLICE: Final = 50
"""Commands that one connection executes at most in a turn of the event loop."""
SLICE_NS: Final = 200_000
"""Time after which a connection begins no further command in the same turn; with `RESTS` the share
of the loop that bulk work has beside terminals stays the same, in smaller pieces."""
ANSWERS: Final = 32
"""Results of a connection that leave in one write, while it has more requests waiting."""
RESTS: Final = 10
"""While terminals ask, connections rest for this many times as long as one has worked."""
CALM_NS: Final = 1_000_000
"""Time in which a group becomes durable where nothing is short."""
STRAIN: Final = 10
"""How much longer rests are where the loop is busy all the time: so many times the share of its
time by which it is busier than `BUSY`, and once."""
REST_NS_MAX: Final = 25_000_000
"""Longest rest: bulk work gets on beside any load."""
PENDING_MAX: Final = 4096
"""Requests of a connection that may be unanswered; past that it is not read."""
PENDING_BYTES_MAX: Final = 4 << 20
"""Bytes of requests of a connection that were not begun; past that it is not read."""
CONNECTIONS_MAX: Final = 16
"""Control connections at a time that work is done for. As many again are told that there are too
many; further ones are closed at once."""
OWN: Final = frozenset({"opened", "pin check", "sign-on", "keys confirmed", "coupon inquiries"})
"""Commands without an identity that the daemon alone gives."""
ALLOWED: Final = frozenset(
    kind for kind, rule in BY_KIND.items() if rule.identity == "none" and kind not in OWN
)
"""Commands of administration: those of no terminal's request, and not the daemon's own."""

REQUESTS: Final = ("operator", "execute", "status", "confirm clock", "reload", "keys", "log")
"""Verbs of requests."""

_PAUSE_SECONDS = 0.02
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")
_INT_BITS_MAX = 63

log = logging.getLogger("counterfoil.posd")


class Owner(Protocol):
    """The daemon as this module sees it."""

    pipeline: Pipeline

    def serve_terminals(self) -> None:
        """Handle what terminals have sent by now."""
        ...

    def status(self) -> dict[str, Any]:
        """What the socket tells of the daemon; plain values."""
        ...

    def reload(self) -> dict[str, Any]:
        """Read the configuration again; what was taken, and what needs a restart."""
        ...

    def refresh_keys(self) -> None:
        """Take up a changed key file."""
        ...

    def log_level(self, level: str) -> bool:
        """Log from a level on; False when there is no such level."""
        ...


class Malformed(Exception):
    """A request that is not one; the sentence never holds its values."""


class Control:
    """The listening socket and its connections."""

    def __init__(self, owner: Owner) -> None:
        """Serve the pipeline and the status of `owner`."""
        self.owner = owner
        self.open: set[Connection] = set()
        self._server: asyncio.AbstractServer | None = None
        self._directory = Path()
        self._turns: deque[Connection] = deque()
        self._asked = 0
        self._rest_until = 0

    async def listen(self, directory: Path) -> None:
        """Bind the socket of a data directory; the book's lock says that an old one is stale.

        Raises:
            OSError: it cannot be bound.
        """
        self._directory = directory
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with control_address(directory) as address:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address)  # noqa: PTH108 - a link of /proc that must not be resolved
                listening.bind(address)
                os.chmod(address, 0o600)  # noqa: PTH101 - the same
            # Nobody can connect before this, so the mode is right from the first connection on.
            listening.listen(_BACKLOG)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Connection(self), sock=listening)
        except BaseException:
            listening.close()
            raise

    def want_turn(self, connection: Connection) -> None:
        """Have a connection work when its turn comes; it does not wait for one yet."""
        self._turns.append(connection)
        if len(self._turns) == 1:
            self._next_turn()

    def _next_turn(self) -> None:
        """Let a connection work in a later turn of the loop, after the rest that is due."""
        rest_ns = self._rest_until - time.perf_counter_ns()
        if rest_ns > 0:
            asyncio.get_running_loop().call_later(rest_ns / 1e9, self._turn)
        else:
            self.owner.pipeline.soon(self._turn)

    def _turn(self) -> None:
        pipeline, turns = self.owner.pipeline, self._turns
        if pipeline.book.overlay_size > pipeline.book.limits.overlay_records // 2:
            # The tables are behind: terminals get what room there is.
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._turn)
            return
        self.owner.serve_terminals()
        begun = time.perf_counter_ns()
        try:
            if turns[0].work():
                turns.append(turns[0])
        finally:
            turns.popleft()
            self._rest(begun, time.perf_counter_ns())
            if turns:
                self._next_turn()

    def _rest(self, begun: int, ended: int) -> None:
        """Rest after work between two times in ns, where terminals have asked since the last."""
        pipeline = self.owner.pipeline
        asked = pipeline.terminals_ns()
        if asked != self._asked:
            self._asked = asked
            slow = max(CALM_NS, pipeline.written_ns) / CALM_NS
            busy = 1 + STRAIN * max(0.0, pipeline.pace.share - BUSY)
            rest_ns = int(RESTS * (ended - begun) * slow * busy)
            self._rest_until = ended + min(REST_NS_MAX, rest_ns)

    def close(self) -> None:
        """Stop listening, hang up, and remove the socket's name."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.open):
            connection.hang_up()
        with contextlib.suppress(OSError), control_address(self._directory) as address:
            os.unlink(address)  # noqa: PTH108 - see above


async def serve_control(owner: Owner, directory: Path) -> Control:
    """Listen on the control socket of a data directory.

    Raises:
        OSError: the socket cannot be bound.
    """
    control = Control(owner)
    await control.listen(directory)
    return control


class Connection(asyncio.Protocol):
    """One peer."""

    def __init__(self, control: Control) -> None:
        """Belong to `control` until the connection is lost."""
        self._control = control
        self._pipeline = control.owner.pipeline
        self._transport: Any = None
        self._received = bytearray()
        self._requests: deque[bytes] = deque()
        self._unanswered = 0
        self._pending_bytes = 0
        self._late = False
        self._working = False
        self._choked = False
        self._replies: list[bytes] = []
        self._leaving = False
        self._account = ""
        self._operator = ""

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the peer in, if it may be one."""
        self._transport = transport
        peer = _user(transport)
        crowd = len(self._control.open)
        if crowd >= 2 * CONNECTIONS_MAX or peer not in {0, os.getuid()}:
            transport.close()
            return
        self._late = crowd >= CONNECTIONS_MAX
        self._account = self._operator = account_name(peer)
        self._control.open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the peer; what it had executed stays."""
        self._control.open.discard(self)
        self._requests.clear()
        self._transport = None

    def hang_up(self) -> None:
        """Close after what is answered has left."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        """Read no more from a peer that does not take its replies."""
        self._choked = True
        self._judge_reading()

    def resume_writing(self) -> None:
        """Go on with a peer that takes its replies again."""
        self._choked = False
        self._judge_reading()

    def _judge_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        much = self._unanswered >= PENDING_MAX or self._pending_bytes >= PENDING_BYTES_MAX
        if self._choked or much:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Cut requests from the stream and start on them."""
        received = self._received
        received += data
        start = 0
        while len(received) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(received, start)
            if length > FRAME_BYTES_MAX:
                # There is no way to find the next frame behind one that is not read.
                log.warning("control: a frame is too long; the connection is closed")
                self.hang_up()
                return
            end = start + LENGTH.size + length
            if len(received) < end:
                break
            self._requests.append(bytes(received[start + LENGTH.size : end]))
            self._unanswered += 1
            self._pending_bytes += length
            start = end
        del received[:start]
        self._judge_reading()
        if self._requests and not self._working:
            self._working = True
            self._control.want_turn(self)

    # Work.

    def work(self) -> bool:
        """Execute a slice of the requests; True where there are more."""
        begun = time.perf_counter_ns()
        for _ in range(min(SLICE, len(self._requests))):
            request = self._requests.popleft()
            self._pending_bytes -= len(request)
            self._answer(request)
            if time.perf_counter_ns() - begun > SLICE_NS:
                break
        self._working = bool(self._requests)
        return self._working

    def _answer(self, body: bytes) -> None:
        number: Any = 0
        try:
            request = _request(body)
            number = request[0]
            told = self._do(request)
        except Malformed as fault:
            told = ("error", str(fault))
        reply: bytes = msgpack.packb((number, *told))
        # All of them wait for what is staged by now: an answer without an entry of its own still
        # tells of rows that have to be durable, and so replies leave in order.
        self._pipeline.when_durable(
            self._pipeline.book.sequence, lambda: self._reply(LENGTH.pack(len(reply)) + reply)
        )

    def _do(self, request: tuple[Any, ...]) -> tuple[Any, ...]:
        """Carry out a request; returns the answer behind its number."""
        if self._late:
            raise Malformed(
                f"{CONNECTIONS_MAX} commands are at work beside the daemon: wait for one to end"
            )
        pipeline = self._pipeline
        match request[1:]:
            case ("operator", str() as name):
                if not is_name(name):
                    raise Malformed(f"an operator's name is 1 to {NAME_MAX} printable characters")
                self._operator = name
                return ({},)
            case ("execute", str() as kind, tuple() as values):
                return self._execute(kind, values)
            case ("status",):
                return (self._control.owner.status(),)
            case ("confirm clock",):
                self._note("confirmed the clock")
                pipeline.confirm_clock()
                return ({},)
            case ("reload",):
                self._note("had the configuration read again")
                return (self._control.owner.reload(),)
            case ("keys",):
                self._note("had the key file read again")
                self._control.owner.refresh_keys()
                return ({},)
            case ("log", str() as level):
                if not self._control.owner.log_level(level):
                    raise Malformed(f"there is no such level: {', '.join(LEVELS)} are known")
                self._note(f"set the log to {level}")
                return ({},)
        raise Malformed(f"there is no such request: {', '.join(REQUESTS)} are known")

    def _note(self, deed: str) -> None:
        """Log who did what leaves no entry."""
        log.info("control: %s (account %s) %s", self._operator, self._account, deed)

    def _execute(self, kind: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        pipeline = self._pipeline
        pipeline.watch_clock(wall_ms(), monotonic_ms())
        if pipeline.shut:
            why = "; ".join(pipeline.why_shut())
            return ("error", f"the daemon takes no commands now: {why}")
        command = _command(kind, values)
        try:
            answer = pipeline.execute(command, (self._operator, self._account))
        except SwapFailed:
            raise
        except Exception:
            # Nothing was swapped in; the peer is told so, the log has the rest.
            log.exception("control: a command of kind %s failed", kind)
            raise Malformed("the daemon failed on this command; nothing was posted") from None
        outcome = answer.outcome
        return (outcome.reason, outcome.facts, answer.sequence, answer.date)

    def _reply(self, frame: bytes) -> None:
        self._unanswered -= 1
        if self._transport is None:
            return
        self._replies.append(frame)
        enough = not self._requests or len(self._replies) >= ANSWERS
        if enough and not self._leaving:
            self._leaving = True
            self._pipeline.soon(self._flush)
        self._judge_reading()

    def _flush(self) -> None:
        """Send the replies that are there in one write."""
        self._leaving = False
        replies, self._replies = self._replies, []
        if replies and self._transport is not None:
            self._transport.write(b"".join(replies))


def _user(transport: asyncio.BaseTransport) -> int:
    """The user id that the peer runs under."""
    link = transport.get_extra_info("socket")
    packed = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(packed)[1]
    return user


def _request(body: bytes) -> tuple[Any, ...]:
    try:
        request = msgpack.unpackb(body, use_list=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException):
        raise Malformed("a request has to be a MessagePack array") from None
    if not isinstance(request, tuple) or len(request) < 2 or type(request[0]) is not int:  # noqa: PLR2004
        raise Malformed("a request has to be an array that begins with a number and a verb")
    return request


def _command(kind: str, values: tuple[Any, ...]) -> Any:
    """Make a command of what a peer sent, every value of the type that the command declares."""
    if kind not in ALLOWED:
        raise Malformed("there is no such administration command")
    names = _HINTS[kind]
    # Of a last field that has a default and says nothing there is no value.
    if not _LEAST[kind] <= len(values) <= len(names):
        raise Malformed(f"a command of kind {kind} has {len(names)} values, not {len(values)}")
    for value, (name, hint) in zip(values, names, strict=False):
        if not _conforms(value, hint):
            raise Malformed(f"the value of {name} in a command of kind {kind} has another type")
    return command_of(kind, values)


def _conforms(value: Any, hint: Any) -> bool:
    """Whether a value is of a type made of int, bool, str, bytes and tuples of them.

    A compiled module keeps of a tuple's type no more than that it is one (``tuple``, or ``type``
    where the type has a name): then its parts are of any of these.
    """
    if hint in ERASED:
        return type(value) is tuple and _is_plain(value)
    if type(value) is hint:
        return hint is not int or value.bit_length() <= _INT_BITS_MAX
    if type(value) is not tuple or get_origin(hint) is not tuple:
        return False
    parts = get_args(hint)
    if parts[-1] is Ellipsis:
        return all(_conforms(one, parts[0]) for one in value)
    return len(value) == len(parts) and all(map(_conforms, value, parts))


ERASED: Final = (tuple, type)


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in {str, bytes, bool} or _conforms(value, int)


def _hints(command: type[Any]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(command)
    return tuple((field.name, hints[field.name]) for field in fields(command))


def _least(command: type[Any]) -> int:
    return sum(field.default is MISSING for field in fields(command))


_HINTS: Final = {kind: _hints(BY_KIND[kind].command) for kind in ALLOWED}
_LEAST: Final = {kind: _least(BY_KIND[kind].command) for kind in ALLOWED}
