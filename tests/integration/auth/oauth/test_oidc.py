"""People sign in at an identity provider: one good way in, and every bad id_token stays outside."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.domain.team import DEFAULT_TEAM_ID
from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcHost, serving_oidc
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
