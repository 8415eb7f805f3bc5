"""Audit: the chains hold, whoever serves can only append, and nothing waits to be recorded."""

from collections.abc import AsyncIterator
from typing import Final

from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.isolation import connected
from services.cli.doctor.target import Target

_FORBIDDEN: Final = {
    "audit_events": ("UPDATE", "DELETE", "TRUNCATE"),
    "audit_heads": ("INSERT", "UPDATE", "DELETE", "TRUNCATE"),
}
_LATE_S: Final = 300


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Verify all chains, then look at rights and at the outbox."""
    yield await _chains(target)
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
        events, chains = events + chain.event_count, chains + 1
        if not chain.intact:
            problems.append(f"team {chain.team_id}: event {chain.broken_sequence} {chain.problem.lower()}")
    return judged("audit.chain", problems, f"{events} events in {chains} chains are as they were written")


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
