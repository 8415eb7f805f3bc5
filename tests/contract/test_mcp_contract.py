"""What the MCP edge promises in its tool list, held against the contract and the SDK that it stands on."""

import asyncio
import inspect
from typing import Any

import jsonschema
import pytest
from mcp.server import MCPServer

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.errors import internal
from services.common.policy import methods_of
from services.edge_mcp.catalog import instructions, make_tools
from services.edge_mcp.operations import Operations
from services.edge_mcp.outputs import Output
from services.edge_mcp.server import ToolServer
from services.edge_mcp.tool import Tool
from services.edge_mcp.tool_errors import error_content

RPC_OF_TOOL = {
    "check_availability": "CheckAvailability",
    "available_meeting_intervals": "SuggestMeetingIntervals",
    "scan_mailbox": "ScanMailbox",
    "list_unsubscribe_candidates": "ListSubscriptions",
    "execute_unsubscribe": "Unsubscribe",
}


def _tools() -> tuple[Tool, ...]:
    mail: Any = object()
    return make_tools(mail, Operations(mail, wait_s=1, stopping=asyncio.Event()), with_mutations=True)


@pytest.fixture(params=_tools(), ids=lambda tool: tool.name)
def tool(request: pytest.FixtureRequest) -> Tool:
    return request.param


def test_the_tools_are_the_five_actions() -> None:
    """The same words as everywhere, in a fixed order (clients cache the list)."""
    assert [tool.name for tool in _tools()] == list(RPC_OF_TOOL)


def test_hints_agree_with_the_contract(tool: Tool) -> None:
    """A tool is read-only exactly when its RPC changes nothing."""
    service = mail_pb2.DESCRIPTOR.services_by_name["MailService"]
    policies = {method.name: policy for method, policy in methods_of(service)}
    policy = policies[RPC_OF_TOOL[tool.name]]
    assert "edge_mcp" in policy.callers
    assert tool.annotations.read_only_hint is not policy.mutates
    assert policy.is_repeatable or not tool.annotations.idempotent_hint


def test_schemas_are_sound_self_contained_and_portable(tool: Tool) -> None:
    """JSON Schema 2020-12, an object at the root, no reference outside, one type at a time."""
    for schema in (tool.listed.input_schema, tool.listed.output_schema):
        assert schema is not None
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        for part in _parts(schema):
            assert not isinstance(part.get("type"), list), part
            assert part.get("$ref", "#/$defs/").startswith("#/$defs/")
            assert "title" not in part or isinstance(part["title"], dict)


def test_every_argument_is_described(tool: Tool) -> None:
    """A model has nothing else to go by."""
    for name, schema in tool.listed.input_schema["properties"].items():
        assert schema.get("description"), name


def test_errors_fit_the_output_schema_too(tool: Tool) -> None:
    """Clients that validate every structured result show the error and not a mismatch."""
    assert tool.listed.output_schema is not None
    jsonschema.validate(error_content(internal(), "request-1"), tool.listed.output_schema)


def test_the_list_stays_small() -> None:
    """What a model reads of all five tools, inputs and descriptions, is below some 2,500 tokens."""
    size = sum(len(tool.description) + len(str(tool.listed.input_schema)) for tool in _tools())
    assert size < 10_000


def test_fields_that_are_left_out_are_in_neither_schema_nor_value() -> None:
    """Leaving out is one decision for both."""
    output = Output(resources_pb2.Operation, without=("unsubscribe",))
    schema = output.schema()
    assert "unsubscribe" not in schema["$defs"]["Operation"]["properties"]
    assert "UnsubscribeReport" not in schema["$defs"]
    jsonschema.validate(output.render(resources_pb2.Operation(id="op")), schema)


def test_the_instructions_name_only_tools_that_there_are() -> None:
    """Without the tools about mailing lists, a model hears nothing of them."""
    without = instructions(with_mutations=False)
    assert "check_availability" in without
    for name in list(RPC_OF_TOOL)[2:]:
        assert name not in without
        assert name in instructions(with_mutations=True)


def test_the_sdk_makes_no_spans_of_its_own() -> None:
    """Sampling is decided once, at the edge; the SDK's middleware would start a trace a message."""
    server = ToolServer(_tools(), "")
    assert "OpenTelemetryMiddleware" not in [type(middleware).__name__ for middleware in server.middleware]
    assert len(server.middleware) == len(MCPServer("plain").middleware) - 1


def test_the_sdk_still_lists_and_calls_through_the_seams_that_we_take_over() -> None:
    """Pinned: an SDK that stopped calling these two methods would serve no tool."""
    assert "self.list_tools(" in inspect.getsource(MCPServer._handle_list_tools)
    assert "self.call_tool(" in inspect.getsource(MCPServer._handle_call_tool)


def _parts(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [part for value in schema for part in _parts(value)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(part for value in schema.values() for part in _parts(value))]
