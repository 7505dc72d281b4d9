"""Whatever happened, every date of it can be netted, and its books are beancount's too."""

from ledger import schema
from tests.clearing.whole_books import clear_every_date, compare_with_beancount


class ClearingSteps:
    """What clearing makes of a history at its end."""

    def every_date_is_cleared(self):
        """The checks of each day hold, and stored value is what members have."""
        view = self.book.view
        ends = clear_every_date(view, self.book.sequence)
        assert ends["value"] == sum(row.balance for _, row in view.scan(bytes((schema.VALUE,))))

    def beancount_agrees(self):
        """Other people's double entry comes to the ledger's balances."""
        compare_with_beancount(self.book.view, self.book.sequence)
