"""Which credential becomes which passport, by mode, and how the rest is refused."""

import pytest

from services.auth.domain.modes import AuthMode, McpAuthMode
from services.auth.domain.plans import PLANS
from services.auth.domain.scopes import MAIL_SCOPES
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.common.errors import AppError, unavailable
from services.common.identity import Caller, Restrictions
from tests.fakes.tokens import ISSUER, NOW, b64, claims, hs256
from tests.unit.auth.operations.world import ENVIRONMENT_KEY, World

UNKNOWN_KEY = "ma_" + "A" * 43
TOKEN = hs256(claims())
PASSPORT = f"{b64({'typ': 'passport+jwt', 'alg': 'EdDSA', 'kid': 'k'})}.{b64(claims())}.{b64(b'x' * 64)}"


async def test_a_stored_key_becomes_a_passport_with_what_it_may_do() -> None:
    """Team, scopes and restrictions come from the key's row."""
    world = World()
    mailbox = "4b8f6c1e-0000-4000-8000-000000000001"
    narrowed = Restrictions(True, "ci-", frozenset({mailbox}))
    made = await world.create(scopes=("mail:scan",), restrictions=narrowed)
    passport = await world.issue(api_key=made.secret)
    caller = Caller(
        DEFAULT_TEAM_ID,
        "Default team",
        f"key:{made.key_id}",
        made.key_id,
        "api_key",
        frozenset({"mail:scan"}),
        narrowed,
        frozenset({f"team:{DEFAULT_TEAM_ID}", f"key:{made.key_id}"}),
        PLANS["enterprise"],
    )
    assert passport.statement.caller == caller
    claims_signed = world.passport_keys.signed[0]
    assert Caller.from_claims(claims_signed) == caller
    assert (claims_signed["iss"], claims_signed["aud"]) == ("mailwarden-auth", "mail_core")
    assert (claims_signed["iat"], claims_signed["exp"]) == (NOW, NOW + 60)


async def test_every_passport_has_an_id_of_its_own() -> None:
    """So that one of them can be named in a log."""
    world = World()
    for _ in range(2):
        await world.issue(api_key=ENVIRONMENT_KEY)
    assert len({signed["jti"] for signed in world.passport_keys.signed}) == 2


@pytest.mark.parametrize("header", ["api_key", "bearer"])
async def test_a_key_may_come_in_either_header(header: str) -> None:
    """As in the runbook."""
    world = World(AuthMode.API_KEY)
    passport = await world.issue(**{header: ENVIRONMENT_KEY})
    assert passport.statement.caller.scopes == MAIL_SCOPES
    assert passport.statement.caller.principal.startswith("key:env:")


async def test_hybrid_tries_the_key_before_the_token() -> None:
    """An environment key that looks like a token is still a key."""
    world = World(AuthMode.HYBRID)
    assert (await world.issue(bearer=ENVIRONMENT_KEY)).statement.caller.credential_kind == "api_key"
    assert world.issuer.asked == []
    assert (await world.issue(bearer=TOKEN)).statement.caller.credential_kind == "jwt"


async def test_a_token_acts_for_the_default_team_with_its_own_scopes() -> None:
    """Least privilege: a token holds what it names and no more."""
    caller = (await World(AuthMode.JWT).issue(bearer=TOKEN)).statement.caller
    assert (caller.principal, caller.key_id) == (f"{ISSUER}#alice", "secret:current")
    assert (caller.team_id, caller.scopes) == (DEFAULT_TEAM_ID, {"mail:scan"})


@pytest.mark.promise("revocation.bounded")
async def test_a_passport_never_outlives_its_credential() -> None:
    """The contract's promise, for both kinds."""
    world = World()
    made = await world.create(expires_at=world.clock.now.replace(second=33))
    assert world.clock.now.second < 33
    key_passport = await world.issue(api_key=made.secret)
    token_passport = await world.issue(bearer=hs256(claims(exp=NOW + 7.9)))
    assert key_passport.statement.expires_at == int(world.clock.now.replace(second=33).timestamp())
    assert token_passport.statement.expires_at == NOW + 7


@pytest.mark.promise("rights.modes")
@pytest.mark.parametrize(
    ("mode", "presented", "reason"),
    [
        (AuthMode.API_KEY, {"api_key": UNKNOWN_KEY}, "CREDENTIAL_INVALID"),
        (AuthMode.API_KEY, {"api_key": ENVIRONMENT_KEY + "x"}, "CREDENTIAL_INVALID"),
        (AuthMode.API_KEY, {"api_key": TOKEN}, "CREDENTIAL_INVALID"),
        (AuthMode.API_KEY, {"bearer": UNKNOWN_KEY}, "CREDENTIAL_INVALID"),
        (AuthMode.API_KEY, {"bearer": "gibberish"}, "CREDENTIAL_INVALID"),
        (AuthMode.API_KEY, {"bearer": TOKEN}, "CREDENTIAL_KIND_REFUSED"),
        (AuthMode.API_KEY, {"bearer": PASSPORT}, "TOKEN_TYPE_REFUSED"),
        (AuthMode.JWT, {"api_key": ENVIRONMENT_KEY}, "CREDENTIAL_KIND_REFUSED"),
        (AuthMode.JWT, {"api_key": TOKEN}, "CREDENTIAL_KIND_REFUSED"),
        (AuthMode.JWT, {"bearer": UNKNOWN_KEY}, "CREDENTIAL_KIND_REFUSED"),
        (AuthMode.JWT, {"bearer": ENVIRONMENT_KEY}, "CREDENTIAL_INVALID"),
        (AuthMode.JWT, {"bearer": PASSPORT}, "TOKEN_TYPE_REFUSED"),
        (AuthMode.HYBRID, {"bearer": UNKNOWN_KEY}, "CREDENTIAL_INVALID"),
        (AuthMode.HYBRID, {"bearer": PASSPORT}, "TOKEN_TYPE_REFUSED"),
        (AuthMode.HYBRID, {"api_key": TOKEN}, "CREDENTIAL_INVALID"),
        (AuthMode.HYBRID, {"bearer": hs256(claims(exp=NOW - 60))}, "TOKEN_EXPIRED"),
        (AuthMode.HYBRID, {"bearer": hs256(claims(nbf=NOW + 60))}, "TOKEN_NOT_YET_VALID"),
        (
            AuthMode.HYBRID,
            {"bearer": hs256(claims(), "another secret of good length, sir")},
            "CREDENTIAL_INVALID",
        ),
        (AuthMode.HYBRID, {"bearer": hs256(claims(), header={"alg": "HS512"})}, "CREDENTIAL_INVALID"),
        (AuthMode.HYBRID, {"bearer": ""}, "CREDENTIAL_MISSING"),
        (AuthMode.HYBRID, {"api_key": ""}, "CREDENTIAL_MISSING"),
        (AuthMode.HYBRID, {"bearer": "a" * 8_193}, "CREDENTIAL_INVALID"),
        (AuthMode.HYBRID, {"api_key": "é\0\n"}, "CREDENTIAL_INVALID"),
    ],
)
async def test_what_a_mode_does_not_take_is_refused(
    mode: AuthMode, presented: dict[str, str], reason: str
) -> None:
    """Every refusal has the reason that the contract names."""
    assert await World(mode).refusal(**presented) == reason


@pytest.mark.parametrize("audience", ["", "edge_rest", "mail_core ", "MAIL_CORE", "mail_core auth"])
async def test_an_unknown_backend_is_a_bad_request(audience: str) -> None:
    """Told before the credential is looked at."""
    assert await World().refusal(api_key=ENVIRONMENT_KEY, audience=audience) == "AUDIENCE_UNKNOWN"


async def test_mcp_may_have_a_mode_of_its_own() -> None:
    """Chosen by the calling process's certificate, not by anything in the request."""
    world = World(AuthMode.API_KEY, McpAuthMode.JWT)
    assert (await world.issue(bearer=TOKEN, peer="edge_mcp")).statement.caller.credential_kind == "jwt"
    assert await world.refusal(bearer=TOKEN, peer="edge_rest") == "CREDENTIAL_KIND_REFUSED"
    assert await world.refusal(api_key=ENVIRONMENT_KEY, peer="edge_mcp") == "CREDENTIAL_KIND_REFUSED"
    assert await world.refusal(api_key=ENVIRONMENT_KEY, peer="edge_a2a") == "ACCEPTED"


async def test_an_expired_key_is_told_so_and_only_to_its_holder() -> None:
    """Whoever cannot show the key learns nothing about it."""
    world = World()
    made = await world.create(expires_at=world.clock.now.replace(minute=59))
    world.clock.move(hours=1)
    assert await world.refusal(bearer=made.secret) == "KEY_EXPIRED"
    assert await world.refusal(bearer=made.secret[:-1] + "_") == "CREDENTIAL_INVALID"


async def test_text_without_the_form_of_a_key_costs_no_database_query() -> None:
    """The form is public, so this tells a guesser nothing."""
    world = World()
    await world.refusal(bearer="not-a-key")
    assert world.keys.lookups == 0
    await world.refusal(bearer=UNKNOWN_KEY)
    assert world.keys.lookups == 1


async def test_a_use_is_noted_at_most_once_a_minute() -> None:
    """Logins are reads; a write a minute is what they may cost."""
    world = World()
    made = await world.create()
    seen = []
    for _ in range(3):
        await world.issue(api_key=made.secret)
        seen.append(next(iter(world.keys.by_hash.values())).last_used_at)
        world.clock.move(seconds=31)
    assert seen[0] == seen[1]
    assert seen[2] is not None
    assert seen[2] > seen[1]


async def test_a_login_does_not_fail_because_its_use_cannot_be_noted() -> None:
    """A note is not worth turning somebody away."""
    world = World()
    made = await world.create()
    world.keys.failure = unavailable("DATABASE_DOWN", "down")
    assert (await world.issue(api_key=made.secret)).statement.caller.key_id == made.key_id


async def test_when_the_issuer_is_down_a_token_can_be_tried_again_and_keys_work() -> None:
    """A dead dependency is a typed, retryable error for whom it concerns."""
    world = World()
    world.issuer.failure = unavailable("ISSUER_DOWN", "down")
    assert await world.refusal(bearer=TOKEN) == "ISSUER_DOWN"
    assert await world.refusal(bearer=ENVIRONMENT_KEY) == "ACCEPTED"


async def test_without_a_team_nobody_gets_in() -> None:
    """Fails closed."""
    world = World()
    world.teams.teams.clear()
    with pytest.raises(AppError, match="TEAM_NOT_FOUND"):
        await world.issue(bearer=TOKEN)


async def test_no_repr_on_the_way_shows_a_secret() -> None:
    """What is logged by mistake must not be a credential."""
    world = World()
    made = await world.create()
    passport = await world.issue(api_key=made.secret)
    assert made.secret not in repr(made)
    assert passport.token not in repr(passport)
    assert ENVIRONMENT_KEY not in repr(world._issue)
