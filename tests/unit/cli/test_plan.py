"""What each process is told."""

import socket
from dataclasses import astuple
from pathlib import Path

import pytest

from services.cli.failure import Failure
from services.cli.folder import DataFolder
from services.cli.plan import EDGES, Plan
from services.cli.ports import Ports, reserved
from services.cli.provisioning import Database
from services.common.master_keys import read_master_keys

DATABASE = Database("d", "owner", "app", "postgresql://owner:o@/d", "postgresql://app:a@/d")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(DataFolder.prepare(tmp_path), {"AGENT_API_KEY": "k" * 32, "GMAIL_QUERY": "in:inbox"})


def test_each_process_is_itself_on_the_wire(plan: Plan) -> None:
    """Its certificate is the only one that it can read the way to."""
    for program in (plan.auth(DATABASE), *(plan.edge(name, "a:1", "m:1") for name in EDGES)):
        assert program.environment["TLS_CERT_FILE"].endswith(f"/{program.name}.pem")


def test_services_work_as_the_app_role_and_migrations_as_the_owner(plan: Plan) -> None:
    """A service never holds the owner's password."""
    assert "DATABASE_OWNER_URL" not in plan.auth(DATABASE).environment
    for service in ("auth", "mail_core"):
        migration = plan.migration(service, DATABASE)
        assert migration.environment["DATABASE_OWNER_URL"] == DATABASE.owner_url
        assert migration.environment["DATABASE_URL"] == DATABASE.app_url
        assert migration.command[-2:] == (f"services.{service}", "migrate")


def test_edges_hold_no_secret_of_the_backends(plan: Plan) -> None:
    """No database, no keys."""
    for name in EDGES:
        environment = plan.edge(name, "a:1", "m:1").environment
        assert (
            not {"DATABASE_URL", "AGENT_API_KEY", "MASTER_KEY_FILE", "PASSPORT_KEY_FILE"} & environment.keys()
        )


def test_the_sandbox_opens_the_way_to_loopback_and_the_real_google_does_not(plan: Plan) -> None:
    """Egress stays closed for a real mailbox."""
    assert plan.mail_core(DATABASE, "a:1", "http://g").environment["EGRESS_ALLOW"] == "127.0.0.0/8"
    real = plan.mail_core(DATABASE, "a:1", "").environment
    assert not {"EGRESS_ALLOW", "GOOGLE_API_ENDPOINT", "GOOGLE_TOKEN_URI"} & real.keys()
    assert real["GMAIL_QUERY"] == "in:inbox"


def test_the_master_key_survives_restarts(plan: Plan) -> None:
    """Grants sealed yesterday open today."""
    path = Path(plan.mail_core(DATABASE, "a:1", "").environment["MASTER_KEY_FILE"])
    first = read_master_keys(path)
    plan.mail_core(DATABASE, "a:1", "")
    assert read_master_keys(path).keys == first.keys


def test_ports_are_asked_for_and_kept_at_a_restart(tmp_path: Path) -> None:
    """A URL that was printed stays true."""
    plan = Plan(DataFolder.prepare(tmp_path), {}, Ports(rest=1234, mcp=0, a2a=0, a2a_grpc=0, oauth=0))
    assert plan.edge("edge_rest", "a:1", "m:1").environment["LISTEN"] == "127.0.0.1:1234"
    a2a = plan.edge("edge_a2a", "a:1", "m:1")
    again = a2a.pinned({"a2a": "http://127.0.0.1:555", "a2a_grpc": "127.0.0.1:666"}).environment
    assert (again["LISTEN"], again["A2A_GRPC_LISTEN"]) == ("127.0.0.1:555", "127.0.0.1:666")


def test_auth_and_the_edges_agree_on_who_issues_tokens_for_what(tmp_path: Path) -> None:
    """A token's audience is compared as text by both; clients compare it with what they were told."""
    plan = Plan(DataFolder.prepare(tmp_path), {}, Ports(1, 2, 3, 4, 5))
    auth = plan.auth(DATABASE).environment
    edges = {name: plan.edge(name, "a:1", "m:1").environment for name in EDGES}
    assert auth["OAUTH_LISTEN"] == "127.0.0.1:5"
    assert {edge["OAUTH_ISSUER"] for edge in edges.values()} == {auth["OAUTH_ISSUER"]}
    named = [
        edges["edge_mcp"]["MCP_RESOURCE_SERVER_URL"],
        edges["edge_rest"]["PUBLIC_URL"],
        edges["edge_a2a"]["PUBLIC_URL"],
    ]
    assert auth["OAUTH_RESOURCES"].split(",") == named
    assert named[0] == auth["MCP_RESOURCE_SERVER_URL"] == "http://127.0.0.1:2/mcp"


def test_a_name_of_the_person_s_own_stands_before_the_system(tmp_path: Path) -> None:
    """As behind a tunnel, for connectors that come from outside."""
    mine = {"OAUTH_ISSUER": "https://login.example", "MCP_RESOURCE_SERVER_URL": "https://mail.example/mcp"}
    plan = Plan(DataFolder.prepare(tmp_path), mine, Ports(1, 2, 3, 4, 5))
    auth, mcp = plan.auth(DATABASE).environment, plan.edge("edge_mcp", "a:1", "m:1").environment
    assert auth["OAUTH_ISSUER"] == mcp["OAUTH_ISSUER"] == "https://login.example"
    assert auth["OAUTH_RESOURCES"].startswith("https://mail.example/mcp,")
    assert mcp["MCP_RESOURCE_SERVER_URL"] == "https://mail.example/mcp"


def test_a_reserved_port_is_free_for_who_asks_by_number_and_for_nobody_else() -> None:
    """A service listens on it while it is still kept for it."""
    with reserved(Ports(0, 0, 0, 0, 0)) as ports:
        assert len(set(astuple(ports))) == 5
        for port in astuple(ports):
            with socket.create_server(("127.0.0.1", port)) as server:
                assert server.getsockname()[1] == port


def test_a_taken_port_is_refused_with_the_option_that_chooses_another() -> None:
    """Before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(Failure, match=f"port {port} cannot be used.*--oauth-port"),
            reserved(Ports(0, 0, 0, 0, port)),
        ):
            pass
