"""What a host shows and asks for: its certificate, and the hash of the password that Prometheus signs in with.

Runs on the controller, where the password and the internal CA lie in one folder outside git; what is missing there is
made. What the host has already is kept as long as it is right, so that a second run changes nothing.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
# As long as browsers accept a certificate, so that no check of another tool refuses it.
HOST_DAYS = 397
RENEWED_BEFORE = timedelta(days=30)
# Asked for at every scrape; node_exporter remembers an answer, so its cost falls on guesses only.
BCRYPT_COST = 10


@dataclass(frozen=True)
class Authority:
    """The internal CA."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class ActionModule(ActionBase):
    """Options: folder, ca_certificate, certificate, certificate_key, address, user, current_certificate, current_web.

    With `only_look` nothing is written and nothing returned: it fails where what is given will not do.

    Returns `certificate` (PEM with its key; empty when the host's own stays), `web` (the web configuration as a
    mapping), `password`, `ca` (PEM) and `not_after` (Unix time). None of it may be logged.
    """

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Say what the host should have. In check mode nothing is written, and what is made is thrown away."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(
            {
                **{name: {"type": "str", "required": True} for name in ("folder", "ca_certificate", "address", "user")},
                **{name: {"type": "str", "default": ""} for name in ("certificate", "certificate_key")},
                **{name: {"type": "str", "default": ""} for name in ("current_certificate", "current_web")},
                "only_look": {"type": "bool", "default": False},
            }
        )
        name = str((task_vars or {})["inventory_hostname"])
        check = bool(self._task.check_mode) or options["only_look"]
        folder, ca_file = Path(options["folder"]), Path(options["ca_certificate"])
        with _locked(folder, check):
            password = _password(folder, check)
            if options["certificate"]:
                ca = _read(ca_file, "node_exporter_ca_certificate").decode()
                pem, leaf = _given(options["certificate"], options["certificate_key"], options["address"])
            else:
                authority = _authority(folder, ca_file, check)
                ca = _pem(authority.certificate)
                pem, leaf = _issued(authority, name, options["address"], options["current_certificate"])
        if options["only_look"]:
            return result
        web = {
            # Beside this file.
            "tls_server_config": {"cert_file": "tls.pem", "key_file": "tls.pem", "min_version": "TLS12"},
            "basic_auth_users": {options["user"]: _hash(password, options["user"], options["current_web"])},
        }
        not_after = int(leaf.not_valid_after_utc.timestamp())
        return {**result, "certificate": pem, "web": web, "password": password, "ca": ca, "not_after": not_after}


@contextmanager
def _locked(folder: Path, check: bool) -> Iterator[None]:
    """Hosts are worked at beside each other, and there is one CA."""
    if check:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    partial.rename(path)


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnsibleActionFail(f"{setting} is {path}, which cannot be read ({error.strerror}); correct it.") from None


def _password(folder: Path, check: bool) -> str:
    """NODE_EXPORTER_PASSWORD, else the file's, else a new one that is kept there."""
    given = os.environ.get("NODE_EXPORTER_PASSWORD")
    path = folder / "password"
    if not given and path.exists():
        given = path.read_text().strip()
    if not given:
        given = secrets.token_urlsafe(32)
        if not check:
            _write(path, given.encode(), 0o600)
    if not re.fullmatch(r"[\x21-\x7e]{8,72}", given):
        raise AnsibleActionFail(
            "NODE_EXPORTER_PASSWORD: is not 8 to 72 printable ASCII characters without a blank; set another."
        )
    return given


def _hash(password: str, user: str, current: str) -> str:
    """The host's own hash while it is of this password: a new one has a new salt, and would be a change."""
    try:
        users = (yaml.safe_load(current) or {}).get("basic_auth_users") or {}
        if bcrypt.checkpw(password.encode(), str(users[user]).encode()):
            return str(users[user])
    except (yaml.YAMLError, KeyError, ValueError, AttributeError):
        pass
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _built(subject: str, issuer: x509.Name | None, key: Any, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The host's clock may be behind.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _authority(folder: Path, ca_file: Path, check: bool) -> Authority:
    key_file = folder / "ca.key"
    if key_file.exists() and ca_file.exists():
        return _kept(key_file, ca_file)
    if ca_file.exists():
        raise AnsibleActionFail(
            f"{ca_file} is there and its key {key_file} is not; bring the key back, or give each host a certificate "
            "with node_exporter_certificate, or remove the certificate to have a new CA made."
        )
    # A key without its certificate is of a run that was killed in between.
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _built("MyCrypto hosts CA", None, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    if not check:
        _write(key_file, _private(key), 0o600)
        ca_file.parent.mkdir(parents=True, exist_ok=True)
        _write(ca_file, _pem(certificate).encode(), 0o644)
    return Authority(certificate, key)


def _kept(key_file: Path, ca_file: Path) -> Authority:
    certificate = x509.load_pem_x509_certificate(_read(ca_file, "node_exporter_ca_certificate"))
    key = serialization.load_pem_private_key(_read(key_file, "node_exporter_secrets"), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise AnsibleActionFail(f"{key_file} is not the key of {ca_file}; bring back the one that belongs to it.")
    if certificate.not_valid_after_utc - datetime.now(UTC) < RENEWED_BEFORE:
        raise AnsibleActionFail(
            f"the CA {ca_file} ends on {certificate.not_valid_after_utc:%Y-%m-%d}; move it and {key_file.name} away to "
            "have a new one made, then deploy the stack, which checks the hosts by it."
        )
    return Authority(certificate, key)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued(authority: Authority, name: str, address: str, current: str) -> tuple[str, x509.Certificate]:
    """The host's own certificate while it will do, with an empty text; else a new one with its key."""
    if (kept := _parsed(current)) and _will_do(kept, authority, name, address):
        return "", kept
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    rest = (issuer.not_valid_after_utc - datetime.now(UTC)).days
    certificate = (
        _built(name, issuer.subject, key, min(HOST_DAYS, rest))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(name, address)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _pem(certificate) + _private(key).decode(), certificate


def _parsed(pem: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return None


def _will_do(certificate: x509.Certificate, authority: Authority, name: str, address: str) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends_in = certificate.not_valid_after_utc - datetime.now(UTC)
    return list(names) == _names(name, address) and ends_in > RENEWED_BEFORE


def _names(name: str, address: str) -> list[x509.GeneralName]:
    """What the certificate is for: where Prometheus asks, and the host's name in the inventory where it is one."""
    names = [_named(address)]
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name) and _named(name) not in names:
        names.append(_named(name))
    return names


def _named(place: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(place))
    except ValueError:
        return x509.DNSName(place)


def _given(certificate: str, key: str, address: str) -> tuple[str, x509.Certificate]:
    """A certificate that is brought, with its chain and key; refused where no scrape would accept it."""
    chain = _read(Path(certificate), "node_exporter_certificate")
    private = _read(Path(key), "node_exporter_certificate_key")
    try:
        leaf = x509.load_pem_x509_certificate(chain)
        loaded = serialization.load_pem_private_key(private, None)
    except (ValueError, TypeError):
        raise AnsibleActionFail(
            f"{certificate} and {key}: are not a PEM certificate and its unencrypted key; give such files."
        ) from None
    if loaded.public_key() != leaf.public_key():
        raise AnsibleActionFail(f"{key} is not the key of {certificate}; give the one that belongs to it.")
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise AnsibleActionFail(f"{certificate} ended on {leaf.not_valid_after_utc:%Y-%m-%d}; give a current one.")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    if _named(address) not in list(names):
        raise AnsibleActionFail(
            f"{certificate} is not for {address}, the address that Prometheus asks; give one that names it."
        )
    return chain.decode().rstrip() + "\n" + private.decode(), leaf
