"""Connection URLs and the passwords in them."""

import json
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from services.cli.provisioning import Credentials, with_role


@pytest.mark.parametrize(
    ("admin_url", "expected"),
    [
        ("postgresql://root:old@db.example:6432/postgres", {"host": "db.example", "port": "6432"}),
        ("postgres://root@db.example/", {"host": "db.example"}),
        ("postgresql://root:old@/postgres?host=%2Frun%2Fa%20b%2Bc", {"host": "/run/a b+c"}),
        (
            "postgresql://root@db.example/x?sslmode=verify-full&user=root&password=old",
            {"host": "db.example", "sslmode": "verify-full"},
        ),
        ("postgresql://[::1]:5433/postgres", {"host": "::1", "port": "5433"}),
    ],
)
def test_a_role_connects_where_the_administrator_does(admin_url: str, expected: dict[str, str]) -> None:
    """Host, port and TLS demands stay; the administrator's name and password go."""
    url = with_role(admin_url, "app", "p@ss:w/rd", "mail")
    assert url.startswith("postgresql://")
    assert conninfo_to_dict(url) == expected | {"user": "app", "password": "p@ss:w/rd", "dbname": "mail"}


def test_the_administrator_keeps_their_name_in_another_database() -> None:
    """Schemas are closed from inside each database."""
    expected = {"user": "root", "password": "s@c", "host": "db.example", "dbname": "mail"}
    for admin_url in (
        "postgresql://root:s%40c@db.example/postgres",
        "postgresql://db.example/postgres?user=root&password=s%40c",
    ):
        assert conninfo_to_dict(with_role(admin_url, None, None, "mail")) == expected


def test_passwords_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """The same roles work again at the next start."""
    credentials = Credentials(tmp_path / "database.json")
    first = credentials.passwords()
    assert credentials.passwords() == first
    assert len(set(first.values())) == len(first) == 5
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o600


def test_a_new_role_gets_a_password_beside_the_old_ones(tmp_path: Path) -> None:
    """An upgrade that adds a role changes no other."""
    path = tmp_path / "database.json"
    path.write_text(json.dumps({"mailwarden_auth_app": "kept"}))
    assert Credentials(path).passwords()["mailwarden_auth_app"] == "kept"
