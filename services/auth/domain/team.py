"""Teams: the tenants that everything belongs to."""

from dataclasses import dataclass
from typing import Final

from services.common.errors import AppError, not_found

DEFAULT_TEAM_ID: Final = "b5e7a0c2-61f4-4d3b-9a58-0c7d2e9f1a46"
"""The same in every installation: made by the first migration, owner of all keys of the environment."""


@dataclass(frozen=True, slots=True)
class Team:
    """A tenant."""

    id: str
    name: str


def team_not_found() -> AppError:
    """Make the NOT_FOUND of a team that is absent."""
    return not_found("TEAM_NOT_FOUND", "There is no such team.")
