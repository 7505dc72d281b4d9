"""Frames: bytes of a link in, messages out, and back. Section 1 of the terminal protocol.

A `Deframer` belongs to one link and knows no socket and no clock: it is fed what was read, in
whatever pieces, and gives back the frames that are complete. One read may hold many frames, which
is the case that counts: each costs a few slices of the read and nothing is copied twice.

A broken frame ends the link, for after it nothing says where the next one begins. But the frames
before it in the same read are good and are delivered; so `feed` does not raise, it remembers the
fault, and whoever feeds looks at `fault` after handling the frames.
"""

import struct
from typing import Final, NamedTuple

LENGTH_BYTES: Final = 2
TPDU_BYTES: Final = 5
HEADER_BYTES: Final = 6
FRAME_MIN: Final = TPDU_BYTES + HEADER_BYTES + 2 + 8
"""Least value of the length: TPDU, header, message type and one bitmap."""

FRAME_MAX_DEFAULT: Final = 4096
"""Greatest value of the length that is accepted unless configured otherwise."""

KEEP_ALIVE_REPLY: Final = b"\x00\x00"
"""What answers a keep-alive."""

# TPDU: first byte, destination, source. Header: application class and software version; terminal
# state and processing request, a digit each in one byte; software sub-version.
_HEAD: Final = struct.Struct(">B2s2s2sB3s")
_LENGTHS: Final = [length.to_bytes(LENGTH_BYTES, "big") for length in range(FRAME_MAX_DEFAULT + 1)]
HEADS_MAX: Final = 4096
_heads: Final[dict[bytes, bytes]] = {}
"""TPDU and header of a request to those of its reply, where nothing waits for the terminal."""


class BadFrame(Exception):
    """The peer's frame is too long or too short; the link has to be closed.

    The text gives lengths in bytes and no content.
    """


class Frame(NamedTuple):
    """One frame: TPDU (5 bytes), header (6 bytes), and the message from its type on."""

    tpdu: bytes
    header: bytes
    message: bytes

    def __repr__(self) -> str:
        """Show the length only: a message holds card numbers and PIN blocks."""
        return f"Frame({len(self.message)} bytes)"


KEEP_ALIVE: Final = Frame(b"", b"", b"")
"""Stands in the list of frames where a frame of length 0 was; compare with `is`."""


class Deframer:
    """Cuts the bytes of one link into frames.

    Args:
        max_frame: Greatest length, in bytes after the length itself, that is accepted.
    """

    __slots__ = ("_fault", "_held", "_max_frame")

    def __init__(self, max_frame: int = FRAME_MAX_DEFAULT) -> None:
        self._max_frame = max_frame
        self._held = b""
        self._fault: BadFrame | None = None

    @property
    def fault(self) -> BadFrame | None:
        """The broken frame that ended this link, if one did; after it `feed` gives nothing."""
        return self._fault

    @property
    def pending(self) -> int:
        """Bytes held of a frame that is not complete; 0 between frames."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """Take what was read and return the frames that are complete now, in order.

        Returns:
            Frames, with `KEEP_ALIVE` in the place of each keep-alive. Those before a broken frame
            are returned, and `fault` is set.
        """
        frames: list[Frame] = []
        if self._fault is not None:
            return frames
        if self._held:
            data = self._held + data
        max_frame = self._max_frame
        make = tuple.__new__  # half the price of the named tuple's own constructor
        position, end = 0, len(data)
        while end - position >= LENGTH_BYTES:
            length = data[position] << 8 | data[position + 1]
            start = position + LENGTH_BYTES
            if FRAME_MIN <= length <= max_frame:
                stop = start + length
                if stop > end:
                    break
                header = start + TPDU_BYTES
                message = header + HEADER_BYTES
                parts = (data[start:header], data[header:message], data[message:stop])
                frames.append(make(Frame, parts))
                position = stop
            elif length == 0:
                frames.append(KEEP_ALIVE)
                position = start
            else:
                self._fault = BadFrame(f"frame of {length} bytes, not {FRAME_MIN} to {max_frame}")
                position = end
        self._held = data[position:]
        return frames


def frame(tpdu: bytes, header: bytes, message: bytes) -> bytes:
    """Return a whole frame, as a terminal sends it.

    Raises:
        OverflowError: Longer than two bytes of length can say.
    """
    body = tpdu + header + message
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def reply_frame(request: Frame, processing_request: int, message: bytes) -> bytes:
    """Return the whole frame that answers a request.

    The TPDU's destination and source change places, its first byte stays. The header is the
    request's but for its sixth digit. Terminals send the same of both all day long, so what answers
    them is kept.

    Args:
        request: The frame that is answered.
        processing_request: 0 none, 1 parameters waiting, 3 sign on again, 6 program update waiting,
            7 hot-card list waiting.
        message: The reply from its type on; the codec's messages are far below 4 KiB.
    """
    asked = request[0] + request[1]
    head = None if processing_request else _heads.get(asked)
    if head is None:
        first, destination, source, versions, digits, rest = _HEAD.unpack(asked)
        digits = digits & 0xF0 | processing_request
        head = _HEAD.pack(first, source, destination, versions, digits, rest)
        if not processing_request:
            if len(_heads) >= HEADS_MAX:
                _heads.clear()
            _heads[asked] = head
    length = TPDU_BYTES + HEADER_BYTES + len(message)
    return _LENGTHS[length] + head + message
