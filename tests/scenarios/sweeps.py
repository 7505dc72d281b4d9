"""Verbs of sweeps and of sales made offline.

at DATE TIME sweep points        sends what the sweep of that name finds due, all of it
at DATE TIME offline 10.00 yuan card A sold 2026-03-01 22:15
"""

import re
from typing import Any

from engine import batches
from engine.rules.offline import OfflineAccrual
from engine.sweeps import BY_NAME
from ledger import codec, schema


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
        return one.commands(rows, today, self.at)

    def offline(self, words: Any) -> Any:
        """``offline 10.00 yuan card A sold 2026-03-01 22:15``."""
        _, date, clock = words.rest[words.rest.index("sold") :]
        return self.request(
            OfflineAccrual,
            words,
            tokens=words.named(),
            amount=words.amount,
            sold_at=int(date.replace("-", "") + clock.replace(":", "") + "00"),
        )

    def expect_swept(self, number: str) -> None:
        """How many entries a sweep has made, cut-offs that came with it left out."""
        made = range(self.before + 1, self.book.sequence + 1)
        found = sum(self.entry(one).kind != "cut-off" for one in made)
        self.same("entries of the sweep", found, int(number))

    def expect_forgotten(self, number: str) -> None:
        """Nothing is left of a batch, nor of its identities."""
        row = self.book.view.get(schema.batch(self.terminal, int(number)))
        self.same("the batch", row, None)
        prefix = schema.identity(self.terminal, int(number), 0)[:-4]
        self.same("its identities", [key for key, _ in self.book.view.rows(prefix)], [])

    def expect_totals_on(self, number: str, date: str, lines: str) -> None:
        """What a batch counted on a business date."""
        row = self.book.view.get(schema.batch(self.terminal, int(number)))
        found = [line[1:] for line in batches.dated(row) if line[0] == int(date.replace("-", ""))]
        wanted = [
            (unit, *(int(figure) for figure in figures))
            for unit, *figures in re.findall(r"(\w{3}) D (-?\d+)/(-?\d+) C (-?\d+)/(-?\d+)", lines)
        ]
        self.same("totals of that date", found, wanted)


ACTS = {"sweep": Sweeping.sweep, "offline": Sweeping.offline}

EXPECTATIONS = [
    (r"swept (\d+)", Sweeping.expect_swept),
    (r"batch (\d+) is forgotten", Sweeping.expect_forgotten),
    (r"batch (\d+) on (\S+) (.+)", Sweeping.expect_totals_on),
]
