"""The real process: an access token becomes a passport at its resource; no secret serves as another kind."""

import socket
from pathlib import Path

import aiohttp

from tests.integration.auth.processes import running_auth
from tests.postgres import Databases

RESOURCE = "https://mail.example/mcp"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_token_becomes_a_passport_and_nothing_else(databases: Databases, tmp_path: Path) -> None:
    """Kinds told apart pair by pair: key, access token, refresh token, code, passport, naked JWS."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with running_auth(
        tmp_path / "auth",
        databases.auth.app_url,
        OAUTH_LISTEN=f"127.0.0.1:{port}",
        OAUTH_ISSUER=issuer,
        OAUTH_RESOURCES=RESOURCE,
        OAUTH_KEY_FILE=str(tmp_path / "oauth.pem"),
    ) as auth:
        assert auth.running.addresses["oauth"] == f"127.0.0.1:{port}"
        key = await auth.create_key(scopes=["mail:scan"])
        form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": key.secret}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{issuer}/oauth/token", data=form) as answer:
                token = (await answer.json())["access_token"]
            passport = await auth.issue(bearer=token, resource=RESOURCE)
            assert passport.caller.credential_kind == 3
            assert {f"key:{key.key_id}", f"client:{key.key_id}"} < set(passport.caller.roots)
            refused = {
                "no resource": {"bearer": token},
                "another resource": {"bearer": token, "resource": RESOURCE + "2"},
            }
            for presented in refused.values():
                assert await auth.refusal(**presented) == "TOKEN_AUDIENCE_REFUSED"
            for secret in (
                token.removeprefix("mat_"),
                "mat_" + passport.token,
                "mat_" + key.secret,
                "mat_",
                "mat_x.y.z",
                passport.token,
                "mac_" + "A" * 43,
                "mrt_" + "A" * 43,
            ):
                assert await auth.refusal(bearer=secret, resource=RESOURCE) != "ACCEPTED", secret[:8]
                assert await auth.refusal(api_key=secret, resource=RESOURCE) != "ACCEPTED", secret[:8]
                async with session.post(
                    f"{issuer}/oauth/token", data={**form, "client_secret": secret}
                ) as answer:
                    assert answer.status == 401
            assert await auth.refusal(api_key=token, resource=RESOURCE) == "CREDENTIAL_INVALID"
        text = auth.log.read_text()
        for secret in (token, token.removeprefix("mat_"), key.secret, passport.token):
            assert secret not in text
