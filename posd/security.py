"""The cryptography of the terminal protocol: MACs, key exchange and PIN blocks.

Three profiles (posd/PROTOCOL.md, section 3) share one set of functions; each takes the name of the
profile first. `aes` is AES-128 with AES-CMAC (RFC 4493) and RFC 3394 key wrap; `tdes-x919` is
two-key TDES with the retail MAC (ISO/IEC 9797-1 algorithm 3, padding method 1, also known as ANSI
X9.19); `tdes-cup` is two-key TDES with the MAC of Chinese UnionPay terminals over single DES.

Single DES is TDES with the same key three times, the only form the library still offers.

Speed. A cipher context costs several microseconds to make and a tenth of one to use, so a
`mac_calculator` makes its contexts once and is kept as long as its key lives. Calculators are not
safe for use by two threads at once; they belong to the event loop.

Comparison. Nothing here compares a MAC with a received one: the caller must do that with
`hmac.compare_digest`, so that the time taken says nothing about the right value.

Secrecy. No error, `repr` or attribute of this module shows a key, a PIN or a card number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from hmac import compare_digest
from operator import xor
from struct import unpack
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from posd.cmac import MAC_BYTES, Cmac

AES_PROFILE: Final = "aes"
X919_PROFILE: Final = "tdes-x919"
CUP_PROFILE: Final = "tdes-cup"
PROFILES: Final = (AES_PROFILE, X919_PROFILE, CUP_PROFILE)

MAC_SIZE: Final = MAC_BYTES
"""Bytes of a MAC on the wire, in every profile."""
MASTER_KEY_SIZE: Final = 16
"""Bytes of a terminal master key (TMK), in every profile."""
ENTROPY_SIZE: Final = 32
"""Random bytes that `generate_keys` takes."""
PIN_FILL_SIZE: Final = 8
"""Random bytes that `pin_block` takes in the `aes` profile."""

_SIGN_ON_LABEL: Final = b"counterfoil sign-on"
_KEY_SIZE: Final = 16
_DES_BLOCK: Final = 8
_AES_BLOCK: Final = 16
_CHECK_SIZE: Final = 4
_WRAPPED_AES_SIZE: Final = 24
_AES_KEYS_SIZE: Final = 2 * _WRAPPED_AES_SIZE + 2 * _CHECK_SIZE
_TDES_KEYS_SIZE: Final = 2 * _KEY_SIZE + 2 * _CHECK_SIZE
_PIN_DIGITS: Final = range(4, 13)
_PAN_DIGITS: Final = range(1, 20)

# The low bit of every byte of a DES key makes the number of its ones odd (FIPS 46-3).
_ODD_PARITY: Final = bytes(b & 0xFE | ((b >> 1).bit_count() & 1 ^ 1) for b in range(256))


class KeyBlockError(Exception):
    """Field 62 of a sign-on reply does not hold keys wrapped under this master key."""


class PinBlockError(Exception):
    """A PIN block (or the PIN or card number for one) does not follow its format."""


@dataclass(frozen=True, slots=True, repr=False)
class SessionKeys:
    """The working keys of one terminal: what an 0810 delivers.

    Attributes:
        pin_key: 16 bytes.
        mac_key: 16 bytes; 8 in the `tdes-cup` profile.
    """

    pin_key: bytes
    mac_key: bytes

    def __repr__(self) -> str:
        """Show nothing: a traceback or log line may print any object."""
        return "SessionKeys(hidden)"


# --- MACs ---------------------------------------------------------------------------------------


def mac_calculator(profile: str, mac_key: bytes) -> Callable[[bytes], bytes]:
    """Return a long-lived function from a message to its 8-byte MAC.

    The message runs from the MTI to the byte before the MAC field. One calculator a key and
    event loop; calls are independent of each other, whatever their order.

    Args:
        profile: One of `PROFILES`.
        mac_key: 16 bytes, or 8 in the `tdes-cup` profile.

    Raises:
        ValueError: The profile is unknown or the key has another length.
    """
    _require_size(mac_key, _mac_key_size(profile), "a MAC key of this profile")
    if profile == AES_PROFILE:
        return Cmac(mac_key).mac
    if profile == X919_PROFILE:
        return _x919_calculator(mac_key)
    return _cup_calculator(mac_key)


def _x919_calculator(key: bytes) -> Callable[[bytes], bytes]:
    """ISO/IEC 9797-1 algorithm 3 with DES, padding method 1, all 8 bytes.

    All blocks but the last run through DES-CBC under the left half of the key. The last one is
    chained by hand and goes through encrypt, decrypt (right half), encrypt: just two-key TDES.

    A context cannot be given its initial vector of zeros again, and a new one costs more than
    the MAC. But what it will XOR onto the next block is the last block it produced, so XORing
    that same block onto the first block of the next message cancels it.
    """
    chain = Cipher(_des(key[:8]), modes.CBC(bytes(_DES_BLOCK))).encryptor().update
    finish = _tdes_ecb(key).encryptor().update
    left_over = 0

    def mac(message: bytes) -> bytes:
        nonlocal left_over
        size = len(message)
        head = (size - 1) // _DES_BLOCK * _DES_BLOCK
        if head <= 0:
            return finish(message.ljust(_DES_BLOCK, b"\0"))
        blocks = int.from_bytes(message[:head]) ^ left_over << 8 * (head - _DES_BLOCK)
        left_over = int.from_bytes(chain(blocks.to_bytes(head))[-_DES_BLOCK:])
        tail = int.from_bytes(message[head:]) << 8 * (_DES_BLOCK + head - size)
        return finish((left_over ^ tail).to_bytes(_DES_BLOCK))

    return mac


def _cup_calculator(key: bytes) -> Callable[[bytes], bytes]:
    """The MAC of UnionPay terminals: fold by XOR, then DES over hex characters.

    The fold makes it forgeable from one known message, which is why protocol section 3 keeps
    this profile to trusted networks.
    """
    encrypt = _tdes_ecb(key).encryptor().update

    def mac(message: bytes) -> bytes:
        count = (len(message) + 7) // _DES_BLOCK
        blocks = unpack(f">{count}Q", message.ljust(count * _DES_BLOCK, b"\0"))
        text = b"%016X" % reduce(xor, blocks, 0)
        first = int.from_bytes(encrypt(text[:8]))
        second = encrypt((first ^ int.from_bytes(text[8:])).to_bytes(_DES_BLOCK))
        return second[:4].hex().upper().encode()

    return mac


def sign_on_key(tmk: bytes) -> bytes:
    """Return the 16-byte key that MACs an `aes` sign-on and its reply.

    Args:
        tmk: The terminal master key, 16 bytes.

    Raises:
        ValueError: The master key has another length.
    """
    _require_size(tmk, MASTER_KEY_SIZE, "a terminal master key")
    return _cmac(tmk, _SIGN_ON_LABEL)


# --- Session keys -------------------------------------------------------------------------------


def generate_keys(profile: str, entropy: bytes) -> SessionKeys:
    """Make the working keys of one sign-on out of injected randomness.

    The same entropy gives the same keys. DES keys get odd parity; weak DES keys and equal halves
    are not screened out, since they turn up less than once in 2**50 draws.

    Args:
        profile: One of `PROFILES`.
        entropy: `ENTROPY_SIZE` bytes from the operating system's generator, used once.

    Raises:
        ValueError: The profile is unknown or the entropy has another length.
    """
    mac_key_size = _mac_key_size(profile)
    _require_size(entropy, ENTROPY_SIZE, "the entropy of a key set")
    if profile != AES_PROFILE:
        entropy = entropy.translate(_ODD_PARITY)
    return SessionKeys(entropy[:_KEY_SIZE], entropy[_KEY_SIZE : _KEY_SIZE + mac_key_size])


def combined(profile: str, one: bytes, other: bytes) -> bytes | None:
    """Return the master key that two components make, their XOR.

    In the TDES profiles its bytes are given odd parity, which leaves the key what it is.

    Args:
        profile: One of `PROFILES`.
        one: A component, 16 bytes.
        other: The other one.

    Returns:
        None where they make no key of use: zeros, or two equal halves, which is single DES.
    """
    key = bytes(map(xor, one, other))
    if profile != AES_PROFILE:
        key = key.translate(_ODD_PARITY)
        if key[:_DES_BLOCK] == key[_DES_BLOCK:]:
            return None
    return key if any(key) else None


def check_value(profile: str, key: bytes) -> bytes:
    """Return the 4-byte check value of a key.

    Leftmost bytes of AES-CMAC over 16 zero bytes (`aes`), or of the encryption of 8 zero bytes
    under the key (TDES, or single DES where the key has 8 bytes).

    Raises:
        ValueError: The profile is unknown or no key of it has this length.
    """
    if profile == AES_PROFILE:
        _require_size(key, _KEY_SIZE, "a key of this profile")
        return _cmac(key, bytes(_AES_BLOCK))[:_CHECK_SIZE]
    if len(key) != _KEY_SIZE:
        _require_size(key, _mac_key_size(profile), "a key of this profile")
    return _tdes_ecb(key).encryptor().update(bytes(_DES_BLOCK))[:_CHECK_SIZE]


def wrap_keys(profile: str, tmk: bytes, keys: SessionKeys) -> bytes:
    """Return field 62 of the 0810: the keys wrapped under the master key, with check values.

    Args:
        profile: One of `PROFILES`.
        tmk: The terminal master key, 16 bytes.
        keys: The working keys of the same profile.

    Returns:
        56 bytes in the `aes` profile, 40 in the others: the PIN key, then the MAC key.

    Raises:
        ValueError: The profile is unknown or a key has another length.
    """
    _require_size(tmk, MASTER_KEY_SIZE, "a terminal master key")
    _require_size(keys.pin_key, _KEY_SIZE, "a PIN key")
    _require_size(keys.mac_key, _mac_key_size(profile), "a MAC key of this profile")
    wrap = _wrap_aes if profile == AES_PROFILE else _wrap_tdes
    # Eight zero bytes stand where a single-length MAC key leaves room.
    return b"".join(
        wrap(tmk, key).ljust(_KEY_SIZE, b"\0") + check_value(profile, key)
        for key in (keys.pin_key, keys.mac_key)
    )


def unwrap_keys(profile: str, tmk: bytes, field62: bytes) -> SessionKeys:
    """Return the keys out of field 62 of the 0810: the terminal's side of `wrap_keys`.

    Raises:
        KeyBlockError: The field has another length, was made under another master key or was
            damaged (a check value or the integrity check of RFC 3394 says so).
        ValueError: The profile is unknown or the master key has another length.
    """
    _require_size(tmk, MASTER_KEY_SIZE, "a terminal master key")
    mac_key_size = _mac_key_size(profile)
    if len(field62) != (_AES_KEYS_SIZE if profile == AES_PROFILE else _TDES_KEYS_SIZE):
        raise KeyBlockError("field 62 does not have the length of a key set of this profile")
    unwrap = _unwrap_aes if profile == AES_PROFILE else _unwrap_tdes
    half = len(field62) // 2
    keys = []
    for part, key_size in (field62[:half], _KEY_SIZE), (field62[half:], mac_key_size):
        key = unwrap(tmk, part[:-_CHECK_SIZE], key_size)
        if not compare_digest(check_value(profile, key), part[-_CHECK_SIZE:]):
            raise KeyBlockError("a check value does not match its key")
        keys.append(key)
    return SessionKeys(*keys)


def _wrap_aes(tmk: bytes, key: bytes) -> bytes:
    return aes_key_wrap(tmk, key)


def _unwrap_aes(tmk: bytes, wrapped: bytes, key_size: int) -> bytes:
    try:
        key = aes_key_unwrap(tmk, wrapped)
    except InvalidUnwrap:
        raise KeyBlockError("a key was not wrapped under this master key") from None
    return key[:key_size]


def _wrap_tdes(tmk: bytes, key: bytes) -> bytes:
    return _tdes_ecb(tmk).encryptor().update(key)


def _unwrap_tdes(tmk: bytes, wrapped: bytes, key_size: int) -> bytes:
    if any(wrapped[key_size:]):
        raise KeyBlockError("the room behind a single-length key is not zero")
    return _tdes_ecb(tmk).decryptor().update(wrapped[:key_size])


# --- PIN blocks ---------------------------------------------------------------------------------


def pin_block(profile: str, pin_key: bytes, pin: str, pan: str, fill: bytes = b"") -> bytes:
    """Return the enciphered PIN block that a terminal sends.

    Args:
        profile: One of `PROFILES`.
        pin_key: 16 bytes.
        pin: 4 to 12 digits.
        pan: The card number, 1 to 19 digits with its check digit.
        fill: `PIN_FILL_SIZE` random bytes in the `aes` profile, nothing in the others.

    Returns:
        ISO 9564-1 format 0, 8 bytes (field 52); in the `aes` profile format 4, 16 bytes
        (field 110).

    Raises:
        PinBlockError: The PIN or the card number is not of that form.
        ValueError: The profile is unknown, the key or the fill has another length.
    """
    _mac_key_size(profile)  # refuses an unknown profile
    _require_size(pin_key, _KEY_SIZE, "a PIN key")
    _require_size(fill, PIN_FILL_SIZE if profile == AES_PROFILE else 0, "the fill of a PIN block")
    if not _is_number(pin, _PIN_DIGITS):
        raise PinBlockError("a PIN has 4 to 12 digits")
    if profile == AES_PROFILE:
        encrypt = _aes_ecb(pin_key).encryptor().update
        clear = bytes.fromhex(f"4{len(pin):X}{pin:A<14}") + fill
        return encrypt(_xor(encrypt(clear), _pan_field_4(pan)))
    clear = bytes.fromhex(f"0{len(pin):X}{pin:F<14}")
    return _tdes_ecb(pin_key).encryptor().update(_xor(clear, _pan_field_0(pan)))


def read_pin_block(profile: str, pin_key: bytes, block: bytes, pan: str) -> str:
    """Return the PIN in a block: the host's side of `pin_block`.

    Every nibble that the format fixes is judged: the control nibble, a length of 4 to 12, decimal
    digits and the fill. A block that passes may still hold another PIN than the right one: most
    wrong keys and card numbers are found out here, not all.

    Args:
        profile: One of `PROFILES`.
        pin_key: 16 bytes.
        block: 8 bytes of format 0; 16 of format 4 in the `aes` profile.
        pan: The card number that the block is bound to, 1 to 19 digits with its check digit.

    Raises:
        PinBlockError: The block does not follow its format under this key and card number, or
            the card number is not a number (response 99).
        ValueError: The profile is unknown or the key has another length.
    """
    _mac_key_size(profile)  # refuses an unknown profile
    _require_size(pin_key, _KEY_SIZE, "a PIN key")
    if profile == AES_PROFILE:
        _require_block(block, _AES_BLOCK)
        decrypt = _aes_ecb(pin_key).decryptor().update
        clear = decrypt(_xor(decrypt(block), _pan_field_4(pan)))[:_DES_BLOCK].hex()
        return _pin_of(clear, "4", "a")
    _require_block(block, _DES_BLOCK)
    clear = _xor(_tdes_ecb(pin_key).decryptor().update(block), _pan_field_0(pan)).hex()
    return _pin_of(clear, "0", "f")


def _pin_of(clear: str, control: str, filler: str) -> str:
    """Return the PIN out of the 16 nibbles: control, length, digits, filler to the end."""
    size = int(clear[1], 16)
    pin = clear[2 : 2 + size]
    if (
        clear[0] != control
        or size not in _PIN_DIGITS
        or not pin.isdecimal()
        or clear[2 + size :].strip(filler)
    ):
        raise PinBlockError("the PIN block does not follow its format")
    return pin


def _pan_field_0(pan: str) -> bytes:
    """Four zero nibbles, then the rightmost 12 digits without the check digit (format 0)."""
    _require_pan(pan)
    return bytes.fromhex(pan[:-1][-12:].zfill(16))


def _pan_field_4(pan: str) -> bytes:
    """Number of digits above 12, the digits, zeros to 32 nibbles (format 4).

    A card number shorter than 12 digits is filled on the left with zeros to 12 (length nibble 0).
    """
    _require_pan(pan)
    digits = pan.zfill(12)
    return bytes.fromhex(f"{len(digits) - 12:X}{digits}".ljust(32, "0"))


def _require_pan(pan: str) -> None:
    if not _is_number(pan, _PAN_DIGITS):
        raise PinBlockError("a PIN block needs a card number of 1 to 19 digits")


def _require_block(block: bytes, size: int) -> None:
    if len(block) != size:
        raise PinBlockError(f"a PIN block of this profile has {size} bytes")


def _is_number(text: str, sizes: range) -> bool:
    """Tell whether a text is ASCII digits and of an allowed length."""
    return len(text) in sizes and text.isascii() and text.isdecimal()


# --- Ciphers ------------------------------------------------------------------------------------


def _mac_key_size(profile: str) -> int:
    if profile not in PROFILES:
        raise ValueError(f"there is no security profile of this name; there are {PROFILES}")
    return 8 if profile == CUP_PROFILE else _KEY_SIZE


def _require_size(secret: bytes, size: int, name: str) -> None:
    if len(secret) != size:
        raise ValueError(f"{name} has {size} bytes, not {len(secret)}")


def _cmac(key: bytes, data: bytes) -> bytes:
    cmac = CMAC(AES(key))
    cmac.update(data)
    return cmac.finalize()


def _des(key: bytes) -> TripleDES:
    return TripleDES(key * 3)


def _tdes_ecb(key: bytes) -> Cipher[modes.ECB]:
    """Two-key TDES (16 bytes) or single DES (8 bytes), block by block."""
    algorithm = _des(key) if len(key) == _DES_BLOCK else TripleDES(key + key[:8])
    return Cipher(algorithm, modes.ECB())  # noqa: S305  (the protocol's mode; single blocks, keys)


def _aes_ecb(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(AES(key), modes.ECB())  # noqa: S305  (ISO 9564 format 4 is made of single blocks)


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))
