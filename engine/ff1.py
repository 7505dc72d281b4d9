"""FF1 of NIST SP 800-38G: numbers of so many decimal digits under a keyed permutation.

Format-preserving encryption: every string of `digits` digits becomes another one of them, and no
two the same. The round function is CBC-MAC over two blocks, of which the first never changes, so
that a round costs one block of AES; `DecimalCipher.encipher_many` makes the blocks of many numbers
in one call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from engine import feistel

ROUNDS: Final = 10
"""Rounds of FF1 (SP 800-38G, algorithm 7)."""

_BLOCK_BYTES: Final = 16
_TWO_WORDS: Final = struct.Struct(">QQ")
_SHORT_BYTES: Final = 8

Encrypt = Callable[[bytes], bytes]


class DecimalCipher:
    """FF1 over strings of decimal digits of one length, under one tweak.

    Args:
        encrypt: AES on whole blocks, any number of them a call.
        digits: length of the strings, 6 to 28.
        tweak: at most 16 bytes less what half a string takes and one.

    Raises:
        ValueError: the length or tweak is out of these bounds.
    """

    def __init__(self, encrypt: Encrypt, digits: int, tweak: bytes) -> None:
        above, below = digits // 2, digits - digits // 2
        number_bytes = ((10**below - 1).bit_length() + 7) // 8  # b of the standard
        self._output = 4 * -(-number_bytes // 4) + 4  # d of the standard
        padding = -(len(tweak) + number_bytes + 1) % _BLOCK_BYTES
        if not 6 <= digits <= 28 or len(tweak) + number_bytes + 1 > _BLOCK_BYTES:  # noqa: PLR2004
            raise ValueError("a string of 6 to 28 digits, and a tweak that fits in a block beside")
        self._encrypt = encrypt
        self._sizes: tuple[int, int] = (10**above, 10**below)
        header = struct.pack(
            ">BBB3sBBII",
            1,
            2,
            1,
            (10).to_bytes(3, "big"),
            ROUNDS,
            above % 256,
            digits,
            len(tweak),
        )
        first = int.from_bytes(encrypt(header), "big")
        fixed = first ^ int.from_bytes((tweak + bytes(padding)).ljust(_BLOCK_BYTES, b"\0"), "big")
        # Round number and half a string stand at the end of the second block, in its low 64 bits.
        mask = (1 << 64) - 1
        self._high = fixed >> 64
        self._low = [fixed & mask ^ (number << 8 * number_bytes) for number in range(ROUNDS)]

    def encipher(self, number: int) -> int:
        """The number that a number below 10**digits becomes."""
        return self.encipher_many([number])[0]

    def encipher_many(self, numbers: list[int]) -> list[int]:
        """The numbers that some numbers below 10**digits become."""
        return feistel.permuted(numbers, self._sizes, ROUNDS, self._scramble)

    def decipher(self, number: int) -> int:
        """The number that became this one."""
        above, below = self._sizes
        left, right = divmod(number, below)
        encrypt, pack, high, low = self._encrypt, _TWO_WORDS.pack, self._high, self._low
        shift = 8 * (_BLOCK_BYTES - self._output)
        read = int.from_bytes
        for step in range(ROUNDS - 1, 0, -2):
            right = (right - (read(encrypt(pack(high, low[step] ^ left)), "big") >> shift)) % below
            block = encrypt(pack(high, low[step - 1] ^ right))
            left = (left - (read(block, "big") >> shift)) % above
        return left * below + right

    def _scramble(self, step: int, part: list[int]) -> tuple[int, ...]:
        """The round function of each value of a part: `_output` bytes of AES as a number."""
        blocks = [self._high] * (2 * len(part))
        low = self._low[step]
        blocks[1::2] = [low ^ value for value in part]
        layout = f">{len(blocks)}Q"
        found = struct.unpack(layout, self._encrypt(struct.pack(layout, *blocks)))
        if self._output == _SHORT_BYTES:
            return found[::2]
        if self._output == _BLOCK_BYTES:
            return tuple([a << 64 | b for a, b in zip(found[::2], found[1::2], strict=True)])
        return tuple([a << 32 | b >> 32 for a, b in zip(found[::2], found[1::2], strict=True)])
