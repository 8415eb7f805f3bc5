"""Sign-ins that grants derive from, what a team is shown of its grants, and upkeep of what has ended.

Upkeep looks across teams. The role that serves cannot, so it calls a function of the schema's owner, which
takes away only what has ended by itself long ago and nobody can use or ask for any more.
"""

from alembic import op

from services.common.migrations import isolate

revision = "0005"
down_revision = "0004"

_TABLES = """
CREATE TABLE oauth_sessions (
    id uuid PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    principal text NOT NULL,
    key_id text NOT NULL DEFAULT '',
    method text NOT NULL CHECK (method IN ('key', 'oidc')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX oauth_sessions_expires_at ON oauth_sessions (expires_at);

ALTER TABLE oauth_grants ADD COLUMN session_id uuid;
ALTER TABLE oauth_grants ADD COLUMN person text NOT NULL DEFAULT '' CHECK (char_length(person) <= 320);
ALTER TABLE oauth_grants ADD COLUMN last_used_at timestamptz;
DROP INDEX oauth_grants_team_id;
CREATE INDEX oauth_grants_team_id ON oauth_grants (team_id, created_at DESC, id DESC);
CREATE INDEX oauth_grants_client_id ON oauth_grants (team_id, client_id);
CREATE INDEX oauth_grants_session_id ON oauth_grants (session_id);
CREATE INDEX oauth_grants_expires_at ON oauth_grants (expires_at);
CREATE INDEX oauth_grants_revoked_at ON oauth_grants (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX oauth_codes_expires_at ON oauth_codes (expires_at);
CREATE INDEX oauth_refresh_tokens_expires_at ON oauth_refresh_tokens (expires_at);
CREATE INDEX oauth_revoked_tokens_expires_at ON oauth_revoked_tokens (expires_at);
CREATE INDEX oauth_clients_unused ON oauth_clients (created_at) WHERE last_used_at IS NULL;
CREATE INDEX revocations_revoked_at ON revocations (revoked_at);
"""

_KEPT_UP = (
    "oauth_sessions",
    "oauth_grants",
    "oauth_codes",
    "oauth_refresh_tokens",
    "oauth_revoked_tokens",
    "oauth_clients",
    "revocations",
)

# A code that comes again within a day still ends its grant; a refresh token does so as long as it would have
# lived itself. The log of revocations only has to reach back as far as a passport lives.
_UPKEEP = """
CREATE FUNCTION oauth_upkeep(batch integer, OUT what text, OUT row_count bigint) RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF batch NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'a batch is 1 to 10000 rows' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT pg_try_advisory_xact_lock(726005) THEN
        RETURN;
    END IF;

    what := 'code';
    DELETE FROM oauth_codes WHERE code_hash IN (
        SELECT code_hash FROM oauth_codes WHERE expires_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'refresh_token';
    DELETE FROM oauth_refresh_tokens WHERE token_hash IN (
        SELECT token_hash FROM oauth_refresh_tokens WHERE expires_at < now()
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'revoked_token';
    DELETE FROM oauth_revoked_tokens WHERE (team_id, token_id) IN (
        SELECT team_id, token_id FROM oauth_revoked_tokens WHERE expires_at < now() - interval '1 hour'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'grant';
    DELETE FROM oauth_grants WHERE id IN (
        SELECT id FROM oauth_grants
        WHERE expires_at < now() - interval '30 days' OR revoked_at < now() - interval '30 days'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'session';
    DELETE FROM oauth_sessions WHERE id IN (
        SELECT id FROM oauth_sessions s
        WHERE s.expires_at < now() - interval '1 day'
            AND NOT EXISTS (SELECT 1 FROM oauth_grants g WHERE g.session_id = s.id)
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'client';
    DELETE FROM oauth_clients WHERE id IN (
        SELECT id FROM oauth_clients WHERE last_used_at IS NULL AND created_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'revocation';
    DELETE FROM revocations WHERE id IN (
        SELECT id FROM revocations WHERE revoked_at < now() - interval '1 day'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;
END $$;
"""


def upgrade() -> None:
    """Grow the tables and make the function."""
    op.execute(_TABLES)
    isolate(["oauth_sessions"])
    for table in _KEPT_UP:
        # The owner of the schema, which nobody serves as, works through the function alone.
        op.execute(f"CREATE POLICY {table}_upkeep ON {table} TO CURRENT_USER USING (true)")
    op.execute(_UPKEEP)
    op.execute("REVOKE ALL ON FUNCTION oauth_upkeep(integer) FROM PUBLIC")
