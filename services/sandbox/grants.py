"""OAuth of the local Google: one grant to one client, its access tokens, and the token endpoint's rules."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SCOPES = (
    "https://www.googleapis.com/auth/gmail.modify",
    "https://www.googleapis.com/auth/gmail.send",
    "https://www.googleapis.com/auth/gmail.settings.basic",
    "https://www.googleapis.com/auth/calendar.readonly",
)
CLIENT_ID = "123456789012-sandbox.apps.googleusercontent.com"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - opens nothing but this sandbox
REFRESH_TOKEN = "1//sandbox-refresh-token"  # noqa: S105 - the same


class TokenError(Exception):
    """An answer of the token endpoint that is no token (RFC 6749 §5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


@dataclass(slots=True)
class Grants:
    """The owner's consent to the one client, and the access tokens made from it."""

    clock: Callable[[], float]
    ttl_s: int
    is_revoked: bool = False
    refreshes: int = 0
    _expiry: dict[str, float] = field(default_factory=dict)

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer a refresh_token grant.

        Raises:
            TokenError: invalid_request, invalid_client, unsupported_grant_type or invalid_grant.

        """
        grant_type = form.get("grant_type", "")
        if not grant_type:
            raise TokenError(400, "invalid_request", "Missing required parameter: grant_type")
        if grant_type != "refresh_token":
            raise TokenError(400, "unsupported_grant_type", f"Invalid grant_type: {grant_type[:60]}")
        self._check_client(form)
        if not form.get("refresh_token"):
            raise TokenError(400, "invalid_request", "Missing required parameter: refresh_token")
        if self.is_revoked or not _same(form["refresh_token"], REFRESH_TOKEN):
            raise TokenError(400, "invalid_grant", "Token has been expired or revoked.")
        return {
            "access_token": self.issue(),
            "expires_in": self.ttl_s,
            "scope": " ".join(SCOPES),
            "token_type": "Bearer",
        }

    def issue(self) -> str:
        self.refreshes += 1
        digest = hashlib.sha256(f"access {self.refreshes}".encode()).hexdigest()
        token = f"ya29.sandbox-{digest[:40]}"
        self._expiry[token] = self.clock() + self.ttl_s
        return token

    def accepts(self, token: str) -> bool:
        return not self.is_revoked and self._expiry.get(token, 0) > self.clock()

    def expire_access_tokens(self) -> None:
        self._expiry.clear()

    def revoke(self) -> None:
        self.is_revoked = True
        self.expire_access_tokens()

    def revoke_by(self, token: str) -> bool:
        """Revoke by any of its tokens, as Google's /revoke does."""
        known = _same(token, REFRESH_TOKEN) or token in self._expiry
        if known:
            self.revoke()
        return known

    def token_file(self, token_uri: str) -> dict[str, Any]:
        """Content of an authorized-user `token.json`."""
        return {
            "type": "authorized_user",
            "token": None,
            "refresh_token": REFRESH_TOKEN,
            "token_uri": token_uri,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scopes": list(SCOPES),
            "universe_domain": "googleapis.com",
            "account": "",
        }

    def _check_client(self, form: dict[str, str]) -> None:
        if not form.get("client_id"):
            raise TokenError(400, "invalid_request", "Could not determine client ID from request.")
        if form["client_id"] != CLIENT_ID:
            raise TokenError(401, "invalid_client", "The OAuth client was not found.")
        if not _same(form.get("client_secret", ""), CLIENT_SECRET):
            raise TokenError(401, "invalid_client", "Unauthorized")


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(errors="replace"), right.encode())
