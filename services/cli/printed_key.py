"""The key that `mailwarden up` prints: a new one each time, for a secret can be shown only once."""

from typing import Final

from protos.auth.v1 import auth_pb2
from services.cli.admin import Operator
from services.cli.key_scopes import ADMIN_SCOPES

LABEL: Final = "mailwarden up"
KEPT: Final = 20
"""Keys of earlier starts that go on working, for they may be in some client's settings."""


async def make_printed_key(operator: Operator) -> str:
    """Make an admin key of the default team, and revoke those of starts long ago."""
    async with operator.auth() as auth:
        found = await auth.ListApiKeys(auth_pb2.ListApiKeysRequest(page_size=200))
        for key in [key for key in found.keys if _is_ours(key)][KEPT:]:
            await auth.RevokeApiKey(auth_pb2.RevokeApiKeyRequest(key_id=key.id, force=True))
        made = await auth.CreateApiKey(auth_pb2.CreateApiKeyRequest(label=LABEL, scopes=ADMIN_SCOPES))
    return made.secret


def _is_ours(key: auth_pb2.ApiKey) -> bool:
    return key.label == LABEL and key.creator == "operator" and not key.HasField("revoke_time")
