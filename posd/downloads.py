"""What terminals download, in blocks (``protocol.md``, section 4, 60.3 = 360).

The whole is a run of elements in the form of field 48, cut into blocks between elements, so that
each block is a run by itself. Each begins with the version (``1D``); the last ends with ``DG``, the
first 16 hexadecimal digits of SHA-256 over all elements but ``1D`` and ``DG``. A block asked for
again is the same as long as the version is: a terminal goes on where it was cut off, and begins
anew when the version is another.

The version is eight hexadecimal digits that follow from the parameters, a dash, and the number of
the hot-card list. A terminal that reports versions (``1C``, ``1D`` at sign-on) is told by the
header's processing request when it should download: 1 other parameters, 7 another hot-card list,
6 another program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from engine.draft import Draft
from engine.records import NO_HOT_CARDS, Alias, HotCards, Parameters
from engine.vault import Vault
from ledger import schema
from posd.iso8583.tlv import build_tlv
from posd.terminals import Mac, Standing

Elements = list[tuple[str, bytes]]

BLOCK_BYTES_MAX = 900
NAME_BYTES_MAX = 120
CARDS_AN_ELEMENT = 12
HOT_CARD_PREFIX = b"hot card "
"""What goes before a card number under the MAC, so that no such MAC is one of a message."""

PARAMETERS, PROGRAM, HOT_CARDS = 1, 6, 7
"""Processing requests of the reply's header."""


class Download:
    """What a terminal would download now.

    Attributes:
        version: see the module.
        software: version of the program that it should run, empty for any.
        elements: all but ``1D``, ``DG`` and the hot cards.
        hot: the hot-card list.
    """

    __slots__ = ("elements", "hot", "software", "version")

    def __init__(self, read: Callable[[bytes], Any], standing: Standing, draft: Draft) -> None:
        self.elements: Elements = []
        self.software = ""
        self._describe(standing, draft)
        self._add_parameters(read, standing)
        self.hot: HotCards = read(schema.HOT_CARDS_KEY) or NO_HOT_CARDS
        digest = hashlib.sha256(build_tlv(self.elements)).hexdigest()
        self.version = f"{digest[:8]}-{self.hot.number}"

    def _describe(self, standing: Standing, draft: Draft) -> None:
        """The merchant, and where terms are in force their program."""
        merchant, charset = standing.merchant, standing.charset
        if merchant is None:
            return
        self.elements.append(("34", _name(merchant.name, charset)))
        tariff = draft.find_tariff(merchant.id)
        if tariff is not None:
            program = tariff.program
            self.elements += [
                ("49", program.id.encode()),
                ("PN", _name(program.name, charset)),
                ("40", f"{program.points_per_yuan}/1".encode()),
            ]

    def _add_parameters(self, read: Callable[[bytes], Any], standing: Standing) -> None:
        """Entries of the widest scope first; a narrower one of the same name takes its place."""
        entries: dict[str, str] = {}
        owners = (("any", ""), ("merchant", standing.row.merchant), ("terminal", standing.row.id))
        for scope, owner in owners:
            row: Parameters | None = read(schema.parameters(scope, owner))
            if row is None:
                continue
            entries.update(row.entries)
            self.software = row.software or self.software
            self.elements.append(("PV", row.version.encode()))
        if self.software:
            self.elements.append(("SV", self.software.encode()))
        charset = standing.charset
        self.elements += [
            ("PE", f"{name}=".encode() + text.encode(charset, "replace"))
            for name, text in entries.items()
        ]

    def blocks(self, read: Callable[[bytes], Any], vault: Vault, mac: Mac) -> list[bytes]:
        """All blocks.

        Args:
            read: point reads, for the hot cards.
            vault: opens their ciphertexts.
            mac: the MAC under which the reply goes; each hot card is told as its MAC (hexadecimal),
                so that the list names cards to this terminal only.
        """
        elements = [*self.elements, *self._hot_cards(read, vault, mac)]
        digest = hashlib.sha256(build_tlv(elements)).hexdigest()[:16]
        elements.append(("DG", digest.encode()))
        head = build_tlv([("1D", self.version.encode())])
        blocks = [head]
        for element in elements:
            packed = build_tlv([element])
            if len(blocks[-1]) + len(packed) > BLOCK_BYTES_MAX:
                blocks.append(head)
            blocks[-1] += packed
        return blocks

    def _hot_cards(self, read: Callable[[bytes], Any], vault: Vault, mac: Mac) -> Elements:
        told = []
        for digest in self.hot.cards:
            alias: Alias | None = read(schema.alias("C", digest))
            if alias is not None:
                card = vault.unseal_token("C", alias.sealed).encode()
                told.append(mac(HOT_CARD_PREFIX + card).hex().encode())
        return [
            ("HC", b"".join(told[start : start + CARDS_AN_ELEMENT]))
            for start in range(0, len(told), CARDS_AN_ELEMENT)
        ]


def waiting(download: Download, software: str, version: str) -> int:
    """The processing request for a terminal that reported these versions; 0 for none.

    Args:
        download: what it would download.
        software: element 1C of its sign-on, empty for not reported.
        version: element 1D, the same.
    """
    if version:
        parameters, _, hot = version.partition("-")
        wanted, _, newest = download.version.partition("-")
        if parameters != wanted:
            return PARAMETERS
        if hot != newest:
            return HOT_CARDS
    if software and download.software and software != download.software:
        return PROGRAM
    return 0


def _name(name: str, charset: str) -> bytes:
    """A name for a till's display, cut between characters where it is too long."""
    cut = name.encode(charset, "replace")[:NAME_BYTES_MAX]
    return cut.decode(charset, "ignore").encode(charset)
