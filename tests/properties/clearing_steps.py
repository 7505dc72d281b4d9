"""Whatever happened, every date of it can be netted, and to what the ledger's positions hold."""

from types import SimpleNamespace

from clearing.netting import balance
from clearing.register import register_at
from clearing.settle import Fold
from ledger import schema
from ledger.model import values_of


class ClearingSteps:
    """What clearing makes of a history at its end."""

    def every_date_is_cleared(self):
        """The checks of each day hold, and each party's net is its position of that date."""
        read = self.book.view.get
        register = register_at(SimpleNamespace(view=self.book.view), self.book.sequence)
        dates: dict = {}
        for sequence in range(1, self.book.sequence + 1):
            entry = read(schema.entry(sequence))
            fold = dates.get(entry.date)
            if fold is None:
                fold = dates[entry.date] = Fold(
                    entry.date,
                    frozenset(register.parties),
                    "Asia/Shanghai",
                    lines_of(entry.date),
                    worth=register.worth,
                )
            fold.add(values_of(entry))
        opening: dict = {}
        for date, fold in sorted(dates.items(), key=lambda one: one[0]):
            balanced = balance(fold.totals, opening, register)
            opening = dict(balanced.balances)
            for party, totals in fold.totals.parties.items():
                held = read(schema.balance(f"Pos:{party}:{date}")) or 0
                assert totals.net == held, (party, date)
        assert opening["value"] == sum(
            row.balance for _, row in self.book.view.scan(bytes((schema.VALUE,)))
        )


def lines_of(date):
    """Takes lines and holds them to what files ask of them."""
    before: dict = {}

    def take(line):
        party, sequence, unit = line[0], line[1], line[11]
        assert line[4] == date
        assert before.get(party, (0, "")) < (sequence, unit)
        before[party] = (sequence, unit)
        assert [code for code, _ in line[14]] == sorted({code for code, _ in line[14]})

    return take
