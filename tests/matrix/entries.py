"""Every way into the system, read from the protos, the table of routes, the tools and the A2A SDK."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import sentinel

from a2a.types import a2a_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from services.common.dispatch import PASSPORT_KEY
from services.common.policy import Policy, policy_of
from services.edge_a2a.actions import ACTIONS
from services.edge_mcp.catalog import make_tools
from services.edge_rest.routes import ROUTES
from tests.matrix.callers import AT_BACKENDS, AT_EDGES, UNKNOWN, As, Outcome, expected_of
from tests.matrix.rows import ROWS, Row
from tests.matrix.ways import action_of, by_grpc, by_http_json, by_json_rpc, by_mcp, by_rest, message_for
from tests.matrix.world import World

Ask = Callable[[World, Message, As], Awaitable[Outcome]]
A2A = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]
A2A_METHODS = tuple(A2A.methods)
BINDINGS = ("json-rpc", "http+json", "grpc")
MESSAGES = ("SendMessage", "SendStreamingMessage")


@dataclass(frozen=True, slots=True)
class Entry:
    """One way in: the RPC that judges it, how it is asked, and what the way makes of a reason."""

    id: str
    row: Row
    policy: Policy
    ask: Ask
    is_edge: bool = True
    replaced: Mapping[str, str] | None = None

    def expected(self, caller: As) -> str:
        """The reason that this caller must get here."""
        if caller in UNKNOWN:
            return (AT_EDGES if self.is_edge else AT_BACKENDS)[caller]
        reason = expected_of(self.policy, self.row, caller)
        return (self.replaced or {}).get(reason, reason)


def rpcs() -> dict[str, MethodDescriptor]:
    """Every RPC of ours by the name of its row."""
    files = (auth_pb2.DESCRIPTOR, mail_pb2.DESCRIPTOR)
    methods = [m for f in files for service in f.services_by_name.values() for m in service.methods]
    return {action_of(method): method for method in methods}


def backend_of(method: MethodDescriptor) -> str:
    """The process that answers an RPC."""
    return "auth" if ".auth." in method.containing_service.full_name else "mail_core"


def tool_names() -> set[str]:
    """Every tool there is when all are enabled."""
    return {tool.name for tool in make_tools(sentinel.mail, sentinel.operations, with_mutations=True)}


def entries() -> list[Entry]:
    """All of them."""
    known = rpcs()
    rows = {name: ROWS[name] for name in known if name in ROWS}
    made = [
        _rpc(name, known[name], row) for name, row in rows.items() if policy_of(known[name]).needs_passport
    ]
    made += [_route(route) for route in ROUTES if route.rpc and action_of(route.rpc) in rows]
    mail = {action.id: f"MailService.{action.method}" for action in ACTIONS.values()}
    made += [_tool(tool, mail[tool]) for tool in sorted(tool_names()) if tool in mail]
    for binding in BINDINGS:
        for method in MESSAGES:
            made += [_message(binding, method, action, rpc) for action, rpc in mail.items()]
        made += [_task(binding, method) for method in TASK_METHODS]
    return made


def _rpc(name: str, method: MethodDescriptor, row: Row) -> Entry:
    policy, service = policy_of(method), backend_of(method)

    async def ask(world: World, request: Message, caller: As) -> Outcome:
        passport = await world.passport(caller, service, policy.any_scope)
        metadata = {PASSPORT_KEY: passport} if passport else {}
        return await by_grpc(world.wire(service, min(policy.callers)), method, request, metadata)

    return Entry(f"rpc {name}", row, policy, ask, is_edge=False)


def _route(route: Any) -> Entry:
    policy, row = policy_of(route.rpc), ROWS[action_of(route.rpc)]

    async def ask(world: World, request: Message, caller: As) -> Outcome:
        headers = await world.credential(caller, policy.any_scope)
        return await by_rest(world.http, world.system.rest, route, request, headers)

    return Entry(f"rest {route.name}", row, policy, ask)


def _tool(tool: str, rpc: str) -> Entry:
    policy, row = policy_of(rpcs()[rpc]), ROWS[rpc]

    async def ask(world: World, request: Message, caller: As) -> Outcome:
        headers = await world.credential(caller, policy.any_scope)
        return await by_mcp(world.http, world.system.mcp, tool, request, headers)

    return Entry(f"mcp {tool}", row, policy, ask)


# --- A2A: messages ask for actions, the other methods look after tasks


def _message(binding: str, method: str, action: str, rpc: str) -> Entry:
    policy, row = policy_of(rpcs()[rpc]), ROWS[rpc]

    async def ask(world: World, request: Message, caller: As) -> Outcome:
        headers = await world.credential(caller, policy.any_scope)
        return await by_a2a(world, binding, method, message_for(action, request), headers)

    return Entry(f"a2a {binding} {method} {action}", row, policy, ask)


HTTP_PATHS = {
    "SendMessage": ("POST", "/message:send"),
    "SendStreamingMessage": ("POST", "/message:stream"),
    "GetTask": ("GET", "/tasks/{id}"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/{id}:cancel"),
    "SubscribeToTask": ("GET", "/tasks/{id}:subscribe"),
    "CreateTaskPushNotificationConfig": ("POST", "/tasks/{id}/pushNotificationConfigs"),
    "GetTaskPushNotificationConfig": ("GET", "/tasks/{id}/pushNotificationConfigs/1"),
    "ListTaskPushNotificationConfigs": ("GET", "/tasks/{id}/pushNotificationConfigs"),
    "DeleteTaskPushNotificationConfig": ("DELETE", "/tasks/{id}/pushNotificationConfigs/1"),
    "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
}
"""A2A 1.0 §11: where the HTTP+JSON binding serves each method."""

NO_TASK = "TASK_NOT_FOUND"
_NO_PUSH = "PUSH_NOTIFICATION_NOT_SUPPORTED"
_HIDDEN = dict.fromkeys(("SCOPE_MISSING", "READ_ONLY", "OPERATION_NOT_FOUND"), NO_TASK)


@dataclass(frozen=True, slots=True)
class TaskMethod:
    """A method about tasks: its parameters, the RPC that judges it (none: anybody known may), its outcome."""

    params: Callable[[str], Message]
    rpc: str = ""
    done: str = "OK"


_FOUND = "MailService.GetOperation"
TASK_METHODS: Mapping[str, TaskMethod] = {
    "GetTask": TaskMethod(lambda task: a2a_pb2.GetTaskRequest(id=task), _FOUND),
    "ListTasks": TaskMethod(lambda task: a2a_pb2.ListTasksRequest()),
    # The task has ended: whoever may see it learns that, and nobody else learns that there is one.
    "CancelTask": TaskMethod(lambda task: a2a_pb2.CancelTaskRequest(id=task), _FOUND, "TASK_NOT_CANCELABLE"),
    "SubscribeToTask": TaskMethod(
        lambda task: a2a_pb2.SubscribeToTaskRequest(id=task), _FOUND, "UNSUPPORTED_OPERATION"
    ),
    "CreateTaskPushNotificationConfig": TaskMethod(
        lambda task: a2a_pb2.TaskPushNotificationConfig(task_id=task, url="https://hooks.example/1"),
        done=_NO_PUSH,
    ),
    "GetTaskPushNotificationConfig": TaskMethod(
        lambda task: a2a_pb2.GetTaskPushNotificationConfigRequest(task_id=task, id="1"), done=_NO_PUSH
    ),
    "ListTaskPushNotificationConfigs": TaskMethod(
        lambda task: a2a_pb2.ListTaskPushNotificationConfigsRequest(task_id=task), done=_NO_PUSH
    ),
    "DeleteTaskPushNotificationConfig": TaskMethod(
        lambda task: a2a_pb2.DeleteTaskPushNotificationConfigRequest(task_id=task, id="1"), done=_NO_PUSH
    ),
    "GetExtendedAgentCard": TaskMethod(
        lambda task: a2a_pb2.GetExtendedAgentCardRequest(), done="UNSUPPORTED_OPERATION"
    ),
}


def _task(binding: str, name: str) -> Entry:
    method = TASK_METHODS[name]
    policy = policy_of(rpcs()[method.rpc or "AuthService.GetMe"])
    lacking = policy.any_scope
    hidden = {"ids": ("request_id",), "foreign": NO_TASK, "narrowed": NO_TASK} if method.rpc else {}
    row = Row(
        lambda world: mail_pb2.GetOperationRequest(request_id=world.task_id),
        done=method.done,
        lists_own=True,
        echoes=True,
        **hidden,
    )

    async def ask(world: World, request: Any, caller: As) -> Outcome:
        headers = await world.credential(caller, lacking)
        return await by_a2a(world, binding, name, method.params(request.request_id), headers)

    return Entry(f"a2a {binding} {name}", row, policy, ask, replaced=_HIDDEN)


async def by_a2a(world: World, binding: str, name: str, params: Any, headers: Mapping[str, str]) -> Outcome:
    """Ask one method by one binding."""
    if binding == "json-rpc":
        return await by_json_rpc(world.http, world.system.a2a, name, params, headers)
    if binding == "http+json":
        verb, path = HTTP_PATHS[name]
        task = getattr(params, "task_id", "") or getattr(params, "id", "")
        asked = (verb, f"/a2a/v1{path.replace('{id}', task)}")
        return await by_http_json(world.http, world.system.a2a, asked, params, headers)
    metadata = {header.lower(): value for header, value in headers.items()} | {"a2a-version": "1.0"}
    return await by_grpc(world.agent_wire, A2A.methods_by_name[name], params, metadata)
