"""The cluster's certificate authorities, what they sign, and the kubeconfigs of those who ask the API server."""

import base64
import datetime
import json
import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.layout import API_PORT, HOST_ADDRESS, NODES, SERVICE_ADDRESS, Layout

VALID = datetime.timedelta(days=365)
# Clocks of containers and hosts may differ by a little.
SKEW = datetime.timedelta(hours=1)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """A certificate authority: what it signs is trusted by whom its certificate is given to."""

    certificate: x509.Certificate
    key: Key


def ensure(layout: Layout) -> None:
    """Make every certificate, key and kubeconfig of the cluster, unless a kept cluster has them still."""
    folder = layout.pki
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    cluster = _authority(folder, "ca", "mycrypto-cluster")
    front_proxy = _authority(folder, "front-proxy-ca", "mycrypto-cluster-front-proxy")
    etcd = _authority(folder, "etcd-ca", "mycrypto-cluster-etcd")
    _sign(folder, etcd, "etcd", "etcd", hosts=("localhost", "127.0.0.1"))
    _sign(folder, etcd, "apiserver-etcd-client", "kube-apiserver-etcd-client")
    service = "kubernetes.default.svc.cluster.local"
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", service, "localhost")
    _sign(folder, cluster, "apiserver", "kube-apiserver", hosts=(*names, "127.0.0.1", HOST_ADDRESS, SERVICE_ADDRESS))
    _sign(folder, cluster, "apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    _sign(folder, front_proxy, "front-proxy-client", "front-proxy-client")
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write(folder / "sa.key", accounts.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    _write(folder / "sa.pub", accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for name, user, group in (
        ("admin", "kubernetes-admin", "system:masters"),
        ("controller-manager", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
    ):
        _kubeconfig(folder, cluster, name, user, group, server="127.0.0.1")
    # From a node's network namespace 127.0.0.1 is the node itself.
    _kubeconfig(folder, cluster, "proxy", "system:kube-proxy", None, server=HOST_ADDRESS)
    for node in NODES:
        user = f"system:node:{node.name}"
        _sign(folder, cluster, f"kubelet-{node.name}", user, "system:nodes", hosts=(node.name, node.address))
        _kubeconfig(folder, cluster, f"kubelet-{node.name}", user, "system:nodes", server=HOST_ADDRESS)
    (folder / "complete").touch()


def _authority(folder: Path, file: str, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name, None)
    certificate = (
        _unsigned(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / f"{file}.crt", certificate.public_bytes(Encoding.PEM))
    _write(folder / f"{file}.key", _private(key))
    return Authority(certificate, key)


def _sign(
    folder: Path, authority: Authority, file: str, name: str, group: str | None = None, *, hosts: tuple[str, ...] = ()
) -> tuple[bytes, bytes]:
    """Write a signed certificate and its key, and return both as PEM; with `hosts` it may also serve."""
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _unsigned(_subject(name, group), authority.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    pem = builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    _write(folder / f"{file}.crt", pem)
    _write(folder / f"{file}.key", _private(key))
    return pem, _private(key)


def _kubeconfig(folder: Path, authority: Authority, name: str, user: str, group: str | None, *, server: str) -> None:
    certificate, key = _sign(folder, authority, f"client-{name}", user, group)
    trusted = authority.certificate.public_bytes(Encoding.PEM)
    cluster = {"server": f"https://{server}:{API_PORT}", "certificate-authority-data": _encoded(trusted)}
    identity = {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}
    context = "mycrypto-cluster"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": name, "user": identity}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
    }
    _write(folder / f"{name}.kubeconfig", json.dumps(content, indent=1).encode())


def _unsigned(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(now + VALID)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str, group: str | None) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
