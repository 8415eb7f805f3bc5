"""A token of another issuer that is revoked here is refused at once, whatever its issuer says of it."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.cli.provisioning import with_role
from services.common.audit import actor_of
from services.common.errors import AppError
from services.common.identity import PassportVerifier
from services.common.passport_keys import PassportKeys
from services.common.passports import Credential, PassportBroker
from services.common.revocations import RevokedSubjects, following_revocations
from tests.fakes.introspection_host import IntrospectionHost, serving_introspection
from tests.fakes.tokens import AUDIENCE, ISSUER, SECRET, claims, hs256
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGN_ISSUER = "https://idp.example"
RESOURCE = "https://mail.example/mcp"
MOMENTS_S = 10
"""Long before a passport ends by itself, however busy the machine. The second is measured elsewhere."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes on one database, which take JWTs at REST and another issuer's tokens at MCP."""

    first: RunningAuth
    second: RunningAuth
    host: IntrospectionHost
    databases: Databases

    @property
    def operator(self) -> Any:
        return auth_pb2_grpc.AuthAdminServiceStub(self.first.channel("cli"))  # type: ignore[arg-type]

    async def revoke(self, **named: Any) -> auth_pb2.RevokeTokenResponse:
        wanted = auth_pb2.RevokeTokenRequest(**named)
        return await self.operator.RevokeTeamToken(auth_pb2.RevokeTeamTokenRequest(token=wanted))

    def opaque(self, subject: str, **said: Any) -> str:
        """Have the issuer give a token."""
        token = f"opaque-{uuid.uuid4()}"
        answer = {"active": True, "aud": RESOURCE, "sub": subject, "scope": "mail:scan", **said}
        self.host.known[token] = answer
        return token

    async def at_mcp(self, token: str) -> str:
        return await self.second.refusal(peer="edge_mcp", bearer=token, resource=RESOURCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    folder = tmp_path_factory.mktemp("revoked-tokens")
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(serving_introspection())
        running = []
        for name in ("first", "second"):
            run = running_auth(
                folder / name,
                databases.auth.app_url,
                PASSPORT_KEY_FILE=str(folder / "passport.pem"),
                AUTH_MODE="hybrid",
                AUTH_JWT_SECRET=SECRET,
                AUTH_JWT_ISSUER=ISSUER,
                AUTH_JWT_AUDIENCE=AUDIENCE,
                MCP_AUTH_MODE="oauth",
                MCP_RESOURCE_SERVER_URL=RESOURCE,
                MCP_OAUTH_INTROSPECTION_URL=host.url,
                MCP_OAUTH_ISSUER=FOREIGN_ISSUER,
                MCP_OAUTH_AUDIENCE=RESOURCE,
            )
            running.append(await stack.enter_async_context(run))
        yield Replicas(running[0], running[1], host, databases)


def jwt(**changes: Any) -> str:
    return hs256(claims(time.time(), jti=str(uuid.uuid4()), **{"sub": f"u-{uuid.uuid4()}", **changes}))


async def seconds_until_void(auth: RunningAuth, peer: str, token: str, revoke: Any) -> float:
    """How long a token works on for an edge that had cached its passport and a core that had verified it."""
    revoked = RevokedSubjects()
    core = auth.channel("mail_core")
    verifier = PassportVerifier("mail_core", PassportKeys(core).find, revoked)
    broker = PassportBroker(auth.channel(peer), resource=RESOURCE)
    async with broker.following(), following_revocations(core, revoked), asyncio.timeout(20):
        held = await broker.passport(Credential("bearer", token), "mail_core")
        await verifier.verify(held.token)
        await revoke
        since = time.monotonic()
        while "ACCEPTED" in {
            await reason_of(broker.passport(Credential("bearer", token), "mail_core")),
            await reason_of(verifier.verify(held.token)),
        }:
            await asyncio.sleep(0.005)
    return time.monotonic() - since


async def reason_of(work: Any) -> str:
    try:
        await work
    except AppError as error:
        return error.reason
    return "ACCEPTED"


@pytest.mark.promise("revocation.tokens")
async def test_a_jwt_ends_at_once_by_its_text_and_others_of_its_person_stay(
    replicas: Replicas,
) -> None:
    """Its issuer has no list of what it took back, and its signature is good until it ends."""
    token, other = jwt(sub="ada"), jwt(sub="ada")
    took = await seconds_until_void(replicas.second, "edge_rest", token, replicas.revoke(token=token))
    assert took < MOMENTS_S
    assert await replicas.second.refusal(bearer=token) == "TOKEN_REVOKED"
    assert await replicas.second.refusal(bearer=other) == "ACCEPTED"


@pytest.mark.promise("revocation.tokens")
async def test_an_introspected_token_ends_at_once_though_its_issuer_calls_it_active(
    replicas: Replicas,
) -> None:
    """Without waiting for the minute until the issuer is asked again."""
    token, other = replicas.opaque("ada"), replicas.opaque("ada")
    took = await seconds_until_void(replicas.second, "edge_mcp", token, replicas.revoke(token=token))
    assert took < MOMENTS_S
    assert [await replicas.at_mcp(each) for each in (token, other)] == ["TOKEN_REVOKED", "ACCEPTED"]


@pytest.mark.promise("revocation.tokens")
async def test_a_principal_of_the_audit_log_loses_all_it_has_and_nothing_that_it_gets_later(
    replicas: Replicas,
) -> None:
    """An address is a hash in the log, which is enough; another person keeps what they have."""
    person = f"{uuid.uuid4().hex}@example.com"
    now = int(time.time())
    held = replicas.opaque(person, iat=now - 50, exp=now + 900)
    undated, others = replicas.opaque(person), replicas.opaque("someone else")
    caller = (await replicas.first.issue(peer="edge_mcp", bearer=held, resource=RESOURCE)).caller
    named = actor_of(caller.principal)
    assert person not in named
    took = await seconds_until_void(replicas.second, "edge_mcp", held, replicas.revoke(principal=named))
    assert took < MOMENTS_S
    later = replicas.opaque(person, iat=now + 200, nbf=now)
    outcomes = [await replicas.at_mcp(token) for token in (held, undated, later, others)]
    assert outcomes == ["TOKEN_REVOKED", "TOKEN_REVOKED", "ACCEPTED", "ACCEPTED"]


async def test_the_audit_log_names_what_revokes_a_token_and_that_it_was_revoked(replicas: Replicas) -> None:
    """A refused scope, for one, is recorded with the credential, and the id behind it revokes."""
    token = jwt(scope="mail:scan")
    passport = await replicas.first.issue(bearer=token, audience="auth")
    (token_id,) = [root.partition("@")[0] for root in passport.caller.roots if root.startswith("token:")]
    done = await replicas.revoke(token_id=token_id)
    assert (done.resource, await replicas.second.refusal(bearer=token)) == (token_id, "TOKEN_REVOKED")
    request = auth_pb2.ExportAuditRequest(team_id=DEFAULT_TEAM_ID)
    events = [answer.event async for answer in replicas.operator.ExportAudit(request)]
    [event] = [each for each in events if each.resource == token_id]
    assert (event.action, event.actor) == ("token.revoked", "operator")
    assert all(token not in str(each) for each in events)


async def test_a_revocation_is_forgotten_when_the_token_could_live_no_longer(replicas: Replicas) -> None:
    """Upkeep takes its row away; one that still counts stays."""
    ended, lasting = jwt(), jwt()
    names = [(await replicas.revoke(token=token)).resource for token in (ended, lasting)]
    url = with_role(replicas.databases.admin_url, None, None, replicas.databases.auth.name)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as above:
        back = "UPDATE revoked_rights SET expires_at = now() - interval '2 hours' WHERE subject = %s"
        await above.execute(back, (names[0],))
        assert await replicas.second.refusal(bearer=ended) == "ACCEPTED"
        await above.execute("SELECT oauth_upkeep(1000)")
        query = "SELECT subject FROM revoked_rights WHERE subject = ANY(%s)"
        assert await (await above.execute(query, (names,))).fetchall() == [(names[1],)]


async def test_nothing_of_a_revoked_token_is_written_anywhere(replicas: Replicas) -> None:
    """Not by the process that was told its text, either way that it may go."""
    token, forged = jwt(), f"mat_{uuid.uuid4().hex}"
    await replicas.revoke(token=token)
    assert await reason_of(replicas.revoke(token=forged)) == "TOKEN_NOT_FOUND"
    log = replicas.first.log.read_text()
    assert "revoke_team_token" in log.lower() or "RevokeTeamToken" in log
    assert token.rpartition(".")[2] not in log
    assert forged not in log
