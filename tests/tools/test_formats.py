"""A data directory says its format: kept old ones are opened and go on, newer ones are refused.

``tests/data/format-N.zip`` holds `data` and `data.key`: one of each line of `load` in this
folder's conftest, and one cut-off. A directory of a released format is never replaced by another.
"""

import zipfile
from pathlib import Path

import pytest

from ledger.format import FORMAT
from tests.tools.conftest import CARD, LINES, close_date, must, run, write_lines

KEPT = Path(__file__).resolve().parents[1] / "data"
DIGESTS = {1: (11, "220bb2e511605e9994022e467a1a75a891a1b23aea24a21c37299e55b759426d")}


@pytest.fixture(params=DIGESTS)
def kept(request, tmp_path):
    with zipfile.ZipFile(KEPT / f"format-{request.param}.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "data.key").chmod(0o600)
    return tmp_path / "data", DIGESTS[request.param]


def test_there_is_a_kept_directory_of_every_format():
    assert sorted(DIGESTS) == list(range(1, FORMAT + 1))


def test_a_kept_directory_is_read_and_written_on(kept):
    directory, (sequence, digest) = kept
    assert must("verify", directory).splitlines()[-2:] == [
        f"sequence {sequence}",
        f"digest {digest}",
    ]
    assert "5000" in must("show", directory, "member", CARD)
    lines = write_lines(directory.parent / "lines.jsonl", LINES)
    assert f"unchanged {len(LINES)}" in must("load", directory, lines)
    close_date(directory)
    must("verify", directory)
    again = must("replay", directory, "--into", directory.parent / "again")
    assert must("verify", directory).splitlines()[-1] in again


def test_a_directory_without_the_file_is_of_the_first_format(kept):
    directory, _ = kept
    (directory / "format").unlink()
    must("verify", directory)


@pytest.mark.parametrize("text", ["2", "999", "0", "new"])
def test_a_newer_format_is_refused_before_anything_is_touched(kept, text):
    directory, _ = kept
    (directory / "format").write_text(f"{text}\n")
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    told = "does not hold a number" if text == "new" else f"has data format {text}"
    for words in (
        ("verify", directory),
        ("show", directory, "member", CARD),
        ("cutoff", directory),
        ("tail", directory),
        ("backup", directory, directory.parent / "backup"),
        ("serve", directory, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"),
    ):
        done = run(*words)
        assert done.exit_code == 1, words
        assert told in done.stderr, words
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
