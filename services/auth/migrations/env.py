from services.common.migrations import run_env

# The audit log is written once: events are added and read, heads move by the log's own trigger.
run_env(
    withheld={
        "audit_events": "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER",
        "audit_heads": "INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER",
        "audit_checkpoints": "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER",
        "audit_checkpoint_heads": "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER",
    }
)
