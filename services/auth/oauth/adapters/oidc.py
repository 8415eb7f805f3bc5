"""Sign-in by OpenID Connect: any issuer with discovery, chosen by the operator.

The issuer's answer is believed for what it says about one person and nothing else: its id_token must be
signed by the issuer's published keys, be for us alone, carry our nonce, and name a person on our list.
"""

import hashlib
import json
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import aiohttp

from services.auth.domain.refusals import credential_invalid
from services.auth.domain.token import parse_token
from services.auth.oauth.domain.errors import OAuthError, unavailable
from services.auth.oauth.domain.grants import Grant, Person
from services.auth.oauth.domain.pkce import challenge_of
from services.auth.oauth.domain.scopes import GRANTABLE
from services.auth.ports import IssuerKeys, Teams
from services.common.errors import AppError, Kind
from services.common.telemetry import get_logger

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
FRESH_S: Final = 3_600.0
LEEWAY_S: Final = 60.0
MAX_EMAIL_CHARS: Final = 254
"""RFC 5321 §4.5.3.1.3. It is kept with what the person allows."""
MAX_AGE_S: Final = 600.0
"""An id_token is seconds old when we get it; an old one is somebody's keepsake."""
_OK: Final = 200


class ClosableKeys(IssuerKeys, Protocol):
    """An issuer's keys, and a way to let go of them."""

    async def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True)
class OidcRules:
    """What the operator set. E-mail addresses and domains are in lower case."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    team_id: str
    emails: frozenset[str]
    domains: frozenset[str]
    allow_http: bool = False

    def allow(self, email: str) -> bool:
        """Whether somebody with this checked address may sign in."""
        name, _, domain = email.lower().rpartition("@")
        return bool(name) and (f"{name}@{domain}" in self.emails or domain in self.domains)


@dataclass(frozen=True, slots=True)
class _Endpoints:
    authorization: str
    token: str
    keys: ClosableKeys
    keys_url: str
    fetched_at: float
    post_secret: bool
    sends_iss: bool


class OidcProvider:
    """Implements `ports.IdentityProvider`. `keys_at` follows a JWK Set."""

    def __init__(
        self,
        rules: OidcRules,
        teams: Teams,
        keys_at: Callable[[str], ClosableKeys],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._teams = teams
        self._keys_at = keys_at
        self._now_s = now_s
        self._known: _Endpoints | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self, state: Callable[[str, str], str]) -> str:
        """Give the address to send a person to. Raises OAuthError temporarily_unavailable."""
        endpoints = await self._endpoints()
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        asked = {
            "response_type": "code",
            "client_id": self._rules.client_id,
            "redirect_uri": self._rules.redirect_uri,
            "scope": "openid email",
            "state": state(nonce, verifier),
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoints.authorization}{'&' if '?' in endpoints.authorization else '?'}{urlencode(asked)}"

    async def finish(self, code: str, nonce: str, verifier: str, iss: str) -> Person:
        """Give who signed in. Raises OAuthError access_denied, temporarily_unavailable."""
        endpoints = await self._endpoints()
        # An answer of another issuer, carried to us (RFC 9207 §2.4).
        if (endpoints.sends_iss or iss) and iss != self._rules.issuer:
            raise _denied()
        said = await self._exchange(endpoints, code, verifier)
        claims = await self._verified(endpoints, said.get("id_token"))
        self._check(claims, nonce)
        email = self._allowed_email(claims)
        try:
            team = await self._teams.get(self._rules.team_id)
            team.check()
        except AppError as error:
            raise (
                _denied() if error.kind in {Kind.NOT_FOUND, Kind.UNAUTHENTICATED} else unavailable()
            ) from error
        return Person(team.id, team.name, principal_of(claims["iss"], claims["sub"]), email, GRANTABLE)

    async def close(self) -> None:
        """Close what is open."""
        if self._known is not None:
            await self._known.keys.close()
        if self._session is not None:
            await self._session.close()

    async def _endpoints(self) -> _Endpoints:
        known = self._known
        if known is not None and self._now_s() - known.fetched_at < FRESH_S:
            return known
        url = self._rules.issuer.rstrip("/") + "/.well-known/openid-configuration"
        said = await self._request("GET", url)
        if said.get("issuer") != self._rules.issuer:
            get_logger().warning("oidc_discovery_refused", problem="issuer")
            raise unavailable()
        urls = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if not all(self._is_acceptable(url) for url in urls):
            get_logger().warning("oidc_discovery_refused", problem="endpoint")
            raise unavailable()
        methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        self._known = _Endpoints(
            str(urls[0]),
            str(urls[1]),
            await self._keys_of(str(urls[2])),
            str(urls[2]),
            self._now_s(),
            "client_secret_basic" not in methods,
            said.get("authorization_response_iss_parameter_supported") is True,
        )
        return self._known

    async def _keys_of(self, url: str) -> ClosableKeys:
        known = self._known
        if known is not None and known.keys_url == url:
            return known.keys
        if known is not None:
            await known.keys.close()
        return self._keys_at(url)

    def _is_acceptable(self, url: object) -> bool:
        return isinstance(url, str) and url.startswith(
            ("https://", "http://127.0.0.1:", "http://[::1]:", "http://localhost:")
            if self._rules.allow_http
            else "https://"
        )

    async def _exchange(self, endpoints: _Endpoints, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._rules.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if endpoints.post_secret:
            form |= {"client_id": self._rules.client_id, "client_secret": self._rules.client_secret}
        else:
            # RFC 6749 §2.3.1: each half is form-encoded first.
            halves = f"{quote(self._rules.client_id, safe='')}:{quote(self._rules.client_secret, safe='')}"
            headers["Authorization"] = "Basic " + b64encode(halves.encode()).decode()
        return await self._request("POST", endpoints.token, data=form, headers=headers, refusal=_denied())

    async def _verified(self, endpoints: _Endpoints, id_token: object) -> Mapping[str, Any]:
        try:
            if not isinstance(id_token, str):
                raise credential_invalid()
            token = parse_token(id_token)
            for key in await endpoints.keys.candidates(token.algorithm, token.key_id):
                if key.verifies(token.signed, token.signature):
                    return _object(token.payload)
        except AppError as error:
            if error.kind is Kind.UNAVAILABLE:
                raise unavailable() from error
        raise _denied()

    def _check(self, claims: Mapping[str, Any], nonce: str) -> None:
        """Check what an id_token must say (OpenID Connect Core §3.1.3.7)."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        now_s = self._now_s()
        ends, made = claims.get("exp"), claims.get("iat")
        subject = claims.get("sub")
        is_right = (
            claims.get("iss") == self._rules.issuer
            and self._rules.client_id in audiences
            and (len(audiences) == 1 or claims.get("azp") == self._rules.client_id)
            and claims.get("azp", self._rules.client_id) == self._rules.client_id
            and _is_number(ends)
            and _is_number(made)
            and float(ends or 0) + LEEWAY_S > now_s
            and now_s - MAX_AGE_S - LEEWAY_S < float(made or 0) <= now_s + LEEWAY_S
            and isinstance(claims.get("nonce"), str)
            and secrets.compare_digest(str(claims["nonce"]).encode(), nonce.encode())
            and isinstance(subject, str)
            and 1 <= len(subject) <= 255  # noqa: PLR2004  OpenID Connect Core §2
        )
        if not is_right:
            raise _denied()

    def _allowed_email(self, claims: Mapping[str, Any]) -> str:
        email = claims.get("email")
        # An address that the issuer has not checked is what anybody cares to write there.
        if not isinstance(email, str) or claims.get("email_verified") is not True or email.count("@") != 1:
            raise _denied()
        if len(email) > MAX_EMAIL_CHARS or not email.isprintable():
            raise _denied()
        if self._rules.allow(email):
            return email
        raise _denied()

    async def _request(
        self, method: str, url: str, *, refusal: OAuthError | None = None, **options: Any
    ) -> Mapping[str, Any]:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                body = await response.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES + 1)):
                    body += more
                if response.status != _OK or len(body) > MAX_BYTES:
                    is_theirs = refusal is not None and 400 <= response.status < 500  # noqa: PLR2004
                    raise refusal if is_theirs and refusal else unavailable()
                return _object(body)
        except (aiohttp.ClientError, TimeoutError, AppError) as error:
            get_logger().warning("oidc_issuer_failed", problem=type(error).__name__)
            raise unavailable() from error


def principal_of(issuer: str, subject: str) -> str:
    """Name a person by issuer and subject so that no two pairs share a name.

    The pair is written as JSON before it is hashed: plain joining would let `a#` + `b` meet `a` + `#b`.
    """
    digest = hashlib.sha256(json.dumps([issuer, subject]).encode()).digest()
    return "oidc:" + urlsafe_b64encode(digest).rstrip(b"=").decode()


def may_still(grant: Grant, rules: OidcRules | None) -> bool:
    """Whether the person who gave a grant would still be let in. A key that signed in is looked up instead.

    Somebody who was taken off the list of the operator loses what they allowed, not only the way in.
    """
    if grant.key_id:
        return True
    return rules is not None and grant.team_id == rules.team_id and rules.allow(grant.person)


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise unavailable() from None
    if not isinstance(said, dict):
        raise unavailable()
    return said


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _denied() -> OAuthError:
    return OAuthError("access_denied", "This sign-in is not accepted here.", status=403)
