"""Clients that live in a page: what they may call from anywhere, and what no page may (CORS)."""

from pathlib import Path

import pytest

from services.auth.oauth.http.server import WELL_KNOWN
from tests.integration.auth.oauth.world import Answer, World, running_world
from tests.postgres import Databases

PAGE = "https://page.example"
OPEN = {
    WELL_KNOWN: "GET",
    "/oauth/jwks.json": "GET",
    "/oauth/token": "POST",
    "/oauth/register": "POST",
    "/oauth/revoke": "POST",
}
CLOSED = {
    "/oauth/authorize": "GET",
    "/oauth/callback": "GET",
    "/oauth/sign-in": "POST",
    "/oauth/consent": "POST",
    "/oauth/account": "GET",
    "/oauth/sign-out": "POST",
    "/oauth/introspect": "POST",
}


async def _preflight(world: World, path: str, method: str) -> Answer:
    asking = {
        "Origin": PAGE,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    return await world.call("OPTIONS", path, headers=asking)


def _shared(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


@pytest.mark.promise("rights.pages")
async def test_a_page_of_any_origin_may_be_a_client(world: World) -> None:
    """Nothing here looks at cookies: what a request may do it proves by what it shows."""
    for path, method in OPEN.items():
        told = await _preflight(world, path, method)
        assert told.status == 204, path
        shared = _shared(told)
        assert shared["Access-Control-Allow-Origin"] == "*"
        assert method in shared["Access-Control-Allow-Methods"]
        assert {"Authorization", "Content-Type", "MCP-Protocol-Version"} <= set(
            shared["Access-Control-Allow-Headers"].split(", ")
        )
        assert "Access-Control-Allow-Credentials" not in shared
        answer = await world.call(method, path, headers={"Origin": PAGE})
        assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"], path
        assert {"WWW-Authenticate", "Retry-After"} <= set(
            answer.headers["Access-Control-Expose-Headers"].split(", ")
        )


@pytest.mark.promise("rights.pages")
async def test_no_page_reads_what_people_see(world: World) -> None:
    """Neither the pages with cookies and credentials, nor what resource servers ask."""
    for path, method in CLOSED.items():
        assert not _shared(await _preflight(world, path, method)), path
        assert not _shared(await world.call(method, path, headers={"Origin": PAGE})), path


async def test_both_places_of_the_metadata_are_open(databases: Databases, tmp_path: Path) -> None:
    """An issuer with a path has its metadata before that path as well (RFC 8414 §3.1)."""
    async with running_world(databases, tmp_path, path="/tenant") as world:
        root = world.issuer.removesuffix("/tenant")
        for url in (f"{root}{WELL_KNOWN}/tenant", f"{root}/tenant{WELL_KNOWN}"):
            assert _shared(await _preflight(world, url, "GET"))["Access-Control-Allow-Origin"] == "*"
            answer = await world.call("GET", url, headers={"Origin": PAGE})
            assert answer.json["issuer"] == world.issuer


async def test_a_preflight_counts_against_its_address_and_not_as_what_it_asks_for(
    databases: Databases, tmp_path: Path
) -> None:
    """One registration a minute, and as many questions as any address may ask."""
    settings = {"rate_limit_address_per_minute": "3", "oauth_registrations_per_minute": "1"}
    async with running_world(databases, tmp_path, **settings) as world:
        statuses = [(await _preflight(world, "/oauth/register", "POST")).status for _ in range(4)]
        assert statuses == [204, 204, 204, 429]
        assert (await world.register())["client_id"]
