"""The table of routes. The server, the OpenAPI document and its tests are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from pydantic import BaseModel

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from services.common.grpc_server import snake_case
from services.edge_rest.audit_view import AuditLine, AuditPage
from services.edge_rest.handlers import Handlers
from services.edge_rest.schemas import (
    AuditQuery,
    AvailabilityBody,
    ClientBody,
    ExportQuery,
    KeyBody,
    MailboxBody,
    MeetingIntervalsBody,
    PageQuery,
    RotateBody,
    ScanBody,
    SubscriptionsQuery,
    TokenBody,
    UnsubscribeBody,
)

_AUTH: Final = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].methods_by_name
_AUDIT: Final = auth_pb2.DESCRIPTOR.services_by_name["AuditService"].methods_by_name
_TEAM: Final = auth_pb2.DESCRIPTOR.services_by_name["TeamService"].methods_by_name
_MAIL: Final = mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name
_PROBES: Final = frozenset({"health", "ready"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. `rpc` is the method of the contract that it shows; `page` names what no RPC answers."""

    method: str
    path: str
    tag: str
    rpc: MethodDescriptor | None = None
    page: str = ""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_is_required: bool = True
    status: int = 200
    is_stream: bool = False
    shape: type[BaseModel] | None = None
    """What a good answer is shown as, where that is not the contract's own message."""
    is_export: bool = False
    """Whether the answer is lines of `shape` without end in sight."""

    @property
    def name(self) -> str:
        """The route for logs, spans and metrics, for example `GET /v1/mailboxes`."""
        return f"{self.method} {self.path}"

    @property
    def handler(self) -> str:
        """The method of `Handlers` that answers, and the operation's id: the RPC's own word."""
        return snake_case(self.rpc.name) if self.rpc else self.page

    @property
    def is_private(self) -> bool:
        """Whether a credential is needed."""
        return self.rpc is not None

    @property
    def is_probe(self) -> bool:
        """Whether it is asked by who watches over us, and so never refused for being asked often."""
        return self.page in _PROBES

    @property
    def answer(self) -> Descriptor | None:
        """The message that a successful answer shows."""
        return self.rpc.output_type if self.rpc and not self.shape else None

    @property
    def stays_open(self) -> bool:
        """Whether the answer may take longer than any deadline."""
        return self.is_stream or self.is_export

    @property
    def takes_idempotency_key(self) -> bool:
        """Whether the contract knows repeats of this request by a request id."""
        return self.rpc is not None and self.status == web.HTTPAccepted.status_code


_MAILBOX: Final = "/v1/mailboxes/{mailbox_id}"
_KEY: Final = "/v1/team/keys/{key_id}"
_OPERATION: Final = "/v1/operations/{operation_id}"

ROUTES: Final = (
    Route(method="GET", path="/health", page="health", tag="service"),
    Route(method="GET", path="/ready", page="ready", tag="service"),
    Route(method="GET", path="/openapi.json", page="openapi_document", tag="service"),
    Route(method="GET", path="/v1/me", tag="caller", rpc=_AUTH["GetMe"]),
    Route(method="GET", path="/v1/team", tag="team", rpc=_TEAM["GetTeam"]),
    Route(method="GET", path="/v1/team/keys", tag="team", rpc=_TEAM["ListKeys"], query=PageQuery),
    Route(
        method="POST",
        path="/v1/team/keys",
        tag="team",
        rpc=_TEAM["CreateKey"],
        body=KeyBody,
        status=201,
    ),
    Route(method="DELETE", path=_KEY, tag="team", rpc=_TEAM["RevokeKey"]),
    Route(
        method="POST",
        path=f"{_KEY}/rotate",
        tag="team",
        rpc=_TEAM["RotateKey"],
        body=RotateBody,
        body_is_required=False,
        status=201,
    ),
    Route(method="GET", path="/v1/team/grants", tag="team", rpc=_TEAM["ListGrants"], query=PageQuery),
    Route(method="DELETE", path="/v1/team/grants/{grant_id}", tag="team", rpc=_TEAM["RevokeGrant"]),
    Route(method="GET", path="/v1/team/clients", tag="team", rpc=_TEAM["ListClients"]),
    Route(
        # Not DELETE: the id of a client may be an address, which is no part of a path.
        method="POST",
        path="/v1/team/clients/revoke",
        tag="team",
        rpc=_TEAM["RevokeClient"],
        body=ClientBody,
    ),
    Route(
        # Not DELETE: a token's text is a secret, and no part of a path.
        method="POST",
        path="/v1/team/tokens/revoke",
        tag="team",
        rpc=_TEAM["RevokeToken"],
        body=TokenBody,
    ),
    Route(
        method="GET",
        path="/v1/audit",
        tag="audit",
        rpc=_AUDIT["ListEvents"],
        query=AuditQuery,
        shape=AuditPage,
    ),
    Route(
        method="GET",
        path="/v1/audit/export",
        tag="audit",
        rpc=_AUDIT["ExportEvents"],
        query=ExportQuery,
        shape=AuditLine,
        is_export=True,
    ),
    Route(
        method="GET",
        path="/v1/mailboxes",
        tag="mailboxes",
        rpc=_MAIL["ListMailboxes"],
        query=PageQuery,
    ),
    Route(method="PATCH", path=_MAILBOX, tag="mailboxes", rpc=_MAIL["UpdateMailbox"], body=MailboxBody),
    Route(
        method="POST",
        path=f"{_MAILBOX}/scans",
        tag="mailboxes",
        rpc=_MAIL["ScanMailbox"],
        body=ScanBody,
        body_is_required=False,
        status=202,
    ),
    Route(
        method="GET",
        path=f"{_MAILBOX}/subscriptions",
        tag="subscriptions",
        rpc=_MAIL["ListSubscriptions"],
        query=SubscriptionsQuery,
    ),
    Route(
        method="POST",
        path=f"{_MAILBOX}/unsubscribes",
        tag="subscriptions",
        rpc=_MAIL["Unsubscribe"],
        body=UnsubscribeBody,
        status=202,
    ),
    Route(
        method="GET",
        path=f"{_MAILBOX}/unsubscribes",
        tag="subscriptions",
        rpc=_MAIL["ListUnsubscribes"],
        query=PageQuery,
    ),
    Route(
        method="POST",
        path="/v1/availability",
        tag="calendar",
        rpc=_MAIL["CheckAvailability"],
        body=AvailabilityBody,
    ),
    Route(
        method="POST",
        path="/v1/meeting-intervals",
        tag="calendar",
        rpc=_MAIL["SuggestMeetingIntervals"],
        body=MeetingIntervalsBody,
    ),
    Route(method="GET", path=_OPERATION, tag="operations", rpc=_MAIL["GetOperation"]),
    Route(
        method="POST",
        path=f"{_OPERATION}/cancel",
        tag="operations",
        rpc=_MAIL["CancelOperation"],
    ),
    Route(
        method="GET",
        path=f"{_OPERATION}/events",
        tag="operations",
        rpc=_MAIL["WatchOperation"],
        is_stream=True,
    ),
)

_BY_METHOD_AND_PATH: Final[Mapping[tuple[str, str], Route]] = {(r.method, r.path): r for r in ROUTES}


def find_route(request: web.Request) -> Route | None:
    """Find the row of a request; None for paths and methods that nobody serves."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return _BY_METHOD_AND_PATH.get((method, resource.canonical))


def add_routes(router: web.UrlDispatcher, handlers: Handlers) -> None:
    """Bind the table to what answers it. GET answers HEAD too, streams aside."""
    for route in ROUTES:
        handler = getattr(handlers, route.handler)
        if route.method == hdrs.METH_GET:
            router.add_get(route.path, handler, allow_head=not route.stays_open)
        else:
            router.add_route(route.method, route.path, handler)
