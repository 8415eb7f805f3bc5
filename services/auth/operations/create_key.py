"""Makes a key for whoever governs a team: never with more than they hold."""

from dataclasses import dataclass, replace

from services.auth.domain.key_rules import (
    bounded_end,
    check_label_within,
    check_quota,
    check_scopes_held,
    narrowed,
)
from services.auth.domain.scopes import TEAM_ADMIN, chosen_scopes
from services.auth.operations.create_api_key import Made, MakeKey, Wanted, key_created
from services.auth.operations.team_caller import end_of_caller
from services.auth.ports import Clock, Teams
from services.common.errors import invalid
from services.common.identity import Caller


@dataclass(frozen=True, slots=True)
class CreateKey:
    """Make a key within the caller's own scopes, restrictions and life, and within the plan."""

    teams: Teams
    make: MakeKey
    clock: Clock

    async def __call__(self, caller: Caller, wanted: Wanted) -> Made:
        """Make a key. Raises AppError with the reasons of the contract."""
        scopes = tuple(wanted.scopes) or tuple(sorted(caller.scopes - {TEAM_ADMIN}))
        if not scopes:
            raise invalid("SCOPE_UNKNOWN", "Name the scopes: there are none to inherit.", field="scopes")
        check_scopes_held(caller, chosen_scopes(scopes))
        async with self.teams.changing(caller.team_id) as change:
            own_end = await end_of_caller(change, caller, self.clock())
            drafted = self.make.drafted(
                replace(
                    wanted,
                    scopes=scopes,
                    restrictions=narrowed(caller.restrictions, wanted.restrictions),
                    creator=caller.principal,
                ),
                change.team,
            )
            check_label_within(caller, drafted.key.label)
            key = replace(drafted.key, expires_at=bounded_end(own_end, drafted.key.expires_at))
            check_quota(await change.working_keys(self.clock()), change.team.limits.max_keys)
            await change.add_key(key)
            await change.record(key_created(key))
        return Made(key, drafted.secret)
