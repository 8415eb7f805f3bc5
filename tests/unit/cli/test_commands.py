"""What the command says when it is asked wrongly, and what it prints to be pasted."""

import json
import shlex
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.cli.__main__ import main
from services.cli.folder import DataFolder
from services.cli.plan import Plan
from services.cli.system import Endpoints
from services.cli.welcome import show_welcome

ENDPOINTS = Endpoints(
    rest="http://127.0.0.1:8000", mcp="http://127.0.0.1:8001/mcp", a2a="http://127.0.0.1:8002",
    a2a_grpc="127.0.0.1:8003", oauth="http://127.0.0.1:8004", auth="127.0.0.1:1", mail_core="127.0.0.1:2",
    sandbox="http://127.0.0.1:3", senders="http://127.0.0.1:4",
)  # fmt: skip


@pytest.fixture
def welcome(tmp_path: Path) -> list[str]:
    """Lines of the welcome on a narrow screen, which must not fold what is to be pasted."""
    console = Console(file=StringIO(), width=60)
    show_welcome(console, Plan(DataFolder.prepare(tmp_path), {}), ENDPOINTS, "ma_key")
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nonsense"], ["keys"], ["up", "--rest-port", "65536"], ["up", "--rest-port", "x"],
        ["demo", "--corpus", "/no/such/folder"], ["certs"], ["keys", "create"],
    ],
)  # fmt: skip
def test_a_wrong_command_is_refused_with_how_to_ask(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, as command lines have it."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: mailwarden" in capsys.readouterr().err


def test_no_running_system_is_told_with_the_three_ways_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who forgot `mailwarden up`."""
    assert main(["keys", "create", "--label", "x", "--data-dir", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert all(way in told for way in ("mailwarden up", "--data-dir", "AUTH_ADDRESS"))


def test_half_of_a_remote_address_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than talking to a local system that was not meant."""
    monkeypatch.setenv("AUTH_ADDRESS", "auth.example:443")
    assert main(["keys", "create", "--label", "x", "--data-dir", str(tmp_path)]) == 1
    assert "TLS_CA_FILE" in capsys.readouterr().err


def test_examples_are_whole_lines_that_a_shell_understands(welcome: list[str]) -> None:
    """Pasting must work on any width of terminal."""
    examples = [line for line in welcome if line.startswith("curl ")]
    assert len(examples) == 6
    for line in examples:
        words = shlex.split(line)
        assert all(json.loads(word) is not None for word in words if word.startswith("{"))
        assert any(word.startswith("http://127.0.0.1:800") for word in words)


def test_the_authorization_server_is_named_and_a_client_of_it_needs_no_key(welcome: list[str]) -> None:
    """Its address for connectors; the client's own command, which opens a browser."""
    assert any(line.startswith("OAuth") and ENDPOINTS.oauth in line for line in welcome)
    assert f"claude mcp add --transport http mailwarden {ENDPOINTS.mcp}" in welcome


def test_where_mcp_takes_no_keys_no_example_shows_it_one(tmp_path: Path) -> None:
    """`MCP_AUTH_MODE=oauth`."""
    console = Console(file=StringIO(), width=60)
    plan = Plan(DataFolder.prepare(tmp_path), {"MCP_AUTH_MODE": "OAuth"})
    show_welcome(console, plan, ENDPOINTS, "ma_key")
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert not [line for line in lines if ENDPOINTS.mcp in line and "ma_key" in line]
    assert [line for line in lines if line.startswith("claude mcp add")]


def test_the_mcp_configuration_is_json(welcome: list[str]) -> None:
    """For clients that are set up by a file."""
    (line,) = (line for line in welcome if line.startswith("{"))
    server = json.loads(line)["mcpServers"]["mailwarden"]
    assert server == {"type": "http", "url": ENDPOINTS.mcp, "headers": {"X-API-Key": "ma_key"}}
