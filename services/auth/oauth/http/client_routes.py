"""The endpoints for programs: metadata, keys, tokens, registration, introspection, revocation."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from services.auth.oauth.domain.clients import AUTH_METHODS
from services.auth.oauth.domain.scopes import WORDS
from services.auth.oauth.http.reading import credentials_of, form_of, json_of
from services.auth.oauth.operations.issue_tokens import GRANT_TYPES, IssueTokens
from services.auth.oauth.operations.manage_tokens import Introspect, RevokeToken
from services.auth.oauth.operations.register_client import RegisterClient
from services.auth.oauth.ports import TokenKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRoutes:
    """Handlers for programs. Without `register`, clients describe themselves at an address of theirs."""

    issue_tokens: IssueTokens
    register: RegisterClient | None
    introspect: Introspect
    revoke: RevokeToken
    token_keys: TokenKeys
    issuer: str

    async def metadata(self, request: web.Request) -> web.Response:
        """Say what there is (RFC 8414 §2)."""
        del request
        said = metadata_of(self.issuer, registers=self.register is not None)
        return web.json_response(said, headers={"Cache-Control": "public, max-age=300"})

    async def keys(self, request: web.Request) -> web.Response:
        """Publish the keys that tokens are signed with."""
        del request
        keys = self.token_keys.public_jwks()
        return web.json_response(
            keys, content_type="application/jwk-set+json", headers={"Cache-Control": "public, max-age=300"}
        )

    async def token(self, request: web.Request) -> web.Response:
        """Give tokens."""
        form = await form_of(request)
        tokens = await self.issue_tokens(form, credentials_of(request, form))
        said: dict[str, Any] = {
            "access_token": tokens.access_token,
            "token_type": "Bearer",
            "expires_in": tokens.life_s,
            "scope": " ".join(sorted(tokens.scopes)),
        }
        if tokens.refresh_token:
            said["refresh_token"] = tokens.refresh_token
        return web.json_response(said)

    async def registration(self, request: web.Request) -> web.Response:
        """Register a client (RFC 7591 §3.2.1)."""
        if self.register is None:
            raise web.HTTPNotFound
        made = await self.register(await json_of(request))
        said: dict[str, Any] = {
            "client_id": made.client.id,
            "client_id_issued_at": made.issued_at,
            "client_name": made.client.name,
            "redirect_uris": list(made.client.redirect_uris),
            "token_endpoint_auth_method": made.client.auth_method,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        }
        if made.secret:
            said |= {"client_secret": made.secret, "client_secret_expires_at": 0}
        return web.json_response(said, status=201)

    async def introspection(self, request: web.Request) -> web.Response:
        """Say what a token is worth."""
        form = await form_of(request)
        shown = credentials_of(request, form)
        return web.json_response(await self.introspect(form.require("token"), shown))

    async def revocation(self, request: web.Request) -> web.Response:
        """Take a token back."""
        form = await form_of(request)
        shown = credentials_of(request, form)
        await self.revoke(form.require("token"), shown)
        return web.Response()


def metadata_of(issuer: str, *, registers: bool) -> dict[str, Any]:
    """Describe the server."""
    secrets = [method for method in AUTH_METHODS if method != "none"]
    registration = {"registration_endpoint": f"{issuer}/oauth/register"} if registers else {}
    return registration | {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/oauth/jwks.json",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "scopes_supported": list(WORDS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "introspection_endpoint_auth_methods_supported": secrets,
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
    }
