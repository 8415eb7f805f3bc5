"""People sign in at an identity provider: one good way in, and every bad id_token stays outside."""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.adapters.oidc import OidcRules, may_still
from services.auth.oauth.domain.grants import Grant
from services.common.errors import AppError
from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcHost, serving_oidc
from tests.integration.auth.oauth.test_sessions import ticket_for
from tests.integration.auth.oauth.world import RESOURCE, Answer, World, running_world
from tests.postgres import Databases


@dataclass(slots=True)
class Signing:
    """A server, and the provider that it sends people to."""

    world: World
    host: OidcHost

    async def come_back(self, client_id: str) -> Answer:
        """Ask, go to the provider, and come back."""
        away = await self.world.browse("GET", self.world.asking(client_id))
        assert away.status == 302, away.text
        back = await self.world.call("GET", away.location)
        return await self.world.browse("GET", back.location)


@pytest.fixture
async def signing(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Signing]:
    async with serving_oidc() as host:
        settings = {
            "oidc_issuer": host.issuer,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_allowed_emails": "bob@other.example",
            "oidc_allowed_domains": "corp.example",
        }
        async with running_world(databases, tmp_path_factory.mktemp("oidc"), **settings) as world:
            yield Signing(world, host)


async def test_a_person_of_the_list_signs_in_and_allows(signing: Signing) -> None:
    """The whole way, with a principal that is a hash of issuer and subject."""
    client = (await signing.world.register())["client_id"]
    page = await signing.come_back(client)
    assert "alice@corp.example" in page.text
    answer = await signing.world.consent(page, "mail:scan")
    got = (await signing.world.redeem(client, answer.sent["code"])).json
    who = await signing.world.oauth.check(got["access_token"], RESOURCE)
    assert who.caller.team_id == DEFAULT_TEAM_ID
    assert who.caller.principal.startswith("oidc:")
    assert "alice" not in who.caller.principal
    assert signing.host.forms[0]["code_verifier"]


def bad() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "another audience": {"aud": "somebody"},
        "two audiences": {"aud": [CLIENT_ID, "other"]},
        "another azp": {"azp": "other"},
        "another issuer": {"iss": "https://evil.example"},
        "another nonce": {"nonce": "x"},
        "no nonce": {"nonce": None},
        "expired": {"exp": now - 120},
        "no end": {"exp": None},
        "old": {"iat": now - 7200},
        "from the future": {"iat": now + 7200},
        "no subject": {"sub": None},
        "unverified address": {"email_verified": False},
        "address verified in words": {"email_verified": "true"},
        "no address": {"email": None},
        "address of another domain": {"email": "a@evil.example"},
        "domain at the end": {"email": "a@notcorp.example"},
        "nobody at the domain": {"email": "@corp.example"},
        "too long": {"email": "a" * 250 + "@corp.example"},
        "a line break": {"email": "a\n@corp.example"},
        "two ats": {"email": "a@evil.example@corp.example"},
    }


@pytest.mark.parametrize("case", bad())
async def test_a_bad_id_token_lets_nobody_in(signing: Signing, case: str) -> None:
    """OpenID Connect Core §3.1.3.7; the client hears access_denied and nothing more."""
    signing.host.claims = bad()[case]
    answer = await signing.come_back((await signing.world.register())["client_id"])
    assert answer.status == 302, answer.text
    assert answer.sent["error"] == "access_denied"


async def test_a_stranger_s_signature_lets_nobody_in(signing: Signing) -> None:
    """Only the issuer's published keys count."""
    signing.host.signer = ec.generate_private_key(ec.SECP256R1())
    answer = await signing.come_back((await signing.world.register())["client_id"])
    assert answer.sent["error"] == "access_denied"


async def test_a_sign_in_stays_in_its_browser(signing: Signing) -> None:
    """State bound to the browser: an attacker's sign-in cannot be pushed on somebody else."""
    client = (await signing.world.register())["client_id"]
    away = await signing.world.browse("GET", signing.world.asking(client))
    back = await signing.world.call("GET", away.location)
    signing.world.cookies.clear()
    assert (await signing.world.browse("GET", back.location)).status == 403


async def account_of(signing: Signing) -> Answer:
    """Go to the page of what was allowed, by way of the provider."""
    away = await signing.world.browse("GET", "/oauth/account")
    assert away.status == 302, away.text
    back = await signing.world.call("GET", away.location)
    return await signing.world.browse("GET", back.location)


@pytest.mark.promise("revocation.grants")
async def test_a_person_without_any_key_takes_back_what_they_allowed(signing: Signing) -> None:
    """Nobody else could do it for them by a key: they have none."""
    world = signing.world
    client = (await world.register())["client_id"]
    answer = await world.consent(await signing.come_back(client), "mail:scan")
    got = (await world.redeem(client, answer.sent["code"])).json
    world.cookies.clear()
    arrived = await account_of(signing)
    assert (arrived.status, arrived.location) == (302, "/oauth/account")
    page = await world.browse("GET", "/oauth/account")
    assert "alice@corp.example" in page.text
    for grant in re.findall(r'name=grant value="([^"]*)"', page.text):
        form = {"ticket": ticket_for(page, "/oauth/account"), "grant": grant}
        assert (await world.browse("POST", "/oauth/account", data=form)).status == 303
    with pytest.raises(AppError, match="TOKEN_REVOKED"):
        await world.oauth.check(got["access_token"], RESOURCE)


async def test_a_person_who_is_refused_sees_a_page_and_is_not_sent_round_again(signing: Signing) -> None:
    """There is no client to tell, and the page of the account would send them away once more."""
    signing.host.claims = {"email_verified": False}
    refused = await account_of(signing)
    assert refused.status == 403
    assert "Location" not in refused.headers


@pytest.mark.parametrize(
    ("person", "key_id", "team_id", "may"),
    [
        ("bob@other.example", "", DEFAULT_TEAM_ID, True),
        ("BOB@other.example", "", DEFAULT_TEAM_ID, True),
        ("x@corp.example", "", DEFAULT_TEAM_ID, True),
        ("eve@other.example", "", DEFAULT_TEAM_ID, False),
        ("x@sub.corp.example", "", DEFAULT_TEAM_ID, False),
        ("corp.example", "", DEFAULT_TEAM_ID, False),
        ("", "", DEFAULT_TEAM_ID, False),
        ("bob@other.example", "", "0a0a0a0a-0000-4000-8000-000000000000", False),
        ("the holder of key 1", "key-1", DEFAULT_TEAM_ID, True),
    ],
)
def test_the_list_of_people_is_asked_each_time(person: str, key_id: str, team_id: str, may: bool) -> None:
    """Who was taken off it loses what they allowed, not only the way in."""
    now = datetime.now(UTC)
    grant = Grant(
        id="g", team_id=team_id, client_id="c", client_name="c", principal="p", key_id=key_id,
        scopes=frozenset(), resource="r", created_at=now, expires_at=now, person=person,
    )  # fmt: skip
    rules = OidcRules(
        issuer="https://idp.example", client_id="c", client_secret="s", redirect_uri="r",
        team_id=DEFAULT_TEAM_ID, emails=frozenset({"bob@other.example"}), domains=frozenset({"corp.example"}),
    )  # fmt: skip
    assert may_still(grant, rules) is may
    assert may_still(grant, None) is bool(key_id)
