"""The signing key's file: made once, closed to others, refused when it is not one."""

import json
import stat
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from services.auth.adapters.file_passport_keys import FilePassportKeys, PublicKey, UnusableKeyError
from services.auth.domain.passport import Authenticated, Statement
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.common.identity import Caller, PassportVerifier, Restrictions


def pem(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]


def test_a_missing_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    """The second start finds the key of the first."""
    file = tmp_path / "passport.pem"
    first = FilePassportKeys.load(file, None, may_create=True)
    second = FilePassportKeys.load(file, None, may_create=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.public_jwks() == second.public_jwks()
    assert list(tmp_path.iterdir()) == [file]


def test_in_production_a_missing_key_is_told_not_made(tmp_path: Path) -> None:
    """Replicas with keys of their own would refuse each other's passports."""
    file = tmp_path / "passport.pem"
    with pytest.raises(UnusableKeyError, match="openssl genpkey"):
        FilePassportKeys.load(file, None, may_create=False)
    assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"not a key", pem(generate_private_key(SECP256R1()))])
def test_another_kind_of_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    """Only Ed25519 signs passports."""
    file = tmp_path / "passport.pem"
    file.write_bytes(content)
    with pytest.raises(UnusableKeyError, match="Ed25519") as caught:
        FilePassportKeys.load(file, None, may_create=True)
    assert "PRIVATE KEY" not in str(caught.value)
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", [b"not a key", pem(generate_private_key(SECP256R1())), None])
def test_a_previous_key_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A rotation that would log everybody out is told before it does."""
    previous = tmp_path / "old.pem"
    if content is not None:
        previous.write_bytes(content)
    with pytest.raises(UnusableKeyError, match="PASSPORT_KEY_PREVIOUS_FILE"):
        FilePassportKeys.load(tmp_path / "new.pem", previous, may_create=True)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No traceback for a typing mistake."""
    with pytest.raises(UnusableKeyError, match="PASSPORT_KEY_FILE"):
        FilePassportKeys.load(tmp_path / "no" / "passport.pem", None, may_create=True)


@pytest.mark.parametrize("is_public", [True, False])
async def test_the_key_before_is_published_and_never_signs(tmp_path: Path, is_public: bool) -> None:
    """Passports of before a rotation stay good for their minute."""
    old, file, previous = Ed25519PrivateKey.generate(), tmp_path / "new.pem", tmp_path / "old.pem"
    public = old.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    previous.write_bytes(public if is_public else pem(old))
    keys = FilePassportKeys.load(file, previous, may_create=True)
    published = json.loads(keys.public_jwks())["keys"]
    assert [key["kid"] for key in published] == [keys.public[0].id, PublicKey.of(old.public_key()).id]
    assert all("d" not in key for key in published)
    assert jwt.get_unverified_header(keys.sign({}))["kid"] == published[0]["kid"]
    assert await keys.find(published[1]["kid"]) is not None
    assert await keys.find("../../etc/passwd") is None


def test_kid_is_the_thumbprint() -> None:
    """RFC 8037 appendix A.3 gives the key and its thumbprint."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    key = jwt.get_algorithm_by_name("EdDSA").from_jwk(jwk)
    assert PublicKey.of(key).id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


async def test_a_backend_accepts_what_is_signed_here(tmp_path: Path) -> None:
    """Both ends of a passport, together."""
    keys = FilePassportKeys.load(tmp_path / "p.pem", None, may_create=True)
    mailboxes = frozenset(f"4b8f6c1e-0000-4000-8000-{n:012}" for n in range(100))
    caller = Caller(
        DEFAULT_TEAM_ID, "ü" * 64, "p" * 768, "k" * 260, "jwt", frozenset({"mail:scan"}),
        Restrictions(True, "l" * 64, mailboxes), frozenset({f"team:{DEFAULT_TEAM_ID}", "key:" + "k" * 260}),
    )  # fmt: skip
    statement = Statement.about(Authenticated(caller), "mail_core", time.time(), "1")
    token = keys.sign(statement.to_claims())
    assert len(token) < 10_240, "it must fit into the metadata of a call"
    assert await PassportVerifier("mail_core", keys.find).verify(token) == caller
