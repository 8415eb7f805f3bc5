"""Development certificates: one authority and one certificate per service, for mutual TLS on loopback.

Production gets its certificates from elsewhere (cert-manager); the names inside are the same.
"""

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.common.tls import SPIFFE_PREFIX

SERVICES: Final = ("auth", "mail_core", "edge_rest", "edge_mcp", "edge_a2a", "cli")
AUTHORITY_LIFETIME: Final = timedelta(days=730)
LIFETIME: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=30)
_BACKDATE: Final = timedelta(minutes=5)  # tolerates a peer whose clock runs a little behind


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """A folder with `ca.pem`, `ca.key` and `<service>.pem`, `<service>.key` for each service."""

    path: Path

    @property
    def authority_file(self) -> Path:
        """Certificate that every peer trusts."""
        return self.path / "ca.pem"

    def environment(self, service: str) -> Mapping[str, str]:
        """Settings that let a process be `service`."""
        return {
            "TLS_CERT_FILE": str(self.path / f"{service}.pem"),
            "TLS_KEY_FILE": str(self.path / f"{service}.key"),
            "TLS_CA_FILE": str(self.authority_file),
        }


@dataclass(frozen=True, slots=True)
class _Identity:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_certificates(
    folder: CertificateFolder, now: datetime, services: Iterable[str] = SERVICES
) -> tuple[str, ...]:
    """Make what is missing, damaged, foreign or close to its end; keep the rest.

    Returns the names of what was made: `ca` and services.
    """
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _load(folder.path, "ca")
    made: list[str] = []
    if authority is None or not _is_good_authority(authority, now):
        authority = _new_authority(now)
        _store(folder.path, "ca", authority)
        made.append("ca")
    for service in services:
        held = _load(folder.path, service)
        if held is None or not _is_good(held, service, authority, now):
            _store(folder.path, service, _new_identity(service, authority, now))
            made.append(service)
    return tuple(made)


def _is_good_authority(held: _Identity, now: datetime) -> bool:
    # It must outlive every certificate that it signs today.
    return held.certificate.not_valid_after_utc - now > LIFETIME + RENEW_BEFORE


def _is_good(held: _Identity, service: str, authority: _Identity, now: datetime) -> bool:
    certificate = held.certificate
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE:
        return False
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return set(names) == set(_names(service))


def _names(service: str) -> tuple[x509.GeneralName, ...]:
    return (
        x509.UniformResourceIdentifier(f"{SPIFFE_PREFIX}{service}"),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    )


def _new_authority(now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("Mailwarden development CA")
    usage = _usage(signs_certificates=True)
    certificate = (
        _builder(name, key, now, AUTHORITY_LIFETIME)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Identity(certificate, key)


def _new_identity(service: str, authority: _Identity, now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_subject(service), key, now, LIFETIME)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(service)), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Identity(certificate, key)


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


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


def _load(folder: Path, name: str) -> _Identity | None:
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return _Identity(certificate, key)


def _store(folder: Path, name: str, identity: _Identity) -> None:
    # The key first: a reader that sees the new certificate finds its key beside it.
    key = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / f"{name}.key", key, 0o600)
    _write(folder / f"{name}.pem", identity.certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)


def utc_now() -> datetime:
    """The time that certificates are judged by."""
    return datetime.now(UTC)
