"""What the command says when it is asked wrongly, and what it prints to be pasted."""

import json
import shlex
from io import StringIO
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from services.cli.__main__ import main
from services.cli.audit import export_audit, lines_for_team
from services.cli.failure import Failure
from services.cli.folder import DataFolder
from services.cli.plan import Plan
from services.cli.system import Endpoints
from services.cli.team_commands import say, show, table
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
        ["keys", "create", "--label", "x", "--ttl-minutes", "0"],
        ["keys", "create", "--label", "x", "--ttl-minutes", "99999999999999999999"],
        ["keys", "rotate", "some-id", "--overlap-minutes", "99999999999"],
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


@pytest.mark.parametrize("text", ["[/x]", "[red]hidden[/red]", "[link=https://evil.example]x[/]", ":bomb:"])
def test_what_others_wrote_is_printed_as_they_wrote_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A label is any printable text; it must not keep an operator from reading a list of keys."""
    found = table("id", "label")
    found.add_row("1", text)
    show(found)
    say(f"key ({text})")
    assert capsys.readouterr().out.count(text) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["certs", "--dir", "/proc/certs"],
        ["audit", "export", "--url", "not-an-address"],
        ["audit", "export", "--url", "file:///etc/hosts"],
    ],
)
def test_what_cannot_be_done_is_told_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and what to look at."""
    monkeypatch.setenv("MAILWARDEN_API_KEY", "ma_key")
    assert main(arguments) == 1
    assert arguments[-1] in capsys.readouterr().err


def test_a_certificate_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a traceback from where it is first needed."""
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent.pem"))
    for name in ("AUTH_ADDRESS", "MAIL_CORE_ADDRESS"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    assert main(["keys", "list"]) == 1
    assert "absent.pem" in capsys.readouterr().err


async def test_an_export_takes_the_key_to_no_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is not followed: `X-API-Key` would go along with it."""
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers["X-API-Key"])
        return web.Response()

    async def here(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{request.scheme}://localhost:{request.url.port}/elsewhere")

    app = web.Application()
    app.add_routes([web.get("/v1/audit/export", here), web.get("/elsewhere", elsewhere)])
    monkeypatch.setenv("MAILWARDEN_API_KEY", "ma_key")
    async with TestServer(app) as server:
        with pytest.raises(Failure, match="302"):
            await export_audit(lines_for_team(str(server.make_url("")), ""), None)
    assert seen == []
