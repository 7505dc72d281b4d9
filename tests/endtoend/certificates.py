"""Certificates for tests: an authority, and what it signs."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """One who signs.

    Attributes:
        certificate: file with its own certificate.
    """

    def __init__(self, folder, name):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        signed = self._sign(self._subject, self._key.public_key(), -1, 365, ca=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(signed.public_bytes(PEM))

    def issue(self, name, first_day=-1, last_day=30):
        """A file with a certificate and its key, valid between days counted from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(_named(name), key.public_key(), first_day, last_day, ca=False)
        file = self._folder / f"{name}.pem"
        clear = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        file.write_bytes(signed.public_bytes(PEM) + key.private_bytes(PEM, form, clear))
        return file

    def _sign(self, subject, public_key, first_day, last_day, *, ca):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first_day * DAY)
            .not_valid_after(now + last_day * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
