"""The process that writes the journal in the daemon's stead."""

import os
import signal
from hashlib import sha256

import pytest
from ledger_load import read_groups, stage

from ledger.book import Book, Limits
from ledger.segment import segments
from ledger.storage import MEBIBYTE, Lock, Storage
from ledger.syncer import SHARED_BYTES, Syncer

END = b"\xa5"
LIMITS = Limits(segment_bytes=MEBIBYTE)


@pytest.fixture
def syncer(tmp_path):
    lock = Lock(tmp_path / "syncer.lock")
    assert lock.take()
    made = Syncer(tmp_path / "spare", MEBIBYTE, lock.descriptor)
    lock.release()
    yield made
    made.stop()


def test_what_is_larger_than_the_shared_memory_is_written_whole(syncer, tmp_path):
    parts = [os.urandom(SHARED_BYTES - 1), os.urandom(3), os.urandom(SHARED_BYTES + 7)]
    path = tmp_path / "segment"
    descriptor = Storage().create(path)
    syncer.request(descriptor, 1, parts, 11)
    digest = sha256(b"".join(parts)).digest()
    assert syncer.result() == digest
    assert path.read_bytes() == bytes(11) + b"".join(parts) + digest + END


def test_another_segment_is_written_once_its_descriptor_was_handed_over(syncer, tmp_path):
    for number in (1, 2):
        descriptor = Storage().create(tmp_path / str(number))
        for offset in (0, 40):
            syncer.request(descriptor, number, [b"%d%d" % (number, offset)], offset)
            syncer.result()
        os.close(descriptor)
    for number in (b"1", b"2"):
        first, second = number + b"0", number + b"40"
        written = first + sha256(first).digest() + END
        written = written.ljust(40, b"\0") + second + sha256(second).digest() + END
        assert (tmp_path / number.decode()).read_bytes() == written


def test_a_write_that_fails_is_told_with_its_reason(syncer, tmp_path):
    path = tmp_path / "segment"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    syncer.request(descriptor, 1, [b"group"], 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        syncer.result()


def test_the_next_segment_is_ready_when_it_is_asked_for(syncer, tmp_path):
    assert syncer.take(2 * MEBIBYTE) == tmp_path / "spare"
    assert (tmp_path / "spare").read_bytes() == bytes(2 * MEBIBYTE)


def test_a_process_that_is_gone_is_told(syncer, tmp_path):
    descriptor = Storage().create(tmp_path / "segment")
    os.kill(syncer.process_id, signal.SIGKILL)

    def ask():
        syncer.request(descriptor, 1, [b"group"], 0)
        syncer.result()

    with pytest.raises(OSError):  # noqa: PT011 - refused when asked, or never answered
        ask()


def test_its_lock_is_held_until_the_process_is_gone(syncer, tmp_path):
    lock = Lock(tmp_path / "syncer.lock")
    assert not lock.take()
    syncer.stop()
    assert lock.take()
    lock.release()


def test_a_book_goes_on_by_itself_after_its_syncer_has_left(folder):
    book = Book.open(folder, follower=False, limits=LIMITS)
    syncer = book.start_syncer()
    for value in range(3):
        stage(book, {"a": value})
        group = book.seal()
        book.write_begin(group)
        book.write_end(group)
        book.settle(group)
    assert syncer.process_id
    book.stop_syncer()
    stage(book, {"a": 4})
    book.close()
    assert [group.count for group in read_groups(folder)] == [1, 1, 1, 1]
    assert len(segments(folder)) == 1
