"""The operator's own keys and secrets rotate by their files, in processes that go on running."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import psycopg
import pytest

from services.auth.adapters.environment_secrets import EnvironmentSecrets
from services.auth.domain.api_key import hash_of
from services.auth.settings import AuthSettings
from services.common.errors import AppError, unavailable
from services.common.identity import PassportVerifier
from services.common.passport_keys import PassportKeys
from services.common.revocations import RevokedSubjects, following_revocations
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

OLD, NEW = secrets.token_urlsafe(40), secrets.token_urlsafe(40)
OLD_SECRET, NEW_SECRET = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
SOON_S = 2.0


@pytest.fixture
async def auth(databases: Databases, tmp_path: Path) -> AsyncIterator[RunningAuth]:
    files = {
        "AGENT_API_KEY_FILE": OLD,
        "AUTH_JWT_SECRET_FILE": OLD_SECRET,
        "AUTH_JWT_SECRET_PREVIOUS_FILE": OLD_SECRET,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    settings = {name: str(tmp_path / name) for name in files} | {"AUTH_MODE": "hybrid"}
    async with running_auth(tmp_path / "auth", databases.auth.app_url, **settings) as running:
        yield running


def token(secret: str) -> str:
    return jwt.encode({"sub": "alice", "exp": int(time.time()) + 600}, secret, algorithm="HS256")


async def soon(auth: RunningAuth, wanted: str, **credential: str) -> float:
    """Wait until a credential is judged so; gives the seconds that it took."""
    since = time.monotonic()
    async with asyncio.timeout(SOON_S):
        while await auth.refusal(**credential) != wanted:
            await asyncio.sleep(0.02)
    return time.monotonic() - since


@pytest.mark.promise("rights.rotation")
async def test_keys_of_the_environment_rotate_by_their_file_with_nobody_refused(
    auth: RunningAuth, tmp_path: Path
) -> None:
    """Both work while both lines are there; what is taken out is refused, and so are its passports."""
    file = tmp_path / "AGENT_API_KEY_FILE"
    refused: list[str] = []
    done = asyncio.Event()

    async def keep_calling() -> int:
        calls = 0
        while not done.is_set():
            calls += 1
            if (answer := await auth.refusal(api_key=OLD)) != "ACCEPTED":
                refused.append(answer)
        return calls

    calling = asyncio.create_task(keep_calling())
    assert await auth.refusal(api_key=NEW) == "CREDENTIAL_INVALID"
    file.write_text(f"{OLD}\n{NEW}\n")
    await soon(auth, "ACCEPTED", api_key=NEW)
    file.write_text("weak\n")  # a mistake changes nothing
    for _ in range(20):
        assert await auth.refusal(api_key=NEW) == "ACCEPTED"
        await asyncio.sleep(0.02)
    done.set()
    assert await calling > 10
    assert refused == []
    channel, revoked = auth.channel("mail_core"), RevokedSubjects()
    verifier = PassportVerifier("mail_core", PassportKeys(channel).find, revoked)
    passport = (await auth.issue(api_key=OLD)).token
    async with following_revocations(channel, revoked):
        await verifier.verify(passport)
        since = time.monotonic()
        file.write_text(f"{NEW}\n")
        await soon(auth, "CREDENTIAL_INVALID", api_key=OLD)
        async with asyncio.timeout(SOON_S):
            while not revoked.voids([f"key:env:{hash_of(OLD).hex()[:8]}"], time.time() - 10):
                await asyncio.sleep(0.01)
        assert time.monotonic() - since < SOON_S
        with pytest.raises(AppError, match="revoked"):
            await verifier.verify(passport)
        assert await auth.refusal(api_key=NEW) == "ACCEPTED"
    assert OLD not in auth.log.read_text()
    assert NEW not in auth.log.read_text()


@pytest.mark.promise("rights.rotation")
async def test_jwt_secrets_rotate_by_their_files(
    auth: RunningAuth, tmp_path: Path, databases: Databases
) -> None:
    """The old one counts as the previous one, until that is taken away; the removal is on record."""
    old, new = token(OLD_SECRET), token(NEW_SECRET)
    assert await auth.refusal(bearer=old) == "ACCEPTED"
    assert await auth.refusal(bearer=new) == "CREDENTIAL_INVALID"
    (tmp_path / "AUTH_JWT_SECRET_FILE").write_text(NEW_SECRET)
    await soon(auth, "ACCEPTED", bearer=new)
    for _ in range(20):
        assert await auth.refusal(bearer=old) == "ACCEPTED"
    (tmp_path / "AUTH_JWT_SECRET_PREVIOUS_FILE").write_text(NEW_SECRET)
    await soon(auth, "CREDENTIAL_INVALID", bearer=old)
    assert await auth.refusal(bearer=new) == "ACCEPTED"
    resource = f"key:secret:{hashlib.sha256(OLD_SECRET.encode()).hexdigest()[:8]}"
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with asyncio.timeout(SOON_S), await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        query = "SELECT count(*) FROM audit_events WHERE action = 'secret.removed' AND resource = %s"
        while await (await admin.execute(query, (resource,))).fetchone() != (1,):
            await asyncio.sleep(0.02)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_previous_secret_that_was_forgotten_ends_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AUTH_JWT_SECRET_PREVIOUS_MAX_S after it was put there; what hung on it is revoked, again if need be."""
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE", "PASSPORT_KEY_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "x"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://x@localhost/x")
    monkeypatch.setenv("AUTH_MODE", "jwt")
    monkeypatch.setenv("AUTH_JWT_SECRET", NEW_SECRET)
    monkeypatch.setenv("AUTH_JWT_SECRET_PREVIOUS", OLD_SECRET)
    monkeypatch.setenv("AUTH_JWT_SECRET_PREVIOUS_MAX_S", "600")
    clock, told, is_down = Clock(), [], [True]
    environment = EnvironmentSecrets(AuthSettings(), clock)  # type: ignore[call-arg]

    async def revoke(key_id: str) -> None:
        if is_down[0]:
            raise unavailable("DATABASE_DOWN", "down")
        told.append(key_id)

    clock.now += 599
    current, previous = await environment.candidates("HS256", None)
    assert await environment.candidates("ES256", None) == ()
    clock.now += 1
    assert await environment.candidates("HS256", None) == (current,)
    await environment.revoke_removed(revoke)
    is_down[0] = False
    await environment.revoke_removed(revoke)
    await environment.revoke_removed(revoke)
    assert told == [previous.id]
