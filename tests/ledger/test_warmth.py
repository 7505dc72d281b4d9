"""Pages of a file that the system took back, and who asks for them again."""

import os
import time

import pytest

from ledger import warmth
from ledger.warmth import Warmth

SIZE = 3 << 20


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "data.mdb"
    with made.open("wb") as file:
        file.write(os.urandom(SIZE))
        file.flush()
        os.fsync(file.fileno())
    return made


def take_back(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def missing(path):
    with path.open("rb") as file:
        return Warmth(path)._resident(file.fileno(), 0, SIZE).count(0)


def until_there(path):
    deadline = time.monotonic() + 30
    while missing(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not missing(path)


def test_pages_that_were_taken_back_are_there_again(path):
    take_back(path)
    asked = Warmth(path).step()
    assert asked >= missing(path) * 4096
    assert until_there(path)


def test_a_file_that_is_there_is_not_asked_for_and_left_alone_for_a_while(path):
    path.read_bytes()
    kept = Warmth(path)
    assert kept.step() == 0
    take_back(path)
    assert kept.step() == 0


def test_a_large_file_is_gone_through_in_pieces(path, monkeypatch):
    monkeypatch.setattr(warmth, "PIECE_BYTES", 1 << 20)
    monkeypatch.setattr(warmth, "ASKED_BYTES", 256 << 10)
    monkeypatch.setattr(warmth, "PAUSE_SECONDS", 0.0)
    kept = Warmth(path)
    take_back(path)
    gone = missing(path) * 4096
    asked = [kept.step() for _ in range(3)]  # the first time a whole piece a step
    assert gone <= sum(asked) <= SIZE
    assert until_there(path)
    take_back(path)
    asked = [kept.step() for _ in range(40)]
    assert max(asked) <= 256 << 10
    assert until_there(path)


def test_a_file_beyond_the_memory_is_left_alone(path, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: 100)
    take_back(path)
    assert Warmth(path).step() == 0


def test_a_book_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(OSError, match=r"data\.mdb"):
        Warmth(tmp_path / "data.mdb").step()
