"""A key for every position, each of which can be destroyed without touching the others.

A tree of keys after Goldreich, Goldwasser and Micali (1986): the root is 16 random bytes, a node's
sixteen children follow from its key and their number, and the key of a position is the leaf ten
steps down. Whoever holds the root has every leaf. To destroy one, the root is replaced by the
siblings along the path to it: they lead to all other leaves, and nothing leads to that one any more
(a puncturable pseudo-random function). So a tree is as small as one key until something is
destroyed, grows by at most 150 nodes with each leaf destroyed, and needs no word of the
positions in use.

A position has 40 bits. Two values at one position share its key, and lose it together: where
three million values are kept and a thousand are destroyed, that befalls one of the others in one
of four hundred installations.

`leaf` and `leaves` are on the path of a message. The nodes four steps down, 65,536 at most, are
made once, all together in some milliseconds; from there a leaf is six children away. A child is one
block of AES under a key that everybody knows, exclusive or its input (a fixed-key cipher as a hash
that is robust against correlated inputs: Guo, Katz, Wang and Yu 2020): the children of many keys
are made in one call, so that a leaf among a hundred costs a tenth of a leaf alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from librt.strings import BytesWriter, read_i64_be, write_i64_be
from librt.vecs import append, vec
from mypy_extensions import i64

POSITION_BYTES: Final = 5
"""Bytes of a position."""
KEY_BYTES: Final = 16
"""Bytes of every key in the tree."""

_STEPS: Final = 2 * POSITION_BYTES
_CHILDREN: Final = 16
_TOP_BYTES: Final = 2
_TOP_STEPS: Final = 2 * _TOP_BYTES
_TOPS: Final = 1 << 8 * _TOP_BYTES
_HALF: Final = KEY_BYTES // 2
_number: Final = int.from_bytes
"""Bound here, since compiled code makes a method of a class anew at each call."""
_NODE: Final = struct.Struct(f"{1 + POSITION_BYTES}s{KEY_BYTES}s")
"""A node as bytes: its head (`_head`) and its key."""
_ZEROS: Final = bytes(KEY_BYTES - 1)
_ALL_DIGITS: Final = b"".join([bytes((*_ZEROS, digit)) for digit in range(_CHILDREN)])
_ASKED_MAX: Final = 64
"""Single leaves that are asked for before it pays to make all tops."""

# The key is no secret: the cipher stands for one permutation that nobody chose.
_permute: Final = Cipher(AES(b"counterfoil tree"), modes.ECB()).encryptor().update  # noqa: S305


class KeyTree:
    """Keys by position; unchangeable, `without` makes another."""

    __slots__ = ("_asked", "_known", "_nodes", "_tops")

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        """Lead from nodes, by their heads; `rooted` and `unpacked` are the usual ways."""
        self._nodes = nodes
        self._asked = 0
        self._tops = b""
        self._known = b""  # which of the tops there are; empty before they were made

    @classmethod
    def rooted(cls, root: bytes) -> KeyTree:
        """A whole tree from the key of its root."""
        return cls({_head(bytes(POSITION_BYTES), 0): root})

    def leaf(self, position: bytes) -> bytes | None:
        """The key of a position of `POSITION_BYTES`; None where it was destroyed."""
        if self._asked < _ASKED_MAX:
            self._asked += 1
            return self._from_nodes(position)
        return self.leaves((position,))[0]

    def leaves(self, positions: Sequence[bytes]) -> list[bytes | None]:
        """The keys of positions, as `leaf` tells each."""
        if not self._known:
            self._make_tops()
        known, tops = self._known, self._tops
        leaves: list[bytes | None] = []
        whole: list[int] = []
        for position in positions:
            if known[position[0] << 8 | position[1]]:
                whole.append(len(leaves))
                leaves.append(None)
            else:
                leaves.append(self._from_nodes(position))
        if whole:
            below = _below(tops, [positions[index] for index in whole])
            at = 0
            for index in whole:
                leaves[index] = below[at : at + KEY_BYTES]
                at += KEY_BYTES
        return leaves

    def _make_tops(self) -> None:
        """Make the nodes four steps down, but for those below which something was destroyed."""
        tops, known = bytearray(_TOPS * KEY_BYTES), bytearray(_TOPS)
        for head, key in self._nodes.items():
            steps = head[0]
            if steps > _TOP_STEPS:
                continue
            keys = key
            for _ in range(_TOP_STEPS - steps):
                keys = _children(keys)
            first, count = head[1] << 8 | head[2], len(keys) // KEY_BYTES
            tops[first * KEY_BYTES : (first + count) * KEY_BYTES] = keys
            known[first : first + count] = b"\1" * count
        self._tops, self._known = bytes(tops), bytes(known)

    def _from_nodes(self, position: bytes) -> bytes | None:
        steps = _above(self._nodes, position)
        if steps is None:
            return None
        key = self._nodes[_head(position, steps)]
        while steps < _STEPS:
            key = _child(key, _digit(position, steps))
            steps += 1
        return key

    def without(self, positions: Iterable[bytes]) -> KeyTree:
        """A tree that leads to every leaf of this one but those of some positions."""
        nodes = dict(self._nodes)
        for position in positions:
            steps = _above(nodes, position)
            if steps is None:
                continue
            key = nodes.pop(_head(position, steps))
            while steps < _STEPS:
                digit = _digit(position, steps)
                for other in range(_CHILDREN):
                    if other != digit:
                        nodes[_head(position, steps, other)] = _child(key, other)
                key = _child(key, digit)
                steps += 1
        return KeyTree(nodes)

    def packed(self) -> bytes:
        """The nodes as bytes, ascending."""
        return b"".join([head + key for head, key in sorted(self._nodes.items())])

    @classmethod
    def unpacked(cls, data: bytes) -> KeyTree:
        """The tree of what `packed` gave.

        Raises:
            ValueError: it is something else.
        """
        if len(data) % _NODE.size:
            raise ValueError("these bytes are no tree of keys")
        return cls(dict(_NODE.iter_unpack(data)))

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"KeyTree({len(self)} nodes)"


def _head(position: bytes, steps: int, last: int | None = None) -> bytes:
    """What names the node so many steps down the path to a position.

    The number of steps, then the path, four bits a step, zeros behind.

    Args:
        position: where the path leads.
        steps: how far to go.
        last: a step further, to this child.
    """
    path = int.from_bytes(position, "big") >> 4 * (_STEPS - steps)
    if last is not None:
        path, steps = path << 4 | last, steps + 1
    return bytes((steps,)) + (path << 4 * (_STEPS - steps)).to_bytes(POSITION_BYTES, "big")


def _digit(position: bytes, steps: int) -> int:
    """Which child comes next on the path, so many steps down."""
    byte = position[steps // 2]
    return byte & 15 if steps % 2 else byte >> 4


def _above(nodes: dict[bytes, bytes], position: bytes) -> int | None:
    """How many steps down the node stands that leads to a leaf; None where none does."""
    for steps in range(_STEPS + 1):
        if _head(position, steps) in nodes:
            return steps
    return None


def _child(key: bytes, digit: int) -> bytes:
    return _hashed(key, bytes((*_ZEROS, digit)))


def _children(keys: bytes) -> bytes:
    """All children of nodes, in order."""
    repeated = [keys[at : at + KEY_BYTES] * _CHILDREN for at in range(0, len(keys), KEY_BYTES)]
    return _hashed(b"".join(repeated), _ALL_DIGITS * len(repeated))


def _hashed(keys: bytes, digits: bytes) -> bytes:
    """A child of each node: `digits` has its number as the last byte of a block of zeros."""
    blocks = _number(keys, "big") ^ _number(digits, "big")
    made = _number(_permute(blocks.to_bytes(len(keys), "big")), "big") ^ blocks
    return made.to_bytes(len(keys), "big")


def _below(tops: bytes, positions: list[bytes]) -> bytes:
    """The leaves of positions, one behind the other.

    Args:
        tops: all nodes four steps down, of which those above these positions are there.
        positions: where they are.
    """
    high = vec[i64]()
    low = vec[i64]()
    ways = vec[i64]()
    for position in positions:
        top: i64 = position[0] << 8 | position[1]
        high = append(high, read_i64_be(tops, top * KEY_BYTES))
        low = append(low, read_i64_be(tops, top * KEY_BYTES + _HALF))
        ways = append(ways, position[2] << 16 | position[3] << 8 | position[4])
    shift: i64 = 4 * (_STEPS - _TOP_STEPS)
    while shift:
        shift -= 4
        writer = BytesWriter()
        for place in range(len(ways)):
            low[place] ^= ways[place] >> shift & 15
            write_i64_be(writer, high[place])
            write_i64_be(writer, low[place])
        made = _permute(writer.getvalue())
        for place in range(len(ways)):
            high[place] ^= read_i64_be(made, place * KEY_BYTES)
            low[place] ^= read_i64_be(made, place * KEY_BYTES + _HALF)
    writer = BytesWriter()
    for place in range(len(ways)):
        write_i64_be(writer, high[place])
        write_i64_be(writer, low[place])
    return writer.getvalue()
