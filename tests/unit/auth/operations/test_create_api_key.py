"""Making keys: what is asked for is what is made, and nonsense is named."""

from datetime import timedelta
from typing import Any

import pytest

from services.auth.domain.api_key import has_key_form, hash_of
from services.auth.domain.scopes import MAIL_SCOPES
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.common.errors import AppError
from services.common.identity import Restrictions
from tests.unit.auth.operations.world import World

MAILBOX = "4b8f6c1e-0000-4000-8000-00000000000"


async def test_a_key_is_kept_by_its_hash_alone() -> None:
    """The secret is in the answer and nowhere else."""
    world = World()
    made = await world.create(label="ci")
    (kept,) = world.keys.by_hash.values()
    assert has_key_form(made.secret)
    assert kept.key_hash == hash_of(made.secret)
    assert made.secret not in str([getattr(kept, name) for name in kept.__slots__])
    assert (kept.id, kept.label, kept.team_id) == (made.key_id, "ci", DEFAULT_TEAM_ID)


async def test_no_scopes_means_those_for_mail() -> None:
    """What governs the team is given by name only, and scopes that are invented later not at all."""
    world = World()
    await world.create()
    (kept,) = world.keys.by_hash.values()
    assert kept.scopes == MAIL_SCOPES


async def test_scopes_are_a_set() -> None:
    """Named twice is named once."""
    world = World()
    await world.create(scopes=("mail:scan", "mail:scan"))
    (kept,) = world.keys.by_hash.values()
    assert kept.scopes == {"mail:scan"}


@pytest.mark.parametrize(
    ("wanted", "reason", "field"),
    [
        ({"label": ""}, "LABEL_INVALID", "label"),
        ({"label": " ci"}, "LABEL_INVALID", "label"),
        ({"label": "a" * 65}, "LABEL_INVALID", "label"),
        ({"label": "a\0b"}, "LABEL_INVALID", "label"),
        ({"label": "a\x1b[31m"}, "LABEL_INVALID", "label"),
        ({"scopes": ("mail:scan", "mail:*")}, "SCOPE_UNKNOWN", "scopes"),
        ({"scopes": ("",)}, "SCOPE_UNKNOWN", "scopes"),
        ({"restrictions": Restrictions(label_prefix="p" * 65)}, "LABEL_INVALID", "restrictions.label_prefix"),
        (
            {"restrictions": Restrictions(mailbox_ids=frozenset({"7"}))},
            "MAILBOX_ID_INVALID",
            "restrictions.mailbox_ids",
        ),
        (
            {
                "restrictions": Restrictions(
                    mailbox_ids=frozenset(f"{MAILBOX[:-3]}{n:04}" for n in range(101))
                )
            },
            "MAILBOX_ID_INVALID",
            "restrictions.mailbox_ids",
        ),
    ],
)
async def test_nonsense_is_refused_and_makes_nothing(wanted: dict[str, Any], reason: str, field: str) -> None:
    """The culprit is named in the caller's words."""
    world = World()
    with pytest.raises(AppError) as caught:
        await world.create(**wanted)
    assert (caught.value.reason, caught.value.fields[0].field) == (reason, field)
    assert world.keys.by_hash == {}


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(seconds=1), timedelta(days=9_000)])
async def test_a_key_cannot_be_born_dead(ago: timedelta) -> None:
    """An expiry must be in the future."""
    world = World()
    with pytest.raises(AppError, match="EXPIRY_IN_THE_PAST"):
        await world.create(expires_at=world.clock.now - ago)


@pytest.mark.parametrize("team_id", ["no-uuid", "4b8f6c1e-0000-4000-8000-000000000001", "../x", "\0"])
async def test_an_unknown_team_gets_no_key(team_id: str) -> None:
    """Malformed and absent are the same to the caller."""
    with pytest.raises(AppError, match="TEAM_NOT_FOUND"):
        await World().create(team_id=team_id)


async def test_a_team_may_be_named_in_any_case() -> None:
    """UUIDs are kept in lower case."""
    world = World()
    await world.create(team_id=DEFAULT_TEAM_ID.upper())
    assert len(world.keys.by_hash) == 1
