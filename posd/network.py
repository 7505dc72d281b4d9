"""Network management: sign-on, sign-off, echo (message types 0800 and 0820)."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from engine.reasons import Reason
from engine.rules.terminals import SignOn
from posd import responses, security
from posd.incoming import Incoming, Malformed
from posd.iso8583 import assemble
from posd.iso8583.tlv import MalformedTlv, build_tlv
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

FIRST_BLOCK = b"0001"
LAST_BLOCK = b"0"
NAME_BYTES_MAX = 120
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
        return exchange.build(responses.RESPONSES[Reason.APPROVED], {}, 0)
    if kind == "080" and code == DOWNLOAD:
        exchange.tag = "parameters"
        return _parameters(exchange)
    return exchange.decline(Reason.FUNCTION_UNKNOWN)


def _parameters(exchange: Exchange) -> Reply:
    """One block of parameters, as a run of elements; they all fit the first block.

    ``1D`` version of the parameters, ``34`` the merchant's name, and where terms are in force:
    ``49`` the program, ``PN`` its name, ``40`` points per yuan of its value.
    """
    wanted = exchange.fields.get(62, b"")
    merchant = exchange.standing.merchant
    if wanted != FIRST_BLOCK or merchant is None:
        return exchange.decline(Reason.FORM)
    charset = exchange.standing.charset
    draft = exchange.host.machine.look(exchange.at)
    tariff = draft.find_tariff(merchant.id)
    version = f"{exchange.standing.row.revision}.{merchant.revision}"
    elements = [("34", _name(merchant.name, charset))]
    if tariff is not None:
        program = tariff.program
        version += f".{program.revision}"
        elements += [
            ("49", program.id.encode()),
            ("PN", _name(program.name, charset)),
            ("40", f"{program.points_per_yuan}/1".encode()),
        ]
    data = LAST_BLOCK + FIRST_BLOCK + build_tlv([("1D", version.encode()), *elements])
    return exchange.build(
        responses.RESPONSES[Reason.APPROVED],
        {62: assemble.field(62, data)},
        exchange.host.machine.sequence,
    )


def _name(name: str, charset: str) -> bytes:
    """A name for a till's display, cut between characters where it is too long."""
    cut = name.encode(charset, "replace")[:NAME_BYTES_MAX]
    return cut.decode(charset, "ignore").encode(charset)


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
    if row.profile != AES:
        exchange.mac = pending.mac
    keys = security.wrap_keys(row.profile, standing.tmk(), pending.keys)
    return exchange.build(
        responses.RESPONSES[Reason.APPROVED], {62: assemble.field(62, keys)}, sequence
    )


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
