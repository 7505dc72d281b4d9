"""Counters of the daemon, kept as plain integers and turned into Prometheus metrics at a scrape.

Times go into buckets of powers of two of a nanosecond, which costs one `int.bit_length` and one
addition; a library's histogram costs twenty times that. Label values are bounded: transactions and
response codes come from tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)

BUCKETS = 40
"""Powers of two of nanoseconds that are told apart: up to nine minutes."""

_BUCKETS_SHOWN = range(10, 34)
"""Those shown: from a microsecond to eight seconds."""


class Times:
    """A histogram of durations in ns."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.total = 0

    def add(self, duration_ns: int, count: int = 1) -> None:
        """Count a duration, or several that were the same."""
        self.buckets[duration_ns.bit_length()] += count
        self.total += duration_ns * count

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        """The histogram in seconds."""
        running = 0
        shown: list[tuple[str, float]] = []
        for power, count in enumerate(self.buckets):
            running += count
            if power in _BUCKETS_SHOWN:
                shown.append((repr((1 << power) / 1e9), running))
        shown.append(("+Inf", running))
        return HistogramMetricFamily(name, documentation, buckets=shown, sum_value=self.total / 1e9)


class Meter:
    """What happened so far.

    Attributes:
        counts: named counters without labels.
        answers: transaction and response code to how many replies were made.
    """

    __slots__ = ("_answers", "_counts", "decide", "decode", "journal", "reply")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._answers: dict[tuple[str, str], int] = {}
        self.decode = Times()
        self.decide = Times()
        self.journal = Times()
        self.reply = Times()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a named counter."""
        self._counts[name] = self._counts.get(name, 0) + amount

    def counted(self, name: str) -> int:
        """The value of a named counter."""
        return self._counts.get(name, 0)

    def answered(self, transaction: str, code: str) -> None:
        """Count a reply."""
        key = (transaction, code)
        answers = self._answers
        answers[key] = answers.get(key, 0) + 1

    @property
    def answers(self) -> dict[tuple[str, str], int]:
        """Replies by transaction and response code."""
        return self._answers


NAMED = {
    "mac_failures": "Messages whose MAC was wrong or missing.",
    "dropped_after_wrong_macs": "Messages dropped in the minute after ten wrong MACs.",
    "dropped_reply_form": "Messages dropped because their type is a reply's.",
    "unknown_elements": "Elements of field 48 with an unknown tag.",
    "undecodable": "Messages that closed their link because they could not be decoded.",
    "bad_frames": "Frames that closed their link by their length.",
    "keep_alives": "Keep-alive frames answered.",
    "connections_opened": "Connections accepted.",
    "connections_refused": "Connections refused at the limit.",
    "tls_handshakes": "TLS handshakes begun.",
    "tls_connections_opened": "TLS handshakes that came to a connection.",
    "closed_idle": "Connections closed for being idle.",
    "closed_half_frame": "Connections closed for half a frame.",
    "closed_slow_reader": "Connections closed for not reading their replies.",
    "reads_paused": "Times a link was not read further because of unanswered messages.",
    "events": "Events logged for operations.",
}
"""Every named counter, with its documentation; one that is not here does not exist."""

STAGES = {
    "decode": "Time to decode a message.",
    "decide": "Time to check, decide and stage a command.",
    "journal": "Time to make a group durable.",
    "reply": "Time from reading a message to handing its reply to the socket.",
}


class Exposition:
    """A Prometheus collector over a meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def describe(self) -> list[Any]:
        """Nothing before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, for one scrape."""
        meter = self._meter
        replies = CounterMetricFamily(
            "counterfoil_replies",
            "Replies by transaction and response code.",
            labels=["transaction", "code"],
        )
        for (transaction, code), count in sorted(meter.answers.items()):
            replies.add_metric([transaction, code], count)
        yield replies
        for name, documentation in NAMED.items():
            yield CounterMetricFamily(
                f"counterfoil_{name}", documentation, value=meter.counted(name)
            )
        for name, documentation in STAGES.items():
            times: Times = getattr(meter, name)
            yield times.family(f"counterfoil_{name}_seconds", documentation)
