"""The OpenAPI document is valid, says what the edge does, and the edge does what it says."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

from services.common.errors import AppError, Kind
from services.edge_rest.documented_errors import reasons_of
from services.edge_rest.openapi import openapi_document
from services.edge_rest.routes import ROUTES
from tests.fakes.grpc_backends import API_KEY, MAILBOX_ID, SUBSCRIPTION_IDS
from tests.fakes.rest_edge import Answer, RestEdge, running_rest_edge
from tests.fakes.teams import CLIENT, GRANT_ID

DOCUMENT = openapi_document()
OPERATIONS = [
    pytest.param(path, method, id=f"{method.upper()} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
]
PROBLEM = "application/problem+json"


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[RestEdge]:
    async with running_rest_edge(tmp_path / "certificates", event_heartbeat_s=0.2) as running:
        yield running


def check(schema: dict[str, Any], value: Any) -> None:
    """Validate a value as a part of the document would have it."""
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker(["date-time"])).validate(value)


def check_answer(path: str, method: str, answer: Answer) -> None:
    """Check an answer against what the document says about its status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, f"{answer.status} is not documented: {answer.body}"
    response = responses[str(answer.status)]
    assert set(response["headers"]) <= {name.title() for name in answer.headers} | set(answer.headers)
    media = response["content"][answer.headers["Content-Type"].partition(";")[0]]
    check(media["schema"], answer.body)


def test_document_is_valid():
    """OpenAPI 3.1, every schema a valid JSON Schema 2020-12."""
    validate(DOCUMENT)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_document_is_served(edge):
    """Without a credential: it says how to get in."""
    answer = await edge.get("/openapi.json", headers={})
    assert answer.body == DOCUMENT


def test_document_names_where_clients_reach_the_edge():
    """The public URL is a setting."""
    assert openapi_document("https://mail.example.com")["servers"] == [{"url": "https://mail.example.com"}]


def test_where_there_is_an_authorization_server_the_document_says_how_to_get_a_token():
    """And which scope opens which route; the one that no token holds is not offered."""
    document = openapi_document("https://mail.example.com", "https://auth.example.com")
    validate(document)
    scheme = document["components"]["securitySchemes"]["OAuth"]
    assert {"OAuth": []} in document["security"]
    assert scheme["flows"]["clientCredentials"]["tokenUrl"] == "https://auth.example.com/oauth/token"
    scopes = scheme["flows"]["authorizationCode"]["scopes"]
    assert scopes["audit:read"] == "GET /v1/audit, GET /v1/audit/export"
    assert "team:admin" not in scopes
    assert "OAuth" not in DOCUMENT["components"]["securitySchemes"]


def test_every_route_is_documented_and_nothing_else():
    """The table of routes is the only list."""
    documented = {(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert documented == {(route.path, route.method) for route in ROUTES}
    assert len({route.handler for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_says_what_a_client_needs(path, method):
    """Words, parameters, good answer, refusals, and what it takes to be let in."""
    operation = DOCUMENT["paths"][path][method]
    assert operation["summary"]
    assert operation["description"]
    named = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))
    expected = {"default"} if operation.get("security") == [] else {"401", "500", "503", "504", "default"}
    assert expected <= set(operation["responses"])
    assert all("X-Request-Id" in response["headers"] for response in operation["responses"].values())


@pytest.mark.parametrize("route", [route for route in ROUTES if route.rpc], ids=lambda route: route.name)
def test_every_reason_of_the_contract_is_documented(route):
    """Reasons are listed by their names, so that a client can look for them."""
    text = str(DOCUMENT["paths"][route.path][route.method.lower()]["responses"])
    for reasons in reasons_of(route.rpc).values():
        assert all(f"`{reason}`" in text for reason in reasons)


def test_reasons_of_a_method_that_refers_to_another_are_followed():
    """`Errors: as ListSubscriptions.` means its reasons."""
    by_name = {route.handler: reasons_of(route.rpc) for route in ROUTES if route.rpc}
    assert by_name["list_unsubscribes"] == by_name["list_subscriptions"]
    assert "WINDOW_INVERTED" in by_name["suggest_meeting_intervals"][Kind.INVALID_ARGUMENT]
    assert "DURATION_OUT_OF_RANGE" in by_name["suggest_meeting_intervals"][Kind.INVALID_ARGUMENT]
    assert by_name["scan_mailbox"][Kind.ALREADY_EXISTS] == ("REQUEST_ID_REUSED",)
    assert "GMAIL_QUOTA" not in str(by_name["scan_mailbox"])  # of the operation, not of the call


def examples(operation: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    shown = [media for body in bodies for media in body.get("content", {}).values()]
    shown += operation.get("parameters", ())
    yield from ((part["schema"], part["example"]) for part in shown if "example" in part)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_examples_are_examples_of_their_schemas(path, method):
    """What is copied and pasted works."""
    for schema, example in examples(DOCUMENT["paths"][path][method]):
        check(schema, example)


WINDOW = {"start": "2026-03-10T09:00:00Z", "end": "2026-03-10T12:00:00Z"}
GOOD = [
    ("get", "/health", {}),
    ("get", "/ready", {}),
    ("get", "/openapi.json", {}),
    ("get", "/v1/me", {}),
    ("get", "/v1/team", {}),
    ("get", "/v1/team/keys", {}),
    ("post", "/v1/team/keys", {"json": {"label": "ci", "restrictions": {"read_only": True}}}),
    ("post", "/v1/team/keys/{key_id}/rotate", {"json": {"overlap_minutes": 0}}),
    ("delete", "/v1/team/keys/{key_id}", {}),
    ("get", "/v1/team/grants", {}),
    ("delete", "/v1/team/grants/{grant_id}", {}),
    ("get", "/v1/team/clients", {}),
    ("post", "/v1/team/clients/revoke", {"json": {"client_id": CLIENT}}),
    ("post", "/v1/team/tokens/revoke", {"json": {"token_id": "0" * 32}}),
    ("get", "/v1/audit", {}),
    ("get", "/v1/audit/export", {}),
    ("get", "/v1/mailboxes", {}),
    ("patch", "/v1/mailboxes/{mailbox_id}", {"json": {"label": "agents/news"}}),
    ("post", "/v1/mailboxes/{mailbox_id}/scans", {"json": {"dry_run": True}}),
    ("get", "/v1/mailboxes/{mailbox_id}/subscriptions", {}),
    (
        "post",
        "/v1/mailboxes/{mailbox_id}/unsubscribes",
        {"json": {"subscription_ids": [SUBSCRIPTION_IDS[0]]}},
    ),
    ("get", "/v1/mailboxes/{mailbox_id}/unsubscribes", {}),
    ("post", "/v1/availability", {"json": WINDOW}),
    ("post", "/v1/meeting-intervals", {"json": WINDOW}),
    ("get", "/v1/operations/{operation_id}", {}),
    ("post", "/v1/operations/{operation_id}/cancel", {}),
    ("get", "/v1/operations/{operation_id}/events", {}),
]


def test_every_operation_is_tried():
    """A new route cannot be forgotten below."""
    assert {(path, method) for method, path, _ in GOOD} == {tuple(case.values) for case in OPERATIONS}


async def filled(edge: RestEdge, path: str) -> str:
    if "{operation_id}" in path:
        operation_id = (
            await edge.post("/v1/mailboxes/me/unsubscribes", json={"subscription_ids": ["a"]})
        ).body["id"]
        return path.replace("{operation_id}", operation_id)
    if "{key_id}" in path:
        made = await edge.post("/v1/team/keys", json={"label": "ci"})
        return path.replace("{key_id}", made.body["key"]["id"])
    return path.replace("{mailbox_id}", MAILBOX_ID).replace("{grant_id}", GRANT_ID)


@pytest.mark.parametrize(("method", "path", "options"), GOOD, ids=[f"{m} {p}" for m, p, _ in GOOD])
async def test_good_answers_are_as_documented(edge, method, path, options):
    """Status, headers, media type and body of a real answer."""
    answer = await edge.ask(method.upper(), await filled(edge, path), **options)
    assert answer.status < 300
    check_answer(path, method, answer)


@pytest.mark.promise("input.documented")
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {}}, 401),
        ({"json": {}}, 400),
        ({"json": [1]}, 400),
        ({"data": b"{"}, 415),
        ({"data": b"{", "headers": {"X-API-Key": API_KEY, "Content-Type": "application/json"}}, 400),
        ({"data": b"x", "headers": {"X-API-Key": API_KEY, "Content-Length": "9999999"}}, 413),
        ({"json": {**WINDOW, "start": "2026-03-10T09:00:00"}}, 400),
    ],
    ids=range(7),
)
async def test_refusals_are_as_documented(edge, options, status):
    """Problems are documented where they happen."""
    answer = await edge.post("/v1/availability", **options)
    assert answer.status == status
    check_answer("/v1/availability", "post", answer)


@pytest.mark.parametrize(
    "kind", [Kind.PERMISSION_DENIED, Kind.NOT_FOUND, Kind.RESOURCE_EXHAUSTED, Kind.INTERNAL]
)
async def test_failures_of_the_core_are_as_documented(edge, kind):
    """Each status that the contract can lead to has its place in the document."""
    failure = AppError(kind, "SOME_REASON", "Says the core.", retry_after_s=1)
    edge.backends.mail.failures["CheckAvailability"] = failure
    check_answer("/v1/availability", "post", await edge.post("/v1/availability", json=WINDOW))


@pytest.mark.promise("input.documented")
async def test_a_fuzzer_finds_no_answer_that_is_not_documented(edge, tmp_path):
    """Schemathesis sends what the document allows and what it forbids, and believes the document."""
    program = [sys.executable, "-m", "schemathesis.cli", "run", edge.url("/openapi.json")]
    tried = (
        "/v1/availability",
        "/v1/mailboxes/{mailbox_id}/scans",
        "/v1/mailboxes/{mailbox_id}/subscriptions",
    )
    paths = [word for path in tried for word in ("--include-path", path)]
    options = ["--phases", "examples,coverage", "--max-examples", "3", "--seed", "1", "--no-color"]
    checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    process = await asyncio.create_subprocess_exec(
        *program, *options, *checks, *paths, "-H", f"X-API-Key: {API_KEY}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    async with asyncio.timeout(90):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
