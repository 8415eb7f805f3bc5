"""Teams, keys, quotas and revocations on real processes and PostgreSQL, two replicas of auth at once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.cli.provisioning import with_role
from services.common.context import Call, entered
from services.common.errors import AppError
from services.common.identity import PassportVerifier
from services.common.passport_keys import PassportKeys
from services.common.revocations import RevokedSubjects, following_revocations
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = ["team:admin", "team:read", "mail:scan", "unsubscribe:read"]


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes on one database, with the same signing key."""

    first: RunningAuth
    second: RunningAuth
    databases: Databases


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    key = str(folder / "passport.pem")
    async with contextlib.AsyncExitStack() as stack:
        running = []
        for name in ("first", "second"):
            run = running_auth(folder / name, databases.auth.app_url, PASSPORT_KEY_FILE=key)
            running.append(await stack.enter_async_context(run))
        yield Replicas(*running, databases)


def operator(auth: RunningAuth) -> Any:
    return auth_pb2_grpc.AuthAdminServiceStub(auth.channel("cli"))  # type: ignore[arg-type]


async def new_team(auth: RunningAuth, plan: str = "pro") -> str:
    request = auth_pb2.CreateTeamRequest(name="Tenant", plan=plan)
    return (await operator(auth).CreateTeam(request)).team.id


class Member:
    """Somebody with a key, at one replica."""

    def __init__(self, auth: RunningAuth, key_id: str, secret: str) -> None:
        self.auth = auth
        self.key_id = key_id
        self.secret = secret
        self._team = auth_pb2_grpc.TeamServiceStub(auth.channel())  # type: ignore[arg-type]

    async def ask(self, rpc: str, request: Any, passport: str = "") -> Any:
        token = passport or (await self.auth.issue(api_key=self.secret, audience="auth")).token

        async def source(_: str) -> str:
            return token

        with entered(Call(request_id="t", deadline=time.monotonic() + 10, passport_for=source)):
            return await getattr(self._team, rpc)(request)

    async def create(self, **wanted: Any) -> auth_pb2.CreateKeyResponse:
        return await self.ask("CreateKey", auth_pb2.CreateKeyRequest(**{"label": "made", **wanted}))

    async def revoke(self, key_id: str) -> auth_pb2.ApiKey:
        return (await self.ask("RevokeKey", auth_pb2.RevokeKeyRequest(key_id=key_id))).key


async def admin_of(auth: RunningAuth, team_id: str, **wanted: Any) -> Member:
    made = await auth.create_key(team_id=team_id, **{"scopes": ADMIN, **wanted})
    return Member(auth, made.key_id, made.secret)


async def reason_of(work: Any) -> str:
    try:
        await work
    except AppError as error:
        return error.reason
    return "OK"


async def test_a_quota_holds_against_200_at_once_on_two_replicas(auth: Replicas) -> None:
    """The plan `pro` allows 20 keys; one is the admin's own."""
    team_id = await new_team(auth.first)
    one = await admin_of(auth.first, team_id)
    other = Member(auth.second, one.key_id, one.secret)
    passports = [(await who.auth.issue(api_key=who.secret, audience="auth")).token for who in (one, other)]
    request = auth_pb2.CreateKeyRequest(label="many")
    asked = [
        reason_of(who.ask("CreateKey", request, passport))
        for _ in range(100)
        for who, passport in zip((one, other), passports, strict=True)
    ]
    reasons = await asyncio.gather(*asked)
    assert reasons.count("OK") == 19
    # Whoever could not get a turn in time on a busy machine was told so, and got no key.
    assert set(reasons) <= {"OK", "KEY_QUOTA", "DATABASE_DOWN", "DEADLINE_EXCEEDED"}
    listed = await operator(auth.first).ListApiKeys(auth_pb2.ListApiKeysRequest(team_id=team_id))
    assert len(listed.keys) == 20


async def test_two_admins_who_revoke_each_other_leave_one(auth: Replicas) -> None:
    """Whoever is second finds that their own key no longer counts, or that it is the last."""
    for _ in range(5):
        team_id = await new_team(auth.first)
        one, two = await admin_of(auth.first, team_id), await admin_of(auth.second, team_id)
        reasons = await asyncio.gather(reason_of(one.revoke(two.key_id)), reason_of(two.revoke(one.key_id)))
        assert reasons.count("OK") == 1, reasons
        listed = await operator(auth.first).ListApiKeys(auth_pb2.ListApiKeysRequest(team_id=team_id))
        assert sum(not key.HasField("revoke_time") for key in listed.keys) == 1


async def test_the_last_admin_key_stays_unless_an_operator_insists(auth: Replicas) -> None:
    """A team that nobody governs would need the operator."""
    team_id = await new_team(auth.first)
    admin = await admin_of(auth.first, team_id)
    await admin.create(ttl_minutes=60, scopes=["team:admin"])
    assert await reason_of(admin.revoke(admin.key_id)) == "LAST_ADMIN_KEY"
    request = auth_pb2.RevokeApiKeyRequest(team_id=team_id, key_id=admin.key_id, force=True)
    await operator(auth.second).RevokeApiKey(request)
    assert await auth.first.refusal(api_key=admin.secret) == "KEY_REVOKED"


async def test_another_teams_key_is_not_found(auth: Replicas) -> None:
    """Neither to be rotated nor revoked, and never listed."""
    one, other = [await admin_of(auth.first, await new_team(auth.first)) for _ in range(2)]
    assert await reason_of(one.revoke(other.key_id)) == "KEY_NOT_FOUND"
    rotation = auth_pb2.RotateKeyRequest(key_id=other.key_id)
    assert await reason_of(one.ask("RotateKey", rotation)) == "KEY_NOT_FOUND"
    listed = await one.ask("ListKeys", auth_pb2.ListKeysRequest())
    assert [key.id for key in listed.keys] == [one.key_id]
    assert listed.keys[0].current


async def test_a_rotated_key_overlaps_and_history_stays(auth: Replicas) -> None:
    """Both work; the old one has an end; rotating again ends the oldest at once."""
    admin = await admin_of(auth.first, await new_team(auth.first))
    ci = await admin.create(scopes=["mail:scan"])
    first = await admin.ask("RotateKey", auth_pb2.RotateKeyRequest(key_id=ci.key.id, overlap_minutes=10))
    assert 0 < first.replaced.expire_time.seconds - time.time() <= 600
    assert [await auth.second.refusal(api_key=secret) for secret in (ci.secret, first.secret)] == [
        "ACCEPTED"
    ] * 2
    again = auth_pb2.RotateKeyRequest(key_id=ci.key.id)
    assert await reason_of(admin.ask("RotateKey", again)) == "KEY_REPLACED"
    second = await admin.ask("RotateKey", auth_pb2.RotateKeyRequest(key_id=first.key.id))
    assert await auth.second.refusal(api_key=ci.secret) == "KEY_REVOKED"
    assert await auth.second.refusal(api_key=second.secret) == "ACCEPTED"
    listed = await admin.ask("ListKeys", auth_pb2.ListKeysRequest())
    assert len(listed.keys) == 4


async def test_a_disabled_team_is_off_on_all_replicas_and_comes_back(auth: Replicas) -> None:
    """A passport of before does not open auth itself either, wherever the switch was thrown."""
    team_id = await new_team(auth.first)
    admin = await admin_of(auth.first, team_id)
    passport = (await auth.first.issue(api_key=admin.secret, audience="auth")).token
    get = auth_pb2.GetTeamRequest()
    await admin.ask("GetTeam", get, passport)
    await operator(auth.second).UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team_id, disabled=True))
    assert await auth.first.refusal(api_key=admin.secret) == "TEAM_DISABLED"
    async with asyncio.timeout(1):
        while await reason_of(admin.ask("GetTeam", get, passport)) != "PASSPORT_REVOKED":
            await asyncio.sleep(0.01)
    await operator(auth.first).UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team_id, disabled=False))
    async with asyncio.timeout(5):
        while await reason_of(admin.ask("GetTeam", get)) != "OK":
            await asyncio.sleep(0.1)


async def test_a_backend_hears_within_a_second_and_after_a_cut_what_it_missed(
    auth: Replicas, tmp_path: Path
) -> None:
    """Revoked through the other replica, then again while the followed one was dead."""
    async with running_auth(
        tmp_path / "third",
        auth.databases.auth.app_url,
        PASSPORT_KEY_FILE=str(auth.first.running.program.environment["PASSPORT_KEY_FILE"]),
    ) as third:
        channel = third.channel("mail_core")
        revoked = RevokedSubjects()
        verifier = PassportVerifier("mail_core", PassportKeys(channel).find, revoked)
        keys = [await auth.first.create_key() for _ in range(2)]
        passports = [(await auth.first.issue(api_key=key.secret)).token for key in keys]
        async with following_revocations(channel, revoked):
            for passport in passports:
                await verifier.verify(passport)
            await _revoke(auth.second, keys[0].key_id)
            assert await _seconds_until_void(verifier, passports[0]) < 1
            await third.running.stop()
            await _revoke(auth.second, keys[1].key_id)
            await verifier.verify(passports[1])
            # Another replica tells it all again from the log.
        async with following_revocations(auth.first.channel("mail_core"), revoked):
            assert await _seconds_until_void(verifier, passports[1]) < 1


@pytest.mark.promise("revocation.work")
async def test_a_core_is_told_of_a_right_of_long_ago_whatever_replica_revoked_it(auth: Replicas) -> None:
    """Longer ago than the stream tells. What was issued after a revocation is another right."""
    team_id = await new_team(auth.first)
    kept, lost = [await auth.first.create_key(team_id=team_id) for _ in range(2)]
    await operator(auth.second).RevokeApiKey(
        auth_pb2.RevokeApiKeyRequest(team_id=team_id, key_id=lost.key_id, force=True)
    )
    url = with_role(auth.databases.admin_url, None, None, auth.databases.auth.name)
    async with await psycopg.AsyncConnection.connect(url) as above:
        earlier = "revoked_at - interval '29 days'"
        await above.execute(
            f"UPDATE revocations SET revoked_at = {earlier} WHERE subject = %s",  # type: ignore[arg-type]
            (f"key:{lost.key_id}",),
        )
    day = 86_400
    assert await _right(auth.first, kept.key_id, 29.5 * day) == auth_pb2.RIGHT_STATE_STANDS
    assert await _right(auth.first, lost.key_id, 29.5 * day) == auth_pb2.RIGHT_STATE_REVOKED
    assert await _right(auth.first, lost.key_id, 28.5 * day) == auth_pb2.RIGHT_STATE_STANDS
    assert await _right(auth.first, kept.key_id, 30.5 * day) == auth_pb2.RIGHT_STATE_TOO_OLD


async def test_the_log_is_closed_to_whoever_does_not_follow(auth: Replicas) -> None:
    """Row-level security: without its setting nobody reads other teams' revocations."""
    made = await auth.first.create_key()
    await _revoke(auth.first, made.key_id)
    async with await psycopg.AsyncConnection.connect(auth.databases.auth.app_url) as connection:
        count = await (await connection.execute("SELECT count(*) FROM revocations")).fetchone()
        assert count == (0,)
        await connection.execute("SELECT set_config('mailwarden.across_teams', 'revocations', true)")
        assert (await (await connection.execute("DELETE FROM revocations RETURNING 1")).fetchall()) == []


async def _right(auth: RunningAuth, key_id: str, ago_s: float) -> auth_pb2.RightState:
    stub = auth_pb2_grpc.AuthServiceStub(auth.channel("mail_core"))  # type: ignore[arg-type]
    request = auth_pb2.CheckRightRequest(roots=["team:other", f"key:{key_id}"])
    request.issue_time.FromMicroseconds(int((time.time() - ago_s) * 1e6))
    return (await stub.CheckRight(request)).state


async def _revoke(auth: RunningAuth, key_id: str) -> None:
    await operator(auth).RevokeApiKey(auth_pb2.RevokeApiKeyRequest(key_id=key_id))


async def _seconds_until_void(verifier: PassportVerifier, passport: str) -> float:
    since = time.monotonic()
    async with asyncio.timeout(5):
        while await reason_of(verifier.verify(passport)) != "PASSPORT_REVOKED":
            await asyncio.sleep(0.005)
    return time.monotonic() - since
