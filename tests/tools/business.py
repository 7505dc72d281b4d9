"""A little business done through the machine, as terminals would do it."""

from dataclasses import dataclass

from engine.directory import open_machine, open_vault
from engine.rules.points import Accrual, Redemption
from engine.rules.refund import Refund
from engine.rules.undo import Reversal, Void
from tests.tools.conftest import CARD, HOTEL

TERMINAL_ID = "00000001"


@dataclass
class Business:
    """Transactions by name: their RRNs, and the last sequence number."""

    rrns: dict
    sequence: int


def do_business(directory, at=None):
    """Earn, spend, void, refund and reverse; returns the RRNs."""
    vault = open_vault(directory)
    token = (("C", vault.token_digest("C", CARD)),)
    book, machine = open_machine(directory, follower=False)
    at = at or book.last_at
    rrns = {}
    sequences = {}

    def do(name, kind, stan, *values, function="220065"):
        content = vault.content_digest(f"{stan}".encode())
        command = kind(TERMINAL_ID, HOTEL, 1, stan, content, function, *values)
        answer = machine.execute(command, at + stan)
        assert answer.approved, (name, answer)
        sequences[name] = answer.sequence
        rrns[name] = vault.rrn(answer.sequence)

    do("earned", Accrual, 1, token, 12345)
    do("spent", Redemption, 2, token, "P01", 300, 0, function="006500")
    do("voided", Accrual, 3, token, 1000)
    do("void", Void, 4, token, "156", 1000, sequences["voided"], 0, 0, function="200000")
    do("refund", Refund, 5, (), "P01", 100, sequences["spent"], function="200000")
    do("reversed", Accrual, 6, token, 9900)
    do("reversal", Reversal, 6, token, "156", 9900, "68")
    sequence = book.sequence
    book.close()
    return Business(rrns, sequence)
