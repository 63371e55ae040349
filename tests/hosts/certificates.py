"""Certificates of hosts, made by the internal CA or by nobody, and the one that an exporter shows."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Made:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes
    serial: int


def made(secrets: Path | None, address: str, *, days: int, name: str = "host.test") -> Made:
    """A certificate for an address that the CA in this folder signed, or that nobody did."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = subject, key
    if secrets:
        issuer = x509.load_pem_x509_certificate((secrets / "ca.crt").read_bytes()).subject
        loaded = serialization.load_pem_private_key((secrets / "ca.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=300))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Made(certificate.public_bytes(serialization.Encoding.PEM), private, certificate.serial_number)


def shown(secrets: Path, address: str, port: int = 9100) -> int:
    """The serial number of the certificate that is served, which the CA has signed for this address."""
    context = ssl.create_default_context(cafile=secrets / "ca.crt")
    with (
        socket.create_connection((address, port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=address) as stream,
    ):
        found = stream.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number
