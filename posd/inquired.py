"""Coupon inquiries, counted by campaign until the journal notes them.

An inquiry changes nothing, so it leaves no entry; but the operator wants to know how often coupons
of a campaign were asked about. They are counted in memory, and now and then the machine is given
one command with what was counted. What a crash loses is what was counted since the last one.
"""

from __future__ import annotations

from typing import Final

from engine.draft import Draft
from engine.machine import Machine
from engine.rules.coupon_inquiry import NoteInquiries
from posd.incoming import Incoming

CAMPAIGNS_MAX: Final = 1000
"""Campaigns in one command; where another one is asked about, it is given at once."""
TERMINALS_MAX: Final = 65_536
"""Terminals of which the last inquiry is known, so that a repeat of it counts once."""


class Inquired:
    """How often each campaign was asked about since that was last noted."""

    __slots__ = ("_counts", "_last", "_machine")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._counts: dict[str, int] = {}
        self._last: dict[str, tuple[int, int]] = {}

    @property
    def waiting(self) -> int:
        """Inquiries that are not in the journal yet."""
        return sum(self._counts.values())

    def count(self, incoming: Incoming, draft: Draft, at: int) -> None:
        """Count an inquiry that was answered, unless it is the terminal's last one again.

        Args:
            incoming: the message.
            draft: with the facts that answer it, of which one is the campaign.
            at: wall clock, ms since 1970 UTC.
        """
        identity = (incoming.batch, incoming.stan)
        if self._last.get(incoming.terminal) == identity:
            return
        if len(self._last) >= TERMINALS_MAX:
            self._last.clear()
        self._last[incoming.terminal] = identity
        campaign: str = dict(draft.facts)["campaign"]
        if len(self._counts) >= CAMPAIGNS_MAX and campaign not in self._counts:
            self.note(at)
        self._counts[campaign] = self._counts.get(campaign, 0) + 1

    def note(self, at: int) -> None:
        """Give the machine what was counted, if there is anything.

        Args:
            at: wall clock, ms since 1970 UTC.
        """
        if self._counts:
            counts, self._counts = self._counts, {}
            self._machine.execute(NoteInquiries(tuple(sorted(counts.items()))), at)
