"""What the mail core reads from its environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from services.common.link_safety import LinkPolicy
from services.common.master_key_ring import MasterKeySettings
from services.common.settings import DatabaseSettings


class Settings(DatabaseSettings, MasterKeySettings):
    """Settings of the mail core. Names follow the personal agent's where it has them."""

    auth_address: str

    google_api_endpoint: str = ""
    google_token_uri: str = ""
    gmail_quota_table: Annotated[str, Field(pattern="^(2026|2025)$")] = "2026"
    gmail_quota_units_per_minute: Annotated[int | None, Field(ge=100, le=10_000_000)] = None

    gmail_query: Annotated[str, Field(max_length=1_000)] = ""
    scan_max_messages: Annotated[int, Field(ge=1, le=50_000)] = 5_000
    triage_rules_file: Path | None = None
    triage_labels: dict[str, str] = Field(default_factory=dict)
    """Label names by category, as JSON: `{"ADVERTISING": "Pub"}`."""
    triage_archive: bool = False

    egress_allow: str = ""
    """CIDRs, comma separated, whose hosts may be contacted on any port and without TLS."""

    worker_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    worker_heartbeat_s: Annotated[float, Field(ge=0.2, le=60)] = 5.0
    worker_stalled_s: Annotated[float, Field(ge=1, le=600)] = 20.0

    @field_validator("egress_allow")
    @classmethod
    def _names_networks(cls, value: str) -> str:
        try:
            LinkPolicy.parse(value)
        except ValueError:
            raise ValueError("must be CIDRs, comma separated, for example 127.0.0.0/8") from None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.is_production and self.egress_allow:
            raise ValueError("EGRESS_ALLOW opens the way to internal hosts and must be empty in production")
        if self.worker_stalled_s < 2 * self.worker_heartbeat_s:
            raise ValueError("WORKER_STALLED_S must be at least twice WORKER_HEARTBEAT_S")
        return self
