"""The rules that each method of the contract carries, and that none can be without."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from protos.rpc.v1 import policy_pb2
from services.auth.domain.scopes import ALL_SCOPES
from services.cli.certificates import SERVICES
from services.common.policy import Policy, methods_of, policy_of

CONTRACTS = [
    service for file in (auth_pb2, mail_pb2) for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS: list[tuple[MethodDescriptor, Policy]] = [
    found for service in CONTRACTS for found in methods_of(service)
]
each_method = pytest.mark.parametrize(
    ("method", "policy"), METHODS, ids=[method.full_name for method, _ in METHODS]
)


@pytest.mark.promise("rights.policy")
@each_method
def test_every_method_names_who_may_call_it(method: MethodDescriptor, policy: Policy) -> None:
    """Only services that have certificates exist."""
    assert policy.callers
    assert policy.callers <= set(SERVICES)


@each_method
def test_every_method_ends_in_time_or_is_a_stream(method: MethodDescriptor, policy: Policy) -> None:
    """A dead dependency gives a typed error within a deadline."""
    assert method.server_streaming or (policy.timeout_s is not None and 0 < policy.timeout_s <= 60)


@each_method
def test_every_scope_is_one_that_credentials_can_have(method: MethodDescriptor, policy: Policy) -> None:
    """A misspelt scope would shut a method for everybody."""
    assert policy.any_scope <= ALL_SCOPES


@each_method
def test_edges_reach_mail_by_passport_and_scope_alone(method: MethodDescriptor, policy: Policy) -> None:
    """What an edge may call without a passport gives away no tenant's data."""
    if policy.callers - {"cli"} and policy.service == "mailwarden.mail.v1.MailService":
        assert policy.needs_passport
        assert policy.any_scope


def test_what_only_reads_says_so() -> None:
    """A method that is retried as free of effects must not be one that changes something."""
    from google.protobuf.descriptor_pb2 import MethodOptions

    for method, policy in METHODS:
        is_pure = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        assert is_pure != policy.mutates, method.full_name


def service_with(**options: object) -> ServiceDescriptor:
    """A contract made up for one test, with one method of this policy."""
    file = descriptor_pb2.FileDescriptorProto(
        name="t.proto", package="test.things.v1", syntax="proto3", dependency=["protos/rpc/v1/policy.proto"]
    )
    file.message_type.add(name="M")
    method = file.service.add(name="Things").method.add(
        name="DoThing", input_type=".test.things.v1.M", output_type=".test.things.v1.M"
    )
    if options:
        method.options.Extensions[policy_pb2.policy].CopyFrom(policy_pb2.Policy(**options))  # type: ignore[arg-type]
    pool = descriptor_pool.DescriptorPool()
    policy_file = descriptor_pb2.FileDescriptorProto()
    for dependency in ("google/protobuf/descriptor.proto", "protos/rpc/v1/policy.proto"):
        descriptor_pool.Default().FindFileByName(dependency).CopyToProto(policy_file)
        pool.Add(policy_file)
        policy_file.Clear()
    pool.Add(file)
    return pool.FindServiceByName("test.things.v1.Things")


def policy_from(**options: object) -> Policy:
    return policy_of(service_with(**options).methods[0])


@pytest.mark.promise("rights.policy")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "names no callers"),
        ({"any_scope": ["mail:scan"]}, "names no callers"),
        ({"callers": ["edge_rest"], "without_passport": True, "any_scope": ["a:b"]}, "reads no passport"),
    ],
)
def test_a_method_without_an_enforceable_policy_is_refused(options: dict[str, object], words: str) -> None:
    """A server does not start with it, so that nothing is reachable by accident."""
    with pytest.raises(ValueError, match=words):
        policy_from(**options)


def test_a_policy_is_read_whole() -> None:
    """As the proto says, with the milliseconds as seconds."""
    policy = policy_from(callers=["edge_rest"], any_scope=["a:b"], mutates=True, timeout_ms=1_500)
    assert policy == Policy(
        service="test.things.v1.Things",
        name="DoThing",
        path="/test.things.v1.Things/DoThing",
        callers=frozenset({"edge_rest"}),
        any_scope=frozenset({"a:b"}),
        needs_passport=True,
        mutates=True,
        timeout_s=1.5,
        is_repeatable=False,
    )
    assert policy.action == "things.DoThing"
