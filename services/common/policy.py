"""The rules of each RPC, read from the options that its proto carries (protos/rpc/v1/policy.proto)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from protos.rpc.v1 import policy_pb2

_REPEATABLE: Final = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one method demands of its caller."""

    service: str
    name: str
    path: str
    callers: frozenset[str]
    any_scope: frozenset[str]
    needs_passport: bool
    mutates: bool
    timeout_s: float | None
    is_repeatable: bool

    @property
    def action(self) -> str:
        """Short name for logs, spans and metrics, for example `mail.ListMailboxes`."""
        return f"{self.service.split('.')[1]}.{self.name}"


def policy_of(method: MethodDescriptor) -> Policy:
    """Read the policy of a method. Raises ValueError when it has none that can be enforced."""
    options = method.GetOptions()
    rules = options.Extensions[policy_pb2.policy]  # pyright: ignore[reportArgumentType]
    service = method.containing_service.full_name
    if not rules.callers:
        raise ValueError(f"{service}.{method.name} names no callers: add a policy to its proto")
    if rules.without_passport and rules.any_scope:
        raise ValueError(f"{service}.{method.name} asks for scopes but reads no passport")
    return Policy(
        service=service,
        name=method.name,
        path=f"/{service}/{method.name}",
        callers=frozenset(rules.callers),
        any_scope=frozenset(rules.any_scope),
        needs_passport=not rules.without_passport,
        mutates=rules.mutates,
        timeout_s=rules.timeout_ms / 1000 if rules.timeout_ms else None,
        is_repeatable=options.idempotency_level in _REPEATABLE,
    )


def methods_of(service: ServiceDescriptor) -> Iterator[tuple[MethodDescriptor, Policy]]:
    """Iterate over a service's methods and their policies."""
    for method in service.methods:
        yield method, policy_of(method)
