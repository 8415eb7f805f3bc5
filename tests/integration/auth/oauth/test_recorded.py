"""What is recorded: every kind of event has its row, and no row means that it did not happen."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.auth.oauth.test_code_flow import reason_of
from tests.integration.auth.oauth.test_sessions import sign_in_to_account, ticket_for
from tests.integration.auth.oauth.world import REDIRECT, Answer, Key, World

SYSTEM = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Row:
    """One event as it stands in the database."""

    action: str
    outcome: str
    reason: str
    actor: str
    resource: str
    credential: str
    edge: str
    request_id: str
    facts: dict[str, str]


async def rows_of(world: World, team_id: str, after: int = 0) -> list[Row]:
    found = await world.own(
        "SELECT action, outcome, reason, actor, resource, credential, edge, request_id, facts"
        " FROM audit_events WHERE team_id = %s AND sequence > %s ORDER BY sequence",
        team_id,
        after,
    )
    return [Row(*row) for row in found]


async def newest(world: World, team_id: str) -> Row:
    return (await rows_of(world, team_id))[-1]


async def end_of_system(world: World) -> int:
    rows = await world.own("SELECT coalesce(max(sequence), 0) FROM audit_events WHERE team_id = %s", SYSTEM)
    return rows[0][0]


def request_id(answer: Answer) -> str:
    return answer.headers["X-Request-Id"]


async def test_each_thing_that_happens_to_a_team_has_its_row(world: World) -> None:
    """Sign-in, consent, token by code and by refresh, revocations, replay, sign-out, in this order."""
    client, key = (await world.register())["client_id"], await world.key()
    team, actor = key.team_id, f"key:{key.id}"
    page = await world.sign_in(client, key)
    row = await newest(world, team)
    assert (row.action, row.outcome, row.actor) == ("oauth.sign_in", "ok", actor)
    assert (row.credential, row.edge, row.request_id) == (f"key:{key.id}", "oauth", request_id(page))
    assert row.facts == {"method": "key"}
    session = row.resource
    assert session.startswith("session:")

    denied = await world.consent(page, decision="deny")
    row = await newest(world, team)
    assert (row.action, row.outcome, row.reason) == ("oauth.consent", "denied", "ACCESS_DENIED")
    assert (row.resource, row.request_id) == (f"client:{client}", request_id(denied))

    allowed = await world.consent(page, "mail:scan")
    row = await newest(world, team)
    assert (row.action, row.outcome, row.actor) == ("oauth.consent", "ok", actor)
    assert (row.facts, row.request_id) == ({"scopes": "mail:scan"}, request_id(allowed))
    grant = row.resource
    assert grant.startswith("grant:")

    code = allowed.sent["code"]
    got = await world.redeem(client, code)
    row = await newest(world, team)
    assert (row.action, row.outcome, row.credential) == ("oauth.token", "ok", grant)
    assert row.facts == {"kind": "authorization_code", "scopes": "mail:scan"}
    assert row.request_id == request_id(got)
    assert row.resource.startswith("token:")

    fresh = await world.refresh(client, got.json["refresh_token"])
    row = await newest(world, team)
    assert (row.action, row.facts["kind"], row.credential) == ("oauth.token", "refresh_token", grant)

    form = {"client_id": client, "token": fresh.json["access_token"]}
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    row = await newest(world, team)
    assert (row.action, row.outcome, row.actor) == ("oauth.revoke", "ok", actor)
    assert row.resource.startswith("token:")

    await world.refresh(client, got.json["refresh_token"])
    row = await newest(world, team)
    assert (row.action, row.outcome, row.reason) == ("oauth.replay", "denied", "GRANT_REVOKED")
    assert row.resource == grant

    account = await world.browse("GET", "/oauth/account")
    await world.browse("POST", "/oauth/sign-out", data={"ticket": ticket_for(account, "/oauth/sign-out")})
    row = await newest(world, team)
    assert (row.action, row.resource, row.facts) == ("oauth.sign_out", session, {"count": "0"})
    assert len(await rows_of(world, team)) == 8


async def test_taking_back_a_grant_has_its_row_whoever_does_it(world: World) -> None:
    """The client by its refresh token; the person on the page."""
    client, key = (await world.register())["client_id"], await world.key()
    got = (await world.redeem(client, await world.code(client, key))).json
    form = {"client_id": client, "token": got["refresh_token"]}
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    row = await newest(world, key.team_id)
    assert (row.action, row.resource.partition(":")[0]) == ("oauth.revoke", "grant")
    count = len(await rows_of(world, key.team_id))
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    assert len(await rows_of(world, key.team_id)) == count


async def test_a_token_for_a_key_has_its_row(world: World) -> None:
    """client_credentials."""
    key = await world.key()
    got = await world.token(grant_type="client_credentials", client_id=key.id, client_secret=key.secret)
    (row,) = await rows_of(world, key.team_id)
    assert (row.action, row.credential, row.facts["kind"]) == (
        "oauth.token",
        f"key:{key.id}",
        "client_credentials",
    )
    assert (row.actor, row.request_id) == (f"key:{key.id}", request_id(got))


async def test_what_belongs_to_no_team_is_in_the_systems_chain(world: World) -> None:
    """Registration, a sign-in that failed, a client that could not prove itself."""
    before = await end_of_system(world)
    client = (await world.register())["client_id"]
    world.cookies.clear()
    page = await world.browse("GET", world.asking(client))
    form = {"ticket": page.field("ticket"), "key": "ma_" + "A" * 43}
    failed = await world.browse("POST", "/oauth/sign-in", data=form)
    refused = await world.token(grant_type="client_credentials", client_id="x", client_secret="y")
    rows = await rows_of(world, SYSTEM, before)
    assert [(row.action, row.outcome, row.reason) for row in rows] == [
        ("oauth.register", "ok", ""),
        ("oauth.sign_in", "denied", "CREDENTIAL_INVALID"),
        ("oauth.token", "denied", "INVALID_CLIENT"),
    ]
    assert rows[0].resource == f"client:{client}"
    assert [row.request_id for row in rows[1:]] == [request_id(failed), request_id(refused)]
    assert rows[1].facts == {"method": "key"}


async def test_a_flood_of_failures_is_two_rows(world: World) -> None:
    """The first at once, the others counted."""
    before = await end_of_system(world)
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}
    for _ in range(25):
        assert (await world.token(**form)).status == 401
    await world.notes.flush(everything=True)
    rows = await rows_of(world, SYSTEM, before)
    assert [row.facts.get("count") for row in rows] == [None, "24"]


async def made(world: World) -> tuple[str, Key, dict[str, Any]]:
    client, key = (await world.register())["client_id"], await world.key()
    return client, key, (await world.redeem(client, await world.code(client, key))).json


async def test_without_a_row_nobody_registers(world: World) -> None:
    """The transaction is one."""
    before = await world.own("SELECT count(*) FROM oauth_clients")
    world.audit.is_broken = True
    answer = await world.call("POST", "/oauth/register", json={"redirect_uris": [REDIRECT]})
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert await world.own("SELECT count(*) FROM oauth_clients") == before


async def test_without_a_row_nobody_signs_in(world: World) -> None:
    """No sign-in is kept, and the browser is not told of one."""
    client, key = (await world.register())["client_id"], await world.key()
    world.cookies.clear()
    page = await world.browse("GET", world.asking(client))
    world.audit.is_broken = True
    form = {"ticket": page.field("ticket"), "key": key.secret}
    assert (await world.browse("POST", "/oauth/sign-in", data=form)).status == 503
    assert await world.own("SELECT 1 FROM oauth_sessions WHERE team_id = %s", key.team_id) == []
    world.audit.is_broken = False
    assert "name=key" in (await world.browse("GET", world.asking(client))).text


async def test_without_a_row_nothing_is_allowed(world: World) -> None:
    """Neither grant nor code."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    world.audit.is_broken = True
    assert (await world.consent(page, "mail:scan")).status == 503
    assert await world.own("SELECT 1 FROM oauth_grants WHERE team_id = %s", key.team_id) == []
    assert await world.own("SELECT 1 FROM oauth_codes WHERE team_id = %s", key.team_id) == []


async def test_without_a_row_no_token_is_given_and_nothing_is_used_up(world: World) -> None:
    """The same code and the same refresh token work when the log answers again."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    world.audit.is_broken = True
    assert (await world.redeem(client, code)).status == 503
    world.audit.is_broken = False
    got = await world.redeem(client, code)
    assert got.status == 200
    world.audit.is_broken = True
    assert (await world.refresh(client, got.json["refresh_token"])).status == 503
    form = {"grant_type": "client_credentials", "client_id": key.id, "client_secret": key.secret}
    assert (await world.token(**form)).status == 503
    world.audit.is_broken = False
    assert (await world.refresh(client, got.json["refresh_token"])).status == 200


@pytest.mark.parametrize("token", ["access_token", "refresh_token"])
async def test_without_a_row_nothing_is_revoked(world: World, token: str) -> None:
    """It is told: 503 means try again (RFC 7009 §2.2.1)."""
    client, _, got = await made(world)
    world.audit.is_broken = True
    form = {"client_id": client, "token": got[token]}
    answer = await world.call("POST", "/oauth/revoke", data=form)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert await reason_of(world, got["access_token"]) == "ACCEPTED"
    world.audit.is_broken = False
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    assert await reason_of(world, got["access_token"]) == "TOKEN_REVOKED"


async def test_without_a_row_a_replay_ends_nothing_yet_gives_nothing(world: World) -> None:
    """It is refused all the same, and the next one ends the grant."""
    client, _, got = await made(world)
    second = (await world.refresh(client, got["refresh_token"])).json
    world.audit.is_broken = True
    assert (await world.refresh(client, got["refresh_token"])).status == 503
    assert await reason_of(world, second["access_token"]) == "ACCEPTED"
    world.audit.is_broken = False
    assert (await world.refresh(client, got["refresh_token"])).status == 400
    assert await reason_of(world, second["access_token"]) == "TOKEN_REVOKED"


async def test_without_a_row_nobody_signs_out_or_takes_back(world: World) -> None:
    """The page says that it did not work."""
    _, key, got = await made(world)
    account = await sign_in_to_account(world, key)
    ((grant_id,),) = await world.own("SELECT id::text FROM oauth_grants WHERE team_id = %s", key.team_id)
    world.audit.is_broken = True
    taking = {"ticket": ticket_for(account, "/oauth/account"), "grant": grant_id}
    assert (await world.browse("POST", "/oauth/account", data=taking)).status == 503
    leaving = {"ticket": ticket_for(account, "/oauth/sign-out")}
    assert (await world.browse("POST", "/oauth/sign-out", data=leaving)).status == 503
    assert await reason_of(world, got["access_token"]) == "ACCEPTED"
    assert (
        await world.own(
            "SELECT 1 FROM oauth_sessions WHERE team_id = %s AND ended_at IS NOT NULL", key.team_id
        )
        == []
    )


async def test_a_refusal_stays_a_refusal_when_it_cannot_be_written_down(world: World) -> None:
    """And is told as soon as it can."""
    before = await end_of_system(world)
    world.audit.is_broken = True
    refused = await world.token(grant_type="client_credentials", client_id="x", client_secret="y")
    assert refused.status == 401
    world.audit.is_broken = False
    await world.notes.flush()
    assert [row.action for row in await rows_of(world, SYSTEM, before)] == ["oauth.token"]
