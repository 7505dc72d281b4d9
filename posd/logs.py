"""The log: one line an event, as text or as JSON, masked by construction, limited per kind.

An event has a name of `EVENTS` and the fields that stand there, whose values are short texts or
numbers: ids of terminals, addresses, numbers of links, RRNs; no field can hold a card, a member, a
PIN or a message. More than `PER_SECOND_MAX` events of a kind in a second are counted and told as
``suppressed`` with the next one of that kind. Sentences of the daemon itself are of event ``note``.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

PER_SECOND_MAX: Final = 20
"""Events of a kind that are logged in a second."""
VALUE_MAX: Final = 64
"""Characters of a value; what is longer is cut."""

EVENTS: Final[dict[str, frozenset[str]]] = {
    "mac_guard": frozenset({"terminal", "peer", "link"}),
    "guessing": frozenset({"terminal", "link"}),
    "soft_limit": frozenset({"limit", "terminal", "rrn", "link"}),
    "host_fault": frozenset({"error", "transaction", "link"}),
}
"""Every event, and the fields that it may have."""

log = logging.getLogger("counterfoil.posd")


class Events:
    """Takes events, checks their fields, and lets through so many of a kind a second."""

    def __init__(self) -> None:
        self._second: dict[str, tuple[int, int]] = {}
        self._suppressed: dict[str, int] = {}

    def tell(self, name: str, values: dict[str, object]) -> None:
        """Log an event of now.

        Raises:
            KeyError: there is no such event, or it has no such field.
        """
        fields = EVENTS[name]
        shown: dict[str, str | int] = {}
        for field, value in values.items():
            if field not in fields:
                raise KeyError(field)
            shown[field] = value if type(value) is int else str(value)[:VALUE_MAX]
        second = int(time.monotonic())
        since, count = self._second.get(name, (second, 0))
        count = count + 1 if since == second else 1
        self._second[name] = (second, count)
        if count > PER_SECOND_MAX:
            self._suppressed[name] = self._suppressed.get(name, 0) + 1
            return
        suppressed = self._suppressed.pop(name, 0)
        if suppressed:
            shown["suppressed"] = suppressed
        log.warning(
            "%s %s",
            name,
            json.dumps(shown, ensure_ascii=False),
            extra={"event": name, "values": shown},
        )


class TextLines(logging.Formatter):
    """Time, level and sentence; a line each, whatever a sentence holds."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line; a traceback follows it."""
        told = super().format(record)
        return told if record.exc_info else " ".join(told.splitlines())


class JsonLines(logging.Formatter):
    """An object a line: ``at``, ``level``, ``logger``, ``event``, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", "note"),
        }
        values = getattr(record, "values", None)
        if values is None:
            told["text"] = record.getMessage()
        else:
            told |= values
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def begin(form: str, level: str) -> None:
    """Log to standard error.

    Args:
        form: ``text`` or ``json``.
        level: of `engine.configuration.LEVELS`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    set_level(level)


def set_level(level: str) -> None:
    """Log from a level on."""
    logging.getLogger("counterfoil").setLevel(level.upper())
