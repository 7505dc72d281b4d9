"""TLS for terminals: one port where both sides show a certificate.

TLS 1.2 or 1.3 (RFC 5246, RFC 8446); a client without a certificate of the given authority does not
get past the handshake. What a terminal may do is still decided by its keys and MACs: TLS hides what
is said and lets `tdes-cup` terminals, whose MAC is weak, be served from anywhere.
"""

from __future__ import annotations

import ssl
from pathlib import Path

HANDSHAKE_SECONDS_MAX = 10.0
"""How long a client may take for its handshake."""

MINIMUM = ssl.TLSVersion.TLSv1_2


class TlsFileError(Exception):
    """A certificate, key or authority cannot be used; one sentence with what to do about it."""


def server_context(certificate: Path, authority: Path) -> ssl.SSLContext:
    """What the listening side needs.

    Args:
        certificate: the host's certificate chain and its private key, PEM, in one file.
        authority: certificates of those who sign for terminals, PEM.

    Raises:
        TlsFileError: a file is missing, is no PEM, or certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(certificate, password=_no_password)
    except _Encrypted:
        raise TlsFileError(
            f"the private key in {certificate} is encrypted: keep it in clear, readable for the"
            " daemon only"
        ) from None
    except ssl.SSLError as error:
        raise TlsFileError(
            f"{certificate} has to hold a certificate and its private key, both PEM"
            f" ({error.reason or 'not PEM'})"
        ) from None
    except OSError as error:
        raise TlsFileError(f"{certificate} cannot be read: {error.strerror}") from None
    try:
        context.load_verify_locations(cafile=authority)
    except ssl.SSLError as error:
        raise TlsFileError(
            f"{authority} has to hold the certificates of the clients' authority, PEM"
            f" ({error.reason or 'not PEM'})"
        ) from None
    except OSError as error:
        raise TlsFileError(f"{authority} cannot be read: {error.strerror}") from None
    return context


class _Encrypted(Exception):
    """The private key asks for a password, and a daemon has nobody to ask."""


def _no_password() -> str:
    raise _Encrypted
