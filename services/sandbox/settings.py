"""What the sandbox can be told from outside; read once in `__main__`."""

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the sandbox, by environment variables of the same names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    listen: str = Field(default="127.0.0.1:0", description="host:port of the local Google; port 0 takes any")
    senders_listen: str = Field(
        default="127.0.0.1:0", description="host:port of the senders' unsubscribe hosts"
    )
    ready_file: Path | None = Field(
        default=None, description="gets service, pid and addresses as JSON when serving"
    )
    sandbox_corpus: Path | None = Field(
        default=None, description="folder of .eml files or one mbox, instead of seeds"
    )
    sandbox_quota_table: Literal["2026", "2025"] = Field(
        default="2026", description="which of Gmail's unit tables"
    )
    sandbox_quota_units_per_minute: int | None = Field(
        default=None, gt=0, description="instead of the table's limit"
    )
    sandbox_now: AwareDatetime | None = Field(default=None, description="what seeded dates are relative to")
    sandbox_token_ttl_s: int = Field(default=3599, gt=0, description="life of an access token")
    sandbox_latency_ms: float = Field(
        default=0, ge=0, le=10_000, description="time that each Google call takes"
    )
