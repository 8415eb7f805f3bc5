"""Every way in, for every caller: what the contract says is what happens, and refusals change nothing."""

import pytest

from services.common.policy import policy_of
from services.edge_a2a.actions import ACTIONS
from services.edge_a2a.json_rpc import JsonRpc
from services.edge_rest.routes import ROUTES
from tests.matrix.callers import As, Outcome
from tests.matrix.entries import (
    A2A_METHODS,
    HTTP_PATHS,
    MESSAGES,
    TASK_METHODS,
    Entry,
    backend_of,
    entries,
    rpcs,
    tool_names,
)
from tests.matrix.rows import HOW_TO, ROWS, request_of, with_unknown_ids
from tests.matrix.ways import by_grpc, by_rest
from tests.matrix.world import World

OPEN_PAGES = {"health", "ready", "openapi_document"}
"""What REST shows to everybody. A new page is added here by somebody who has thought about that."""
PEERS = ("auth", "mail_core", "edge_rest", "edge_mcp", "edge_a2a", "cli")
ENTRIES = entries()


def test_every_method_of_the_contract_has_a_row() -> None:
    """A new RPC without one fails here, and so does a row whose RPC is gone."""
    assert set(rpcs()) == set(ROWS), HOW_TO


def test_every_route_shows_an_rpc_or_is_open_on_purpose() -> None:
    """Routes take their expectations from the RPC that they show."""
    pages = {route.page for route in ROUTES if route.rpc is None}
    assert pages == OPEN_PAGES, "A route without an RPC asks for no credential: name it in OPEN_PAGES."


def test_every_tool_is_an_action_and_every_action_an_rpc() -> None:
    """Tools and actions have the same names, and take their expectations from the action's RPC."""
    how_to = (
        "Name the tool's RPC as an action in services/edge_a2a/actions.py, or teach entries.py another way."
    )
    assert tool_names() == set(ACTIONS), how_to
    assert {f"MailService.{action.method}" for action in ACTIONS.values()} <= set(ROWS)


def test_every_a2a_method_is_asked_on_every_binding() -> None:
    """The SDK names the methods; a new one is described in TASK_METHODS and HTTP_PATHS."""
    methods = {method.name for method in A2A_METHODS}
    assert methods == {*MESSAGES, *TASK_METHODS} == set(HTTP_PATHS) == set(JsonRpc.METHOD_TO_MODEL)


async def _wrong(entry: Entry, world: World, caller: As) -> list[str]:
    """Ask as one caller; gives what is wrong with what came of it."""
    request, wanted, wrong = await request_of(entry.row, world), entry.expected(caller), []
    before = await world.state()
    outcome = await entry.ask(world, request, caller)
    if outcome.reason != wanted:
        wrong.append(f"{caller}: {wanted} was expected, not {outcome.reason} ({outcome.message})")
    elif outcome.reason != "OK" and (after := await world.state()) != before:
        changed = [name for name in after if after[name] != before.get(name)]
        wrong.append(f"{caller}: was refused and changed {changed}")
    if caller in (As.OTHER_TEAM, As.NARROWED):
        wrong += await _shown(entry, world, caller, request, outcome)
    return wrong


async def _shown(entry: Entry, world: World, caller: As, request: object, outcome: Outcome) -> list[str]:
    """What a caller who may not know of ours could learn of it."""
    wrong = []
    if entry.row.ids:
        never = await entry.ask(world, with_unknown_ids(entry.row, request), caller)  # type: ignore[arg-type]
        if (never.reason, never.status, never.message) != (outcome.reason, outcome.status, outcome.message):
            wrong.append(f"{caller}: what is ours is told from what never was: {outcome} and {never}")
    if outcome.reason != "OK":
        return wrong  # a refusal may repeat what was asked for
    hidden = {world.task_id} if entry.row.echoes else world.ours
    if caller is As.NARROWED:
        hidden = frozenset() if entry.row.lists_own else hidden - {world.team_id}
    return wrong + [f"{caller}: is shown our {shown}" for shown in hidden if shown in outcome.text]


REFUSED_FIRST = sorted(As, key=lambda caller: caller in (As.ADMIN, As.READ_ONLY, As.OTHER_TEAM))


@pytest.mark.promise("rights.matrix", "teams.ids", "rights.scope", "rights.read-only")
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
async def test_each_caller_gets_what_the_contract_says(entry: Entry, world: World) -> None:
    """Nine callers at one way in. A refusal leaves every table and the mailbox as they were."""
    await world.prepare(entry.policy.any_scope)
    await world.quiet()
    wrong = [problem for caller in REFUSED_FIRST for problem in await _wrong(entry, world, caller)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.promise("rights.peers", "rights.certificates")
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(ROWS))
async def test_each_method_hears_the_services_that_its_policy_names(name: str, world: World) -> None:
    """Six certificates, one after the other, with an admin's passport; and a client without any."""
    method = rpcs()[name]
    policy, service = policy_of(method), backend_of(method)
    told = {}
    for peer in PEERS:
        request = await request_of(ROWS[name], world)
        passport = await world.passport(As.ADMIN, service)
        outcome = await by_grpc(world.wire(service, peer), method, request, {"x-passport": passport})
        told[peer] = outcome.reason
    allowed = dict.fromkeys(policy.callers, ROWS[name].done)
    assert told == {**dict.fromkeys(PEERS, "PEER_NOT_ALLOWED"), **allowed}
    stranger = await by_grpc(world.bare_wire(service), method, await request_of(ROWS[name], world), {})
    assert stranger.status == "UNAVAILABLE", stranger


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("route", [r for r in ROUTES if r.rpc is None], ids=lambda route: route.name)
async def test_open_pages_need_no_credential_and_mind_none(route: object, world: World) -> None:
    """Whoever asks, and whatever they show."""
    for caller in (As.NOBODY, As.WRONG_TYPE, As.REVOKED, As.ADMIN):
        headers = await world.credential(caller)
        outcome = await by_rest(world.http, world.system.rest, route, None, headers)  # type: ignore[arg-type]
        assert outcome.reason == "OK", (caller, outcome)
