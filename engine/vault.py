"""The key file, and everything that rests on it: digests, sealed values, PINs and RRNs.

One file outside the data directory holds 32 random bytes, the master. Every use gets a key of its
own from it by HKDF-SHA256 (RFC 5869) with its own label, so that no two uses share one:

- *Digests* stand in for card numbers, phones and codes as keys of tables. They are keyed BLAKE2b
  of 16 bytes: without the key file nobody can try out the few billion card numbers there are.
- *Sealed values* are AES-256-GCM with a random 12-byte nonce. The first four bytes name the key,
  so that values sealed before and after a rotation can be told apart. Random nonces allow 2**32
  values a key (NIST SP 800-38D, section 8.3). The first sealing key follows from the master,
  further ones (`Vault.rotate`) are in the file; the newest seals, all of them unseal. Digests are
  names in tables and journal: they stay with the master.
- *PINs* are kept as keyed digests only. A PIN space is small; the key alone protects it, and a
  slow hash would protect no better against somebody who has the key.
- *Retrieval reference numbers* are (shard, sequence number) under a keyed permutation.

A Vault belongs to one thread (the event loop): its cipher contexts are shared between calls.

What memory hygiene can and cannot do here. A Vault keeps no key as a Python value: after opening,
keys live in the library's contexts only (OpenSSL and BLAKE2b states). It cannot be pickled or
copied, and `repr` shows the key's name alone. Opening a key file forbids this process to write
core files, also through a core handler, and to be traced by other processes of its user. What
Python cannot promise: bytes objects are immutable, so the master and the derived keys, read for the
length of a constructor, are freed but not overwritten; nothing is locked against swapping; root
reads all of it. Encrypted swap and `LimitCORE=0` are the machine's part.
"""

import base64
import contextlib
import ctypes
import hashlib
import json
import os
import resource
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TOKEN_KINDS: Final = ("C", "P", "Q", "U", "I", "K", "D")
"""What a token digest stands for: card, phone, QR code, contactless id, identity number, coupon,
device serial."""
DIGEST_SIZE: Final = 16
"""Bytes of every digest that a vault makes."""
SEQUENCE_LIMIT: Final = 10**10
"""Sequence numbers that an RRN can carry: 0 up to, not including, this."""
SHARD_LIMIT: Final = 100
"""Shards that an RRN can carry: 0 up to, not including, this."""

_FORMAT: Final = 1
_MASTER_SIZE: Final = 32
_KEY_ID_SIZE: Final = 4
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_KEY_FILE_SIZE_MAX: Final = 4096
_KEY_FILE_MODE: Final = 0o600
_PR_SET_DUMPABLE: Final = 4
SEALING_KEYS_MAX: Final = 24
"""Sealing keys that a key file holds besides the one that follows from the master."""


class KeyFileError(Exception):
    """A key file cannot be made or used; the text is one sentence with what to do about it."""


class SealBroken(Exception):
    """A sealed value was changed, belongs to another label or to another key file."""


class Vault:
    """The keys of one key file, ready for use.

    Attributes:
        key_id: Eight hex digits that name the key file. Derived from the master, so that a
            damaged key file is found out when it is opened; tells nothing about the master.
    """

    __slots__ = (
        "_ciphers",
        "_content",
        "_entropy",
        "_path",
        "_permutation",
        "_pins",
        "_prefix",
        "_seals",
        "_stamp",
        "_tokens",
        "key_id",
    )

    def __init__(self, master: bytes) -> None:
        """Derive every key from a master of 32 bytes; `create` and `open` are the usual ways."""
        if len(master) != _MASTER_SIZE:
            raise ValueError(f"a master key has {_MASTER_SIZE} bytes, not {len(master)}")
        self._prefix = _derive(master, "key id", _KEY_ID_SIZE)
        self.key_id: Final = self._prefix.hex()
        token_key = _derive(master, "token digest", 32)
        self._tokens: Final = {
            kind: _keyed_digest(token_key, kind.encode()) for kind in TOKEN_KINDS
        }
        self._content: Final = _keyed_digest(_derive(master, "content digest", 32))
        self._pins: Final = _keyed_digest(_derive(master, "pin digest", 32))
        self._entropy: Final = _keyed_digest(_derive(master, "entropy", 32))
        self._seals: Final = {self._prefix: AESGCM(_derive(master, "seal", 32))}
        self._path = ""
        self._stamp = (0, 0)
        self._permutation: Final = _Permutation(_derive(master, "rrn", _Permutation.KEY_SIZE))
        self._ciphers: dict[str, Callable[[bytes], bytes]] = {}

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make a new key file with a fresh master, mode 0600, durable when this returns.

        Raises:
            KeyFileError: The file exists already or cannot be written.
        """
        forbid_core_files()
        master = os.urandom(_MASTER_SIZE)
        vault = cls(master)
        document = {
            "about": "Counterfoil key file. Keep a copy apart from the data: no key, no data.",
            "format": _FORMAT,
            "key_id": vault.key_id,
            "master": base64.b64encode(master).decode(),
        }
        _write_new(Path(path), json.dumps(document, indent=1).encode() + b"\n")
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
        document = _parse(_read(Path(path)))
        if document is None:
            raise KeyFileError(f"{path} is not a key file or is damaged: restore it from its copy")
        if document.get("format") != _FORMAT:
            raise KeyFileError(
                f"{path} has a format that this version does not know: use the version that made it"
            )
        master = _decode_master(document.get("master"))
        vault = None if master is None else cls(master)
        if (
            vault is None
            or document.get("key_id") != vault.key_id
            or not vault.take(document, Path(path))
        ):
            raise KeyFileError(f"{path} is damaged: restore it from its copy")
        return vault

    def token_digest(self, kind: str, value: str) -> bytes:
        """Return the 16-byte digest under which a card number, phone or code is looked up.

        Args:
            kind: One of `TOKEN_KINDS`; the same value under two kinds has unrelated digests.
            value: The value as the caller normalised it; every text is allowed.

        Raises:
            ValueError: There is no such kind.
        """
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

    def cipher(self, label: str) -> Callable[[bytes], bytes]:
        """Return AES-256 on whole blocks, under a key of its own: a round function, not for data.

        Args:
            label: What it is for; one of few, since each keeps its cipher.
        """
        found = self._ciphers.get(label)
        if found is None:
            found = self._ciphers[label] = _block_cipher(self.entropy(f"cipher {label}"))
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
        if prefix not in self._seals:
            self._look()
        if prefix not in self._seals:
            raise SealBroken("a value was sealed under another key file")
        nonce = sealed[_KEY_ID_SIZE : _KEY_ID_SIZE + _NONCE_SIZE]
        associated = prefix + label.encode("utf-8", "surrogatepass")
        try:
            return self._seals[prefix].decrypt(
                nonce, sealed[_KEY_ID_SIZE + _NONCE_SIZE :], associated
            )
        except InvalidTag:
            raise SealBroken("a sealed value was changed or has another label") from None

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
        document = _parse(_read(path))
        if document is None or document.get("key_id") != self.key_id:
            raise KeyFileError(f"{path} is not the key file any more: restore it from its copy")
        known = document.get("sealing", [])
        if not isinstance(known, list) or len(known) >= SEALING_KEYS_MAX:
            raise KeyFileError(f"{path} has {SEALING_KEYS_MAX} sealing keys and takes no more")
        key = os.urandom(_MASTER_SIZE)
        name = _derive(key, "key id", _KEY_ID_SIZE).hex()
        known = [*known, {"id": name, "key": base64.b64encode(key).decode()}]
        made = path.with_name(f".{path.name}.next")
        made.unlink(missing_ok=True)
        _write_new(made, json.dumps(document | {"sealing": known}, indent=1).encode() + b"\n")
        try:
            made.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise KeyFileError(f"{path} cannot be replaced ({error.strerror})") from None
        self._look()
        return name

    def _look(self) -> None:
        """Take up sealing keys that were added to the file since it was read."""
        if not self._path:
            return
        try:
            state = os.stat(self._path)  # noqa: PTH116 - beside every sealing: a path object costs more
        except OSError:
            return  # what was read goes on to be right
        stamp = (state.st_ino, state.st_mtime_ns)
        if stamp == self._stamp:
            return
        try:
            document = _parse(_read(Path(self._path)))
        except KeyFileError:
            return
        if document is None or document.get("key_id") != self.key_id:
            return
        if self.take(document, Path(self._path)):
            self._stamp = stamp

    def take(self, document: dict[str, object], path: Path) -> bool:
        """Take in the sealing keys of what was read from a key file, and watch that file.

        Returns:
            False where one of them is damaged.
        """
        self._path = str(path.absolute())
        listed = document.get("sealing", [])
        if not isinstance(listed, list):
            return False
        for one in listed:
            key = _decode_master(one.get("key")) if isinstance(one, dict) else None
            if key is None:
                return False
            prefix = _derive(key, "key id", _KEY_ID_SIZE)
            if prefix.hex() != one.get("id"):
                return False
            if prefix not in self._seals:
                self._seals[prefix] = AESGCM(_derive(key, "seal", 32))
            self._prefix = prefix
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
        return self._permutation.encipher(shard * SEQUENCE_LIMIT + sequence)

    def sequence(self, rrn: str) -> tuple[int, int] | None:
        """Return the shard and sequence number in an RRN; None if it is not 12 ASCII digits.

        Every text of 12 digits leads to some pair: whether a transaction has it, the books say.
        """
        if not (len(rrn) == _Permutation.DIGITS and rrn.isascii() and rrn.isdecimal()):
            return None
        return divmod(self._permutation.decipher(int(rrn)), SEQUENCE_LIMIT)

    def __repr__(self) -> str:
        return f"Vault({self.key_id})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Refuse to be pickled or copied: keys do not travel."""
        raise TypeError("a vault cannot be pickled or copied: open the key file where it is needed")


class _Permutation:
    """A keyed permutation of the numbers below 10**12, written with 12 digits.

    A balanced Feistel network: the number is two halves of six digits, and each round adds to one
    half, modulo 10**6, an AES-based function of the other. The 64-bit output of that function
    taken modulo 10**6 is uniform to one part in 10**13.

    Eight rounds. Generic attacks tell a network of five or fewer from a random permutation with
    less than its whole codebook; from six on they need all of it, and six is the least advised
    (Patarin, Generic Attacks on Feistel Schemes, Asiacrypt 2001). Two more are margin; NIST's
    FF3-1 has eight as well. Little is at stake: who guessed an RRN would still need the keys of a
    terminal of that merchant to do anything with it.

    Calls cost, so the numbers that follow the last one asked for are made in one go, an AES call
    a round for all of them. `BLOCK` balances cost a number against the pause for a block (50
    microseconds where a number costs 0.8). A number out of the row is worked out alone and leaves
    the block as it is.
    """

    __slots__ = ("_block", "_first", "_last", "_rounds")

    DIGITS: Final = 12
    BLOCK: Final = 64
    ROUNDS: Final = 8
    KEY_SIZE: Final = 16 * ROUNDS
    _HALF: Final = 10**6
    # An AES block is the half as a 64-bit number and eight zero bytes; of the result, the first 64
    # bits count. A key for each round keeps the rounds apart.
    _LAYOUT: Final = struct.Struct("<" + "Q8x" * BLOCK)

    def __init__(self, key: bytes) -> None:
        self._rounds = [_block_cipher(key[at : at + 16]) for at in range(0, self.KEY_SIZE, 16)]
        self._first = 0
        self._block: list[str] = []
        # The number asked for or made last; below any number at first.
        self._last = -self.BLOCK

    def encipher(self, number: int) -> str:
        ahead = number - self._first
        if 0 <= ahead < len(self._block):
            return self._block[ahead]
        follows = 0 < number - self._last < self.BLOCK
        self._last = number
        if not follows:
            return self._encipher_one(number)
        self._first = number
        self._block = self._encipher_block(number)
        self._last = number + len(self._block) - 1
        return self._block[0]

    def _encipher_one(self, number: int) -> str:
        left, right = divmod(number, self._HALF)
        for encrypt in self._rounds:
            left, right = right, (left + self._of_half(encrypt, right)) % self._HALF
        return f"{left:06}{right:06}"

    def _encipher_block(self, first: int) -> list[str]:
        half = self._HALF
        pack, unpack = self._LAYOUT.pack, self._LAYOUT.unpack
        # The last block may run beyond 10**12; nobody asks for those numbers.
        numbers = range(first, first + self.BLOCK)
        left, right = [n // half for n in numbers], [n % half for n in numbers]
        for encrypt in self._rounds:
            added = unpack(encrypt(pack(*right)))
            left, right = right, [(a + b) % half for a, b in zip(left, added, strict=True)]
        return [f"{a * half + b:012}" for a, b in zip(left, right, strict=True)]

    def decipher(self, number: int) -> int:
        left, right = divmod(number, self._HALF)
        for encrypt in reversed(self._rounds):
            left, right = (right - self._of_half(encrypt, left)) % self._HALF, left
        return left * self._HALF + right

    @staticmethod
    def _of_half(encrypt: Callable[[bytes], bytes], half: int) -> int:
        return int.from_bytes(encrypt(half.to_bytes(16, "little"))[:8], "little")


def forbid_core_files() -> None:
    """Keep this process and its children from writing core files, which would hold the keys."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    # The limit does not hold for a core handler behind a pipe; this does, and no other process of
    # the same user can read the memory any more. A system without the call goes without.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


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


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, and its name in the folder, down to the disk."""
    try:
        # O_EXCL neither overwrites a key nor follows a link that somebody put there.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_FILE_MODE)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists already: a key file is never overwritten, so choose another name"
        ) from None
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be created ({error.strerror}): choose a folder that can be written"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _KEY_FILE_MODE)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        # Half a key file would only stand in the way of the next try.
        with contextlib.suppress(OSError):
            path.unlink()
        raise KeyFileError(
            f"{path} cannot be written ({error.strerror}): make room or choose another disk"
        ) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    """Return the content of a key file after judging its mode, of the file actually opened."""
    try:
        # Without O_NONBLOCK a pipe put in the file's place would hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"{path} does not exist: name the key file of this data") from None
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be opened ({error.strerror}): run as the owner of the key file"
        ) from None
    try:
        _judge_mode(path, os.fstat(descriptor).st_mode)
        return os.read(descriptor, _KEY_FILE_SIZE_MAX)
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read ({error.strerror}): restore it from its copy"
        ) from None
    finally:
        os.close(descriptor)


def _judge_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"{path} is not a regular file: name the key file itself")
    if stat.S_IMODE(mode) & ~_KEY_FILE_MODE:
        raise KeyFileError(
            f"{path} has mode {stat.S_IMODE(mode):04o}, open to more than its owner needs: "
            f"run chmod 600 {path}"
        )


def _parse(content: bytes) -> dict[str, object] | None:
    """Return the JSON object in a key file, None if there is none.

    A value instead of an exception: the parser's own exceptions carry the text they failed on.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _decode_master(text: object) -> bytes | None:
    """Return the master written in base64, None if it is not one."""
    if not isinstance(text, str):
        return None
    try:
        master = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return master if len(master) == _MASTER_SIZE else None


def operator_owner(merchant: str, operator: str) -> str:
    """The owner under whose name an operator's PIN is digested: no member has such an id."""
    return f"operator:{merchant}:{operator}"
