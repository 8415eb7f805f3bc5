"""The refusals of a credential. They say which documented rule it broke and nothing more.

Everything that could tell a guesser how close they came is one and the same CREDENTIAL_INVALID.
"""

from typing import Final

from services.common.errors import AppError, unauthenticated, unavailable

_ISSUER_RETRY_S: Final = 2.0


def credential_missing() -> AppError:
    """No credential was sent."""
    return unauthenticated("CREDENTIAL_MISSING", "Send an API key or a bearer token.")


def credential_invalid() -> AppError:
    """Unknown, malformed, wrongly signed, for somebody else: deliberately not told apart."""
    return unauthenticated("CREDENTIAL_INVALID", "The credential cannot be accepted.")


def kind_refused(accepted: str) -> AppError:
    """A kind of credential that the mode of this edge does not take. Judged by form alone."""
    return unauthenticated("CREDENTIAL_KIND_REFUSED", f"This endpoint accepts {accepted} only.")


def token_type_refused() -> AppError:
    """A token that was made for another purpose (RFC 8725 §3.11)."""
    return unauthenticated("TOKEN_TYPE_REFUSED", "This kind of token is not accepted here.")


def audience_refused() -> AppError:
    """A genuine token that was made for another resource (RFC 8707)."""
    return unauthenticated("TOKEN_AUDIENCE_REFUSED", "The token is for another resource.")


def token_expired() -> AppError:
    """A genuine token after its `exp`."""
    return unauthenticated("TOKEN_EXPIRED", "The token has expired.")


def token_revoked() -> AppError:
    """A genuine token that was taken back, or whose roots do not all stand any more."""
    return unauthenticated("TOKEN_REVOKED", "The token was revoked.")


def token_not_yet_valid() -> AppError:
    """A genuine token before its `nbf`, or issued in the future."""
    return unauthenticated("TOKEN_NOT_YET_VALID", "The token is not valid yet.")


def issuer_down() -> AppError:
    """Nobody can say whether a token counts: its issuer does not answer, or not in words that can be read."""
    message = "The issuer of the token cannot be asked about it now."
    return unavailable("ISSUER_DOWN", message, retry_after_s=_ISSUER_RETRY_S)


def key_expired() -> AppError:
    """A genuine API key after its end."""
    return unauthenticated("KEY_EXPIRED", "The API key has expired.")


def key_revoked() -> AppError:
    """A genuine API key that was taken back."""
    return unauthenticated("KEY_REVOKED", "The API key was revoked.")


def team_disabled() -> AppError:
    """A genuine credential of a team that is switched off."""
    return unauthenticated("TEAM_DISABLED", "The team is switched off.")
