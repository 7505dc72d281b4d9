"""Mistakes in a configuration, each told in one sentence; and what is in force, and why."""

import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.settings import Settings
from engine.configuration import (
    BY_KEY,
    SETTINGS,
    DirectoryError,
    configuration_text,
    examine,
    read_configuration,
    read_document,
)
from ledger.book import Limits as BookLimits
from posd.link import Limits
from posd.terminals import GuardLimits

FILE = Path("counterfoil.toml")
MISTAKES = [
    ("zome = 'Asia/Shanghai'", "zome", "'Asia/Shanghai'", "did you mean zone?"),
    ("zone = 'Asia/Shanghia'", "zone", "Asia/Shanghia", "name one as IANA does"),
    ("zone = 2026-01-01", "zone", "2026-01-01", "has to be a text in quotes"),
    ("zone = 8", "zone", "8", "has to be a text in quotes"),
    ("cutoff = '2400'", "cutoff", "2400", "HH:MM between 00:01 and 36:00"),
    ("cutoff = '37:00'", "cutoff", "37:00", "HH:MM between 00:01 and 36:00"),
    ("batch_days = 0", "batch_days", "0", "a whole number from 1 to 365"),
    ("batch_days = '7'", "batch_days", "7", "without quotes"),
    ("offline_days = 2.5", "offline_days", "2.5", "a whole number from 0 to 365"),
    ("offline_daily = true", "offline_daily", "true", "a whole number from 0 to 999,999"),
    ("idle_ms = 5", "idle_ms", "5", "put it below [limits]"),
    ("limits = 5", "limits", "5", "write [limits] and its settings below"),
    ("[limit]\nidle_ms = 5", "limit", "idle_ms", "did you mean limits?"),
    ("[limits]\nidel_ms = 5", "idel_ms", "5", "did you mean idle_ms?"),
    ("[limits]\nzone = 'UTC'", "zone", "UTC", "put it above the first [table]"),
    ("[limits]\nframe_bytes = 100000", "frame_bytes", "100000", "from 256 to 65,535"),
    ("[limits]\nidle_ms = 9000\nhalf_frame_ms = 9001", "half_frame_ms", "9001", "idle_ms = 9000"),
    ("[limits]\nsegment_bytes = 1e8", "segment_bytes", "100000000.0", "a whole number"),
    ("[limits]\nfold_seconds = 0", "fold_seconds", "0", "a number from 0.001 to 3,600"),
    ("[guards]\nguesses = -1", "guesses", "-1", "a whole number from 1 to 10,000"),
    ("[serve]\nlisten = '8583'", "listen", "8583", "HOST:PORT"),
    ("[serve]\nmetrics = '127.0.0.1:99999'", "metrics", "127.0.0.1:99999", "up to 65535"),
    ("[serve]\nlisten = '127.0.0.1:9583'", "serve.listen", "127.0.0.1:9583", "a port of their own"),
    ("[serve]\nlog_level = 'warn'", "log_level", "warn", "did you mean warning?"),
    ("[serve]\nlog_format = 'xml'", "log_format", "xml", "has to be one of text, json"),
    ("[clearing]\nworking_days = 0", "working_days", "0", "from 1 to 30"),
    ("[clearing]\nacount_name = 'x'", "acount_name", "x", "did you mean account_name?"),
]


@pytest.mark.parametrize(("text", "key", "value", "remedy"), MISTAKES)
def test_a_mistake_is_one_sentence_with_key_value_and_remedy(text, key, value, remedy):
    _, mistakes = examine(tomllib.loads(text), FILE, {})
    (sentence,) = mistakes
    assert len(sentence.splitlines()) == 1
    assert value in sentence or value.replace("'", '"') in sentence
    assert key in sentence
    assert remedy in sentence
    assert str(FILE) in sentence or "default" in sentence


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("COUNTERFOIL_LIMITS_IDLE_MS", "soon", "a whole number from 1"),
        ("COUNTERFOIL_LIMITS_IDEL_MS", "5", "did you mean COUNTERFOIL_LIMITS_IDLE_MS?"),
        ("COUNTERFOIL_LIMITS_NONESUCH", "5", "is no setting; unset it"),
        ("COUNTERFOIL_ZONE", "Nowhere", "name one as IANA does"),
        ("COUNTERFOIL_ZON", "UTC", "did you mean COUNTERFOIL_ZONE?"),
        ("COUNTERFOIL_OPERATR", "anna", "did you mean COUNTERFOIL_OPERATOR?"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name, value, part):
    (sentence,) = examine({}, FILE, {name: value})[1]
    assert name in sentence
    assert value in sentence
    assert part in sentence


@pytest.mark.parametrize(
    "name", ["COUNTERFOIL_KEY", "COUNTERFOIL_OPERATOR", "COUNTERFOIL_LONG", "COUNTERFOIL_HOME"]
)
def test_variables_of_others_are_let_be(name):
    assert examine({}, FILE, {name: "1"})[1] == []


def test_all_mistakes_are_told_at_once():
    text = "zome = 'x'\n[limits]\nidle_ms = 0\n[guards]\nguesses = 'x'"
    assert len(examine(tomllib.loads(text), FILE, {})[1]) == 3


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"zone =", "is not valid TOML"),
        (b'zone = "\xff"', "is not UTF-8"),
        (b"zone = 'UTC'\nzone = 'UTC'", "is not valid TOML.*each stands once"),
        (b"[serve]\n[limits]\n[serve]\nlisten = 'a:1'", r"below the \[table\] that is there"),
        (b"zone = UTC", "put texts in quotes"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_file_of_settings_is_told(tmp_path, content, part):
    path = tmp_path / "counterfoil.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DirectoryError, match=part) as told:
        read_document(path)
    assert str(path) in str(told.value)


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(
    tmp_path, monkeypatch
):
    (tmp_path / "counterfoil.toml").write_text(
        "[limits]\nidle_ms = 20000\nhalf_frame_ms = 7000\nfold_seconds = 1\n"
    )
    monkeypatch.setenv("COUNTERFOIL_LIMITS_IDLE_MS", "30000")
    told = read_configuration(tmp_path)
    found = {name: told.settings[f"limits.{name}"] for name in ("idle_ms", "half_frame_ms")}
    assert (found["idle_ms"].value, found["idle_ms"].source) == (
        30_000,
        "COUNTERFOIL_LIMITS_IDLE_MS",
    )
    assert (found["half_frame_ms"].value, found["half_frame_ms"].source) == (
        7000,
        str(tmp_path / "counterfoil.toml"),
    )
    assert told.settings["limits.drain_ms"].source == "default"
    assert told.settings["limits.fold_seconds"].value == 1.0


def test_every_bound_is_a_setting_with_the_same_default():
    defaults = {s.name: s.default for s in SETTINGS if s.section == "limits"}
    assert defaults == asdict(Limits()) | asdict(BookLimits())
    guards = {s.name: s.default for s in SETTINGS if s.section == "guards"}
    assert guards == asdict(GuardLimits())
    clearing = {s.name: s.default for s in SETTINGS if s.section == "clearing"}
    assert clearing == asdict(Settings())


def test_defaults_are_within_their_own_bounds_and_make_a_configuration():
    values, mistakes = examine({}, FILE, {})
    assert mistakes == []
    assert set(values) == set(BY_KEY)
    for setting in SETTINGS:
        if not isinstance(setting.default, str):
            assert setting.least <= setting.default <= setting.most


def test_the_written_file_names_every_setting_once():
    text = configuration_text({"zone": "UTC"})
    document = tomllib.loads(text)
    assert document.pop("zone") == "UTC"
    assert all(table == {} for table in document.values())
    everything = tomllib.loads(
        "\n".join(
            line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
            for line in text.splitlines()
            if " = " in line or line.startswith("[")
        )
    )
    values, mistakes = examine(everything, FILE, {})
    assert mistakes == []
    assert {key: one.value for key, one in values.items() if key != "zone"} == {
        setting.key: setting.default for setting in SETTINGS if setting.key != "zone"
    }


@given(st.text().filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_a_written_text_is_read_as_it_was(text):
    written = configuration_text({"clearing.operator": text})
    assert tomllib.loads(written)["clearing"]["operator"] == text


@given(
    st.dictionaries(
        st.sampled_from(sorted(s.name for s in SETTINGS)),
        st.integers() | st.text(max_size=99) | st.booleans() | st.floats() | st.lists(st.none()),
        max_size=5,
    )
)
@example({"account_name": "\x85"})
def test_any_values_are_taken_or_told_each_by_its_key(document):
    values, mistakes = examine({"limits": document}, FILE, {})
    assert all(len(sentence.splitlines()) == 1 for sentence in mistakes)
    for name in document:
        taken = f"limits.{name}" in values and values[f"limits.{name}"].source == str(FILE)
        assert taken or any(f" {name} = " in sentence for sentence in mistakes)
