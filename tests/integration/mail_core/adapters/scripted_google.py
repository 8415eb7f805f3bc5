"""A Google that says exactly what a test scripts, call after call, and remembers what it was asked."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiohttp import web

from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.google_access import Google, GoogleConfig, open_google
from services.mail_core.ports import Priority
from tests.fakes.clock import HastyClock

TOKEN_FILE = {
    "client_id": "client.apps.googleusercontent.com",
    "client_secret": "client-secret-value",
    "refresh_token": "1//refresh-token-value",
    "token_uri": "https://oauth2.googleapis.com/token",
    "scopes": ["https://www.googleapis.com/auth/gmail.modify"],
}


@dataclass(frozen=True)
class Said:
    """One answer. `drops` closes the connection instead."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drops: bool = False


@dataclass(frozen=True)
class Asked:
    verb: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def error(status: int, reason: str = "", message: str = "", **headers: str) -> Said:
    """An error in Google's JSON format."""
    content = {"code": status, "message": message, "errors": [{"domain": "usageLimits", "reason": reason}]}
    return Said(
        status, {"error": content}, {name.replace("_", "-"): value for name, value in headers.items()}
    )


@dataclass
class ScriptedGoogle:
    """Answers a path with the next thing scripted for it; the last one stays. Tokens are given freely."""

    script: dict[str, list[Said]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    at_once: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    clock: Any = field(default_factory=HastyClock)
    url: str = ""
    google: Google = field(init=False)
    runner: web.AppRunner = field(init=False)

    def says(self, path: str, *answers: Said) -> None:
        self.script[path] = list(answers)

    def asked_for(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def gmail(self, priority: Priority = Priority.INTERACTIVE, **changes: Any):
        return self.google.gmail(self.grant(**changes), priority)

    async def spend_the_burst(self) -> None:
        """Use up the units that may be spent at once: a fifth of a minute's."""
        self.says("/gmail/v1/users/me/messages/send", Said(body={"id": "1"}))
        mail = EmailMessage()
        mail["To"] = "somebody@lists.example"
        for _ in range(12):
            await self.gmail().send(mail)

    def calendar(self):
        return self.google.calendar(self.grant())

    def grant(self, **changes: Any):
        return self.google.read_grant(json.dumps(TOKEN_FILE | changes))

    async def close(self) -> None:
        """Stop answering: connections are refused from now on."""
        await self.runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.path, request.query_string, headers, body))
        self.at_once[request.path] += 1
        self.most_at_once[request.path] = max(self.most_at_once[request.path], self.at_once[request.path])
        # Gives others the chance to be here at the same time.
        await asyncio.sleep(0.01)
        self.at_once[request.path] -= 1
        said = self._next(request.path)
        if said.drops:
            assert request.transport is not None
            request.transport.abort()
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        kind = {} if "Content-Type" in said.headers else {"Content-Type": "application/json"}
        return web.Response(status=said.status, body=content, headers={**kind, **said.headers})

    def _next(self, path: str) -> Said:
        if path == "/token" and path not in self.script:
            self.tokens += 1
            return Said(body={"access_token": f"access-{self.tokens}", "expires_in": 3600})
        answers = self.script[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextlib.asynccontextmanager
async def scripted_google(**config: Any) -> AsyncIterator[ScriptedGoogle]:
    """Serve a scripted Google, with adapters that jump over every wait."""
    scripted = ScriptedGoogle(clock=config.pop("clock", None) or HastyClock())
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    scripted.runner = runner
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    scripted.url = f"http://{host}:{port}"
    settings = GoogleConfig(
        api_endpoint=scripted.url,
        token_uri=f"{scripted.url}/token",
        **{"backoff": Backoff(jitter=lambda: 1.0), "units_per_minute": 10**6, **config},
    )
    try:
        async with open_google(settings, scripted.clock) as scripted.google:
            yield scripted
    finally:
        await runner.cleanup()
