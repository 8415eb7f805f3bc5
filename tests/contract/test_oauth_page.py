"""docs/oauth.md says what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.auth.settings import AuthSettings
from services.edge_a2a.settings import A2aSettings
from services.edge_mcp.settings import McpSettings
from services.edge_rest.settings import RestSettings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "oauth.md").read_text()
ERRORS = (DOCS / "errors.md").read_text()
PREFIXES = ("OAUTH_", "OIDC_", "MCP_OAUTH_")
SETTINGS = (AuthSettings, RestSettings, McpSettings, A2aSettings)
EXISTING = {name.upper(): field for cls in SETTINGS for name, field in cls.model_fields.items()}


def rows() -> Iterator[tuple[list[str], str]]:
    """Settings named in the first cell of a row, and the cell behind it."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([A-Z][A-Z_]+)`", cells[0])
        if line.startswith("| `") and names:
            yield names, cells[1]


NAMED = {name for names, _ in rows() for name in names}


def test_every_setting_of_the_page_exists() -> None:
    """Whoever sets one by the page has set something."""
    assert {name for name in NAMED if name != "_FILE"} - EXISTING.keys() == set()


def test_every_setting_of_oauth_is_on_the_page() -> None:
    """`_FILE` stands beside the secrets that may come from one."""
    wanted = {name for name in EXISTING if name.startswith(PREFIXES)}
    files = {name for name in wanted if name.endswith("_SECRET_FILE")}
    assert wanted - files - NAMED == set()
    assert {name.removesuffix("_FILE") for name in files} <= NAMED


@pytest.mark.parametrize(
    ("name", "told"), [(names[0], cell) for names, cell in rows() if re.fullmatch(r"\d+|true|false", cell)]
)
def test_the_defaults_of_the_page_are_those_of_the_code(name: str, told: str) -> None:
    """Numbers and switches."""
    default: Any = EXISTING[name].default
    assert told == (str(default).lower() if isinstance(default, bool) else f"{default:g}")


def test_every_error_of_the_page_is_one_with_that_status() -> None:
    """As docs/errors.md has it, which is made from the code."""
    told = re.findall(r"^\| (\d{3}) `([A-Z_]+)`", PAGE, re.MULTILINE)
    assert len(told) > 8
    real = dict(re.findall(r"^\| `([A-Z_]+)` \| [A-Z_]+ \| (\d{3}) ", ERRORS, re.MULTILINE))
    assert {reason: status for status, reason in told} == {reason: real.get(reason) for _, reason in told}


def test_every_page_that_it_leads_to_exists() -> None:
    """Links inside the project."""
    for target in re.findall(r"\]\(([^)#]+)[)#]", PAGE):
        assert (DOCS / target).exists(), target
