"""The key file, and everything that rests on it: digests, sealed values, PINs and RRNs.

One file outside the data directory holds 32 random bytes, the master. Every use gets a key of its
own from it by HKDF-SHA256 (RFC 5869) with its own label, so that no two uses share one:

- *Digests* stand in for codes and devices as keys of tables. They are keyed BLAKE2b of 16 bytes:
  without the key file nobody can try out the few billion numbers there are. What names a person
  (card, phone, token, identity number) stands there under a *name* instead, which takes a key more
  that can be destroyed for this one token (`engine.persons`): then it is forgotten.
- *Sealed values* are AES-256-GCM with a random 12-byte nonce. The first four bytes name the key,
  so that values sealed before and after a rotation can be told apart. Random nonces allow 2**32
  values a key (NIST SP 800-38D, section 8.3). The first sealing key follows from the master,
  further ones (`Vault.rotate`) are in the file; the newest seals, all of them unseal. Digests are
  names in tables and journal: they stay with the master. What names a person is sealed under both,
  a sealing key and that of the token.
- *PINs* are kept as keyed digests only. A PIN space is small; the key alone protects it, and a
  slow hash would protect no better against somebody who has the key.
- *Retrieval reference numbers* are (shard, sequence number) under a keyed permutation.

A Vault belongs to one thread (the event loop): its cipher contexts are shared between calls.

What memory hygiene can and cannot do here. A Vault keeps no key as a Python value but for the
trees of persons: after opening, keys live in the library's contexts only (OpenSSL and BLAKE2b
states), and no token opens or has its name without one of those. It cannot be pickled or
copied, and `repr` shows the key's name alone. Opening a key file forbids this process to write
core files, also through a core handler, and to be traced by other processes of its user. What
Python cannot promise: bytes objects are immutable, so the master and the derived keys, read for the
length of a constructor, are freed but not overwritten; nothing is locked against swapping; root
reads all of it. Encrypted swap and `LimitCORE=0` are the machine's part.
"""

import base64
import ctypes
import hashlib
import os
import resource
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine import keyfile
from engine.ff1 import DecimalCipher
from engine.keyfile import KeyFileError
from engine.keytree import POSITION_BYTES
from engine.persons import ROOT_BYTES, Persons
from engine.rrn import DIGITS as RRN_DIGITS
from engine.rrn import KEY_BYTES as RRN_KEY_BYTES
from engine.rrn import RetrievalNumbers

__all__ = [
    "DIGEST_SIZE",
    "PERSONAL_KINDS",
    "SEALING_KEYS_MAX",
    "SEQUENCE_LIMIT",
    "SHARD_LIMIT",
    "TOKEN_KINDS",
    "Forgotten",
    "KeyFileError",
    "SealBroken",
    "Vault",
    "forbid_core_files",
    "operator_owner",
]

TOKEN_KINDS: Final = ("C", "P", "Q", "U", "I", "K", "D")
"""What a token digest stands for: card, phone, QR code, contactless id, identity number, coupon,
device serial."""
PERSONAL_KINDS: Final = frozenset("CPQUI")
"""Those that name a person, who may be forgotten (`engine.persons`)."""
DIGEST_SIZE: Final = 16
"""Bytes of every digest that a vault makes."""
SEQUENCE_LIMIT: Final = 10**10
"""Sequence numbers that an RRN can carry: 0 up to, not including, this."""
SHARD_LIMIT: Final = 100
"""Shards that an RRN can carry: 0 up to, not including, this."""

_FORMAT: Final = 1
_KEY_ID_SIZE: Final = 4
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_PR_SET_DUMPABLE: Final = 4
SEALING_KEYS_MAX: Final = 24
"""Sealing keys that a key file holds besides the one that follows from the master."""
_DECIMAL_CIPHERS_MAX: Final = 64
"""Decimal ciphers that are kept; two series of codes of nine lengths need 18."""


class SealBroken(Exception):
    """A sealed value was changed, belongs to another label or to another key file."""


class Forgotten(SealBroken):
    """A sealed value's key was destroyed: whose it was is forgotten."""


class Vault:
    """The keys of one key file, ready for use.

    Attributes:
        key_id: Eight hex digits that name the key file. Derived from the master, so that a
            damaged key file is found out when it is opened; tells nothing about the master.
    """

    __slots__ = (
        "_content",
        "_decimal_ciphers",
        "_entropy",
        "_expected",
        "_numbers",
        "_path",
        "_personal",
        "_persons",
        "_pins",
        "_prefix",
        "_seals",
        "_stamp",
        "_tokens",
        "key_id",
    )

    def __init__(self, master: bytes) -> None:
        """Derive every key from a master of 32 bytes; `create` and `open` are the usual ways.

        The trees of persons (`engine.persons`) follow from it as well, until those of a key file
        take their place: what follows from a master cannot be destroyed.
        """
        if len(master) != keyfile.KEY_BYTES:
            raise ValueError(f"a master key has {keyfile.KEY_BYTES} bytes, not {len(master)}")
        self.key_id: Final = _derive(master, "key id", _KEY_ID_SIZE).hex()
        token_key = _derive(master, "token digest", 32)
        self._tokens: Final = {
            kind: _keyed_digest(token_key, kind.encode()) for kind in TOKEN_KINDS
        }
        self._content: Final = _keyed_digest(_derive(master, "content digest", 32))
        self._pins: Final = _keyed_digest(_derive(master, "pin digest", 32))
        self._entropy: Final = _keyed_digest(_derive(master, "entropy", 32))
        self._seals: Final[dict[bytes, AESGCM]] = {}
        self._personal: Final[dict[bytes, hashlib.blake2b]] = {}
        self._prefix = self._add_sealing(master)
        self._persons = Persons.rooted(_derive(master, "persons", ROOT_BYTES))
        self._expected: dict[str, bytes] = {}
        self._path = ""
        self._stamp = (0, 0)
        self._numbers: Final = RetrievalNumbers(
            _derive(master, "rrn", RRN_KEY_BYTES), _block_cipher
        )
        self._decimal_ciphers: dict[tuple[str, int, bytes], DecimalCipher] = {}

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make a new key file with a fresh master, mode 0600, durable when this returns.

        Raises:
            KeyFileError: The file exists already or cannot be written.
        """
        forbid_core_files()
        master = os.urandom(keyfile.KEY_BYTES)
        vault = cls(master)
        document = {
            "about": "Counterfoil key file. Keep a copy apart from the data: no key, no data.",
            "format": _FORMAT,
            "key_id": vault.key_id,
            "master": base64.b64encode(master).decode(),
            "persons": Persons.rooted(os.urandom(ROOT_BYTES)).document(),
        }
        keyfile.create(Path(path), document)
        vault.take(document, Path(path))
        return vault

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key file.

        Raises:
            KeyFileError: The file is missing, open to others than its owner, damaged or of a
                later format.
        """
        forbid_core_files()
        stamp = _stamp_of(path)
        document = keyfile.read(Path(path))
        if document is None:
            raise KeyFileError(f"{path} is not a key file or is damaged: restore it from its copy")
        if document.get("format") != _FORMAT:
            raise KeyFileError(
                f"{path} has a format that this version does not know: use the version that made it"
            )
        master = keyfile.decode_key(document.get("master"))
        vault = None if master is None else cls(master)
        if (
            vault is None
            or document.get("key_id") != vault.key_id
            or not vault.take(document, Path(path))
        ):
            raise KeyFileError(f"{path} is damaged: restore it from its copy")
        vault._stamp = stamp  # noqa: SLF001 - its own
        return vault

    def token_digest(self, kind: str, value: str) -> bytes:
        """Return the 16 bytes under which a card number, phone or code is looked up.

        Of a kind that names a person they are its name, see `engine.persons`.

        Args:
            kind: One of `TOKEN_KINDS`; the same value under two kinds has unrelated digests.
            value: The value as the caller normalised it; every text is allowed.

        Raises:
            ValueError: There is no such kind.
        """
        if kind not in PERSONAL_KINDS:
            return self._plain_digest(kind, value)
        return self._expected.get(kind + value) or self._persons.name(
            self._plain_digest(kind, value)
        )

    def expect(self, tokens: list[str]) -> None:
        """Work out names that will be asked for soon, all together, which costs much less.

        Args:
            tokens: each a letter of `PERSONAL_KINDS` and the value; an empty list forgets them.
        """
        digests = [self._plain_digest(token[0], token[1:]) for token in tokens]
        names = self._persons.names(digests)
        self._expected = {token: names[place] for place, token in enumerate(tokens)}

    def _plain_digest(self, kind: str, value: str) -> bytes:
        try:
            digest = self._tokens[kind].copy()
        except KeyError:
            raise ValueError("there is no token digest of this kind") from None
        digest.update(value.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def content_digest(self, data: bytes) -> bytes:
        """Return the 16-byte digest of a message's content, by which a repeat is recognised."""
        digest = self._content.copy()
        digest.update(data)
        return digest.digest()

    def pin_digest(self, member: str, pin: str) -> bytes:
        """Return the 16-byte digest by which a member's PIN is kept and compared.

        Bound to the member, so that equal PINs do not look equal. Compare with
        `hmac.compare_digest`.
        """
        digest = self._pins.copy()
        # The length keeps ("1", "23") and ("12", "3") apart.
        digest.update(f"{len(member)}:{member}{pin}".encode("utf-8", "surrogatepass"))
        return digest.digest()

    def entropy(self, label: str) -> bytes:
        """Return 32 bytes that follow from the key file and a label, for keys that are not stored.

        Args:
            label: What the bytes are for; another label gives unrelated bytes.
        """
        parts = []
        for half in (b"0", b"1"):
            digest = self._entropy.copy()
            digest.update(half + label.encode("utf-8", "surrogatepass"))
            parts.append(digest.digest())
        return b"".join(parts)

    def decimal_cipher(self, label: str, digits: int, tweak: bytes) -> DecimalCipher:
        """Return FF1 over strings of `digits` digits, under a key of its own; made once and kept.

        Args:
            label: What it is for, which has the key.
            digits: Length of the strings.
            tweak: Another one gives an unrelated permutation under the same key.

        Raises:
            ValueError: The length or the tweak is out of bounds, see `DecimalCipher`.
        """
        found = self._decimal_ciphers.get((label, digits, tweak))
        if found is None:
            if len(self._decimal_ciphers) >= _DECIMAL_CIPHERS_MAX:
                self._decimal_ciphers.clear()
            encrypt = _block_cipher(self.entropy(f"cipher {label}"))
            found = DecimalCipher(encrypt, digits, tweak)
            self._decimal_ciphers[label, digits, tweak] = found
        return found

    def seal(self, label: str, clear: bytes) -> bytes:
        """Encrypt a value for keeping at rest; two calls never give the same bytes.

        The newest sealing key is used, also when it was added since the file was opened.

        Args:
            label: What the value is (and whose, where a swap would do harm). Not hidden, not
                stored, but `unseal` succeeds under the same label only.
            clear: The value; it comes out 32 bytes longer.
        """
        self._look()
        nonce = os.urandom(_NONCE_SIZE)
        associated = self._prefix + label.encode("utf-8", "surrogatepass")
        return self._prefix + nonce + self._seals[self._prefix].encrypt(nonce, clear, associated)

    def unseal(self, label: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made under the same label and key file, also before a rotation.

        Raises:
            SealBroken: It was not, or a bit of it was changed since.
        """
        if len(sealed) < _KEY_ID_SIZE + _NONCE_SIZE + _TAG_SIZE:
            raise SealBroken("a sealed value is cut short")
        prefix = sealed[:_KEY_ID_SIZE]
        self._require_sealing(prefix)
        nonce = sealed[_KEY_ID_SIZE : _KEY_ID_SIZE + _NONCE_SIZE]
        associated = prefix + label.encode("utf-8", "surrogatepass")
        try:
            return self._seals[prefix].decrypt(
                nonce, sealed[_KEY_ID_SIZE + _NONCE_SIZE :], associated
            )
        except InvalidTag:
            raise SealBroken("a sealed value was changed or has another label") from None

    def seal_token(self, kind: str, value: str) -> tuple[bytes, bytes]:
        """Name and ciphertext of a token that is to be registered for a person.

        The ciphertext opens until the person is forgotten. That of an identity number holds its
        digest, which forgetting needs; the number itself is kept nowhere.

        Args:
            kind: One of `PERSONAL_KINDS`.
            value: The value, normalised as for `token_digest`.
        """
        self._look()
        digest = self._plain_digest(kind, value)
        clear = digest if kind == "I" else value.encode("utf-8", "surrogatepass")
        name, place, key = self._persons.place(digest)
        return name, self._seal_at(place, key, kind, clear)

    def reseal_token(self, kind: str, sealed: bytes) -> bytes:
        """Seal a token's ciphertext anew under the newest sealing key.

        Raises:
            SealBroken, Forgotten: see `unseal_token`.
        """
        self._look()
        place, key, clear = self._open_token(kind, sealed)
        return self._seal_at(place, key, kind, clear)

    def unseal_token(self, kind: str, sealed: bytes) -> str:
        """The token in a ciphertext; empty for an identity number, which is not kept.

        Raises:
            Forgotten: Whose it was is forgotten.
            SealBroken: It is no ciphertext of this kind of token and key file, or was changed.
        """
        clear = self._open_token(kind, sealed)[2]
        return "" if kind == "I" else clear.decode("utf-8", "surrogatepass")

    def forget_tokens(self, tokens: Iterable[tuple[str, bytes]]) -> int:
        """Destroy all that leads to tokens, in the key file as well, durably.

        Args:
            tokens: Kind and ciphertext of each; those destroyed before are left out.

        Returns:
            How many there were.

        Raises:
            SealBroken: One of them is no ciphertext; nothing is destroyed then.
            KeyFileError: The key file cannot be read or replaced, or is full.
        """
        self._look()
        gone = []
        for kind, sealed in tokens:
            try:
                place, _, clear = self._open_token(kind, sealed)
            except Forgotten:
                continue
            if kind != "I":
                clear = self._plain_digest(kind, clear.decode("utf-8", "surrogatepass"))
            gone.append((clear, place))
        if self._path and gone:
            keyfile.replace(Path(self._path), lambda document: self._without(document, gone))
            self._look()
        else:
            self._persons = self._persons.without(gone)
            self._expected = {}
        return len(gone)

    def _without(
        self, document: keyfile.Document, gone: list[tuple[bytes, bytes]]
    ) -> keyfile.Document:
        """A key file's content without what leads to tokens."""
        persons = Persons.of_document(document.get("persons"))
        if persons is None or document.get("key_id") != self.key_id:
            raise self._not_the_file()
        return document | {"persons": persons.without(gone).document()}

    def _seal_at(self, place: bytes, key: bytes, kind: str, clear: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        head = self._prefix + place
        cipher = self._personal_cipher(self._prefix, key)
        return head + nonce + cipher.encrypt(nonce, clear, head + kind.encode())

    def _open_token(self, kind: str, sealed: bytes) -> tuple[bytes, bytes, bytes]:
        """Where a token's ciphertext has its key, that key, and what was sealed."""
        head = sealed[: _KEY_ID_SIZE + POSITION_BYTES]
        if len(sealed) < len(head) + _NONCE_SIZE + _TAG_SIZE:
            raise SealBroken("a sealed value is cut short")
        prefix, place = head[:_KEY_ID_SIZE], head[_KEY_ID_SIZE:]
        self._require_sealing(prefix)
        key = self._persons.key(place)
        if key is None:
            raise Forgotten("whose this sealed value was is forgotten")
        nonce = sealed[len(head) : len(head) + _NONCE_SIZE]
        try:
            clear = self._personal_cipher(prefix, key).decrypt(
                nonce, sealed[len(head) + _NONCE_SIZE :], head + kind.encode()
            )
        except InvalidTag:
            raise SealBroken("a sealed value was changed or has another label") from None
        return place, key, clear

    def _personal_cipher(self, prefix: bytes, key: bytes) -> AESGCM:
        """The cipher under one person's key and a sealing key: both are needed."""
        digest = self._personal[prefix].copy()
        digest.update(key)
        return AESGCM(digest.digest())

    def _require_sealing(self, prefix: bytes) -> None:
        if prefix not in self._seals:
            self._look()
        if prefix not in self._seals:
            raise SealBroken("a value was sealed under another key file")

    def _add_sealing(self, key: bytes) -> bytes:
        """Take in a sealing key; returns its name."""
        prefix = _derive(key, "key id", _KEY_ID_SIZE)
        if prefix not in self._seals:
            self._seals[prefix] = AESGCM(_derive(key, "seal", 32))
            self._personal[prefix] = hashlib.blake2b(
                digest_size=32, key=_derive(key, "personal seal", 32)
            )
        return prefix

    @property
    def sealing_ids(self) -> tuple[str, ...]:
        """Names of the sealing keys, eight hex digits each, the one in use last."""
        return tuple(prefix.hex() for prefix in self._seals)

    def is_newest(self, sealed: bytes) -> bool:
        """Whether a value was sealed under the newest sealing key."""
        return sealed[:_KEY_ID_SIZE] == self._prefix

    def rotate(self) -> str:
        """Add a sealing key to the key file, which is replaced whole and durably.

        Other processes that have the file open take the new key up at their next sealing.

        Returns:
            The new key's name.

        Raises:
            KeyFileError: The file cannot be read or replaced, or has as many keys as it may have.
        """
        path = Path(self._path)
        key = os.urandom(keyfile.KEY_BYTES)
        name = _derive(key, "key id", _KEY_ID_SIZE).hex()

        def add(document: keyfile.Document) -> keyfile.Document:
            if document.get("key_id") != self.key_id:
                raise self._not_the_file()
            known = document.get("sealing", [])
            if not isinstance(known, list) or len(known) >= SEALING_KEYS_MAX:
                raise KeyFileError(f"{path} has {SEALING_KEYS_MAX} sealing keys and takes no more")
            made = {"id": name, "key": base64.b64encode(key).decode()}
            return document | {"sealing": [*known, made]}

        keyfile.replace(path, add)
        self._look()
        return name

    def _not_the_file(self) -> KeyFileError:
        return KeyFileError(f"{self._path} is not the key file any more: restore it from its copy")

    def refresh(self) -> None:
        """Take up what was changed in the key file: sealing keys added, persons forgotten."""
        self._look()

    def _look(self) -> None:
        """Take up what was changed in the file since it was read."""
        if not self._path:
            return
        stamp = _stamp_of(self._path)
        if stamp == self._stamp:
            return
        try:
            document = keyfile.read(Path(self._path))
        except KeyFileError:
            return  # what was read before goes on to be right
        if document is None or document.get("key_id") != self.key_id:
            return
        if self.take(document, Path(self._path)):
            self._stamp = stamp

    def take(self, document: dict[str, Any], path: Path) -> bool:
        """Take in sealing keys and persons of what was read from a key file, and watch that file.

        Returns:
            False where something in it is damaged.
        """
        self._path = str(path.absolute())
        listed = document.get("sealing", [])
        persons = Persons.of_document(document.get("persons"))
        if not isinstance(listed, list) or persons is None:
            return False
        self._persons = persons
        self._expected = {}
        for one in listed:
            key = keyfile.decode_key(one.get("key")) if isinstance(one, dict) else None
            if key is None or _derive(key, "key id", _KEY_ID_SIZE).hex() != one.get("id"):
                return False
            self._prefix = self._add_sealing(key)
        return True

    def rrn(self, sequence: int, shard: int = 0) -> str:
        """Return the retrieval reference number of a transaction: 12 digits, the same for ever.

        Fastest for sequence numbers that grow in small steps.

        Args:
            sequence: The entry's sequence number in its shard, below `SEQUENCE_LIMIT`.
            shard: The shard that holds it, below `SHARD_LIMIT`.

        Raises:
            ValueError: One of them is out of range; an RRN is never used twice, so a shard whose
                numbers are used up can take nothing more.
        """
        if not (0 <= sequence < SEQUENCE_LIMIT and 0 <= shard < SHARD_LIMIT):
            raise ValueError("an RRN carries sequence numbers below 10**10 and shards below 100")
        return self._numbers.encipher(shard * SEQUENCE_LIMIT + sequence)

    def sequence(self, rrn: str) -> tuple[int, int] | None:
        """Return the shard and sequence number in an RRN; None if it is not 12 ASCII digits.

        Every text of 12 digits leads to some pair: whether a transaction has it, the books say.
        """
        if not (len(rrn) == RRN_DIGITS and rrn.isascii() and rrn.isdecimal()):
            return None
        return divmod(self._numbers.decipher(int(rrn)), SEQUENCE_LIMIT)

    def __repr__(self) -> str:
        return f"Vault({self.key_id})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: keys do not travel."""
        raise TypeError("a vault cannot be pickled or copied: open the key file where it is needed")


def forbid_core_files() -> None:
    """Keep this process and its children from writing core files, which would hold the keys."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    # The limit does not hold for a core handler behind a pipe; this does, and no other process of
    # the same user can read the memory any more. A system without the call goes without.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _stamp_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """By what a replaced file is told from the one before; zeros where there is none."""
    try:
        state = os.stat(path)  # noqa: PTH116 - beside every sealing: a path object costs more
    except OSError:
        return 0, 0
    return state.st_ino, state.st_mtime_ns


def _derive(master: bytes, label: str, size: int) -> bytes:
    """HKDF-SHA256 without salt (the master is uniform), one label a use."""
    info = f"counterfoil vault {_FORMAT}: {label}".encode()
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(master)


def _keyed_digest(key: bytes, person: bytes = b"") -> "hashlib.blake2b":
    """A keyed BLAKE2b that has taken in its key: copying it is cheaper than making one."""
    return hashlib.blake2b(digest_size=DIGEST_SIZE, key=key, person=person)


def _block_cipher(key: bytes) -> Callable[[bytes], bytes]:
    """AES on single blocks, any number of them a call."""
    cipher = Cipher(AES(key), modes.ECB())  # noqa: S305  (a round function, no data)
    return cipher.encryptor().update


def operator_owner(merchant: str, operator: str) -> str:
    """The owner under whose name an operator's PIN is digested: no member has such an id."""
    return f"operator:{merchant}:{operator}"
