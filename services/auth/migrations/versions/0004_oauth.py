"""The authorization server: clients, grants, codes, refresh tokens and tokens that were taken back."""

from alembic import op

from services.common.migrations import isolate

revision = "0004"
down_revision = "0003"

_TABLES = """
CREATE TABLE oauth_clients (
    id text PRIMARY KEY CHECK (char_length(id) <= 64),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    redirect_uris text[] NOT NULL CHECK (cardinality(redirect_uris) BETWEEN 1 AND 10),
    auth_method text NOT NULL,
    secret_hash bytea CHECK (octet_length(secret_hash) = 32),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz
);

CREATE TABLE oauth_grants (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    client_id text NOT NULL CHECK (char_length(client_id) <= 512),
    client_name text NOT NULL,
    principal text NOT NULL,
    key_id text NOT NULL DEFAULT '',
    scopes text[] NOT NULL,
    resource text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX oauth_grants_team_id ON oauth_grants (team_id, created_at);

CREATE TABLE oauth_codes (
    code_hash bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    grant_id uuid NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    redirect_uri text NOT NULL,
    challenge text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX oauth_codes_grant_id ON oauth_codes (grant_id);

CREATE TABLE oauth_refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    grant_id uuid NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX oauth_refresh_tokens_grant_id ON oauth_refresh_tokens (grant_id);

CREATE TABLE oauth_revoked_tokens (
    token_id text NOT NULL,
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, token_id)
);
"""

_PRESENTED = "decode(nullif(current_setting('mailwarden.presented_oauth_hash', true), ''), 'hex')"

# Whoever shows a code or a refresh token is not known yet, so no team is set: they may read that very row.
_POLICIES = f"""
CREATE POLICY oauth_codes_presented ON oauth_codes FOR SELECT USING (code_hash = {_PRESENTED});
CREATE POLICY oauth_refresh_tokens_presented ON oauth_refresh_tokens FOR SELECT
    USING (token_hash = {_PRESENTED});
ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_clients_named ON oauth_clients
    USING (id = nullif(current_setting('mailwarden.oauth_client_id', true), ''));
CREATE POLICY oauth_clients_registrar ON oauth_clients
    USING (current_setting('mailwarden.oauth_registrar', true) = 'on');
"""


def upgrade() -> None:
    """Make the tables. Clients belong to no team: they are seen one at a time, by their id."""
    op.execute(_TABLES)
    isolate(["oauth_grants", "oauth_codes", "oauth_refresh_tokens", "oauth_revoked_tokens"])
    op.execute(_POLICIES)
