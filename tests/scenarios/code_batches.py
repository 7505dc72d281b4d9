"""The verbs of batches of coupon codes, for `tests.scenarios.stage`.

Acts::

    open-codes B1 of SPRING count 10 [length 16] [rows]
    resend X                      (the code of this name)
    import-codes 1 X Y Z          (codes of these names, into the batch of this number)

Expectations::

    number 1
"""

from typing import Any

from engine.rules.code_batches import ImportCodes, OpenCodes
from engine.rules.resending import ResendCode
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

    def resend(self, words: Any) -> Any:
        return ResendCode(token("K", words.rest[0])[1], "clerk", "why")

    def expect_number(self, number: str) -> None:
        self.same("the number", self.facts()["number"], int(number))


ACTS = {
    "resend": CodeBatches.resend,
    "open-codes": CodeBatches.open_codes,
    "import-codes": CodeBatches.import_codes,
}
EXPECTATIONS = [(r"number (\d+)", CodeBatches.expect_number)]
