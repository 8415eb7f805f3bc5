"""What the doctor knows about the system that it looks at: the one of a data folder, or one by settings."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from services.cli.admin import Operator
from services.cli.folder import DataFolder
from services.cli.provisioning import with_role
from services.cli.remote import find_operator
from services.cli.settings import CliSettings

_DATABASES: Final = {"auth": "mailwarden_auth", "mail": "mailwarden_mail"}
_SERVICE_OF: Final = {"auth": "auth", "mail": "mail_core"}
KEY_FILE_SETTINGS: Final = (
    "MASTER_KEY_FILE",
    "MASTER_KEY_VAULT_TOKEN_FILE",
    "PASSPORT_KEY_FILE",
    "OAUTH_KEY_FILE",
    "AUDIT_KEY_FILE",
    "TLS_KEY_FILE",
)


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One database, as the role that serves and as the one that owns. Empty: not known."""

    app: str = field(default="", repr=False)
    owner: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """A running system. What is empty is not known, and probes that need it are skipped.

    `environments` holds the settings of each service, as its process has them.
    """

    operator: Operator
    edges: Mapping[str, str] = field(default_factory=dict)
    databases: Mapping[str, DatabaseUrls] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    data_dir: Path | None = None

    def setting(self, service: str, name: str) -> str:
        """Give a setting of a service; empty when it has none, or is not known."""
        return self.environments.get(service, {}).get(name, "")

    def file(self, service: str, name: str) -> Path | None:
        """Give a file that a setting names, when it is on this machine."""
        path = Path(self.setting(service, name) or "/nonexistent")
        return path if path.exists() else None


def find_target(data_dir: Path, settings: CliSettings) -> Target:
    """Find the system: by settings when they name one, else in the data folder. Raises Failure."""
    operator = find_operator(data_dir, settings)
    if settings.auth_address:
        return _by_settings(operator, settings)
    folder = DataFolder(data_dir.expanduser().resolve())
    system: dict[str, Any] = json.loads(folder.system_file.read_bytes())
    environments = {name: found for name, pid in system["pids"].items() if (found := _environment(pid))}
    return Target(
        operator=operator,
        edges={name: system[name] for name in ("rest", "mcp", "a2a")},
        databases={name: _urls(name, folder, environments) for name in _DATABASES},
        environments=environments,
        data_dir=folder.path,
    )


def _by_settings(operator: Operator, settings: CliSettings) -> Target:
    edges = {"rest": settings.doctor_rest_url, "mcp": settings.doctor_mcp_url, "a2a": settings.doctor_a2a_url}
    databases = {
        "auth": (settings.doctor_auth_database_url, settings.doctor_auth_owner_url),
        "mail": (settings.doctor_mail_database_url, settings.doctor_mail_owner_url),
    }
    # A job that runs the doctor has the settings of the services mounted: those are judged.
    mine = dict(os.environ)
    return Target(
        operator=operator,
        edges={name: url for name, url in edges.items() if url},
        databases={
            name: DatabaseUrls(app.get_secret_value(), owner.get_secret_value())
            for name, (app, owner) in databases.items()
        },
        environments=dict.fromkeys(("auth", "mail_core"), mine) if "MAILWARDEN_ENV" in mine else {},
    )


def _urls(name: str, folder: DataFolder, environments: Mapping[str, Mapping[str, str]]) -> DatabaseUrls:
    app = environments.get(_SERVICE_OF[name], {}).get("DATABASE_URL", "")
    if not app:
        return DatabaseUrls()
    try:
        passwords = json.loads((folder.secrets / "database.json").read_bytes())
    except (OSError, ValueError):
        return DatabaseUrls(app)
    owner = f"{_DATABASES[name]}_owner"
    return DatabaseUrls(app, with_role(app, owner, passwords.get(owner, ""), _DATABASES[name]))


def _environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}
