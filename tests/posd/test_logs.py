"""The log: one line an event, as text or JSON, nothing but declared fields, so many a second."""

import json
import logging
import re
from pathlib import Path

import pytest

from posd import logs
from posd.logs import EVENTS, PER_SECOND_MAX, Events, JsonLines, TextLines

PAGE = (Path(__file__).parents[2] / "posd" / "OPERATIONS.md").read_text(encoding="utf-8")


@pytest.fixture
def seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def lines(caplog, form):
    return [form.format(record) for record in caplog.records]


def test_an_event_is_one_object_with_its_fields(caplog):
    Events().tell("mac_guard", {"terminal": "00000001", "peer": "10.0.0.1", "link": 7})
    told = json.loads(*lines(caplog, JsonLines()))
    assert told.pop("at").endswith("+00:00")
    assert told == {
        "level": "warning",
        "logger": "counterfoil.posd",
        "event": "mac_guard",
        "terminal": "00000001",
        "peer": "10.0.0.1",
        "link": 7,
    }


def test_a_sentence_is_one_line_whatever_it_holds(caplog):
    logging.getLogger("counterfoil.posd").warning("one\ntwo\r\nthree")
    (text,) = lines(caplog, TextLines())
    assert len(text.splitlines()) == 1
    (told,) = lines(caplog, JsonLines())
    assert len(told.splitlines()) == 1
    assert json.loads(told)["event"] == "note"


@pytest.mark.parametrize(
    ("name", "values"), [("guessing", {"card": "6222020000000000018"}), ("note", {"text": "x"})]
)
def test_what_is_not_declared_cannot_be_logged(caplog, name, values):
    with pytest.raises(KeyError):
        Events().tell(name, values)
    assert caplog.records == []


def test_a_long_value_is_cut(caplog):
    Events().tell("host_fault", {"error": "E" * 500, "transaction": "accrual", "link": 1})
    assert "E" * 65 not in caplog.text


def test_a_flood_of_a_kind_hides_no_other_and_is_counted(caplog, seconds):
    events = Events()
    for _ in range(PER_SECOND_MAX + 5):
        events.tell("guessing", {"terminal": "00000001"})
    events.tell("mac_guard", {"terminal": "00000002"})
    assert len(caplog.records) == PER_SECOND_MAX + 1
    seconds[0] += 1
    events.tell("guessing", {"terminal": "00000001"})
    events.tell("guessing", {"terminal": "00000001"})
    assert [record.values.get("suppressed") for record in caplog.records[-2:]] == [5, None]


def test_the_operators_page_has_every_event_and_its_fields():
    told = re.findall(r"^\| `([a-z_]+)` \| ((?:`[a-z]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    found = {name: frozenset(re.findall(r"`([a-z]+)`", fields)) for name, fields in told}
    assert found == EVENTS
