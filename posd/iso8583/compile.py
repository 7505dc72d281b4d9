"""The codec: the field table turned into Python source, one function for each bitmap.

How it works
    The first message with a given bitmap is answered by the interpreter. If that succeeded, a
    decoder for exactly this bitmap is generated from the field table, compiled and kept; the next
    message finds it by the bitmap's bytes. Encoders are found by the field numbers in the order
    given. At most `COMPILED_MAX` of each are kept and none is ever replaced; beyond that the
    interpreter goes on answering, so a hostile peer can make the host compile no more than that.
    Generated source is made of the table's numbers and names nothing that a peer sent.

    A generated function reads values only. It works on runs of neighbouring fields: one slice, one
    check for a whole run, then slices at constant places. Lengths come from tables in which an
    impossible prefix is absurdly large, so that the one comparison of the end of the last field
    with the end of the message finds every length that reaches too far. When anything is wrong it
    gives up, and the interpreter is asked again to name the fault.

What is judged
    Not decodable is what section 2 calls so: a nibble above 9 in a digits field (its filler
    included), in a length or in the message type; a length above the maximum or beyond the message;
    bytes after the last field; a bit without a row. Also an identifier (`an`, fixed `ans`) that is
    not printable ASCII, since it could neither be shown nor echoed.

    Not judged, because the page does not: which message type it is; whether filler digits are
    zero, and the filler nibble of track data; which of the sixteen track characters (ISO 7813: `0`
    to `?`) are used; spaces and signs within `an` (firmware sends a blank field 38); a secondary
    bitmap that names nothing; field 64 beside a secondary bitmap; variable fields of length zero.

    The encoder takes what the decoder gives. Fixed `ans` is padded with spaces on the right, fixed
    `n` and `an` must have their exact length, the secondary bitmap is there if a field above 64 is.
    Fields 64 and 128 are bytes like others: give eight zero bytes, and put the MAC in their place.
"""

import struct
from binascii import unhexlify
from collections.abc import Callable, Mapping
from typing import Any, Final

from posd.iso8583 import interpret
from posd.iso8583.message import Message, Undecodable, Unencodable
from posd.iso8583.spec import ECHOED, FIELDS, MTI_BYTES, Field

__all__ = [
    "COMPILED_MAX",
    "Codec",
    "Message",
    "Undecodable",
    "Unencodable",
    "compile_decoder",
    "compile_encoder",
]

COMPILED_MAX: Final = 256
"""Decoders, and encoders, that one codec compiles at most."""

Decoder = Callable[[bytes], Message | None]
"""A compiled decoder: None, or one of `_REFUSALS` raised, where the interpreter would refuse."""

Encoder = Callable[[str, Mapping[int, str | bytes]], bytes | None]
"""A compiled encoder, refusing in the same two ways."""

_REFUSALS: Final = (IndexError, ValueError, TypeError, AttributeError, struct.error)

_BEYOND: Final = 1 << 40
"""Stands for a length that is no BCD number; longer than any message, so that the end is wrong."""

_TRACK_CHARACTERS: Final = "0123456789ABCDEF"


def _bcd(byte: int) -> int:
    high, low = byte >> 4, byte & 15
    return high * 10 + low if high <= 9 and low <= 9 else _BEYOND  # noqa: PLR2004 - digits


_BCD: Final = tuple(_bcd(byte) for byte in range(256))
_BCD_HUNDREDS: Final = tuple(value * 100 for value in _BCD)


class Codec:
    """Encodes and decodes messages; holds the compiled functions.

    One instance serves a whole daemon. It is not safe to share between threads.
    """

    __slots__ = ("_decoders", "_encoders")

    def __init__(self) -> None:
        self._decoders: dict[bytes, Decoder] = {}
        self._encoders: dict[tuple[int, ...], Encoder] = {}

    def decode(self, data: bytes) -> Message:
        """Decode a message, from its type on, MAC field included.

        Raises:
            Undecodable: The bytes break a rule of section 2; no other error is ever raised.
        """
        # A bitmap of eight bytes and one of sixteen are never the start of one another: bit 1 says
        # which it is. So both can be looked up in one table, the common one first.
        decoder = self._decoders.get(data[2:10]) or self._decoders.get(data[2:18])
        if decoder is not None:
            try:
                message = decoder(data)
            except _REFUSALS:
                message = None
            if message is not None:
                return message
        return self._interpret(data)

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

    def _interpret(self, data: bytes) -> Message:
        """Decode without a compiled function, and compile one if there is room."""
        message = interpret.decode(data)
        bitmap = data[MTI_BYTES : interpret.read_head(data).end]
        if bitmap not in self._decoders and len(self._decoders) < COMPILED_MAX:
            self._decoders[bitmap] = compile_decoder(bitmap)
        return message


def compile_decoder(bitmap: bytes) -> Decoder:
    """Generate the decoder of one bitmap, 8 or 16 bytes.

    Raises:
        KeyError: The bitmap names a field that has no row.
    """
    source = _DecoderSource(MTI_BYTES + len(bitmap))
    fields = [FIELDS[number] for number in interpret.bits_of(bitmap)]
    for run in _runs(fields):
        source.add(run)
    name = f"decoder of bitmap {bitmap.hex()}"
    text = source.text()
    decoder: Decoder = _build(text, name, {**_DECODER_NAMES, **source.names})
    return decoder


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


def _runs(fields: list[Field]) -> list[list[Field]]:
    """Split fields into runs of neighbours that are read with one slice: fixed, same content."""
    return _grouped(fields, lambda a, b: not a.prefix and not b.prefix and a.content == b.content)


def _encoder_runs(fields: list[Field]) -> list[list[Field]]:
    """Split fields into runs that are written as one string: digits of any form, fixed text."""
    return _grouped(
        fields,
        lambda a, b: (
            a.content == b.content
            and (a.content == "digits" or (a.content == "text" and not a.prefix and not b.prefix))
        ),
    )


def _grouped(fields: list[Field], joins: Callable[[Field, Field], bool]) -> list[list[Field]]:
    runs: list[list[Field]] = []
    for field in fields:
        if runs and joins(runs[-1][-1], field):
            runs[-1].append(field)
        else:
            runs.append([field])
    return runs


_DECODER_NAMES: Final[dict[str, object]] = {
    "Message": Message,
    "BCD": _BCD,
    "BCD_HUNDREDS": _BCD_HUNDREDS,
}


class _DecoderSource:
    """Collects the lines of one decoder.

    A place in the message is a base and a constant. The base is nothing while all lengths so far
    were fixed; after a variable field it is `p<n>`, the offset in bytes behind field n, and `q<n>`,
    the same in hex digits.
    """

    def __init__(self, start: int) -> None:
        self._base = ""
        self._offset = start
        self._lines: list[str] = []
        self._values: list[str] = []
        self._raw: list[str] = []
        # The fixed fields since the last variable one: which are kept, and how wide each is.
        self._stretch: list[tuple[int, int]] = []
        self._stretch_at = str(start)
        self.names: dict[str, object] = {}
        self._conditions: list[str] = []
        self._digits = ["h[0:4]"]
        self._text: list[str] = []

    def add(self, run: list[Field]) -> None:
        """Add a run of fixed fields of one content, or a single variable field."""
        if run[0].prefix:
            self._add_variable(run[0])
        elif run[0].content == "digits":
            self._add_digits(run)
        elif run[0].content == "text":
            self._add_text(run)
        else:
            for field in run:
                end = self._at(field.length)
                self._value(field, f"data[{self._at()}:{end}]")
                self._stretch.append((field.number, field.length))
                self._offset += field.length

    def text(self) -> str:
        """Return the source of the whole decoder."""
        self._cut()
        digits = self._digits[0]
        if len(self._digits) > 1:
            digits = 'f"' + "".join(f"{{{piece}}}" for piece in self._digits) + '"'
        conditions = [f"{self._at()} != len(data)", *self._conditions]
        conditions += [f"not {digits}.isdecimal()"]
        conditions += [f"not {name}.isprintable()" for name in self._text]
        body = [
            "h = data.hex()",
            *self._lines,
            f"if {' or '.join(conditions)}:",
            "    return None",
            f"return Message(h[0:4], {{{', '.join(self._values)}}}, {{{', '.join(self._raw)}}})",
        ]
        return "\n".join(["def run(data):", *(f"    {line}" for line in body), ""])

    def _at(self, further: int = 0) -> str:
        """Return the expression of a place some bytes further on."""
        place = self._offset + further
        return f"{self._base}+{place}" if self._base else str(place)

    def _hex_at(self, further: int = 0) -> str:
        """Return the same place as `_at` does, in hex digits."""
        place = (self._offset + further) * 2
        return f"{self._base.replace('p', 'q')}+{place}" if self._base else str(place)

    def _value(self, field: Field, expression: str) -> None:
        self._values.append(f"{field.number}: {expression}")

    def _cut(self) -> None:
        """Cut the fields that a reply repeats out of a stretch of fixed ones, all in one call."""
        names = []
        layout = ">"
        for number, width in self._stretch:
            layout += f"{width}s" if number in ECHOED else f"{width}x"
            if number in ECHOED:
                names.append(f"r{number}")
                self._raw.append(f"{number}: r{number}")
        if names:
            cut = f"CUT{len(self.names)}"
            self.names[cut] = struct.Struct(layout).unpack_from
            self._lines.append(f"{', '.join(names)}, = {cut}(data, {self._stretch_at})")
        self._stretch = []

    def _add_digits(self, run: list[Field]) -> None:
        name = f"n{run[0].number}"
        width = sum(field.width(field.length) for field in run)
        self._stretch += [(field.number, field.width(field.length)) for field in run]
        self._lines.append(f"{name} = h[{self._hex_at()}:{self._hex_at(width)}]")
        self._digits.append(name)
        self._offset += width
        place = 0
        for field in run:
            nibbles = field.width(field.length) * 2
            start = place if field.justify == "left" else place + nibbles - field.length
            self._value(field, f"{name}[{start}:{start + field.length}]")
            place += nibbles

    def _add_text(self, run: list[Field]) -> None:
        name = f"t{run[0].number}"
        width = sum(field.length for field in run)
        self._stretch += [(field.number, field.length) for field in run]
        self._lines.append(f"{name} = data[{self._at()}:{self._at(width)}].decode('ascii')")
        self._text.append(name)
        self._offset += width
        place = 0
        for field in run:
            whole = width == field.length
            self._value(field, name if whole else f"{name}[{place}:{place + field.length}]")
            place += field.length

    def _add_variable(self, field: Field) -> None:
        n, prefix = field.number, field.prefix_bytes
        length = f"BCD[data[{self._at(prefix - 1)}]]"
        if prefix > 1:
            length = f"BCD_HUNDREDS[data[{self._at()}]] + {length}"
        start, hex_start = self._at(prefix), self._hex_at(prefix)
        self._cut()
        if n in ECHOED:
            self._raw.append(f"{n}: data[{self._at()}:p{n}]")
        self._lines.append(f"k{n} = {length}")
        width = f"(k{n} + 1 >> 1)" if field.packed else f"k{n}"
        self._lines.append(f"p{n} = {start} + {width}")
        self._lines.append(f"q{n} = p{n} + p{n}")
        self._conditions.append(f"k{n} > {field.length}")
        if field.content == "digits":
            self._lines.append(f"n{n} = h[{hex_start}:q{n}]")
            self._digits.append(f"n{n}")
            self._value(field, f"n{n}[0:k{n}]")
        elif field.content == "track":
            self._value(field, f"h[{hex_start}:{hex_start} + k{n}].upper()")
        elif field.content == "text":
            self._lines.append(f"t{n} = data[{start}:p{n}].decode('ascii')")
            self._text.append(f"t{n}")
            self._value(field, f"t{n}")
        else:
            self._value(field, f"data[{start}:p{n}]")
        self._base, self._offset = f"p{n}", 0
        self._stretch_at = f"p{n}"


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
