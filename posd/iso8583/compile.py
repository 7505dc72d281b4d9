"""The codec: decoders from `decoding`, and encoders generated as Python source, each kept.

How the encoder works
    Encoders are found by the field numbers in the order given. The first message with a set of
    fields is answered by the interpreter; then a function for exactly these fields is generated
    from the field table, compiled and kept, `COMPILED_MAX` at most. Generated source is made of the
    table's numbers and names nothing that a peer sent. When anything is wrong it gives up, and the
    interpreter is asked again to name the fault.

    The encoder takes what the decoder gives. Fixed `ans` is padded with spaces on the right, fixed
    `n` and `an` must have their exact length, the secondary bitmap is there if a field above 64 is.
    Fields 64 and 128 are bytes like others: give eight zero bytes, and put the MAC in their place.
"""

from binascii import unhexlify
from collections.abc import Callable, Mapping
from typing import Any, Final

from posd.iso8583 import interpret
from posd.iso8583.decoding import COMPILED_MAX, Decoders
from posd.iso8583.message import Message, Undecodable, Unencodable
from posd.iso8583.spec import FIELDS, Field

__all__ = [
    "COMPILED_MAX",
    "Codec",
    "Message",
    "Undecodable",
    "Unencodable",
    "compile_encoder",
]

Encoder = Callable[[str, Mapping[int, str | bytes]], bytes | None]
"""A compiled encoder: None, or one of `_REFUSALS` raised, where the interpreter would refuse."""

_REFUSALS: Final = (IndexError, ValueError, TypeError, AttributeError)

_TRACK_CHARACTERS: Final = "0123456789ABCDEF"


class Codec:
    """Encodes and decodes messages; holds the decoders and the compiled encoders.

    It is not safe to share between threads.
    """

    __slots__ = ("_encoders", "decode", "decoders")

    def __init__(self) -> None:
        self.decoders = Decoders()
        self.decode = self.decoders.decode
        self._encoders: dict[tuple[int, ...], Encoder] = {}

    def encode(self, mti: str, fields: Mapping[int, str | bytes]) -> bytes:
        """Encode a message, from its type to the last field given.

        Args:
            mti: Message type identifier, four digits.
            fields: Field number to value, in any order.

        Raises:
            Unencodable: A value does not fit its field.
        """
        encoder = self._encoders.get(tuple(fields))
        if encoder is not None:
            try:
                data = encoder(mti, fields)
            except _REFUSALS:
                data = None
            if data is not None:
                return data
        data = interpret.encode(mti, fields)
        if encoder is None and len(self._encoders) < COMPILED_MAX:
            self._encoders[tuple(fields)] = compile_encoder(sorted(fields))
        return data


def compile_encoder(numbers: list[int]) -> Encoder:
    """Generate the encoder of one set of fields, given in ascending order.

    Raises:
        KeyError: A number has no row.
    """
    bitmap = interpret.bitmap_of(numbers).hex()
    source = _EncoderSource(bitmap)
    for run in _encoder_runs([FIELDS[number] for number in numbers]):
        source.add(run)
    encoder: Encoder = _build(source.text(), f"encoder of bitmap {bitmap}", _ENCODER_NAMES)
    return encoder


def _build(source: str, name: str, names: Mapping[str, object]) -> Any:
    """Compile generated source and return its function `run`."""
    namespace = dict(names)
    # The source is made of the field table and of numbers; no byte of a peer gets into it.
    exec(compile(source, f"<{name}>", "exec"), namespace)  # noqa: S102
    return namespace["run"]


def _encoder_runs(fields: list[Field]) -> list[list[Field]]:
    """Split fields into runs that are written as one string: digits of any form, fixed text."""
    runs: list[list[Field]] = []
    for field in fields:
        if runs and _joins(runs[-1][-1], field):
            runs[-1].append(field)
        else:
            runs.append([field])
    return runs


def _joins(before: Field, field: Field) -> bool:
    if before.content != field.content:
        return False
    fixed = not before.prefix and not field.prefix
    return field.content == "digits" or (field.content == "text" and fixed)


_ENCODER_NAMES: Final[dict[str, object]] = {
    "unhexlify": unhexlify,
    "HEX2": tuple(f"{length:02}" for length in range(100)),
    "HEX4": tuple(f"{length:04}" for length in range(1000)),
    "RAW2": tuple(bytes.fromhex(f"{length:02}") for length in range(100)),
    "RAW4": tuple(bytes.fromhex(f"{length:04}") for length in range(1000)),
    "TRACK": _TRACK_CHARACTERS,
}


class _EncoderSource:
    """Collects the parts of one encoder: hex strings for digits, text, and bytes as they are."""

    def __init__(self, bitmap: str) -> None:
        self._bitmap = bitmap
        self._lines: list[str] = []
        self._conditions = ["len(mti) != 4"]
        self._digits = ["mti"]
        self._parts: list[str] = []

    def add(self, run: list[Field]) -> None:
        """Add a run of fields of one content."""
        for field in run:
            self._lines.append(f"f{field.number} = fields[{field.number}]")
            self._check_length(field)
        first = run[0]
        if first.content == "digits":
            self._add_digits(run)
        elif first.content == "text":
            self._add_text(run)
        elif first.content == "track":
            self._add_track(first)
        else:
            for field in run:
                if field.prefix:
                    self._parts.append(self._prefix(field, "RAW"))
                self._parts.append(f"f{field.number}")

    def text(self) -> str:
        """Return the source of the whole encoder."""
        digits = "".join(f"{{{name}}}" for name in self._digits)
        self._conditions.append(f'not f"{digits}".isdecimal()')
        # Message type and bitmap join the hex string of the first run of digits, if there is one.
        head = f"{{mti}}{self._bitmap}"
        if self._parts and self._parts[0].startswith("unhexlify(n"):
            name = self._parts[0].removeprefix("unhexlify(").removesuffix(")")
            parts = [f'unhexlify(f"{head}{{{name}}}")', *self._parts[1:]]
        else:
            parts = [f'unhexlify(f"{head}")', *self._parts]
        body = [
            *self._lines,
            f"if {' or '.join(self._conditions)}:",
            "    return None",
            f'return b"".join(({", ".join(parts)},))',
        ]
        return "\n".join(["def run(mti, fields):", *(f"    {line}" for line in body), ""])

    def _check_length(self, field: Field) -> None:
        n = field.number
        if field.prefix:
            self._lines.append(f"k{n} = len(f{n})")
            self._conditions.append(f"k{n} > {field.length}")
        elif field.kind != "ans":  # padded: the run is measured as a whole
            self._conditions.append(f"len(f{n}) != {field.length}")

    @staticmethod
    def _prefix(field: Field, table: str) -> str:
        return f"{table}{field.prefix_bytes * 2}[k{field.number}]"

    def _add_digits(self, run: list[Field]) -> None:
        name = f"n{run[0].number}"
        pieces = []
        for field in run:
            n, digits = field.number, f"{{f{field.number}}}"
            if field.prefix:
                prefix = self._prefix(field, "HEX")
                pieces.append(f"{{{prefix}}}{digits}{{'0' if k{n} & 1 else ''}}")
            elif field.length % 2 == 0:
                pieces.append(digits)
            else:
                pieces.append(f"{digits}0" if field.justify == "left" else f"0{digits}")
        self._lines.append(f'{name} = f"{"".join(pieces)}"')
        self._digits.append(name)
        self._parts.append(f"unhexlify({name})")

    def _add_text(self, run: list[Field]) -> None:
        first, name = run[0], f"t{run[0].number}"
        pads = [f".ljust({field.length})" if field.kind == "ans" else "" for field in run]
        pieces = [f"f{field.number}{pad}" for field, pad in zip(run, pads, strict=True)]
        self._lines.append(f"{name} = {' + '.join(pieces)}")
        self._conditions.append(f"not {name}.isprintable()")
        if first.prefix:
            self._parts.append(self._prefix(first, "RAW"))
        elif any(pads):
            # No piece is shorter than its field, so the sum is right only if each of them is.
            self._conditions.append(f"len({name}) != {sum(field.length for field in run)}")
        self._parts.append(f"{name}.encode('ascii')")

    def _add_track(self, field: Field) -> None:
        n = field.number
        self._conditions.append(f"f{n}.strip(TRACK)")
        fill = f"{{'F' if k{n} & 1 else ''}}"
        self._parts.append(f'unhexlify(f"{{{self._prefix(field, "HEX")}}}{{f{n}}}{fill}")')
