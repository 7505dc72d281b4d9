"""Output files that nobody else may read: what is there already is never removed."""

import os

import pytest

from clearing.console import Refusal
from tools.private_files import private_file


def refused(path):
    with pytest.raises(Refusal, match="is there and not a file of mode 0600"), private_file(path):
        pass


def broken_off(path, data):
    """Open it, write, and fail."""
    with private_file(path) as file:
        file.write(data)
        raise KeyError


def test_a_file_that_is_refused_stays_where_it_is(tmp_path):
    empty, pipe = tmp_path / "empty", tmp_path / "pipe"
    empty.touch(0o644)
    os.mkfifo(pipe, 0o600)
    refused(empty)
    refused(pipe)
    assert sorted(tmp_path.iterdir()) == [empty, pipe]


def test_a_file_is_removed_only_if_it_was_made_and_holds_nothing(tmp_path):
    before = tmp_path / "before"
    before.touch(0o600)
    for name, data in (("before", b""), ("made", b""), ("written", b"1")):
        with pytest.raises(KeyError):
            broken_off(tmp_path / name, data)
    assert sorted(tmp_path.iterdir()) == [before, tmp_path / "written"]
