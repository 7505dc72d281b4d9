"""The group pipeline: what waits for the disk, and when new work is refused."""

import asyncio
from types import SimpleNamespace

import pytest

from engine.machine import Machine
from engine.rules.reference import PutInstitution
from ledger.book import Book, Limits
from posd import pipeline as module
from posd.link import Limits as LinkLimits
from posd.link import Link, Links
from posd.metrics import Meter
from posd.pipeline import Pipeline
from tests.posd.conversation import Conversation

HOUR = 3_600_000


class Clocks:
    """Wall and monotonic clock of the pipeline, in ms."""

    def __init__(self, monkeypatch):
        self.wall, self.monotonic = 1_772_000_000_000, 9_000_000
        for place in ("posd.pipeline", "posd.link", "posd.control"):
            monkeypatch.setattr(f"{place}.wall_ms", lambda: self.wall)
            monkeypatch.setattr(f"{place}.monotonic_ms", lambda: self.monotonic)

    def pass_time(self, ms):
        self.wall += ms
        self.monotonic += ms


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def run(folder, scene):
    """Play a scene on a pipeline over a book on disk."""

    async def played():
        Book.create(folder)
        book = Book.open(folder, follower=False, limits=Limits(segment_bytes_alone=1 << 16))
        pipeline = Pipeline(asyncio.get_running_loop(), book, Machine(book), Meter())
        try:
            await scene(pipeline)
            await pipeline.drained()
        finally:
            pipeline.stop()
            book.close()

    asyncio.run(played())


def put(pipeline, number):
    return pipeline.execute(PutInstitution(f"I{number:03d}", "name"), ("clerk", "root")).sequence


def test_nobody_is_told_before_the_journal_is_durable(tmp_path):
    async def scene(pipeline):
        told = []

        def tell(sequence):
            assert pipeline.book.durable >= sequence
            told.append(sequence)

        for number in range(3):
            sequence = put(pipeline, number)
            pipeline.when_durable(sequence, lambda sequence=sequence: tell(sequence))
        assert told == []
        pipeline.seal()
        later = put(pipeline, 3)
        pipeline.when_durable(2, lambda: tell(2))
        pipeline.when_durable(later, lambda: tell(later))
        assert told == []
        await pipeline.drained()
        assert told == [1, 2, 3, 2, 4]
        pipeline.when_durable(4, lambda: told.append("at once"))
        assert told[-1] == "at once"
        assert pipeline.book.stats.groups == 2

    run(tmp_path / "book", scene)


def test_what_was_drained_is_there_after_a_restart(tmp_path):
    async def scene(pipeline):
        for number in range(50):
            put(pipeline, number)

    run(tmp_path / "book", scene)
    book = Book.open(tmp_path / "book", follower=False)
    assert book.durable == 50
    book.close()


def calm(**said):
    """A pipeline without a disk."""
    made = object.__new__(Pipeline)
    made.book = SimpleNamespace(
        **({"overlay_full": False, "disk_low": False, "last_at": 0, "pending": False} | said),
        refresh=lambda *_: None,
        keep_companions_off=lambda **said: made.kept_off.append(said["off"]),
    )
    made.kept_off, made.pace = [], SimpleNamespace(share=0.0)
    made.draining = made.clock_suspect = made.shut = made._sealing = False
    made._open_waiters, made._flight_last = [], 0
    made._clock_offset = module.wall_ms() - module.monotonic_ms()
    return made


def test_companions_keep_off_while_the_loop_has_no_time_to_spare(clocks):
    pipeline = calm()
    for share in (0.5, 0.99, 0.6):
        pipeline.pace.share = share
        clocks.pass_time(1000)
        pipeline.tick()
    assert pipeline.kept_off == [False, True, False]


@pytest.mark.parametrize("jump", [60_001, -60_001, 24 * HOUR])
def test_a_jump_of_the_clock_refuses_until_an_operator_confirms(clocks, jump):
    pipeline = calm()
    clocks.pass_time(24 * HOUR)
    pipeline.tick()
    assert not pipeline.shut
    clocks.wall += jump
    pipeline.tick()
    assert pipeline.shut
    (why,) = pipeline.why_shut()
    assert "confirm" in why
    clocks.wall -= jump
    pipeline.tick()
    assert pipeline.shut
    pipeline.confirm_clock()
    assert not pipeline.shut
    assert pipeline.why_shut() == []


def test_a_minute_is_no_jump(clocks):
    pipeline = calm()
    clocks.wall += 60_000
    pipeline.tick()
    assert not pipeline.shut


@pytest.mark.parametrize(
    ("ahead", "suspect"),
    [(12 * HOUR, False), (12 * HOUR + 1, True), (-60_000, False), (-60_001, True), (None, False)],
)
def test_a_start_far_from_the_last_entry_is_suspect(clocks, ahead, suspect):
    pipeline = calm(last_at=0 if ahead is None else clocks.wall - ahead)
    pipeline.check_start()
    assert pipeline.shut == suspect


@pytest.mark.parametrize("reason", ["overlay_full", "disk_low", "draining", "waiting"])
def test_each_reason_refuses_by_itself_and_ends_with_its_cause(clocks, reason):
    pipeline = calm()

    def hold(held):
        if reason == "draining":
            pipeline.draining = held
        elif reason == "waiting":
            pipeline._open_waiters = [None] * (module.WAITING_MAX + 1) if held else []
        else:
            setattr(pipeline.book, reason, held)
        pipeline.judge()

    hold(True)
    assert pipeline.shut
    assert len(pipeline.why_shut()) == 1
    hold(False)
    assert not pipeline.shut
    assert clocks.wall


def test_a_message_after_a_jump_is_refused_before_any_tick(clocks):
    talk = Conversation()
    talk.sign_on()
    pipeline = calm()
    pipeline.seal = lambda: None
    pipeline.soon = [].append
    talk.host.gate = pipeline
    links = Links(talk.host, pipeline, talk.meter, LinkLimits())
    message = talk.build("0200 3=220065 2={card} 4=000000010000 49=156".format(**talk.words))
    before = talk.book.sequence
    clocks.wall += 24 * HOUR
    links.arrived(Link(links), talk.session, talk.session.take(message))
    links.handle_now()
    (reply,) = talk.session.collect()
    assert talk.codec.decode(reply.data[13:]).fields[39] == "91"
    assert talk.book.sequence == before
