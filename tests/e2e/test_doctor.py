"""`mailwarden doctor` on a whole running system: it passes, it leaves nothing behind, and it notices harm."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from services.cli.provisioning import with_role
from tests.system import ROOT, RunningSystem, running_system

CONTROLS = {
    "isolation", "limiter", "revocation", "tls", "audit", "secrets", "egress", "settings", "migrations",
    "signing-keys",
}  # fmt: skip
CRITERIA = {"CC6", "CC7", "CC8", "A1"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of our own, with the limits of its plans; what is harmed here is no system for others."""
    with running_system(tmp_path_factory.mktemp("doctor"), TRACE_SAMPLE_RATIO="0") as running:
        yield running


def mailwarden(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments, "--data-dir", str(folder)]
    settings = {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error", **environment}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env=settings
    )


def examined(system: RunningSystem, *arguments: str) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    answer = mailwarden(system.data_dir, "doctor", "--json", *arguments)
    assert answer.stderr == ""
    report = json.loads(answer.stdout)
    return answer.returncode, {result["id"]: result for result in report["results"]}, report


def database_url(system: RunningSystem, service: str) -> str:
    return psutil.Process(system.pids[service]).environ()["DATABASE_URL"]


def admin_url(system: RunningSystem, database: str) -> str:
    passwords = json.loads((system.data_dir / "secrets" / "database.json").read_bytes())
    return with_role(database_url(system, "auth"), "postgres", passwords["postgres"], database)


def test_a_good_system_passes_whole_and_twice(system: RunningSystem) -> None:
    """Every control says something, in a stable shape; the second run finds what the first left: nothing."""
    for _ in range(2):
        code, results, report = examined(system)
        assert code == 0, [result for result in results.values() if result["status"] == "fail"]
        assert set(report) == {"schema", "started", "passed", "results"}
        assert (report["schema"], report["passed"]) == ("mailwarden.doctor/1", True)
        assert {result["control"] for result in results.values()} == CONTROLS
        for result in results.values():
            assert set(result) == {"id", "control", "status", "evidence", "seconds", "criteria"}
            assert result["status"] in {"pass", "warn", "skipped"}
            assert result["seconds"] >= 0
            assert {criterion.partition(".")[0] for criterion in result["criteria"]} <= CRITERIA
        told = {name: result["status"] for name, result in results.items()}
        assert {
            "isolation.edge", "limiter.rest", "revocation.edges", "tls.auth", "tls.mail_core", "audit.chain",
            "audit.append-only", "audit.checkpoints", "secrets.master-keys", "secrets.sealed",
            "secrets.files", "egress.guard", "settings.production-refuses", "migrations.auth.head",
            "migrations.mail.head",
            "signing-keys.passports", "signing-keys.checkpoints",
        } <= {name for name, status in told.items() if status == "pass"}  # fmt: skip
    _left_nothing(system)


def _left_nothing(system: RunningSystem) -> None:
    with psycopg.connect(admin_url(system, "mailwarden_auth"), autocommit=True) as admin:
        teams = admin.execute("SELECT id, disabled_at FROM teams WHERE name = 'mailwarden doctor'").fetchall()
        assert len(teams) == 1
        assert teams[0][1] is not None
        keys = admin.execute(
            "SELECT count(*), count(revoked_at) FROM api_keys WHERE team_id = %s", (teams[0][0],)
        ).fetchone()
        assert keys is not None
        assert keys[0] == keys[1] > 0
        actions = admin.execute(
            "SELECT DISTINCT action FROM audit_events WHERE team_id = %s", (teams[0][0],)
        ).fetchall()
        assert {"key.created", "key.revoked"} <= {action for (action,) in actions}


def test_no_secret_is_told(system: RunningSystem) -> None:
    """Neither in the table nor in JSON."""
    master = (system.data_dir / "secrets" / "master.key").read_text()
    planted = [line.split(":")[1] for line in master.split()]
    planted += list(json.loads((system.data_dir / "secrets" / "database.json").read_bytes()).values())
    planted.append(system.api_key)
    assert all(planted)
    for arguments in ((), ("--json",)):
        answer = mailwarden(system.data_dir, "doctor", "--only", "secrets,settings,migrations", *arguments)
        assert answer.returncode == 0
        assert "secrets.master-keys" in answer.stdout
        assert not [secret for secret in planted if secret in answer.stdout + answer.stderr]


def test_a_tampered_event_and_a_right_too_many_fail(system: RunningSystem) -> None:
    """Each is named; when it is mended the control passes again."""
    url = admin_url(system, "mailwarden_auth")
    change = (
        "UPDATE audit_events SET actor = %s WHERE (team_id, sequence) ="
        " (SELECT team_id, sequence FROM audit_events WHERE action = 'key.created' LIMIT 1)"
        " RETURNING (SELECT actor FROM audit_events WHERE action = 'key.created' LIMIT 1)"
    )
    with psycopg.connect(url, autocommit=True) as admin:
        former = admin.execute(change, ("somebody-else",)).fetchone()
        admin.execute("GRANT DELETE ON audit_events TO mailwarden_auth_app")
        code, results, report = examined(system, "--only", "audit")
        assert (code, report["passed"]) == (1, False)
        assert results["audit.chain"]["status"] == "fail"
        assert "changed" in results["audit.chain"]["evidence"]
        assert results["audit.append-only"]["evidence"] == "the serving role may DELETE audit_events"
        assert former is not None
        restore = "UPDATE audit_events SET actor = %s WHERE actor = 'somebody-else'"
        admin.execute(restore, (former[0],))
        admin.execute("REVOKE DELETE ON audit_events FROM mailwarden_auth_app")
    assert examined(system, "--only", "audit")[0] == 0


def test_a_file_that_others_may_read_fails(system: RunningSystem) -> None:
    """The exit code is for CI."""
    file = system.data_dir / "secrets" / "master.key"
    file.chmod(0o644)
    try:
        code, results, _ = examined(system, "--only", "secrets")
        assert (code, results["secrets.files"]["status"]) == (1, "fail")
        assert "master.key is open to others" in results["secrets.files"]["evidence"]
    finally:
        file.chmod(0o600)


def test_an_elsewhere_is_found_by_settings_and_what_is_not_known_is_skipped(
    system: RunningSystem, tmp_path: Path
) -> None:
    """With the operator's certificate; no data folder is looked at."""
    certs = system.data_dir / "certs"
    elsewhere = {
        "AUTH_ADDRESS": system.backends["auth"],
        "MAIL_CORE_ADDRESS": system.backends["mail_core"],
        "TLS_CERT_FILE": str(certs / "cli.pem"),
        "TLS_KEY_FILE": str(certs / "cli.key"),
        "TLS_CA_FILE": str(certs / "ca.pem"),
        "DOCTOR_AUTH_DATABASE_URL": database_url(system, "auth"),
        "DOCTOR_REST_URL": system.rest,
    }
    chosen = "isolation,revocation,tls,secrets,migrations,signing-keys"
    answer = mailwarden(tmp_path, "doctor", "--json", "--only", chosen, **elsewhere)
    assert answer.returncode == 0, answer.stdout
    told = {result["id"]: result["status"] for result in json.loads(answer.stdout)["results"]}
    assert told["isolation.auth.rows"] == told["revocation.edges"] == told["tls.auth"] == "pass"
    assert told["isolation.mail"] == told["secrets.sealed"] == told["migrations.auth.head"] == "skipped"


def test_a_doctor_that_cannot_look_says_so_with_its_own_code(tmp_path: Path, system: RunningSystem) -> None:
    """No system, a control that does not exist, certificates that are nobody's."""
    nothing = mailwarden(tmp_path, "doctor")
    assert (nothing.returncode, "no system is running" in nothing.stderr) == (2, True)
    unknown = mailwarden(system.data_dir, "doctor", "--only", "horoscope")
    assert (unknown.returncode, "horoscope" in unknown.stderr) == (2, True)
    names = ("AUTH_ADDRESS", "MAIL_CORE_ADDRESS")
    files = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
    lost = dict.fromkeys(names, "127.0.0.1:1") | dict.fromkeys(files, str(tmp_path / "none.pem"))
    assert mailwarden(tmp_path, "doctor", **lost).returncode == 2
    listed = mailwarden(tmp_path, "doctor", "--list")
    assert listed.returncode == 0
    assert {line.split()[0] for line in listed.stdout.splitlines()} == CONTROLS
