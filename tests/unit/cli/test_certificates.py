"""Development certificates: right names, private keys, kept while good, replaced when not."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.cli.certificates import LIFETIME, RENEW_BEFORE, SERVICES, CertificateFolder, ensure_certificates

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    made = CertificateFolder(tmp_path / "certs")
    ensure_certificates(made, NOW)
    return made


def certificate(folder: CertificateFolder, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder.path / f"{name}.pem").read_bytes())


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_named_by_a_uri_and_by_loopback(folder: CertificateFolder, service: str) -> None:
    """The URI SAN says who a peer is; the rest lets clients verify a server on loopback."""
    names = certificate(folder, service).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://mailwarden/{service}"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_a_certificate_serves_both_ends_and_signs_no_other(folder: CertificateFolder) -> None:
    """Every service is client and server; only the authority may issue."""
    held = certificate(folder, "mail_core").extensions
    purposes = set(held.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not held.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate(folder, "mail_core").verify_directly_issued_by(certificate(folder, "ca"))


def test_keys_are_for_their_owner_alone(folder: CertificateFolder) -> None:
    """Nobody else on the machine can be a service."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.path.glob("*.key")}
    assert modes == {f"{name}.key": 0o600 for name in ("ca", *SERVICES)}


def test_good_certificates_are_kept(folder: CertificateFolder) -> None:
    """A second start costs nothing and breaks no running peer."""
    assert ensure_certificates(folder, NOW + LIFETIME - RENEW_BEFORE - DAY) == ()


def test_certificates_are_renewed_well_before_their_end(folder: CertificateFolder) -> None:
    """The authority stays, so that peers with an older certificate go on trusting."""
    assert ensure_certificates(folder, NOW + LIFETIME - RENEW_BEFORE) == SERVICES


def test_an_authority_that_would_end_too_soon_is_replaced_with_all_it_signed(
    folder: CertificateFolder,
) -> None:
    """A certificate must not outlive its authority."""
    assert ensure_certificates(folder, NOW + timedelta(days=700)) == ("ca", *SERVICES)


@pytest.mark.parametrize("damage", [b"", b"not a certificate", None])
def test_a_damaged_or_missing_key_is_made_anew(folder: CertificateFolder, damage: bytes | None) -> None:
    """Only what is broken is replaced."""
    key = folder.path / "auth.key"
    key.unlink() if damage is None else key.write_bytes(damage)
    assert ensure_certificates(folder, NOW) == ("auth",)


def test_a_key_of_another_certificate_is_not_used(folder: CertificateFolder) -> None:
    """Two halves that do not belong together would fail in every handshake."""
    (folder.path / "auth.key").write_bytes((folder.path / "cli.key").read_bytes())
    assert ensure_certificates(folder, NOW) == ("auth",)


def test_a_certificate_under_another_services_name_is_replaced(folder: CertificateFolder) -> None:
    """A copy of the operator's certificate does not make an edge the operator."""
    for suffix in ("pem", "key"):
        copy = folder.path / f"cli.{suffix}"
        (folder.path / f"edge_rest.{suffix}").write_bytes(copy.read_bytes())
    assert ensure_certificates(folder, NOW) == ("edge_rest",)
