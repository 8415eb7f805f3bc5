"""Nobody waits for ever: what changes a team, and what ends a grant of it, at the same time."""

import asyncio
from datetime import UTC, datetime

from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.oauth.adapters.postgres_grants import PostgresGrants
from services.auth.oauth.adapters.postgres_sessions import PostgresSessions
from services.auth.oauth.events import revoked, signed_out
from tests.integration.auth.oauth.test_code_flow import reason_of
from tests.integration.auth.oauth.world import World

_WAIT_S = 5


async def test_a_grant_ends_while_its_team_is_changed(world: World) -> None:
    """Otherwise each could wait for the other: the one for the team, the other for the log of revocations."""
    client, key = (await world.register())["client_id"], await world.key()
    await world.redeem(client, await world.code(client, key))
    ((grant_id,),) = await world.own("SELECT id::text FROM oauth_grants WHERE team_id = %s", key.team_id)
    teams, grants = PostgresTeams(world.database, world.audit), PostgresGrants(world.database, world.audit)
    event = revoked(key.team_id, "x", f"grant:{grant_id}")
    async with asyncio.timeout(_WAIT_S), teams.changing(key.team_id) as change:
        assert await grants.revoke(key.team_id, grant_id, datetime.now(UTC), event) is not None
        await change.revoke(f"team:{key.team_id}")


async def test_two_changes_of_one_team_still_come_one_after_the_other(world: World) -> None:
    """A quota and the guard of the last admin key rest on it."""
    key = await world.key()
    teams = PostgresTeams(world.database, world.audit)
    order = []

    async def change(name: str, entered: asyncio.Event, go_on: asyncio.Event) -> None:
        async with teams.changing(key.team_id):
            entered.set()
            await go_on.wait()
            order.append(name)

    first, second, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(_WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(change("first", first, go_on))
        await first.wait()
        group.create_task(change("second", second, go_on))
        # The second waits in the database, where the first can see it.
        while not await world.own(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%teams%%'"
        ):
            await asyncio.sleep(0.01)
        assert not second.is_set()
        go_on.set()
    assert order == ["first", "second"]


async def test_who_allows_while_signing_out_allows_nothing_that_stays(world: World) -> None:
    """Whichever comes first: nothing of an ended sign-in counts."""
    sessions = PostgresSessions(world.database, world.audit)
    for _ in range(5):
        client, key = (await world.register())["client_id"], await world.key()
        page = await world.sign_in(client, key)
        ((session_id,),) = await world.own(
            "SELECT id::text FROM oauth_sessions WHERE team_id = %s", key.team_id
        )
        ending = sessions.end(key.team_id, session_id, datetime.now(UTC), signed_out)
        answer, _ = await asyncio.gather(world.consent(page, "mail:scan"), ending)
        assert answer.status == 303
        rows = await world.own(
            "SELECT 1 FROM oauth_grants WHERE team_id = %s AND revoked_at IS NULL", key.team_id
        )
        assert rows == []
        if "code" in answer.sent:
            assert (await world.redeem(client, answer.sent["code"])).json["error"] == "invalid_grant"


async def test_a_token_is_not_given_of_a_grant_that_ends_meanwhile(world: World) -> None:
    """Refresh and revocation at once: if there is a token, it does not count."""
    grants = PostgresGrants(world.database, world.audit)
    for _ in range(5):
        client, key = (await world.register())["client_id"], await world.key()
        got = (await world.redeem(client, await world.code(client, key))).json
        ((grant_id,),) = await world.own("SELECT id::text FROM oauth_grants WHERE team_id = %s", key.team_id)
        event = revoked(key.team_id, "x", f"grant:{grant_id}")
        answer, _ = await asyncio.gather(
            world.refresh(client, got["refresh_token"]),
            grants.revoke(key.team_id, grant_id, datetime.now(UTC), event),
        )
        if answer.status == 200:
            assert await reason_of(world, answer.json["access_token"]) == "TOKEN_REVOKED"
        actions = await world.own(
            "SELECT action FROM audit_events WHERE team_id = %s ORDER BY sequence DESC LIMIT 1", key.team_id
        )
        # No token is recorded behind the end of what it came from.
        assert actions == [("oauth.revoke",)]
