"""The metrics address: a few pages over HTTP, for whoever watches the daemon.

It has no password, so what a peer can do to the daemon there is bounded: `CONNECTIONS_MAX` at a
time, of which the oldest has to go for one more; `SECONDS_MAX` for question and answer; a question
of `REQUEST_BYTES_MAX`; and after a scrape, whose work the loop does for no terminal meanwhile, the
next one waits `RESTS` times as long as it took.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final, cast

CONNECTIONS_MAX: Final = 32
"""Connections at a time."""
SECONDS_MAX: Final = 5.0
"""From a connection to the end of its answer."""
REQUEST_BYTES_MAX: Final = 8192
"""Longest head of a request."""
RESTS: Final = 10
"""Between scrapes so many times what the last one took is left to terminals."""
REST_SECONDS_MAX: Final = 1.0
"""But no more, so that on a machine that is short of everything a scrape still comes in time."""

Page = tuple[bytes, bytes, bytes]
"""Status line, content type and body."""


class Pages:
    """Answers `/metrics`, `/healthz` and `/readyz`, one request a connection.

    Args:
        metrics: makes the text of a scrape.
        why_shut: why new work is not taken, a sentence each.
    """

    def __init__(self, metrics: Callable[[], bytes], why_shut: Callable[[], list[str]]) -> None:
        self._metrics = metrics
        self._why_shut = why_shut
        self._open: dict[asyncio.Task[None], None] = {}
        self._scraping = asyncio.Lock()
        self._rest_until = 0.0

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._open)

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Take connections.

        Raises:
            OSError: the address cannot be bound.
        """
        return await asyncio.start_server(self._serve, host, port, limit=REQUEST_BYTES_MAX)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, and be rid of it in time, whatever its peer does."""
        if len(self._open) >= CONNECTIONS_MAX:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._open[task] = None
        try:
            async with asyncio.timeout(SECONDS_MAX):
                request = await reader.readuntil(b"\r\n\r\n")
                parts = request.split(b" ", 2)
                path, _, query = (parts[1] if len(parts) > 1 else b"").partition(b"?")
                status, kind, body = await self.page(path, as_json=query == b"format=json")
                if writer.is_closing():
                    return  # it went while it waited for its scrape
                head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
                writer.write(head % (status, kind, len(body)))
                writer.write(b"Connection: close\r\n\r\n" + body)
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            self._open.pop(task, None)
            writer.transport.abort()  # what was not read of the answer is let go

    async def page(self, path: bytes, *, as_json: bool = False) -> Page:
        """A page by its path."""
        if path == b"/metrics":
            kind = b"text/plain; version=0.0.4; charset=utf-8"
            return b"200 OK", kind, await self._scrape()
        if path == b"/healthz":
            return _health([], "alive", as_json=as_json)
        if path == b"/readyz":
            return _health(self._why_shut(), "ready", as_json=as_json)
        known = b"there is /metrics, /healthz and /readyz\n"
        return b"404 Not Found", b"text/plain; charset=utf-8", known

    async def _scrape(self) -> bytes:
        """The metrics, when it is their turn."""
        async with self._scraping:
            begun = time.monotonic()
            if begun < self._rest_until:
                await asyncio.sleep(self._rest_until - begun)
                begun = time.monotonic()
            text = self._metrics()
            ended = time.monotonic()
            self._rest_until = ended + min(RESTS * (ended - begun), REST_SECONDS_MAX)
            return text


def _health(why: list[str], well: str, *, as_json: bool) -> Page:
    """A page of health: `well`, or why not, a line each."""
    status = b"503 Service Unavailable" if why else b"200 OK"
    if as_json:
        body = json.dumps({well: not why, "reasons": why}) + "\n"
        return status, b"application/json", body.encode()
    text = "\n".join(why or [well]) + "\n"
    return status, b"text/plain; charset=utf-8", text.encode()
