"""Signed checkpoints over the heads of all chains of the audit log.

`audit_checkpoints` holds the signed notes; `audit_checkpoint_heads`, of which chains each says something new.
The columns beside a note repeat what it says, for retention; what counts is the note. A transaction that
has `mailwarden.audit_checkpoints` on sees them, and all heads; the role that serves may add, and no more.

Retention now cuts a chain only where a checkpoint names its end, so that the anchor it leaves is a signed
one: at the newest checkpoint that is older than the days, and than what the last checkpoint says is kept.
Until there is a first checkpoint, it goes by the time of events, as before.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

_TABLES = """
CREATE TABLE audit_checkpoints (
    number bigint PRIMARY KEY CHECK (number > 0),
    signed_at timestamptz NOT NULL,
    kept_from timestamptz NOT NULL,
    note text NOT NULL CHECK (octet_length(note) <= 4096)
);
CREATE INDEX audit_checkpoints_signed_at ON audit_checkpoints (signed_at);

CREATE TABLE audit_checkpoint_heads (
    team_id uuid NOT NULL,
    number bigint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (team_id, number)
);
CREATE INDEX audit_checkpoint_heads_number ON audit_checkpoint_heads (number);
"""

_IS_ON = "current_setting('mailwarden.audit_checkpoints', true) = 'on'"

_PRUNE = """
CREATE OR REPLACE FUNCTION audit_prune(days integer, OUT event_count bigint, OUT team_count bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    old timestamptz := now() - make_interval(days => days);
    kept timestamptz;
    cut bigint;
    chain record;
    removed bigint;
BEGIN
    event_count := 0;
    team_count := 0;
    IF days NOT BETWEEN 1 AND 365 THEN
        RAISE EXCEPTION 'events are kept for 1 to 365 days' USING ERRCODE = 'check_violation';
    END IF;
    -- The same lock as signing takes: a checkpoint names chains before or after retention, never amid it.
    PERFORM pg_advisory_xact_lock(726003);
    SELECT kept_from INTO kept FROM audit_checkpoints ORDER BY number DESC LIMIT 1;
    SELECT max(number) INTO cut FROM audit_checkpoints WHERE signed_at <= least(old, kept);
    FOR chain IN
        SELECT h.team_id, e.sequence, e.hash
        FROM audit_heads h CROSS JOIN LATERAL (
            SELECT sequence, hash FROM audit_checkpoint_heads
            WHERE kept IS NOT NULL AND team_id = h.team_id AND number <= cut ORDER BY number DESC LIMIT 1
        ) e
        WHERE e.sequence > h.anchor_sequence AND e.sequence <= h.sequence
        UNION ALL
        SELECT h.team_id, e.sequence, e.hash
        FROM audit_heads h CROSS JOIN LATERAL (
            SELECT sequence, hash FROM audit_events
            WHERE team_id = h.team_id AND sequence < coalesce(
                (SELECT min(sequence) FROM audit_events WHERE team_id = h.team_id AND event_time >= old),
                h.sequence + 1)
            ORDER BY sequence DESC LIMIT 1
        ) e
        WHERE kept IS NULL AND e.sequence > h.anchor_sequence
        ORDER BY team_id
    LOOP
        -- Whoever serves could add a checkpoint that says it is old. The time of events it cannot change.
        CONTINUE WHEN (SELECT bool_or(event_time >= old) FROM audit_events
                       WHERE team_id = chain.team_id AND sequence <= chain.sequence);
        UPDATE audit_heads SET anchor_sequence = chain.sequence, anchor_hash = chain.hash
        WHERE team_id = chain.team_id;
        DELETE FROM audit_events WHERE team_id = chain.team_id AND sequence <= chain.sequence;
        GET DIAGNOSTICS removed = ROW_COUNT;
        event_count := event_count + removed;
        team_count := team_count + 1;
    END LOOP;
    -- What is left begins with the checkpoint of the cut, and the last of each chain's heads up to it.
    DELETE FROM audit_checkpoints WHERE number < cut;
    DELETE FROM audit_checkpoint_heads e WHERE number < cut AND EXISTS (
        SELECT 1 FROM audit_checkpoint_heads later
        WHERE later.team_id = e.team_id AND later.number > e.number AND later.number <= cut);
END $$;
"""


def upgrade() -> None:
    """Make the tables, and let retention go by them."""
    op.execute(_TABLES)
    for table in ("audit_checkpoints", "audit_checkpoint_heads"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_auditor ON {table} USING ({_IS_ON}) WITH CHECK ({_IS_ON})")
        op.execute(f"CREATE POLICY {table}_owner ON {table} TO CURRENT_USER USING (true)")
    op.execute(f"CREATE POLICY audit_heads_auditor ON audit_heads FOR SELECT USING ({_IS_ON})")
    op.execute(_PRUNE)
