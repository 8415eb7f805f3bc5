"""`check_availability`: whether the owner is free in a window."""

from mcp_types import ToolAnnotations
from pydantic import Field

from protos.mail.v1 import mail_pb2, mail_pb2_grpc
from services.edge_mcp.arguments import Arguments, CalendarIds, End, MailboxId, Start
from services.edge_mcp.outputs import Output
from services.edge_mcp.text import interval, quoted
from services.edge_mcp.tool import Answer, ReportProgress, Tool, mail_policy

_DESCRIPTION = (
    "Say whether the owner of the mailbox is free in a window, by the free/busy times of their calendars. "
    "Gives busy stretches, never what they are. A calendar that cannot be read never counts as free."
)
_OUTPUT = Output(mail_pb2.CheckAvailabilityResponse)
_MAX_LINES = 20


class AvailabilityArguments(Arguments):
    """Window to look at."""

    start: Start
    end: End
    calendar_ids: CalendarIds = Field(default_factory=list)
    mailbox_id: MailboxId = ""


def check_availability(mail: mail_pb2_grpc.MailServiceStub) -> Tool:
    """Make the tool."""

    async def run(arguments: AvailabilityArguments, _: ReportProgress) -> Answer:
        request = mail_pb2.CheckAvailabilityRequest(
            mailbox_id=arguments.mailbox_id,
            start_time=arguments.start,
            end_time=arguments.end,
            calendar_ids=arguments.calendar_ids,
        )
        response = await mail.CheckAvailability(request)
        return Answer(_text(response), _OUTPUT.render(response))

    return Tool(
        name="check_availability",
        policy=mail_policy("CheckAvailability"),
        title="Check availability",
        description=_DESCRIPTION,
        arguments=AvailabilityArguments,
        output=_OUTPUT,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
        run=run,
    )


def _text(response: mail_pb2.CheckAvailabilityResponse) -> str:
    lines = [_verdict(response)]
    lines += [f"- busy {interval(span)}" for span in response.busy[:_MAX_LINES]]
    if len(response.busy) > _MAX_LINES:
        lines.append(f"- and {len(response.busy) - _MAX_LINES} more")
    lines += [
        f"- calendar {quoted(e.calendar_id)} could not be read: {e.reason}" for e in response.calendar_errors
    ]
    return "\n".join(lines)


def _verdict(response: mail_pb2.CheckAvailabilityResponse) -> str:
    window = interval(response.window)
    if response.available:
        return f"Free: {window}."
    if response.busy:
        return f"Not free: {window}."
    return f"Not known to be free: {window}. Not every calendar could be read."
