"""Google's batch endpoint: up to 100 calls in one multipart/mixed request, run at once, refused singly."""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

from services.sandbox.errors import ApiError, invalid
from services.sandbox.google_api import ApiRequest, ApiResponse, GoogleApi

MAX_PARTS = 100
_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+)(?: HTTP/\d\.\d)?")


@dataclass(frozen=True, slots=True)
class Part:
    """One call inside a batch."""

    content_id: str
    request: ApiRequest


def read_parts(content_type: str, body: bytes, outer: Mapping[str, str]) -> list[Part]:
    """Split a batch into its calls; the Authorization of the batch holds for parts that bring none.

    Raises:
        ApiError: 400, the body is no batch, or has more than 100 calls.

    """
    chunks = _chunks(_boundary(content_type), body)
    if len(chunks) > MAX_PARTS:
        message = f"Inner request count exceeds the limit. Received: {len(chunks)}, Limit: {MAX_PARTS}"
        raise invalid(message, "badRequest")
    if not chunks:
        raise _malformed()
    return [_part(chunk, outer) for chunk in chunks]


async def answer(api: GoogleApi, parts: list[Part]) -> tuple[str, bytes]:
    """Run all parts at once and render the answer: its content type and body."""
    calls = [api.open(part.request) for part in parts]
    answers = await asyncio.gather(*(api.finish(call) for call in calls))
    boundary = f"batch_{uuid.uuid4().hex}"
    rendered = [_rendered(part, reply, boundary) for part, reply in zip(parts, answers, strict=True)]
    return f"multipart/mixed; boundary={boundary}", b"".join(rendered) + f"--{boundary}--\r\n".encode()


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/mixed" or not boundary:
        raise _malformed()
    return boundary.encode(errors="replace")


def _chunks(boundary: bytes, body: bytes) -> list[bytes]:
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)", body)
    # Splitting by one group gives text, mark, text, mark, text: what follows a closing mark is epilogue.
    chunks: list[bytes] = []
    for mark, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if mark:
            break
        chunks.append(text)
    return chunks


def _part(chunk: bytes, outer: Mapping[str, str]) -> Part:
    envelope, inner = _headers_and_rest(chunk.lstrip(b"\r\n"))
    if envelope.get("content-type", "application/http").split(";")[0].strip().lower() != "application/http":
        raise _malformed()
    line, _, rest = inner.lstrip(b"\r\n").partition(b"\n")
    found = _REQUEST_LINE.fullmatch(line.decode("utf-8", "replace").strip())
    if not found:
        raise _malformed()
    headers, body = _headers_and_rest(rest)
    if "authorization" not in headers and "authorization" in outer:
        headers["authorization"] = outer["authorization"]
    return Part(envelope.get("content-id", ""), ApiRequest(found[1], found[2], headers, body))


def _headers_and_rest(text: bytes) -> tuple[dict[str, str], bytes]:
    if re.match(rb"\r?\n", text) or not text:
        return {}, text.lstrip(b"\r\n")
    head, _, rest = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = [line.partition(b":") for line in head.split(b"\n")]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}, rest


def _rendered(part: Part, reply: ApiResponse, boundary: str) -> bytes:
    body = b"" if reply.json is None else json.dumps(reply.json, indent=1).encode()
    lines = [f"--{boundary}", "Content-Type: application/http"]
    if part.content_id:
        lines.append(f"Content-ID: {_response_id(part.content_id)}")
    lines += ["", f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines += ["Content-Type: application/json; charset=UTF-8", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body + b"\r\n"


def _response_id(content_id: str) -> str:
    """`<item1>` becomes `<response-item1>`."""
    bare = content_id.strip()
    return f"<response-{bare[1:]}" if bare.startswith("<") else f"response-{bare}"


def _malformed() -> ApiError:
    return invalid("Failed to parse batch request, error: missing or malformed part", "badRequest")
