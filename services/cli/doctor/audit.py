"""Audit: the chains hold and are signed, who serves can only append, and nothing waits to be recorded."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from protos.auth.v1 import auth_pb2
from services.cli.audit import problem_of
from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.isolation import connected
from services.cli.doctor.target import Target
from services.common.audit_checkpoint import checkpoint_of
from services.common.signed_note import BadNoteError, UnknownKeyError, VerifierKey, open_note

_FORBIDDEN: Final = {
    "audit_events": ("UPDATE", "DELETE", "TRUNCATE"),
    "audit_heads": ("INSERT", "UPDATE", "DELETE", "TRUNCATE"),
    "audit_checkpoints": ("UPDATE", "DELETE", "TRUNCATE"),
    "audit_checkpoint_heads": ("UPDATE", "DELETE", "TRUNCATE"),
}
_SILENT: Final = timedelta(hours=2)
"""Auth signs hourly when nothing happens."""
_LATE_S: Final = 300


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Verify all chains, forge a checkpoint, then look at rights and at the outbox."""
    yield await _chains(target)
    newest = [each async for each in target.operator.checkpoints(newest_only=True)]
    yield judge_checkpoints(newest, datetime.now(UTC))
    urls = target.databases.get("auth")
    if urls is None or not urls.app:
        yield skipped("audit.append-only", "the auth database is not known")
    else:
        yield await append_only(urls.app)
    urls = target.databases.get("mail")
    if urls is None or not urls.app:
        yield skipped("audit.outbox", "the mail database is not known")
    else:
        yield await _outbox(urls.app)


async def _chains(target: Target) -> Finding:
    events = chains = 0
    problems = []
    async for chain in target.operator.verify_audit():
        events, chains = events + chain.event_count, chains + (not chain.HasField("checkpoints"))
        if not chain.intact:
            problems.append(problem_of(chain))
    return judged("audit.chain", problems, f"{events} events in {chains} chains are as they were written")


def judge_checkpoints(answers: Sequence[auth_pb2.ExportCheckpointsResponse], now: datetime) -> Finding:
    """Judge the newest checkpoint: it is young, its signature holds, and holds for no other text."""
    name = "audit.checkpoints"
    keys = [VerifierKey.parse(key) for answer in answers for key in answer.verifier_keys]
    note = next((answer.note for answer in answers if answer.note), "")
    if not keys:
        why = "heads are not signed: who owns the schema can rewrite the log unseen; set AUDIT_KEY_FILE"
        return Finding(name, Status.WARN, why)
    if not note:
        return Finding(name, Status.FAIL, "there is no checkpoint")
    if not _is_genuine(note, keys):
        return Finding(name, Status.FAIL, "the newest checkpoint is not what one of the keys signed")
    checkpoint = checkpoint_of(note)
    forged = replace(checkpoint, number=checkpoint.number + 1).text + note.removeprefix(checkpoint.text)
    problems = ["a forged checkpoint is taken for genuine"] if _is_genuine(forged, keys) else []
    if now - checkpoint.at > _SILENT:
        problems.append(f"auth signs no more: the last checkpoint is of {checkpoint.at:%Y-%m-%dT%H:%MZ}")
    fine = f"checkpoint {checkpoint.number} is signed, over {checkpoint.chain_count} chains"
    return judged(name, problems, fine)


def _is_genuine(note: str, keys: Sequence[VerifierKey]) -> bool:
    try:
        return open_note(note, keys)[0] == checkpoint_of(note).text
    except (BadNoteError, UnknownKeyError, ValueError):
        return False


async def append_only(app_url: str) -> Finding:
    """See that the role that serves may not change what was recorded."""
    problems = []
    async with connected(app_url) as connection:
        for table, privileges in _FORBIDDEN.items():
            for privilege in privileges:
                query = "SELECT has_table_privilege(current_user, %s, %s)"
                row = await (await connection.execute(query, (table, privilege))).fetchone()
                if row is None or row[0]:
                    problems.append(f"the serving role may {privilege} {table}")
    return judged("audit.append-only", problems, "the serving role may read and append, nothing else")


async def _outbox(app_url: str) -> Finding:
    query = (
        "SELECT count(*) FILTER (WHERE is_refused), count(*) FILTER (WHERE NOT is_refused"
        " AND created_at < now() - make_interval(secs => %s)) FROM audit_outbox"
    )
    async with connected(app_url) as connection:
        await connection.execute("SELECT set_config('mailwarden.audit_relay', 'on', true)")
        refused, late = await (await connection.execute(query, (_LATE_S,))).fetchone() or (0, 0)
    problems = [f"{refused} events were refused by auth"] if refused else []
    problems += [f"{late} events wait for more than {_LATE_S // 60} minutes"] if late else []
    return judged("audit.outbox", problems, "nothing waits to be recorded", worst=Status.WARN)
