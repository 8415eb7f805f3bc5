"""Codes, refresh tokens and access tokens: what gives what, for how long, and what ends it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.domain.errors import OAuthError
from services.auth.oauth.domain.grants import CODE_LIFE, GRANT_LIFE, REFRESH_LIFE, SESSION_LIFE
from services.auth.oauth.operations.find_client import Credentials
from services.common.errors import unavailable
from services.common.identity import Restrictions
from tests.unit.auth.oauth.world import RESOURCE, OAuthWorld, refused


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "https://client.example/cb/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"resource": "https://mail.example/a2a"}, "invalid_grant"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"client_id": "mc_" + "B" * 22}, "invalid_client"),
        ({"code": "mac_" + "A" * 43}, "invalid_grant"),
        ({"code": "mrt_" + "A" * 43}, "invalid_grant"),
        ({"code": "x"}, "invalid_grant"),
    ],
)
async def test_a_code_is_bound_to_everything_that_was_asked(changes: dict[str, str], error: str) -> None:
    """A wrong try tells nothing, gives nothing and uses nothing up."""
    world = OAuthWorld()
    code = await world.code(await world.person())
    assert await refused(world.redeem(**{"code": code, **changes})) == error
    assert (await world.redeem(code)).scopes == {"mail:scan", "unsubscribe:read"}


async def test_lives_are_as_they_are_written() -> None:
    """A code lives a minute, a refresh token 30 days, a grant 180, each to the second."""
    world = OAuthWorld()
    person = await world.person()
    late, just = await world.code(person), await world.code(person)
    world.clock.move(seconds=CODE_LIFE.total_seconds() - 1)
    tokens = await world.redeem(just)
    world.clock.move(seconds=1)
    assert await refused(world.redeem(late)) == "invalid_grant"
    world.clock.move(seconds=REFRESH_LIFE.total_seconds() - 1)
    assert await refused(world.refresh(tokens.refresh_token)) == "invalid_grant"
    again = await world.redeem(await world.code(await world.person()))
    ended = world.clock() + GRANT_LIFE
    while world.clock() + timedelta(days=29) < ended:
        world.clock.move(days=29)
        again = await world.refresh(again.refresh_token)
    world.clock.move(days=29)
    assert await refused(world.refresh(again.refresh_token)) == "invalid_grant"


async def test_an_access_token_does_not_outlive_its_grant() -> None:
    """Its end is the grant's when that is sooner."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    grant = world.only_grant()
    world.grants.grants[grant.id] = replace(grant, expires_at=world.clock() + timedelta(seconds=100))
    assert (await world.refresh(tokens.refresh_token)).life_s == 100


@pytest.mark.promise("revocation.replay")
async def test_of_many_who_show_one_code_at_once_one_wins_and_keeps_nothing() -> None:
    """The fake gives others a turn where a database would."""
    world = OAuthWorld()
    code = await world.code(await world.person())
    results = await asyncio.gather(*(world.redeem(code) for _ in range(20)), return_exceptions=True)
    (won,) = [result for result in results if not isinstance(result, BaseException)]
    assert {error.code for error in results if isinstance(error, OAuthError)} == {"invalid_grant"}
    assert await world.state_of(won.access_token) == "TOKEN_REVOKED"
    assert await refused(world.refresh(won.refresh_token)) == "invalid_grant"
    assert [event.action for event in world.ledger.recorded] == [
        "oauth.sign_in",
        "oauth.consent",
        "oauth.token",
        "oauth.replay",
    ]


async def test_a_token_is_refused_when_what_it_rests_on_is_gone() -> None:
    """The key that signed in; and nothing is used up by asking."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    holder = world.keys.holders.pop("ma_admin")
    assert await world.state_of(tokens.access_token) == "TOKEN_REVOKED"
    assert await refused(world.refresh(tokens.refresh_token)) == "invalid_grant"
    world.keys.holders["ma_admin"] = holder
    assert (await world.refresh(tokens.refresh_token)).refresh_token


async def test_a_team_that_is_off_gets_no_tokens() -> None:
    """Neither new ones nor use of those it has; when it is on again, it goes on."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    team = world.teams.teams[DEFAULT_TEAM_ID]
    world.teams.teams[DEFAULT_TEAM_ID] = replace(team, disabled_at=world.clock())
    assert await world.state_of(tokens.access_token) == "TEAM_DISABLED"
    assert await refused(world.refresh(tokens.refresh_token)) == "invalid_grant"
    world.teams.teams[DEFAULT_TEAM_ID] = team
    assert await world.state_of(tokens.access_token) == "ACCEPTED"


async def test_who_was_taken_off_the_list_of_people_loses_what_they_allowed() -> None:
    """A person of an identity provider has no key that could be revoked."""
    world = OAuthWorld()
    signed_in = replace(await world.person(), key_id="", principal="oidc:x", shown_as="a@b.example")
    tokens = await world.redeem(await world.code(await world.begin(signed_in, "oidc")))
    assert await world.state_of(tokens.access_token) == "ACCEPTED"
    world.welcome = False
    assert await world.state_of(tokens.access_token) == "TOKEN_REVOKED"
    assert await refused(world.refresh(tokens.refresh_token)) == "invalid_grant"


@pytest.mark.parametrize(
    "text",
    ["299", "86401", "0", "-300", "3600.0", "3e3", " 300", "٣٦٠٠", "0003600", "0000036009999999", "9" * 99],
)
async def test_a_life_outside_of_its_bounds_is_refused(text: str) -> None:
    """300 to 86,400 seconds, written plainly."""
    world = OAuthWorld()
    world.key()
    shown = Credentials("ma_admin", "ma_admin", "client_secret_post")
    assert await refused(world.token("client_credentials", shown, expires_in=text)) == "invalid_request"


@given(st.integers(min_value=300, max_value=86_400))
def test_every_life_within_its_bounds_is_given(seconds: int) -> None:
    """Exactly what was asked."""

    async def life() -> int:
        world = OAuthWorld()
        world.key()
        shown = Credentials("ma_admin", "ma_admin", "client_secret_basic")
        return (await world.token("client_credentials", shown, expires_in=str(seconds))).life_s

    assert asyncio.run(life()) == seconds


async def test_a_token_of_a_temporary_key_ends_with_the_key() -> None:
    """And keeps what narrows the key."""
    world = OAuthWorld()
    narrow = Restrictions(read_only=True, label_prefix="ci-")
    world.key(expires_at=world.clock() + timedelta(minutes=5), restrictions=narrow)
    shown = Credentials("ma_admin", "ma_admin", "client_secret_basic")
    tokens = await world.token("client_credentials", shown)
    assert tokens.life_s == 300
    assert not tokens.refresh_token
    who = await world.check(tokens.access_token, RESOURCE)
    assert who.caller.restrictions == narrow
    assert "team:admin" not in who.caller.scopes


@pytest.mark.parametrize(
    ("changes", "is_let_in"),
    [
        ({}, True),
        ({"scopes": frozenset({"mail:scan", "team:read"})}, False),
        ({"restrictions": Restrictions(read_only=True)}, False),
        ({"restrictions": Restrictions(label_prefix="ci-")}, False),
        ({"restrictions": Restrictions(mailbox_ids=frozenset({"x"}))}, False),
    ],
)
async def test_only_a_whole_admin_key_speaks_for_the_team(changes: dict[str, Any], is_let_in: bool) -> None:
    """Each refusal is told; no person is begun."""
    world = OAuthWorld()
    world.key(**changes)
    assert (await refused(world.sign_in("ma_admin")) == "") is is_let_in
    assert len(world.sessions.sessions) == is_let_in
    assert [event.action for event in world.ledger.told] == ([] if is_let_in else ["oauth.sign_in"])


async def test_a_sign_in_counts_for_an_hour_and_not_after_it_was_ended() -> None:
    """What the browser remembers does not decide."""
    world = OAuthWorld()
    person = await world.person()
    world.clock.move(seconds=SESSION_LIFE.total_seconds() - 1)
    assert await world.stands(person)
    world.clock.move(seconds=1)
    assert not await world.stands(person)
    other = await world.person()
    await world.end(other)
    assert not await world.stands(other)
    assert await refused(world.code(other)) == "access_denied"
    assert not await world.stands(replace(other, session_id=""))


async def test_a_key_that_lost_its_right_since_signing_in_allows_nothing() -> None:
    """Looked at again when the person says yes."""
    world = OAuthWorld()
    person = await world.person()
    world.key(scopes=frozenset({"mail:scan"}))
    assert await refused(world.code(person)) == "access_denied"
    world.keys.holders.clear()
    assert await refused(world.code(person)) == "access_denied"


async def test_using_a_grant_is_noted_once_a_minute() -> None:
    """So that a team sees what is still in use; a note that fails turns nobody away."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    await world.state_of(tokens.access_token)
    first = world.only_grant().last_used_at
    assert first == world.clock()
    world.clock.move(seconds=59)
    await world.state_of(tokens.access_token)
    assert world.only_grant().last_used_at == first
    world.clock.move(seconds=1)
    await world.state_of(tokens.access_token)
    assert world.only_grant().last_used_at == world.clock()

    world.clock.move(minutes=5)
    world.ledger.failure = unavailable("DATABASE_DOWN", "The database does not answer.")
    assert await world.state_of(tokens.access_token) == "ACCEPTED"


async def test_introspection_tells_the_same_team_and_nobody_else() -> None:
    """RFC 7662 §4; a token of another kind, a dead one and rubbish are all just not active."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    world.key("ma_same")
    world.key("ma_other", team_id="0a0a0a0a-0000-4000-8000-000000000000")
    same = Credentials("ma_same", "ma_same", "client_secret_post")
    said = await world.introspect(tokens.access_token, same)
    assert (said["active"], said["aud"], said["scope"]) == (True, RESOURCE, "mail:scan unsubscribe:read")
    assert (await world.introspect(tokens.refresh_token, same))["active"]
    other = Credentials("ma_other", "ma_other", "client_secret_post")
    for token in (tokens.access_token, tokens.refresh_token):
        assert await world.introspect(token, other) == {"active": False}
    for rubbish in ("", "x", "mat_", "mat_x.y.z", "mrt_" + "A" * 43, "ma_same", tokens.access_token[4:]):
        assert await world.introspect(rubbish, same) == {"active": False}
    for shown in (
        Credentials("ma_same"),
        Credentials("ma_same", "ma_other", "client_secret_post"),
        Credentials("ma_other", "ma_same", "client_secret_post"),
        Credentials(world.client.id, "x", "client_secret_post"),
    ):
        assert await refused(world.introspect(tokens.access_token, shown)) == "invalid_client"


async def test_a_client_revokes_its_own_tokens_only() -> None:
    """RFC 7009 §2.1: another client's is passed over in silence."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    stranger = replace(world.client, id="mc_" + "B" * 22)
    world.clients.clients[stranger.id] = stranger
    for token in (tokens.access_token, tokens.refresh_token):
        await world.revoke(token, Credentials(stranger.id))
    assert await world.state_of(tokens.access_token) == "ACCEPTED"
    await world.revoke(tokens.refresh_token, Credentials(world.client.id))
    assert await world.state_of(tokens.access_token) == "TOKEN_REVOKED"
    assert world.grants.revoked == [world.only_grant().root]


@pytest.mark.promise("revocation.grants")
async def test_a_person_takes_back_what_is_theirs() -> None:
    """Once; another's, an ended one and rubbish change nothing."""
    world = OAuthWorld()
    person, tokens = await world.granted()
    grant = world.only_grant()
    stranger = replace(person, principal="key:other")
    assert not await world.own.standing(stranger)
    assert not await world.own.take_back(stranger, grant.id)
    assert not await world.own.take_back(person, "rubbish")
    assert await world.own.standing(person) == [world.only_grant()]
    assert await world.own.take_back(person, grant.id)
    assert not await world.own.standing(person)
    assert not await world.own.take_back(person, grant.id)
    assert await world.state_of(tokens.access_token) == "TOKEN_REVOKED"


@given(st.text(max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    """Whatever it begins with."""
    world = OAuthWorld()
    for shown in (text, "mat_" + text):
        assert world.check.read(shown) is None


async def test_a_token_that_says_something_unfit_is_none() -> None:
    """Signed by our key and yet of another shape, or of another issuer."""
    world = OAuthWorld()
    _, tokens = await world.granted()
    claims = world.token_keys.verify(tokens.access_token.removeprefix("mat_"))
    assert claims is not None
    for changes in (
        {"iss": "https://other.example"},
        {"team": "not-a-uuid"},
        {"exp": "soon"},
        {"roots": 7},
        {"scope": None},
        {"scope": 7},
    ):
        forged = "mat_" + world.token_keys.sign({**claims, **changes})
        assert await world.state_of(forged) == "CREDENTIAL_INVALID", changes
    for name in ("iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti", "team", "roots"):
        forged = "mat_" + world.token_keys.sign({key: claims[key] for key in claims if key != name})
        assert await world.state_of(forged) == "CREDENTIAL_INVALID", name
