"""Turns rights of other issuers away that were revoked here, whatever their issuer says of them."""

from dataclasses import dataclass

from services.auth.domain.foreign_rights import ForeignRight
from services.auth.domain.refusals import token_revoked
from services.auth.ports import RevokedRights


@dataclass(frozen=True, slots=True)
class RefuseRevoked:
    """Look a right up. `leeway_s` is by how much the issuer's clock may differ from ours."""

    rights: RevokedRights
    leeway_s: float

    async def __call__(self, team_id: str, right: ForeignRight) -> None:
        """Raise AppError UNAUTHENTICATED TOKEN_REVOKED for what was revoked in the team that it acts for."""
        if right.is_revoked(await self.rights.find(team_id, right.roots), self.leeway_s):
            raise token_revoked()
