"""`counterfoil archive`: what is not cleared, verified and backed up is not pruned."""

import json

import pytest

from tests.tools.conftest import MEMBER, must, run, write_lines


def told(*arguments):
    return json.loads(must(*arguments, "--json"))


@pytest.fixture
def closed(loaded, tmp_path):
    """A directory with several segments, whose first date is released."""
    day = str(told("cutoff", loaded)["closed"])
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    config = loaded / "counterfoil.toml"
    config.write_text(
        config.read_text().replace(
            "[clearing]",
            '[clearing]\noperator = "A"\naccount_name = "A"\naccount_number = "1"\nbank_code = "B"',
        )
    )
    must("clear", loaded, "--date", date, "--out", tmp_path / "out")
    for number in range(2, 6):
        member = MEMBER | {"id": f"M000000{number}", "cards": [], "phone": f"1380000000{number}"}
        must("load", loaded, write_lines(tmp_path / "more.jsonl", [member]))
    return loaded, date


def test_pruning_waits_for_clearing_verification_and_backup(closed, tmp_path):
    loaded, date = closed
    before = told("verify", loaded)
    options = ("archive", loaded, "--prune-before", "2999-01-01")
    must("clear", "release", loaded, "--date", date)
    first = told(*options, "--dry-run")
    assert first["removed"] == []
    assert first["bounds"]["backed up"] == 0
    must("backup", loaded, tmp_path / "full")
    must("verify", loaded)
    dry = told(*options, "--dry-run")
    assert min(dry["bounds"].values()) == dry["bounds"]["released"] > 0
    assert dry["removed"]
    assert told(*options)["removed"] == dry["removed"]
    after = told("verify", loaded)
    assert after["ok"]
    assert after["sequence"] > before["sequence"]
    states = {check["name"]: check["state"] for check in after["checks"]}
    assert states["tables rebuilt from the journal"] == "reported"
    # What the tables hold is still shown; what needs the whole journal says why it cannot.
    must("show", loaded, "transaction", 1)
    done = run("replay", loaded, "--into", tmp_path / "again")
    assert done.exit_code == 1
    assert "the journal begins with entry" in done.stderr
    must("backup", loaded, tmp_path / "pruned")
    must("restore", tmp_path / "pruned", tmp_path / "there")
    assert told("verify", tmp_path / "there")["digest"] == after["digest"]


def test_without_a_date_segments_are_only_compressed(closed):
    loaded, _ = closed
    done = told("archive", loaded)
    assert done["packed"]
    assert done["removed"] == []
    assert told("verify", loaded)["ok"]
    assert "0 segments compressed" in must("archive", loaded)
