"""What everything of auth stands on: the files of its operator, its database."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.auth.adapters.audit_key_file import FileAuditKeys, UnusableAuditKeyError
from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.environment_secrets import EnvironmentSecrets
from services.auth.adapters.file_passport_keys import FilePassportKeys, UnusableKeyError
from services.auth.adapters.postgres_keys import PostgresKeys
from services.auth.adapters.postgres_revocations import PostgresRevocations
from services.auth.adapters.postgres_rights import PostgresRevokedRights
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.oauth.adapters.postgres_grants import PostgresGrants
from services.auth.operations.audit_checkpoints import Pace
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.settings import AuthSettings
from services.common.audit_notes import RefusalNotes
from services.common.database import Database
from services.common.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class Files:
    """What an operator keeps in files, read again when they change."""

    passport_keys: FilePassportKeys
    audit_keys: FileAuditKeys | None
    environment: EnvironmentSecrets

    @classmethod
    def of(cls, settings: AuthSettings) -> "Files":
        """Read them. Raises SystemExit for a bad key file."""
        return cls(_passport_keys(settings), _audit_keys(settings), EnvironmentSecrets(settings))


@dataclass(frozen=True, slots=True)
class Stores:
    """What auth keeps: one database, by what is asked of it."""

    database: Database
    audit: PostgresAudit
    keys: PostgresKeys
    teams: PostgresTeams
    revocations: PostgresRevocations
    grants: PostgresGrants
    rights: PostgresRevokedRights

    @classmethod
    def of(cls, settings: AuthSettings, pace: Pace) -> "Stores":
        """Make them. No connection is opened yet; `pace` hears of every event of the audit log."""
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        audit = PostgresAudit(database, pace.note)
        return cls(
            database=database,
            audit=audit,
            keys=PostgresKeys(database),
            teams=PostgresTeams(database, audit),
            revocations=PostgresRevocations(database, settings.database_url),
            grants=PostgresGrants(database, audit),
            rights=PostgresRevokedRights(database, audit),
        )


@dataclass(frozen=True, slots=True)
class Groundwork:
    """What everything else of auth stands on."""

    settings: AuthSettings
    files: Files
    stores: Stores
    notes: RefusalNotes
    check_api_key: CheckApiKey

    @classmethod
    def of(cls, settings: AuthSettings, files: Files, stores: Stores) -> "Groundwork":
        """Lay it."""
        check_api_key = CheckApiKey(files.environment, stores.keys, stores.teams, now)
        return cls(settings, files, stores, RefusalNotes(stores.audit.append), check_api_key)


def _passport_keys(settings: AuthSettings) -> FilePassportKeys:
    files = (settings.passport_key_file, settings.passport_key_previous_file)
    try:
        return FilePassportKeys.load(*files, may_create=not settings.is_production)
    except UnusableKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def _audit_keys(settings: AuthSettings) -> FileAuditKeys | None:
    if settings.audit_key_file is None:
        get_logger().warning("audit_not_signed")
        return None
    try:
        return FileAuditKeys.load(settings.audit_key_file, may_create=not settings.is_production)
    except UnusableAuditKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)
