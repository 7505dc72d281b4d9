"""One connection: an asyncio protocol around a sans-IO session, with the limits of a link."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from engine.machine import SwapFailed
from posd.exchange import Party, handle_all
from posd.framing import Frame
from posd.host import Host, Peer, Reply
from posd.metrics import Meter
from posd.pipeline import Pipeline, monotonic_ms, wall_ms
from posd.session import Session

Batch = tuple[int, int, list[Reply]]
"""The newest sequence that must be durable, when the messages were read (ns), the replies."""


@dataclass(slots=True)
class Limits:
    """Bounds of links, in one place.

    Attributes:
        connections: connections at a time.
        frame_bytes: the longest frame.
        idle_ms: how long a link may be silent.
        half_frame_ms: how long a part of a frame may wait for the rest.
        unread_bytes: replies that a peer may leave unread.
        drain_ms: how long an orderly end waits for the disk.
    """

    connections: int = 20_000
    frame_bytes: int = 4096
    idle_ms: int = 600_000
    half_frame_ms: int = 10_000
    unread_bytes: int = 1 << 20
    drain_ms: int = 60_000


class Links:
    """All open connections and what they share."""

    def __init__(self, host: Host, pipeline: Pipeline, meter: Meter, limits: Limits) -> None:
        self.host = host
        self.pipeline = pipeline
        self.meter = meter
        self.limits = limits
        self.open: set[Link] = set()
        self.half: set[Link] = set()
        self._arrivals: list[tuple[Party, Frame]] = []
        self._talking: list[Link] = []

    def accept(self) -> Link:
        """A protocol for a new connection."""
        return Link(self)

    def accept_secured(self) -> Link:
        """The same under TLS; the link is made, or never, once the handshake is over."""
        self.meter.count("tls_handshakes")
        return Link(self)

    def arrived(self, link: Link, session: Session, frames: list[Frame]) -> None:
        """Note what a link has read; all links of this turn of the loop are handled together."""
        if not self._talking:
            self.pipeline.soon(self._turn)
        self._talking.append(link)
        self._arrivals += [(session, frame) for frame in frames]

    def _turn(self) -> None:
        """Handle everything that was read by now, or rest and see what else there is."""
        if self._talking and self.pipeline.rest(len(self._arrivals)):
            self.pipeline.soon(self._turn)
        else:
            self.handle_now()

    def handle_now(self) -> None:
        """Handle everything that was read by now, if there is anything; wait for no more."""
        if not self._talking:
            return
        arrivals, self._arrivals = self._arrivals, []
        talking, self._talking = self._talking, []
        at, monotonic = wall_ms(), monotonic_ms()
        self.pipeline.watch_clock(at, monotonic)
        try:
            handle_all(self.host, arrivals, at, monotonic)
        except SwapFailed as error:
            self.pipeline.halt(error)
        self.pipeline.seal()
        for link in talking:
            link.answer()

    def sweep(self) -> None:
        """Close links that keep half a frame for too long."""
        now = monotonic_ms()
        for link in list(self.half):
            if now - link.half_since > self.limits.half_frame_ms:
                link.abort("closed_half_frame")

    def sweep_idle(self) -> None:
        """Close links that have been silent for too long."""
        oldest = monotonic_ms() - self.limits.idle_ms
        for link in [link for link in self.open if link.heard < oldest]:
            link.abort("closed_idle")

    def close(self) -> None:
        """Close all connections once what is written has left."""
        for link in list(self.open):
            link.close()


class Link:
    """One connection: an asyncio protocol by its methods, so that it can be compiled."""

    __slots__ = (
        "_begun",
        "_links",
        "_outgoing",
        "_paused",
        "_pipeline",
        "_session",
        "_transport",
        "half_since",
        "heard",
    )

    def __init__(self, links: Links) -> None:
        self._links = links
        self._pipeline = links.pipeline
        self._transport: Any = None
        self._session: Session | None = None
        self._outgoing: list[Batch] = []
        self._paused = False
        self._begun = 0
        self.heard = 0
        self.half_since = 0

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        links = self._links
        if len(links.open) >= links.limits.connections:
            links.meter.count("connections_refused")
            transport.abort()
            return
        self._transport = transport
        peer = transport.get_extra_info("peername")
        tls = transport.get_extra_info("ssl_object") is not None
        number = links.meter.counted("connections_opened") + 1
        address = str(peer[0]) if peer else ""
        self._session = Session(
            links.host, Peer(address, tls=tls, link=number), links.limits.frame_bytes
        )
        transport.set_write_buffer_limits(high=links.limits.unread_bytes)
        self.heard = monotonic_ms()
        links.open.add(self)
        links.meter.count("connections_opened")
        if tls:
            links.meter.count("tls_connections_opened")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection; what was decided for it stays decided."""
        self._links.open.discard(self)
        self._links.half.discard(self)
        self._session = None
        self._transport = None
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        """Handle what was read."""
        session = self._session
        if session is None:
            return
        self.heard = now = monotonic_ms()
        if not self._begun:
            self._begun = time.perf_counter_ns()
        self._links.arrived(self, session, session.take(data))
        half = session.half_frame
        if half:
            if half <= len(data):
                # The part begins in this very read: a busy link may end every read within a
                # frame, and each of those has its time.
                self.half_since = now
                self._links.half.add(self)
        elif self in self._links.half:
            self._links.half.discard(self)

    def answer(self) -> None:
        """Send the replies of a turn, at once or when the journal allows."""
        session = self._session
        if session is None:
            return
        replies = session.collect()
        begun, self._begun = self._begun, 0
        if replies:
            self._send_durable(replies, begun)
        if session.closed or self._paused or session.full:
            self._after(session)

    def _send_durable(self, replies: list[Reply], begun: int) -> None:
        pipeline = self._pipeline
        durable = pipeline.book.durable
        newest = 0
        later: list[Reply] = []
        for reply in replies:
            if reply.sequence > durable:
                later.append(reply)
                newest = reply.sequence if reply.sequence > newest else newest
        if later:
            self._outgoing.append((newest, begun, later))
            pipeline.when_durable(newest, self._flush)
            if len(later) == len(replies):
                return
            replies = [reply for reply in replies if reply.sequence <= durable]
        self._send([(durable, begun, replies)])

    def _flush(self) -> None:
        """Send what has become durable."""
        outgoing = self._outgoing
        durable = self._pipeline.book.durable
        if not outgoing or outgoing[0][0] > durable:
            return
        if outgoing[-1][0] <= durable:
            self._outgoing = []
            self._send(outgoing)
            return
        self._outgoing = [batch for batch in outgoing if batch[0] > durable]
        self._send([batch for batch in outgoing if batch[0] <= durable])

    def _send(self, batches: list[Batch]) -> None:
        session, transport = self._session, self._transport
        if session is None or transport is None or self._pipeline.halted:
            return
        frames = [reply.data for _, _, replies in batches for reply in replies]
        transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        now = time.perf_counter_ns()
        times = self._links.meter.reply
        for _, begun, replies in batches:
            times.add(now - begun, len(replies))
        session.sent(len(frames))
        if self._paused or session.closed:
            self._after(session)

    def _after(self, session: Session) -> None:
        """Keep the link's rules after anything happened."""
        transport = self._transport
        if transport is None:
            return
        if session.closed:
            if not session.unanswered:
                transport.close()
        elif session.full:
            if not self._paused:
                self._paused = True
                transport.pause_reading()
            if session.can_resume:
                self._pipeline.soon(self._resume)
        elif self._paused:
            self._paused = False
            transport.resume_reading()

    def _resume(self) -> None:
        """Handle messages that were held back."""
        session = self._session
        if session is not None and session.can_resume:
            self._begun = self._begun or time.perf_counter_ns()
            self._links.arrived(self, session, session.held_back())

    def eof_received(self) -> bool:
        """Let the connection close once the peer sends no more."""
        return False

    def resume_writing(self) -> None:
        """Nothing to do: a peer that was too slow is gone."""

    def pause_writing(self) -> None:
        """Give up on a peer that does not read its replies."""
        self.abort("closed_slow_reader")

    def close(self) -> None:
        """Close once what is written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, counter: str) -> None:
        """Close at once."""
        if self._transport is not None:
            self._links.meter.count(counter)
            self._transport.abort()
