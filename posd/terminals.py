"""What the host knows of a terminal while it talks: keys ready for use, network and guess guards.

A `Standing` is made from the terminal's rows when it is first heard and made anew when one of them
changes, so that enabling, disabling, new keys and new networks take effect on live connections at
once. Session keys are not stored: set number n of a terminal follows from the key file, so a
pending set can be handed out any number of times, by any number of strangers, without a write.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

from engine.records import NO_KEYS, Keys, Merchant, Terminal
from engine.vault import Vault
from ledger import schema
from posd import security

STANDINGS_MAX: Final = 20_000
PEERS_MAX: Final = 10
"""Addresses of a terminal whose verdict is remembered."""
GUARDS_MAX: Final = 100_000
WAITING_UNKNOWN: Final = -1
CUP: Final = "tdes-cup"
AES: Final = "aes"
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

Mac = Callable[[bytes], bytes]


class KeySet:
    """The working keys of one set, ready for use."""

    __slots__ = ("keys", "mac", "number")

    def __init__(self, number: int, profile: str, keys: security.SessionKeys) -> None:
        self.number = number
        self.keys = keys
        self.mac: Mac = security.mac_calculator(profile, keys.mac_key)


class Standing:
    """A terminal as the host sees it now.

    Attributes:
        row, merchant, keys: the rows it was made from.
        revision: the machine's count of changes to such rows when they were last looked at.
        offered: True once the pending set was handed out since this process started, or the
            terminal has confirmed one before.
        software, version: what the terminal said it has (elements 1C and 1D), empty for nothing.
        waiting: the processing request that its replies carry; see `posd.downloads`;
            below zero where it has to be found out.
        heard: monotonic ms of its last message under a right MAC, 0 for none yet.
    """

    __slots__ = (
        "_networks",
        "_peers",
        "_sets",
        "_sign_on",
        "_tmk",
        "_vault",
        "charset",
        "heard",
        "keys",
        "keys_place",
        "merchant",
        "merchant_place",
        "offered",
        "revision",
        "row",
        "row_place",
        "software",
        "version",
        "waiting",
    )

    def __init__(
        self, row: Terminal, read: Callable[[bytes], Any], vault: Vault, revision: int
    ) -> None:
        self.row = row
        self.revision = revision
        self.row_place = schema.terminal(schema.TERMINAL, row.id)
        self.keys_place = schema.terminal(schema.KEYS, row.id)
        self.merchant_place = schema.named(schema.MERCHANT, row.merchant)
        self.keys: Keys | None = read(self.keys_place)
        self.merchant: Merchant | None = read(self.merchant_place)
        self.charset = row.charset
        self.offered = self.keys is not None and self.keys.live
        self._vault = vault
        self._tmk = b""
        self._sign_on: Mac | None = None
        self._sets: dict[int, KeySet] = {}
        networks = row.networks or (LOOPBACK if row.profile == CUP else ())
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._peers: dict[str, bool] = {}
        self.software = self.version = ""
        self.waiting = 0
        self.heard = 0

    def __repr__(self) -> str:
        """Show the id only: the rest leads to keys."""
        return f"Standing({self.row.id})"

    def current(self, read: Callable[[bytes], Any]) -> bool:
        """True while the rows that this was made from are the newest."""
        return (
            read(self.row_place) is self.row
            and read(self.keys_place) is self.keys
            and read(self.merchant_place) is self.merchant
        )

    def outdated(self) -> None:
        """Note that what the terminal would download may be another now."""
        if self.software or self.version:
            self.waiting = WAITING_UNKNOWN

    def network_allowed(self, address: str, *, tls: bool) -> bool:
        """True when the terminal may connect from this peer address."""
        if tls and self.row.profile == CUP and not self.row.networks:
            return True
        known = self._peers.get(address)
        if known is None:
            if len(self._peers) >= PEERS_MAX:
                self._peers.clear()
            known = not self._networks or _within(address, self._networks)
            self._peers[address] = known
        return known

    def tmk(self) -> bytes:
        """The terminal's master key, unsealed once."""
        if not self._tmk:
            self._tmk = self._vault.unseal(f"tmk:{self.row.id}", self.row.tmk)
        return self._tmk

    def pending(self) -> KeySet:
        """The key set that a sign-on hands out."""
        return self.key_set((self.keys or NO_KEYS).number + 1)

    def key_set(self, number: int) -> KeySet:
        """The key set of this number."""
        known = self._sets.get(number)
        if known is None:
            entropy = self._vault.entropy(f"{self.row.id}:{self.row.tmk_check}:{number}")
            keys = security.generate_keys(self.row.profile, entropy)
            known = self._sets[number] = KeySet(number, self.row.profile, keys)
        return known

    def sign_on_mac(self) -> Mac:
        """The MAC under the sign-on key (aes profile)."""
        if self._sign_on is None:
            key = security.sign_on_key(self.tmk())
            self._sign_on = security.mac_calculator(AES, key)
        return self._sign_on

    def verify(self, message: bytes, at: int) -> KeySet | None:
        """The key set under which a message's MAC, its last 8 bytes, verifies; None for none.

        Args:
            message: from the message type to the MAC field, inclusive.
            at: wall clock in ms, for the end of the old set.
        """
        body, mac = message[:-8], message[-8:]
        keys = self.keys or NO_KEYS
        if keys.live:
            known = self._sets.get(keys.number) or self.key_set(keys.number)
            if compare_digest(known.mac(body), mac):
                return known
        if keys.previous and at < keys.previous_until:
            known = self.key_set(keys.previous)
            if compare_digest(known.mac(body), mac):
                return known
        known = self.key_set(keys.number + 1)
        if compare_digest(known.mac(body), mac):
            return known
        return None


def _within(address: str, networks: tuple[Any, ...]) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer.version == network.version and peer in network for network in networks)


@dataclass(slots=True)
class GuardLimits:
    """When guards close a door, and for how long.

    Attributes:
        wrong_macs: wrong MACs in a row, for a terminal from a peer, that close the door.
        drop_ms: how long it stays closed.
        guesses: unknown members that a terminal may name in a window.
        guess_window_ms: that window.
        guess_lock_ms: how long it is answered 34 after one more.
    """

    wrong_macs: int = 10
    drop_ms: int = 60_000
    guesses: int = 10
    guess_window_ms: int = 60_000
    guess_lock_ms: int = 600_000


class Guards:
    """Counters in memory against guessing; nothing here costs a disk write or locks a terminal.

    Times are monotonic ms given by the caller.
    """

    __slots__ = ("_dropped_until", "_guesses", "_locked_until", "_wrong", "limits")

    def __init__(self) -> None:
        self.limits = GuardLimits()
        self._wrong: dict[tuple[str, str], int] = {}
        self._dropped_until: dict[tuple[str, str], int] = {}
        self._guesses: dict[str, deque[int]] = {}
        self._locked_until: dict[str, int] = {}

    def dropped(self, terminal: str, peer: str, now: int) -> bool:
        """True while messages for a terminal from a peer are dropped after wrong MACs."""
        if not self._dropped_until:
            return False
        until = self._dropped_until.get((terminal, peer))
        if until is None:
            return False
        if now < until:
            return True
        del self._dropped_until[terminal, peer]
        return False

    def wrong_mac(self, terminal: str, peer: str, now: int) -> bool:
        """Count a wrong MAC; True when this one closes the door for a minute."""
        key = (terminal, peer)
        if len(self._wrong) >= GUARDS_MAX:
            self._wrong.clear()
        count = self._wrong.get(key, 0) + 1
        if count < self.limits.wrong_macs:
            self._wrong[key] = count
            return False
        self._wrong.pop(key, None)
        if len(self._dropped_until) >= GUARDS_MAX:
            self._dropped_until.clear()
        self._dropped_until[key] = now + self.limits.drop_ms
        return True

    def right_mac(self, terminal: str, peer: str) -> None:
        """Forget wrong MACs after a right one."""
        if self._wrong:
            self._wrong.pop((terminal, peer), None)

    @property
    def locked(self) -> bool:
        """True while any terminal is answered 34."""
        return bool(self._locked_until)

    def guessing(self, terminal: str, now: int) -> bool:
        """True while a terminal is answered 34."""
        until = self._locked_until.get(terminal)
        if until is None:
            return False
        if now < until:
            return True
        del self._locked_until[terminal]
        return False

    def guessed(self, terminal: str, now: int) -> bool:
        """Count an unknown card, member or code; True when this one is one too many."""
        times = self._guesses.setdefault(terminal, deque())
        times.append(now)
        while times[0] <= now - self.limits.guess_window_ms:
            times.popleft()
        if len(times) <= self.limits.guesses:
            return False
        del self._guesses[terminal]
        self._locked_until[terminal] = now + self.limits.guess_lock_ms
        return True
