"""Each scenario of the texts beside this file, and a proof that no reason of decline is missing."""

import re
from pathlib import Path

import pytest

from clearing.netting import DoesNotHold
from engine.catalogue import RULES
from engine.reasons import Reason
from tests.clearing.whole_books import clear_every_date, compare_with_beancount
from tests.engine.house import CLERK
from tests.scenarios.accounting import ROWS
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


@pytest.fixture(scope="module")
def stages():
    """Every scenario's title and its stage, played to the end."""
    found = []
    for title, lines in SCENARIOS:
        stage = Stage()
        stage.play(lines)
        found.append((title, stage))
    return found


@pytest.fixture(scope="module")
def played(stages):
    """Every entry of every scenario."""
    return [stage.book.entry(n) for _, stage in stages for n in range(1, stage.book.sequence + 1)]


def test_every_row_of_the_accounting_rules_has_a_scenario_that_says_its_legs(stages):
    said = [(title, stage.book.entry(n)) for title, stage in stages for n in stage.told]
    missing = [
        row.event
        for row in ROWS
        if not any(row.is_shown_by(title, entry.kind, entry.postings) for title, entry in said)
    ]
    assert not missing


def test_every_command_of_the_catalogue_has_a_scenario(played):
    assert {entry.kind for entry in played} == {rule.kind for rule in RULES}


def test_every_date_of_every_scenario_is_cleared_to_what_the_ledger_holds(stages):
    for title, stage in stages:
        try:
            clear_every_date(stage.book.view, stage.book.sequence)
        except (AssertionError, DoesNotHold) as error:
            raise AssertionError(title) from error


def test_beancount_has_the_balances_of_every_scenario(stages):
    for title, stage in stages:
        try:
            compare_with_beancount(stage.book.view, stage.book.sequence)
        except AssertionError as error:
            raise AssertionError(title) from error


def test_every_command_of_administration_says_who_gave_it_and_requests_do_not(played):
    given = {entry.kind for entry in played if entry.trail}
    assert {entry.trail[:2] for entry in played} == {CLERK, ()}
    by_the_machine = {"transfer back", "reward other"}
    assert given == {rule.kind for rule in RULES if rule.identity == "none"} - by_the_machine


def test_no_trail_has_bytes_in_it(played):
    def plain(value):
        if isinstance(value, tuple):
            return all(map(plain, value))
        return value is None or type(value) in {str, int, bool}

    fields = [
        field for entry in played if entry.trail for _, told in entry.trail[2] for field in told
    ]
    assert len({name for name, _, _ in fields}) > 20
    assert all(map(plain, fields))


def test_a_scenario_that_is_wrong_fails():
    lines = next(lines for title, lines in SCENARIOS if title == "accrual: a sale earns points")
    spoilt = [re.sub(r"\+123$", "+124", line) for line in lines]
    assert spoilt != lines
    with pytest.raises(AssertionError):
        Stage().play(spoilt)
