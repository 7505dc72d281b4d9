"""Each scenario of the texts beside this file, and a proof that no reason of decline is missing."""

import re
from pathlib import Path

import pytest

from engine.catalogue import RULES
from engine.reasons import Reason
from tests.scenarios.stage import Stage, scenarios

HERE = Path(__file__).parent
ENGINE = Path(__file__).parents[2] / "engine"
SCENARIOS = scenarios(HERE)


@pytest.mark.parametrize(
    "lines", [lines for _, lines in SCENARIOS], ids=[title for title, _ in SCENARIOS]
)
def test_scenario(lines):
    Stage().play(lines)


def given_by_rules() -> set[str]:
    """The names of all reasons that the machine, a draft or a rule may give."""
    whole = {"commands.py", "reasons.py", "submit.py"}  # not what decides
    sources = [path for path in ENGINE.rglob("*.py") if path.name not in whole]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    return set(re.findall(r"Reason\.([A-Z_]+)", text))


def test_every_reason_that_a_rule_can_give_has_a_scenario():
    told = {
        found.group(1)
        for _, lines in SCENARIOS
        for line in lines
        if (found := re.match(r"\s+declined(?: again)? ([A-Z_]+)", line))
    }
    told |= {Reason.UNCHANGED.name for _, lines in SCENARIOS if "    unchanged" in lines}
    missing = given_by_rules() - told - {Reason.APPROVED.name}
    assert not missing, f"reasons without a scenario: {sorted(missing)}"


def test_every_command_of_the_catalogue_has_a_scenario():
    played = set()
    for _, lines in SCENARIOS:
        stage = Stage()
        stage.play(lines)
        played |= {stage.book.entry(n).kind for n in range(1, stage.book.sequence + 1)}
    assert played == {rule.kind for rule in RULES}


def test_a_scenario_that_is_wrong_fails():
    lines = next(lines for title, lines in SCENARIOS if title == "accrual: a sale earns points")
    spoilt = [re.sub(r"\+123$", "+124", line) for line in lines]
    assert spoilt != lines
    with pytest.raises(AssertionError):
        Stage().play(spoilt)
