"""Load client: drives a length-prefixed frame server as cheaply as Python can, and times it.

The client owns a set of connections and one `select.epoll`. Each connection has a
*conversation*: an iterable of request frames, complete as they go on the wire (2-byte
big-endian length first). Conversations are read lazily, so a generator may build its next
frame from what `on_reply` has seen. Frames for one connection that are ready together leave
in one `send`; replies are read into one shared buffer and cut by their length.

Two ways of asking:

- `Load.closed_loop` keeps `depth` requests in flight on every connection. It finds the saturated
  rate; its latencies say only how long the queue was that it made itself.
- `Load.open_loop` sends to a schedule fixed beforehand (`evenly` or `poisson`), however slow the
  replies are, and counts each latency from the *scheduled* time. A server (or client) that
  stalls is charged for everything that should have been sent meanwhile, so there is no
  coordinated omission. The client's own lateness is kept apart in `Report.lag`.

Times come from the monotonic clock in nanoseconds; latencies are kept exactly to the
microsecond in a sparse histogram. The cyclic collector rests while a load runs.
"""

import contextlib
import gc
import math
import random
import select
import socket
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic_ns
from types import TracebackType
from typing import NamedTuple, Self

Address = tuple[str, int] | str
"""Host and port of a TCP server, or the path of a Unix socket."""

OnReply = Callable[[int, bytes], None]
"""Called with the connection's index and the whole reply frame, length prefix included."""

RECEIVE_BUFFER_BYTES = 256 * 1024
POLL_S_MAX = 0.05  # how late the end of a run may be noticed when nothing arrives
LOOK_NS = 100_000_000  # how often it is asked whether a run is over
SECOND_NS = 1_000_000_000


class LoadError(Exception):
    """The server closed a connection or answered something that was not asked."""


class Match(NamedTuple):
    """How to pair replies with requests on a link where replies may overtake each other.

    Both functions get a whole frame and return the same key for a request and its reply; the
    key must be unique among the requests in flight on one connection.
    """

    request: Callable[[bytes], Hashable]
    reply: Callable[[bytes], Hashable]


class Latencies:
    """Durations counted by whole microsecond."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration, in nanoseconds."""
        microseconds = duration_ns // 1000
        self.counts[microseconds] = self.counts.get(microseconds, 0) + 1
        self.total += 1

    def merge(self, other: "Latencies") -> None:
        """Take in what another has counted."""
        for microseconds, count in other.counts.items():
            self.counts[microseconds] = self.counts.get(microseconds, 0) + count
        self.total += other.total

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self.counts.clear()
        self.total = 0

    def percentile(self, percent: float) -> int:
        """Return the nearest-rank percentile in microseconds; 0 if nothing was recorded."""
        rank = max(1, math.ceil(self.total * percent / 100))
        seen = 0
        for microseconds in sorted(self.counts):
            seen += self.counts[microseconds]
            if seen >= rank:
                return microseconds
        return 0

    def summary(self) -> dict[str, int]:
        """Return p50, p99, p99.9 and the maximum, in microseconds."""
        return {
            "p50_us": self.percentile(50),
            "p99_us": self.percentile(99),
            "p99_9_us": self.percentile(99.9),
            "max_us": max(self.counts, default=0),
        }


@dataclass(slots=True)
class Report:
    """What a load run did.

    `sent` and `replies` count the whole run, `unanswered` what never came back. `rate` is
    replies a second within the window of `seconds` after the warm-up; `latency` covers every
    reply after the warm-up. `lag` is how late the client itself sent (open loop only): where
    it is not small against `latency`, the client was the bottleneck and the run says little.
    """

    sent: int = 0
    replies: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    latency: Latencies = field(default_factory=Latencies)
    lag: Latencies = field(default_factory=Latencies)

    def add(self, other: "Report") -> None:
        """Take in another run, after this one: its counts, its window and its latencies."""
        replies = self.rate * self.seconds + other.rate * other.seconds
        self.sent += other.sent
        self.replies += other.replies
        self.unanswered += other.unanswered
        self.seconds += other.seconds
        self.rate = replies / self.seconds if self.seconds else 0.0
        self.latency.merge(other.latency)
        self.lag.merge(other.lag)

    def summary(self) -> dict[str, float | int]:
        """Return the figures as one flat mapping; latencies in microseconds."""
        return {
            "sent": self.sent,
            "replies": self.replies,
            "unanswered": self.unanswered,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate),
            **self.latency.summary(),
            "lag_p99_us": self.lag.percentile(99),
        }


class _Fifo:
    """Send times of a connection whose replies come in the order of the requests."""

    __slots__ = ("stamps",)

    def __init__(self) -> None:
        self.stamps: deque[int] = deque()

    def __len__(self) -> int:
        return len(self.stamps)

    def sent(self, frames: list[bytes], stamps: Sequence[int]) -> None:
        del frames
        self.stamps.extend(stamps)

    def answered(self, count: int, replies: list[bytes]) -> list[int]:
        del replies
        popleft = self.stamps.popleft
        if count > len(self.stamps):
            raise LoadError(f"{count - len(self.stamps)} replies more than requests")
        return [popleft() for _ in range(count)]


class _Keyed:
    """Send times of a connection whose replies come in any order."""

    __slots__ = ("match", "stamps")

    def __init__(self, match: Match) -> None:
        self.match = match
        self.stamps: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.stamps)

    def sent(self, frames: list[bytes], stamps: Sequence[int]) -> None:
        key_of = self.match.request
        before = len(self.stamps)
        self.stamps.update(zip(map(key_of, frames), stamps, strict=True))
        if len(self.stamps) != before + len(frames):
            raise LoadError("two requests in flight on one connection have the same key")

    def answered(self, count: int, replies: list[bytes]) -> list[int]:
        del count
        key_of, pop = self.match.reply, self.stamps.pop
        try:
            return [pop(key_of(reply)) for reply in replies]
        except KeyError:
            raise LoadError("a reply matches no request in flight") from None


class _Link:
    """One connection: its socket, its conversation and what is under way on it."""

    __slots__ = ("frames", "number", "socket", "tail", "unsent", "waiting")

    def __init__(
        self, number: int, connection: socket.socket, frames: Iterator[bytes], match: Match | None
    ) -> None:
        self.number = number
        self.socket = connection
        self.frames = frames
        self.waiting: _Fifo | _Keyed = _Keyed(match) if match else _Fifo()
        self.unsent = b""  # bytes that the socket would not take yet
        self.tail = b""  # the beginning of a reply whose rest has not arrived


class _Fleet:
    """All connections of a run, the epoll over them and the running counts."""

    def __init__(self, load: "Load") -> None:
        self.on_reply = load.on_reply
        self.cutting = load.on_reply is not None or load.match is not None
        self.report = Report()
        self.buffer = bytearray(RECEIVE_BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.epoll = select.epoll()  # before the sockets: `wait_until` needs a low descriptor
        self.links: list[_Link] = []
        self.by_descriptor: dict[int, _Link] = {}
        try:
            for number, frames in enumerate(load.conversations):
                link = _Link(number, _connect(load.address), iter(frames), load.match)
                self.links.append(link)
                self.by_descriptor[link.socket.fileno()] = link
                self.epoll.register(link.socket.fileno(), select.EPOLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gc.enable()
        self.close()

    def close(self) -> None:
        for link in self.links:
            link.socket.close()
        self.epoll.close()

    @property
    def in_flight(self) -> int:
        return self.report.sent - self.report.replies

    def send(self, link: _Link, frames: list[bytes], stamps: Sequence[int]) -> None:
        """Send `frames` as one write; `stamps` are the times their latencies count from."""
        link.waiting.sent(frames, stamps)
        self.report.sent += len(frames)
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        if link.unsent:
            link.unsent += data
            return
        link.unsent = data
        self.flush(link)

    def flush(self, link: _Link) -> None:
        """Write what is unsent; ask epoll to call again for what the socket refuses."""
        try:
            taken = link.socket.send(link.unsent)
        except BlockingIOError:
            taken = 0
        except ConnectionError as error:
            raise self._closed(link) from error
        link.unsent = link.unsent[taken:]
        if link.unsent:
            self.epoll.modify(link.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def refill(self, link: _Link, room: int) -> None:
        """Send the next `room` frames of the link's conversation, or what is left of it."""
        frames = list(islice(link.frames, room))
        if frames:
            self.send(link, frames, [monotonic_ns()] * len(frames))

    def receive(self, link: _Link) -> int:
        """Read once, record the latency of each whole reply, return how many there were."""
        kept = len(link.tail)
        if kept:
            self.view[:kept] = link.tail
        try:
            got = link.socket.recv_into(self.view[kept:] if kept else self.view)
        except BlockingIOError:
            return 0
        except ConnectionError as error:
            raise self._closed(link) from error
        now = monotonic_ns()
        if got == 0:
            raise self._closed(link)
        end = kept + got
        if self.cutting:
            replies, cut = _cut(self.buffer, end)
            count = len(replies)
        else:
            replies = []
            count, cut = _count(self.buffer, end)
        link.tail = bytes(self.view[cut:end]) if cut < end else b""
        record = self.report.latency.record
        for stamp in link.waiting.answered(count, replies):
            record(now - stamp)
        self.report.replies += count
        if self.on_reply is not None:
            for reply in replies:
                self.on_reply(link.number, reply)
        return count

    def serve(self, events: list[tuple[int, int]]) -> list[tuple[_Link, int]]:
        """Handle epoll's events; return the links that got replies, with how many."""
        answered = []
        for descriptor, mask in events:
            link = self.by_descriptor[descriptor]
            if mask & select.EPOLLOUT:
                self._resume(link)
            if mask & ~select.EPOLLOUT:
                count = self.receive(link)
                if count:
                    answered.append((link, count))
        return answered

    def drain(self, seconds: float) -> None:
        """Wait for outstanding replies, at most `seconds`; count those that did not come."""
        limit = monotonic_ns() + int(seconds * SECOND_NS)
        while self.in_flight and monotonic_ns() < limit:
            self.serve(self.epoll.poll(POLL_S_MAX))
        self.report.unanswered = self.in_flight

    def wait_until(self, due_ns: int) -> None:
        """Sleep until a reply arrives or `due_ns` has come, to the microsecond.

        epoll counts its timeout in whole milliseconds, which would delay every frame of a
        fast schedule; select on the epoll's own descriptor counts in microseconds.
        """
        pause = (due_ns - monotonic_ns()) / SECOND_NS
        if pause > 0:
            select.select((self.epoll,), (), (), min(pause, POLL_S_MAX))

    def _resume(self, link: _Link) -> None:
        self.flush(link)
        if not link.unsent:
            self.epoll.modify(link.socket.fileno(), select.EPOLLIN)

    def _closed(self, link: _Link) -> LoadError:
        unanswered = len(link.waiting)
        return LoadError(
            f"connection {link.number} was closed by the server, {unanswered} requests unanswered"
        )


@dataclass(slots=True)
class Load:
    """A server, what to say to it on each connection, and how to listen to its replies.

    `conversations` holds one iterable of whole request frames for each connection and so can
    be run once only, unless they are sequences. `on_reply` is called for each reply (None is
    faster). `match` pairs requests with replies that may change places; without it replies
    come in the order of the requests. Replies within the first `warm_up_s` seconds count neither
    for the rate nor the latencies. `drain_s` is how long the end of a run waits for replies
    still outstanding.
    """

    address: Address
    conversations: Sequence[Iterable[bytes]]
    on_reply: OnReply | None = None
    match: Match | None = None
    warm_up_s: float = 0.0
    drain_s: float = 10.0

    def closed_loop(self, depth: int = 1, seconds: float | None = None) -> Report:
        """Keep `depth` requests in flight on each connection.

        The run is over `seconds` after the warm-up, or when every conversation is used up.

        Raises:
            LoadError: a connection was closed, or a reply was not asked for.
        """
        with _Fleet(self) as fleet:
            began = monotonic_ns()
            for link in fleet.links:
                fleet.refill(link, depth)
            if self.warm_up_s:
                began = _refill_until(fleet, began + int(self.warm_up_s * SECOND_NS))
                fleet.report.latency.clear()
            before = fleet.report.replies
            until = None if seconds is None else began + int(seconds * SECOND_NS)
            ended = _refill_until(fleet, until)
            _set_rate(fleet.report, fleet.report.replies - before, ended - began)
            fleet.drain(self.drain_s)
            return fleet.report

    def open_loop(
        self, schedule: Sequence[int], over: Callable[[], bool] = lambda: False
    ) -> Report:
        """Send one frame at each time of `schedule`, connections in turn, whatever comes back.

        `schedule` holds ascending nanoseconds after the start, see `evenly` and `poisson`. The
        run ends early when the conversation whose turn it is has no frame left, or when `over`,
        which is asked ten times a second, says so.

        Raises:
            LoadError: a connection was closed, or a reply was not asked for.
        """
        with _Fleet(self) as fleet:
            start = began = monotonic_ns()
            warm_at = start + int(self.warm_up_s * SECOND_NS)
            before = sent = looked = 0
            while sent < len(schedule):
                fleet.wait_until(start + schedule[sent])
                fleet.serve(fleet.epoll.poll(0))
                now = monotonic_ns()
                if now - looked > LOOK_NS:
                    looked = now
                    if over():
                        break
                if began < warm_at <= now:
                    fleet.report.latency.clear()
                    fleet.report.lag.clear()
                    began, before = now, fleet.report.replies
                due = bisect_right(schedule, now - start, sent)
                if not _send_due(fleet, schedule, start, range(sent, due)):
                    break
                sent = due
            _set_rate(fleet.report, fleet.report.replies - before, monotonic_ns() - began)
            fleet.drain(self.drain_s)
            return fleet.report


def evenly(rate: float, seconds: float) -> "array[int]":
    """Return a schedule of equal steps: `rate` frames a second for `seconds`."""
    step = SECOND_NS / rate
    return array("q", (int(index * step) for index in range(int(rate * seconds))))


def poisson(rate: float, seconds: float, seed: int) -> "array[int]":
    """Return a schedule of independent arrivals, `rate` a second on average, from `seed`."""
    draw = random.Random(seed).expovariate
    mean_rate = rate / SECOND_NS
    limit = seconds * SECOND_NS
    schedule = array("q")
    at = draw(mean_rate)
    while at < limit:
        schedule.append(int(at))
        at += draw(mean_rate)
    return schedule


def _connect(address: Address) -> socket.socket:
    if isinstance(address, str):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(address)
    else:
        connection = socket.create_connection(address, timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


def _count(buffer: bytearray, end: int) -> tuple[int, int]:
    """Return the number of whole frames in the first `end` bytes, and where they stop."""
    count = at = 0
    while at + 2 <= end:
        following = at + 2 + (buffer[at] << 8 | buffer[at + 1])
        if following > end:
            break
        count += 1
        at = following
    return count, at


def _cut(buffer: bytearray, end: int) -> tuple[list[bytes], int]:
    """Return the whole frames in the first `end` bytes, and where they stop."""
    frames = []
    at = 0
    while at + 2 <= end:
        following = at + 2 + (buffer[at] << 8 | buffer[at + 1])
        if following > end:
            break
        frames.append(bytes(buffer[at:following]))
        at = following
    return frames, at


def _refill_until(fleet: _Fleet, until_ns: int | None) -> int:
    """Answer each reply with the next request until then; return the time it ended."""
    while fleet.in_flight:
        for link, count in fleet.serve(fleet.epoll.poll(POLL_S_MAX)):
            fleet.refill(link, count)
        if until_ns is not None and monotonic_ns() >= until_ns:
            break
    return monotonic_ns()


def _send_due(fleet: _Fleet, schedule: Sequence[int], start: int, due: range) -> bool:
    """Send the frames that are due, one write a connection; False if one has none left."""
    batches: dict[_Link, tuple[list[bytes], list[int]]] = {}
    links = fleet.links
    complete = True
    for index in due:
        link = links[index % len(links)]
        frame = next(link.frames, None)
        if frame is None:
            complete = False
            break
        frames, stamps = batches.setdefault(link, ([], []))
        frames.append(frame)
        stamps.append(start + schedule[index])
    lag = fleet.report.lag.record
    for link, (frames, stamps) in batches.items():
        now = monotonic_ns()
        for stamp in stamps:
            lag(now - stamp)
        fleet.send(link, frames, stamps)
    return complete


def _set_rate(report: Report, replies: int, elapsed_ns: int) -> None:
    report.seconds = elapsed_ns / SECOND_NS
    with contextlib.suppress(ZeroDivisionError):
        report.rate = replies / report.seconds
