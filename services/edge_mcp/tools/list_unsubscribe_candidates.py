"""`list_unsubscribe_candidates`: the mailing lists that fill a mailbox, the loudest first."""

from typing import Annotated

from mcp_types import ToolAnnotations
from pydantic import AfterValidator, Field

from protos.mail.v1 import mail_pb2, mail_pb2_grpc, resources_pb2
from services.common.proto_json import enum_words
from services.edge_mcp.arguments import Arguments, MailboxId
from services.edge_mcp.outputs import Output
from services.edge_mcp.text import UNTRUSTED_NOTE, counted, day, quoted, word
from services.edge_mcp.tool import Answer, ReportProgress, Tool, mail_policy

_DESCRIPTION = (
    "List the mailing lists that fill the mailbox, those with most messages first, with how each can be "
    "ended and why or why not. Looks only into what earlier scans stored and sends nothing to any sender. "
    "Show the lists to the person and let them choose before you use execute_unsubscribe."
)
_STATES = enum_words(resources_pb2.SubscriptionState.DESCRIPTOR)
_METHODS = enum_words(resources_pb2.UnsubscribeMethod.DESCRIPTOR)
_OUTPUT = Output(
    mail_pb2.ListSubscriptionsResponse,
    without_in={"subscriptions": ("mailbox_id", "key_kind", "first_seen_time")},
)


def _known_state(state: str) -> str:
    if state not in _STATES:
        raise ValueError(f"must be one of {', '.join(_STATES)}")
    return state


_State = Annotated[str, AfterValidator(_known_state), Field(json_schema_extra={"enum": list(_STATES)})]


class CandidatesArguments(Arguments):
    """Which lists to show."""

    mailbox_id: MailboxId = ""
    states: Annotated[
        list[_State],
        Field(description="Only those in one of these states; `candidate` is what nobody asked to end yet."),
    ] = Field(default_factory=list)
    page_size: Annotated[int, Field(ge=1, le=100, description="Rows of one page.")] = 20
    page_token: Annotated[
        str, Field(max_length=2_048, description="`next_page_token` of the page before, all else unchanged.")
    ] = ""


def list_unsubscribe_candidates(mail: mail_pb2_grpc.MailServiceStub) -> Tool:
    """Make the tool."""

    async def run(arguments: CandidatesArguments, _: ReportProgress) -> Answer:
        request = mail_pb2.ListSubscriptionsRequest(
            mailbox_id=arguments.mailbox_id,
            page_size=arguments.page_size,
            page_token=arguments.page_token,
            states=[_STATES[state] for state in arguments.states],  # type: ignore[arg-type]
        )
        response = await mail.ListSubscriptions(request)
        return Answer(_text(response), _OUTPUT.render(response))

    return Tool(
        name="list_unsubscribe_candidates",
        policy=mail_policy("ListSubscriptions"),
        title="List unsubscribe candidates",
        description=_DESCRIPTION,
        arguments=CandidatesArguments,
        output=_OUTPUT,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
        run=run,
    )


def _text(response: mail_pb2.ListSubscriptionsResponse) -> str:
    if not response.subscriptions:
        return "No mailing list is known. Use scan_mailbox first, or ask for other states."
    lines = [
        f"{len(response.subscriptions)} of {counted(response.total_size, 'mailing list')}, loudest first:"
    ]
    lines += [_row(subscription) for subscription in response.subscriptions]
    if response.next_page_token:
        lines.append(f"There are more: page_token {response.next_page_token}")
    return "\n".join([*lines, UNTRUSTED_NOTE])


def _row(subscription: resources_pb2.Subscription) -> str:
    return (
        f"- {quoted(subscription.display_name or subscription.key)}: "
        f"{counted(subscription.message_count, 'message')}, last {day(subscription.last_seen_time)}, "
        f"{word(subscription.state, _STATES.items())}, by {word(subscription.method, _METHODS.items())} "
        f"({subscription.method_reason}), id {subscription.id}"
    )
