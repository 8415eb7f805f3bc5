"""Records that a credential was refused: in its team's chain when it is known whose it was."""

from dataclasses import dataclass
from typing import Final

from services.auth.domain.api_key import has_key_form, hash_of
from services.auth.ports import Keys
from services.common.audit import DENIED, audit_event, unknown_credential
from services.common.audit_notes import RefusalNotes
from services.common.errors import AppError

_WAS_GENUINE: Final = frozenset({"KEY_REVOKED", "KEY_EXPIRED", "TEAM_DISABLED"})


@dataclass(frozen=True, slots=True)
class NoteRefusal:
    """Takes a note of each refusal; repeats of one credential are counted."""

    keys: Keys
    notes: RefusalNotes

    async def __call__(self, secret: str, audience: str, error: AppError) -> None:
        """Note it. Whatever becomes of the note, the refusal stands."""
        team_id, credential = await self._owner(secret, error.reason)
        event = audit_event(
            "passport.refused",
            outcome=DENIED,
            reason=error.reason,
            team_id=team_id,
            resource=f"backend:{audience}",
        )
        await self.notes.note(event.with_credential(credential))

    async def _owner(self, secret: str, reason: str) -> tuple[str, str]:
        if reason not in _WAS_GENUINE or not has_key_form(secret):
            return "", unknown_credential(secret) if secret else ""
        try:
            key = await self.keys.find(hash_of(secret))
        except AppError:
            key = None
        return (key.team_id, f"key:{key.id}") if key else ("", unknown_credential(secret))
