"""What we remember of a browser between two pages: an id that tickets are bound to, and who signed in.

All of it travels in one sealed cookie. A ticket in a form counts only together with the cookie of the
browser that it was made for, so no other site can make a browser send one.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from services.auth.oauth.domain.errors import OAuthError, invalid_request
from services.auth.oauth.domain.grants import Person
from services.auth.oauth.domain.requests import Asked
from services.auth.oauth.ports import Seals

LIFE_S: Final = 600
_COOKIE: Final = "browser"


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser, and the person in front of it when they signed in."""

    id: str
    person: Person | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request for authorization on its way through the pages of one browser."""

    asked: Asked
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Browsers:
    """Reads and writes cookies and tickets."""

    seals: Seals
    issuer: str

    def of(self, request: web.Request) -> Browser:
        """Give the browser of a request; a new one when it is not known."""
        said = self.seals.open(_COOKIE, request.cookies.get(self._name, ""))
        if said is None:
            return self.fresh()
        person = said["person"]
        if person is None:
            return Browser(said["id"])
        return Browser(said["id"], Person(**{**person, "scopes": frozenset(person["scopes"])}))

    def fresh(self) -> Browser:
        """Give a browser of which nothing is known, as after signing out."""
        return Browser(secrets.token_urlsafe(24))

    def signed_in(self, person: Person) -> Browser:
        """Give the browser after a sign-in. Its id is new: nobody can have set it before."""
        return Browser(secrets.token_urlsafe(24), person)

    def remember(self, response: web.StreamResponse, browser: Browser) -> None:
        """Set the cookie."""
        person = browser.person
        noted = None if person is None else {**asdict(person), "scopes": sorted(person.scopes)}
        sealed = self.seals.seal(_COOKIE, {"id": browser.id, "person": noted}, LIFE_S)
        # Lax, because the identity provider sends people back from its own site.
        response.set_cookie(
            self._name,
            sealed,
            max_age=LIFE_S,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="Lax",
        )

    def ticket(self, purpose: str, asked: Asked, browser: Browser, **said: str) -> str:
        """Write a ticket for one page of one browser."""
        content = {"asked": asked.to_json(), "browser": browser.id, "said": said}
        return self.seals.seal(purpose, content, LIFE_S)

    def admit(self, purpose: str, ticket: str, browser: Browser) -> Ticket:
        """Read a ticket back. Raises OAuthError invalid_request when it is not for this page and browser."""
        content = self.seals.open(purpose, ticket)
        if content is None or not secrets.compare_digest(content["browser"].encode(), browser.id.encode()):
            raise invalid_request("This page is too old, or was opened in another browser.", status=403)
        return Ticket(Asked.from_json(content["asked"]), content["said"])

    def check_origin(self, request: web.Request) -> None:
        """Refuse a form that another site sent. Raises OAuthError invalid_request."""
        origin = request.headers.get("Origin")
        parts = urlsplit(self.issuer)
        is_foreign = origin is not None and origin != f"{parts.scheme}://{parts.netloc}"
        if is_foreign or request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise OAuthError("invalid_request", "This form came from another site.", status=403)

    @property
    def _is_secure(self) -> bool:
        return self.issuer.startswith("https://")

    @property
    def _name(self) -> str:
        # `__Host-` holds for https only; plain http is for loopback, in development.
        return "__Host-mailwarden" if self._is_secure else "mailwarden"


def without_person(browser: Browser) -> Browser:
    """Forget who signed in."""
    return replace(browser, person=None)
