"""What the A2A edge reads from its environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from services.common.settings import EdgeSettings


class A2aSettings(EdgeSettings):
    """Settings of the A2A edge."""

    a2a_grpc_listen: Annotated[str, Field(pattern=r"^[^\s]+:\d{1,5}$")] = "127.0.0.1:0"
    a2a_grpc_public_address: str = ""
    """Host and port of the gRPC binding as clients reach it; by default the address that it listens on."""
    a2a_grpc_tls_cert_file: Path | None = None
    a2a_grpc_tls_key_file: Path | None = None
    a2a_tasks_kept: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    a2a_tasks_kept_per_caller: Annotated[int, Field(ge=1, le=100_000)] = 50
    a2a_task_life_s: Annotated[float, Field(ge=1, le=86_400)] = 3_600.0

    @model_validator(mode="after")
    def _has_both_halves(self) -> Self:
        if (self.a2a_grpc_tls_cert_file is None) != (self.a2a_grpc_tls_key_file is None):
            raise ValueError("A2A_GRPC_TLS_CERT_FILE and A2A_GRPC_TLS_KEY_FILE go together: set both or none")
        return self
