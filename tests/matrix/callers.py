"""Who calls, and what the contract's options say must come of it."""

from dataclasses import dataclass
from enum import StrEnum

from services.common.policy import Policy
from tests.matrix.rows import Row


class As(StrEnum):
    """The nine callers of the matrix."""

    NOBODY = "no credential"
    WRONG_TYPE = "wrong type"
    EXPIRED = "expired"
    REVOKED = "revoked"
    OTHER_TEAM = "other team"
    READ_ONLY = "read-only"
    UNSCOPED = "missing scope"
    NARROWED = "outside prefix"
    ADMIN = "admin"


UNKNOWN = (As.NOBODY, As.WRONG_TYPE, As.EXPIRED, As.REVOKED)
"""Those of whom nobody knows who they are."""
AT_EDGES = {
    As.NOBODY: "CREDENTIAL_MISSING",
    As.WRONG_TYPE: "TOKEN_TYPE_REFUSED",
    As.EXPIRED: "KEY_EXPIRED",
    As.REVOKED: "KEY_REVOKED",
}
AT_BACKENDS = {
    As.NOBODY: "PASSPORT_MISSING",
    As.WRONG_TYPE: "PASSPORT_INVALID",
    As.EXPIRED: "PASSPORT_EXPIRED",
    As.REVOKED: "PASSPORT_REVOKED",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: OK or the reason of the refusal, the words of it, and all that was answered."""

    reason: str
    status: int | str = 0
    message: str = ""
    text: str = ""


def expected_of(policy: Policy, row: Row, caller: As) -> str:
    """The reason that a known caller must get, by the options of the method and the row's few words."""
    if caller is As.UNSCOPED and policy.any_scope:
        return "SCOPE_MISSING"
    if caller is As.READ_ONLY and policy.mutates:
        return "READ_ONLY"
    if caller is As.OTHER_TEAM and row.foreign != "OK":
        return row.foreign
    if caller is As.NARROWED and row.narrowed != "OK":
        return row.narrowed
    return row.done
