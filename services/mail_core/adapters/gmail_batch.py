"""Google's batch format (multipart/mixed of whole HTTP messages), written and read as bytes.

Source: Gmail API "Batching requests". Answers may come in any order and are matched by Content-ID.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.mail_core.adapters.google_services import WireRequest

MAX_PARTS: Final = 25
"""Gmail runs a batch's parts at once and answers 429 to those beyond some 25."""

_HEADERS_THAT_TRAVEL: Final = ("accept", "content-type")


@dataclass(frozen=True, slots=True)
class Part:
    """One answer of a batch. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes


def encode(requests: Sequence[WireRequest]) -> tuple[str, bytes]:
    """Write a batch. Returns its Content-Type and its body."""
    boundary = f"mailwarden-{secrets.token_hex(12)}"
    chunks = [_encode_part(boundary, number, request) for number, request in enumerate(requests)]
    body = b"".join(chunks) + f"--{boundary}--\r\n".encode()
    return f"multipart/mixed; boundary={boundary}", body


def _encode_part(boundary: str, number: int, request: WireRequest) -> bytes:
    parts = urlsplit(request.uri)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = [f"{name}: {request.headers[name]}" for name in _HEADERS_THAT_TRAVEL if name in request.headers]
    if request.body is not None:
        headers.append(f"content-length: {len(request.body)}")
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: <part-{number}>",
        "",
        f"{request.method} {target} HTTP/1.1",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + (request.body or b"") + b"\r\n"


def decode(content_type: str, body: bytes) -> dict[int, Part]:
    """Read a batch's answer into its parts, by the number of their request.

    A part that cannot be read or matched is left out. Raises ValueError when it is no batch at all.
    """
    boundary = _boundary(content_type)
    parts: dict[int, Part] = {}
    for chunk in body.split(b"--" + boundary)[1:]:
        if chunk.startswith(b"--"):
            break
        numbered = _decode_part(chunk)
        if numbered is not None:
            parts[numbered[0]] = numbered[1]
    return parts


def _boundary(content_type: str) -> bytes:
    kind, *parameters = content_type.split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary" and value and kind.strip().lower() == "multipart/mixed":
            return value.strip().strip('"').encode()
    raise ValueError("answer is no batch")


def _decode_part(chunk: bytes) -> tuple[int, Part] | None:
    envelope, _, message = _split_head(chunk.lstrip(b"\r\n"))
    head, separator, content = _split_head(message)
    status_line, _, header_lines = head.partition(b"\n")
    number = _number(_headers(envelope).get("content-id", ""))
    status = _status(status_line)
    if number is None or status is None or not separator:
        return None
    return number, Part(status, _headers(header_lines), content.rstrip(b"\r\n"))


def _split_head(message: bytes) -> tuple[bytes, bytes, bytes]:
    crlf = message.find(b"\r\n\r\n")
    newline = message.find(b"\n\n")
    if crlf >= 0 and (newline < 0 or crlf < newline):
        return message[:crlf], b"\r\n\r\n", message[crlf + 4 :]
    return message.partition(b"\n\n")


def _headers(lines: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines.decode("latin-1").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _number(content_id: str) -> int | None:
    # Google answers <response-X> to the Content-ID <X>.
    text = content_id.strip("<>").removeprefix("response-").removeprefix("part-")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PARTS)) else None


def _status(line: bytes) -> int | None:
    words = line.split(None, 2)
    is_status_line = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return int(words[1]) if is_status_line else None
