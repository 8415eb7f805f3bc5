"""The OpenAPI 3.1 document, made from the route table, the request shapes and the contract."""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from services.common.policy import policy_of
from services.common.protected_resource import NEVER_GRANTED
from services.common.proto_json import component_schemas
from services.edge_rest import examples
from services.edge_rest.documented_errors import description_of
from services.edge_rest.handlers import Handlers
from services.edge_rest.openapi_answers import PROBLEM_SCHEMA, SCHEMAS, answers_of
from services.edge_rest.parsing import IDEMPOTENCY_KEY
from services.edge_rest.routes import ROUTES, Route

Json = dict[str, Any]

_TAGS: Final = {
    "service": "The service itself.",
    "caller": "Who is calling.",
    "team": "The caller's team, its keys, and what its people allowed to OAuth clients.",
    "audit": "What happened, tamper-evident.",
    "mailboxes": "Mailboxes and scanning them.",
    "subscriptions": "Mailing lists, and ending them.",
    "calendar": "Free time.",
    "operations": "Work that takes longer than a request.",
}
_ABOUT: Final = """\
Scans mailboxes, lists what fills them, ends subscriptions safely, and finds free time.

Work that takes longer than a request is an operation: the answer is 202, `Location` says where to look,
and `…/events` streams its states. A write with an `Idempotency-Key` can be repeated without being done twice.

Every error is a problem document (RFC 9457) with a stable `reason` and the `request_id` that every answer
carries in `X-Request-Id`. 429 and 503 say in `Retry-After` how many seconds to wait."""
_SECURITY_SCHEMES: Final[Json] = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a signed token (JWT)."},
}


def openapi_document(public_url: str = "", oauth_issuer: str = "") -> Json:
    """Make the document.

    `public_url` is where clients reach this edge; empty for the host that serves it. `oauth_issuer` is our
    authorization server; empty when there is none.
    """
    schemes = {**_SECURITY_SCHEMES, **({"OAuth": _oauth(oauth_issuer, public_url)} if oauth_issuer else {})}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Mailwarden REST API", "version": "1", "description": _ABOUT},
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": _paths(),
        "components": {"schemas": _schemas(), "securitySchemes": schemes},
        "security": [{name: []} for name in schemes],
    }


def _oauth(issuer: str, resource: str) -> Json:
    token_url = f"{issuer}/oauth/token"
    flow = {"tokenUrl": token_url, "scopes": _opened_by_scope()}
    return {
        "type": "oauth2",
        "description": f"An access token for the resource {resource} (RFC 8707).",
        "flows": {
            "authorizationCode": {
                **flow,
                "authorizationUrl": f"{issuer}/oauth/authorize",
                "refreshUrl": token_url,
            },
            "clientCredentials": flow,
        },
    }


def _opened_by_scope() -> dict[str, str]:
    opened: dict[str, list[str]] = {}
    for route in ROUTES:
        for scope in policy_of(route.rpc).any_scope - NEVER_GRANTED if route.rpc else ():
            opened.setdefault(scope, []).append(route.name)
    return {scope: ", ".join(names) for scope, names in sorted(opened.items())}


def _paths() -> Json:
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _schemas() -> Json:
    answers = [route.answer for route in ROUTES if route.answer]
    bodies: list[tuple[type[BaseModel], JsonSchemaMode]]
    bodies = [(route.body, "validation") for route in ROUTES if route.body]
    shapes: list[tuple[type[BaseModel], JsonSchemaMode]]
    shapes = [(route.shape, "serialization") for route in ROUTES if route.shape]
    _, made = models_json_schema(
        [*bodies, *shapes], ref_template=SCHEMAS + "{model}", schema_generator=_Untitled
    )
    return {**component_schemas(answers, SCHEMAS), **made["$defs"], "Problem": PROBLEM_SCHEMA}


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes up from names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _operation(route: Route) -> Json:
    description = _description(route)
    operation: Json = {
        "operationId": route.handler,
        "tags": [route.tag],
        "summary": re.split(r"[.:;]\s", description + " ", maxsplit=1)[0],
        "description": description,
        "responses": answers_of(route),
    }
    if parameters := list(_parameters(route)):
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = _request_body(route)
    if not route.is_private:
        operation["security"] = []
    return operation


def _description(route: Route) -> str:
    if route.rpc is None:
        return (getattr(Handlers, route.handler).__doc__ or "").partition(" Raises")[0]
    scopes = sorted(policy_of(route.rpc).any_scope)
    needs = f"\n\nNeeds the scope {' or '.join(f'`{scope}`' for scope in scopes)}." if scopes else ""
    return description_of(route.rpc) + needs


def _parameters(route: Route) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield _path_parameter(name)
    if route.query:
        yield from _query_parameters(route.query.model_json_schema(schema_generator=_Untitled))
    if route.takes_idempotency_key:
        text = "Names this write: the same key again gives the same operation, and nothing is done twice."
        yield _header_parameter(IDEMPOTENCY_KEY, text, "scan-2026-03-10")
    if route.is_stream:
        text = "Id of the last event seen, as browsers send it when they come back."
        yield _header_parameter("Last-Event-ID", text, "1773133260000-2")


def _path_parameter(name: str) -> Json:
    text, example = {
        "mailbox_id": ("Id of the mailbox, or `me` where the team has one.", examples.MAILBOX_ID),
        "key_id": ("Id of the key.", examples.KEY_ID),
        "grant_id": ("Id of the grant.", examples.GRANT_ID),
        "operation_id": ("Id of the operation.", examples.OPERATION_ID),
    }[name]
    schema = {"type": "string", "minLength": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": schema,
        "example": example,
    }


def _query_parameters(shape: Json) -> Iterator[Json]:
    for name, field in shape["properties"].items():
        # Absence is said by leaving the parameter out: a query has no null.
        schema = field["anyOf"][0] if "anyOf" in field else field
        text = field["description"]
        schema = {key: value for key, value in schema.items() if key not in ("description", "default")}
        yield {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


def _header_parameter(name: str, text: str, example: str) -> Json:
    schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"}
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": schema,
        "example": example,
    }


def _request_body(route: Route) -> Json:
    assert route.body is not None  # noqa: S101 - the caller has looked
    media = {"schema": {"$ref": SCHEMAS + route.body.__name__}, "example": examples.BODIES[route.body]}
    return {"required": route.body_is_required, "content": {"application/json": media}}
