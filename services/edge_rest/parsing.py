"""What clients send, as checked values: bodies, queries and the Idempotency-Key."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.common.errors import invalid
from services.common.problem import HttpError
from services.edge_rest.problems import body_too_large, from_validation

M = TypeVar("M", bound=BaseModel)

IDEMPOTENCY_KEY: Final = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads JSON bodies within bounds of size and time."""

    max_bytes: int
    timeout_s: float

    async def read(self, request: web.Request, model: type[M]) -> M:
        """Read the body into a model. No body at all is an empty object.

        Raises AppError: BODY_TOO_LARGE (413), MEDIA_TYPE_UNSUPPORTED (415), BODY_TIMEOUT (408),
        JSON_INVALID, REQUEST_INVALID.
        """
        if (request.content_length or 0) > self.max_bytes:
            raise body_too_large(self.max_bytes)
        raw = await self._bytes(request)
        if raw:
            _require_json(request)
        return _validated(model, parse_json(raw) if raw else {})

    async def _bytes(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await request.read()
        except TimeoutError:
            message = f"The body did not arrive within {self.timeout_s:g} s."
            raise HttpError(408, "BODY_TIMEOUT", message) from None
        except web.HTTPRequestEntityTooLarge:
            raise body_too_large(self.max_bytes) from None
        except web.RequestPayloadError:
            raise invalid("BODY_MALFORMED", "The body does not follow its own framing.") from None


def _require_json(request: web.Request) -> None:
    charset = (request.charset or "utf-8").lower()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if request.content_type != "application/json" or charset != "utf-8" or encoding != "identity":
        message = "Send application/json in UTF-8, not compressed."
        raise HttpError(415, "MEDIA_TYPE_UNSUPPORTED", message, headers={"Accept": "application/json"})


def parse_json(raw: bytes) -> Any:
    """Parse strict JSON (RFC 8259): UTF-8, no NaN, bounded nesting, no name twice.

    Raises AppError JSON_INVALID.
    """
    try:
        orjson.loads(raw)
        # Read again, because orjson keeps the last of two equal names and rounds large numbers.
        return json.loads(raw, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: line {error.lineno}, column {error.colno}."
        raise invalid("JSON_INVALID", message) from None
    except _DuplicateNameError:
        raise invalid("JSON_INVALID", "A name appears twice in one object.") from None
    except (RecursionError, ValueError):
        raise invalid("JSON_INVALID", "The body is nested too deeply, or holds a number too long.") from None


class _DuplicateNameError(Exception):
    pass


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateNameError
    return found


def read_query(request: web.Request, model: type[M]) -> M:
    """Read the query string into a model; fields that are lists may be given several times.

    Raises AppError REQUEST_INVALID.
    """
    query = request.query
    found: dict[str, Any] = {}
    for name in query:
        values = query.getall(name)
        field = model.model_fields.get(name)
        takes_several = field is not None and field.default_factory is not None
        found[name] = values if takes_several or len(values) > 1 else values[0]
    return _validated(model, found)


def _validated(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise from_validation(error) from None


def idempotency_key(request: web.Request) -> str:
    """Give the client's Idempotency-Key as the request id of the write; empty when there is none.

    Raises AppError REQUEST_ID_INVALID when it is there and says nothing, or is there twice: to go on
    without it could do the work twice.
    """
    keys = request.headers.getall(IDEMPOTENCY_KEY, [])
    if not keys:
        return ""
    if len(keys) > 1 or not keys[0] or not keys[0].isascii():
        message = f"{IDEMPOTENCY_KEY} must be there once, with 1 to 128 printable ASCII characters."
        raise invalid("REQUEST_ID_INVALID", message, field=IDEMPOTENCY_KEY)
    return keys[0]


def path_id(request: web.Request, name: str) -> str:
    """Give an id out of the path. Raises AppError PATH_INVALID when it is no text at all."""
    value = request.match_info[name]
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid("PATH_INVALID", "The path is not UTF-8.", field=name) from None
    return value
