"""`scan_mailbox`: read new mail, sort and label it, count the lists that fill the mailbox."""

from typing import Annotated
from uuid import uuid4

from mcp_types import ToolAnnotations
from pydantic import Field

from protos.mail.v1 import mail_pb2, mail_pb2_grpc, resources_pb2
from services.edge_mcp.arguments import Arguments, Count, DryRun, MailboxId, RequestId, integer
from services.edge_mcp.operation_answers import operation_answer
from services.edge_mcp.operations import Operations
from services.edge_mcp.outputs import Output
from services.edge_mcp.text import counted
from services.edge_mcp.tool import Answer, ReportProgress, Tool, mail_policy

_NAME = "scan_mailbox"
_DESCRIPTION = (
    "Read the mail that came since the last scan, sort it into categories by rules, label it, and count the "
    "mailing lists that fill the mailbox. Deletes and sends nothing. A long scan is answered while it still "
    "runs: call again with the request_id of the answer to go on waiting. Then use "
    "list_unsubscribe_candidates."
)
_OUTPUT = Output(resources_pb2.Operation, without=("unsubscribe",))


class ScanArguments(Arguments):
    """What to scan."""

    mailbox_id: MailboxId = ""
    dry_run: DryRun = False
    max_messages: Annotated[
        Count | None,
        integer(1, 50_000),
        Field(description="Messages to read at most, newest first. Default: the server's setting."),
    ] = None
    request_id: RequestId = ""


def scan_mailbox(mail: mail_pb2_grpc.MailServiceStub, operations: Operations) -> Tool:
    """Make the tool."""

    async def run(arguments: ScanArguments, report: ReportProgress) -> Answer:
        request = mail_pb2.ScanMailboxRequest(
            mailbox_id=arguments.mailbox_id,
            request_id=arguments.request_id or str(uuid4()),
            dry_run=arguments.dry_run,
            max_messages=arguments.max_messages or 0,
        )
        operation = await operations.run(mail.ScanMailbox, request, report)
        return operation_answer(operation, _NAME, _text(operation.scan), _OUTPUT)

    return Tool(
        name=_NAME,
        policy=mail_policy("ScanMailbox"),
        title="Scan mailbox",
        description=_DESCRIPTION,
        arguments=ScanArguments,
        output=_OUTPUT,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
        run=run,
    )


def _text(report: resources_pb2.ScanReport) -> str:
    facts = (
        f"{counted(report.scanned_count, 'message')} read of {report.listed_count:,} found",
        f"{report.labelled_count:,} labelled",
        f"{counted(report.subscription_count, 'mailing list')} seen",
    )
    lines = [", ".join(facts) + "."]
    lines += [f"- {category.category}: {category.count:,}" for category in report.categories]
    if report.failed_count:
        lines.append(f"{counted(report.failed_count, 'message')} could not be read.")
    if report.partial:
        lines.append("This is a partial result: scan again to go on.")
    if report.dry_run:
        lines.append("This was a dry run: nothing was changed or stored.")
    return "\n".join(lines)
