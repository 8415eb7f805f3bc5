"""An OpenID Connect provider on loopback that signs in whomever the test says, well or badly."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fakes.tokens import jwk, signed

CLIENT_ID = "mailwarden-at-idp"
CLIENT_SECRET = "idp-secret-7Qw2eR9tY4uI1oA6"


@dataclass(slots=True)
class OidcHost:
    """What it says can be changed: `claims` are merged into the id_token, None leaves one out."""

    issuer: str = ""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    claims: dict[str, Any] = field(default_factory=dict)
    signer: ec.EllipticCurvePrivateKey | None = None
    nonces: dict[str, str] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)

    async def discovery(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }
        )

    async def jwks(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": [jwk(self.key)]})

    async def authorize(self, request: web.Request) -> web.Response:
        code = f"idp-code-{len(self.nonces)}"
        self.nonces[code] = request.query["nonce"]
        said = urlencode({"code": code, "state": request.query["state"]})
        return web.Response(status=302, headers={"Location": f"{request.query['redirect_uri']}?{said}"})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        nonce = self.nonces.pop(form["code"], None)
        if nonce is None or form["client_secret"] != CLIENT_SECRET:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "alice",
            "iat": now,
            "exp": now + 60,
            "nonce": nonce,
            "email": "alice@corp.example",
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in said.items() if value is not None}
        return web.json_response({"id_token": signed(claims, self.signer or self.key)})


@contextlib.asynccontextmanager
async def serving_oidc() -> AsyncIterator[OidcHost]:
    """Serve on loopback while the block runs."""
    host = OidcHost()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", host.discovery)
    app.router.add_get("/jwks", host.jwks)
    app.router.add_get("/authorize", host.authorize)
    app.router.add_post("/token", host.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield host
    finally:
        await runner.cleanup()
