"""What befalls messages of every kind in the state machine."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

MONEY = "156"
HOUR_MS = 3600 * 1000
FATES = {
    "late": (),
    "dies": (),
    "repeated": ("repeat",),
    "reversed": ("reverse", "repeat the reversal"),
    "voided": ("void", "reverse"),
    "stands again": ("void", "un-void", "repeat"),
    "voided in the end": ("void", "un-void", "void"),
    "reversed in the end": ("void", "un-void", "reverse"),
    "returned": ("refund", "void", "reverse"),
    "stands again, returned": ("void", "un-void", "refund"),
    "dies with the void": ("dies", "void", "un-void"),
    "dies with what undid the void": ("void", "dies", "un-void", "void"),
    "lost with the void": ("void", "crash", "un-void"),
}
"""What is done to a message, as soon as it was answered."""


def as_original(command):
    """Amount, unit and member of a message, as its undo has to name them."""
    unit = getattr(command, "unit", MONEY if hasattr(command, "amount") else "")
    return getattr(command, "amount", 0), unit, getattr(command, "tokens", ())


class MessageSteps:
    """Messages that come after their reversal, and hosts that die with half a transaction done."""

    @rule(
        fates=st.lists(st.sampled_from(["", "late", "late", *FATES]), min_size=6, max_size=20),
        pause=st.sampled_from([0, 0, HOUR_MS, 26 * HOUR_MS]),
    )
    def decide_fates(self, fates, pause):
        """The next messages are reversed before they come, undone, or the host dies with them.

        It then stays down for a pause.
        """
        self.fates, self.pause = fates, pause

    def next_fate(self):
        """What befalls a message that is about to be sent; nothing, for one that is a fate."""
        return self.fates.pop() if self.fates and not self.befalling else ""

    def befall(self, command, acts):
        """Do to a message that was sent what its fate says."""
        self.befalling = True
        for act in acts:
            if act == "repeat":
                self.send(command)
            elif act == "reverse":
                self.reverse_message(command, "")
            elif act == "repeat the reversal":
                self.send(self.reversals[-1])
            elif act == "void":
                self.void_message(command, command.terminal)
            elif act == "un-void":
                self.reverse_void_of(command)
            elif act == "refund":
                self.return_part(command, as_original(command)[0] // 3, (), command.terminal)
            elif act == "dies":
                self.dying = True
            else:
                self.crash_and_reopen()
        self.befalling = False
