"""The doctor's probes against real servers and databases: what holds passes, what was broken fails."""

import asyncio
import contextlib
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import psycopg
import pytest
from aiohttp import web

from services.cli.admin import Operator
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.cli.doctor import audit, isolation, limiter, migrations, revocation, secrets, tls
from services.cli.doctor.findings import Finding, Status
from services.cli.doctor.target import DatabaseUrls, Target
from services.cli.provisioning import with_role
from services.common.limits import Limit, headers_of
from services.common.limits_memory import MemoryWindows
from services.common.master_keys import new_master_key_line, read_master_keys
from services.common.sealing import GRANT_COLUMN, TARGET_COLUMN, Place, Sealer
from services.common.tls import TlsFiles
from tests.fakes.mail_database import MailDatabase, fresh_database
from tests.postgres import Databases

SETTINGS_FRAME = bytes(3) + b"\x04" + bytes(5)


@pytest.fixture
async def mail(databases: Databases) -> AsyncIterator[MailDatabase]:
    async with fresh_database(databases) as made:
        yield made


async def run(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement)  # type: ignore[arg-type]


def operator(tls_files: TlsFiles | None = None) -> Operator:
    nothing = Path("/nonexistent")
    return Operator("127.0.0.1:1", "127.0.0.1:1", tls_files or TlsFiles(nothing, nothing, nothing))


async def isolation_of(url: str) -> dict[str, Finding]:
    target = Target(operator(), databases={"mail": DatabaseUrls(url)})
    return {
        found.id: found async for found in isolation.probe(target) if found.id.startswith("isolation.mail.")
    }


async def test_isolation_passes_where_it_holds(mail: MailDatabase) -> None:
    """Role, tables and rows, with rows that could be seen."""
    await run(mail.admin_url, _mailbox())
    found = await isolation_of(mail.app_url)
    assert {name: finding.status for name, finding in found.items()} == {
        "isolation.mail.role": Status.PASS,
        "isolation.mail.tables": Status.PASS,
        "isolation.mail.rows": Status.PASS,
    }


@pytest.mark.promise("secrets.doctor")
async def test_a_role_that_bypasses_row_security_fails(mail: MailDatabase) -> None:
    """Its rights are told, and that it sees rows."""
    role = f"bypass_{uuid.uuid4().hex[:8]}"
    await run(
        mail.admin_url,
        _mailbox(),
        f"CREATE ROLE {role} LOGIN BYPASSRLS CREATEROLE PASSWORD 'p'",
        f"GRANT CONNECT ON DATABASE {mail.app_url.split('/')[3].partition('?')[0]} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        url = with_role(mail.admin_url, role, "p", mail.app_url.split("/")[3].partition("?")[0])
        found = await isolation_of(url)
        assert found["isolation.mail.role"].status is Status.FAIL
        assert "bypasses row security" in found["isolation.mail.role"].evidence
        assert "may create roles" in found["isolation.mail.role"].evidence
        assert "mailboxes shows rows to nobody" in found["isolation.mail.rows"].evidence
        assert found["isolation.mail.tables"].status is Status.PASS
    finally:
        await run(mail.admin_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.promise("secrets.doctor")
async def test_a_table_without_row_security_fails(mail: MailDatabase) -> None:
    """One that was forgotten, and one whose policy lets everybody in."""
    await run(
        mail.owner_url,
        "ALTER TABLE attempts NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY open_to_all ON mailboxes USING (true)",
    )
    await run(mail.admin_url, _mailbox())
    found = await isolation_of(mail.app_url)
    assert found["isolation.mail.tables"].evidence == "attempts is open"
    assert "mailboxes shows rows to nobody" in found["isolation.mail.rows"].evidence
    assert "mailboxes shows rows to a stranger" in found["isolation.mail.rows"].evidence


def _mailbox(sealed: str = "") -> str:
    return (
        "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed) VALUES"
        f" (gen_random_uuid(), gen_random_uuid(), 'a@example.com', 'active', '\\x0202{b'k1'.hex()}{sealed}')"
    )


async def test_migrations_are_judged_by_revision_and_owner(mail: MailDatabase) -> None:
    """A database that was left behind fails, and so does one that its server owns."""
    assert (await migrations.head("mail", mail.owner_url)).status is Status.PASS
    assert (await migrations.owner("mail", mail.app_url)).status is Status.PASS
    found = await migrations.owner("mail", mail.owner_url)
    assert (found.status, "owns tables" in found.evidence) == (Status.FAIL, True)
    await run(mail.owner_url, "UPDATE alembic_version SET version_num = '0001'")
    found = await migrations.head("mail", mail.owner_url)
    assert (found.status, "at 0001, this release has" in found.evidence) == (Status.FAIL, True)


@pytest.mark.promise("secrets.doctor")
async def test_a_role_that_may_change_the_audit_log_fails(databases: Databases) -> None:
    """A role of the test's own: the shared one stays as it is."""
    assert (await audit.append_only(databases.auth.app_url)).status is Status.PASS
    found = await audit.append_only(databases.auth.owner_url)
    assert found.status is Status.FAIL
    assert "may UPDATE audit_events" in found.evidence
    assert "may DELETE audit_events" in found.evidence


@pytest.mark.promise("secrets.doctor")
async def test_a_sealed_value_that_does_not_open_fails(mail: MailDatabase, tmp_path: Path) -> None:
    """Damaged, or of a key that is gone; those that open are counted."""
    file, team_id, row_id = tmp_path / "keys", str(uuid.uuid4()), str(uuid.uuid4())
    file.write_text(new_master_key_line("k1"))
    sealed = await Sealer(read_master_keys(file)).seal(b"grant", Place(team_id, GRANT_COLUMN, row_id))
    async with await psycopg.AsyncConnection.connect(mail.admin_url, autocommit=True) as admin:
        await admin.execute(
            "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed)"
            " VALUES (%s, %s, 'a@example.com', 'active', %s)",
            (row_id, team_id, sealed),
        )
    found = await secrets.all_open(mail.app_url, read_master_keys(file))
    assert (found.status, found.evidence[:18]) == (Status.PASS, "all 1 sealed value")
    await run(mail.admin_url, _mailbox("00" * 100))
    found = await secrets.all_open(mail.app_url, read_master_keys(file))
    assert (found.status, found.evidence) == (Status.FAIL, "1 of 2 sealed values do not open")


@pytest.mark.promise("secrets.doctor")
async def test_unsubscribe_targets_are_opened_too_and_those_in_plain_are_told(
    mail: MailDatabase, tmp_path: Path
) -> None:
    """Each in its own row and column: what is sealed as a grant, or for another list, is no target."""
    file, team_id = tmp_path / "keys", str(uuid.uuid4())
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    file.write_text(new_master_key_line("k1"))
    sealer = Sealer(read_master_keys(file))
    grant = await sealer.seal(b"grant", Place(team_id, GRANT_COLUMN, first))
    target, other = [await sealer.seal(b"t", Place(team_id, TARGET_COLUMN, row)) for row in (first, second)]

    async def with_targets(*values: bytes | None) -> Finding:
        async with await psycopg.AsyncConnection.connect(mail.admin_url, autocommit=True) as admin:
            await admin.execute("DELETE FROM mailboxes")
            await admin.execute(
                "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed)"
                " VALUES (%s, %s, 'a@example.com', 'active', %s)",
                (first, team_id, grant),
            )
            for row_id, value in zip((first, second, str(uuid.uuid4())), values, strict=False):
                await admin.execute(
                    "INSERT INTO subscriptions (id, team_id, mailbox_id, key_kind, key, message_count,"
                    " first_seen_at, last_seen_at, state, plan, target_sealed) SELECT %s,"
                    " team_id, id, 'sender', gen_random_uuid(), 1, now(), now(), 'candidate', '{}', %s"
                    " FROM mailboxes",
                    (row_id, value),
                )
        return await secrets.all_open(mail.app_url, read_master_keys(file))

    found = await with_targets(target, other, None)
    assert (found.status, found.evidence[:18]) == (Status.PASS, "all 3 sealed value")
    for moved in (grant, target):
        found = await with_targets(target, moved)
        assert (found.status, found.evidence) == (Status.FAIL, "1 of 3 sealed values do not open")
    found = await with_targets(target, b'\x00{"one_click_url": "https://x.example"}')
    assert found.status is Status.FAIL
    assert found.evidence == "1 values are not sealed yet: run `mailwarden secrets reseal`"


class CountedDoor:
    """A server that counts, or does not, as the test wants."""

    def __init__(self, allowed: int, told: int | None) -> None:
        self.windows = MemoryWindows()
        self.allowed = Limit("key", "one", allowed)
        self.told = told

    async def answer(self, _: web.Request) -> web.Response:
        verdict = self.windows.admit_now((self.allowed,))
        headers = headers_of(verdict)
        if self.told is None:
            headers = {}
        else:
            headers["X-RateLimit-Limit"] = str(self.told)
        if verdict.refused is None:
            return web.Response(headers=headers)
        return web.Response(status=429, headers=headers | {"Retry-After": "1"})


@contextlib.asynccontextmanager
async def served(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v1/me", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/me"
    finally:
        await runner.cleanup()


@pytest.mark.promise("secrets.doctor")
@pytest.mark.parametrize(
    ("allowed", "told", "status", "evidence"),
    [
        (20, 20, Status.PASS, "20 of 25 requests were served"),
        (10_000, 20, Status.FAIL, "25 requests were served where the limit is 20"),
        (19, 20, Status.FAIL, "19 requests were served where the limit is 20"),
        (20, None, Status.FAIL, "no X-RateLimit-Limit"),
        (10_000, 10_000, Status.WARN, "too many to be tried"),
    ],
)
async def test_a_limiter_that_does_not_count_exactly_fails(
    allowed: int, told: int | None, status: Status, evidence: str
) -> None:
    """One too many or one too few, or nothing told."""
    door = CountedDoor(allowed, told)
    async with served(door.answer) as url, aiohttp.ClientSession() as session:
        found = await limiter.burst(session, url, "key")
    assert (found.id, found.status) == ("limiter.rest", status)
    assert evidence in found.evidence


@pytest.mark.promise("secrets.doctor")
async def test_an_edge_that_goes_on_serving_a_revoked_key_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured all the same, and the slow one is named."""
    monkeypatch.setattr(revocation, "_PATIENCE_S", 1.2)
    revoked_at: list[float] = []

    async def revoke() -> None:
        revoked_at.append(time.monotonic())

    async def prompt(*_: object) -> int:
        return 401 if revoked_at else 200

    async def stubborn(*_: object) -> int:
        return 200

    async with aiohttp.ClientSession() as session:
        fine = await revocation.measured(session, {"REST": prompt}, "key", revoke)
        assert fine.status is Status.PASS
        deaf = await revocation.measured(session, {"REST": prompt, "MCP": stubborn}, "key", revoke)
        assert (deaf.status, deaf.evidence) == (Status.FAIL, "a fresh key is refused at REST")
        revoked_at.clear()
        slow = await revocation.measured(session, {"REST": prompt, "MCP": stubborn}, "key", revoke)
    assert (slow.status, slow.evidence) == (Status.FAIL, "MCP still served it after 1.20 s")


@pytest.mark.promise("secrets.doctor")
@pytest.mark.parametrize(
    ("server", "heard"),
    [
        ("plain", "plain text"),
        ("open", "no certificate"),
        ("any authority", "a certificate of another authority"),
    ],
)
async def test_a_port_that_hears_strangers_fails(tmp_path: Path, server: str, heard: str) -> None:
    """One that speaks plain text, one that asks for no certificate, one that trusts everybody's."""
    ours, foreign = CertificateFolder(tmp_path / "ours"), CertificateFolder(tmp_path / "foreign")
    for folder, services in ((ours, ("auth", "cli")), (foreign, ("cli",))):
        ensure_certificates(folder, utc_now(), services)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours.authority_file))
    context.load_cert_chain(ours.path / "auth.pem", ours.path / "auth.key")
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_NONE if server == "open" else ssl.CERT_REQUIRED
    if server == "any authority":
        context.load_verify_locations(foreign.authority_file)

    answering: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.append(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(24)
            writer.write(SETTINGS_FRAME)
            await writer.drain()
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    target = Target(operator(TlsFiles(ours.path / "cli.pem", ours.path / "cli.key", ours.authority_file)))
    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=None if server == "plain" else context)
    async with listening:
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        found = await tls.at_port("tls.auth", address, target, foreign)
        await asyncio.wait_for(asyncio.gather(*answering, return_exceptions=True), 5)
    assert found.status is Status.FAIL
    assert f"hears {heard}" in found.evidence
