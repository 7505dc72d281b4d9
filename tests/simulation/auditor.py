"""The auditor: keeps books of its own about what left the host, and holds the host to it.

It sees each reply as it leaves, before the network gets at it, and forgets nothing when the host
dies. What was said to be approved must be in the journal after every start, once, under the name
that was told; and whoever asks again is told the same.
"""

from engine.commands import Outcome
from engine.reasons import Reason
from ledger import schema
from posd.framing import Deframer
from posd.iso8583.compile import Codec
from tools.till_replies import business_fields

APPROVED = "00"
RRN, CODE, STAN, TERMINAL = 37, 39, 11, 41
REVERSAL = "0410"


class Auditor:
    """What left the host.

    Attributes:
        approved: of each request that was approved with an RRN (terminal, message type, STAN, and
            what was told), how often it was told so.
        opened_times: how often the host was opened and found right.
    """

    def __init__(self):
        self._codec = Codec()
        self._told = {}
        self._checked = {}
        self.repeats = 0
        self.opened_times = 0

    def left(self, data):
        """Note replies that leave the host."""
        deframer = Deframer()
        for frame in deframer.feed(data):
            if frame.message:
                self._note(self._codec.decode(frame.message))
        assert not deframer.pending, "the host wrote half a frame"

    def _note(self, reply):
        fields = reply.fields
        if fields.get(CODE) != APPROVED or RRN not in fields:
            return
        name = (fields[TERMINAL], reply.mti, fields[STAN], fields[RRN])
        told = business_fields(fields)
        before = self._told.setdefault(name, told)
        self.repeats += before is not told
        assert before == told, f"{name} was answered {before}, and now {told}"

    def opened(self, book, vault):
        """Hold what was told against the book that was opened."""
        self.opened_times += 1
        once = {}
        for name in self._told:
            terminal, mti, stan, rrn = name
            shard, sequence = vault.sequence(rrn)
            entry = self._checked.get(name)
            if entry is None:
                row = book.view.get(schema.entry(sequence))
                assert shard == 0, f"{name}: its RRN is of another shard"
                assert row is not None, f"{name} was approved and is not in the journal"
                entry = self._checked[name] = (row.command[0], row.command[3], row.outcome)
            assert entry[:2] == (terminal, int(stan)), f"{name} is told of {entry}"
            reason = Reason(Outcome(*entry[2]).reason)
            assert reason is Reason.APPROVED, f"{name} was approved, and is {reason.name}"
            if mti != REVERSAL:
                held = once.setdefault((terminal, mti, stan), sequence)
                assert held == sequence, f"{name} is in entries {held} and {sequence}"

    def __len__(self):
        return len(self._told)
