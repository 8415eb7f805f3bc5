"""What the command reads from the environment; the only place of it that does."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.settings import read_settings


class CliSettings(BaseSettings):
    """Settings of the command itself. All of them are optional."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = ""
    auth_address: str = ""
    mail_core_address: str = ""
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None
    google_token_file: Path = Path("token.json")
    master_key_file: Path | None = None
    passport_key_file: Path | None = None
    oauth_key_file: Path | None = None
    audit_key_file: Path | None = None
    doctor_auth_database_url: SecretStr = SecretStr("")
    doctor_mail_database_url: SecretStr = SecretStr("")
    doctor_auth_owner_url: SecretStr = SecretStr("")
    doctor_mail_owner_url: SecretStr = SecretStr("")
    doctor_rest_url: str = ""
    doctor_mcp_url: str = ""
    doctor_a2a_url: str = ""
    mailwarden_api_key: SecretStr = SecretStr("")


def cli_settings() -> CliSettings:
    """Read the settings, or leave with a message that says what to set."""
    return read_settings(CliSettings)


def inherited_environment() -> Mapping[str, str]:
    """The person's environment, from which services get what is theirs."""
    return dict(os.environ)
