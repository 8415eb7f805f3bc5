"""How an API key is written in a row of `api_keys`, and read from it."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from services.auth.domain.api_key import ApiKey
from services.common.identity import Restrictions

KEY_COLUMNS: Final = """
    k.id::text, k.team_id::text, t.name AS team_name, k.label, k.key_hash, k.scopes, k.read_only,
    k.label_prefix, k.mailbox_ids::text[] AS mailbox_ids, k.created_at, k.expires_at, k.revoked_at,
    k.last_used_at, k.creator, k.replaced_by::text
"""
KEY_NAMES: Final = (
    "id", "team_id", "team_name", "label", "key_hash", "scopes", "read_only", "label_prefix", "mailbox_ids",
    "created_at", "expires_at", "revoked_at", "last_used_at", "creator", "replaced_by",
)  # fmt: skip
"""What `KEY_COLUMNS` gives, in its order."""
KEYS_AND_TEAMS: Final = "api_keys k JOIN teams t ON t.id = k.team_id"
ADD_KEY: Final = sa.text("""
    INSERT INTO api_keys (id, team_id, label, key_hash, scopes, read_only, label_prefix, mailbox_ids,
                          created_at, expires_at, creator)
    VALUES (:id, :team_id, :label, :key_hash, :scopes, :read_only, :label_prefix,
            CAST(:mailbox_ids AS uuid[]), :created_at, :expires_at, :creator)
""")


def key_of(row: sa.RowMapping | Mapping[str, Any]) -> ApiKey:
    """Read a key."""
    return ApiKey(
        id=row["id"],
        team_id=row["team_id"],
        team_name=row["team_name"],
        label=row["label"],
        key_hash=bytes(row["key_hash"]),
        scopes=frozenset(row["scopes"]),
        restrictions=Restrictions(row["read_only"], row["label_prefix"], frozenset(row["mailbox_ids"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        creator=row["creator"],
        replaced_by=row["replaced_by"],
    )


def values_of(key: ApiKey) -> dict[str, Any]:
    """Write a new key."""
    return {
        "id": key.id,
        "team_id": key.team_id,
        "label": key.label,
        "key_hash": key.key_hash,
        "scopes": sorted(key.scopes),
        "read_only": key.restrictions.read_only,
        "label_prefix": key.restrictions.label_prefix,
        "mailbox_ids": sorted(key.restrictions.mailbox_ids),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "creator": key.creator,
    }
