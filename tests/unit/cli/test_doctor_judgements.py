"""Each probe of the doctor fails when its control is broken on purpose, and says nothing that is secret."""

import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509

from protos.mail.v1 import mail_pb2
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.cli.doctor import egress, posture, run, secrets, signing_keys, tls
from services.cli.doctor.findings import Finding, Status
from services.cli.doctor.target import Target
from services.cli.signing_key_rotation import SigningFile
from services.common.egress import Answered, Refused

NOW = 1_800_000_000
GOOD = {
    "MAILWARDEN_ENV": "production",
    "DATABASE_URL": "postgresql://app:hidden@db.internal/x?sslmode=verify-full",
    "PUBLIC_URL": "https://mail.example",
    "AGENT_API_KEY_FILE": "/run/secrets/key",
}


def test_settings_that_are_fit_for_production_pass() -> None:
    """And a database on a socket needs no TLS."""
    assert posture.judge("auth", GOOD).status is Status.PASS
    assert (
        posture.judge("auth", GOOD | {"DATABASE_URL": "postgresql://a@/x?host=%2Frun"}).status is Status.PASS
    )


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"MAILWARDEN_ENV": "development"}, Status.WARN, "development"),
        ({"LOG_LEVEL": "DEBUG"}, Status.FAIL, "LOG_LEVEL"),
        ({"EGRESS_ALLOW": "127.0.0.0/8"}, Status.FAIL, "EGRESS_ALLOW"),
        ({"AGENT_API_KEY": "hidden-key"}, Status.FAIL, "AGENT_API_KEY_FILE"),
        ({"AUTH_JWT_SECRET": "hidden-secret"}, Status.FAIL, "AUTH_JWT_SECRET_FILE"),
        ({"PUBLIC_URL": "http://mail.example"}, Status.FAIL, "PUBLIC_URL"),
        ({"OAUTH_ISSUER": "http://mail.example"}, Status.FAIL, "OAUTH_ISSUER"),
        ({"DATABASE_URL": "postgresql://app:hidden@db.internal/x"}, Status.FAIL, "sslmode"),
        ({"REDIS_URL": "redis://:hidden@redis.internal"}, Status.WARN, "REDIS_URL"),
        ({"TRUSTED_PROXIES": "10.0.0.1/32, 0.0.0.0/0"}, Status.FAIL, "TRUSTED_PROXIES"),
        ({"MCP_ENABLE_MUTATION_TOOLS": "true"}, Status.WARN, "MCP_ENABLE_MUTATION_TOOLS"),
        ({"RATE_LIMIT_PER_MINUTE": "100000"}, Status.WARN, "RATE_LIMIT_PER_MINUTE"),
    ],
)
def test_settings_that_are_not_are_named(change: dict[str, str], status: Status, told: str) -> None:
    """By name, never by value where it is a secret."""
    found = posture.judge("auth", GOOD | change)
    assert (found.status, found.id) == (status, "settings.auth")
    assert told in found.evidence
    assert "hidden" not in found.evidence


@pytest.mark.parametrize(
    ("allowed", "is_production", "status"),
    [
        ("", True, Status.PASS),
        ("127.0.0.0/8", False, Status.WARN),
        ("127.0.0.0/8", True, Status.FAIL),
        ("127.0.0.0/8,10.0.0.0/8", False, Status.FAIL),
        ("0.0.0.0/0", False, Status.FAIL),
    ],
)
def test_what_egress_allow_opens_is_judged(allowed: str, is_production: bool, status: Status) -> None:
    """Loopback is for the sandbox; anything wider is never right."""
    assert egress.policy(allowed, is_production=is_production).status is status


async def test_a_guard_that_lets_one_address_through_fails() -> None:
    """Ours refuses them all."""
    assert (await egress.guard("")).status is Status.PASS
    assert (await egress.guard("127.0.0.0/8")).status is Status.PASS

    async def leaky(url: str, _: str) -> object:
        return Answered(200) if "169.254" in url else Refused("private")

    found = await egress.guard("", leaky)
    assert (found.status, found.evidence.count("not refused")) == (Status.FAIL, 1)


class FakeOperator:
    """Answers for a mail core."""

    def __init__(self, answer: mail_pb2.GetMasterKeysResponse) -> None:
        self.answer = answer

    @contextlib.asynccontextmanager
    async def mail_admin(self) -> AsyncIterator[Any]:
        yield self

    async def GetMasterKeys(self, _: object) -> mail_pb2.GetMasterKeysResponse:  # noqa: N802
        return self.answer


def holding(*held: tuple[str, ...], **counts: int) -> mail_pb2.GetMasterKeysResponse:
    return mail_pb2.GetMasterKeysResponse(
        keys=[mail_pb2.MasterKey(key_id=name, value_count=count) for name, count in counts.items()],
        holders=[mail_pb2.MasterKeyHolder(replica="r", key_ids=ids, seals_under=ids[0]) for ids in held],
    )


def older_form(answer: mail_pb2.GetMasterKeysResponse) -> mail_pb2.GetMasterKeysResponse:
    """The same, with values as a release left them that did not bind rows."""
    for key in answer.keys:
        key.older_form_count = key.value_count
    return answer


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (holding(("k1",), k1=3), Status.PASS, "3 values"),
        (holding(("k2", "k1"), k1=3, k2=1), Status.WARN, "mailwarden secrets reseal"),
        (holding(("k2", "k1"), ("k1", "k2"), k1=1, k2=1), Status.WARN, "seal under k1, k2"),
        (holding(("k2", "k1"), k1=0, k2=4), Status.WARN, "mailwarden secrets retire k1"),
        (older_form(holding(("k1",), k1=3)), Status.WARN, "3 values are not bound to their row"),
        (holding(("k2", "k1"), ("k2",), k1=3), Status.FAIL, "1 replicas lack k1"),
        (holding(), Status.FAIL, "no replica"),
    ],
)
async def test_replicas_that_lack_a_key_fail(
    answer: mail_pb2.GetMasterKeysResponse, status: Status, told: str
) -> None:
    """One that could not open what another has sealed."""
    first = await anext(secrets.probe(Target(FakeOperator(answer))))  # type: ignore[arg-type]
    assert (first.id, first.status) == ("secrets.master-keys", status)
    assert told in first.evidence


def test_a_secret_file_that_others_may_read_fails(tmp_path: Path) -> None:
    """Group or world, read or write."""
    file = tmp_path / "master.key"
    file.touch(0o600)
    assert secrets.closed([file]).status is Status.PASS
    for mode in (0o640, 0o604, 0o622):
        file.chmod(mode)
        assert secrets.closed([file]).status is Status.FAIL
    assert secrets.closed([]).status is Status.SKIPPED


def test_a_certificate_is_judged_by_its_end(tmp_path: Path) -> None:
    """Ninety days; the last three weeks are a warning."""
    ensure_certificates(CertificateFolder(tmp_path), utc_now(), ("auth",))
    certificate = x509.load_pem_x509_certificate((tmp_path / "auth.pem").read_bytes())
    end = certificate.not_valid_after_utc
    judged = [tls.end_of("x", certificate, end - timedelta(days=days)).status for days in (60, 20, -1)]
    assert judged == [Status.PASS, Status.WARN, Status.FAIL]


def test_signing_keys_are_judged_by_age(tmp_path: Path) -> None:
    """By when a key began to sign, else by its file; a file that is none fails."""

    def judge() -> Finding:
        return signing_keys.judge("signing-keys.passports", file, NOW)

    file = SigningFile.of_passports(tmp_path / "passport.pem")
    file.path.write_text("not a key")
    assert judge().status is Status.FAIL
    file.path.write_bytes(_pem())
    for days, status in ((10, Status.PASS), (100, Status.WARN), (400, Status.FAIL)):
        os.utime(file.path, (NOW, NOW - days * 86_400))
        assert judge().status is status
    file.rotate(NOW - 200, publish_s=100, drop_old=False)
    assert judge().status is Status.PASS
    file.path.write_bytes(_pem() + b"\n" + _pem())
    os.utime(file.path, (NOW, NOW))
    assert "have no end" in judge().evidence


def _pem() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def test_a_probe_that_got_no_answer_says_how_long_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call's own limit ends it long before that of the probe."""

    async def probe(target: Target) -> AsyncIterator[Finding]:
        del target
        raise TimeoutError
        yield

    monkeypatch.setitem(cast("dict[str, Any]", run.PROBES), "tls", probe)
    [result] = [result async for result in run.examine(cast("Target", None), ["tls"])]
    assert (result.status, result.evidence) == (Status.FAIL, "no answer: given up after 0 s")
