from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor

class Policy(_message.Message):
    __slots__ = ("callers", "any_scope", "without_passport", "mutates", "timeout_ms")
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    ANY_SCOPE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_PASSPORT_FIELD_NUMBER: _ClassVar[int]
    MUTATES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    callers: _containers.RepeatedScalarFieldContainer[str]
    any_scope: _containers.RepeatedScalarFieldContainer[str]
    without_passport: bool
    mutates: bool
    timeout_ms: int
    def __init__(self, callers: _Optional[_Iterable[str]] = ..., any_scope: _Optional[_Iterable[str]] = ..., without_passport: bool = ..., mutates: bool = ..., timeout_ms: _Optional[int] = ...) -> None: ...
