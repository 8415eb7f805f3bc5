"""What was revoked is void, whatever is still cached; and memory is bounded on the safe side."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.common import revocations
from services.common.errors import AppError
from services.common.identity import PASSPORT_ISSUER, PASSPORT_TYPE, Caller, PassportVerifier, team_root
from services.common.revocations import RevokedSubjects

TEAM = "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"
KEY = Ed25519PrivateKey.generate()
CALLER = Caller(TEAM, "t", "key:1", "1", "api_key", frozenset(), roots=frozenset({team_root(TEAM), "key:1"}))


async def find_key(_: str) -> object:
    return KEY.public_key()


def passport(**changes: object) -> str:
    now = int(time.time())
    life = {"iss": PASSPORT_ISSUER, "aud": "mail_core", "iat": now, "exp": now + 60}
    claims = {**CALLER.to_claims(), **life, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, KEY, "EdDSA", headers={"typ": PASSPORT_TYPE, "kid": "k"})


def verifier(revoked: RevokedSubjects) -> PassportVerifier:
    return PassportVerifier("mail_core", find_key, revoked)  # type: ignore[arg-type]


@pytest.mark.parametrize("subject", ["key:1", team_root(TEAM)])
async def test_a_remembered_passport_dies_with_its_root(subject: str) -> None:
    """Checked each time, not only when the signature is."""
    revoked = RevokedSubjects()
    backend, token = verifier(revoked), passport()
    assert await backend.verify(token) == CALLER
    revoked.add("key:2", time.time())
    assert await backend.verify(token) == CALLER
    revoked.add(subject, time.time())
    with pytest.raises(AppError, match="PASSPORT_REVOKED"):
        await backend.verify(token)


@pytest.mark.parametrize("roots", [None, [], ["key:1"], f"team:{TEAM}", [1], 7, {f"team:{TEAM}": 1}])
async def test_a_passport_that_hangs_on_nothing_is_refused(roots: object) -> None:
    """Such as one of a version that knew no roots: it could not be revoked."""
    with pytest.raises(AppError, match="PASSPORT_INVALID"):
        await verifier(RevokedSubjects()).verify(passport(roots=roots))


@pytest.mark.parametrize("limits", [None, {}, {"max_keys": 1}, {"max_keys": "1"}, []])
async def test_a_passport_without_whole_limits_is_refused(limits: object) -> None:
    """Nobody has to guess what absent limits mean."""
    with pytest.raises(AppError, match="PASSPORT_INVALID"):
        await verifier(RevokedSubjects()).verify(passport(limits=limits))


def test_what_is_issued_later_counts_again() -> None:
    """A team that is switched on again is not held by its past."""
    revoked, now = RevokedSubjects(), time.time()
    revoked.add(team_root(TEAM), now)
    assert revoked.voids(CALLER.roots, now + 1)
    assert not revoked.voids(CALLER.roots, now + 3)


def test_memory_is_bounded_and_what_is_forgotten_stays_void(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, everything as old as what was forgotten has to be issued anew."""
    monkeypatch.setattr(revocations, "MAX_REMEMBERED", 3)
    revoked, now = RevokedSubjects(), time.time()
    for number in range(5):
        revoked.add(f"key:{number}", now + 10 * number)
    assert revoked.voids(["key:0"], now - 1)
    assert revoked.voids(["key:other"], now + 9)
    assert not revoked.voids(["key:other"], now + 15)
    assert revoked.voids(["key:4"], now + 15)


def test_whoever_watches_hears_of_their_own_roots_and_while_they_watch() -> None:
    """A stream that nobody speaks on has to be told that it is over."""
    revoked, heard = RevokedSubjects(), []
    with revoked.watched(frozenset({"key:1", "team:1"}), lambda: heard.append("lost")):
        revoked.add("key:2", time.time())
        assert heard == []
        revoked.add("team:1", time.time())
        assert heard == ["lost"]
    revoked.add("key:1", time.time())
    assert heard == ["lost"]
