"""Two processes of auth on one database: races for codes and refresh tokens, and ends that all hear of."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
import pytest
import pytest_asyncio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.auth.oauth.events import client_resource
from services.common.audit_notes import RefusalNotes
from services.common.context import Call, entered
from services.common.database import Database
from services.common.errors import AppError
from services.common.identity import PassportVerifier
from services.common.passport_keys import PassportKeys
from services.common.passports import Credential, PassportBroker
from services.common.revocations import RevokedSubjects, following_revocations
from tests.integration.auth.oauth.test_process import free_port
from tests.integration.auth.oauth.world import (
    REDIRECT,
    RESOURCE,
    VERIFIER,
    Answer,
    BreakableAudit,
    Key,
    World,
)
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 20
MANY = (
    "RATE_LIMIT_ADDRESS_PER_MINUTE",
    "RATE_LIMIT_FAILURES_PER_MINUTE",
    "OAUTH_SIGN_INS_PER_MINUTE",
    "OAUTH_REGISTRATIONS_PER_MINUTE",
)
"""All tests come from one address."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes with the same keys, and a browser and clients that use both."""

    first: RunningAuth
    second: RunningAuth
    world: World
    urls: tuple[str, str]

    async def at_once(self, **form: str) -> list[Answer]:
        """The same request, twenty times at once, on both processes in turn."""
        asked = [
            self.world.call("POST", f"{self.urls[number % 2]}/oauth/token", data=form)
            for number in range(AT_ONCE)
        ]
        return await asyncio.gather(*asked)

    async def granted(self) -> tuple[str, Key, dict[str, Any]]:
        """Somebody allows a client something: its id, the person's key, its tokens."""
        client, key = (await self.world.register())["client_id"], await self.world.key()
        got = await self.world.redeem(client, await self.world.code(client, key))
        assert got.status == 200, got.text
        return client, key, got.json

    async def standing_grants(self, team_id: str) -> int:
        rows = await self.world.own(
            "SELECT count(*) FROM oauth_grants WHERE team_id = %s AND revoked_at IS NULL", team_id
        )
        return rows[0][0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    folder = tmp_path_factory.mktemp("oauth-replicas")
    ports = free_port(), free_port()
    urls = (f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    async with contextlib.AsyncExitStack() as stack:
        running = []
        for name, port in zip(("first", "second"), ports, strict=True):
            run = running_auth(
                folder / name,
                databases.auth.app_url,
                PASSPORT_KEY_FILE=str(folder / "passport.pem"),
                OAUTH_LISTEN=f"127.0.0.1:{port}",
                OAUTH_ISSUER=urls[0],
                OAUTH_RESOURCES=RESOURCE,
                OAUTH_KEY_FILE=str(folder / "oauth.pem"),
                **dict.fromkeys(MANY, "100000"),
            )
            running.append(await stack.enter_async_context(run))
        database = Database(databases.auth.app_url, pool_size=4)
        stack.push_async_callback(database.close)
        jar = aiohttp.DummyCookieJar()
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        admin_url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
        audit = BreakableAudit(database)
        world = World(urls[0], None, database, admin_url, session, audit, RefusalNotes(audit.append))  # type: ignore[arg-type]
        yield Replicas(running[0], running[1], world, urls)


@pytest.mark.promise("revocation.replay")
async def test_of_twenty_who_show_one_code_one_gets_tokens_and_they_are_void(replicas: Replicas) -> None:
    """On two processes at once. Nineteen replays end the grant, so nobody keeps anything."""
    world = replicas.world
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "code": code,
        "redirect_uri": "http://127.0.0.1:7777/callback",
        "code_verifier": "v" * 43,
    }
    answers = await replicas.at_once(**form)
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1, [answer.status for answer in answers]
    assert {answer.json["error"] for answer in answers if answer.status != 200} == {"invalid_grant"}
    token = won[0].json["access_token"]
    for auth in (replicas.first, replicas.second):
        assert await auth.refusal(bearer=token, resource=RESOURCE) == "TOKEN_REVOKED"
    assert (await world.refresh(client, won[0].json["refresh_token"])).json["error"] == "invalid_grant"
    assert await replicas.standing_grants(key.team_id) == 0
    issued = await world.own(
        "SELECT count(*) FROM audit_events WHERE team_id = %s AND action = 'oauth.token'", key.team_id
    )
    assert issued == [(1,)]


@pytest.mark.promise("revocation.replay")
async def test_of_twenty_who_show_one_refresh_token_no_two_families_live(replicas: Replicas) -> None:
    """One successor at most, and it is void: whoever owned the token and whoever stole it are both out."""
    world = replicas.world
    client, key, tokens = await replicas.granted()
    answers = await replicas.at_once(
        grant_type="refresh_token", client_id=client, refresh_token=tokens["refresh_token"]
    )
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1, [answer.status for answer in answers]
    successor = won[0].json
    for token in (tokens["access_token"], successor["access_token"]):
        for auth in (replicas.first, replicas.second):
            assert await auth.refusal(bearer=token, resource=RESOURCE) == "TOKEN_REVOKED"
    assert (await world.refresh(client, successor["refresh_token"])).json["error"] == "invalid_grant"
    rows = await world.own("SELECT count(*) FROM oauth_refresh_tokens WHERE team_id = %s", key.team_id)
    assert rows == [(2,)]
    assert await replicas.standing_grants(key.team_id) == 0


async def test_refresh_tokens_of_many_grants_do_not_disturb_each_other(replicas: Replicas) -> None:
    """The locks are of one grant, not of a team: honest clients at once all get on."""
    granted = [await replicas.granted() for _ in range(6)]
    asked = [
        replicas.world.call(
            "POST",
            f"{replicas.urls[number % 2]}/oauth/token",
            data={
                "grant_type": "refresh_token",
                "client_id": client,
                "refresh_token": tokens["refresh_token"],
            },
        )
        for number, (client, _, tokens) in enumerate(granted)
    ]
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 6


async def reason_of(work: Awaitable[object]) -> str:
    try:
        await work
    except AppError as error:
        return error.reason
    return "OK"


@dataclass(slots=True)
class Follower:
    """An edge that holds the token's passport, and a backend that was shown it, both at one replica."""

    broker: PassportBroker
    credential: Credential
    verifier: PassportVerifier
    passport: str

    def edge_holds_it(self) -> bool:
        return self.broker.has_accepted(self.credential, "mail_core")

    async def is_void(self) -> bool:
        """Everywhere: the edge forgot it and auth gives no other; the backend refuses the passport."""
        if await reason_of(self.verifier.verify(self.passport)) != "PASSPORT_REVOKED":
            return False
        if self.edge_holds_it():
            return False
        asked_anew = self.broker.passport(self.credential, "mail_core")
        return await reason_of(asked_anew) == "TOKEN_REVOKED"


@contextlib.asynccontextmanager
async def following(auth: RunningAuth, token: str) -> AsyncIterator[Follower]:
    """Use a token at an edge, warm, and at a backend."""
    revoked = RevokedSubjects()
    core = auth.channel("mail_core")
    verifier = PassportVerifier("mail_core", PassportKeys(core).find, revoked)
    broker = PassportBroker(auth.channel("edge_mcp"), resource=RESOURCE)
    credential = Credential("bearer", token)
    async with broker.following(), following_revocations(core, revoked):
        held = await broker.passport(credential, "mail_core")
        await verifier.verify(held.token)
        follower = Follower(broker, credential, verifier, held.token)
        assert follower.edge_holds_it()
        yield follower


async def seconds_until_void(follower: Follower) -> float:
    since = time.monotonic()
    async with asyncio.timeout(5):
        while not await follower.is_void():
            await asyncio.sleep(0.005)
    return time.monotonic() - since


def operator(auth: RunningAuth) -> Any:
    return auth_pb2_grpc.AuthAdminServiceStub(auth.channel("cli"))  # type: ignore[arg-type]


async def revoke_grant(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del client, tokens
    listed = await operator(replicas.first).ListTeamGrants(
        auth_pb2.ListTeamGrantsRequest(team_id=key.team_id)
    )
    (grant,) = listed.grants
    request = auth_pb2.RevokeTeamGrantRequest(team_id=key.team_id, grant_id=grant.id)
    await operator(replicas.first).RevokeTeamGrant(request)


async def revoke_client(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del tokens
    request = auth_pb2.RevokeTeamClientRequest(team_id=key.team_id, client_id=client)
    assert (await operator(replicas.first).RevokeTeamClient(request)).revoked_count == 1


async def revoke_client_everywhere(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del key, tokens
    request = auth_pb2.RevokeTeamClientRequest(client_id=client, all_teams=True)
    assert (await operator(replicas.first).RevokeTeamClient(request)).revoked_count == 1


async def revoke_token(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del key
    form = {"client_id": client, "token": tokens["access_token"]}
    assert (await replicas.world.call("POST", "/oauth/revoke", data=form)).status == 200


async def revoke_refresh_token(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del key
    form = {"client_id": client, "token": tokens["refresh_token"]}
    assert (await replicas.world.call("POST", "/oauth/revoke", data=form)).status == 200


async def revoke_as_operator(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    """By the token's text alone, without knowing whose it is."""
    del client, key
    named = auth_pb2.RevokeTokenRequest(token=tokens["access_token"])
    await operator(replicas.first).RevokeTeamToken(auth_pb2.RevokeTeamTokenRequest(token=named))


async def revoke_refresh_as_operator(
    replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]
) -> None:
    del client, key
    named = auth_pb2.RevokeTokenRequest(token=tokens["refresh_token"])
    await operator(replicas.first).RevokeTeamToken(auth_pb2.RevokeTeamTokenRequest(token=named))


async def replay(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del key
    assert (await replicas.world.refresh(client, tokens["refresh_token"])).status == 200
    assert (await replicas.world.refresh(client, tokens["refresh_token"])).status == 400


async def sign_out(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del client, key, tokens
    page = await replicas.world.browse("GET", "/oauth/account")
    ticket = page.text.partition('/oauth/sign-out"')[2].partition('value="')[2].partition('"')[0]
    answer = await replicas.world.browse("POST", "/oauth/sign-out", data={"ticket": ticket})
    assert answer.status == 200, answer.text


async def revoke_key(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del client, tokens
    request = auth_pb2.RevokeApiKeyRequest(team_id=key.team_id, key_id=key.id, force=True)
    await operator(replicas.first).RevokeApiKey(request)


async def disable_team(replicas: Replicas, client: str, key: Key, tokens: dict[str, Any]) -> None:
    del client, tokens
    await operator(replicas.first).UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=key.team_id, disabled=True))


End = Callable[[Replicas, str, Key, dict[str, Any]], Awaitable[None]]


@pytest.mark.promise("revocation.second")
@pytest.mark.parametrize(
    "end",
    [
        revoke_grant,
        revoke_client,
        revoke_client_everywhere,
        revoke_token,
        revoke_refresh_token,
        revoke_as_operator,
        revoke_refresh_as_operator,
        replay,
        sign_out,
        revoke_key,
    ],
)
async def test_what_ends_at_one_replica_ends_at_the_other_and_at_edges_within_a_second(
    replicas: Replicas, end: End
) -> None:
    """Whatever the token hung on: the edge had its passport, the backend had verified it."""
    client, key, tokens = await replicas.granted()
    async with following(replicas.second, tokens["access_token"]) as follower:
        await end(replicas, client, key, tokens)
        assert await seconds_until_void(follower) < 1
    assert await replicas.second.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"


async def test_a_client_that_was_revoked_everywhere_is_unknown(replicas: Replicas) -> None:
    """It can ask nobody any more, at either replica."""
    client, key, tokens = await replicas.granted()
    await revoke_client_everywhere(replicas, client, key, tokens)
    for url in replicas.urls:
        form = {"grant_type": "refresh_token", "client_id": client, "refresh_token": tokens["refresh_token"]}
        refused = await replicas.world.call("POST", f"{url}/oauth/token", data=form)
        assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    assert (await replicas.world.call("GET", replicas.world.asking(client))).status == 401


async def documented(replicas: Replicas, host: str) -> tuple[str, str]:
    """Somebody allowed something to a client that a document describes: that address, and a code."""
    world = replicas.world
    client, key = (await world.register())["client_id"], await world.key()
    code, address = await world.code(client, key), f"https://{host}/client.json"
    await world.own("UPDATE oauth_grants SET client_id = %s WHERE team_id = %s", address, key.team_id)
    return address, code


async def block(auth: RunningAuth, address: str) -> int:
    return (await operator(auth).BlockClient(auth_pb2.BlockClientRequest(address=address))).revoked_count


@pytest.mark.promise("revocation.blocked")
@pytest.mark.parametrize("by", ["host", "host above", "address"])
async def test_a_client_that_is_blocked_at_one_replica_gets_nothing_more_at_any(
    replicas: Replicas, by: str
) -> None:
    """No consent, no token for a code it has, no refresh; what it holds ends, where it is cached as well."""
    world, host = replicas.world, f"{uuid4().hex}.example"
    client, code = await documented(replicas, f"app.{host}")
    _, unused = await documented(replicas, f"app.{host}")
    tokens = (await world.redeem(client, code)).json
    blocked = {"host": f"app.{host}", "host above": host, "address": client}[by]
    async with following(replicas.second, tokens["access_token"]) as follower:
        assert await block(replicas.first, blocked) == 2
        await seconds_until_void(follower)
    assert await replicas.second.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"
    form = {"client_id": client, "redirect_uri": REDIRECT, "code_verifier": VERIFIER, "code": unused}
    asked = [
        {"grant_type": "authorization_code", **form},
        {"grant_type": "refresh_token", "client_id": client, "refresh_token": tokens["refresh_token"]},
    ]
    for url in replicas.urls:
        answers = [await world.call("POST", f"{url}/oauth/token", data=each) for each in asked]
        assert {(each.status, each.json["error"]) for each in answers} == {(400, "unauthorized_client")}
        page = await world.call("GET", url + world.asking(client))
        assert (page.status, "has blocked this client" in page.text) == (400, True)


async def test_blocking_ends_what_was_allowed_to_it_and_to_nobody_else(replicas: Replicas) -> None:
    """A host that ends alike is another host; so is a client that registered."""
    world, host = replicas.world, f"{uuid4().hex}.example"
    kept = [await documented(replicas, f"not{host}"), await documented(replicas, f"{host}.other.example")]
    tokens = [(await world.redeem(client, code)).json["access_token"] for client, code in kept]
    tokens.append((await replicas.granted())[2]["access_token"])
    assert await block(replicas.first, host.upper()) == 0
    refusals = [await replicas.second.refusal(bearer=token, resource=RESOURCE) for token in tokens]
    assert refusals == ["ACCEPTED"] * 3


async def test_who_is_let_in_again_has_to_be_allowed_everything_anew(replicas: Replicas) -> None:
    """And the log of what belongs to no team says when both happened, once each."""
    world, host = replicas.world, f"{uuid4().hex}.example"
    client, code = await documented(replicas, host)
    tokens = (await world.redeem(client, code)).json
    for _ in range(2):
        await block(replicas.first, host)
    stub = operator(replicas.second)
    listed = (await stub.ListBlockedClients(auth_pb2.ListBlockedClientsRequest())).clients
    assert host in {each.address for each in listed}
    unblock = auth_pb2.UnblockClientRequest(address=host)
    await stub.UnblockClient(unblock)
    assert await reason_of(stub.UnblockClient(unblock)) == "CLIENT_NOT_BLOCKED"
    assert (await world.refresh(client, tokens["refresh_token"])).json["error"] == "invalid_grant"
    # It is asked for its document again, which is not there.
    assert "has blocked" not in (await world.call("GET", world.asking(client))).text
    rows = await world.own(
        "SELECT action, actor FROM audit_events WHERE resource = %s ORDER BY sequence", client_resource(host)
    )
    assert rows == [("client.blocked", "operator"), ("client.unblocked", "operator")]


@pytest.mark.parametrize(
    "address", ["", "com", "http://a.example/x", "https://a.example", "a..example", "mc_x"]
)
async def test_what_names_no_document_and_no_host_cannot_be_blocked(replicas: Replicas, address: str) -> None:
    """A whole top-level domain neither: that would be a slip."""
    assert await reason_of(block(replicas.first, address)) == "CLIENT_ADDRESS_INVALID"


async def test_another_teams_grants_to_the_same_client_stay(replicas: Replicas) -> None:
    """Taking a client back is one team's decision for itself."""
    world = replicas.world
    client, key, mine = await replicas.granted()
    stranger = await world.key()
    theirs = (await world.redeem(client, await world.code(client, stranger))).json
    await revoke_client(replicas, client, key, mine)
    assert await replicas.second.refusal(bearer=mine["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"
    assert await replicas.second.refusal(bearer=theirs["access_token"], resource=RESOURCE) == "ACCEPTED"


async def test_another_team_that_knows_a_tokens_id_ends_nothing_with_it(replicas: Replicas) -> None:
    """Neither passports that edges keep, nor work that waits: what it revokes counts in that team alone."""
    _, key, tokens = await replicas.granted()
    stranger = await replicas.world.key()
    held = await replicas.first.issue(bearer=tokens["access_token"], resource=RESOURCE)
    claims = jwt.decode(held.token, options={"verify_signature": False})
    [token] = [root for root in claims["roots"] if root.startswith("token:")]
    right = auth_pb2.CheckRightRequest(roots=claims["roots"])
    right.issue_time.FromSeconds(claims["iat"])
    core = auth_pb2_grpc.AuthServiceStub(replicas.second.channel("mail_core"))  # type: ignore[arg-type]
    states = []
    for team_id in (stranger.team_id, key.team_id):
        named = auth_pb2.RevokeTokenRequest(token_id=token.partition("@")[0])
        asked = auth_pb2.RevokeTeamTokenRequest(team_id=team_id, token=named)
        await operator(replicas.first).RevokeTeamToken(asked)
        states.append((await core.CheckRight(right)).state)
    assert states == [auth_pb2.RIGHT_STATE_STANDS, auth_pb2.RIGHT_STATE_REVOKED]


class Member:
    """Somebody with a key, at one replica's TeamService."""

    def __init__(self, auth: RunningAuth, key: Key) -> None:
        self._auth = auth
        self._key = key
        self._team = auth_pb2_grpc.TeamServiceStub(auth.channel())  # type: ignore[arg-type]

    async def ask(self, rpc: str, request: Any) -> Any:
        passport = (await self._auth.issue(api_key=self._key.secret, audience="auth")).token

        async def source(_: str) -> str:
            return passport

        with entered(Call(request_id="req-1", deadline=time.monotonic() + 10, passport_for=source)):
            return await getattr(self._team, rpc)(request)

    async def refusal(self, rpc: str, request: Any) -> str:
        return await reason_of(self.ask(rpc, request))


@pytest.mark.promise("revocation.grants")
async def test_a_team_sees_who_holds_what_and_takes_it_back(replicas: Replicas) -> None:
    """Which client, by whom, since when, last used when; another team's grants are not found."""
    client, key, tokens = await replicas.granted()
    assert await replicas.second.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "ACCEPTED"
    admin = Member(replicas.second, key)
    (grant,) = (await admin.ask("ListGrants", auth_pb2.ListGrantsRequest())).grants
    assert (grant.client_id, grant.client_name, grant.principal) == (client, "Test agent", f"key:{key.id}")
    assert grant.person == f"the holder of key {key.id[:8]}"
    assert list(grant.scopes) == ["mail:scan", "unsubscribe:read"]
    assert abs(grant.create_time.seconds - time.time()) < 60
    assert abs(grant.last_use_time.seconds - time.time()) < 60
    (held,) = (await admin.ask("ListClients", auth_pb2.ListClientsRequest())).clients
    assert (held.id, held.name, held.grant_count) == (client, "Test agent", 1)
    stranger = Member(replicas.first, await replicas.world.key())
    revoking = auth_pb2.RevokeGrantRequest(grant_id=grant.id)
    assert await stranger.refusal("RevokeGrant", revoking) == "GRANT_NOT_FOUND"
    assert await stranger.refusal("RevokeClient", auth_pb2.RevokeClientRequest(client_id=client)) == (
        "CLIENT_NOT_FOUND"
    )
    assert await stranger.refusal("RevokeClient", auth_pb2.RevokeClientRequest(client_id="\0")) == (
        "CLIENT_NOT_FOUND"
    )
    ended = (await admin.ask("RevokeGrant", revoking)).grant
    assert ended.HasField("revoke_time")
    assert (await admin.ask("RevokeGrant", revoking)).grant.revoke_time.seconds == ended.revoke_time.seconds
    assert not (await admin.ask("ListClients", auth_pb2.ListClientsRequest())).clients
    rows = await replicas.world.own(
        "SELECT actor, edge, request_id, resource FROM audit_events"
        " WHERE team_id = %s AND action = 'grant.revoked'",
        key.team_id,
    )
    assert rows == [(f"key:{key.id}", "edge_rest", "req-1", f"grant:{grant.id}")]


@pytest.mark.parametrize(
    ("scopes", "more", "listed", "revoked"),
    [
        (frozenset({"team:read"}), {}, "OK", "SCOPE_MISSING"),
        (frozenset({"mail:scan"}), {}, "SCOPE_MISSING", "SCOPE_MISSING"),
        (frozenset({"team:admin"}), {"read_only": True}, "OK", "CREDENTIAL_READ_ONLY"),
    ],
)
async def test_only_who_governs_the_team_takes_back(
    replicas: Replicas, scopes: frozenset[str], more: dict[str, Any], listed: str, revoked: str
) -> None:
    """Reading needs team:read, taking back team:admin, and a read-only key takes nothing back."""
    _, key, _ = await replicas.granted()
    member = Member(replicas.first, await replicas.world.key(key.team_id, scopes, **more))
    assert await member.refusal("ListGrants", auth_pb2.ListGrantsRequest()) == listed
    (grant_id,) = (await replicas.world.own("SELECT id FROM oauth_grants WHERE team_id = %s", key.team_id))[0]
    request = auth_pb2.RevokeGrantRequest(grant_id=str(grant_id))
    assert await member.refusal("RevokeGrant", request) in {revoked, "READ_ONLY"}
