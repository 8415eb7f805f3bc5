"""What the A2A edge promises: its card, its actions against the protos, its errors against the one table."""

from typing import Any

import pytest
from a2a.types.a2a_pb2 import AgentCard
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import ParseDict

from protos.mail.v1 import mail_pb2
from services.common.errors import AppError, Kind
from services.common.policy import policy_of
from services.edge_a2a.actions import ACTIONS, Action
from services.edge_a2a.agent_card import ServedCard, agent_card
from services.edge_a2a.messages import asked_in, json_in
from services.edge_a2a.task_errors import failed_state, is_http_error, refuses_request, rpc_error_of
from tests.fakes.a2a_edge import CARD_PATH, A2aEdge, running_a2a_edge

METHODS = mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name


@pytest.fixture
async def edge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with running_a2a_edge(tmp_path_factory.mktemp("certificates")) as edge:
        yield edge


async def test_the_card_is_public_and_can_be_kept(edge: A2aEdge) -> None:
    """No credential; ETag, Cache-Control, Last-Modified, and 304 for who holds it (A2A 1.0 §8.6)."""
    answer = await edge.ask("GET", CARD_PATH, headers={})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert "max-age" in answer.headers["Cache-Control"]
    assert answer.headers["Last-Modified"].endswith("GMT")
    kept = {"If-None-Match": answer.headers["ETag"]}
    assert (await edge.ask("GET", CARD_PATH, headers=kept)).status == 304
    assert (await edge.ask("GET", CARD_PATH, headers={"If-None-Match": '"other"'})).status == 200


async def test_the_card_says_where_it_really_listens(edge: A2aEdge) -> None:
    """Without PUBLIC_URL the addresses are the bound ones; gRPC has no scheme."""
    card = (await edge.ask("GET", CARD_PATH, headers={})).body
    interfaces = {i["protocolBinding"]: i for i in card["supportedInterfaces"]}
    assert interfaces["JSONRPC"]["url"] == f"{edge.url}/a2a/rpc"
    assert interfaces["GRPC"]["url"] == edge.grpc_address
    assert interfaces["HTTP+JSON"]["url"] == f"{edge.url}/a2a/v1"
    assert {i["protocolVersion"] for i in interfaces.values()} == {"1.0"}


def test_the_card_is_complete() -> None:
    """Every field that the protocol requires is there, and the card reads back as it was written."""
    card = agent_card("https://agents.example.com/", "grpc.example.com:443")
    validate_proto_required_fields(card)
    assert card.supported_interfaces[0].url == "https://agents.example.com/a2a/rpc"
    assert card.capabilities.streaming
    assert not card.capabilities.push_notifications
    assert set(card.security_schemes) == {"apiKey", "bearer"}
    assert [set(r.schemes) for r in card.security_requirements] == [{"apiKey"}, {"bearer"}]
    body = json_in(ServedCard.of(card).body.decode())
    assert ParseDict(body, AgentCard()) == card


def test_the_skills_are_the_five_actions() -> None:
    """The same words as MCP's tools."""
    skills = [skill.id for skill in agent_card("http://x", "x:1").skills]
    assert skills == [
        "check_availability",
        "available_meeting_intervals",
        "scan_mailbox",
        "list_unsubscribe_candidates",
        "execute_unsubscribe",
    ]


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.id)
def test_an_action_is_one_method_of_the_core(action: Action) -> None:
    """Request, scope and kind are those of the proto, and its example can be sent as it is."""
    method = METHODS[action.method]
    assert method.input_type is action.request_type.DESCRIPTOR
    assert policy_of(method) == action.policy
    assert (method.output_type.name == "Operation") == action.is_operation
    for example in action.examples:
        asked = asked_in(json_in(example))
        assert asked is not None
        assert asked.action is action
        assert action.request(asked.values) != action.request_type()


@pytest.mark.promise("errors.one-table")
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_error_has_its_way_out(kind: Kind) -> None:
    """The A2A column of the one table: an HTTP status, an error of the binding, or a failed task."""
    error = AppError(kind, "SOME_REASON", "Said to the client.", retry_after_s=2)
    rendered = rpc_error_of(error, "req-1").to_dict()
    assert rendered["code"] == error.mapped.a2a_code
    assert all(detail["@type"].startswith("type.googleapis.com/google.rpc.") for detail in rendered["data"])
    assert rendered["data"][0]["metadata"]["request_id"] == "req-1"
    if is_http_error(error):
        assert error.mapped.http_status in (401, 403)
    if not refuses_request(error):
        assert failed_state(error)


def test_what_the_caller_did_wrong_is_never_a_failed_task() -> None:
    """Bad input, missing identity and missing rights refuse the request itself."""
    for kind in (Kind.INVALID_ARGUMENT, Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED, Kind.UNIMPLEMENTED):
        assert refuses_request(AppError(kind, "R", "m"))
    for kind in (Kind.NOT_FOUND, Kind.FAILED_PRECONDITION, Kind.RESOURCE_EXHAUSTED, Kind.UNAVAILABLE):
        assert not refuses_request(AppError(kind, "R", "m"))
