"""Passports: what is written reads back, and nothing else is believed."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from services.common import identity
from services.common.errors import AppError, Kind
from services.common.identity import (
    PASSPORT_ISSUER,
    PASSPORT_TYPE,
    Caller,
    Limits,
    PassportVerifier,
    Restrictions,
    team_root,
)

KEY, ANOTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
CALLER = Caller(
    team_id="5d5f5c1e-0000-4000-8000-000000000001",
    team_name="Team",
    principal="key:1",
    key_id="1",
    credential_kind="api_key",
    scopes=frozenset({"mail:scan", "unsubscribe:read"}),
    restrictions=Restrictions(read_only=True, label_prefix="bots/", mailbox_ids=frozenset({"m1", "m2"})),
    roots=frozenset({"team:5d5f5c1e-0000-4000-8000-000000000001", "key:1"}),
    limits=Limits(60, 300, 5, 1, 10),
)
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
COUNTS = st.integers(0, 1_000_000)


def callers_of(team_id: str) -> st.SearchStrategy[Caller]:
    """Callers of one team, whose roots hold it as every caller's do."""
    return st.builds(
        Caller,
        st.just(team_id),
        WORDS,
        WORDS,
        WORDS,
        st.sampled_from(["api_key", "jwt", "access_token"]),
        st.frozensets(WORDS, max_size=5),
        st.builds(Restrictions, st.booleans(), WORDS, st.frozensets(WORDS, max_size=3)),
        st.frozensets(WORDS, max_size=3).map(lambda roots: roots | {team_root(team_id)}),
        st.builds(Limits, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    )


CALLERS = st.uuids().map(str).flatmap(callers_of)


@given(CALLERS)
def test_a_caller_is_the_same_after_a_journey(caller: Caller) -> None:
    """Auth writes and backends read by one pair of functions."""
    assert Caller.from_claims(caller.to_claims()) == caller


@pytest.fixture(scope="module")
def now() -> float:
    return time.time()


class CountingVerifier(PassportVerifier):
    """Counts how often a signature is checked."""

    checks = 0

    def _decode(self, token: str, key: Ed25519PublicKey) -> dict[str, Any]:
        self.checks += 1
        return super()._decode(token, key)


class World:
    """A verifier for the mail core, who it asks for keys, and its clock."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.known = {"k1": KEY.public_key()}
        self.verifier = CountingVerifier("mail_core", self._find, clock=lambda: self.now)

    async def _find(self, key_id: str) -> Ed25519PublicKey | None:
        return self.known.get(key_id)

    def passport(
        self, key: Any = KEY, algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        claims = {
            **CALLER.to_claims(),
            "iss": PASSPORT_ISSUER,
            "aud": "mail_core",
            "iat": int(self.now),
            "exp": int(self.now) + 60,
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not ...}
        headers = {"typ": PASSPORT_TYPE, "kid": "k1", **(header or {})}
        return jwt.encode(kept, key, algorithm=algorithm, headers=headers)

    async def refusal(self, token: str) -> str:
        with pytest.raises(AppError) as caught:
            await self.verifier.verify(token)
        assert caught.value.kind is Kind.UNAUTHENTICATED
        return caught.value.reason


@pytest.fixture
def world(now: float) -> World:
    return World(now)


async def test_a_good_passport_names_its_caller(world: World) -> None:
    """All of it, restrictions included."""
    assert await world.verifier.verify(world.passport()) == CALLER


FLAWS: dict[str, Callable[[World], str]] = {
    "another backend's": lambda w: w.passport(aud="auth"),
    "for several at once": lambda w: w.passport(aud=["mail_core", "auth"]),
    "without audience": lambda w: w.passport(aud=...),
    "of another issuer": lambda w: w.passport(iss="https://accounts.example"),
    "without issuer": lambda w: w.passport(iss=...),
    "signed by another": lambda w: w.passport(key=ANOTHER),
    "of an unknown key": lambda w: w.passport(header={"kid": "k2"}),
    "without key id": lambda w: w.passport(header={"kid": ""}),
    "an access token": lambda w: w.passport(header={"typ": "at+jwt"}),
    "a plain JWT": lambda w: w.passport(header={"typ": "JWT"}),
    "signed with a shared secret": lambda w: w.passport(key="k" * 32, algorithm="HS256"),
    "signed with RSA": lambda w: w.passport(key=_RSA, algorithm="RS256"),
    "not signed": lambda w: w.passport(key=None, algorithm="none"),
    "without end": lambda w: w.passport(exp=...),
    "without beginning": lambda w: w.passport(iat=...),
    "without principal": lambda w: w.passport(sub=...),
    "without team": lambda w: w.passport(team=...),
    "of a team that is none": lambda w: w.passport(team="default"),
    "without scopes": lambda w: w.passport(scope=...),
    "scopes as a list": lambda w: w.passport(scope=["mail:scan"]),
    "mailboxes as a number": lambda w: w.passport(mailboxes=5),
    "cut": lambda w: w.passport()[:-3],
    "too long": lambda _: "x" * 9_000,
    "not a token": lambda _: "a.b.c",
    "not ASCII": lambda _: "é.é.é",
}
_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.mark.promise("rights.forgery")
@pytest.mark.parametrize("flaw", FLAWS)
async def test_nothing_else_is_believed(world: World, flaw: str) -> None:
    """RFC 8725: type, algorithm, issuer, audience and key are pinned."""
    assert await world.refusal(FLAWS[flaw](world)) == "PASSPORT_INVALID"


async def test_missing_and_expired_are_told_apart(world: World) -> None:
    """The cure of each is another."""
    assert await world.refusal("") == "PASSPORT_MISSING"
    assert await world.refusal(world.passport(exp=int(world.now) - 60)) == "PASSPORT_EXPIRED"


async def test_a_checked_passport_is_remembered_until_it_ends(world: World) -> None:
    """No signature is checked twice, and none is believed past its end."""
    token = world.passport()
    for _ in range(3):
        await world.verifier.verify(token)
    assert world.verifier.checks == 1
    world.now += 61
    await world.verifier.verify(token)  # it still verifies by the real clock: it was checked again
    assert world.verifier.checks == 2


@pytest.mark.promise("rights.rotation")
async def test_a_checked_passport_dies_with_its_signing_key(world: World) -> None:
    """A key that was dropped may have been stolen, and what it signed before is believed no longer."""
    token = world.passport()
    await world.verifier.verify(token)
    world.known.clear()
    assert await world.refusal(token) == "PASSPORT_INVALID"


async def test_memory_of_passports_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first, and then merely checked again."""
    monkeypatch.setattr(identity, "_MAX_CACHED", 3)
    tokens = [world.passport(sub=f"key:{n}") for n in range(5)]
    callers = [await world.verifier.verify(token) for token in tokens]
    assert [caller.principal for caller in callers] == [f"key:{n}" for n in range(5)]
    assert len(world.verifier._known) == 3
    await world.verifier.verify(tokens[0])
    assert world.verifier.checks == 6


def test_team_ids_have_one_spelling() -> None:
    """Row-level security compares them as text in places."""
    claims = {**CALLER.to_claims(), "team": CALLER.team_id.upper()}
    assert Caller.from_claims(claims).team_id == str(UUID(CALLER.team_id))
