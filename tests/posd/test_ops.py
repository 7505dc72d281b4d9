"""Dashboard and alert rules: what they name exists, and each rule fires when it should."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

from posd.metrics import Exposition, Meter
from posd.responses import FAULTS, RESPONSES
from tests.posd.test_metrics import PAGE, observed
from tests.prometheus_package import program

OPS = Path(__file__).parents[2] / "posd" / "ops"
RULES = (OPS / "alerts.yml").read_text(encoding="utf-8")
TESTS = (OPS / "alerts_test.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((OPS / "dashboard.json").read_text(encoding="utf-8"))
NAME = re.compile(r"\b((?:counterfoil|process|python)_[a-z0-9_]+|counterfoil:[a-z0-9_:]+)")


def expressions():
    """All PromQL of the rules and the dashboard."""
    found = [
        line
        for line in re.sub(
            r"annotations:.*?(?=- alert|- record|\Z)", "", RULES, flags=re.DOTALL
        ).splitlines()
        if not line.lstrip().startswith("#")
    ]
    for panel in DASHBOARD["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return "\n".join(found)


@pytest.fixture
def exported(tmp_path):
    """Names of all samples that the daemon tells, and bounds of its histograms."""
    registry = CollectorRegistry()
    registry.register(Exposition(Meter()))
    registry.register(observed(tmp_path))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    text = generate_latest(registry).decode()
    typed = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    return typed | set(re.findall(r"^([a-z_0-9]+)[{ ]", text, re.MULTILINE)), text


def test_every_metric_that_is_named_exists(exported):
    recorded = set(re.findall(r"record: (\S+)", RULES))
    named = set(NAME.findall(expressions()))
    assert len(named) > 30
    assert named - exported[0] - recorded == set()


def test_every_metric_of_the_house_is_on_the_dashboard_or_in_a_rule(exported):
    # The rest is told for whoever asks further.
    spare = {"sequence", "group_entries", "business_date_timestamp_seconds", "backup_sequence"}
    spare |= {"verify_sequence", "follower_fold_timestamp_seconds", "follower_folded_entries_total"}
    named = set(NAME.findall(expressions()))
    for name in exported[0]:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        told = {name, base, f"{base}_sum", f"{base}_bucket"}
        if name.startswith("counterfoil_") and name.removeprefix("counterfoil_") not in spare:
            assert told & named or f"{name}_total" in named, name


def test_bounds_and_codes_that_rules_name_exist(exported):
    bounds = set(re.findall(r'le="([\d.]+)"', RULES))
    assert bounds
    assert all(f'reply_seconds_bucket{{le="{bound}"}}' in exported[1] for bound in bounds)
    codes = {code for code, _ in (*RESPONSES.values(), *FAULTS)} | {"00"}
    named = {one for text in re.findall(r'code!?[=~]+"([^"]+)"', RULES) for one in text.split("|")}
    assert named - codes == set()


def test_each_alert_has_a_runbook_a_severity_and_a_rule_test():
    alerts = re.findall(r"- alert: (\w+)", RULES)
    assert len(alerts) == len(set(alerts)) > 20
    assert re.findall(r'runbook: "posd/OPERATIONS.md#(\w+)"', RULES) == [
        name.lower() for name in alerts
    ]
    assert re.findall(r"severity: (\w+)", RULES) == [
        word for word in re.findall(r"severity: (\w+)", RULES) if word in {"page", "ticket"}
    ]
    assert len(re.findall(r"severity: (\w+)", RULES)) == len(alerts)
    assert re.findall(r"^### (Counterfoil\w+)\n\S", PAGE, re.MULTILINE) == alerts
    assert re.findall(r"alertname: (\w+)", TESTS) == alerts


def test_panels_do_not_lie_over_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_the_rules_right_and_each_alert_firing(arguments):
    done = subprocess.run(
        [program("promtool"), *arguments],
        check=False,
        cwd=OPS,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_what_the_daemon_tells(exported):
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        check=False,
        input=exported[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # The client library's own python_gc_* names are not ours to judge.
    ours = [line for line in done.stderr.splitlines() if line.startswith("counterfoil")]
    assert ours == [], done.stderr
