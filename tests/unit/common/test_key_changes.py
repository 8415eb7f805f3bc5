"""A key that takes the place of another leaves an event, once, with its id."""

import asyncio

from services.common.audit import AuditEvent
from services.common.errors import unavailable
from services.common.key_changes import recording_key_changes


async def test_each_change_is_told_once_and_what_is_unsettled_is_no_change() -> None:
    """The first key that is seen is no change either: `service.configured` was told."""
    told: asyncio.Queue[AuditEvent] = asyncio.Queue()
    in_use = {"passports": "k1", "master_key": ""}

    def master_key() -> str:
        if not in_use["master_key"]:
            raise unavailable("MASTER_KEY_UNSETTLED", "not yet")
        return in_use["master_key"]

    keys = {"passports": lambda: in_use["passports"], "master_key": master_key}
    async with asyncio.timeout(30), recording_key_changes("auth", keys, told.put, every_s=0.01):
        in_use["master_key"] = "m1"
        in_use["passports"] = "k2"
        first = await told.get()
        in_use["master_key"] = ""
        in_use["passports"] = "k3"
        second = await told.get()
        in_use["master_key"] = "m2"
        third = await told.get()
    events = [first, second, third]
    assert [event.resource for event in events] == ["key_in_use:k2", "key_in_use:k3", "key_in_use:m2"]
    assert [event.facts["kind"] for event in events] == ["passports", "passports", "master_key"]
    assert {(event.action, event.edge) for event in events} == {("keys.changed", "auth")}
    assert told.empty()
