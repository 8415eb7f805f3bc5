"""Sign-ins: what a person sees of what they allowed, takes back, and what ends when they sign out."""

import re
from html import unescape

import pytest
from aiohttp import encode_basic_auth

from tests.integration.auth.oauth.test_code_flow import reason_of
from tests.integration.auth.oauth.world import Answer, Key, World


def ticket_for(page: Answer, path: str) -> str:
    """The ticket in the form that goes to a path."""
    found = re.search(rf'action="{path}"[^>]*><input type=hidden name=ticket value="([^"]*)"', page.text)
    assert found, page.text
    return unescape(found[1])


async def sign_in_to_account(world: World, key: Key) -> Answer:
    """From nothing to the page of what was allowed."""
    world.cookies.clear()
    page = await world.browse("GET", "/oauth/account")
    answer = await world.browse(
        "POST", "/oauth/sign-in", data={"ticket": page.field("ticket"), "key": key.secret}
    )
    assert (answer.status, answer.location) == (303, "/oauth/account")
    return await world.browse("GET", "/oauth/account")


@pytest.mark.promise("revocation.grants")
async def test_the_consent_page_says_where_to_take_it_back_and_it_is_so(world: World) -> None:
    """The promise on the page is kept by the link beside it."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    assert '<a href="/oauth/account"' in page.text
    code = (await world.consent(page, "mail:scan")).sent["code"]
    tokens = (await world.redeem(client, code)).json
    account = await sign_in_to_account(world, key)
    assert "Test agent" in account.text
    assert "Look through your mail" in account.text
    grant = re.findall(r'name=grant value="([^"]*)"', account.text)
    assert len(grant) == 1
    form = {"ticket": ticket_for(account, "/oauth/account"), "grant": grant[0]}
    answer = await world.browse("POST", "/oauth/account", data=form)
    assert (answer.status, answer.location) == (303, "/oauth/account")
    assert "Nothing that still counts" in (await world.browse("GET", "/oauth/account")).text
    assert await reason_of(world, tokens["access_token"]) == "TOKEN_REVOKED"
    assert (await world.refresh(client, tokens["refresh_token"])).json["error"] == "invalid_grant"


async def test_nobody_sees_or_takes_back_what_others_allowed(world: World) -> None:
    """Another admin of the same team has a page of their own; the team's is `mailwarden grants`."""
    client, key = (await world.register())["client_id"], await world.key()
    tokens = (await world.redeem(client, await world.code(client, key))).json
    ((grant_id,),) = await world.own("SELECT id::text FROM oauth_grants WHERE team_id = %s", key.team_id)
    for other in (await world.key(key.team_id), await world.key()):
        account = await sign_in_to_account(world, other)
        assert "Nothing that still counts" in account.text
        form = {"ticket": ticket_for(account, "/oauth/sign-out"), "grant": grant_id}
        assert (await world.browse("POST", "/oauth/account", data=form)).status == 403
        await sign_in_to_account(world, other)
    assert await reason_of(world, tokens["access_token"]) == "ACCEPTED"


async def test_a_foreign_grant_in_a_good_form_changes_nothing(world: World) -> None:
    """The form is the person's own, the grant is not."""
    client, key, other = (await world.register())["client_id"], await world.key(), await world.key()
    theirs = (await world.redeem(client, await world.code(client, key))).json
    ((grant_id,),) = await world.own("SELECT id::text FROM oauth_grants WHERE team_id = %s", key.team_id)
    await world.redeem(client, await world.code(client, other))
    account = await world.browse("GET", "/oauth/account")
    form = {"ticket": ticket_for(account, "/oauth/account"), "grant": grant_id}
    assert (await world.browse("POST", "/oauth/account", data=form)).status == 303
    assert await reason_of(world, theirs["access_token"]) == "ACCEPTED"
    for rubbish in ("", "x", "../x", "'"):
        answer = await world.browse("POST", "/oauth/account", data={**form, "grant": rubbish})
        assert answer.status in {303, 400}


@pytest.mark.promise("revocation.grants")
async def test_signing_out_ends_what_was_allowed_in_that_sign_in_and_nothing_else(world: World) -> None:
    """What the same person allowed in an earlier sign-in stays."""
    client, key = (await world.register())["client_id"], await world.key()
    earlier = (await world.redeem(client, await world.code(client, key))).json
    later = (await world.redeem(client, await world.code(client, key))).json
    account = await world.browse("GET", "/oauth/account")
    out = await world.browse(
        "POST", "/oauth/sign-out", data={"ticket": ticket_for(account, "/oauth/sign-out")}
    )
    assert "ended as well: 1" in out.text
    assert await reason_of(world, later["access_token"]) == "TOKEN_REVOKED"
    assert (await world.refresh(client, later["refresh_token"])).json["error"] == "invalid_grant"
    assert await reason_of(world, earlier["access_token"]) == "ACCEPTED"
    subjects = await world.own("SELECT subject FROM revocations WHERE team_id = %s", key.team_id)
    assert [subject.partition(":")[0] for (subject,) in subjects] == ["session"]


async def test_a_cookie_that_was_kept_does_not_sign_in_after_signing_out(world: World) -> None:
    """The cookie is sealed and still fresh; the sign-in behind it is gone."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    kept = dict(world.cookies)
    await world.browse("POST", "/oauth/sign-out", data={"ticket": ticket_for(page, "/oauth/sign-out")})
    world.cookies = dict(kept)
    assert "name=key" in (await world.browse("GET", world.asking(client))).text
    assert "name=key" in (await world.browse("GET", "/oauth/account")).text
    world.cookies = dict(kept)
    answer = await world.consent(page, "mail:scan")
    assert answer.sent["error"] == "access_denied"
    assert await world.own("SELECT 1 FROM oauth_grants WHERE team_id = %s", key.team_id) == []


async def test_a_sign_in_lasts_an_hour(world: World) -> None:
    """However often the page is opened."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    await world.own("UPDATE oauth_sessions SET expires_at = now() WHERE team_id = %s", key.team_id)
    assert "name=key" in (await world.browse("GET", world.asking(client))).text
    assert "name=ticket" in page.text


async def test_forms_of_the_account_are_not_taken_from_other_sites(world: World) -> None:
    """Origin, a foreign ticket, no cookie: signing somebody out is an attack as well."""
    key = await world.key()
    account = await sign_in_to_account(world, key)
    form = {"ticket": ticket_for(account, "/oauth/sign-out")}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/oauth/sign-out", "/oauth/account"):
            assert (await world.browse("POST", path, data=form, headers=headers)).status == 403
    assert (await world.call("POST", "/oauth/sign-out", data=form)).status == 403
    assert "Sign out" in (await world.browse("GET", "/oauth/account")).text


async def test_a_sign_in_cannot_be_fixed_by_somebody_else(world: World) -> None:
    """What a browser is known by changes when somebody signs in (session fixation)."""
    client, key = (await world.register())["client_id"], await world.key()
    world.cookies.clear()
    page = await world.browse("GET", world.asking(client))
    planted = dict(world.cookies)
    await world.browse("POST", "/oauth/sign-in", data={"ticket": page.field("ticket"), "key": key.secret})
    assert world.cookies != planted
    world.cookies = planted
    assert "name=key" in (await world.browse("GET", world.asking(client))).text


async def test_pages_of_the_account_run_nothing_and_are_kept_nowhere(world: World) -> None:
    """Names of clients are text here as well."""
    client = (await world.register(client_name="<img src=x onerror=alert(1)>"))["client_id"]
    key = await world.key()
    await world.redeem(client, await world.code(client, key))
    account = await world.browse("GET", "/oauth/account")
    assert "<img" not in account.text
    assert "&lt;img" in account.text
    assert account.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in account.headers["Content-Security-Policy"]
    cookie = account.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/"))


async def test_a_replaced_refresh_token_still_lets_its_client_end_the_grant(world: World) -> None:
    """A client that never got the successor must be able to sign off (RFC 7009)."""
    client, key = (await world.register())["client_id"], await world.key()
    first = (await world.redeem(client, await world.code(client, key))).json
    second = (await world.refresh(client, first["refresh_token"])).json
    form = {"client_id": client, "token": first["refresh_token"]}
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    assert await reason_of(world, second["access_token"]) == "TOKEN_REVOKED"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_client_authenticates_the_way_it_registered_for(world: World, method: str) -> None:
    """Nothing weaker, nothing else (RFC 7591 §2)."""
    made = await world.register(token_endpoint_auth_method=method)
    name, secret = made["client_id"], made["client_secret"]
    form = {"grant_type": "refresh_token", "refresh_token": "mrt_" + "A" * 43}
    by_post = await world.token(**form, client_id=name, client_secret=secret)
    by_basic = await world.call(
        "POST", "/oauth/token", data=form, headers={"Authorization": encode_basic_auth(name, secret)}
    )
    told = {
        "client_secret_post": by_post.json["error"],
        "client_secret_basic": by_basic.json["error"],
    }
    assert told.pop(method) == "invalid_grant"
    assert set(told.values()) == {"invalid_client"}
