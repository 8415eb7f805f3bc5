"""docs/security.md names only what exists: commands, targets, paths, settings, scopes and controls."""

import importlib
import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from services.auth.domain.scopes import ALL_SCOPES
from services.auth.settings import AuthSettings
from services.cli.__main__ import _parser
from services.cli.doctor.findings import CRITERIA
from services.cli.settings import CliSettings
from services.common.policy import methods_of
from services.edge_a2a.settings import A2aSettings
from services.edge_mcp.settings import McpSettings
from services.edge_rest.routes import ROUTES
from services.edge_rest.settings import RestSettings
from services.mail_core.settings import Settings as MailCoreSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
POLICY = (ROOT / "SECURITY.md").read_text()
OTHER_PATHS = {
    ("GET", "/.well-known/agent-card.json"): "services/edge_a2a/http_app.py",
    ("POST", "/a2a/rpc"): "services/edge_a2a/agent_card.py",
    ("POST", "/mcp"): "services/edge_mcp/transport.py",
}
"""Paths of the other edges, and the file that serves each."""
SETTINGS: tuple[type[BaseSettings], ...] = (
    AuthSettings,
    MailCoreSettings,
    RestSettings,
    McpSettings,
    A2aSettings,
    CliSettings,
)


def snippets() -> Iterator[str]:
    """Every line of a block of shell, and every piece of code in a line of text."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        yield from (line.strip() for line in block.splitlines() if line.strip())
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", prose)


def commands(program: str) -> list[str]:
    return sorted({text for text in snippets() if text.split()[0] == program and len(text.split()) > 1})


@pytest.mark.promise("docs.security")
@pytest.mark.parametrize("command", commands("mailwarden"))
def test_every_command_of_the_page_is_one_that_the_parser_takes(command: str) -> None:
    """What stands in <angle brackets> is the reader's to fill in. A parser that refuses leaves with 2."""
    words = shlex.split(re.sub(r"<[^>]+>", "x", command), comments=True)
    options = _parser().parse_args(words[1:]) if words[1:] != ["up"] else _parser().parse_args(["up"])
    assert callable(options.run)


@pytest.mark.promise("docs.security")
@pytest.mark.parametrize("command", [*commands("make"), "make up"])
def test_every_make_target_of_the_page_exists(command: str) -> None:
    """`make -n` runs nothing."""
    words = shlex.split(command, comments=True)
    done = subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.promise("docs.security")
def test_every_path_of_the_page_is_served() -> None:
    """REST's by the table of routes, the others by the edge that has them."""
    named = set(re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/[^\s`|,;:)]*)", PAGE))
    assert len(named) >= 8
    served = {(route.method, route.path) for route in ROUTES}
    assert named - served - set(OTHER_PATHS) == set()
    for (_, path), file in OTHER_PATHS.items():
        importlib.import_module(file.removesuffix(".py").replace("/", "."))
        literal = "AGENT_CARD_WELL_KNOWN_PATH" if "well-known" in path else path
        assert literal in (ROOT / file).read_text(), path


@pytest.mark.promise("docs.security")
def test_every_setting_of_the_page_is_one_that_a_service_reads() -> None:
    """Names of variables are what people copy."""
    named = {text.partition("=")[0] for text in snippets()}
    named = {name for name in named if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name)}
    assert len(named) > 15
    known = {field.upper() for settings in SETTINGS for field in settings.model_fields}
    assert named - known == set()


@pytest.mark.promise("docs.security")
def test_the_scope_matrix_is_what_the_contract_says() -> None:
    """Each row holds the methods of the protos that the scope opens, in the order of the alphabet."""
    opens: defaultdict[str, list[str]] = defaultdict(list)
    for file in (auth_pb2, mail_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method, policy in methods_of(service):
                for scope in policy.any_scope:
                    opens[scope].append(method.name)
    rows = dict(re.findall(r"^\| `([a-z_]+:[a-z]+)` \| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert set(rows) == set(ALL_SCOPES)
    shown = {scope: text.strip() for scope, text in rows.items()}
    wanted = {scope: ", ".join(sorted(opens[scope])) for scope in ALL_SCOPES if opens[scope]}
    assert {scope: shown[scope] for scope in wanted} == wanted
    for scope in ALL_SCOPES - set(wanted):
        assert shown[scope].startswith("nothing yet"), scope


@pytest.mark.promise("docs.security")
def test_the_controls_are_those_that_doctor_probes() -> None:
    """With the criteria that doctor reports."""
    table = PAGE[PAGE.index("## Controls") :]
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE)
    assert {name: tuple(text.strip().split(", ")) for name, text in rows} == dict(CRITERIA)


@pytest.mark.parametrize("text", [PAGE, POLICY], ids=["docs/security.md", "SECURITY.md"])
def test_links_lead_somewhere_and_no_address_is_made_up(text: str) -> None:
    """Whoever reports a weakness is sent to the repository's own private reporting."""
    base = ROOT / "docs" if text is PAGE else ROOT
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (base / target.partition("#")[0]).exists(), target
    assert not re.search(r"[\w.]+@[\w-]+\.\w+", text)
