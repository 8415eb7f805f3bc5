"""What a tool is: how it is described to a model, what it takes, what it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcp_types import CallToolResult, TextContent, ToolAnnotations
from mcp_types import Tool as ListedTool

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.policy import Policy, policy_of
from services.edge_mcp.arguments import Arguments
from services.edge_mcp.outputs import JsonObject, Output

ReportProgress = Callable[[resources_pb2.Operation], Awaitable[None]]
"""Tells the client how far an operation is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool has to say: short text for people and text-only clients, and the same as data."""

    text: str
    structured: JsonObject
    is_error: bool = False

    def to_result(self) -> CallToolResult:
        """Render the answer for the wire."""
        return CallToolResult(
            content=[TextContent(text=self.text)], structured_content=self.structured, is_error=self.is_error
        )


def mail_policy(rpc: str) -> Policy:
    """Give what the contract demands of callers of an RPC of the mail core."""
    return policy_of(mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name[rpc])


@dataclass(frozen=True)
class Tool:
    """One tool. `run` takes the checked arguments and raises AppError.

    `policy` is that of the RPC that the tool stands for.
    """

    name: str
    policy: Policy
    title: str
    description: str
    arguments: type[Arguments]
    output: Output
    annotations: ToolAnnotations
    run: Callable[[Any, ReportProgress], Awaitable[Answer]]

    @cached_property
    def listed(self) -> ListedTool:
        """How `tools/list` shows the tool."""
        return ListedTool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.schema_for_clients(),
            output_schema=self.output.schema(),
            annotations=self.annotations,
        )
