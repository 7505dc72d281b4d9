"""Verbs of sweeps: ``sweep points`` sends what the sweep of that name finds due, all of it."""

from typing import Any

from engine.sweeps import BY_NAME
from ledger import codec


class Sweeping:
    """The sweeps' part of a stage."""

    def sweep(self, words: Any) -> list[Any]:
        """The commands that a sweep finds in the tables as they are."""
        one = BY_NAME[words.rest[0]]
        today = self.house.machine.clock.date(self.at)
        rows = [
            (key, codec.unpack_row(key, packed))
            for key, packed in self.book.view.rows(bytes((one.table,)))
        ]
        return [
            command for key, row in rows for command in one.candidates(key, row, today, self.at)
        ]

    def expect_swept(self, number: str) -> None:
        """How many entries a sweep has made, cut-offs that came with it left out."""
        made = range(self.before + 1, self.book.sequence + 1)
        found = sum(self.book.entry(one).kind != "cut-off" for one in made)
        self.same("entries of the sweep", found, int(number))
