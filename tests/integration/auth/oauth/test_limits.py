"""How often one address may come: each route has a bound, refusals are told and recorded."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.auth.oauth.test_recorded import SYSTEM, Row, end_of_system, rows_of
from tests.integration.auth.oauth.world import REDIRECT, Answer, World, running_world
from tests.postgres import Databases
from tests.valkey import running_valkey, url_of

BOUND = 6
LIMITS = {
    "rate_limit_address_per_minute": str(BOUND),
    "rate_limit_failures_per_minute": str(BOUND - 2),
    "oauth_sign_ins_per_minute": str(BOUND),
    "oauth_registrations_per_minute": str(BOUND),
}


@pytest_asyncio.fixture
async def bounded(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("bounded")
    async with running_world(databases, folder, trusted_proxies="127.0.0.0/8", **LIMITS) as world:
        yield world


def of(site: str) -> dict[str, str]:
    return {"X-Forwarded-For": site}


def check_refusal(answer: Answer) -> None:
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["Cache-Control"] == "no-store"


REQUESTS = {
    "token": ("POST", "/oauth/token", {"data": {"grant_type": "password", "client_id": "x"}}),
    "authorize": ("GET", "/oauth/authorize", {}),
    "callback": ("GET", "/oauth/callback", {}),
    "consent": ("POST", "/oauth/consent", {"data": {"ticket": "x"}}),
    "account": ("GET", "/oauth/account", {}),
    "sign-out": ("POST", "/oauth/sign-out", {"data": {"ticket": "x"}}),
    "register": ("POST", "/oauth/register", {"json": {"redirect_uris": [REDIRECT]}}),
    "metadata": ("GET", "/.well-known/oauth-authorization-server", {}),
    "jwks": ("GET", "/oauth/jwks.json", {}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_address_is_refused_after_its_bound_and_others_are_not(bounded: World, name: str) -> None:
    """Exactly as many as may be; the other address is behind the same trusted proxy."""
    method, path, options = REQUESTS[name]
    for _ in range(BOUND):
        assert (await bounded.call(method, path, headers=of("203.0.113.7"), **options)).status != 429
    check_refusal(await bounded.call(method, path, headers=of("203.0.113.7"), **options))
    assert (await bounded.call(method, path, headers=of("203.0.113.8"), **options)).status != 429


async def test_what_is_asked_of_one_route_does_not_count_at_another(bounded: World) -> None:
    """Who polls for tokens keeps nobody behind the same address from signing in."""
    form = {"grant_type": "password", "client_id": "x"}
    asked = [
        await bounded.call("POST", "/oauth/token", data=form, headers=of("::7")) for _ in range(BOUND + 1)
    ]
    last = asked[-1]
    assert last.status == 429
    assert last.json["error"] == "temporarily_unavailable"
    assert (await bounded.call("GET", "/oauth/authorize", headers=of("::7"))).status == 400


async def test_all_of_one_ipv6_network_is_one_address(bounded: World) -> None:
    """Whoever has one has 2^64 of them."""
    for number in range(BOUND):
        await bounded.call("GET", "/oauth/jwks.json", headers=of(f"2001:db8::{number:x}"))
    check_refusal(await bounded.call("GET", "/oauth/jwks.json", headers=of("2001:db8::ffff")))


async def test_guessing_an_admin_key_is_bounded(bounded: World) -> None:
    """Six tries a minute here, twenty by default; then the right key does not get in either."""
    key, client = await bounded.key(), (await bounded.register())["client_id"]
    page = await bounded.browse("GET", bounded.asking(client))
    form = {"ticket": page.field("ticket"), "key": "ma_" + "A" * 43}
    statuses = [
        (await bounded.browse("POST", "/oauth/sign-in", data=form, headers=of("203.0.113.9"))).status
        for _ in range(BOUND)
    ]
    assert statuses == [403] * (BOUND - 2) + [429] * 2
    right = {**form, "key": key.secret}
    check_refusal(await bounded.browse("POST", "/oauth/sign-in", data=right, headers=of("203.0.113.9")))
    assert (
        await bounded.browse("POST", "/oauth/sign-in", data=right, headers=of("203.0.113.10"))
    ).status == 200


@pytest.mark.parametrize("path", ["token", "introspect", "revoke"])
async def test_clients_that_cannot_prove_themselves_are_bounded_together(bounded: World, path: str) -> None:
    """Failures of one address count at all routes that take a credential."""
    key = await bounded.key()
    wrong = {"client_id": key.id, "client_secret": "ma_" + "A" * 43, "token": "mat_x"}
    form = {"grant_type": "client_credentials", **wrong}
    for number in range(BOUND - 2):
        where = ("token", "introspect", "revoke")[number % 3]
        answer = await bounded.call("POST", f"/oauth/{where}", data=form, headers=of("203.0.113.11"))
        assert answer.status == 401, where
    right = {**form, "client_secret": key.secret}
    check_refusal(await bounded.call("POST", f"/oauth/{path}", data=right, headers=of("203.0.113.11")))
    assert (await bounded.call("POST", "/oauth/token", data=right, headers=of("203.0.113.12"))).status == 200


async def test_a_limit_that_was_hit_is_recorded_once_a_minute_without_the_address(bounded: World) -> None:
    """Who watches the log sees that somebody hammers."""
    before = await end_of_system(bounded)
    asked = [
        await bounded.call("GET", "/oauth/jwks.json", headers=of("203.0.113.13")) for _ in range(BOUND + 5)
    ]
    assert [answer.status for answer in asked] == [200] * BOUND + [429] * 5
    rows: list[Row] = []
    async with asyncio.timeout(5):  # told beside the answer, which does not wait for it
        while not rows:
            await asyncio.sleep(0.01)
            rows = [row for row in await rows_of(bounded, SYSTEM, before) if row.action == "limit.hit"]
    assert [(row.outcome, row.reason, row.facts) for row in rows] == [
        ("denied", "RATE_LIMIT_EXCEEDED", {"limit": "address"})
    ]
    assert "203.0.113.13" not in str(rows)


async def test_an_answer_says_how_the_address_stands(bounded: World) -> None:
    """So that an honest client slows down before it is refused."""
    first = await bounded.call("GET", "/oauth/jwks.json", headers=of("203.0.113.14"))
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("6", "5")


async def test_a_forwarded_address_is_believed_of_trusted_proxies_only(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Otherwise everybody could come from as many addresses as they like."""
    folder = tmp_path_factory.mktemp("untrusted")
    async with running_world(databases, folder, **LIMITS) as world:
        for number in range(BOUND):
            await world.call("GET", "/oauth/jwks.json", headers=of(f"203.0.113.{number}"))
        check_refusal(await world.call("GET", "/oauth/jwks.json", headers=of("198.51.100.1")))


async def test_replicas_count_together_where_there_is_a_server_for_it(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two listeners on one Valkey: six tries in all, not six each."""
    with running_valkey() as server:
        url = url_of(server)
        folder = tmp_path_factory.mktemp("shared")
        async with (
            running_world(databases, folder, redis_url=url, **LIMITS) as one,
            running_world(databases, folder, redis_url=url, **LIMITS) as other,
        ):
            statuses = [
                (await world.call("GET", "/oauth/jwks.json")).status
                for world in (one, other)
                for _ in range(BOUND)
            ]
    assert statuses == [200] * BOUND + [429] * BOUND


async def test_registration_can_be_switched_off(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Then it is neither offered nor served; clients describe themselves at an address of theirs."""
    folder = tmp_path_factory.mktemp("closed")
    async with running_world(databases, folder, oauth_registration="false") as world:
        said = (await world.call("GET", "/.well-known/oauth-authorization-server")).json
        assert "registration_endpoint" not in said
        assert said["client_id_metadata_document_supported"] is True
        answer = await world.call("POST", "/oauth/register", json={"redirect_uris": [REDIRECT]})
        assert answer.status == 404
