"""The verbs of batches of coupon codes, for `tests.scenarios.stage`.

Acts::

    open-codes B1 of SPRING count 10 [length 16] [rows]
    resend X                      (the code of this name)
    import-codes 1 X Y Z          (codes of these names, into the batch of this number)
    hand-out B1 1 5 DEPOT         (serial numbers, to whom; 0 for the last)
    take-back B1 1 5 DEPOT

Expectations::

    number 1
    distributed 5                 (codes that left, or came back where below zero)
    with somebody 5               (codes of batch 1 that somebody has)
"""

from typing import Any

from engine import codes
from engine.rules.code_batches import HandOut, ImportCodes, OpenCodes, TakeBack, handed_out
from engine.rules.resending import ResendCode
from ledger import schema
from tests.engine.house import sealed, token
from tests.scenarios.words import options


class CodeBatches:
    """The part of a stage that knows batches of codes."""

    def open_codes(self, words: Any) -> Any:
        name, *rest = words.rest
        said = options(rest, "rows")
        length = int(said.get("length", 20))
        rows = "rows" in said
        return OpenCodes(name, said["of"], int(said["count"]), length, "key", rows)

    def import_codes(self, words: Any) -> Any:
        number, *names = words.rest
        return ImportCodes(
            int(number), tuple((token("K", name)[1], sealed(name)) for name in names)
        )

    def hand_out(self, words: Any) -> Any:
        name, first, last, *holder = words.rest
        return HandOut(name, int(first), int(last), " ".join(holder))

    def take_back(self, words: Any) -> Any:
        name, first, last, *holder = words.rest
        return TakeBack(name, int(first), int(last), " ".join(holder))

    def expect_distributed(self, count: str) -> None:
        self.same("codes that moved", self.facts()["distributed"], int(count))

    def expect_with_somebody(self, count: str) -> None:
        ranges = handed_out(self.book.view.get, schema.handed(codes.COUPON, 1))
        self.same("codes", sum(last - first + 1 for first, last, _ in ranges), int(count))

    def resend(self, words: Any) -> Any:
        return ResendCode(token("K", words.rest[0])[1], "clerk", "why")

    def expect_number(self, number: str) -> None:
        self.same("the number", self.facts()["number"], int(number))


ACTS = {
    "resend": CodeBatches.resend,
    "hand-out": CodeBatches.hand_out,
    "take-back": CodeBatches.take_back,
    "open-codes": CodeBatches.open_codes,
    "import-codes": CodeBatches.import_codes,
}
EXPECTATIONS = [
    (r"number (\d+)", CodeBatches.expect_number),
    (r"distributed (-?\d+)", CodeBatches.expect_distributed),
    (r"with somebody (\d+)", CodeBatches.expect_with_somebody),
]
