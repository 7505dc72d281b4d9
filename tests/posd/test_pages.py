"""The metrics address: what its pages say, and that no peer there can keep or harm the daemon."""

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from itertools import islice

import pytest
import uvloop

from posd import pages
from posd.pages import CONNECTIONS_MAX, REQUEST_BYTES_MAX, Pages

SHUT = ["the daemon is shutting down"]
SCRAPE = b"GET /metrics HTTP/1.1\r\n\r\n"


def run(conversation):
    """Run it on the daemon's kind of loop, where nothing may go wrong unseen."""
    wrong = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: wrong.append(context))
        told = runner.run(conversation)
    assert wrong == []
    return told


def page(path, why=(), **options):
    return run(Pages(bytes, lambda: list(why)).page(path, **options))


def test_readiness_is_refused_with_the_reason():
    assert page(b"/healthz", ["x"])[0] == b"200 OK"
    assert page(b"/readyz")[0] == b"200 OK"
    status, _, body = page(b"/readyz", SHUT)
    assert (status, body) == (b"503 Service Unavailable", b"the daemon is shutting down\n")
    assert page(b"/elsewhere")[0] == b"404 Not Found"


def test_health_is_told_as_data_where_that_is_asked_for():
    told = [json.loads(page(b"/readyz", one, as_json=True)[2]) for one in ([], SHUT)]
    assert told == [{"ready": True, "reasons": []}, {"ready": False, "reasons": SHUT}]


# Peers.


@asynccontextmanager
async def served(metrics=lambda: b"up 1\n"):
    """Pages on a free port, and their address."""
    made = Pages(metrics, list)
    server = await made.listen("127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()
    finally:
        server.close()
        await server.wait_closed()


async def asked(address, request):
    """All that one connection is told."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n", b"200 OK"),
        (SCRAPE, b"200 OK"),
        (b"nonsense\r\n\r\n", b"404 Not Found"),
        (b"\x16\x03\x01\x00\xff \x00\xfe\r\n\r\n", b"404 Not Found"),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", b"404 Not Found"),
    ],
)
def test_a_question_is_answered_and_the_connection_closed(request_head, status):
    async def ask():
        async with served() as (_, address):
            return await asked(address, request_head)

    assert run(ask()).startswith(b"HTTP/1.1 " + status)


def test_a_question_without_an_end_is_not_read_for_ever():
    async def ask():
        async with served() as (made, address):
            told = await asked(address, b"GET /" + b"a" * 50 * REQUEST_BYTES_MAX)
            return told, made.connections

    assert run(ask()) == (b"", 0)


def test_one_who_says_nothing_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(pages, "SECONDS_MAX", 0.01)

    async def ask():
        async with served() as (made, address):
            return await asked(address, b"GET /met"), made.connections

    assert run(ask()) == (b"", 0)


def test_one_who_does_not_read_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(pages, "SECONDS_MAX", 0.01)

    async def ask():
        scraped = asyncio.Event()

        def much():
            scraped.set()
            return bytes(64 << 20)

        async with served(much) as (made, address):
            _, writer = await asyncio.open_connection(*address, limit=1)
            writer.write(SCRAPE)
            await scraped.wait()
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
            writer.transport.abort()
            return made.connections

    assert run(ask()) == 0


def test_many_silent_peers_keep_nobody_out():
    async def ask():
        async with served() as (made, address):
            silent = [await asyncio.open_connection(*address) for _ in range(3 * CONNECTIONS_MAX)]
            told = await asked(address, SCRAPE)
            most = made.connections
            for _, writer in silent:
                writer.transport.abort()
            return told, most

    told, most = run(ask())
    assert told.endswith(b"up 1\n")
    assert 0 < most <= CONNECTIONS_MAX


def test_those_who_had_to_go_while_they_waited_for_a_scrape_are_forgotten():
    async def ask():
        async with served() as (made, address):
            async with made._scraping:
                crowd = [
                    asyncio.ensure_future(asked(address, SCRAPE))
                    for _ in range(2 * CONNECTIONS_MAX)
                ]
                for one in islice(asyncio.as_completed(crowd), CONNECTIONS_MAX):
                    assert await one == b""
            told = await asyncio.gather(*crowd)
            return Counter(one[-5:] for one in told), made.connections

    half = CONNECTIONS_MAX
    assert run(ask()) == ({b"": half, b"up 1\n": half}, 0)


def test_scrapes_one_behind_the_other_leave_the_loop_to_terminals(monkeypatch):
    clock = [0.0]
    rested = []
    durations = [0.01, 0.01, 0.5, 0.01, 0.01]

    def scrape():
        clock[0] += durations.pop(0)
        return b""

    async def rest(seconds):
        rested.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(pages.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(pages.asyncio, "sleep", rest)

    async def ask():
        made = Pages(scrape, list)
        for _ in range(4):
            await made.page(b"/metrics")
        clock[0] += 60
        await made.page(b"/metrics")

    run(ask())
    assert rested == pytest.approx([0.01 * pages.RESTS] * 2 + [pages.REST_SECONDS_MAX])
