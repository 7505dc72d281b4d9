"""Network management: sign-on, sign-off, echo (message types 0800 and 0820)."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from engine.reasons import Reason
from engine.rules.terminals import SignOn
from posd import responses, security
from posd.downloads import waiting
from posd.incoming import Incoming, Malformed
from posd.iso8583 import assemble
from posd.iso8583.message import blank
from posd.iso8583.tlv import MalformedTlv
from posd.terminals import AES, Standing

if TYPE_CHECKING:
    from posd.exchange import Exchange
    from posd.host import Reply

SIGN_ON = frozenset({"001", "003", "004", "005"})
SIGN_OFF = "002"
ECHO = "301"
DOWNLOAD = "360"
PRIVATE_LENGTH = 11
"""Digits of field 60 that network management needs: type, batch, network code."""

BLOCK_DIGITS = 4
VERSION_LENGTH_MAX = 40
_STAN = 11
_PRIVATE = 60


def manage(exchange: Exchange) -> Reply | None:
    """Answer a 0800 or 0820 of a terminal that may talk."""
    kind = exchange.mti[:3]
    code = exchange.fields.get(_PRIVATE, "")[8:11]
    if kind == "080" and code in SIGN_ON:
        return _sign_on(exchange)
    echo = kind == "082" and code == ECHO
    if not echo:
        bad = exchange.check_mac()
        if bad is not None:
            return exchange.fault(bad)
    exchange.tag = "echo" if echo else "network_management"
    if not _well_formed(exchange):
        return exchange.decline(Reason.FORM)
    if echo or (kind == "082" and code == SIGN_OFF):
        return exchange.build(responses.RESPONSES[Reason.APPROVED], blank(), 0)
    if kind == "080" and code == DOWNLOAD:
        exchange.tag = "parameters"
        return _parameters(exchange)
    return exchange.decline(Reason.FUNCTION_UNKNOWN)


def _parameters(exchange: Exchange) -> Reply:
    """One block of what the terminal downloads, see `posd.downloads`."""
    wanted = exchange.fields.get(62, b"")
    if len(wanted) != BLOCK_DIGITS or not wanted.isdigit() or exchange.mac is None:
        return exchange.decline(Reason.FORM)
    host, standing = exchange.host, exchange.standing
    download = host.look_for_downloads(standing, exchange.at)
    blocks = download.blocks(host.read, host.vault, exchange.mac)
    number = int(wanted)
    if not 1 <= number <= len(blocks):
        return exchange.decline(Reason.FORM)
    last = number == len(blocks)
    if last:
        standing.version = download.version
        standing.waiting = waiting(download, standing.software, standing.version)
        exchange.waiting = standing.waiting
    data = (b"0" if last else b"1") + wanted + blocks[number - 1]
    reply = blank()
    reply[62] = assemble.field(62, data)
    return exchange.build(responses.RESPONSES[Reason.APPROVED], reply, host.machine.sequence)


def _well_formed(exchange: Exchange) -> bool:
    private = exchange.fields.get(_PRIVATE, "")
    return exchange.fields.get(_STAN) is not None and len(private) >= PRIVATE_LENGTH


def _sign_on(exchange: Exchange) -> Reply | None:
    """Hand out the pending key set: the same until the terminal has used it."""
    exchange.tag = "sign_on"
    host, standing = exchange.host, exchange.standing
    row = standing.row
    if row.profile == AES and not _proves_master_key(exchange, standing):
        exchange.wrong_mac()
        return exchange.fault(responses.MAC_WRONG)
    incoming = Incoming(exchange.mti, exchange.fields, host.vault)
    try:
        exchange.read_elements(incoming)
    except (Malformed, MalformedTlv):
        return exchange.decline(Reason.FORM)
    if not _well_formed(exchange):
        return exchange.decline(Reason.FORM)
    if row.serial and not _device_known(exchange, incoming.tlv.get("1B")):
        return exchange.fault(responses.TERMINAL_DEVICE)
    pending = standing.pending()
    sequence = 0
    if row.profile == AES and not standing.offered and not host.gate.shut:
        command = SignOn(row.id, pending.number, _version(incoming, "1C"), _version(incoming, "1D"))
        sequence = host.machine.execute(command, exchange.at).sequence
    standing.offered = True
    standing.software, standing.version = _version(incoming, "1C"), _version(incoming, "1D")
    if standing.software or standing.version:
        host.look_for_downloads(standing, exchange.at)
        exchange.waiting = standing.waiting
    if row.profile != AES:
        exchange.mac = pending.mac
    keys = security.wrap_keys(row.profile, standing.tmk(), pending.keys)
    reply = blank()
    reply[62] = assemble.field(62, keys)
    return exchange.build(responses.RESPONSES[Reason.APPROVED], reply, sequence)


def _proves_master_key(exchange: Exchange, standing: Standing) -> bool:
    """True when a sign-on's MAC is right under the key that follows from the master key."""
    mac = standing.sign_on_mac()
    message = exchange.frame.message
    if not exchange.carries_mac() or not compare_digest(mac(message[:-8]), message[-8:]):
        return False
    exchange.host.guards.right_mac(standing.row.id, exchange.peer.address)
    exchange.mac = mac
    return True


def _device_known(exchange: Exchange, serial: bytes | None) -> bool:
    if serial is None:
        return False
    digest = exchange.host.vault.token_digest("D", serial.decode("ascii", "replace"))
    return compare_digest(digest, exchange.standing.row.serial)


def _version(incoming: Incoming, tag: str) -> str:
    return incoming.tlv.get(tag, b"")[:VERSION_LENGTH_MAX].decode("ascii", "replace")
