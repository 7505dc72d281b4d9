"""Retrieval reference numbers: a keyed permutation of the numbers below 10**12, in 12 digits.

A balanced Feistel network: the number is two halves of six digits, and each round adds to one
half, modulo 10**6, an AES-based function of the other. The 64-bit output of that function
taken modulo 10**6 is uniform to one part in 10**13.

Eight rounds. Generic attacks tell a network of five or fewer from a random permutation with
less than its whole codebook; from six on they need all of it, and six is the least advised
(Patarin, Generic Attacks on Feistel Schemes, Asiacrypt 2001). Two more are margin; NIST's
FF3-1 has eight as well. Little is at stake: who guessed an RRN would still need the keys of a
terminal of that merchant to do anything with it.

Calls cost, so the numbers that follow the last one asked for are made in one go, an AES call
a round for all of them. A number out of the row is worked out alone and leaves the block as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

DIGITS: Final = 12
ROUNDS: Final = 8
_ROUND_KEY_BYTES: Final = 16
KEY_BYTES: Final = _ROUND_KEY_BYTES * ROUNDS
BLOCK: Final = 64
"""Numbers that are made in one go: the cost of each against the pause for all of them."""

_HALF: Final = 10**6
_ABOVE: Final = 10**DIGITS
_BLOCK_BYTES: Final = 16
"""An AES block is the half as a 64-bit number and eight zero bytes; of the result, the first 64
bits count. A key for each round keeps the rounds apart."""
_SIGNED: Final = (1 << 64) % _HALF
"""What a number of 64 bits lacks, modulo the size of a half, when it is read as a signed one."""


class RetrievalNumbers:
    """The numbers of a key file.

    Args:
        key: `KEY_BYTES`.
        block_cipher: makes a cipher on single blocks of a key.
    """

    __slots__ = ("_block", "_first", "_last", "_rounds")

    def __init__(
        self, key: bytes, block_cipher: Callable[[bytes], Callable[[bytes], bytes]]
    ) -> None:
        self._rounds: list[Callable[[bytes], bytes]] = [
            block_cipher(key[at : at + _ROUND_KEY_BYTES])
            for at in range(0, KEY_BYTES, _ROUND_KEY_BYTES)
        ]
        self._first = 0
        self._block: list[str] = []
        # The number asked for or made last; below any number at first.
        self._last = -BLOCK

    def encipher(self, number: int) -> str:
        """The digits that stand for a number below 10**12."""
        ahead = number - self._first
        if 0 <= ahead < len(self._block):
            return self._block[ahead]
        follows = 0 < number - self._last < BLOCK
        self._last = number
        if not follows:
            return self._alone(number)
        self._first = number
        # The last block may run beyond 10**12; nobody asks for those numbers.
        self._block = self._following(number)
        self._last = number + len(self._block) - 1
        return self._block[0]

    def decipher(self, number: int) -> int:
        """The number for which 12 digits stand."""
        left, right = divmod(number, _HALF)
        for encrypt in reversed(self._rounds):
            left, right = (right - _of_half(encrypt, left)) % _HALF, left
        return left * _HALF + right

    def _alone(self, number: int) -> str:
        left, right = divmod(number, _HALF)
        for encrypt in self._rounds:
            left, right = right, (left + _of_half(encrypt, right)) % _HALF
        return _digits(left * _HALF + right)

    def _following(self, first: int) -> list[str]:
        """The digits of `BLOCK` numbers, as `_alone` tells each."""
        half: i64 = _HALF
        left = vec[i64]()
        right = vec[i64]()
        for ahead in range(BLOCK):
            number: i64 = first + ahead
            left = append(left, number // half)
            right = append(right, number % half)
        for encrypt in self._rounds:
            writer = BytesWriter()
            for value in right:
                write_i64_le(writer, value)
                write_i64_le(writer, 0)
            made = encrypt(writer.getvalue())
            for place in range(BLOCK):
                more = read_i64_le(made, place * _BLOCK_BYTES)
                more = more % half + (_SIGNED if more < 0 else 0)
                left[place] = (left[place] + more) % half
            left, right = right, left
        return [_digits(left[place] * half + right[place]) for place in range(BLOCK)]

    def __repr__(self) -> str:
        return "RetrievalNumbers()"


def _digits(number: int) -> str:
    """The number with leading zeros; compiled, a format with a width is slow."""
    return str(_ABOVE + number)[1:]


def _of_half(encrypt: Callable[[bytes], bytes], half: int) -> int:
    return int.from_bytes(encrypt(half.to_bytes(16, "little"))[:8], "little")
