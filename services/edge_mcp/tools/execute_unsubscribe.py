"""`execute_unsubscribe`: end the mailing lists that a person chose."""

from typing import Annotated
from uuid import uuid4

from mcp_types import ToolAnnotations
from pydantic import Field

from protos.mail.v1 import mail_pb2, mail_pb2_grpc, resources_pb2
from services.common.proto_json import enum_words
from services.edge_mcp.arguments import Arguments, DryRun, MailboxId, RequestId, Word
from services.edge_mcp.operation_answers import operation_answer
from services.edge_mcp.operations import Operations
from services.edge_mcp.outputs import Output
from services.edge_mcp.text import UNTRUSTED_NOTE, counted, quoted, word
from services.edge_mcp.tool import Answer, ReportProgress, Tool, mail_policy

_NAME = "execute_unsubscribe"
_DESCRIPTION = (
    "End mailing lists: by one-click where that is safe, else by mail, else say which page the person has to "
    "visit. Only with the person's explicit choice of these lists: it reaches the senders and cannot be "
    "taken back. dry_run says beforehand what would be done. A list that was asked for before is never asked "
    "twice. When the answer is still running, call again with its request_id."
)
_OUTPUT = Output(resources_pb2.Operation, without=("scan",))
_STATES = enum_words(resources_pb2.SubscriptionState.DESCRIPTOR)
_METHODS = enum_words(resources_pb2.UnsubscribeMethod.DESCRIPTOR)


class UnsubscribeArguments(Arguments):
    """What to end."""

    subscription_ids: Annotated[
        list[Word],
        Field(
            description="Ids from list_unsubscribe_candidates that the person chose.",
            json_schema_extra={"minItems": 1, "maxItems": 100},
        ),
    ]
    mailbox_id: MailboxId = ""
    dry_run: DryRun = False
    request_id: RequestId = ""


def execute_unsubscribe(mail: mail_pb2_grpc.MailServiceStub, operations: Operations) -> Tool:
    """Make the tool."""

    async def run(arguments: UnsubscribeArguments, report: ReportProgress) -> Answer:
        request = mail_pb2.UnsubscribeRequest(
            mailbox_id=arguments.mailbox_id,
            subscription_ids=arguments.subscription_ids,
            request_id=arguments.request_id or str(uuid4()),
            dry_run=arguments.dry_run,
        )
        operation = await operations.run(mail.Unsubscribe, request, report)
        return operation_answer(operation, _NAME, _text(operation.unsubscribe), _OUTPUT)

    return Tool(
        name=_NAME,
        policy=mail_policy("Unsubscribe"),
        title="Unsubscribe",
        description=_DESCRIPTION,
        arguments=UnsubscribeArguments,
        output=_OUTPUT,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True
        ),
        run=run,
    )


def _text(report: resources_pb2.UnsubscribeReport) -> str:
    head = f"{counted(len(report.outcomes), 'mailing list')}:"
    if report.dry_run:
        head = f"Dry run, nothing was sent. {head}"
    return "\n".join([head, *(_row(outcome) for outcome in report.outcomes), UNTRUSTED_NOTE])


def _row(outcome: resources_pb2.UnsubscribeOutcome) -> str:
    before = ", by an earlier request" if outcome.already_done else ""
    page = f" Page for the person: {outcome.web_page_url}" if outcome.web_page_url else ""
    return (
        f"- {quoted(outcome.display_name)}: {word(outcome.state, _STATES.items())}{before}, "
        f"{word(outcome.method, _METHODS.items())} ({outcome.reason}). {outcome.explanation}{page} "
        f"id {outcome.subscription_id}"
    )
