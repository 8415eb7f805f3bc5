"""One token is revoked by its text or id, or all of a principal, in the team that it acts for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.auth.domain.revocation import in_team
from services.auth.domain.team import DEFAULT_TEAM_ID, Team
from services.auth.oauth.domain.tokens import AccessToken
from services.auth.operations.revoke_token import Named, RevokedToken, RevokeToken
from services.common.errors import AppError
from services.common.identity import Caller, Restrictions
from tests.fakes.oauth_store import Ledger, MemoryGrants, MemorySessions
from tests.fakes.tokens import ISSUER, NOW, claims, hs256
from tests.unit.auth.operations.world import ENVIRONMENT_KEY, World

OTHER_TEAM = "0b6f3c1e-0000-4000-8000-000000000002"
TOKEN = hs256(claims())
OWN_ID = "5" * 32
OWN = AccessToken(
    issuer="https://auth.example",
    resource="https://mail.example",
    principal="key:1",
    client_id="1",
    scopes=frozenset(),
    issued_at=NOW,
    expires_at=NOW + 3_600,
    id=OWN_ID,
    team_id=OTHER_TEAM,
    roots=(f"team:{OTHER_TEAM}", f"token:{OWN_ID}"),
)


class Revoking:
    """An installation whose JWTs act for the default team."""

    def __init__(self) -> None:
        self.world = World()
        self.world.teams.teams[OTHER_TEAM] = Team(OTHER_TEAM, "Other")
        self.ledger = Ledger()
        self.grants = MemoryGrants(self.ledger, MemorySessions(self.ledger))
        self._revoke = RevokeToken(
            self.world.teams,
            self.world.rights,
            self.grants,
            {"mat_own": OWN}.get,
            frozenset({DEFAULT_TEAM_ID}),
            self.world.clock,
        )

    async def __call__(self, by: Any, text: str, **more: Any) -> RevokedToken:
        team_id, days, caller = more.get("team_id"), more.get("days", 0), more.get("caller")
        return await self._revoke(team_id, Named(by, text, days), caller)

    async def refusal(self, by: Any, text: str, **more: Any) -> str:
        try:
            await self(by, text, **more)
        except AppError as error:
            return error.reason
        return "OK"


def caller(**restrictions: Any) -> Caller:
    narrowed = Restrictions(**restrictions)
    return Caller(DEFAULT_TEAM_ID, "", "key:1", "1", "api_key", frozenset({"team:admin"}), narrowed)


async def test_a_token_is_refused_by_its_text_and_no_other_of_the_same_person() -> None:
    """The reason says that it was revoked; its holder has to get another."""
    revoke = Revoking()
    assert await revoke.world.refusal(bearer=TOKEN) == "ACCEPTED"
    done = await revoke("token", TOKEN)
    assert await revoke.world.refusal(bearer=TOKEN) == "TOKEN_REVOKED"
    assert await revoke.world.refusal(bearer=hs256(claims(jti="another"))) == "ACCEPTED"
    assert revoke.world.rights.told == [in_team(DEFAULT_TEAM_ID, done.resource)]
    assert done.until == datetime.fromtimestamp(NOW + 300, UTC) + timedelta(days=1)


async def test_the_audit_log_names_a_token_by_what_revokes_it() -> None:
    """So that whoever has read of it there needs no text."""
    from services.common.audit import credential_of_caller

    revoke = Revoking()
    named = credential_of_caller((await revoke.world.issue(bearer=TOKEN)).statement.caller)
    await revoke("token_id", named)
    assert await revoke.world.refusal(bearer=TOKEN) == "TOKEN_REVOKED"
    [event] = revoke.world.rights.events
    assert (event.action, event.resource, event.team_id) == ("token.revoked", named, DEFAULT_TEAM_ID)


async def test_every_passport_of_a_token_hangs_on_it_and_on_whom_it_names() -> None:
    """What is told on the stream of revocations ends what edges keep."""
    revoke = Revoking()
    roots = (await revoke.world.issue(bearer=TOKEN)).statement.caller.roots
    await revoke("token", TOKEN)
    await revoke("principal", f"{ISSUER}#alice")
    assert set(revoke.world.rights.told) < roots


async def test_a_principal_loses_what_it_has_and_may_sign_in_again() -> None:
    """The leeway later, so that a clock that is ahead opens nothing."""
    revoke = Revoking()
    await revoke("principal", f"{ISSUER}#alice", days=30)
    revoke.world.clock.move(seconds=60)
    assert await revoke.world.refusal(bearer=TOKEN) == "TOKEN_REVOKED"
    assert await revoke.world.refusal(bearer=hs256(claims(NOW + 60))) == "ACCEPTED"
    assert await revoke.world.refusal(bearer=hs256(claims(sub="bob"))) == "ACCEPTED"


async def test_a_token_of_our_own_ends_in_the_team_that_it_acts_for() -> None:
    """Whoever asks for another team is told nothing of it."""
    revoke = Revoking()
    assert await revoke.refusal("token", "mat_own", team_id=DEFAULT_TEAM_ID) == "TOKEN_NOT_FOUND"
    done = await revoke("token", "mat_own")
    assert revoke.grants.ended_tokens == {(OTHER_TEAM, OWN_ID)}
    assert done.until == datetime.fromtimestamp(NOW + 3_600, UTC)


@pytest.mark.parametrize(
    ("by", "text", "more", "reason"),
    [
        ("token", "", {}, "TOKEN_UNNAMED"),
        ("token", "x" * 8_193, {}, "TOKEN_UNNAMED"),
        ("token", "mat_forged", {}, "TOKEN_NOT_FOUND"),
        ("token", "mrt_" + "A" * 43, {}, "TOKEN_NOT_FOUND"),
        ("token", "ma_" + "A" * 43, {}, "TOKEN_NOT_FOUND"),
        ("token", TOKEN, {"team_id": OTHER_TEAM}, "TOKEN_NOT_FOUND"),
        ("token", TOKEN, {"team_id": "0b6f3c1e-0000-4000-8000-00000000000f"}, "TEAM_NOT_FOUND"),
        ("token", TOKEN, {"caller": caller(label_prefix="a")}, "TOKEN_NOT_FOUND"),
        ("token_id", "0" * 63, {}, "TOKEN_ID_INVALID"),
        ("token_id", OWN_ID, {}, "TEAM_ID_INVALID"),
        ("token_id", OWN_ID, {"team_id": OTHER_TEAM}, "OK"),
        ("token_id", "0" * 64, {"days": 3_661}, "KEEP_DAYS_OUT_OF_RANGE"),
        ("token_id", "0" * 64, {"days": -1}, "KEEP_DAYS_OUT_OF_RANGE"),
        ("principal", "key:1", {}, "PRINCIPAL_INVALID"),
        ("principal", "issuer#\0", {}, "PRINCIPAL_INVALID"),
    ],
)
async def test_what_cannot_be_revoked_is_refused_with_a_reason(
    by: str, text: str, more: dict[str, Any], reason: str
) -> None:
    """And nothing is remembered of it."""
    revoke = Revoking()
    assert await revoke.refusal(by, text, **more) == reason
    assert revoke.world.rights.revoked == {}
    assert ENVIRONMENT_KEY not in repr(Named("token", ENVIRONMENT_KEY))
