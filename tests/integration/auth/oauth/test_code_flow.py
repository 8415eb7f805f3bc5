"""From a client's question to a token and on: what a person allows is what a client gets, once."""

import asyncio

import pytest

from services.auth.oauth.domain.pkce import challenge_of
from services.common.errors import AppError
from tests.integration.auth.oauth.world import OTHER_RESOURCE, REDIRECT, RESOURCE, World


async def reason_of(world: World, token: str, resource: str = RESOURCE) -> str:
    try:
        await world.oauth.check(token, resource)
    except AppError as error:
        return error.reason
    return "ACCEPTED"


async def test_a_person_allows_and_the_client_gets_just_that(world: World) -> None:
    """Register, ask, sign in, tick, redeem; the token names team, grant, client, key and itself."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    assert "Test agent" in page.text
    assert "Look through your mail" in page.text
    answer = await world.consent(page, "mail:scan")
    assert answer.location.startswith(REDIRECT + "?")
    assert (answer.sent["state"], answer.sent["iss"]) == ("st", world.issuer)
    got = await world.redeem(client, answer.sent["code"])
    assert got.status == 200, got.text
    said = got.json
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 3600, "mail:scan")
    assert said["access_token"].startswith("mat_")
    assert got.headers["Cache-Control"] == "no-store"
    who = await world.oauth.check(said["access_token"], RESOURCE)
    assert who.caller.scopes == {"mail:scan"}
    assert (who.caller.team_id, who.caller.principal) == (key.team_id, f"key:{key.id}")
    kinds = {root.partition(":")[0] for root in who.caller.roots}
    assert kinds == {"team", "grant", "client", "key", "session", "token"}
    assert who.caller.limits.requests_per_minute == 60


async def test_a_token_counts_at_its_resource_only(world: World) -> None:
    """RFC 8707: shown elsewhere, or where nobody says where, it opens nothing."""
    client, key = (await world.register())["client_id"], await world.key()
    token = (await world.redeem(client, await world.code(client, key))).json["access_token"]
    assert await reason_of(world, token) == "ACCEPTED"
    assert await reason_of(world, token, RESOURCE + "/") == "ACCEPTED"
    for resource in (OTHER_RESOURCE, "", RESOURCE + "x", "https://mail.example"):
        assert await reason_of(world, token, resource) == "TOKEN_AUDIENCE_REFUSED"


async def test_a_code_that_comes_twice_ends_what_it_gave(world: World) -> None:
    """RFC 6749 §4.1.2; access and refresh token die with the grant."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    first = (await world.redeem(client, code)).json
    again = await world.redeem(client, code)
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    assert await reason_of(world, first["access_token"]) == "TOKEN_REVOKED"
    assert (await world.refresh(client, first["refresh_token"])).json["error"] == "invalid_grant"
    subjects = await world.own("SELECT subject FROM revocations WHERE team_id = %s", key.team_id)
    assert [subject.partition(":")[0] for (subject,) in subjects] == ["grant"]


async def test_of_two_redemptions_at_once_one_wins_and_loses_it_again(world: World) -> None:
    """A race for a code is a replay: exactly one answer holds tokens, and they are void."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    answers = await asyncio.gather(*(world.redeem(client, code) for _ in range(6)))
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert {answer.json["error"] for answer in answers if answer.status != 200} == {"invalid_grant"}
    assert await reason_of(world, won[0].json["access_token"]) == "TOKEN_REVOKED"


async def test_refresh_tokens_rotate(world: World) -> None:
    """Each counts once; what came before is of no more use than a forged one."""
    client, key = (await world.register())["client_id"], await world.key()
    first = (await world.redeem(client, await world.code(client, key))).json
    second = (await world.refresh(client, first["refresh_token"], scope="mail:scan")).json
    assert second["scope"] == "mail:scan"
    third = (await world.refresh(client, second["refresh_token"])).json
    assert third["scope"] == "mail:scan unsubscribe:read"
    assert await reason_of(world, third["access_token"]) == "ACCEPTED"
    reused = await world.refresh(client, first["refresh_token"])
    assert reused.json["error"] == "invalid_grant"
    assert await reason_of(world, third["access_token"]) == "TOKEN_REVOKED"
    assert (await world.refresh(client, third["refresh_token"])).json["error"] == "invalid_grant"


async def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(world: World) -> None:
    """Whoever stole the token and whoever owned it are both out."""
    client, key = (await world.register())["client_id"], await world.key()
    first = (await world.redeem(client, await world.code(client, key))).json
    answers = await asyncio.gather(*(world.refresh(client, first["refresh_token"]) for _ in range(6)))
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert (await world.refresh(client, won[0].json["refresh_token"])).json["error"] == "invalid_grant"
    assert await reason_of(world, first["access_token"]) == "TOKEN_REVOKED"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": challenge_of("v" * 43)}, "invalid_grant"),
        ({"redirect_uri": REDIRECT + "/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"resource": OTHER_RESOURCE}, "invalid_grant"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"client_id": "mc_" + "A" * 22}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"code": "mac_" + "A" * 43}, "invalid_grant"),
        ({"code": "x" * 2049}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
async def test_a_code_is_bound(world: World, changes: dict[str, str], error: str) -> None:
    """To client, redirect URI, resource and challenge; a failed try costs the rightful client nothing."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    shown = {"client_id": client, "code": code, **changes}
    refused = await world.redeem(shown.pop("client_id"), shown.pop("code"), **shown)
    assert refused.json["error"] == error
    assert refused.status == (401 if error == "invalid_client" else 400)
    assert (await world.redeem(client, code)).status == 200


async def test_a_code_of_another_client_is_none(world: World) -> None:
    """Mix-up: neither code nor refresh token serves another client."""
    client, other = (await world.register())["client_id"], (await world.register())["client_id"]
    key = await world.key()
    code = await world.code(client, key)
    assert (await world.redeem(other, code)).json["error"] == "invalid_grant"
    got = (await world.redeem(client, code)).json
    assert (await world.refresh(other, got["refresh_token"])).json["error"] == "invalid_grant"
    assert (await world.refresh(client, got["refresh_token"])).status == 200


async def test_a_code_lives_a_minute(world: World) -> None:
    """After that it is none."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    statement = "UPDATE oauth_codes SET expires_at = now() - interval '1 second' WHERE team_id = %s"
    await world.own(statement, key.team_id)
    assert (await world.redeem(client, code)).json["error"] == "invalid_grant"


async def test_when_the_key_of_the_person_is_revoked_all_they_gave_ends(world: World) -> None:
    """A grant hangs on what the person proved themselves with."""
    client, key = (await world.register())["client_id"], await world.key()
    got = (await world.redeem(client, await world.code(client, key))).json
    await world.revoke_key(key)
    assert await reason_of(world, got["access_token"]) == "TOKEN_REVOKED"
    assert (await world.refresh(client, got["refresh_token"])).json["error"] == "invalid_grant"


async def test_when_a_team_is_switched_off_its_tokens_are(world: World) -> None:
    """And the reason is told."""
    client, key = (await world.register())["client_id"], await world.key()
    got = (await world.redeem(client, await world.code(client, key))).json
    await world.own("UPDATE teams SET disabled_at = now() WHERE id = %s", key.team_id)
    assert await reason_of(world, got["access_token"]) in {"TEAM_DISABLED", "TOKEN_REVOKED"}


async def test_confidential_clients_prove_themselves(world: World) -> None:
    """A client that registered with a secret gets nothing without it."""
    made = await world.register(token_endpoint_auth_method="client_secret_post")
    key = await world.key()
    code = await world.code(made["client_id"], key)
    for secret in ("", "mcs_" + "A" * 43, key.secret):
        assert (await world.redeem(made["client_id"], code, client_secret=secret)).status == 401
    got = await world.redeem(made["client_id"], code, client_secret=made["client_secret"])
    assert got.status == 200


async def test_nothing_secret_is_in_the_database(world: World) -> None:
    """A stolen dump redeems nothing."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    got = (await world.redeem(client, code)).json
    for table in ("oauth_codes", "oauth_refresh_tokens", "oauth_grants", "audit_events", "revocations"):
        rows = str(await world.own(f"SELECT t::text FROM {table} t WHERE team_id = %s", key.team_id))
        for secret in (code, got["refresh_token"], got["access_token"], key.secret):
            assert secret[4:] not in rows


async def test_the_team_can_read_what_happened(world: World) -> None:
    """Sign-in, consent, token and replay are in the audit chain, in this order."""
    client, key = (await world.register())["client_id"], await world.key()
    code = await world.code(client, key)
    await world.redeem(client, code)
    await world.redeem(client, code)
    rows = await world.own(
        "SELECT action, outcome FROM audit_events WHERE team_id = %s ORDER BY sequence", key.team_id
    )
    assert rows == [
        ("oauth.sign_in", "ok"),
        ("oauth.consent", "ok"),
        ("oauth.token", "ok"),
        ("oauth.replay", "denied"),
    ]
