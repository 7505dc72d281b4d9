"""Lines go in by the journal's order and come out by party."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from clearing.model import Line
from clearing.spool import LineWriter, SpooledLines


def line(party, sequence):
    head = (party, sequence, "", 20260301090000, 20260301, party, "00000001", 1, 2, "pos")
    return (*head, "accrual", "P01", 5, 500, (("10", -5),), "", 0, "")


@given(
    st.lists(st.sampled_from("ABCDEFGH"), max_size=200),
    st.integers(1, 40),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_any_range_of_parties_gets_its_lines_in_order(tmp_path_factory, parties, run, one, other):
    folder = tmp_path_factory.mktemp("spool")
    rows = [line(party, number) for number, party in enumerate(parties, 1)]
    half = len(rows) // 2
    for name, some in (("0", rows[:half]), ("1", rows[half:])):
        writer = LineWriter(folder, name, run_lines=run)
        for row in some:
            writer.add(row)
        writer.close()
    first, end = sorted((one, other))
    source = pickle.loads(pickle.dumps(SpooledLines(folder, tuple("ABCDEFGH"))))  # noqa: S301
    found = list(source.lines(first, end))
    wanted = sorted((row for row in rows if row[0] in "ABCDEFGH"[first:end]), key=lambda r: r[:2])
    assert found == [Line(*row) for row in wanted]
