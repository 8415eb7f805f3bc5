"""docs/teams.md says what the code does."""

from pathlib import Path

from services.auth.domain.plans import PLANS

PAGE = Path(__file__).parents[2] / "docs/teams.md"


def test_the_table_of_plans_is_that_of_the_code() -> None:
    """Whoever chooses a plan by the page gets what it says."""
    rows = [line.strip("|\n ").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows]
    told = {name: [int(cell) for cell in rest] for name, *rest in cells if name in PLANS}
    assert told == {
        name: [
            limits.requests_per_minute,
            limits.team_requests_per_minute,
            limits.max_keys,
            limits.max_mailboxes,
            limits.max_inboxes,
        ]
        for name, limits in PLANS.items()
    }
