"""Asking an issuer over a real socket: what is sent, and that every failure keeps people out."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from services.auth.adapters import introspection
from services.auth.adapters.introspection import IntrospectionEndpoint
from services.common.context import Call, entered
from services.common.errors import AppError
from tests.fakes.introspection_host import IntrospectionHost, serving_introspection

TOKEN = "an&opaque=token+of/an issuer%41"
ACTIVE = {"active": True, "sub": "alice"}


@pytest.fixture
async def host() -> AsyncIterator[IntrospectionHost]:
    async with serving_introspection() as host:
        host.known[TOKEN] = ACTIVE
        yield host


async def ask(url: str, *, timeout_s: float = 5.0, **client: str) -> object:
    endpoint = IntrospectionEndpoint(url, timeout_s, **client)
    try:
        return await endpoint(TOKEN)
    finally:
        await endpoint.close()


async def refusal(url: str, *, timeout_s: float = 5.0) -> AppError:
    with pytest.raises(AppError) as caught:
        await ask(url, timeout_s=timeout_s)
    return caught.value


async def test_the_token_is_sent_as_a_form_and_the_answer_given(host: IntrospectionHost) -> None:
    """RFC 7662 §2.1; whatever the token's characters are."""
    assert await ask(host.url) == ACTIVE
    assert (host.asked, host.authorizations) == ([TOKEN], [None])


async def test_we_say_who_we_are_by_basic(host: IntrospectionHost) -> None:
    """Both parts form-encoded first (RFC 6749 §2.3.1)."""
    await ask(host.url, client_id="us:and them", client_secret="s e/cret")
    assert host.authorizations == ["Basic dXMlM0FhbmQrdGhlbTpzK2UlMkZjcmV0"]


@pytest.mark.promise("rights.introspection")
@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403, 404, 429, 500, 503])
async def test_any_status_but_200_is_no_answer(host: IntrospectionHost, status: int) -> None:
    """Even with a body that would let somebody in."""
    host.status = status
    error = await refusal(host.url)
    assert (error.reason, error.mapped.http_status) == ("ISSUER_DOWN", 503)
    assert len(host.asked) == 1


@pytest.mark.promise("rights.introspection")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_takes_no_token_anywhere(host: IntrospectionHost, status: int) -> None:
    """Not to one who would say yes, either."""
    async with serving_introspection() as elsewhere:
        elsewhere.known[TOKEN] = ACTIVE
        host.status, host.headers = status, {"Location": elsewhere.url}
        assert (await refusal(host.url)).reason == "ISSUER_DOWN"
        assert elsewhere.asked == []


@pytest.mark.promise("rights.introspection")
@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"true", b"<html>secret-word", b'{"active":true', b'{"a":1,"a":2}', b"\xff"]
)
async def test_garbage_is_no_answer(
    host: IntrospectionHost, raw: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no word of it gets into the error or the log."""
    host.raw = raw
    error = await refusal(host.url)
    assert error.reason == "ISSUER_DOWN"
    written = str(error) + "".join(capsys.readouterr())
    assert "secret-word" not in written
    assert TOKEN not in written


@pytest.mark.promise("rights.introspection")
async def test_an_answer_of_another_type_is_no_answer(host: IntrospectionHost) -> None:
    """A page, or a signed answer that we did not ask for (RFC 9701)."""
    for content_type in ("text/html", "application/token-introspection+jwt"):
        host.content_type = content_type
        assert (await refusal(host.url)).reason == "ISSUER_DOWN"
    host.content_type, host.headers = "application/json", {"Content-Encoding": "gzip"}
    assert (await refusal(host.url)).reason == "ISSUER_DOWN"


@pytest.mark.promise("rights.introspection")
async def test_an_answer_without_end_is_not_read_to_it(host: IntrospectionHost) -> None:
    """64 KiB are a hundred times what an answer needs."""
    host.raw = b'{"active":true,"x":"' + b"x" * introspection.MAX_BYTES + b'"}'
    assert (await refusal(host.url)).reason == "ISSUER_DOWN"


@pytest.mark.promise("rights.introspection", "outages.typed")
async def test_an_issuer_that_does_not_answer_is_given_up(host: IntrospectionHost) -> None:
    """By the setting, or by the caller's deadline when that comes first, and then in time to say so."""
    host.may_answer.clear()
    started = time.monotonic()
    assert (await refusal(host.url, timeout_s=0.2)).reason == "ISSUER_DOWN"
    with entered(Call(request_id="r", deadline=time.monotonic() + 0.6)):
        assert (await refusal(host.url, timeout_s=30)).reason == "ISSUER_DOWN"
        assert time.monotonic() - started < 3


@pytest.mark.promise("rights.introspection")
async def test_nobody_listening_is_no_answer() -> None:
    """A refused connection."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert (await refusal(f"http://127.0.0.1:{port}/")).reason == "ISSUER_DOWN"


async def test_the_issuer_is_asked_anew_each_time(host: IntrospectionHost) -> None:
    """Nothing is remembered: a token that its issuer took back is refused at the next exchange."""
    endpoint = IntrospectionEndpoint(host.url, 5.0)
    try:
        assert await endpoint(TOKEN) == ACTIVE
        del host.known[TOKEN]
        assert await endpoint(TOKEN) == {"active": False}
    finally:
        await endpoint.close()


async def test_many_ask_at_once(host: IntrospectionHost) -> None:
    """More than there are connections: they wait their turn."""
    endpoint = IntrospectionEndpoint(host.url, 5.0)
    try:
        answers = await asyncio.gather(*(endpoint(TOKEN) for _ in range(introspection.MAX_CONNECTIONS * 2)))
    finally:
        await endpoint.close()
    assert answers == [ACTIVE] * len(answers)


def test_no_repr_shows_the_secret() -> None:
    """What is logged by mistake must not be a credential."""
    assert "s3cret" not in repr(IntrospectionEndpoint("https://x", 1.0, "us", "s3cret"))
