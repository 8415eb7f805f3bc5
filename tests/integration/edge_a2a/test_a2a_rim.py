"""What is refused, and how: credentials, scopes, versions, bodies, shapes."""

import asyncio
import io
from typing import Any

import orjson
import pytest
from a2a.types import a2a_pb2, a2a_pb2_grpc
from google.protobuf.json_format import ParseDict
from grpc import aio

from services.common.errors import unavailable
from services.common.identity import Restrictions
from tests.fakes.a2a_edge import CARD_PATH, KEY, RPC_PATH, VERSION, A2aEdge, message_of
from tests.fakes.grpc_backends import API_KEY

WINDOW = {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T10:00:00+01:00"}
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def call(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}


@pytest.mark.parametrize("method", ["SendMessage", "GetTask", "ping", "nonsense"])
async def test_nothing_is_answered_without_a_credential(edge: A2aEdge, method: str) -> None:
    """HTTP 401 with a challenge, before any method is looked at."""
    answer = await edge.ask("POST", RPC_PATH, json=call(method), headers=VERSION)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.body["reason"] == "CREDENTIAL_MISSING"
    assert answer.headers["X-Request-Id"] == answer.body["request_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "ma_not-known"},
        {"Authorization": "Bearer ma_not-known"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "ma_with\u00a0space"},
    ],
)
async def test_a_bad_credential_is_401(edge: A2aEdge, headers: dict[str, str]) -> None:
    """Unknown, of another scheme, or malformed."""
    answer = await edge.ask("POST", RPC_PATH, json=call("ping"), headers=headers)
    assert answer.status == 401
    assert answer.body["reason"] == "CREDENTIAL_INVALID"


async def test_a_bearer_key_is_as_good_as_the_header(edge: A2aEdge) -> None:
    """Both schemes of the card work."""
    headers = {"Authorization": f"Bearer {API_KEY}", **VERSION}
    assert (await edge.task(WINDOW, headers=headers))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_the_http_binding_refuses_alike(edge: A2aEdge) -> None:
    """Statuses of HTTP, with google.rpc details in the protocol's shape."""
    path, good = "/a2a/v1/message:send", {"message": message_of(WINDOW)}
    assert (await edge.ask("POST", path, json=good, headers=VERSION)).status == 401
    edge.backends.auth.admit("ma_scanner", scopes=["mail:scan"])
    headers = {"X-API-Key": "ma_scanner", **VERSION}
    denied = await edge.ask("POST", path, json=good, headers=headers)
    assert (denied.status, denied.body["reason"]) == (403, "SCOPE_MISSING")
    bad = await edge.ask("POST", path, json={"message": message_of({"action": "x"})})
    assert bad.status == 400
    assert [d.get("reason") for d in bad.body["error"]["details"]][:2] == ["INVALID_PARAMS", "ACTION_UNKNOWN"]
    wrong_type = {**KEY, **VERSION, "Content-Type": "text/plain"}
    assert (await edge.ask("POST", path, data=b"{}", headers=wrong_type)).status == 415
    json_type = {**wrong_type, "Content-Type": "application/json"}
    assert (await edge.ask("POST", path, data=b"{", headers=json_type)).status == 400
    shape = await edge.ask("POST", path, json={"message": 7})
    assert (shape.status, "lf.a2a" in str(shape.body)) == (400, False)
    assert (await edge.ask("POST", path, json=good, headers=KEY)).status == 400
    assert (await edge.ask("GET", "/a2a/v1/tasks/nobody")).status == 404
    edge.backends.mail.failures["CheckAvailability"] = RuntimeError("secret-token-in-text")
    unexpected = await edge.ask("POST", path, json=good)
    assert (unexpected.status, "secret" in str(unexpected.body)) == (500, False)


@pytest.mark.promise("rights.scope")
async def test_a_missing_scope_is_403(edge: A2aEdge) -> None:
    """The core's refusal of the caller is HTTP's, with the scope that is wanted."""
    edge.backends.auth.admit("ma_availability", scopes=["availability:read"])
    headers = {"X-API-Key": "ma_availability", **VERSION}
    params = {"message": message_of({"action": "scan_mailbox"})}
    for method in ("SendMessage", "SendStreamingMessage"):
        answer = await edge.ask("POST", RPC_PATH, json=call(method, params), headers=headers)
        assert (answer.status, answer.body["reason"]) == (403, "SCOPE_MISSING")
    assert (await edge.task(WINDOW, headers=headers))["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.promise("rights.read-only")
async def test_a_read_only_credential_starts_nothing(edge: A2aEdge) -> None:
    """Read-only is enforced by the core and told by HTTP."""
    edge.backends.auth.admit("ma_reader", restrictions=Restrictions(read_only=True))
    params = {"message": message_of({"action": "execute_unsubscribe", "subscription_ids": ["x"]})}
    headers = {"X-API-Key": "ma_reader", **VERSION}
    answer = await edge.ask("POST", RPC_PATH, json=call("SendMessage", params), headers=headers)
    assert (answer.status, answer.body["reason"]) == (403, "READ_ONLY")
    assert edge.backends.mail.operations == {}


async def test_auth_being_down_is_503_with_retry_after(edge: A2aEdge) -> None:
    """A dead dependency is a typed error."""
    edge.backends.auth.failure = unavailable("AUTH_DOWN", "Auth does not answer.")
    answer = await edge.ask("POST", RPC_PATH, json=call("ping"), headers={"X-API-Key": "ma_fresh"})
    assert (answer.status, answer.body["reason"]) == (503, "AUTH_DOWN")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.promise("teams.ids")
@pytest.mark.parametrize("owner", [{"team_id": "8a1f0c5e-0000-4000-8000-000000000001"}, {}])
async def test_nobody_sees_anothers_task(edge: A2aEdge, owner: dict[str, str]) -> None:
    """Another team, or another caller of the team, cannot get, list, cancel or continue a task."""
    edge.backends.auth.admit("other-key-of-somebody", **owner)
    theirs = {"X-API-Key": "other-key-of-somebody", **VERSION}
    task = await edge.task("hello?")
    for method in ("GetTask", "CancelTask", "SubscribeToTask"):
        response = await edge.rpc(method, {"id": task["id"]}, headers=theirs)
        assert response["error"]["code"] == -32001
    more = await edge.send(WINDOW, message={"taskId": task["id"]}, headers=theirs)
    assert more["error"]["code"] == -32001
    assert (await edge.rpc("ListTasks", headers=theirs))["result"]["tasks"] == []
    assert len((await edge.rpc("ListTasks"))["result"]["tasks"]) == 1


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 50_000, -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b"7", -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"NoSuchMethod"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"message/send"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":7}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":[]}}', -32602),
    ],
)
async def test_garbage_is_a_typed_error(edge: A2aEdge, body: bytes, code: int) -> None:
    """JSON-RPC 2.0 codes, google.rpc details, nothing called."""
    headers = {**KEY, **VERSION, "Content-Type": "application/json"}
    answer = await edge.ask("POST", RPC_PATH, data=body, headers=headers)
    assert answer.status == 200
    assert answer.body["error"]["code"] == code
    assert answer.body["error"]["data"][0]["@type"] == ERROR_INFO
    assert edge.backends.mail.requests == []


async def test_deep_nesting_is_refused(edge: A2aEdge) -> None:
    """A message that nests without end is bad input, not a crash."""
    nested: Any = {}
    for _ in range(400):
        nested = {"a": nested}
    response = await edge.send(nested)
    assert response["error"]["code"] == -32600
    answer = await edge.ask("POST", "/a2a/v1/message:send", json={"message": message_of(nested)})
    assert answer.status == 400


@pytest.mark.promise("input.size")
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_huge_body_is_413(edge: A2aEdge, chunked: bool) -> None:
    """Whether its length was declared or not."""
    body = orjson.dumps(call("SendMessage", {"x": "a" * 2_000_000}))

    async def pieces() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    headers = {**KEY, **VERSION, "Content-Type": "application/json"}
    answer = await edge.ask("POST", RPC_PATH, data=pieces() if chunked else io.BytesIO(body), headers=headers)
    assert (answer.status, answer.body["reason"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/a2a+json"])
async def test_another_content_type_is_refused_by_the_protocols_error(
    edge: A2aEdge, content_type: str
) -> None:
    """-32005 with the reason that the protocol gives it."""
    headers = {**KEY, **VERSION, "Content-Type": content_type}
    answer = await edge.ask("POST", RPC_PATH, data=orjson.dumps(call("ping")), headers=headers)
    error = answer.body["error"]
    assert error["code"] == -32005
    assert error["data"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"


async def test_a_message_of_files_is_refused(edge: A2aEdge) -> None:
    """This agent reads data and text."""
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"raw": "AAAA", "mediaType": "image/png"}]}
    response = await edge.rpc("SendMessage", {"message": message})
    assert response["error"]["code"] == -32005


@pytest.mark.parametrize("version", ["", "0.3", "2.0", "banana"])
async def test_a_strict_request_must_say_version_1(edge: A2aEdge, version: str) -> None:
    """No version counts as 0.3; neither is served."""
    headers = {**KEY, "A2A-Version": version} if version else KEY
    response = await edge.send(WINDOW, headers=headers)
    assert response["error"]["code"] == -32009
    assert response["error"]["data"][0]["reason"] == "VERSION_NOT_SUPPORTED"


async def test_the_version_may_be_a_query_parameter(edge: A2aEdge) -> None:
    """As the specification allows."""
    body = call("SendMessage", {"message": message_of(WINDOW)})
    answer = await edge.ask("POST", f"{RPC_PATH}?A2A-Version=1.0", json=body, headers=KEY)
    assert "task" in answer.body["result"]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("CreateTaskPushNotificationConfig", -32003),
        ("GetTaskPushNotificationConfig", -32003),
        ("ListTaskPushNotificationConfigs", -32003),
        ("DeleteTaskPushNotificationConfig", -32003),
        ("GetExtendedAgentCard", -32004),
    ],
)
async def test_what_the_card_does_not_declare_is_refused(edge: A2aEdge, method: str, code: int) -> None:
    """The capability rules of A2A 1.0 §3.3.4."""
    response = await edge.rpc(method, {"taskId": "t", "id": "i", "url": "https://example.com"})
    assert response["error"]["code"] == code


async def test_a_push_configuration_is_not_silently_ignored(edge: A2aEdge) -> None:
    """A client that waits to be called back must learn that it will not be."""
    configuration = {"taskPushNotificationConfig": {"url": "https://example.com/hook"}}
    response = await edge.send(WINDOW, params={"configuration": configuration})
    assert response["error"]["code"] == -32003


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"action": "drop_database"}, "ACTION_UNKNOWN"),
        ({"action": 7}, "ACTION_UNKNOWN"),
        ({"action": "scan_mailbox", "dryrun": True}, "FIELD_UNKNOWN"),
        ({"action": "scan_mailbox", "request_id": "mine"}, "FIELD_UNKNOWN"),
        ({"action": "scan_mailbox", "dry_run": "yes"}, "FIELD_TYPE_INVALID"),
        ({"action": "scan_mailbox", "max_messages": 1.5}, "FIELD_TYPE_INVALID"),
        ({"action": "scan_mailbox", "max_messages": 1e300}, "FIELD_TYPE_INVALID"),
        ({"action": "execute_unsubscribe", "subscription_ids": "all"}, "FIELD_TYPE_INVALID"),
        ({"action": "list_unsubscribe_candidates", "states": ["great"]}, "FIELD_TYPE_INVALID"),
        ({**WINDOW, "start": "2026-03-10T09:00:00"}, "TIME_WITHOUT_OFFSET"),
        ({**WINDOW, "start": "tomorrow"}, "TIME_INVALID"),
        ({**WINDOW, "start": 7}, "TIME_INVALID"),
        ({**WINDOW, "start_time": WINDOW["start"]}, "FIELD_REPEATED"),
    ],
)
async def test_bad_input_is_invalid_params_and_calls_nothing(edge: A2aEdge, data: Any, reason: str) -> None:
    """-32602 with the reason and the field; a mistyped dry_run is not a real run."""
    error = (await edge.send(data))["error"]
    assert error["code"] == -32602
    assert error["data"][0]["reason"] == reason
    assert error["data"][1]["@type"].endswith("google.rpc.BadRequest")
    assert edge.backends.mail.requests == []


async def test_two_actions_in_one_message_are_refused(edge: A2aEdge) -> None:
    """One message, one action."""
    message = message_of(WINDOW)
    message["parts"] = message["parts"] * 2
    response = await edge.rpc("SendMessage", {"message": message})
    assert response["error"]["data"][0]["reason"] == "ACTION_AMBIGUOUS"


async def test_an_unknown_task_is_task_not_found(edge: A2aEdge) -> None:
    """Also when its id is nothing that the core could know."""
    for task_id in ("8f14e45f-ceea-4672-a3c8-9d0c5e6f7a8b", "x" * 5_000, "ä\n"):
        for method in ("GetTask", "CancelTask", "SubscribeToTask"):
            assert (await edge.rpc(method, {"id": task_id}))["error"]["code"] == -32001


@pytest.mark.parametrize("path", [RPC_PATH, f"{RPC_PATH}/"])
async def test_the_path_answers_with_and_without_a_slash(edge: A2aEdge, path: str) -> None:
    """No redirect, which would lose the body of a POST."""
    answer = await edge.ask("POST", path, json=call("ping"), allow_redirects=False)
    assert answer.status == 200
    assert answer.headers["A2A-Version"] == "1.0"


async def test_wrong_paths_and_methods_are_problems(edge: A2aEdge) -> None:
    """404 and 405 in the shape of every other HTTP error."""
    assert (await edge.ask("GET", "/nowhere")).body["reason"] == "PATH_UNKNOWN"
    wrong = await edge.ask("GET", RPC_PATH)
    assert (wrong.status, wrong.body["reason"], wrong.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")
    assert (await edge.ask("POST", CARD_PATH)).status == 405


@pytest.mark.promise("outages.health")
async def test_readiness_follows_the_backends(edge: A2aEdge) -> None:
    """A dead dependency makes the edge unready and not unhealthy."""
    assert (await edge.ask("GET", "/ready", headers={})).status == 200
    await edge.backends.stop_mail()
    assert (await edge.ask("GET", "/ready", headers={})).status == 503
    assert (await edge.ask("GET", "/health", headers={})).status == 200


@pytest.mark.promise("traces.whole", "traces.request-id")
@pytest.mark.parametrize("sampled", ["00", "01"])
async def test_one_request_id_and_one_trace_reach_the_core(edge: A2aEdge, sampled: str) -> None:
    """The call's context is the same where the SDK has been in between, streams included."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        **KEY,
        **VERSION,
        "X-Request-Id": "req-5",
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-{sampled}",
    }
    await edge.task({"action": "scan_mailbox"}, headers=headers)
    params = {"message": message_of({"action": "scan_mailbox"}, "m-2")}
    await edge.ask("POST", RPC_PATH, json=call("SendStreamingMessage", params), headers=headers)
    async with aio.insecure_channel(edge.grpc_address) as channel:
        metadata = [(name.lower(), value) for name, value in headers.items()]
        stream = a2a_pb2_grpc.A2AServiceStub(channel).SendStreamingMessage(
            ParseDict(params, a2a_pb2.SendMessageRequest()), metadata=metadata
        )
        assert len([event async for event in stream]) >= 3
    assert {made.request_id for made in edge.backends.mail.calls} == {"req-5"}
    assert {trace.trace_id_hex for trace in edge.backends.mail.traces if trace} == {trace_id}


@pytest.mark.promise("teams.requests")
async def test_requests_at_once_do_not_mix(edge: A2aEdge) -> None:
    """Twenty callers get their own request id and their own task."""

    async def one(number: int) -> str:
        headers = {**KEY, **VERSION, "X-Request-Id": f"r-{number}"}
        return (await edge.task(WINDOW, headers=headers, message_id=f"m-{number}"))["id"]

    ids = await asyncio.gather(*(one(number) for number in range(20)))
    assert len(set(ids)) == 20
    assert {made.request_id for made in edge.backends.mail.calls} == {f"r-{number}" for number in range(20)}
