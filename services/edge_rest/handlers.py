"""One handler for each route: parse, call, present."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web
from google.protobuf.message import Message

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.audit_proto import line_of
from services.common.backends import Probed, require_serving
from services.common.edge import Admission
from services.common.errors import AppError, unavailable
from services.common.problem import problem_of
from services.common.proto_json import to_dict
from services.edge_rest.audit_view import asked_export, asked_page, page_of
from services.edge_rest.events import EventStream, Feeds
from services.edge_rest.parsing import BodyReader, idempotency_key, path_id, read_query
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

ADMISSION: Final = web.RequestKey("admission", Admission)
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the routes do. `auth`, `mail` and `audit` are stubs of their services."""

    auth: Any
    team: Any
    mail: Any
    audit: Any
    backends: Probed
    bodies: BodyReader
    feeds: Feeds
    heartbeat_s: float
    openapi: bytes

    async def health(self, _request: web.Request) -> web.Response:
        """Says that the process is alive; whether it can work is `/ready`'s to say."""
        return web.Response(body=b'{"status":"ok"}', content_type=JSON)

    async def ready(self, _request: web.Request) -> web.Response:
        """Says whether to send requests here. Raises AppError NOT_READY, naming who is missing."""
        if self.feeds.is_closed:
            raise unavailable("NOT_READY", "This server is shutting down.")
        await require_serving(self.backends)
        return web.Response(body=b'{"status":"ready"}', content_type=JSON)

    async def openapi_document(self, _request: web.Request) -> web.Response:
        """Describes this API, for people and tools."""
        return web.Response(body=self.openapi, content_type=JSON, headers={"Cache-Control": "max-age=300"})

    async def get_me(self, _request: web.Request) -> web.Response:
        return shown(await self.auth.GetMe(auth_pb2.GetMeRequest()))

    async def list_events(self, request: web.Request) -> web.Response:
        answer = await self.audit.ListEvents(asked_page(read_query(request, AuditQuery)))
        return web.Response(body=orjson.dumps(page_of(answer).model_dump()), content_type=JSON)

    async def export_events(self, request: web.Request) -> web.StreamResponse:
        """Send events as lines. A line with `error` in place of an event says that the rest is missing."""
        asked = asked_export(read_query(request, ExportQuery))
        team_id = (await request[ADMISSION].authenticate()).team_id
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        try:
            async for answer in self.audit.ExportEvents(asked):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(line_of(answer.event, team_id))
        except AppError as error:
            if not response.prepared:
                raise
            await response.write(orjson.dumps({"error": _problem_body(request, error)}) + b"\n")
        except ConnectionError:
            return response  # the client has gone
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        return response

    async def get_team(self, _request: web.Request) -> web.Response:
        return shown(await self.team.GetTeam(auth_pb2.GetTeamRequest()))

    async def list_keys(self, request: web.Request) -> web.Response:
        query = read_query(request, PageQuery)
        asked = auth_pb2.ListKeysRequest(page_size=query.page_size or 0, page_token=query.page_token)
        return shown(await self.team.ListKeys(asked))

    async def create_key(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, KeyBody)
        return secret(await self.team.CreateKey(body.to_proto()))

    async def rotate_key(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, RotateBody)
        return secret(await self.team.RotateKey(body.to_proto(path_id(request, "key_id"))))

    async def revoke_key(self, request: web.Request) -> web.Response:
        asked = auth_pb2.RevokeKeyRequest(key_id=path_id(request, "key_id"))
        return shown(await self.team.RevokeKey(asked))

    async def list_grants(self, request: web.Request) -> web.Response:
        query = read_query(request, PageQuery)
        asked = auth_pb2.ListGrantsRequest(page_size=query.page_size or 0, page_token=query.page_token)
        return shown(await self.team.ListGrants(asked))

    async def revoke_grant(self, request: web.Request) -> web.Response:
        asked = auth_pb2.RevokeGrantRequest(grant_id=path_id(request, "grant_id"))
        return shown(await self.team.RevokeGrant(asked))

    async def list_clients(self, _request: web.Request) -> web.Response:
        return shown(await self.team.ListClients(auth_pb2.ListClientsRequest()))

    async def revoke_client(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, ClientBody)
        return shown(await self.team.RevokeClient(body.to_proto()))

    async def revoke_token(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, TokenBody)
        return shown(await self.team.RevokeToken(body.to_proto()))

    async def list_mailboxes(self, request: web.Request) -> web.Response:
        query = read_query(request, PageQuery)
        asked = mail_pb2.ListMailboxesRequest(page_size=query.page_size or 0, page_token=query.page_token)
        return shown(await self.mail.ListMailboxes(asked))

    async def update_mailbox(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, MailboxBody)
        asked = mail_pb2.UpdateMailboxRequest(mailbox_id=path_id(request, "mailbox_id"), label=body.label)
        return shown(await self.mail.UpdateMailbox(asked))

    async def scan_mailbox(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, ScanBody)
        asked = body.to_proto(path_id(request, "mailbox_id"), idempotency_key(request))
        return accepted(await self.mail.ScanMailbox(asked))

    async def list_subscriptions(self, request: web.Request) -> web.Response:
        query = read_query(request, SubscriptionsQuery)
        asked = mail_pb2.ListSubscriptionsRequest(
            mailbox_id=path_id(request, "mailbox_id"),
            page_size=query.page_size or 0,
            page_token=query.page_token,
            states=query.state,
        )
        return shown(await self.mail.ListSubscriptions(asked))

    async def unsubscribe(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, UnsubscribeBody)
        asked = body.to_proto(path_id(request, "mailbox_id"), idempotency_key(request))
        return accepted(await self.mail.Unsubscribe(asked))

    async def list_unsubscribes(self, request: web.Request) -> web.Response:
        query = read_query(request, PageQuery)
        asked = mail_pb2.ListUnsubscribesRequest(
            mailbox_id=path_id(request, "mailbox_id"),
            page_size=query.page_size or 0,
            page_token=query.page_token,
        )
        return shown(await self.mail.ListUnsubscribes(asked))

    async def check_availability(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, AvailabilityBody)
        return shown(await self.mail.CheckAvailability(body.to_proto()))

    async def suggest_meeting_intervals(self, request: web.Request) -> web.Response:
        body = await self.bodies.read(request, MeetingIntervalsBody)
        return shown(await self.mail.SuggestMeetingIntervals(body.to_proto()))

    async def get_operation(self, request: web.Request) -> web.Response:
        asked = mail_pb2.GetOperationRequest(id=path_id(request, "operation_id"))
        return shown(await self.mail.GetOperation(asked))

    async def cancel_operation(self, request: web.Request) -> web.Response:
        asked = mail_pb2.CancelOperationRequest(id=path_id(request, "operation_id"))
        return shown(await self.mail.CancelOperation(asked))

    async def watch_operation(self, request: web.Request) -> web.StreamResponse:
        """Send every state until the final one. The client may leave when it likes and come back."""
        stream = EventStream(request)
        try:
            with self.feeds.opened(self.mail, path_id(request, "operation_id")) as feed:
                async with aclosing(feed.updates(self.heartbeat_s)) as updates:
                    async for operation in updates:
                        if stream.has_seen(operation):
                            break
                        await stream.show(operation)
        except ConnectionError:
            pass  # the client has gone
        except AppError as error:
            if not stream.has_started:
                raise
            await stream.show_problem(_problem_body(request, error))
        return stream.response()


def shown(message: Message, status: int = 200, **headers: str) -> web.Response:
    """Answer with a message as JSON."""
    return web.Response(
        status=status, body=orjson.dumps(to_dict(message)), content_type=JSON, headers=headers
    )


def secret(message: Message) -> web.Response:
    """Answer with what is shown once, and tell everybody on the way to keep no copy."""
    return shown(message, status=201, **{"Cache-Control": "no-store"})


def accepted(operation: resources_pb2.Operation) -> web.Response:
    """Answer that work goes on elsewhere, and where."""
    return shown(operation, status=202, Location=f"/v1/operations/{operation.id}")


def _problem_body(request: web.Request, error: AppError) -> dict[str, Any]:
    admission = request[ADMISSION]
    admission.reason = error.reason
    return problem_of(error, request_id=admission.request_id, instance=request.path).body
