"""A token of another issuer is known by what it says, not by how its proof is written."""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils

from services.auth.domain.foreign_rights import ForeignRight, principal_root, remembered_until, token_root
from tests.fakes.tokens import ISSUER, NOW, b64, claims, hs256, signed

KEEP = timedelta(days=366)
START = datetime.fromtimestamp(NOW, UTC)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_unread_bits_of_a_signature_make_no_other_token() -> None:
    """The 32 bytes of HS256 leave two bits of the last character to chance (RFC 4648 §3.5)."""
    token = hs256(claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(token[-1])
    twin = token[:-1] + alphabet[last ^ 1]
    assert twin != token
    assert urlsafe_b64decode(twin.rpartition(".")[2] + "=") == urlsafe_b64decode(
        token.rpartition(".")[2] + "="
    )
    assert token_root(twin) == token_root(token)


def test_the_other_signature_of_ecdsa_makes_no_other_token() -> None:
    """Whoever has (r, s) has (r, n - s) as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    token = signed(claims(), key)
    head, _, tail = token.rpartition(".")
    raw = urlsafe_b64decode(tail + "==")
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    twin = f"{head}.{b64(r.to_bytes(32) + (P256_ORDER - s).to_bytes(32))}"
    der = utils.encode_dss_signature(r, P256_ORDER - s)
    from cryptography.hazmat.primitives.hashes import SHA256

    key.public_key().verify(der, head.encode(), ec.ECDSA(SHA256()))
    assert token_root(twin) == token_root(token)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (hs256(claims(jti="1")), hs256(claims(jti="2"))),
        ("opaque-1", "opaque-2"),
        # Formats with dots whose last part is the secret one.
        ("v2.local.c2VjcmV0LTE", "v2.local.c2VjcmV0LTI"),
        ("ya29.a0AfH6SMB-1", "ya29.a0AfH6SMB-2"),
    ],
)
def test_two_tokens_are_two(one: str, other: str) -> None:
    """Revoking one must not revoke the other."""
    assert token_root(one) != token_root(other)


def test_a_principal_is_known_by_its_name_in_the_audit_log_too() -> None:
    """There an address is told by a hash of it."""
    from services.common.audit import actor_of

    principal = f"{ISSUER}#ada@example.com"
    assert actor_of(principal) != principal
    assert principal_root(actor_of(principal)) == principal_root(principal)
    assert principal_root(f"{ISSUER}#eve@example.com") != principal_root(principal)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (hs256(claims(exp=NOW + 90 * 86_400)), timedelta(days=91)),
        (hs256(claims(exp=NOW - 90 * 86_400)), timedelta(days=1)),
        (hs256(claims(exp=NOW + 40_000 * 86_400)), timedelta(days=3_660)),
        (hs256(claims(exp=None)), KEEP),
        (hs256(claims(exp="soon")), KEEP),
        (hs256(claims(exp=True)), KEEP),
        # The last second that a datetime has, and far beyond: what issuers write for "never".
        (hs256(claims(exp=253_402_300_799)), timedelta(days=3_660)),
        (hs256(claims(exp=1e300)), timedelta(days=3_660)),
        (hs256(claims(exp=10**400)), timedelta(days=3_660)),
        (hs256(claims(exp=-1)), KEEP),
        (hs256("not json"), KEEP),
        ("opaque", KEEP),
    ],
)
def test_a_token_is_remembered_for_as_long_as_it_could_live(text: str, expected: timedelta) -> None:
    """Its own word counts, a day more; without one the bound does."""
    assert remembered_until(text, START, KEEP) == START + expected


@pytest.mark.parametrize(
    ("issued_at", "is_revoked"),
    [(NOW - 5.0, True), (NOW + 29.0, True), (NOW + 31.0, False), (None, True)],
)
def test_a_principal_that_was_revoked_is_believed_again_for_what_is_issued_later(
    issued_at: float | None, is_revoked: bool
) -> None:
    """By the issuer's clock, which may be ahead by the leeway; what does not say when is refused."""
    right = ForeignRight.of("token", f"{ISSUER}#alice", issued_at)
    assert right.is_revoked({right.principal_root: START}, leeway_s=30) is is_revoked
