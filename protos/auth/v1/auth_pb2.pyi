import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.rpc.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CredentialKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREDENTIAL_KIND_UNSPECIFIED: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_API_KEY: _ClassVar[CredentialKind]
    CREDENTIAL_KIND_JWT: _ClassVar[CredentialKind]
CREDENTIAL_KIND_UNSPECIFIED: CredentialKind
CREDENTIAL_KIND_API_KEY: CredentialKind
CREDENTIAL_KIND_JWT: CredentialKind

class Team(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Restrictions(_message.Message):
    __slots__ = ("read_only", "label_prefix", "mailbox_ids")
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    LABEL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    MAILBOX_IDS_FIELD_NUMBER: _ClassVar[int]
    read_only: bool
    label_prefix: str
    mailbox_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, read_only: bool = ..., label_prefix: _Optional[str] = ..., mailbox_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Caller(_message.Message):
    __slots__ = ("team", "principal", "key_id", "credential_kind", "scopes", "restrictions")
    TEAM_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    RESTRICTIONS_FIELD_NUMBER: _ClassVar[int]
    team: Team
    principal: str
    key_id: str
    credential_kind: CredentialKind
    scopes: _containers.RepeatedScalarFieldContainer[str]
    restrictions: Restrictions
    def __init__(self, team: _Optional[_Union[Team, _Mapping]] = ..., principal: _Optional[str] = ..., key_id: _Optional[str] = ..., credential_kind: _Optional[_Union[CredentialKind, str]] = ..., scopes: _Optional[_Iterable[str]] = ..., restrictions: _Optional[_Union[Restrictions, _Mapping]] = ...) -> None: ...

class Passport(_message.Message):
    __slots__ = ("token", "expire_time", "caller")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    token: str
    expire_time: _timestamp_pb2.Timestamp
    caller: Caller
    def __init__(self, token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class IssuePassportRequest(_message.Message):
    __slots__ = ("api_key", "bearer", "audience")
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    BEARER_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    api_key: str
    bearer: str
    audience: str
    def __init__(self, api_key: _Optional[str] = ..., bearer: _Optional[str] = ..., audience: _Optional[str] = ...) -> None: ...

class IssuePassportResponse(_message.Message):
    __slots__ = ("passport",)
    PASSPORT_FIELD_NUMBER: _ClassVar[int]
    passport: Passport
    def __init__(self, passport: _Optional[_Union[Passport, _Mapping]] = ...) -> None: ...

class ListPassportKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPassportKeysResponse(_message.Message):
    __slots__ = ("jwks_json",)
    JWKS_JSON_FIELD_NUMBER: _ClassVar[int]
    jwks_json: str
    def __init__(self, jwks_json: _Optional[str] = ...) -> None: ...

class GetMeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMeResponse(_message.Message):
    __slots__ = ("caller",)
    CALLER_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    def __init__(self, caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class GetDefaultTeamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDefaultTeamResponse(_message.Message):
    __slots__ = ("team",)
    TEAM_FIELD_NUMBER: _ClassVar[int]
    team: Team
    def __init__(self, team: _Optional[_Union[Team, _Mapping]] = ...) -> None: ...

class CreateApiKeyRequest(_message.Message):
    __slots__ = ("team_id", "label", "scopes", "restrictions", "expire_time")
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    RESTRICTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    team_id: str
    label: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    restrictions: Restrictions
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, team_id: _Optional[str] = ..., label: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., restrictions: _Optional[_Union[Restrictions, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateApiKeyResponse(_message.Message):
    __slots__ = ("key_id", "secret")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    secret: str
    def __init__(self, key_id: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
