"""A real auth over mutual TLS and PostgreSQL: what gets in, what does not, and what it says."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import psycopg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.errors import AppError
from services.common.identity import PASSPORT_ISSUER
from tests.fakes.jwks_host import JwksHost, serving_jwks
from tests.fakes.tokens import (
    AUDIENCE,
    ISSUER,
    PREVIOUS_SECRET,
    SECRET,
    b64,
    claims,
    hs256,
    jwk,
    public_pem,
    signed,
)
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "p7Qw2-eR9tY4uI1oA6sD3fG8"
OTHER_KEY = "zX5cV0bN-mK2jH7gF4dS9aP6"
DEFAULT_TEAM = "b5e7a0c2-61f4-4d3b-9a58-0c7d2e9f1a46"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGER = ed25519.Ed25519PrivateKey.generate()


def now() -> int:
    return int(datetime.now(UTC).timestamp())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hybrid(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningAuth]:
    """Keys and tokens with a shared secret; MCP takes tokens only."""
    async with running_auth(
        tmp_path_factory.mktemp("hybrid"),
        databases.auth.app_url,
        AUTH_MODE="hybrid",
        MCP_AUTH_MODE="jwt",
        AGENT_API_KEY=f"{KEY},{OTHER_KEY}",
        AUTH_JWT_SECRET=SECRET,
        AUTH_JWT_SECRET_PREVIOUS=PREVIOUS_SECRET,
        AUTH_JWT_ISSUER=ISSUER,
        AUTH_JWT_AUDIENCE=AUDIENCE,
    ) as auth:
        yield auth


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer() -> AsyncIterator[JwksHost]:
    async with serving_jwks() as host:
        host.publish(jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed"))
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def federated(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, issuer: JwksHost
) -> AsyncIterator[RunningAuth]:
    """Tokens of an issuer that publishes its keys."""
    async with running_auth(
        tmp_path_factory.mktemp("federated"),
        databases.auth.app_url,
        AUTH_MODE="jwt",
        AUTH_JWT_JWKS_URL=issuer.url,
        AUTH_JWT_ISSUER=ISSUER,
        AUTH_JWT_AUDIENCE=AUDIENCE,
    ) as auth:
        yield auth


async def own(databases: Databases, statement: str, **values: Any) -> None:
    """Change a row as an administrator would who is above row-level security."""
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement, values)  # type: ignore[arg-type]


async def test_a_made_key_becomes_a_passport_that_says_who_it_is(hybrid: RunningAuth) -> None:
    """The whole way: made by the operator, shown by an edge, verified by a backend (auth itself)."""
    limits = auth_pb2.Restrictions(
        read_only=True, label_prefix="ci-", mailbox_ids=["4b8f6c1e-0000-4000-8000-000000000001"]
    )
    made = await hybrid.create_key(scopes=["mail:scan", "availability:read"], restrictions=limits)
    passport = await hybrid.issue(api_key=made.secret, audience="auth")
    me = await hybrid.me(passport.token)
    assert (me.team.id, me.team.name, me.team.plan) == (DEFAULT_TEAM, "Default team", "enterprise")
    assert me.team.limits == passport.caller.team.limits
    assert list(me.roots) == [f"key:{made.key_id}", f"team:{DEFAULT_TEAM}"]
    assert (me.principal, me.key_id) == (f"key:{made.key_id}", made.key_id)
    assert list(me.scopes) == ["availability:read", "mail:scan"]
    assert me.restrictions == limits
    assert 0 < passport.expire_time.seconds - now() <= 60


async def test_the_passport_is_what_the_design_says(hybrid: RunningAuth) -> None:
    """EdDSA, its own typ, one audience, verifiable with the published key."""
    passport = await hybrid.issue(bearer=KEY)
    stub = auth_pb2_grpc.AuthServiceStub(hybrid.channel("mail_core"))
    published = await stub.ListPassportKeys(auth_pb2.ListPassportKeysRequest())
    (key,) = json.loads(published.jwks_json)["keys"]
    header = jwt.get_unverified_header(passport.token)
    assert header == {"alg": "EdDSA", "typ": "passport+jwt", "kid": key["kid"]}
    assert "d" not in key
    said = jwt.decode(
        passport.token, jwt.PyJWK(key), algorithms=["EdDSA"], audience="mail_core", issuer=PASSPORT_ISSUER
    )
    assert said["exp"] - said["iat"] == 60
    assert said["jti"]


@pytest.mark.promise("rights.rotation")
async def test_two_keys_of_the_environment_count_at_once(hybrid: RunningAuth) -> None:
    """Rotation without an outage; the ids tell which one is still used."""
    first, second = await hybrid.issue(bearer=KEY), await hybrid.issue(api_key=OTHER_KEY)
    assert first.caller.key_id != second.caller.key_id
    assert {first.caller.key_id[:4], second.caller.key_id[:4]} == {"env:"}
    assert len(first.caller.scopes) == 6


@pytest.mark.promise("rights.rotation")
async def test_both_secrets_count_during_a_rotation(hybrid: RunningAuth) -> None:
    """And the passport says which one signed."""
    for secret in (SECRET, PREVIOUS_SECRET):
        passport = await hybrid.issue(bearer=hs256(claims(now()), secret))
        name = f"secret:{hashlib.sha256(secret.encode()).hexdigest()[:8]}"
        assert (passport.caller.key_id, passport.caller.principal) == (name, f"{ISSUER}#alice")


def by_secret() -> dict[str, tuple[dict[str, str], str]]:
    """Attacks on an auth that shares a secret with its issuer: what is shown, and the reason it gets."""
    at = now()
    good = claims(at)
    head = {"alg": "HS256", "typ": "JWT"}
    unsigned = f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(good)}."
    twice = f'{{"iss": "{ISSUER}", "aud": "{AUDIENCE}", "sub": "alice", "sub": "root", "exp": {at + 60}}}'
    table: dict[str, tuple[str, str]] = {
        "alg none": (unsigned, "CREDENTIAL_INVALID"),
        "alg none with a signature": (unsigned + b64(b"x"), "CREDENTIAL_INVALID"),
        "alg NoNe": (f"{b64({'alg': 'NoNe'})}.{b64(good)}.", "CREDENTIAL_INVALID"),
        "no signature": (hs256(good).rpartition(".")[0] + ".", "CREDENTIAL_INVALID"),
        "alg HS512": (hs256(good, header={**head, "alg": "HS512"}), "CREDENTIAL_INVALID"),
        "alg EdDSA by a stranger": (signed(good, STRANGER), "CREDENTIAL_INVALID"),
        "another secret": (hs256(good, SECRET[::-1]), "CREDENTIAL_INVALID"),
        "the empty secret": (hs256(good, ""), "CREDENTIAL_INVALID"),
        "changed payload": (
            hs256(good).replace(b64(good), b64({**good, "sub": "root"})),
            "CREDENTIAL_INVALID",
        ),
        "key in the header": (signed(good, STRANGER, jwk=jwk(STRANGER)), "CREDENTIAL_INVALID"),
        "kid is a path": (hs256(good, "", header={**head, "kid": "/dev/null"}), "CREDENTIAL_INVALID"),
        "kid is SQL": (hs256(good, "", header={**head, "kid": "x' UNION SELECT ''--"}), "CREDENTIAL_INVALID"),
        "kid is a number": (hs256(good, header={**head, "kid": 1}), "CREDENTIAL_INVALID"),
        "crit": (hs256(good, header={**head, "crit": ["exp"], "exp": 1}), "CREDENTIAL_INVALID"),
        "b64 false": (hs256(good, header={**head, "b64": False, "crit": ["b64"]}), "CREDENTIAL_INVALID"),
        "header said twice": (hs256(good, header='{"alg":"none","alg":"HS256"}'), "CREDENTIAL_INVALID"),
        "claims said twice": (hs256(twice), "CREDENTIAL_INVALID"),
        "typ passport": (hs256(good, header={**head, "typ": "passport+jwt"}), "TOKEN_TYPE_REFUSED"),
        "typ of a refresh token": (hs256(good, header={**head, "typ": "rt+jwt"}), "TOKEN_TYPE_REFUSED"),
        "typ null": (hs256(good, header={**head, "typ": None}), "TOKEN_TYPE_REFUSED"),
        "expired": (hs256(claims(at, exp=at - 31)), "TOKEN_EXPIRED"),
        "nbf in the future": (hs256(claims(at, nbf=at + 90)), "TOKEN_NOT_YET_VALID"),
        "iat in the future": (hs256(claims(at, iat=at + 90)), "TOKEN_NOT_YET_VALID"),
        "no exp": (hs256(claims(at, exp=None)), "CREDENTIAL_INVALID"),
        "exp is text": (hs256(claims(at, exp=str(at + 60))), "CREDENTIAL_INVALID"),
        "exp is infinite": (hs256(claims(at, exp=float("inf"))), "CREDENTIAL_INVALID"),
        "wrong aud": (hs256(claims(at, aud="other")), "CREDENTIAL_INVALID"),
        "no aud": (hs256(claims(at, aud=None)), "CREDENTIAL_INVALID"),
        "wrong iss": (hs256(claims(at, iss="https://evil.example/")), "CREDENTIAL_INVALID"),
        "no sub": (hs256(claims(at, sub=None)), "CREDENTIAL_INVALID"),
        "huge": ("a" * 9_000, "CREDENTIAL_INVALID"),
        "huge but well formed": (hs256(claims(at, pad="x" * 9_000)), "CREDENTIAL_INVALID"),
        "deep": (hs256("[" * 5_000), "CREDENTIAL_INVALID"),
        "empty": ("", "CREDENTIAL_MISSING"),
        "a key that nobody made": ("ma_" + "A" * 43, "CREDENTIAL_INVALID"),
        "a key of the environment cut short": (KEY[:-1], "CREDENTIAL_INVALID"),
        "two keys of the environment": (f"{KEY},{OTHER_KEY}", "CREDENTIAL_INVALID"),
        "not ASCII": ("schlüssel", "CREDENTIAL_INVALID"),
        "a NUL": ("ma_\0", "CREDENTIAL_INVALID"),
    }
    return {name: ({"bearer": shown}, reason) for name, (shown, reason) in table.items()}


@pytest.mark.promise("rights.forgery")
@pytest.mark.parametrize("attack", by_secret())
async def test_no_forged_credential_gets_in(hybrid: RunningAuth, attack: str) -> None:
    """Each attack gets its documented reason, and the process lives on."""
    presented, reason = by_secret()[attack]
    assert await hybrid.refusal(**presented) == reason


@pytest.mark.promise("rights.purpose")
async def test_a_passport_is_no_credential(hybrid: RunningAuth) -> None:
    """Shown where a credential belongs, our own statement is refused by its type (pair by pair)."""
    for audience in ("auth", "mail_core"):
        passport = await hybrid.issue(bearer=KEY, audience=audience)
        assert await hybrid.refusal(bearer=passport.token) == "TOKEN_TYPE_REFUSED"
        assert await hybrid.refusal(api_key=passport.token) == "CREDENTIAL_INVALID"


@pytest.mark.promise("rights.purpose")
async def test_no_credential_is_a_passport(hybrid: RunningAuth) -> None:
    """And the other way round; nor is a passport for another backend, or a forged one."""
    passport = await hybrid.issue(bearer=KEY, audience="auth")
    head, body, _ = passport.token.split(".")
    for_another = (await hybrid.issue(bearer=KEY, audience="mail_core")).token
    resigned = signed(jwt.decode(passport.token, options={"verify_signature": False}), STRANGER)
    for forged in (KEY, hs256(claims(now())), for_another, f"{head}.{body}.{b64(b'x' * 64)}", resigned, "x"):
        with pytest.raises(AppError, match="PASSPORT_INVALID"):
            await hybrid.me(forged)
    with pytest.raises(AppError, match="PASSPORT_MISSING"):
        await hybrid.me("")


async def test_no_credential_at_all_is_missing(hybrid: RunningAuth) -> None:
    """An empty oneof."""
    assert await hybrid.refusal() == "CREDENTIAL_MISSING"


async def test_only_one_of_two_credentials_is_read(hybrid: RunningAuth) -> None:
    """The contract holds one; of a hand-made message with both, the last counts (protobuf's rule)."""
    raw = auth_pb2.IssuePassportRequest(api_key=KEY).SerializeToString()
    both = raw + auth_pb2.IssuePassportRequest(bearer="forged", audience="auth").SerializeToString()
    parsed = auth_pb2.IssuePassportRequest.FromString(both)
    assert parsed.WhichOneof("credential") == "bearer"
    stub = auth_pb2_grpc.AuthServiceStub(hybrid.channel())
    with pytest.raises(AppError, match="CREDENTIAL_INVALID"):
        await stub.IssuePassport(parsed)


async def test_an_unknown_backend_is_refused(hybrid: RunningAuth) -> None:
    """A passport is for one of our backends."""
    assert await hybrid.refusal(bearer=KEY, audience="edge_rest") == "AUDIENCE_UNKNOWN"


@pytest.mark.promise("rights.modes")
async def test_the_certificate_chooses_the_mode(hybrid: RunningAuth) -> None:
    """MCP_AUTH_MODE=jwt holds for edge_mcp and for nobody else."""
    token = hs256(claims(now()))
    assert await hybrid.refusal(peer="edge_mcp", api_key=KEY) == "CREDENTIAL_KIND_REFUSED"
    assert await hybrid.refusal(peer="edge_mcp", bearer="ma_" + "A" * 43) == "CREDENTIAL_KIND_REFUSED"
    assert await hybrid.refusal(peer="edge_mcp", bearer=token) == "ACCEPTED"
    assert await hybrid.refusal(peer="edge_a2a", api_key=KEY) == "ACCEPTED"


@pytest.mark.promise("rights.peers")
@pytest.mark.parametrize("peer", ["mail_core", "auth", "cli"])
async def test_only_edges_exchange_credentials(hybrid: RunningAuth, peer: str) -> None:
    """A stolen backend certificate turns no key into a passport."""
    assert await hybrid.refusal(peer=peer, bearer=KEY) == "PEER_NOT_ALLOWED"


@pytest.mark.promise("rights.peers")
@pytest.mark.parametrize("peer", ["edge_rest", "edge_mcp", "edge_a2a", "mail_core"])
async def test_only_the_operator_makes_keys(hybrid: RunningAuth, peer: str) -> None:
    """An edge that was taken over cannot make itself a key."""
    stub = auth_pb2_grpc.AuthAdminServiceStub(hybrid.channel(peer))
    with pytest.raises(AppError, match="PEER_NOT_ALLOWED"):
        await stub.CreateApiKey(auth_pb2.CreateApiKeyRequest(label="mine"))
    with pytest.raises(AppError, match="PEER_NOT_ALLOWED"):
        await stub.GetDefaultTeam(auth_pb2.GetDefaultTeamRequest())


@pytest.mark.promise("rights.certificates")
async def test_without_a_certificate_nobody_is_heard(hybrid: RunningAuth) -> None:
    """Mutual TLS, not TLS."""
    authority = hybrid.certificates.authority_file.read_bytes()
    async with aio.secure_channel(hybrid.address, grpc.ssl_channel_credentials(authority)) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.ListPassportKeys(auth_pb2.ListPassportKeysRequest(), timeout=5)  # type: ignore[call-arg]
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.promise("revocation.refused")
async def test_a_revoked_or_expired_key_says_so(hybrid: RunningAuth, databases: Databases) -> None:
    """To its holder, with the reason that the contract names."""
    revoked, expired = await hybrid.create_key(), await hybrid.create_key()
    assert await hybrid.refusal(bearer=revoked.secret) == "ACCEPTED"
    await own(databases, "UPDATE api_keys SET revoked_at = now() WHERE id = %(id)s", id=revoked.key_id)
    await own(databases, "UPDATE api_keys SET expires_at = now() WHERE id = %(id)s", id=expired.key_id)
    assert await hybrid.refusal(bearer=revoked.secret) == "KEY_REVOKED"
    assert await hybrid.refusal(api_key=expired.secret) == "KEY_EXPIRED"


@pytest.mark.promise("revocation.bounded")
async def test_a_passport_ends_with_its_key(hybrid: RunningAuth) -> None:
    """Never after the credential's own expiry."""
    end = Timestamp()
    end.FromDatetime(datetime.now(UTC) + timedelta(seconds=20))
    made = await hybrid.create_key(expire_time=end)
    passport = await hybrid.issue(bearer=made.secret)
    assert passport.expire_time.seconds <= end.seconds


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"label": ""}, "LABEL_INVALID"),
        ({"label": "a\0b"}, "LABEL_INVALID"),
        ({"scopes": ["admin"]}, "SCOPE_UNKNOWN"),
        ({"expire_time": Timestamp(seconds=1)}, "EXPIRY_IN_THE_PAST"),
        ({"expire_time": Timestamp(seconds=2**60)}, "TIME_INVALID"),
        ({"expire_time": Timestamp(seconds=2**33, nanos=-5)}, "TIME_INVALID"),
        ({"team_id": "4b8f6c1e-0000-4000-8000-000000000001"}, "TEAM_NOT_FOUND"),
        ({"team_id": "' OR 1=1--"}, "TEAM_NOT_FOUND"),
        ({"restrictions": auth_pb2.Restrictions(mailbox_ids=["x"])}, "MAILBOX_ID_INVALID"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(
    hybrid: RunningAuth, wanted: dict[str, Any], reason: str
) -> None:
    """Typed, and nothing is made."""
    with pytest.raises(AppError, match=reason):
        await hybrid.create_key(**wanted)


async def test_the_default_team_is_the_same_everywhere(hybrid: RunningAuth) -> None:
    """Mail core's rows refer to it."""
    stub = auth_pb2_grpc.AuthAdminServiceStub(hybrid.channel("cli"))
    answer = await stub.GetDefaultTeam(auth_pb2.GetDefaultTeamRequest())
    assert (answer.team.id, answer.team.name) == (DEFAULT_TEAM, "Default team")


@pytest.mark.parametrize(("key", "kid"), [(RSA_KEY, "rsa"), (EC_KEY, "ec"), (ED_KEY, "ed")])
async def test_tokens_of_a_publishing_issuer_get_in(federated: RunningAuth, key: Any, kid: str) -> None:
    """RS256, ES256 and EdDSA; the passport names the key that signed."""
    token = signed(claims(now(), scope=None, scp=["unsubscribe:read", "nonsense"]), key, kid=kid)
    caller = (await federated.issue(bearer=token)).caller
    assert (caller.principal, caller.key_id) == (f"{ISSUER}#alice", f"jwks:{kid}")
    assert list(caller.scopes) == ["unsubscribe:read"]
    assert caller.credential_kind == auth_pb2.CREDENTIAL_KIND_JWT


def by_published_key() -> dict[str, tuple[str, str]]:
    """Attacks on an auth that fetches its issuer's keys."""
    at = now()
    good = claims(at)
    confusion = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}
    return {
        "HS256 with the public key as PEM": (
            hs256(good, public_pem(RSA_KEY), header=confusion), "CREDENTIAL_INVALID",
        ),
        "HS256 with the public key as JWK": (
            hs256(good, json.dumps(jwk(RSA_KEY, "rsa")), header=confusion), "CREDENTIAL_INVALID",
        ),
        "HS256 with the raw Ed25519 key": (
            hs256(good, ED_KEY.public_key().public_bytes_raw(), header={**confusion, "kid": "ed"}),
            "CREDENTIAL_INVALID",
        ),
        "alg none": (f"{b64({'alg': 'none', 'kid': 'rsa'})}.{b64(good)}.", "CREDENTIAL_INVALID"),
        "another key's kid": (signed(good, EC_KEY, kid="rsa"), "CREDENTIAL_INVALID"),
        "a stranger under a known kid": (signed(good, STRANGER, kid="ed"), "CREDENTIAL_INVALID"),
        "a stranger's key in the header": (
            signed(good, STRANGER, kid="ed", jwk=jwk(STRANGER)), "CREDENTIAL_INVALID",
        ),
        "a stranger's address in the header": (
            signed(good, STRANGER, kid="x", jku="http://127.0.0.1:1/"), "CREDENTIAL_INVALID",
        ),
        "unknown kid": (signed(good, ED_KEY, kid="unknown"), "CREDENTIAL_INVALID"),
        "kid is a path": (signed(good, ED_KEY, kid="../../jwks.json"), "CREDENTIAL_INVALID"),
        "expired": (signed(claims(at, exp=at - 60), ED_KEY, kid="ed"), "TOKEN_EXPIRED"),
        "wrong aud": (signed(claims(at, aud="other"), ED_KEY, kid="ed"), "CREDENTIAL_INVALID"),
        "wrong iss": (signed(claims(at, iss="other"), ED_KEY, kid="ed"), "CREDENTIAL_INVALID"),
        "typ logout": (signed(good, ED_KEY, kid="ed", typ="logout+jwt"), "TOKEN_TYPE_REFUSED"),
        "an API key": ("ma_" + "A" * 43, "CREDENTIAL_KIND_REFUSED"),
    }  # fmt: skip


@pytest.mark.parametrize("attack", by_published_key())
async def test_no_token_is_forged_from_what_is_public(federated: RunningAuth, attack: str) -> None:
    """Knowing every public key helps nobody (RFC 8725 §2.1)."""
    token, reason = by_published_key()[attack]
    assert await federated.refusal(bearer=token) == reason


async def test_the_issuer_is_asked_seldom(federated: RunningAuth, issuer: JwksHost) -> None:
    """All the tests above took a handful of fetches."""
    before = issuer.requests
    await asyncio.gather(
        *(federated.refusal(bearer=signed(claims(now()), ED_KEY, kid="ed")) for _ in range(20))
    )
    assert issuer.requests - before <= 1


@pytest.mark.promise("secrets.logs")
async def test_no_log_holds_a_credential(hybrid: RunningAuth, federated: RunningAuth) -> None:
    """Plant secrets on every way in, then search everything that was written."""
    made = await hybrid.create_key(label="planted-label")
    passport = await hybrid.issue(bearer=made.secret)
    token, forged = hs256(claims(now())), "forged-" + "Zq9" * 9
    foreign = signed(claims(now()), ED_KEY, kid="ed")
    await hybrid.issue(bearer=token)
    await federated.issue(bearer=foreign)
    assert await hybrid.refusal(bearer=forged) == "CREDENTIAL_INVALID"
    text = hybrid.log.read_text() + federated.log.read_text()
    assert '"reason":"CREDENTIAL_INVALID"' in text
    for secret in (
        made.secret,
        passport.token,
        token,
        forged,
        foreign,
        KEY,
        OTHER_KEY,
        SECRET,
        PREVIOUS_SECRET,
    ):
        assert secret not in text
    assert "postgresql://" not in text
    assert "Traceback" not in text


@pytest.mark.promise("secrets.at-rest")
async def test_the_database_holds_no_secret(hybrid: RunningAuth, databases: Databases) -> None:
    """A stolen dump lets nobody in."""
    made = await hybrid.create_key()
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute("SELECT api_keys::text FROM api_keys")).fetchall()
    assert rows
    assert made.secret[3:] not in str(rows)
