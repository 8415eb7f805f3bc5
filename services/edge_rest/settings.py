"""What the REST edge reads from its environment."""

from typing import Annotated

from pydantic import Field

from services.common.settings import EdgeSettings


class RestSettings(EdgeSettings):
    """Settings of the REST edge. The bounds here are what a slow or greedy client meets."""

    idle_timeout_s: Annotated[float, Field(ge=1, le=3_600)] = 75.0
    """How long a connection may take to send the head of its next request."""
    body_timeout_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    """How long a request body may take to arrive."""
    write_timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long a client may leave an answer unread before it is cut off."""
    max_header_bytes: Annotated[int, Field(ge=1_024, le=65_536)] = 16_384
    """Longest request line and longest single header: a credential of 8 KiB fits."""
    max_headers: Annotated[int, Field(ge=16, le=1_000)] = 64
    max_event_streams: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    event_heartbeat_s: Annotated[float, Field(ge=0.05, le=300)] = 15.0
    """How often a quiet event stream says that it is alive."""
