"""The steps of the state machine that are about batches: settled, uploaded, forgotten."""

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from engine import batches
from engine.rules import terminals
from engine.rules.pruning import PruneBatch
from engine.sweeps import BY_NAME
from ledger import schema

MONEY = "156"
STRANGE = "P99"
"""A unit of which no batch has anything."""
TILLS = ("00000001", "00000002", "00000003", "00000004")

tills = st.sampled_from(TILLS)
# Which earlier message is meant: mostly one that was approved and can be undone.
earlier = st.tuples(st.sampled_from(["trade"] * 6 + ["any"]), st.integers(1, 6))


class BatchSteps:
    """Terminals close their batches; what nobody can repeat any more is forgotten."""

    @rule(till=tills, right=st.sampled_from([True, True, False]), before=st.booleans())
    def settle(self, till, right, before):
        number = self.model.in_force(till, self.model.now(self.at)) - before
        totals = self.model.batches[till, number].lines() if number else ()
        if not right:
            totals = (*totals, (STRANGE, 1, 1, 0, 0))
        self.send(self.request(terminals.Settlement, till, totals=totals, batch=max(number, 1)))

    @precondition(lambda self: self.sent)
    @rule(till=tills, meant=earlier, last=st.booleans())
    def upload(self, till, meant, last):
        item = self.pick(meant)
        said = {"rrn": "", "response": "00", "tokens": (), "last": last}
        said |= {"unit": MONEY, "amount": 1}
        said |= {"original_batch": item.batch, "original_stan": item.stan}
        self.send(self.request(terminals.UploadItem, till, **said))

    @rule()
    def sweep_batches(self):
        """Identities that no repeat can be due of are forgotten, no others."""
        self.model.come(self.at)
        at = self.model.at
        rows = list(self.book.view.scan(bytes((schema.BATCH,))))
        for command in BY_NAME["batches"].commands(rows, self.model.today, at):
            self.house.execute(command, self.at)
        self.model.sweep_batches()
        self.house.execute(PruneBatch("00000001", 1), self.at)

    @invariant()
    def batches_agree(self):
        at = self.model.now(self.at)
        for till in TILLS:
            number = self.model.in_force(till, at)
            assert self.house.batch_in_force(till, at) == number
        for (till, number), batch in self.model.batches.items():
            row = self.book.view.get(schema.batch(till, number))
            if row is not None:
                assert row.state == batch.state
                assert batches.whole(row) == batch.lines()
