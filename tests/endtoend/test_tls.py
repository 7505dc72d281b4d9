"""Terminals under TLS: whoever shows a certificate of the authority is served, nobody else."""

import socket
import ssl
import subprocess
import sys

import pytest
from certificates import Authority
from daemon_process import ROOT

from tests.independent.client import Link

WAIT_S = 20


class SecureLink(Link):
    """A link under TLS."""

    def __init__(self, address, context):
        super().__init__(address)
        self._socket = context.wrap_socket(self._socket, server_hostname="host")


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Authorities and certificates, good and bad."""
    folder = tmp_path_factory.mktemp("papers")
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    return {
        "authority": ours.certificate,
        "host": ours.issue("host"),
        "till": ours.issue("till"),
        "expired": ours.issue("expired", -30, -1),
        "early": ours.issue("early", 10, 30),
        "stranger": theirs.issue("stranger"),
    }


@pytest.fixture
def secured(daemon, papers):
    """A daemon with a port under TLS."""
    options = ("--tls-listen", "127.0.0.1:0", "--cert", papers["host"])
    daemon.launch(*options, "--client-ca", papers["authority"])
    daemon.await_ready()
    return daemon


def trusting(papers, own=None, most=None):
    """What a client needs; `own` names the certificate that it shows."""
    context = ssl.create_default_context(cafile=papers["authority"])
    context.check_hostname = False
    if own is not None:
        context.load_cert_chain(papers[own])
    if most is not None:
        context.minimum_version = most
        context.maximum_version = most
    return context


def test_a_terminal_with_a_certificate_trades(secured, papers, traffic, members):
    till = traffic.tills[0]
    link = SecureLink(secured.tls, trusting(papers, "till"))
    till.link = link
    till.sign_on()
    assert till.accrue(members[0], 12345).code == "00"
    # The same terminal may come without TLS: keys and MACs are what counts.
    till.link = Link(secured.address)
    assert till.accrue(members[0], 12345).code == "00"
    till.link.close()
    link.close()


def served(address, context):
    """Whether a keep-alive is answered; TLS 1.3 tells of a refusal only after the handshake."""
    try:
        with (
            socket.create_connection(address, timeout=WAIT_S) as bare,
            context.wrap_socket(bare, server_hostname="host") as wrapped,
        ):
            wrapped.sendall(bytes(2))
            return wrapped.recv(2) == bytes(2)
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.parametrize(
    ("own", "most"),
    [
        (None, None),
        ("stranger", None),
        ("expired", None),
        ("early", None),
        pytest.param(
            "till",
            ssl.TLSVersion.TLSv1_1,
            marks=pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated"),
        ),
    ],
)
def test_others_are_refused_and_the_daemon_lives_on(secured, papers, own, most):
    assert not served(secured.tls, trusting(papers, own, most))
    assert served(secured.tls, trusting(papers, "till"))
    assert secured.metric("_tls_handshakes_total") == 2
    assert secured.metric("_tls_connections_opened_total") == 1


def test_clear_bytes_at_the_secured_port_get_nothing(secured):
    with socket.create_connection(secured.tls, timeout=WAIT_S) as bare:
        bare.sendall(bytes.fromhex("0000") * 50)
        answer = b"".join(iter(lambda: bare.recv(4096), b""))
    assert bytes(2) not in answer[:2]
    assert secured.metric("_tls_handshakes_total") == 1
    assert secured.metric("_tls_connections_opened_total") == 0


@pytest.mark.parametrize(
    ("certificate", "authority", "sentence"),
    [
        ("missing", "authority", "cannot be read"),
        ("host", "missing", "cannot be read"),
        ("authority", "authority", "has to hold a certificate and its private key"),
        ("host", "nothing", "has to hold the certificates of the clients' authority"),
    ],
)
def test_files_that_cannot_be_used_are_told(
    daemon, papers, tmp_path, certificate, authority, sentence
):
    (tmp_path / "nothing").write_text("no certificate\n")
    files = papers | {"missing": tmp_path / "missing", "nothing": tmp_path / "nothing"}
    command = [sys.executable, "-m", "tools", "serve", daemon.directory]
    command += ["--tls-listen", "127.0.0.1:0", "--cert", files[certificate]]
    done = subprocess.run(
        [*map(str, command), "--client-ca", str(files[authority])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
