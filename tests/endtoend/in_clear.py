"""Looks for secrets in files, in every form in which they could have been left by accident.

A file is looked at as it is, and as what it holds when it is unpacked: xz (archived segments,
backups), zip (workbooks), the pages of a PDF. Numbers are looked for as digits and as
packed BCD, filled on either side; keys raw, as hexadecimal digits and as base64.
"""

import base64
import io
import lzma
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pypdf import PdfReader

_DIGITS = re.compile(rb"\d{11,}")
_BCD_BYTES = b"".join(b"%c-%c" % (tens << 4, tens << 4 | 9) for tens in range(10))
_PACKED = re.compile(
    rb"[" + _BCD_BYTES + rb"]{5,}[" + _BCD_BYTES + rb"\x0f\x1f\x2f\x3f\x4f\x5f\x6f\x7f\x8f\x9f]"
)
_XZ = b"\xfd7zXZ\x00"
_NUMBER_MIN = 11
"""Digits of the shortest number that can be told from chance in a file of any size."""


class Secrets:
    """What must not be found.

    Args:
        numbers: cards, phones, codes and PINs, by what they are; of eleven digits at least.
        keys: raw keys, by what they are.
    """

    def __init__(self, numbers: dict[str, str], keys: dict[str, bytes]) -> None:
        assert all(len(number) >= _NUMBER_MIN for number in numbers.values())
        self._digits = {number.encode(): what for what, number in numbers.items()}
        self._packed: dict[bytes, str] = {}
        for what, number in numbers.items():
            odd = len(number) % 2
            forms = ("0" + number, number + "0", number + "f") if odd else (number,)
            self._packed |= {bytes.fromhex(form): what for form in forms}
        self._lengths = {len(one) for one in self._digits}
        self._packed_lengths = {len(one) for one in self._packed}
        self._texts: dict[bytes, str] = {}
        for what, key in keys.items():
            hexadecimal = key.hex().encode()
            for form in (key, hexadecimal, hexadecimal.upper(), base64.b64encode(key).rstrip(b"=")):
                self._texts[form] = what

    def found_in(self, data: bytes) -> set[str]:
        """What of the secrets is in some bytes."""
        found = {what for text, what in self._texts.items() if text in data}
        found |= set(_windows(_DIGITS.finditer(data), self._digits, self._lengths))
        for piece in data.split(bytes(8)):  # no number has so many zeros, and files do
            found |= set(_windows(_PACKED.finditer(piece), self._packed, self._packed_lengths))
        return found


def _windows(
    runs: Iterable[re.Match[bytes]], wanted: dict[bytes, str], lengths: set[int]
) -> Iterator[str]:
    for match in runs:
        run = match.group()
        for length in lengths:
            for start in range(len(run) - length + 1):
                what = wanted.get(run[start : start + length])
                if what is not None:
                    yield what


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and those of everything packed in it."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    start = data.find(_XZ)
    while start >= 0:
        yield _unpacked(lzma.LZMADecompressor(), data[start:])
        start = data.find(_XZ, start + 1)
    if data[:5] == b"%PDF-":
        for page in PdfReader(path).pages:
            yield page.extract_text().encode()


def _unpacked(machine: lzma.LZMADecompressor, data: bytes) -> bytes:
    try:
        return machine.decompress(data)
    except lzma.LZMAError:
        return b""  # the bytes looked like a beginning and were none


def leaks(folder: Path, secrets: Secrets, exempt: Iterable[str] = ()) -> dict[str, set[str]]:
    """Files under a folder and the secrets in them, those apart whose purpose it is to hold them.

    Args:
        folder: what is looked through.
        secrets: what for.
        exempt: patterns of paths below the folder that are left out.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if not path.is_file() or any(below.match(pattern) for pattern in exempt):
            continue
        here = set().union(*(secrets.found_in(data) for data in contents(path)))
        if here:
            found[str(below)] = here
    return found
