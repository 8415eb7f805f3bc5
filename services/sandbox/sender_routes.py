"""The senders' hosts: one aiohttp application that answers for every list, well or badly."""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from aiohttp import web

from services.sandbox import rfc822
from services.sandbox.lists import ONE_CLICK, Answer, MailingList
from services.sandbox.senders import SenderRequest, find_list
from services.sandbox.world import World

_BODY_LIMIT_BYTES = 65_536
_GIANT_CHUNK = b"thank you " * 6_554
_GIANT_CHUNKS = 1_024
_SILENCE_STEP_S = 2.0
_SILENCE_STEPS = 300
_ENDING = {Answer.OK, Answer.ACCEPTED, Answer.COOKIES, Answer.FORM_ONLY, Answer.GIANT, Answer.DROPS}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SenderHosts:
    """Handlers of the senders' hosts. Paths are `/<list>/<page>`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{list}/{page:.*}", self.answer)
        app.router.add_route("*", "/{rest:.*}", self.nobody)
        return app

    async def nobody(self, request: web.Request) -> web.Response:
        self._record(request, None, await _read(request), ended=False)
        return _page(404, "Not found", "Nobody lives here.")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        mailing_list = find_list(request.match_info["list"])
        if mailing_list is None:
            return await self.nobody(request)
        body = await _read(request)
        if request.method != "POST":
            self._record(request, mailing_list, body, ended=False)
            return self._show(request, mailing_list)
        if not self._world.senders.knows_token(mailing_list, request.query.get("token", "")):
            self._record(request, mailing_list, body, ended=False)
            return _page(404, "Unknown link", "This link belongs to nobody.")
        if _form(request, body).get("confirm"):
            return self._confirmed(request, mailing_list, body)
        return await self._one_click(request, mailing_list, body)

    def _show(self, request: web.Request, mailing_list: MailingList) -> web.Response:
        """A page for the person: its button posts. Looking at it ends nothing."""
        return _page(200, mailing_list.title, f"Leave {mailing_list.title}?", _button(request, "Unsubscribe"))

    def _confirmed(self, request: web.Request, mailing_list: MailingList, body: bytes) -> web.Response:
        self._world.senders.end(mailing_list)
        self._record(request, mailing_list, body, ended=True)
        return _page(200, mailing_list.title, "You have left the list.")

    async def _one_click(
        self, request: web.Request, mailing_list: MailingList, body: bytes
    ) -> web.StreamResponse:
        refusal = _refusal(request, mailing_list, body)
        ends = refusal is None and mailing_list.answer in _ENDING
        if ends:
            self._world.senders.end(mailing_list)
        self._record(request, mailing_list, body, ended=ends)
        held = self._world.faults.held_senders.get(mailing_list.name) or self._world.faults.held_senders.get(
            "*"
        )
        if held:
            await held.wait()
        return refusal or await _ANSWERS[mailing_list.answer](request)

    def _record(
        self, request: web.Request, mailing_list: MailingList | None, body: bytes, *, ended: bool
    ) -> None:
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        )
        name = mailing_list.name if mailing_list else None
        text = body.decode("utf-8", "replace")
        now = self._world.clock.now()
        record = SenderRequest("http", name, request.method, request.path_qs, headers, text, now, ended)
        self._world.senders.record(record)


def _refusal(request: web.Request, mailing_list: MailingList, body: bytes) -> web.Response | None:
    """What a host says to a POST that is not RFC 8058's."""
    if (
        mailing_list.answer is Answer.FORM_ONLY
        and request.content_type != "application/x-www-form-urlencoded"
    ):
        return _page(415, "Unsupported", "Only application/x-www-form-urlencoded is understood here.")
    name, _, value = ONE_CLICK.partition("=")
    if _form(request, body).get(name) != value:
        return _page(400, "Bad request", f"{ONE_CLICK} is missing.")
    return None


def _form(request: web.Request, body: bytes) -> dict[str, str]:
    """Fields of a form, in either of the encodings that RFC 8058 §3.2 allows."""
    if request.content_type == "multipart/form-data":
        head = f"Content-Type: {request.headers.get('Content-Type', '')}\r\n\r\n".encode()
        named = ((rfc822.form_name(part), part) for part in rfc822.structure(head + body).walk())
        return {
            name: rfc822.part_bytes(part).decode("utf-8", "replace").strip() for name, part in named if name
        }
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


async def _read(request: web.Request) -> bytes:
    """The body, as far as it is worth keeping."""
    kept = b""
    async for chunk in request.content.iter_chunked(_BODY_LIMIT_BYTES):
        kept += chunk[: _BODY_LIMIT_BYTES - len(kept)]
    return kept


def _page(status: int, title: str, text: str, extra: str = "") -> web.Response:
    shown = html.escape(title)
    page = f"<!doctype html><title>{shown}</title><h1>{shown}</h1><p>{html.escape(text)}</p>{extra}"
    return web.Response(status=status, text=page, content_type="text/html")


def _button(request: web.Request, text: str) -> str:
    action = html.escape(request.path_qs, quote=True)
    return f'<form method="post" action="{action}"><button name="confirm" value="yes">{text}</button></form>'


async def _ok(_: web.Request) -> web.StreamResponse:
    return _page(200, "Done", "You have been unsubscribed.")


async def _accepted(_: web.Request) -> web.StreamResponse:
    return web.Response(status=202)


async def _cookies(request: web.Request) -> web.StreamResponse:
    answer = await _ok(request)
    answer.set_cookie("visitor", "42", max_age=31_536_000)
    answer.set_cookie("campaign", "spring")
    return answer


async def _redirect(request: web.Request) -> web.StreamResponse:
    sender = re.sub(r"[^a-z-]", "", request.match_info["list"])
    return web.Response(status=302, headers={"Location": f"/{sender}/goodbye"})


async def _confirm(request: web.Request) -> web.StreamResponse:
    return _page(200, "Are you sure?", "One more click and you are out.", _button(request, "Yes, leave"))


async def _expired(_: web.Request) -> web.StreamResponse:
    return _page(410, "Error", "Error: link expired.")


async def _broken(_: web.Request) -> web.StreamResponse:
    return _page(500, "Internal Server Error", "Something went wrong.")


async def _drops(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response()


async def _giant(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await answer.prepare(request)
    for _ in range(_GIANT_CHUNKS):
        await answer.write(_GIANT_CHUNK)
    return answer


async def _silent(request: web.Request) -> web.StreamResponse:
    """Slow loris: the status line comes at once, then a byte of a header that never ends."""
    if request.transport:
        request.transport.write(b"HTTP/1.1 200 OK\r\nX-Patience: ")
    for _ in range(_SILENCE_STEPS):
        if request.transport is None:
            break
        request.transport.write(b".")
        await asyncio.sleep(_SILENCE_STEP_S)
    return await _drops(request)


_ANSWERS: dict[Answer, Handler] = {
    Answer.OK: _ok,
    Answer.ACCEPTED: _accepted,
    Answer.COOKIES: _cookies,
    Answer.FORM_ONLY: _ok,
    Answer.GIANT: _giant,
    Answer.DROPS: _drops,
    Answer.IGNORES: _ok,
    Answer.REDIRECT: _redirect,
    Answer.CONFIRM: _confirm,
    Answer.EXPIRED: _expired,
    Answer.BROKEN: _broken,
    Answer.SILENT: _silent,
}
