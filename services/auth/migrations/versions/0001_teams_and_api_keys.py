"""Teams and API keys, closed by row-level security from the start."""

from alembic import op

from services.common.migrations import CURRENT_TEAM, isolate

revision = "0001"
down_revision = None

# Written out: a migration says what was done, whatever the code says later.
_DEFAULT_TEAM = "b5e7a0c2-61f4-4d3b-9a58-0c7d2e9f1a46"
_PRESENTED_HASH = "decode(nullif(current_setting('mailwarden.presented_key_hash', true), ''), 'hex')"

_TABLES = """
CREATE TABLE teams (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    label text NOT NULL CHECK (char_length(label) BETWEEN 1 AND 64),
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    scopes text[] NOT NULL,
    read_only boolean NOT NULL DEFAULT false,
    label_prefix text NOT NULL DEFAULT '' CHECK (char_length(label_prefix) <= 64),
    mailbox_ids uuid[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

CREATE INDEX api_keys_team_id ON api_keys (team_id, created_at);
"""

# Whoever shows a key is not known yet, so no team is set. They may see the row of that very key and the
# name of its team, and change neither.
_PRESENTED = f"""
CREATE POLICY api_keys_presented ON api_keys FOR SELECT USING (key_hash = {_PRESENTED_HASH});
CREATE POLICY teams_presented ON teams FOR SELECT USING (
    id = (SELECT team_id FROM api_keys WHERE key_hash = {_PRESENTED_HASH})
);
"""  # noqa: S608  our constant

_TEAMS_ARE_CLOSED = f"""
ALTER TABLE teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE teams FORCE ROW LEVEL SECURITY;
CREATE POLICY teams_team ON teams USING (id = {CURRENT_TEAM}) WITH CHECK (id = {CURRENT_TEAM});
"""


def upgrade() -> None:
    """Make the tables and the team that everything belongs to until teams are managed."""
    op.execute(_TABLES)
    op.execute(f"INSERT INTO teams (id, name) VALUES ('{_DEFAULT_TEAM}', 'Default team')")  # noqa: S608  our constant
    op.execute(_TEAMS_ARE_CLOSED)
    isolate(["api_keys"])
    op.execute(_PRESENTED)
