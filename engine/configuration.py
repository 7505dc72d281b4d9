"""The configuration of a data directory: every setting in one table, and what is wrong with a file.

`SETTINGS` is the table. A value comes from the environment (``COUNTERFOIL_LIMITS_IDLE_MS`` for
``idle_ms`` of ``[limits]``, ``COUNTERFOIL_ZONE`` for ``zone``), else from the file, else it is the
default. Each mistake is one sentence that names where it stands, the key, the value and the remedy;
`examine` finds all of them, `read_configuration` refuses with the first.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.giver import OPERATOR_VARIABLE
from ledger.storage import Limits

CONFIGURATION: Final = "counterfoil.toml"
KEY_VARIABLE: Final = "COUNTERFOIL_KEY"
DEFAULT_ZONE: Final = "Asia/Shanghai"
DEFAULT_CUTOFF: Final = "24:00"
VARIABLE: Final = "COUNTERFOIL_"
OTHER_VARIABLES: Final = (KEY_VARIABLE, OPERATOR_VARIABLE)
"""Variables of the environment that are read elsewhere."""

_CUTOFF_MINUTES_MAX = 36 * 60
_PORT_MAX = 65535
_SHOWN_MAX = 60
_NEAR_VARIABLE = 0.75
"""How near a variable's name has to be to a setting's; others are another program's business."""
_BILLION = 10**9
_SMALL = 1 << 31
_LEDGER = Limits()


class DirectoryError(Exception):
    """A data directory cannot be made or used; one sentence with what to do about it."""


@dataclass(slots=True)
class Setting:
    """A setting.

    Attributes:
        section: its table in the file; empty for the top level.
        name: its key there.
        default: what it is when nobody says anything; its type is the value's.
        least, most: bounds of a number.
        about: what it does, with its unit.
        live: True where a reload takes effect without a restart.
        check: what is wrong with a text and what to do, None for nothing.
    """

    section: str
    name: str
    default: str | int | float
    least: float
    most: float
    about: str
    live: bool
    check: Callable[[str], str | None] | None

    @property
    def key(self) -> str:
        """Section and name."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def variable(self) -> str:
        """The variable of the environment that overrides it."""
        return VARIABLE + self.key.replace(".", "_").upper()


def _text(
    section: str,
    name: str,
    default: str,
    about: str,
    check: Callable[[str], str | None] | None = None,
    *,
    live: bool = False,
) -> Setting:
    return Setting(section, name, default, 0, 0, about, live, check)


def _number(
    key: str, default: float, least: float, most: float, about: str, *, live: bool = False
) -> Setting:
    section, _, name = key.rpartition(".")
    return Setting(section, name, default, least, most, about, live, None)


def _zone_fault(name: str) -> str | None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"is no time zone: name one as IANA does, like {DEFAULT_ZONE}"
    return None


def _cutoff_fault(text: str) -> str | None:
    return None if _minutes(text) else "has to be HH:MM between 00:01 and 36:00, like 24:00"


def _address_fault(text: str) -> str | None:
    host, _, port = text.rpartition(":")
    if host and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX:
        return None
    return "has to be HOST:PORT with a port up to 65535, like 127.0.0.1:8583"


def _one_of(*names: str) -> Callable[[str], str | None]:
    def fault(text: str) -> str | None:
        return None if text in names else f"has to be one of {', '.join(names)}{_near(text, names)}"

    return fault


def _minutes(text: str) -> int:
    """Minutes after midnight of ``HH:MM``, from 00:01 to 36:00; 0 when it is not of that form."""
    hours, colon, minutes = text.partition(":")
    digits = hours + minutes
    if colon and len(hours) == len(minutes) == len("00") and digits.isascii() and digits.isdigit():
        total = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and 0 < total <= _CUTOFF_MINUTES_MAX:  # noqa: PLR2004 - a clock
            return total
    return 0


LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

SECTIONS: Final = {
    "": "Configuration of a Counterfoil data directory. A setting behind # has its default.\n"
    "counterfoil config check DIR finds mistakes, counterfoil config show DIR tells what is in\n"
    "force. A variable COUNTERFOIL_SECTION_NAME of the environment overrides a setting.",
    "clearing": "Who settles at night, and how.",
    "serve": "Where the daemon listens and what it writes; options of serve override it.",
    "guards": "Against guessing, per terminal; counted in memory.",
    "limits": "Bounds of the daemon: of its links first, then of the ledger.",
}
"""Tables of the file, and what they are for."""

SETTINGS: Final = (
    _text("", "key", "", "The key file; a relative path is relative to this directory."),
    _text("", "key_id", "", "Which key file it has to be."),
    _text("", "zone", DEFAULT_ZONE, "The operator's time zone, an IANA name.", _zone_fault),
    _text("", "cutoff", DEFAULT_CUTOFF, "When a business date ends, HH:MM.", _cutoff_fault),
    _number("batch_days", 7, 1, 365, "Days after which a batch that was left open is retired."),
    _number("offline_days", 3, 0, 365, "Days that an offline sale's advice may be late."),
    _number("offline_daily", 500, 0, 999_999, "Such advices of a terminal on a day."),
    _text("clearing", "operator", "Counterfoil", "Name of who settles."),
    _text("clearing", "account_name", "", "Name of the account that payments are made from."),
    _text("clearing", "account_number", "", "Its number."),
    _text("clearing", "bank_code", "", "Its bank's code."),
    _number("clearing.working_days", 1, 1, 30, "From a business date to its value date."),
    _number(
        "clearing.collect_limit_fen",
        0,
        0,
        10**15,
        "From how much owed on a party is asked to pay; 0: it is netted with the next date.",
    ),
    _text("serve", "listen", "127.0.0.1:8583", "HOST:PORT for terminals.", _address_fault),
    _text("serve", "metrics", "127.0.0.1:9583", "HOST:PORT of metrics and health.", _address_fault),
    _text("serve", "log_format", "text", "text or json.", _one_of(*FORMATS)),
    _text("serve", "log_level", "info", "The least that is logged.", _one_of(*LEVELS), live=True),
    _number(
        "serve.heap_mib",
        384,
        0,
        1 << 20,
        "Memory taken at the start and held, at most, MiB; less while the tables are small.",
    ),
    _number(
        "serve.inquiries_seconds",
        60,
        1,
        3600,
        "How often inquiries of coupons are noted in the journal, s.",
        live=True,
    ),
    _number(
        "guards.wrong_macs", 10, 1, 1000, "Wrong MACs in a row that close the door.", live=True
    ),
    _number("guards.drop_ms", 60_000, 0, 3_600_000, "How long it stays closed, ms.", live=True),
    _number("guards.guesses", 10, 1, 10_000, "Unknown members in a window.", live=True),
    _number("guards.guess_window_ms", 60_000, 1000, 3_600_000, "That window, ms.", live=True),
    _number("guards.guess_lock_ms", 600_000, 0, 86_400_000, "34 after one more, ms.", live=True),
    _number("limits.connections", 20_000, 1, 1_000_000, "Connections at a time.", live=True),
    _number("limits.frame_bytes", 4096, 256, 65_535, "The longest frame."),
    _number("limits.idle_ms", 600_000, 1, _BILLION, "Silence that closes a link, ms.", live=True),
    _number("limits.half_frame_ms", 10_000, 1, _BILLION, "For the rest of a frame, ms.", live=True),
    _number(
        "limits.unread_bytes",
        1 << 20,
        1,
        _SMALL,
        "Replies that a peer may leave unread.",
        live=True,
    ),
    _number(
        "limits.drain_ms", 60_000, 1, _BILLION, "How long a stop waits for the journal.", live=True
    ),
    _number("limits.segment_bytes", _LEDGER.segment_bytes, 1, _SMALL, "Of a journal segment."),
    _number(
        "limits.segment_bytes_alone",
        _LEDGER.segment_bytes_alone,
        1,
        _SMALL,
        "The same of a command without a daemon.",
    ),
    _number(
        "limits.overlay_records",
        _LEDGER.overlay_records,
        1,
        10**8,
        "Records not yet in the tables before new work is answered 91.",
    ),
    _number("limits.overlay_bytes", _LEDGER.overlay_bytes, 1, 1 << 40, "The same in bytes."),
    _number(
        "limits.tail_entries",
        _LEDGER.tail_entries,
        1,
        10**8,
        "A tail longer than this is folded before ready.",
    ),
    _number("limits.fold_seconds", _LEDGER.fold_seconds, 0.001, 3600, "Age of a change at a fold."),
    _number("limits.fold_entries", _LEDGER.fold_entries, 1, 10**8, "Entries of a fold."),
    _number("limits.fold_records", _LEDGER.fold_records, 1, 10**8, "Records of a fold."),
    _number("limits.reference_rows", _LEDGER.reference_rows, 1, 10**8, "Rows kept decoded."),
    _number(
        "limits.alias_rows",
        _LEDGER.alias_rows,
        0,
        10**9,
        "Cards, phones and tokens kept in memory, of some 300 bytes each.",
    ),
    _number(
        "limits.disk_free_bytes_min",
        _LEDGER.disk_free_bytes_min,
        1,
        1 << 50,
        "Room that is left free, besides a segment.",
    ),
    _number(
        "limits.disk_check_seconds", _LEDGER.disk_check_seconds, 0.001, 3600, "Between two looks."
    ),
)
"""Every setting, in the order of the file. [limits] is the last."""

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
DAYS: Final = ("batch_days", "offline_days", "offline_daily")

_unknown = {field.name for field in fields(Limits)} - {
    setting.name for setting in SETTINGS if setting.section == "limits"
}
if _unknown:
    raise ImportError(f"bounds of the ledger without a setting: {sorted(_unknown)}")


@dataclass(slots=True)
class Effective:
    """A setting as it is in force.

    Attributes:
        setting: which.
        value: the value.
        source: ``default``, the path of the file, or the variable's name.
    """

    setting: Setting
    value: Any
    source: str


@dataclass(slots=True)
class Configuration:
    """What a data directory's configuration says.

    Attributes:
        key: path of the key file.
        key_id: which key file it has to be; empty when any will do.
        zone: IANA name of the operator's time zone.
        cutoff_minutes: minutes after local midnight at which a business date ends.
        days: ``batch_days``, ``offline_days``, ``offline_daily``: see `engine.records.Calendar`.
        limits: bounds of the daemon's links and of the ledger by name, those that were set.
        clearing: who settles and how, what was set; `clearing.settings` reads it.
        settings: every setting as it is in force, by key.
    """

    key: Path
    key_id: str
    zone: str
    cutoff_minutes: int
    days: dict[str, int]
    limits: dict[str, int | float]
    clearing: dict[str, Any]
    settings: dict[str, Effective]

    def section(self, name: str) -> dict[str, Any]:
        """All values of a table of the file, by name."""
        return {
            one.setting.name: one.value
            for one in self.settings.values()
            if one.setting.section == name
        }


# Reading.


def read_document(path: Path) -> dict[str, Any]:
    """The TOML of a configuration file.

    Raises:
        DirectoryError: there is none, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DirectoryError(
            f"{path} does not exist: name a data directory, or make one with `counterfoil init`"
        ) from None
    except OSError as error:
        raise DirectoryError(
            f"{path} cannot be read ({error.strerror}): give it to the user that runs this"
        ) from None
    except UnicodeDecodeError:
        raise DirectoryError(f"{path} is not UTF-8: save it in that encoding") from None
    except ValueError as error:
        raise DirectoryError(f"{path} is not valid TOML: {error}: {_toml_remedy(error)}") from None


def _toml_remedy(error: ValueError) -> str:
    """What to do about a file that is not TOML, as far as its words tell what is wrong."""
    if any(word in str(error) for word in ("twice", "overwrite")):
        return "each stands once: put the setting below the [table] that is there already"
    return "put texts in quotes, one setting a line"


def examine(
    document: Mapping[str, Any], path: Path, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Effective], list[str]]:
    """What is in force, and every mistake as a sentence.

    Args:
        document: the file's content.
        path: the file, for sentences.
        environment: variables; those of this process when None.
    """
    values = {setting.key: Effective(setting, setting.default, "default") for setting in SETTINGS}
    mistakes: list[str] = []
    told = os.environ if environment is None else environment
    for source, key, value in (*_flat(document, path, mistakes), *_variables(told, mistakes)):
        setting = BY_KEY[key]
        taken, fault = _judge(setting, value, from_text=source != str(path))
        if fault is None:
            values[key] = Effective(setting, taken, source)
        else:
            mistakes.append(f"{source}: {_shown(setting, value)} {fault}")
    if not mistakes:
        mistakes += _together(values)
    return values, mistakes


def read_configuration(directory: Path, file: Path | None = None) -> Configuration:
    """Read the configuration of a data directory.

    Args:
        directory: the data directory.
        file: another file in place of the directory's own.

    Raises:
        DirectoryError: there is none, or it does not hold what it should.
    """
    path = file or directory / CONFIGURATION
    values, mistakes = examine(read_document(path), path)
    if mistakes:
        raise DirectoryError(mistakes[0])
    base = directory.resolve()

    def said(section: str) -> dict[str, Any]:
        return {
            one.setting.name: one.value
            for one in values.values()
            if one.setting.section == section and one.source != "default"
        }

    return Configuration(
        Path(os.path.normpath(base / (values["key"].value or f"../{base.name}.key"))),
        values["key_id"].value,
        values["zone"].value,
        _minutes(values["cutoff"].value),
        {name: values[name].value for name in DAYS},
        said("limits"),
        said("clearing"),
        values,
    )


def check_value(key: str, value: Any) -> None:
    """Refuse a value that a setting may not have.

    Raises:
        DirectoryError: what is wrong with it.
    """
    setting = BY_KEY[key]
    _, fault = _judge(setting, value, from_text=False)
    if fault is not None:
        raise DirectoryError(f"{_shown(setting, value)} {fault}")


def ledger_limits(configuration: Configuration) -> Limits:
    """The bounds of the ledger, as the configuration has them."""
    named = configuration.section("limits")
    return Limits(**{field.name: named[field.name] for field in fields(Limits)})


def _flat(
    document: Mapping[str, Any], path: Path, mistakes: list[str]
) -> Iterator[tuple[str, str, Any]]:
    """Settings of a file that exist, by key; the others are mistakes."""
    for name, value in document.items():
        if name in SECTIONS:
            if not isinstance(value, dict):
                mistakes.append(
                    f"{path}: {name} = {_short(value)} has to be a table:"
                    f" write [{name}] and its settings below"
                )
                continue
            for inner, one in value.items():
                if f"{name}.{inner}" in BY_KEY:
                    yield str(path), f"{name}.{inner}", one
                else:
                    mistakes.append(f"{path}: {_unknown_key(inner, one, name)}")
        elif name in BY_KEY:
            yield str(path), name, value
        else:
            mistakes.append(f"{path}: {_unknown_key(name, value, '')}")


def _variables(
    environment: Mapping[str, str], mistakes: list[str]
) -> Iterator[tuple[str, str, str]]:
    """Settings of the environment. ``COUNTERFOIL_KEY`` is read where the key file is opened."""
    known = {setting.variable: setting.key for setting in SETTINGS if setting.key != "key"}
    sections = tuple(f"{VARIABLE}{name.upper()}_" for name in SECTIONS if name)
    # Nearness is judged by what stands behind the common beginning.
    names = {name.removeprefix(VARIABLE): name for name in (*known, *OTHER_VARIABLES)}
    for name in sorted(environment):
        if name in known:
            yield name, known[name], environment[name]
        elif name.startswith(VARIABLE) and name not in OTHER_VARIABLES:
            near = get_close_matches(name.removeprefix(VARIABLE), names, 1, _NEAR_VARIABLE)
            if near or name.startswith(sections):
                asked = f": did you mean {names[near[0]]}?" if near else ""
                mistakes.append(
                    f"{name}={_short(environment[name])} of the environment is no setting"
                    f"{asked}; unset it"
                )


def _judge(setting: Setting, value: Any, *, from_text: bool) -> tuple[Any, str | None]:
    """The value as the setting takes it, or what is wrong with it."""
    default = setting.default
    if isinstance(default, str):
        if not isinstance(value, str):
            return value, "has to be a text in quotes"
        return value, setting.check(value) if setting.check is not None else None
    if from_text:
        value = _parsed(value)
    whole = type(default) is int
    kind = "whole number" if whole else "number"
    bounds = f"{setting.least:,} to {setting.most:,}"
    remedy = f"has to be a {kind} from {bounds}, like {default}"
    if type(value) is not int and (whole or type(value) is not float):
        return value, f"{remedy}, without quotes" if isinstance(value, str) else remedy
    if not setting.least <= value <= setting.most:
        return value, remedy
    return (value if whole else float(value)), None


def _parsed(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _together(values: dict[str, Effective]) -> Iterator[str]:
    """What is wrong with settings that are right by themselves."""

    def told(key: str) -> str:
        return f"{key} = {_short(values[key].value)}"

    def amount(key: str) -> float:
        return float(values[key].value)

    for low, high, why in _ORDERED:
        if values[low].source != "default" and amount(low) > amount(high):
            yield (
                f"{values[low].source}: {told(low)} is above {told(high)} ({values[high].source}):"
                f" {why}"
            )
    listen, metrics = values["serve.listen"], values["serve.metrics"]
    if listen.value == metrics.value and not listen.value.endswith(":0"):
        yield (
            f"{metrics.source}: {told('serve.metrics')} is the address of serve.listen too: give"
            " metrics a port of their own"
        )


_ORDERED: Final = (
    ("limits.half_frame_ms", "limits.idle_ms", "half a frame would wait longer than a whole link"),
    (
        "limits.frame_bytes",
        "limits.unread_bytes",
        "a link would be closed by its first reply: raise unread_bytes",
    ),
)
"""Pairs of which the first is not above the second, and what would happen."""


def _unknown_key(name: str, value: Any, section: str) -> str:
    where = f"[{section}]" if section else "the top level"
    name = name if name.isprintable() else repr(name)
    elsewhere = [setting for setting in SETTINGS if setting.name == name]
    if elsewhere:
        home = elsewhere[0].section
        place = f"below [{home}]" if home else "above the first [table]"
        return f"{name} = {_short(value)} does not belong in {where}: put it {place}"
    known = [setting.name for setting in SETTINGS if setting.section == section]
    if not section:
        known += [one for one in SECTIONS if one]
    near = _near(name, known) or _near(name, [setting.name for setting in SETTINGS])
    remedy = near or f"; `counterfoil config show` lists all of {where}"
    return f"{name} = {_short(value)} is no setting of {where}{remedy}"


def _near(name: str, known: Any) -> str:
    """The nearest name as a question; empty when none is near."""
    found = get_close_matches(name, list(known), 1, 0.6)
    return f": did you mean {found[0]}?" if found else ""


def _shown(setting: Setting, value: Any) -> str:
    where = f" of [{setting.section}]" if setting.section else ""
    return f"{setting.name} = {_short(value)}{where}"


def _short(value: Any) -> str:
    text = _toml(value)
    # One sentence is one line, whatever stands in the file.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"


# Writing.


def configuration_text(said: Mapping[str, Any]) -> str:
    """A configuration file with every setting; those in `said`, by key, are set."""
    lines: list[str] = []
    for section, about in SECTIONS.items():
        lines += ["", *(f"# {line}" for line in about.splitlines())]
        if section:
            lines.append(f"[{section}]")
        settings = [setting for setting in SETTINGS if setting.section == section]
        for setting in settings:
            value = said.get(setting.key, setting.default)
            sign = "" if setting.key in said else "# "
            live = " Reloaded by config reload." if setting.live else ""
            lines += [f"# {setting.about}{live}", f"{sign}{setting.name} = {_toml(value)}"]
    return "\n".join(lines[1:]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        # Quotes, backslashes and control characters as TOML has them.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return (
            '"'
            + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
            + '"'
        )
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, date | time) else repr(value)
