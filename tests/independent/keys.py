"""Key code of a terminal: textbook DES, AES, MACs, key unwrapping and PIN blocks.

Nothing here comes from the host's code. The only thing borrowed is one block of DES or AES
from `cryptography`; chaining, padding, subkeys and wrapping are written out from the standards,
so that an error on the host's side cannot be an error on this side as well. Speed is no aim.

Keys are `bytes`: 16 for AES-128 and 2-key TDES, 8 for DES. A block is 8 bytes (DES) or 16 (AES).
"""

from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

DES_BLOCK = 8
AES_BLOCK = 16
SIGN_ON_LABEL = b"counterfoil sign-on"
WRAP_CHECK = bytes.fromhex("a6a6a6a6a6a6a6a6")  # RFC 3394, section 2.2.3.1


class KeyFault(Exception):
    """Keys or a PIN block that the host delivered are not what the protocol says."""


# --- one block -----------------------------------------------------------------------------


def _tdes_block(key: bytes, block: bytes, *, encrypt: bool) -> bytes:
    """One block of TDES; an 8-byte key is DES, because K, K, K cancels to one encryption."""
    full = key * 3 if len(key) == DES_BLOCK else key + key[:DES_BLOCK]
    cipher = Cipher(TripleDES(full), modes.ECB())  # noqa: S305 - one block has no mode
    worker = cipher.encryptor() if encrypt else cipher.decryptor()
    return worker.update(block)


def des_encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt one 8-byte block under an 8-byte (DES) or 16-byte (2-key TDES) key."""
    return _tdes_block(key, block, encrypt=True)


def des_decrypt(key: bytes, block: bytes) -> bytes:
    """Decrypt one 8-byte block under an 8-byte (DES) or 16-byte (2-key TDES) key."""
    return _tdes_block(key, block, encrypt=False)


def aes_encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt one 16-byte block."""
    return Cipher(AES(key), modes.ECB()).encryptor().update(block)  # noqa: S305 - one block has no mode


def aes_decrypt(key: bytes, block: bytes) -> bytes:
    """Decrypt one 16-byte block."""
    return Cipher(AES(key), modes.ECB()).decryptor().update(block)  # noqa: S305 - one block has no mode


def xor(left: bytes, right: bytes) -> bytes:
    """Exclusive or of two strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def blocks(data: bytes, size: int) -> list[bytes]:
    """The data cut into blocks; the last may be short."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def zero_padded(data: bytes) -> bytes:
    """ISO 9797-1 padding method 1: zeros up to a whole block, none where it is whole."""
    return data + bytes(-len(data) % DES_BLOCK)


def odd_parity(key: bytes) -> bytes:
    """The DES key with the lowest bit of each byte set so that its ones are odd in number."""
    return bytes(b if b.bit_count() % 2 else b ^ 1 for b in key)


# --- MACs ----------------------------------------------------------------------------------


def _doubled(block: bytes) -> bytes:
    """Multiply by x in GF(2^128), RFC 4493 section 2.3."""
    value = int.from_bytes(block) << 1
    if value >> 128:
        value = (value ^ 0x87) & ((1 << 128) - 1)
    return value.to_bytes(AES_BLOCK)


def aes_cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC, RFC 4493: 16 bytes."""
    whole_subkey = _doubled(aes_encrypt(key, bytes(AES_BLOCK)))
    *head, last = blocks(data, AES_BLOCK) or [b""]
    if len(last) == AES_BLOCK:
        last = xor(last, whole_subkey)
    else:
        padded = last + b"\x80" + bytes(AES_BLOCK - 1 - len(last))
        last = xor(padded, _doubled(whole_subkey))
    chain = bytes(AES_BLOCK)
    for block in [*head, last]:
        chain = aes_encrypt(key, xor(chain, block))
    return chain


def retail_mac(key: bytes, data: bytes) -> bytes:
    """ISO 9797-1 algorithm 3 (ANSI X9.19) with DES and padding method 1: 8 bytes."""
    left, right = key[:DES_BLOCK], key[DES_BLOCK:]
    chain = bytes(DES_BLOCK)
    for block in blocks(zero_padded(data), DES_BLOCK):
        chain = des_encrypt(left, xor(chain, block))
    return des_encrypt(left, des_decrypt(right, chain))


def cup_mac(key: bytes, data: bytes) -> bytes:
    """The CUP rule, protocol section 3: 8 upper-case hex characters as bytes."""
    folded = bytes(DES_BLOCK)
    for block in blocks(zero_padded(data), DES_BLOCK):
        folded = xor(folded, block)
    written = folded.hex().upper().encode()
    first, last = written[:DES_BLOCK], written[DES_BLOCK:]
    result = des_encrypt(key, xor(des_encrypt(key, first), last))
    return result.hex().upper().encode()[:DES_BLOCK]


def mac(profile: str, key: bytes, data: bytes) -> bytes:
    """The 8-byte MAC of a message under the rule of the terminal's profile."""
    if profile == "aes":
        return aes_cmac(key, data)[:DES_BLOCK]
    return retail_mac(key, data) if profile == "tdes-x919" else cup_mac(key, data)


def sign_on_key(tmk: bytes) -> bytes:
    """The key of the MACs of an aes terminal's sign-on and its reply."""
    return aes_cmac(tmk, SIGN_ON_LABEL)


# --- keys out of field 62 ------------------------------------------------------------------


@dataclass(frozen=True)
class KeySet:
    """A PIN key and a MAC key as the host delivered them."""

    pin_key: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)


def aes_unwrap(key: bytes, wrapped: bytes) -> bytes:
    """RFC 3394 key unwrap, section 2.2.2, the index-based form.

    Raises:
        KeyFault: the integrity check value did not come out.
    """
    check, *words = blocks(wrapped, 8)
    count = len(words)
    for step in range(6 * count, 0, -1):
        at = (step - 1) % count
        turned = xor(check, step.to_bytes(8))
        opened = aes_decrypt(key, turned + words[at])
        check, words[at] = opened[:8], opened[8:]
    if check != WRAP_CHECK:
        raise KeyFault("the wrapped key does not unwrap under the terminal master key")
    return b"".join(words)


def check_value(profile: str, key: bytes) -> bytes:
    """The 4 bytes that let a terminal see whether a key arrived whole."""
    if profile == "aes":
        return aes_cmac(key, bytes(AES_BLOCK))[:4]
    return des_encrypt(key, bytes(DES_BLOCK))[:4]


def open_key_set(profile: str, tmk: bytes, field_62: bytes) -> KeySet:
    """Take the keys out of field 62 of a 0810 and check all that can be checked.

    Raises:
        KeyFault: wrong length, wrong check value, filler that is not zero, or a DES key
            without odd parity.
    """
    wrapped_length = 24 if profile == "aes" else 16
    part = wrapped_length + 4
    if len(field_62) != 2 * part:
        raise KeyFault(f"field 62 has {len(field_62)} bytes, the profile says {2 * part}")
    keys = []
    for name, piece in zip(("PIN", "MAC"), blocks(field_62, part), strict=True):
        wrapped, expected = piece[:wrapped_length], piece[wrapped_length:]
        if profile == "aes":
            key = aes_unwrap(tmk, wrapped)
        else:
            if profile == "tdes-cup" and name == "MAC":
                wrapped, filler = wrapped[:DES_BLOCK], wrapped[DES_BLOCK:]
                if any(filler):
                    raise KeyFault("the filler behind the CUP MAC key is not zero")
            key = b"".join(des_decrypt(tmk, block) for block in blocks(wrapped, DES_BLOCK))
        if check_value(profile, key) != expected:
            raise KeyFault(f"the check value of the {name} key is not that of the key")
        if profile != "aes" and key != odd_parity(key):
            raise KeyFault(f"the {name} key has not odd parity")
        keys.append(key)
    return KeySet(*keys)


# --- PIN blocks ----------------------------------------------------------------------------


def _account_of_format_0(pan: str) -> bytes:
    return bytes.fromhex("0000" + pan[-13:-1].rjust(12, "0"))


def _account_of_format_4(pan: str) -> bytes:
    return bytes.fromhex((str(max(len(pan) - 12, 0)) + pan.rjust(12, "0")).ljust(32, "0"))


def pin_block(profile: str, key: bytes, pin: str, pan: str, *, control: str = "") -> bytes:
    """The PIN block that a PIN pad sends: ISO 9564 format 4 for aes, format 0 for tdes.

    Args:
        profile: of the terminal.
        key: the PIN key of the set in use.
        pin: 4 to 12 digits.
        pan: the card number, check digit included.
        control: another first digit than the format's own, to make an undecodable block.
    """
    if profile == "aes":
        plain = f"{control or '4'}{len(pin):X}{pin}".ljust(16, "A") + "5a3c96f00f69c3a5"
        first = aes_encrypt(key, bytes.fromhex(plain))
        return aes_encrypt(key, xor(first, _account_of_format_4(pan)))
    plain = f"{control or '0'}{len(pin):X}{pin}".ljust(16, "F")
    return des_encrypt(key, xor(bytes.fromhex(plain), _account_of_format_0(pan)))
