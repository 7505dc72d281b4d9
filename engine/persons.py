"""What stands for a person's cards and phones, and how it is made worthless for good.

Tables and journal hold no card number, phone or token of a member, but its *name*, 16 bytes, and
sometimes its ciphertext. Both need a key of its own, a leaf of a tree (`engine.keytree`):

- The *digest* of a token is keyed by the key file's master. Its first bytes are the position of its
  leaf, and leaf and digest together (exclusive or) are its name. Without the leaf nobody who knows
  the number, and has the key file, can tell its name.
- Its ciphertext is sealed under the leaf of another tree. That position follows from the first
  leaf and stands before the ciphertext: it tells nothing about the number.

The trees are in the key file and nowhere else. Forgetting destroys both leaves, and with them every
mention of the token in journal, tables, archives and backups, whenever they were made. A number
that comes back afterwards gets a name that has nothing to do with the one before, from a further
tree. What the trees do tell to whoever has the key file and a number: that this number was
forgotten once.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.keytree import KEY_BYTES, POSITION_BYTES, KeyTree

ROOT_BYTES: Final = 2 * KEY_BYTES
"""Bytes of which a new ring's trees are made."""

_CHECK_BYTES: Final = 8
_number: Final = int.from_bytes
"""As in `engine.keytree`."""


class Persons:
    """The trees; unchangeable."""

    __slots__ = ("_names", "_seals")

    def __init__(self, names: tuple[KeyTree, ...], seals: KeyTree) -> None:
        """Take the trees of names, each for what the ones before lost, and that of ciphertexts."""
        self._names = names
        self._seals = seals

    @classmethod
    def rooted(cls, root: bytes) -> Persons:
        """Whole trees from `ROOT_BYTES` random bytes."""
        names, seals = root[:KEY_BYTES], root[KEY_BYTES:]
        return cls((KeyTree.rooted(names),), KeyTree.rooted(seals))

    def name(self, digest: bytes) -> bytes:
        """The name of the token with a digest of 16 bytes."""
        return _name(self._leaf(digest), digest)

    def names(self, digests: Sequence[bytes]) -> list[bytes]:
        """The names of tokens, as `name` tells each; many together cost a fraction."""
        leaves = self._names[0].leaves([digest[:POSITION_BYTES] for digest in digests])
        found: list[bytes] = []
        for place, leaf in enumerate(leaves):
            found.append(self._leaf(digests[place]) if leaf is None else leaf)
        names = _name(b"".join(found), b"".join(digests))
        return [names[at : at + KEY_BYTES] for at in range(0, len(names), KEY_BYTES)]

    def _leaf(self, digest: bytes) -> bytes:
        position = digest[:POSITION_BYTES]
        for tree in self._names:
            leaf = tree.leaf(position)
            if leaf is not None:
                return leaf
        raise AssertionError("the last tree of names leads to every leaf")  # see `without`

    def place(self, digest: bytes) -> tuple[bytes, bytes, bytes]:
        """Of the token with a digest: its name; where its ciphertext has its key; that key."""
        leaf = self._leaf(digest)
        tried = 0
        while True:
            made = hashlib.sha256(b"seal position %d " % tried + leaf).digest()
            key = self._seals.leaf(made[:POSITION_BYTES])
            if key is not None:
                return _name(leaf, digest), made[:POSITION_BYTES], key
            tried += 1  # somebody else's, forgotten: once in many million times

    def key(self, position: bytes) -> bytes | None:
        """The key of the ciphertexts with a position; None where it was destroyed."""
        return self._seals.leaf(position)

    def without(self, tokens: Iterable[tuple[bytes, bytes]]) -> Persons:
        """These trees without the leaves of tokens, each a digest and a ciphertext's position."""
        positions, places = set(), set()
        for digest, place in tokens:
            positions.add(digest[:POSITION_BYTES])
            places.add(place)
        names = list(self._names)
        cut: list[set[bytes]] = [set() for _ in names]
        for position in positions:
            for number, tree in enumerate(names):
                if tree.leaf(position) is not None:
                    cut[number].add(position)
                    break
        if cut[-1]:
            names.append(KeyTree.rooted(os.urandom(KEY_BYTES)))
            cut.append(set())
        trees = zip(names, cut, strict=True)
        made = tuple([tree.without(gone) if gone else tree for tree, gone in trees])
        return Persons(made, self._seals.without(places))

    # In the key file.

    def document(self) -> dict[str, Any]:
        """The trees as the key file holds them."""
        trees = [tree.packed() for tree in (*self._names, self._seals)]
        return {
            "trees": [base64.b64encode(tree).decode() for tree in trees],
            "check": _check(trees),
        }

    @classmethod
    def of_document(cls, document: object) -> Persons | None:
        """The trees that `document` told; None where they are damaged."""
        if not isinstance(document, dict) or not isinstance(document.get("trees"), list):
            return None
        try:
            packed = [base64.b64decode(text, validate=True) for text in document["trees"]]
            trees = [KeyTree.unpacked(tree) for tree in packed]
        except (TypeError, ValueError):
            return None
        if len(trees) < 2 or document.get("check") != _check(packed):  # noqa: PLR2004 - names and seals
            return None
        return cls(tuple(trees[:-1]), trees[-1])

    def __repr__(self) -> str:
        return "Persons()"


def _name(leaves: bytes, digests: bytes) -> bytes:
    """Names, one behind the other, of the tokens with these leaves and digests."""
    names = _number(leaves, "big") ^ _number(digests, "big")
    return names.to_bytes(len(digests), "big")


def _check(trees: list[bytes]) -> str:
    return hashlib.sha256(b"".join(trees)).hexdigest()[: 2 * _CHECK_BYTES]
