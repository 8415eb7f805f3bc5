"""Asks a client whose access token lacks a tool's scope to come back with one that has it.

The backend judges scopes; this only tells early, for a client can act on an HTTP 403 with a challenge
(RFC 6750 §3.1, MCP authorization "Scope Challenge Handling") and not on the error result of a tool.
Whoever holds an API key has nobody to ask for more, and reads the error result.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.common.dispatch import check_scope
from services.common.edge import Admission
from services.common.protected_resource import least_scope
from services.edge_mcp.tool import Tool

_CALL: Final = "tools/call"
_ACCESS_TOKEN: Final = "access_token"  # noqa: S105  a kind of credential


class StepUp:
    """Knows what each tool needs, from the policy of its RPC."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._policies = {tool.name: tool.policy for tool in tools if least_scope(tool.policy.any_scope)}

    def __call__(self, message: Mapping[str, Any], admission: Admission) -> None:
        """Look at one message. Raises AppError PERMISSION_DENIED SCOPE_MISSING."""
        caller = admission.caller
        if caller is None or caller.credential_kind != _ACCESS_TOKEN or message.get("method") != _CALL:
            return
        params = message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        policy = self._policies.get(name) if isinstance(name, str) else None
        if policy is not None:
            admission.route = f"mcp.{name}"
            check_scope(policy, caller)
