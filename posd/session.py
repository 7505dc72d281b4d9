"""One link, without I/O: bytes in, replies out.

A session cuts what was read into frames, gives each to the host, and hands out replies that may
leave at once or wait for the journal. It keeps the link's limits: at `UNANSWERED_MAX` unanswered
messages it holds further frames back until some are answered.

The states of a link:

| state | meaning | leaves it by |
|---|---|---|
| open | frames are handled | a bad frame or an undecodable message: closed |
| full | frames are held back, the caller should stop reading | replies sent: open |
| closed | nothing is handled any more; what is due before the fault still leaves | - |
"""

from __future__ import annotations

from posd.exchange import handle
from posd.framing import KEEP_ALIVE, KEEP_ALIVE_REPLY, Deframer, Frame
from posd.host import Host, Peer, Reply
from posd.iso8583.message import Undecodable

UNANSWERED_MAX = 256


class Session:
    """The host's side of one link.

    Attributes:
        closed: True after a fault of the peer; the link has to be closed once what is due has left.
        unanswered: messages handled whose replies have not left yet.
    """

    __slots__ = ("_backlog", "_deframer", "_host", "_peer", "closed", "unanswered")

    def __init__(self, host: Host, peer: Peer, frame_max: int) -> None:
        self._host = host
        self._peer = peer
        self._deframer = Deframer(frame_max)
        self._backlog: list[Frame] = []
        self.closed = False
        self.unanswered = 0

    @property
    def full(self) -> bool:
        """True when the link should not be read further for now."""
        return self.unanswered >= UNANSWERED_MAX or bool(self._backlog)

    @property
    def can_resume(self) -> bool:
        """True when frames are held back and half of the room is free again."""
        return bool(self._backlog) and self.unanswered <= UNANSWERED_MAX // 2

    @property
    def half_frame(self) -> bool:
        """True while a part of a frame is waiting for the rest."""
        return self._deframer.pending > 0

    def receive(self, data: bytes, at: int, monotonic: int) -> list[Reply]:
        """Take what was read.

        Args:
            data: bytes from the link.
            at: wall clock, ms since 1970 UTC.
            monotonic: monotonic clock, ms.

        Returns:
            Replies in the order of their requests; each leaves once its sequence is durable.
        """
        frames = self._deframer.feed(data)
        if self._backlog:
            self._backlog.extend(frames)
            return []
        replies = self._handle(frames, at, monotonic)
        if self._deframer.fault is not None and not self._backlog:
            self._fail("bad_frames")
        return replies

    def sent(self, count: int) -> None:
        """Note that replies have left."""
        self.unanswered -= count

    def resume(self, at: int, monotonic: int) -> list[Reply]:
        """Handle frames that were held back, as far as there is room."""
        frames, self._backlog = self._backlog, []
        replies = self._handle(frames, at, monotonic)
        if self._deframer.fault is not None and not self._backlog:
            self._fail("bad_frames")
        return replies

    def _handle(self, frames: list[Frame], at: int, monotonic: int) -> list[Reply]:
        replies: list[Reply] = []
        host = self._host
        peer = self._peer
        for index, frame in enumerate(frames):
            if self.closed:
                break
            if frame is KEEP_ALIVE:
                host.meter.count("keep_alives")
                replies.append(Reply(0, KEEP_ALIVE_REPLY))
                self.unanswered += 1
                continue
            if self.unanswered >= UNANSWERED_MAX:
                self._backlog.extend(frames[index:])
                host.meter.count("reads_paused")
                break
            try:
                reply = handle(host, frame, peer, at, monotonic)
            except Undecodable:
                self._fail("undecodable")
                break
            if reply is not None:
                replies.append(reply)
                self.unanswered += 1
        return replies

    def _fail(self, counter: str) -> None:
        if not self.closed:
            self.closed = True
            self._backlog.clear()
            self._host.meter.count(counter)
