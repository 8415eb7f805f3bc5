"""A person with a browser, to whom OAuth clients send them. Imports nothing of ours."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

REDIRECT = "http://127.0.0.1:7777/callback"
_CHECKBOX = re.compile(r'name="?scope:([a-z_:]+)"?')


@dataclass
class Person:
    """Signs in with an admin key and allows all that is asked for. `asked` is what that was, each time."""

    session: aiohttp.ClientSession
    admin_key: str
    asked: list[set[str]] = field(default_factory=list)
    _sent: dict[str, str] = field(default_factory=dict)

    async def visit(self, address: str) -> None:
        """Go where a client sends us, and back to it with an answer."""
        self.session.cookie_jar.clear()
        async with self.session.get(address) as answer:
            page, here = await answer.text(), str(answer.url)
        form = {"ticket": _field(page, "ticket"), "key": self.admin_key}
        page = await self._post(here, "/oauth/sign-in", form)
        scopes = set(_CHECKBOX.findall(page))
        self.asked.append(scopes)
        form = {"ticket": _field(page, "ticket"), "decision": "allow"}
        form |= {f"scope:{scope}": "on" for scope in scopes}
        url = urljoin(here, "/oauth/consent")
        async with self.session.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status in {302, 303}, await answer.text()
            self._sent = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    async def answer(self) -> AuthorizationCodeResult:
        """What the client finds at its own address."""
        sent = self._sent
        return AuthorizationCodeResult(code=sent["code"], state=sent["state"], iss=sent["iss"])

    async def _post(self, here: str, path: str, form: dict[str, str]) -> str:
        async with self.session.post(urljoin(here, path), data=form) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="?{name}"? value="([^"]*)"', page)
    assert found, page
    return found[1]


class Memory(TokenStorage):
    """Keeps what the SDK wants kept."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    @property
    def granted(self) -> set[str]:
        """Scopes of the token."""
        assert self.tokens is not None
        return set((self.tokens.scope or "").split())


@asynccontextmanager
async def browsing(admin_key: str) -> AsyncIterator[Person]:
    """Open a browser."""
    jar = aiohttp.CookieJar(unsafe=True)  # an address for a host is fine here
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Person(session, admin_key)


def oauth_client(url: str, person: Person, storage: Memory) -> Any:
    """The MCP SDK's own OAuth client, which knows nothing but the address of a server."""
    said = OAuthClientMetadata(client_name="A client", redirect_uris=[AnyUrl(REDIRECT)])
    return OAuthClientProvider(url, said, storage, person.visit, person.answer)
