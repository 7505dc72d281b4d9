"""Yardstick: the rate at which a bare uvloop server can exchange frames on this machine.

The server does nothing but what every server of length-prefixed frames must: it cuts its
input into frames and writes one reply of a fixed size for each, all replies to one read in one
write. It runs in a process of its own; the load client (`benchmarks.load`) runs in the
caller's. The daemon's rate divided by this one tells what its work costs beyond the sockets.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from benchmarks.load import Load


class Shape(NamedTuple):
    """How many connections a load uses and how many requests each keeps in flight."""

    connections: int
    depth: int


SHAPES = {
    "single": Shape(connections=64, depth=1),  # terminals on links of their own
    "pipelined": Shape(connections=8, depth=64),  # network access controllers
}
ROOT = Path(__file__).resolve().parent.parent


class Echo(asyncio.Protocol):
    """Answers each frame with the same reply."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for writing."""
        self.transport = cast("asyncio.Transport", transport)  # create_server makes no other

    def data_received(self, data: bytes) -> None:
        """Count the whole frames in what has come, answer them in one write."""
        if self.rest:
            data = self.rest + data
        end = len(data)
        count = at = 0
        while at + 2 <= end:
            following = at + 2 + (data[at] << 8 | data[at + 1])
            if following > end:
                break
            count += 1
            at = following
        self.rest = data[at:]
        if count:
            self.transport.write(self.reply * count)


@contextlib.contextmanager
def serving(reply_size: int) -> Iterator[tuple[str, int]]:
    """Run the echo server in a process of its own; yield its address; stop it at the end.

    Args:
        reply_size: bytes of a reply frame after its length prefix.

    Raises:
        RuntimeError: the server did not start.
    """
    command = [sys.executable, "-m", "benchmarks.echo", "--serve", "--reply-size", str(reply_size)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None  # noqa: S101 - both are pipes, as asked above
        assert process.stdout is not None  # noqa: S101
        try:
            port = process.stdout.readline()
            if not port:
                raise RuntimeError("the echo server did not start")
            yield "127.0.0.1", int(port)
        finally:
            process.stdin.close()  # the server lives as long as its standard input


def measure(
    shape: str, request: bytes, reply_size: int, seconds: float = 5.0
) -> dict[str, float | int]:
    """Measure the echo rate of one frame.

    Args:
        shape: a key of `SHAPES`.
        request: a whole request frame, length prefix included.
        reply_size: bytes of a reply frame after its length prefix.
        seconds: length of the measured window, after half a second of warm-up.

    Returns:
        `rate` in frames a second, and the other figures of `load.Report.summary`.
    """
    connections, depth = SHAPES[shape]
    with serving(reply_size) as address:
        load = Load(address, [repeat(request)] * connections, warm_up_s=0.5)
        report = load.closed_loop(depth, seconds)
    return report.summary()


async def _serve(reply_size: int) -> None:
    """Listen on a free port, print it, serve until standard input ends."""
    reply = reply_size.to_bytes(2, "big") + bytes(reply_size)
    loop = asyncio.get_running_loop()
    orphaned = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), orphaned.set)
    server = await loop.create_server(lambda: Echo(reply), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await orphaned.wait()
    server.close()


def main() -> None:
    """Print the echo rate of both shapes, or be the server that `serving` starts."""
    parser = argparse.ArgumentParser(description="bare uvloop echo of frames")
    parser.add_argument("--request-size", type=int, default=120)
    parser.add_argument("--reply-size", type=int, default=140)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true", help="be the server, on a free port")
    options = parser.parse_args()
    if options.serve:
        uvloop.run(_serve(options.reply_size))
        return
    request = options.request_size.to_bytes(2, "big") + bytes(options.request_size)
    for shape in SHAPES:
        figures = measure(shape, request, options.reply_size, options.seconds)
        print(shape, json.dumps(figures))


if __name__ == "__main__":
    main()
