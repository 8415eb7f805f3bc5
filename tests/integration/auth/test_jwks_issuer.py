"""Keys that an issuer publishes: fetched seldom, believed for a bounded time, never led astray."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from services.auth.adapters import jwks_issuer
from services.auth.adapters.jwks_issuer import ALGORITHMS, JwksIssuer
from services.auth.adapters.verification_keys import keys_of
from services.common.errors import AppError
from tests.fakes.jwks_host import JwksHost, serving_jwks
from tests.fakes.tokens import b64, jwk

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


@dataclass(slots=True)
class Seconds:
    """A monotonic clock that stands still."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def host() -> AsyncIterator[JwksHost]:
    async with serving_jwks() as serving:
        serving.publish(jwk(ED_KEY, "a"))
        yield serving


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
async def issuer(host: JwksHost, clock: Seconds) -> AsyncIterator[JwksIssuer]:
    made = JwksIssuer(host.url, ALGORITHMS, clock)
    yield made
    await made.close()


async def reason_of(issuer: JwksIssuer, key_id: str | None = "a") -> str:
    with pytest.raises(AppError) as caught:
        await issuer.candidates("EdDSA", key_id)
    return caught.value.reason


async def test_keys_are_fetched_once_and_kept(issuer: JwksIssuer, host: JwksHost) -> None:
    """A login costs no request to the issuer."""
    for _ in range(3):
        (key,) = await issuer.candidates("EdDSA", "a")
    assert key.id == "jwks:a"
    assert host.requests == 1


async def test_a_crowd_fetches_once(issuer: JwksIssuer, host: JwksHost) -> None:
    """One request, however many wait for it; one that gives up does not end it for the others."""
    host.may_answer.clear()
    waiting = [asyncio.create_task(issuer.candidates("EdDSA", "a")) for _ in range(20)]
    await host.was_asked.wait()
    waiting[0].cancel()
    host.may_answer.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(len(result) == 1 for result in results[1:])  # type: ignore[arg-type]
    assert host.requests == 1


async def test_an_unknown_kid_asks_the_issuer_at_most_every_ten_seconds(
    issuer: JwksIssuer, host: JwksHost, clock: Seconds
) -> None:
    """Guessing kids must not become a stream of requests; a new key is found all the same."""
    await issuer.candidates("EdDSA", "a")
    host.publish(jwk(ED_KEY, "a"), jwk(ed25519.Ed25519PrivateKey.generate(), "b"))
    assert await issuer.candidates("EdDSA", "b") == ()
    clock.now += jwks_issuer.UNKNOWN_KEY_S
    assert len(await issuer.candidates("EdDSA", "b")) == 1
    for number in range(50):
        assert await issuer.candidates("EdDSA", f"guess-{number}") == ()
    assert host.requests == 2


async def test_a_withdrawn_key_stops_counting(issuer: JwksIssuer, host: JwksHost, clock: Seconds) -> None:
    """After the set was fresh for five minutes it is fetched aside, without making anybody wait."""
    await issuer.candidates("EdDSA", "a")
    host.publish()
    host.was_asked.clear()
    clock.now += jwks_issuer.FRESH_S + 1
    assert len(await issuer.candidates("EdDSA", "a")) == 1
    await host.was_asked.wait()
    assert issuer._renewing is not None
    await issuer._renewing
    assert await issuer.candidates("EdDSA", "a") == ()


async def test_an_outage_is_bridged_for_an_hour_and_no_longer(
    issuer: JwksIssuer, host: JwksHost, clock: Seconds
) -> None:
    """Then it fails closed, and comes back by itself."""
    await issuer.candidates("EdDSA", "a")
    host.status = 500
    clock.now += jwks_issuer.STALE_S
    assert len(await issuer.candidates("EdDSA", "a")) == 1
    clock.now += 10
    assert await reason_of(issuer) == "ISSUER_DOWN"
    host.status = 200
    clock.now += jwks_issuer.RETRY_S
    assert len(await issuer.candidates("EdDSA", "a")) == 1


async def test_during_an_outage_an_unknown_kid_is_not_called_invalid(
    issuer: JwksIssuer, host: JwksHost, clock: Seconds
) -> None:
    """It may be a new key; the client is told to try again."""
    await issuer.candidates("EdDSA", "a")
    host.status = 503
    clock.now += jwks_issuer.UNKNOWN_KEY_S
    assert await reason_of(issuer, "new") == "ISSUER_DOWN"
    assert len(await issuer.candidates("EdDSA", "a")) == 1


@pytest.mark.parametrize(
    "badly",
    [
        {"status": 404},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/other"}},
        {"raw": b"<html>"},
        {"raw": b"[]"},
        {"raw": b"\xff"},
        {"raw": b"[" * 100_000},
        {"raw": b'{"keys": [' + b" " * 300_000 + b"]}"},
    ],
)
async def test_a_bad_answer_is_an_outage_not_a_crash(
    issuer: JwksIssuer, host: JwksHost, badly: dict[str, Any]
) -> None:
    """Redirects are not followed, size is bounded, text is not trusted."""
    for name, value in badly.items():
        setattr(host, name, value)
    assert await reason_of(issuer) == "ISSUER_DOWN"
    assert host.requests == 1


async def test_an_issuer_that_is_not_there_is_an_outage(clock: Seconds) -> None:
    """Typed, whatever the network says."""
    issuer = JwksIssuer("http://127.0.0.1:1/jwks.json", ALGORITHMS, clock)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(issuer.close)
        assert await reason_of(issuer) == "ISSUER_DOWN"


async def test_a_silent_issuer_is_given_up(host: JwksHost, clock: Seconds) -> None:
    """An answer that does not come must not hold logins."""
    host.may_answer.clear()
    issuer = JwksIssuer(host.url, ALGORITHMS, clock, timeout_s=0.05)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(issuer.close)
        assert await reason_of(issuer) == "ISSUER_DOWN"


async def test_an_algorithm_that_is_not_pinned_has_no_keys(issuer: JwksIssuer, host: JwksHost) -> None:
    """HS256 with a published key is the classic confusion (RFC 8725 §3.1)."""
    for algorithm in ("HS256", "none", "None", "RS512", "PS256", "ES384", ""):
        assert await issuer.candidates(algorithm, "a") == ()
    assert host.requests == 0


async def test_without_a_kid_only_an_unambiguous_set_will_do(host: JwksHost, clock: Seconds) -> None:
    """We do not try keys until one fits."""
    host.publish(jwk(ED_KEY, None), jwk(RSA_KEY, "r"))
    one = JwksIssuer(host.url, ALGORITHMS, clock)
    assert len(await one.candidates("EdDSA", None)) == 1
    host.publish(jwk(ED_KEY, "a"), jwk(ed25519.Ed25519PrivateKey.generate(), "b"))
    two = JwksIssuer(host.url, ALGORITHMS, clock)
    assert await two.candidates("EdDSA", None) == ()
    await one.close()
    await two.close()


async def test_a_kid_is_only_ever_compared(issuer: JwksIssuer, host: JwksHost) -> None:
    """No path, no query, no file."""
    for kid in ("../a", "/etc/passwd", "a' OR '1'='1", "http://127.0.0.1/a", "A", "a ", ""):
        assert await issuer.candidates("EdDSA", kid) == ()
    assert host.requests == 1


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY, ED_KEY])
def test_a_key_verifies_by_the_algorithm_of_its_type(key: Any) -> None:
    """RS256, ES256 and EdDSA."""
    (published,) = keys_of({"keys": [jwk(key)]}, ALGORITHMS)
    signer = jwt.get_algorithm_by_name(published.key.algorithm)
    signature = signer.sign(b"text", key)
    assert published.key.verifies(b"text", signature)
    assert not published.key.verifies(b"other", signature)
    assert not published.key.verifies(b"text", b"")
    assert not published.key.verifies(b"text", signature[:-1])


SMALL = rsa.generate_private_key(65537, 1024)
ODD_CURVE = ec.generate_private_key(ec.SECP384R1())
X25519 = {
    "kty": "OKP",
    "crv": "X25519",
    "x": b64(x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()),
}


@pytest.mark.parametrize(
    "unfit",
    [
        jwk(SMALL),
        jwk(RSA_KEY, n="A" * 100_000),
        jwk(RSA_KEY, e="!"),
        jwk(RSA_KEY, n=None),
        jwk(RSA_KEY, alg="HS256"),
        jwk(RSA_KEY, alg="PS256"),
        jwk(RSA_KEY, use="enc"),
        jwk(RSA_KEY, key_ops=["encrypt"]),
        jwk(RSA_KEY, key_ops="verify"),
        jwk(RSA_KEY, 7),
        jwk(EC_KEY, x="AAAA"),
        jwk(EC_KEY, y=jwk(EC_KEY)["x"]),
        jwk(EC_KEY, crv="P-384"),
        jwk(EC_KEY, crv=["P-256"]),
        jwk(ODD_CURVE),
        jwk(ODD_CURVE, crv="P-256"),
        jwk(ED_KEY, x=""),
        jwk(ED_KEY, x=7),
        jwk(ED_KEY, crv="Ed448"),
        X25519,
        {"kty": "oct", "k": b64(b"a shared secret that was published")},
        {"kty": None},
        {},
    ],
)
def test_an_unfit_key_is_left_out_and_the_others_stay(unfit: dict[str, Any]) -> None:
    """One bad entry must not take the issuer down, and must not verify anything."""
    found = keys_of({"keys": [unfit, "text", None, jwk(EC_KEY, "good")]}, ALGORITHMS)
    assert [published.key_id for published in found] == ["good"]


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "k"}])
def test_a_set_without_a_list_has_no_keys(document: dict[str, Any]) -> None:
    """RFC 7517 §5.1."""
    assert keys_of(document, ALGORITHMS) == ()


def test_only_configured_algorithms_count() -> None:
    """AUTH_JWT_ALGORITHMS narrows what the issuer's keys may do."""
    assert keys_of({"keys": [jwk(RSA_KEY), jwk(EC_KEY)]}, frozenset({"ES256"}))[0].key.algorithm == "ES256"
