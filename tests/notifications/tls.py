"""
TLS between the shop and a mail server of the tests: a certificate, and a server that drips while TLS is negotiated.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.programs import LOCALHOST

DRIP_SECONDS = 0.1
RECORD = b"\x16\x03\x03\x40\x00"
"""The header of a TLS record of a handshake, 16 kB long."""


def write_certificate(file: Path) -> ssl.SSLContext:
    """
    Write a self-signed certificate for this machine, and return the context of a server that has it.
    """
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime.now(UTC) - timedelta(hours=1))
    builder = builder.not_valid_after(datetime.now(UTC) + timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOCALHOST))])
    certificate = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(pem, pkcs8, plain) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@contextmanager
def dripping_handshakes(*, after_starttls: bool) -> Iterator[int]:
    """
    Serve connections that drip the server's part of the handshake, and yield the port.
    """
    with socket.create_server((LOCALHOST, 0)) as listener:
        _start(_accept, listener, after_starttls=after_starttls)
        yield listener.getsockname()[1]


def _start(serve: Callable[..., None], sock: socket.socket, *, after_starttls: bool) -> None:
    threading.Thread(target=serve, args=[sock], kwargs={"after_starttls": after_starttls}, daemon=True).start()


def _accept(listener: socket.socket, *, after_starttls: bool) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            connection, _ = listener.accept()
            _start(_drip, connection, after_starttls=after_starttls)


def _drip(connection: socket.socket, *, after_starttls: bool) -> None:
    with suppress(OSError), connection:
        if after_starttls:
            for reply in (b"220 Ready\r\n", b"250-mail.example\r\n250 STARTTLS\r\n", b"220 Go ahead\r\n"):
                connection.sendall(reply)
                connection.recv(1_000)
        connection.sendall(RECORD)
        connection.settimeout(DRIP_SECONDS)
        while True:
            with suppress(TimeoutError):
                if not connection.recv(1_000):
                    return
            connection.sendall(b"\0")
