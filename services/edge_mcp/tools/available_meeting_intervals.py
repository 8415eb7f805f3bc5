"""`available_meeting_intervals`: when a meeting would fit."""

from typing import Annotated

from mcp_types import ToolAnnotations
from pydantic import Field

from protos.mail.v1 import mail_pb2, mail_pb2_grpc
from services.edge_mcp.arguments import (
    INT32_MAX,
    Arguments,
    CalendarIds,
    Count,
    End,
    MailboxId,
    Shape,
    Start,
    Word,
    integer,
)
from services.edge_mcp.outputs import Output
from services.edge_mcp.text import counted, interval, zone_named
from services.edge_mcp.tool import Answer, ReportProgress, Tool, mail_policy

_DESCRIPTION = (
    "Suggest intervals in which a meeting fits between what is busy, earliest first, within working hours of "
    "a time zone. Books nothing. Fails when a calendar cannot be read, because a suggestion would be a guess."
)
_OUTPUT = Output(mail_pb2.SuggestMeetingIntervalsResponse)
_Minutes = Annotated[int, Field(ge=0, le=INT32_MAX)]
_Clock = Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$")]


class WorkingHours(Shape):
    """Hours of the day in which a meeting may lie."""

    start: Annotated[_Clock, Field(description="HH:MM, 00:00 to 23:59.")] = "09:00"
    end: Annotated[_Clock, Field(description="HH:MM, after the start, up to 24:00.")] = "18:00"
    days: Annotated[
        tuple[Annotated[int, Field(ge=1, le=7)], ...],
        Field(description="1 Monday to 7 Sunday.", strict=False),
    ] = (1, 2, 3, 4, 5)


class IntervalsArguments(Arguments):
    """Meeting to find room for."""

    start: Start
    end: End
    duration_minutes: Annotated[Count, integer(5, 1_440), Field(description="Length of the meeting.")] = 30
    time_zone: Annotated[
        Word, Field(description="IANA zone of the working hours.", examples=["Europe/Paris"])
    ] = "UTC"
    working_hours: Annotated[WorkingHours, Field(description="When a meeting may lie.")] = WorkingHours()
    buffer_minutes: Annotated[
        _Minutes, integer(0, 240), Field(description="Free time to keep before and after.")
    ] = 0
    step_minutes: Annotated[
        Count, integer(5, 240), Field(description="Starts are multiples of this after midnight.")
    ] = 30
    max_intervals: Annotated[Count, integer(1, 100), Field(description="Suggestions at most.")] = 5
    calendar_ids: CalendarIds = Field(default_factory=list)
    mailbox_id: MailboxId = ""


def available_meeting_intervals(mail: mail_pb2_grpc.MailServiceStub) -> Tool:
    """Make the tool."""

    async def run(arguments: IntervalsArguments, _: ReportProgress) -> Answer:
        response = await mail.SuggestMeetingIntervals(_request(arguments))
        return Answer(_text(response), _OUTPUT.render(response))

    return Tool(
        name="available_meeting_intervals",
        policy=mail_policy("SuggestMeetingIntervals"),
        title="Suggest meeting intervals",
        description=_DESCRIPTION,
        arguments=IntervalsArguments,
        output=_OUTPUT,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
        run=run,
    )


def _request(arguments: IntervalsArguments) -> mail_pb2.SuggestMeetingIntervalsRequest:
    hours = arguments.working_hours
    return mail_pb2.SuggestMeetingIntervalsRequest(
        mailbox_id=arguments.mailbox_id,
        start_time=arguments.start,
        end_time=arguments.end,
        calendar_ids=arguments.calendar_ids,
        duration_minutes=arguments.duration_minutes,
        time_zone=arguments.time_zone,
        working_hours=mail_pb2.WorkingHours(start=hours.start, end=hours.end, days=hours.days),
        buffer_minutes=arguments.buffer_minutes,
        step_minutes=arguments.step_minutes,
        max_intervals=arguments.max_intervals,
    )


def _text(response: mail_pb2.SuggestMeetingIntervalsResponse) -> str:
    if not response.intervals:
        return "No interval fits. Try a longer window, a shorter meeting or wider working hours."
    zone = zone_named(response.time_zone)
    head = f"{counted(len(response.intervals), 'interval')}, {response.time_zone}:"
    return "\n".join([head, *(f"- {interval(span, zone)}" for span in response.intervals)])
