"""`MCP_AUTH_MODE=oauth`: access tokens alone at the MCP edge, our own and those of one other issuer."""

import hashlib
from typing import Any

import pytest

from services.auth.domain.api_key import EnvironmentKeys
from services.auth.domain.foreign_rights import principal_root
from services.auth.domain.introspected import IntrospectionRules
from services.auth.domain.modes import AuthMode, McpAuthMode, Modes
from services.auth.domain.passport import Authenticated
from services.auth.domain.refusals import issuer_down
from services.auth.domain.revocation import in_team
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.operations.check_foreign_token import CheckForeignToken
from services.auth.operations.issue_passport import IssuePassport, Presented
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.common.errors import AppError
from services.common.identity import Caller
from tests.fakes.tokens import NOW, SECRET, b64, claims, hs256
from tests.unit.auth.operations.world import ENVIRONMENT_KEY, LEEWAY_S, FixedIssuer, World

ISSUER = "https://idp.example"
RESOURCE = "https://mail.example/mcp"
FOREIGN = "opaque-token-of-the-issuer"
SIGNED = hs256(claims(), "a secret of the issuer that we do not know")
OURS = hs256(claims())
PASSPORT = f"{b64({'typ': 'passport+jwt', 'alg': 'EdDSA', 'kid': 'k'})}.{b64(claims())}.{b64(b'x' * 64)}"
ACTIVE = {"active": True, "aud": RESOURCE, "sub": "alice", "scope": "mail:scan", "exp": NOW + 20}


class Issuer:
    """Knows the tokens of a test; fails when it is told to."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {FOREIGN: ACTIVE, SIGNED: ACTIVE}
        self.failure: AppError | None = None
        self.asked: list[str] = []

    async def __call__(self, token: str) -> dict[str, Any]:
        self.asked.append(token)
        if self.failure:
            raise self.failure
        return self.known.get(token, {"active": False})


async def own(text: str, resource: str) -> Authenticated:
    """Our own authorization server's check, which is tested elsewhere."""
    del text, resource
    return Authenticated(Caller(DEFAULT_TEAM_ID, "", "key:1", "t", "access_token", frozenset()))


class OAuthWorld:
    """One installation in the mode."""

    def __init__(self, *, foreign: bool = True, has_own: bool = True) -> None:
        self.world = World()
        self.issuer = Issuer()
        check = CheckForeignToken(
            introspect=self.issuer,
            rules=IntrospectionRules(ISSUER, RESOURCE),
            team_id=DEFAULT_TEAM_ID,
            teams=self.world.teams,
            refuse_revoked=RefuseRevoked(self.world.rights, LEEWAY_S),
            environment=EnvironmentKeys((ENVIRONMENT_KEY,)),
            own_secrets=FixedIssuer(),
            clock=self.world.clock,
        )
        issue = self.world._issue
        self.issue = IssuePassport(
            Modes(AuthMode.HYBRID, McpAuthMode.OAUTH),
            issue.check_api_key,
            issue.check_token,
            issue.passport_keys,
            self.world.clock,
            check_access_token=own if has_own else None,
            check_foreign_token=check if foreign else None,
        )

    async def outcome(self, secret: str, kind: str = "bearer", peer: str = "edge_mcp") -> str:
        try:
            passport = await self.issue(Presented(kind, secret, RESOURCE), "mail_core", peer)  # type: ignore[arg-type]
        except AppError as error:
            return error.reason
        return passport.statement.caller.credential_kind


@pytest.mark.promise("rights.modes")
@pytest.mark.parametrize(
    ("kind", "secret", "reason"),
    [
        ("bearer", "mat_x", "access_token"),
        ("bearer", FOREIGN, "access_token"),
        ("bearer", SIGNED, "access_token"),
        ("bearer", "unknown", "CREDENTIAL_INVALID"),
        ("bearer", "ma_" + "A" * 43, "CREDENTIAL_KIND_REFUSED"),
        ("api_key", "ma_" + "A" * 43, "CREDENTIAL_KIND_REFUSED"),
        ("api_key", ENVIRONMENT_KEY, "CREDENTIAL_KIND_REFUSED"),
        ("api_key", FOREIGN, "CREDENTIAL_KIND_REFUSED"),
        ("api_key", "mat_x", "CREDENTIAL_KIND_REFUSED"),
        ("bearer", ENVIRONMENT_KEY, "CREDENTIAL_INVALID"),
        ("bearer", OURS, "CREDENTIAL_KIND_REFUSED"),
        ("bearer", PASSPORT, "TOKEN_TYPE_REFUSED"),
        ("bearer", "mrt_" + "A" * 43, "CREDENTIAL_INVALID"),
        ("bearer", "mac_" + "A" * 43, "CREDENTIAL_INVALID"),
        ("bearer", "mcs_" + "A" * 43, "CREDENTIAL_INVALID"),
    ],
)
async def test_the_mcp_edge_takes_access_tokens_alone(kind: str, secret: str, reason: str) -> None:
    """Every refusal has the reason that the contract names."""
    world = OAuthWorld()
    assert await world.outcome(secret, kind) == reason


@pytest.mark.parametrize(
    "secret", [ENVIRONMENT_KEY, OURS, PASSPORT, "ma_" + "A" * 43, "mrt_" + "A" * 43, "mat_x"]
)
async def test_no_credential_of_ours_is_shown_to_the_issuer(secret: str) -> None:
    """It would be one that works at our other edges."""
    world = OAuthWorld()
    await world.outcome(secret)
    assert world.issuer.asked == []


@pytest.mark.promise("rights.modes")
async def test_the_other_edges_keep_their_mode() -> None:
    """Chosen by the calling process's certificate; the issuer is MCP's alone."""
    world = OAuthWorld()
    for peer in ("edge_rest", "edge_a2a"):
        assert await world.outcome(ENVIRONMENT_KEY, peer=peer) == "api_key"
        assert await world.outcome(OURS, peer=peer) == "jwt"
        assert await world.outcome(FOREIGN, peer=peer) == "CREDENTIAL_INVALID"
    assert world.issuer.asked == []


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("mat_x", "access_token"),
        (FOREIGN, "CREDENTIAL_INVALID"),
        (OURS, "CREDENTIAL_KIND_REFUSED"),
        (SIGNED, "CREDENTIAL_KIND_REFUSED"),
        (PASSPORT, "TOKEN_TYPE_REFUSED"),
        ("ma_" + "A" * 43, "CREDENTIAL_KIND_REFUSED"),
    ],
)
async def test_without_another_issuer_only_our_own_tokens_count(secret: str, reason: str) -> None:
    """JWTs are told apart by form, as in the other modes."""
    assert await OAuthWorld(foreign=False).outcome(secret) == reason


async def test_who_the_issuer_names_is_known_by_issuer_and_subject() -> None:
    """With its own scopes, for the team of the operator's choice, and revocable by the token."""
    passport = await OAuthWorld().issue(Presented("bearer", FOREIGN), "mail_core", "edge_mcp")
    caller = passport.statement.caller
    digest = hashlib.sha256(FOREIGN.encode()).hexdigest()
    assert (caller.principal, caller.scopes) == (f"{ISSUER}#alice", {"mail:scan"})
    assert caller.team_id == DEFAULT_TEAM_ID
    own = {in_team(DEFAULT_TEAM_ID, root) for root in (f"token:{digest}", principal_root(f"{ISSUER}#alice"))}
    assert caller.roots == {f"team:{DEFAULT_TEAM_ID}", *own}
    assert FOREIGN not in repr(passport)


@pytest.mark.promise("revocation.bounded")
async def test_a_passport_ends_with_the_token() -> None:
    """At the latest after its minute, for tokens without an end too."""
    world = OAuthWorld()
    passport = await world.issue(Presented("bearer", FOREIGN), "mail_core", "edge_mcp")
    assert passport.statement.expires_at == NOW + 20
    world.issuer.known[FOREIGN] = {name: value for name, value in ACTIVE.items() if name != "exp"}
    passport = await world.issue(Presented("bearer", FOREIGN), "mail_core", "edge_mcp")
    assert passport.statement.expires_at == NOW + 60


@pytest.mark.promise("rights.introspection")
async def test_when_the_issuer_is_down_its_tokens_wait_and_ours_work() -> None:
    """503, so that no client throws a good token away; nobody gets in on the strength of an outage."""
    world = OAuthWorld()
    assert await world.outcome(FOREIGN) == "access_token"
    world.issuer.failure = issuer_down()
    assert await world.outcome(FOREIGN) == "ISSUER_DOWN"
    assert await world.outcome("mat_x") == "access_token"


@pytest.mark.promise("rights.introspection")
async def test_an_answer_that_cannot_be_read_lets_nobody_in(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the issuer's failure; its text stays out of the log."""
    world = OAuthWorld()
    world.issuer.known[FOREIGN] = {**ACTIVE, "sub": ["secret-word"]}
    assert await world.outcome(FOREIGN) == "ISSUER_DOWN"
    assert "secret-word" not in "".join(capsys.readouterr())


async def test_a_team_that_is_switched_off_gets_nobody_in() -> None:
    """Whatever the issuer says."""
    world = OAuthWorld()
    world.world.teams.teams.clear()
    assert await world.outcome(FOREIGN) == "TEAM_NOT_FOUND"


def test_the_token_of_the_tests_is_not_one_of_ours() -> None:
    """Else the tests above would prove less than they say."""
    assert OURS == hs256(claims(), SECRET) != SIGNED
