"""Every kind of secret, shown in every place where another kind belongs: refused, with the right words."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from a2a.types import a2a_pb2
from cryptography.hazmat.primitives.asymmetric import ec
from grpc import aio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2
from services.common.grpc_client import Channel
from tests.fakes.tokens import SECRET, claims, hs256, signed
from tests.integration.auth.oauth.world import OTHER_RESOURCE, REDIRECT, RESOURCE, VERIFIER, Key
from tests.integration.auth.oauth.world import World as Browser
from tests.matrix.authorization import authorizing
from tests.matrix.callers import As
from tests.matrix.conftest import KEYS
from tests.matrix.entries import A2A, by_a2a, rpcs
from tests.matrix.ways import by_grpc, by_mcp, reason_in
from tests.matrix.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

API_KEY, ENVIRONMENT_KEY, JWT = "API key", "environment key", "JWT of the issuer"
ACCESS, ACCESS_ELSEWHERE = "access token", "access token for another resource"
REFRESH, CODE = "refresh token", "authorization code"
CORE_PASSPORT, AUTH_PASSPORT = "passport for the core", "passport for auth"
ID_TOKEN, COOKIE, TICKET = "id token", "consent cookie", "ticket of a page"
PAGE_TOKEN, AUDIT_CURSOR, REVOCATION_CURSOR = "page token", "audit cursor", "revocation cursor"
JWT_SECRET, CLIENT_SECRET = "secret that signs JWTs", "client secret"


@dataclass(slots=True)
class Shown:
    """All kinds of secrets of one system, each good in its own place, and who uses them."""

    world: World
    browser: Browser
    replica: aio.Channel
    client_id: str
    confidential_id: str
    admin: Key
    secrets: dict[str, str] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    folder: Path = tmp_path_factory.mktemp("authorization")
    async with authorizing(world.system, folder) as browser:
        member = world.members[As.ADMIN]
        admin = Key(member.key_id, member.secret, world.team_id)
        client = await browser.register()
        trusted = await browser.register(token_endpoint_auth_method="client_secret_post")
        channel = Channel(browser.admin_url, "auth", world.tls("edge_mcp"))
        made = Shown(world, browser, channel.wire(), client["client_id"], trusted["client_id"], admin)
        made.secrets = await _secrets(made) | {CLIENT_SECRET: trusted["client_secret"]}
        yield made
        await channel.close()


async def _secrets(shown: Shown) -> dict[str, str]:
    world, browser, client = shown.world, shown.browser, shown.client_id
    granted = (await browser.redeem(client, await browser.code(client, shown.admin))).json
    page = await browser.sign_in(client, shown.admin)
    admin = await world.credential(As.ADMIN)
    return {
        API_KEY: shown.admin.secret,
        ENVIRONMENT_KEY: KEYS["AGENT_API_KEY"],
        JWT: hs256(claims(int(time.time()), exp=int(time.time()) + 3_600)),
        ACCESS: await _access_token(shown, RESOURCE),
        ACCESS_ELSEWHERE: await _access_token(shown, OTHER_RESOURCE),
        REFRESH: granted["refresh_token"],
        TICKET: page.field("ticket"),
        COOKIE: browser.cookies["mailwarden"],
        CODE: (await browser.consent(page, "mail:scan")).sent["code"],
        CORE_PASSPORT: await world.passport(As.ADMIN, "mail_core"),
        AUTH_PASSPORT: await world.passport(As.ADMIN, "auth"),
        ID_TOKEN: signed(claims(int(time.time())), ec.generate_private_key(ec.SECP256R1())),
        PAGE_TOKEN: (await _json(world, "/v1/team/keys?page_size=1", admin))["next_page_token"],
        AUDIT_CURSOR: (await _json(world, "/v1/audit?limit=1", admin))["nextBefore"],
        REVOCATION_CURSOR: await _revocation_cursor(world),
        JWT_SECRET: SECRET,
    }


async def _access_token(shown: Shown, resource: str) -> str:
    form = {"client_id": shown.admin.id, "client_secret": shown.admin.secret, "resource": resource}
    return (await shown.browser.token(grant_type="client_credentials", **form)).json["access_token"]


async def _json(world: World, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    async with world.http.get(world.system.rest + path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def _revocation_cursor(world: World) -> str:
    stub = auth_pb2_grpc.AuthServiceStub(world.channel("auth", "edge_rest"))  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        async for told in stub.WatchRevocations(auth_pb2.WatchRevocationsRequest()):
            return told.cursor
    raise AssertionError("the stream says where it begins")


# --- the places. Each gives OK or the reason of the refusal.

Place = Callable[[Shown, str], Awaitable[str]]


def _at_rest(header: str, value: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        headers = {header: value.format(secret)}
        async with shown.world.http.get(f"{shown.world.system.rest}/v1/me", headers=headers) as answer:
            return "OK" if answer.status == 200 else reason_in(await answer.json())

    return show


def _at_mcp(header: str, value: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        request = mail_pb2.ListSubscriptionsRequest(mailbox_id=str(uuid4()))
        url, headers = shown.world.system.mcp, {header: value.format(secret)}
        told = await by_mcp(shown.world.http, url, "list_unsubscribe_candidates", request, headers)
        return told.reason if told.status == 401 else "OK"

    return show


def _at_a2a(binding: str, header: str, value: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        method = A2A.methods_by_name["ListTasks"]
        request = a2a_pb2.ListTasksRequest()
        return (
            await by_a2a(shown.world, binding, method.name, request, {header: value.format(secret)})
        ).reason

    return show


def _at_auth_for_a_resource(resource: str) -> Place:
    """What an edge asks auth, here as the MCP edge of a resource."""

    async def show(shown: Shown, secret: str) -> str:
        method = rpcs()["AuthService.IssuePassport"]
        request = auth_pb2.IssuePassportRequest(bearer=secret, audience="mail_core", resource=resource)
        return (await by_grpc(shown.replica, method, request, {})).reason

    return show


def _at_backend(service: str, rpc: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        method, wire = rpcs()[rpc], shown.world.wire(service, "edge_rest")
        request = auth_pb2.GetMeRequest() if service == "auth" else mail_pb2.ListMailboxesRequest()
        return (await by_grpc(wire, method, request, {"x-passport": secret})).reason

    return show


def _at_token_endpoint(form: Callable[[Shown], dict[str, str]], name: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        answer = await shown.browser.token(**{**form(shown), name: secret})
        return "OK" if answer.status == 200 else answer.json["error"]

    return show


async def _as_basic_password(shown: Shown, secret: str) -> str:
    form = {"grant_type": "client_credentials"}
    headers = {"Authorization": aiohttp.encode_basic_auth(shown.admin.id, secret)}
    answer = await shown.browser.call("POST", "/oauth/token", data=form, headers=headers)
    return "OK" if answer.status == 200 else answer.json["error"]


async def _introspected(shown: Shown, secret: str) -> str:
    form = {"client_id": shown.admin.id, "client_secret": shown.admin.secret, "token": secret}
    told = (await shown.browser.call("POST", "/oauth/introspect", data=form)).json
    return "OK" if told["active"] else "inactive"


async def _asking_introspection(shown: Shown, secret: str) -> str:
    form = {"client_id": shown.admin.id, "client_secret": secret, "token": shown.secrets[ACCESS]}
    answer = await shown.browser.call("POST", "/oauth/introspect", data=form)
    return "OK" if answer.status == 200 else answer.json["error"]


async def _as_cookie(shown: Shown, secret: str) -> str:
    headers = {"Cookie": f"mailwarden={secret}"}
    page = await shown.browser.call("GET", shown.browser.asking(shown.client_id), headers=headers)
    return "OK" if "scope:mail:scan" in page.text else "sign in"


async def _as_ticket(shown: Shown, secret: str) -> str:
    headers = {"Cookie": f"mailwarden={shown.secrets[COOKIE]}"}
    form = {"ticket": secret, "decision": "deny"}
    answer = await shown.browser.call("POST", "/oauth/consent", data=form, headers=headers)
    return "OK" if answer.status == 303 else str(answer.status)


async def _as_sign_in_key(shown: Shown, secret: str) -> str:
    shown.browser.cookies.clear()
    page = await shown.browser.browse("GET", shown.browser.asking(shown.client_id))
    form = {"ticket": page.field("ticket"), "key": secret}
    answer = await shown.browser.browse("POST", "/oauth/sign-in", data=form)
    return "OK" if "scope:mail:scan" in answer.text else str(answer.status)


def _at_list(path: str, name: str) -> Place:
    async def show(shown: Shown, secret: str) -> str:
        headers = await shown.world.credential(As.ADMIN)
        url = shown.world.system.rest + path
        async with shown.world.http.get(url, params={name: secret}, headers=headers) as answer:
            return "OK" if answer.status == 200 else reason_in(await answer.json())

    return show


async def _as_revocation_cursor(shown: Shown, secret: str) -> str:
    method = rpcs()["AuthService.WatchRevocations"]
    request = auth_pb2.WatchRevocationsRequest(cursor=secret)
    return (await by_grpc(shown.world.wire("auth", "edge_rest"), method, request, {})).reason


async def _revoked(shown: Shown, secret: str) -> str:
    """RFC 7009 answers 200 to everything; what counts is that nothing but the token is gone."""
    form = {"client_id": shown.client_id, "token": secret}
    answer = await shown.browser.call("POST", "/oauth/revoke", data=form)
    return "OK" if answer.status == 200 else answer.json["error"]


def _client_credentials(shown: Shown) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": shown.admin.id}


def _code_of(shown: Shown) -> dict[str, str]:
    asked = {"grant_type": "authorization_code", "client_id": shown.client_id, "resource": RESOURCE}
    return asked | {"redirect_uri": REDIRECT, "code_verifier": VERIFIER}


def _refresh_of(shown: Shown) -> dict[str, str]:
    return {"grant_type": "refresh_token", "client_id": shown.client_id}


OPAQUE = "CREDENTIAL_INVALID"
PASSPORTS = dict.fromkeys((CORE_PASSPORT, AUTH_PASSPORT), "TOKEN_TYPE_REFUSED")
KEYS_AND_TOKENS = {API_KEY: "OK", ENVIRONMENT_KEY: "OK", JWT: "OK", **PASSPORTS}
NO_JWTS = {**PASSPORTS, **dict.fromkeys((JWT, ID_TOKEN), "CREDENTIAL_KIND_REFUSED")}
"""Where only API keys and access tokens count."""
KEYS_ALONE = {API_KEY: "OK", ENVIRONMENT_KEY: "OK"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What comes of the kinds that are named, and of all others. `spent` kinds are used up and not shown."""

    show: Place
    otherwise: str
    named: Mapping[str, str] = field(default_factory=dict)
    spent: frozenset[str] = frozenset()

    def of(self, kind: str) -> str:
        return self.named.get(kind, self.otherwise)


def _edge(show: Place, named: Mapping[str, str]) -> Expectation:
    return Expectation(show, OPAQUE, named)


PLACES: Mapping[str, Expectation] = {
    "REST X-API-Key": _edge(_at_rest("X-API-Key", "{}"), KEYS_ALONE),
    "REST Bearer": _edge(_at_rest("Authorization", "Bearer {}"), KEYS_AND_TOKENS),
    "MCP X-API-Key": _edge(_at_mcp("X-API-Key", "{}"), KEYS_ALONE),
    "MCP Bearer": _edge(_at_mcp("Authorization", "Bearer {}"), KEYS_AND_TOKENS),
    **{
        f"A2A {binding} {name}": _edge(_at_a2a(binding, header, value), named)
        for binding in ("json-rpc", "http+json", "grpc")
        for name, header, value, named in (
            ("X-API-Key", "X-API-Key", "{}", KEYS_ALONE),
            ("Bearer", "Authorization", "Bearer {}", KEYS_AND_TOKENS),
        )
    },
    "IssuePassport for the resource": Expectation(
        _at_auth_for_a_resource(RESOURCE),
        OPAQUE,
        {API_KEY: "OK", ACCESS: "OK", ACCESS_ELSEWHERE: "TOKEN_AUDIENCE_REFUSED", **NO_JWTS},
    ),
    "IssuePassport for no resource": Expectation(
        _at_auth_for_a_resource(""),
        OPAQUE,
        {API_KEY: "OK", **dict.fromkeys((ACCESS, ACCESS_ELSEWHERE), "TOKEN_AUDIENCE_REFUSED"), **NO_JWTS},
    ),
    "x-passport of the core": Expectation(
        _at_backend("mail_core", "MailService.ListMailboxes"), "PASSPORT_INVALID", {CORE_PASSPORT: "OK"}
    ),
    "x-passport of auth": Expectation(
        _at_backend("auth", "AuthService.GetMe"), "PASSPORT_INVALID", {AUTH_PASSPORT: "OK"}
    ),
    "client_secret": Expectation(
        _at_token_endpoint(_client_credentials, "client_secret"), "invalid_client", {API_KEY: "OK"}
    ),
    "Basic password": Expectation(_as_basic_password, "invalid_client", {API_KEY: "OK"}),
    "introspection, asking": Expectation(_asking_introspection, "invalid_client", {API_KEY: "OK"}),
    "introspection, token": Expectation(
        _introspected, "inactive", dict.fromkeys((ACCESS, ACCESS_ELSEWHERE, REFRESH), "OK")
    ),
    "cookie of a browser": Expectation(_as_cookie, "sign in", {COOKIE: "OK"}),
    "ticket of the consent page": Expectation(_as_ticket, "403", {TICKET: "OK"}),
    "key of the sign-in page": Expectation(_as_sign_in_key, "403", {API_KEY: "OK"}),
    "page_token of keys": Expectation(
        _at_list("/v1/team/keys", "page_token"), "PAGE_TOKEN_INVALID", {PAGE_TOKEN: "OK"}
    ),
    "page_token of mailboxes": Expectation(_at_list("/v1/mailboxes", "page_token"), "PAGE_TOKEN_INVALID"),
    "before of the audit log": Expectation(
        _at_list("/v1/audit", "before"), "PAGE_TOKEN_INVALID", {AUDIT_CURSOR: "OK"}
    ),
    "cursor of revocations": Expectation(_as_revocation_cursor, "CURSOR_INVALID", {REVOCATION_CURSOR: "OK"}),
    "refresh_token": Expectation(
        _at_token_endpoint(_refresh_of, "refresh_token"), "invalid_grant", spent=frozenset({REFRESH})
    ),
    "code": Expectation(_at_token_endpoint(_code_of, "code"), "invalid_grant", spent=frozenset({CODE})),
    # By a client to whom none of them belongs but the refresh token, which is not shown.
    "revocation": Expectation(_revoked, "OK", spent=frozenset({REFRESH})),
}


@pytest.mark.promise("rights.purpose", "rights.cross-use")
@pytest.mark.parametrize("name", PLACES)
async def test_a_secret_opens_its_own_door_and_no_other(name: str, shown: Shown) -> None:
    """Seventeen kinds at one place."""
    place = PLACES[name]
    kinds = [kind for kind in shown.secrets if kind not in place.spent]
    told = {kind: await place.show(shown, shown.secrets[kind]) for kind in kinds}
    assert told == {kind: place.of(kind) for kind in kinds}


@pytest.mark.promise("rights.cross-use")
async def test_every_secret_still_opens_its_own_door_after_all_that(shown: Shown) -> None:
    """Nothing that was shown in a wrong place was used up, or taken back, by that."""
    secrets, browser = shown.secrets, shown.browser
    assert await PLACES["REST Bearer"].show(shown, secrets[API_KEY]) == "OK"
    assert await PLACES["IssuePassport for the resource"].show(shown, secrets[ACCESS]) == "OK"
    assert (await browser.redeem(shown.client_id, secrets[CODE])).status == 200
    assert (await browser.refresh(shown.client_id, secrets[REFRESH])).status == 200
    form = {"grant_type": "refresh_token", "refresh_token": secrets[REFRESH]}
    stolen = {"client_id": shown.confidential_id, "client_secret": secrets[CLIENT_SECRET]}
    assert (await browser.token(**form, **stolen)).json["error"] == "invalid_grant"
