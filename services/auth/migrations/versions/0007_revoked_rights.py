"""Revocations that work which waited is held against, rights of other issuers, clients that are blocked."""

from alembic import op

from services.common.migrations import isolate

revision = "0007"
down_revision = "0006"

# A right of another issuer has no row of ours that could end: what ended is kept as long as it could live.
_TABLES = """
CREATE INDEX revocations_subject ON revocations (subject, revoked_at);

CREATE TABLE revoked_rights (
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    subject text NOT NULL CHECK (subject ~ '^(token|principal):[0-9a-f]{64}$'),
    revoked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, subject)
);
CREATE INDEX revoked_rights_expires_at ON revoked_rights (expires_at);

CREATE TABLE oauth_blocked_clients (
    address text PRIMARY KEY CHECK (char_length(address) BETWEEN 1 AND 512),
    blocked_at timestamptz NOT NULL
);
"""

# As in migration 0005 but for the log of revocations, which reaches back a day more than work may wait
# (`RIGHTS_REMEMBERED`), and for the table above.
_UPKEEP = """
CREATE OR REPLACE FUNCTION oauth_upkeep(batch integer, OUT what text, OUT row_count bigint)
RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
        SELECT id FROM revocations WHERE revoked_at < now() - interval '31 days'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;

    what := 'revoked_right';
    DELETE FROM revoked_rights WHERE (team_id, subject) IN (
        SELECT team_id, subject FROM revoked_rights WHERE expires_at < now() - interval '1 hour'
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS row_count = ROW_COUNT;
    RETURN NEXT;
END $$;
"""


# They belong to no team: whoever asks says so in the transaction.
_BLOCKED = """
ALTER TABLE oauth_blocked_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_blocked_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY oauth_blocked_clients_asked ON oauth_blocked_clients
    USING (current_setting('mailwarden.oauth_blocked', true) = 'on');
"""


def upgrade() -> None:
    """Make the tables and their upkeep."""
    op.execute(_TABLES)
    isolate(["revoked_rights"])
    op.execute("CREATE POLICY revoked_rights_upkeep ON revoked_rights TO CURRENT_USER USING (true)")
    op.execute(_UPKEEP)
    op.execute(_BLOCKED)
