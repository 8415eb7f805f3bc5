"""What the REST edge reads from its environment."""

from typing import Annotated

from pydantic import Field

from services.common.settings import EdgeSettings


class RestSettings(EdgeSettings):
    """Settings of the REST edge. The bounds here are what a greedy client meets."""

    max_header_bytes: Annotated[int, Field(ge=1_024, le=65_536)] = 16_384
    """Longest request line and longest single header: a credential of 8 KiB fits."""
    max_headers: Annotated[int, Field(ge=16, le=1_000)] = 64
    max_event_streams: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    event_heartbeat_s: Annotated[float, Field(ge=0.05, le=300)] = 15.0
    """How often a quiet event stream says that it is alive."""
