"""What an edge counts, and whom it tells."""

import pytest
from pydantic import ValidationError

from services.common.errors import AppError
from services.common.identity import Caller, Limits
from services.common.limits import Limit
from services.common.limits_edge import EdgeLimiter
from services.common.limits_memory import MemoryWindows
from services.common.settings import LimitSettings

TEAM = "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"


def caller(principal: str = "key:1", limits: Limits = Limits(3, 5)) -> Caller:
    return Caller(TEAM, "default", principal, "1", "api_key", frozenset(), limits=limits)


def limiter(told: list[tuple[Caller | None, Limit]], **settings: int) -> EdgeLimiter:
    def on_refused(who: Caller | None, limit: Limit) -> None:
        told.append((who, limit))

    return EdgeLimiter(MemoryWindows(), LimitSettings(**settings), on_refused)


async def test_whoever_runs_into_a_limit_is_reported_once_a_minute() -> None:
    """Each limit hit is worth a line in the audit log; a flood of them is not worth a flood of lines."""
    told: list[tuple[Caller | None, Limit]] = []
    edge = limiter(told)
    for _ in range(50):
        await edge.count(caller())
    assert [(who, limit.name, limit.per_minute) for who, limit in told] == [(caller(), "key", 3)]
    for _ in range(50):
        await edge.count(caller("key:2"))
    assert [limit.name for _, limit in told] == ["key", "team"]
    for _ in range(200):
        await edge.count_address("198.51.100.1")
    assert (told[-1][0], told[-1][1].name, len(told)) == (None, "address", 3)


async def test_settings_replace_the_numbers_of_the_plan() -> None:
    """A team's limit is never below that of its one key unless somebody says so."""
    told: list[tuple[Caller | None, Limit]] = []
    raised = await limiter(told, rate_limit_per_minute=50).count(caller())
    assert [standing.limit.per_minute for standing in raised.standings] == [50, 50]
    both = await limiter(told, rate_limit_per_minute=50, rate_limit_team_per_minute=7).count(caller())
    assert [standing.limit.per_minute for standing in both.standings] == [50, 7]


async def test_teams_do_not_share_what_principals_of_one_name_use() -> None:
    """Two issuers' subjects, or two teams, may have the same name."""
    told: list[tuple[Caller | None, Limit]] = []
    edge = limiter(told)
    for _ in range(3):
        await edge.count(caller())
    other = Caller(TEAM.replace("2f", "3f"), "x", "key:1", "1", "api_key", frozenset(), limits=Limits(3, 5))
    assert (await edge.count(other)).refused is None


def test_streams_that_ended_make_room() -> None:
    """Ours."""
    told: list[tuple[Caller | None, Limit]] = []
    edge = limiter(told, max_streams_per_credential=2)
    end_first, _ = edge.open_stream(caller()), edge.open_stream(caller())
    with pytest.raises(AppError, match="TOO_MANY_STREAMS"):
        edge.open_stream(caller())
    edge.open_stream(caller("key:2"))
    end_first()
    edge.open_stream(caller())


@pytest.mark.parametrize(
    "settings",
    [{"redis_url": "http://x"}, {"trusted_proxies": "10.0.0.1/8"}, {"rate_limit_address_per_minute": 0}],
)
def test_settings_that_mean_nothing_are_refused_at_start(settings: dict[str, object]) -> None:
    """A half-configured service does not start."""
    with pytest.raises(ValidationError):
        LimitSettings(**settings)  # type: ignore[arg-type]


def test_the_password_of_the_server_is_not_shown() -> None:
    """Settings are logged by repr at times."""
    assert "secret" not in repr(LimitSettings(redis_url="redis://:secret@127.0.0.1/0"))
