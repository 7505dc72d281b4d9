"""AES-CMAC (RFC 4493) of many messages under one key, with one call to the library for each.

CMAC is the last block of AES-CBC over the message, whose own last block is changed by one of two
keys first. So a context of CBC lives as long as the key. It cannot be given its initial vector of
zeros again; but what it will XOR onto the next block is the last block it produced, and that same
block, put onto the first block of the next message beforehand, cancels it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

MAC_BYTES: Final = 8
"""Bytes of a MAC on the wire."""
_BLOCK: Final = 16
_HALF: Final = 8
_POLYNOMIAL: Final = 0x87
_PADDING: Final = b"\x80" + bytes(_BLOCK - 1)


class Cmac:
    """The MACs under one key; for one thread.

    Args:
        key: 16 bytes.
    """

    __slots__ = ("_chain", "_left_high", "_left_low", "_padded_key", "_whole_key")

    def __init__(self, key: bytes) -> None:
        first = Cipher(AES(key), modes.CBC(bytes(_BLOCK))).encryptor().update(bytes(_BLOCK))
        whole = _doubled(int.from_bytes(first, "big"))
        self._whole_key: bytes = whole.to_bytes(_BLOCK, "big")
        self._padded_key: bytes = _doubled(whole).to_bytes(_BLOCK, "big")
        self._chain: Callable[[bytes], bytes] = (
            Cipher(AES(key), modes.CBC(bytes(_BLOCK))).encryptor().update
        )
        # The last block produced, as two numbers.
        self._left_high = i64(0)
        self._left_low = i64(0)

    def mac(self, message: bytes) -> bytes:
        """The first `MAC_BYTES` of the CMAC of a message."""
        size = len(message)
        writer = BytesWriter()
        if size >= _BLOCK:
            write_i64_be(writer, read_i64_be(message, 0) ^ self._left_high)
            write_i64_be(writer, read_i64_be(message, _HALF) ^ self._left_low)
            writer.write(message[_BLOCK:])
        else:
            writer.write(message)
        over: i64 = size % _BLOCK
        key = self._whole_key
        if over or not size:
            writer.write(_PADDING[: _BLOCK - over])
            key = self._padded_key
        last: i64 = len(writer) - _BLOCK
        for place in range(_BLOCK):
            writer[last + place] = writer[last + place] ^ key[place]
        data = writer.getvalue()
        if size < _BLOCK:
            both = BytesWriter()
            write_i64_be(both, read_i64_be(data, 0) ^ self._left_high)
            write_i64_be(both, read_i64_be(data, _HALF) ^ self._left_low)
            data = both.getvalue()
        made = self._chain(data)
        self._left_high = read_i64_be(made, last)
        self._left_low = read_i64_be(made, last + _HALF)
        return made[last : last + MAC_BYTES]

    def __repr__(self) -> str:
        return "Cmac()"


def _doubled(block: int) -> int:
    """A block times two in the field of 2**128 elements."""
    doubled = block << 1
    return doubled ^ (1 << 8 * _BLOCK | _POLYNOMIAL) if doubled >> 8 * _BLOCK else doubled
