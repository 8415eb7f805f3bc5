"""Who may make, replace and revoke which keys: nothing is ever loosened."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.auth.domain.key_rules import bounded_end, narrowed
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.operations.create_api_key import Made, Wanted
from services.auth.operations.create_key import CreateKey
from services.auth.operations.revoke_key import RevokeKey
from services.auth.operations.rotate_key import RotateKey
from services.common.errors import AppError
from services.common.identity import Caller, Restrictions
from tests.unit.auth.operations.world import World

MAILBOXES = [f"4b8f6c1e-0000-4000-8000-00000000000{number}" for number in range(3)]
ADMIN = ("team:admin", "team:read", "mail:scan")
TEAM = DEFAULT_TEAM_ID


class Team(World):
    """One team, and what its members do."""

    def __init__(self) -> None:
        super().__init__(random_bytes=secrets.token_bytes)
        self.make_key = CreateKey(self.teams, self.make, self.clock)
        self.rotate = RotateKey(self.teams, self.make, self.clock)
        self.revoke = RevokeKey(self.teams, self.clock)

    async def member(self, **wanted: Any) -> Caller:
        made = await self.create(**{"scopes": ADMIN, **wanted})
        return (await self.issue(api_key=made.secret)).statement.caller

    async def make_by(self, caller: Caller, **wanted: Any) -> Made:
        return await self.make_key(caller, Wanted(**{"label": "made", **wanted}))


async def refused(work: Any) -> str:
    with pytest.raises(AppError) as caught:
        await work
    return caught.value.reason


async def test_a_key_inherits_what_its_maker_holds_but_for_governing() -> None:
    """No scopes named: those of the caller, without `team:admin`."""
    team = Team()
    made = await team.make_by(await team.member())
    assert made.key.scopes == {"team:read", "mail:scan"}
    assert made.key.creator.startswith("key:")
    assert [event.action for event in team.teams.events] == ["key.created", "key.created"]


@pytest.mark.parametrize(
    ("own", "wanted", "got"),
    [
        (Restrictions(), Restrictions(True, "a"), Restrictions(True, "a")),
        (Restrictions(True), Restrictions(), Restrictions(True)),
        (Restrictions(label_prefix="ci-"), Restrictions(), Restrictions(label_prefix="ci-")),
        (
            Restrictions(label_prefix="ci-"),
            Restrictions(label_prefix="ci-a"),
            Restrictions(label_prefix="ci-a"),
        ),
        (Restrictions(label_prefix="ci-"), Restrictions(label_prefix="c"), None),
        (
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:2])),
            Restrictions(),
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:2])),
        ),
        (
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:2])),
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:1])),
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:1])),
        ),
        (
            Restrictions(mailbox_ids=frozenset(MAILBOXES[:2])),
            Restrictions(mailbox_ids=frozenset(MAILBOXES[1:])),
            None,
        ),
    ],
)
def test_restrictions_only_ever_add_up(
    own: Restrictions, wanted: Restrictions, got: Restrictions | None
) -> None:
    """None stands for RESTRICTION_LOOSENED."""
    if got is not None:
        assert narrowed(own, wanted) == got
        return
    with pytest.raises(AppError, match="RESTRICTION_LOOSENED"):
        narrowed(own, wanted)


async def test_a_key_does_not_outlive_its_maker() -> None:
    """A temporary admin key cannot make itself permanent."""
    team = Team()
    end = team.clock() + timedelta(minutes=30)
    caller = await team.member(expires_at=end)
    assert (await team.make_by(caller)).key.expires_at == end
    late = end + timedelta(minutes=1)
    assert await refused(team.make_by(caller, expires_at=late)) == "RESTRICTION_LOOSENED"
    assert bounded_end(None, late) == late


@pytest.mark.parametrize(
    ("minutes", "is_good"), [(4, False), (5, True), (1_440, True), (1_441, False), (-1, False)]
)
async def test_a_temporary_key_lives_5_to_1440_minutes(minutes: int, is_good: bool) -> None:
    """And ends by itself."""
    team = Team()
    caller = await team.member()
    if not is_good:
        assert await refused(team.make_by(caller, ttl_minutes=minutes)) == "TTL_OUT_OF_RANGE"
        return
    made = await team.make_by(caller, ttl_minutes=minutes)
    assert await team.refusal(api_key=made.secret) == "ACCEPTED"
    team.clock.move(minutes=minutes)
    assert await team.refusal(api_key=made.secret) == "KEY_EXPIRED"


async def test_scopes_that_are_not_held_are_not_given() -> None:
    """Neither by making a key nor by taking over another's secret."""
    team = Team()
    caller, stronger = await team.member(), await team.create(scopes=("unsubscribe:execute",))
    assert await refused(team.make_by(caller, scopes=("unsubscribe:execute",))) == "SCOPE_NOT_HELD"
    assert await refused(team.rotate(TEAM, stronger.key_id, None, caller)) == "SCOPE_NOT_HELD"


async def test_a_list_of_mailboxes_bounds_what_is_governed() -> None:
    """A key for other mailboxes, or for all, does not exist for it; one for fewer does."""
    team = Team()
    one, other = (Restrictions(mailbox_ids=frozenset({mailbox})) for mailbox in MAILBOXES[:2])
    admin = await team.member()
    caller = await team.member(restrictions=one)
    for restrictions in (Restrictions(), other, Restrictions(mailbox_ids=frozenset(MAILBOXES[:2]))):
        made = (await team.make_by(admin, restrictions=restrictions)).key
        assert await refused(team.revoke(TEAM, made.id, caller)) == "KEY_NOT_FOUND"
    within = (await team.make_by(admin, restrictions=one)).key
    assert (await team.revoke(TEAM, within.id, caller)).id == within.id


async def test_a_prefix_bounds_what_is_governed() -> None:
    """Keys outside of it are not there; keys made inside of it stay inside."""
    team = Team()
    caller = await team.member(restrictions=Restrictions(label_prefix="ci-"))
    outside = await team.create(label="other", scopes=("mail:scan",))
    assert await refused(team.revoke(TEAM, outside.key_id, caller)) == "KEY_NOT_FOUND"
    assert await refused(team.make_by(caller)) == "RESTRICTION_LOOSENED"
    assert (await team.make_by(caller, label="ci-1")).key.restrictions.label_prefix == "ci-"


async def test_a_team_that_is_full_makes_no_more_keys() -> None:
    """Many at once fill it exactly; a revoked one makes room."""
    team = Team()
    team.teams.teams[TEAM] = replace(team.teams.teams[TEAM], plan="free")
    caller = await team.member()
    results = await asyncio.gather(*(team.make_by(caller) for _ in range(50)), return_exceptions=True)
    made = [result for result in results if isinstance(result, Made)]
    assert len(made) == 4
    await team.revoke(TEAM, made[0].key_id, caller)
    await team.make_by(caller)


async def test_a_revoked_key_governs_nothing_though_its_passport_lives() -> None:
    """What was issued before is looked at again while the team is locked."""
    team = Team()
    one, two = await team.member(), await team.member()
    await team.revoke(TEAM, one.key_id, two)
    assert await refused(team.revoke(TEAM, two.key_id, one)) == "KEY_REVOKED"
    assert team.teams.revoked == [f"key:{one.key_id}"]
    assert await refused(team.revoke(TEAM, two.key_id, two)) == "LAST_ADMIN_KEY"
