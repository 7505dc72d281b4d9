"""Whatever a day holds, its set is written, is good, and says what the day says."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import sample_day
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing import model
from clearing.files import details
from clearing.files.writing import write_set
from clearing.validate import validate

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
CODES = sorted(model.HEADING)


@st.composite
def lines_of(draw, party):
    """Lines of a party with any legs, points and texts."""
    made, sequence = [], 0
    for _ in range(draw(st.integers(0, 4))):
        sequence += draw(st.integers(1, 10**14))
        codes = draw(st.lists(st.sampled_from(CODES), max_size=model.LEGS_MAX, unique=True))
        money = [(code, draw(st.integers(-(10**11), 10**11))) for code in sorted(codes)]
        made.append(
            sample_day.line(
                party,
                sequence,
                rrn=f"{sequence % 10**12:012d}",
                merchant=draw(st.sampled_from(["", "104110045110012"])),
                unit=draw(st.sampled_from(["P01", "P99", "156"])),
                points=draw(st.integers(-(10**12), 10**12)),
                sale=draw(st.integers(0, 10**12)),
                money=tuple(money),
                member=draw(st.text(max_size=30)),
                original=draw(st.integers(0, 10**15 - 1)),
                text=draw(st.text(max_size=50)),
            )
        )
    return tuple(made)


@st.composite
def days(draw):
    """A day and its lines."""
    ids = sorted(draw(st.sets(IDS, max_size=4)))
    lines, parties = [], []
    for party in ids:
        own = draw(lines_of(party))
        account = draw(st.sampled_from(["", "6217000000000000001"]))
        lines.append(own)
        parties.append(
            sample_day.fold(
                party,
                own,
                carried_in=draw(st.integers(-(10**6), 0)),
                name=draw(st.text(max_size=80)),
                kind=draw(st.sampled_from(model.KINDS)),
                account_name=draw(st.text(max_size=200)),
                account_number=account,
            )
        )
    return sample_day.day_of(parties), sample_day.Kept(tuple(lines))


@given(days(), st.sampled_from(details.ENCODINGS))
@settings(max_examples=15, deadline=None)
def test_the_set_of_any_day_is_good(made, encoding):
    day, kept = made
    with tempfile.TemporaryDirectory() as folder:
        write_set(day, kept, Path(folder) / "set", workers=0, encoding=encoding)
        assert validate(Path(folder) / "set") == []


def logical(day, kept, folder):
    write_set(day, kept, folder, workers=0)
    return json.loads((folder / "manifest.json").read_bytes())["logical"]


def test_the_logical_digest_knows_the_content_and_not_the_version(tmp_path):
    day, kept = sample_day.small()
    first = logical(day, kept, tmp_path / "first")
    assert logical(replace(day, version="9.9"), kept, tmp_path / "newer") == first
    other = [*kept.of]
    other[0] = (replace(other[0][0], sale=1), *other[0][1:])
    assert logical(day, sample_day.Kept(tuple(other)), tmp_path / "line") != first
    parties = (replace(day.parties[0], name="Another"), *day.parties[1:])
    assert logical(replace(day, parties=parties), kept, tmp_path / "party") != first
