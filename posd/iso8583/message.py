"""A decoded message, and the two ways in which the codec can refuse.

Both forms of the codec, the compiled one and the interpreter, give and take the same `Message` and
raise the same two errors, so that a caller never has to know which of them answered. Neither a
`repr` nor an error text ever holds the value of a field: card numbers and PIN blocks pass here.
"""

from typing import Final

_BLANK: Final[list[bytes | None]] = [None] * 65


def blank() -> list[bytes | None]:
    """Room for the bytes of fields up to 64, by number; none is there yet."""
    return _BLANK.copy()


class Undecodable(Exception):
    """The peer's bytes are not a message by section 2 of the terminal protocol.

    The text names the field and the rule that it broke, never the bytes themselves.
    """


class Unencodable(Exception):
    """A value does not fit its field: a bug of the side that encodes, never the peer's fault."""


class Message:
    """One ISO 8583 message: its type and its fields.

    Attributes:
        mti: Message type identifier, four digits, e.g. `"0200"`.
        fields: Field number to value. Digits (`n`), track data (`z`, `D` is the separator) and
            identifiers (`an`, fixed `ans`) are `str`; text in the terminal's own character set
            and binary fields are `bytes`.
        raw: By number, to 64, the bytes of the fields that a reply repeats (`spec.ECHOED`), length
            prefix included, None for all others; `blank` for a message that was not decoded.
        bitmap: As it came; empty for a message that was not decoded.
    """

    __slots__ = ("bitmap", "fields", "mti", "raw")

    def __init__(
        self,
        mti: str,
        fields: dict[int, str | bytes],
        raw: list[bytes | None] | None = None,
        bitmap: bytes = b"",
    ) -> None:
        self.mti = mti
        self.fields = fields
        self.raw: list[bytes | None] = blank() if raw is None else raw
        self.bitmap = bitmap

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.mti == other.mti and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # the fields can change

    def __repr__(self) -> str:
        """Name the type and the field numbers only: values may be secrets."""
        return f"Message({self.mti}, fields {sorted(self.fields)})"
