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

from typing import Final

from posd.exchange import handle_all
from posd.framing import KEEP_ALIVE, KEEP_ALIVE_REPLY, Deframer, Frame
from posd.host import Host, Peer, Reply

UNANSWERED_MAX: Final = 256


class Session:
    """The host's side of one link.

    Attributes:
        peer: the far end.
        closed: True after a fault of the peer; the link has to be closed once what is due has left.
        replies: made and not collected yet.
        unanswered: messages admitted whose replies have not left yet.
    """

    __slots__ = ("_backlog", "_deframer", "_host", "closed", "peer", "replies", "unanswered")

    def __init__(self, host: Host, peer: Peer, frame_max: int) -> None:
        self._host = host
        self.peer = peer
        self._deframer = Deframer(frame_max)
        self._backlog: list[Frame] = []
        self.closed = False
        self.replies: list[Reply] = []
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
    def half_frame(self) -> int:
        """Bytes of a frame that is waiting for the rest; 0 between frames."""
        return self._deframer.pending

    def take(self, data: bytes) -> list[Frame]:
        """Take what was read; returns the messages to handle now.

        Keep-alives are answered here. Past `UNANSWERED_MAX` messages are held back. After a frame
        that breaks the rules the link is closed, once what came before it is answered.
        """
        frames = self._deframer.feed(data)
        if self._backlog:
            self._backlog.extend(frames)
            return []
        return self._admit(frames)

    def held_back(self) -> list[Frame]:
        """Messages that were held back and can be handled now."""
        frames, self._backlog = self._backlog, []
        return self._admit(frames)

    def receive(self, data: bytes, at: int, monotonic: int) -> list[Reply]:
        """Take what was read, and handle it as a turn of its own.

        Args:
            data: bytes from the link.
            at: wall clock, ms since 1970 UTC.
            monotonic: monotonic clock, ms.

        Returns:
            Replies in the order of their requests; each leaves once its sequence is durable.
        """
        return self._handled(self.take(data), at, monotonic)

    def resume(self, at: int, monotonic: int) -> list[Reply]:
        """Handle frames that were held back, as far as there is room, as a turn of their own."""
        return self._handled(self.held_back(), at, monotonic)

    def put(self, reply: Reply | None) -> None:
        """Take the reply to a message; None where none is due."""
        if reply is None:
            self.unanswered -= 1
        else:
            self.replies.append(reply)

    def collect(self) -> list[Reply]:
        """The replies made since the last call; a link with a broken frame is closed now."""
        if self._deframer.fault is not None and not self._backlog:
            self.fail("bad_frames")
        replies, self.replies = self.replies, []
        return replies

    def sent(self, count: int) -> None:
        """Note that replies have left."""
        self.unanswered -= count

    def fail(self, counter: str) -> None:
        """Give the link up for a fault of its peer."""
        if not self.closed:
            self.closed = True
            self._backlog.clear()
            self._host.meter.count(counter)

    def _handled(self, frames: list[Frame], at: int, monotonic: int) -> list[Reply]:
        handle_all(self._host, [(self, frame) for frame in frames], at, monotonic)
        return self.collect()

    def _admit(self, frames: list[Frame]) -> list[Frame]:
        """Admit frames as far as there is room; hold the rest back."""
        admitted: list[Frame] = []
        if self.closed:
            return admitted
        for index, frame in enumerate(frames):
            if self.unanswered >= UNANSWERED_MAX:
                self._backlog.extend(frames[index:])
                self._host.meter.count("reads_paused")
                return admitted
            self.unanswered += 1
            if frame is KEEP_ALIVE:
                self._host.meter.count("keep_alives")
                self.replies.append(Reply(0, KEEP_ALIVE_REPLY))
            else:
                admitted.append(frame)
        return admitted
