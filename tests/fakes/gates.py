"""A gate over an auth that a test directs."""

from typing import Any, cast

from services.common.client_address import ClientAddresses
from services.common.edge import Gate
from services.common.limits_edge import EdgeLimiter
from services.common.limits_memory import MemoryWindows
from services.common.passports import PassportBroker
from services.common.settings import LimitSettings
from tests.fakes.auth_channel import AuthChannel


def gate_of(auth: AuthChannel, *, sample_ratio: float = 0.0, request_timeout_s: float = 30.0) -> Gate:
    """Let requests in with what `auth` says of their credentials, and count them alone."""
    return Gate(
        "edge_test",
        PassportBroker(cast("Any", auth), clock=lambda: 0.0),
        EdgeLimiter(MemoryWindows(), LimitSettings()),
        ClientAddresses(),
        sample_ratio=sample_ratio,
        request_timeout_s=request_timeout_s,
    )
