"""Slow and malformed clients, on the bare socket."""

import asyncio
import contextlib
import json

import pytest

from protos.mail.v1 import mail_pb2, resources_pb2
from tests.fakes.grpc_backends import API_KEY
from tests.fakes.rest_edge import running_rest_edge


async def exchange(edge, raw: bytes) -> tuple[bytes, bytes]:
    """Send bytes, read until the edge closes; gives head and body."""
    host, _, port = edge.address.rpartition(":")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, "HTTP_MALFORMED"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTP_MALFORMED"),  # TLS on a plain port
        (b"BREW /v1/me HTTP/1.1\r\nHost: a\r\n\r\n", 400, "HTTP_MALFORMED"),
        (b"GET /v1/me HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "HTTP_MALFORMED"),
        (
            b"POST /v1/me HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "HTTP_MALFORMED",
        ),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"GET /health HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (
            b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nConnection: close\r\n\r\n",
            417,
            "EXPECTATION_FAILED",
        ),
    ],
    ids=range(9),
)
async def test_what_is_not_http_gets_a_problem_document(edge, raw, status, reason):
    """Even a request that no route ever sees is answered in the one form, and not quoted."""
    head, body = await exchange(edge, raw)
    problem = json.loads(body)
    assert head.split(b" ", 2)[1] == b"%d" % status
    assert b"application/problem+json" in head
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["request_id"].encode() in head
    assert b"xxxx" not in body


@pytest.mark.promise("input.size")
async def test_a_head_that_never_ends_is_cut_off(certificate_folder):
    """One byte now and then must not hold a connection for ever."""
    async with running_rest_edge(certificate_folder, idle_timeout_s=1) as edge:
        assert await exchange(edge, b"GET /health HTTP/1.1\r\nX-Slow: ") == (b"", b"")


async def test_a_body_that_never_ends_is_refused(certificate_folder):
    """The client is told why, and the connection ends."""
    async with running_rest_edge(certificate_folder, body_timeout_s=1) as edge:
        request = (
            f"POST /v1/availability HTTP/1.1\r\nHost: a\r\nX-API-Key: {API_KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        head, body = await exchange(edge, request.encode())
        assert head.startswith(b"HTTP/1.1 408")
        assert json.loads(body)["reason"] == "BODY_TIMEOUT"


async def test_an_answer_that_is_not_read_is_cut_off(certificate_folder):
    """A reader that stops reading must not hold an answer in memory for ever."""
    async with running_rest_edge(certificate_folder, write_timeout_s=1) as edge:
        row = resources_pb2.Subscription(display_name="x" * 100_000)
        edge.backends.mail.answers["ListSubscriptions"] = mail_pb2.ListSubscriptionsResponse(
            subscriptions=[row] * 30
        )
        host, _, port = edge.address.rpartition(":")
        request = f"GET /v1/mailboxes/me/subscriptions HTTP/1.1\r\nHost: a\r\nX-API-Key: {API_KEY}\r\n\r\n"
        reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
        writer.write(request.encode() * 5)
        async with asyncio.timeout(5):
            await reader.readuntil(b"\r\n\r\n")
            reader._transport.pause_reading()
            await asyncio.sleep(1.5)  # the time that the edge grants is what is tested
            reader._transport.resume_reading()
            assert await _bytes_left(reader) < 5 * 30 * 100_000
        writer.close()


async def _bytes_left(reader: asyncio.StreamReader) -> int:
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while part := await reader.read(1_000_000):
            count += len(part)
    return count


@pytest.mark.promise("stopping.flight")
async def test_requests_in_flight_are_finished_before_the_end(certificate_folder):
    """SIGTERM costs nobody an answer."""
    async with running_rest_edge(certificate_folder, drain_s=3) as edge:
        edge.backends.mail.may_answer.clear()
        asked = asyncio.create_task(edge.get("/v1/mailboxes"))
        async with asyncio.timeout(5):
            await edge.backends.mail.has_been_asked.wait()
        asyncio.get_running_loop().call_later(0.3, edge.backends.mail.may_answer.set)
    async with asyncio.timeout(5):
        assert (await asked).status == 200
