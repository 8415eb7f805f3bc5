"""The errors of OAuth (RFC 6749 §4.1.2.1 and §5.2, RFC 7591 §3.2.2, RFC 8707 §2). Texts are ours and safe."""

from typing import Final

UNAUTHORIZED: Final = 401
UNAVAILABLE: Final = 503
TOO_MANY: Final = 429


class OAuthError(Exception):
    """A request that is refused. `status` is what an endpoint for programs answers with.

    `retry_after_s` is whole seconds, where waiting helps.
    """

    def __init__(
        self, code: str, description: str, *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status
        self.retry_after_s = retry_after_s


def invalid_request(description: str, *, status: int = 400) -> OAuthError:
    """Missing, repeated, malformed."""
    return OAuthError("invalid_request", description, status=status)


def invalid_client() -> OAuthError:
    """Unknown client, wrong secret, wrong method: not told apart."""
    return OAuthError("invalid_client", "The client could not be authenticated.", status=UNAUTHORIZED)


def client_blocked() -> OAuthError:
    """A client that the operator shut out."""
    return OAuthError("unauthorized_client", "Whoever runs this server has blocked this client.")


def invalid_grant() -> OAuthError:
    """A code or refresh token that is unknown, used, expired, or another client's: not told apart."""
    return OAuthError("invalid_grant", "The code or refresh token is not valid for this request.")


def invalid_scope() -> OAuthError:
    """Nothing that was asked for can be given."""
    return OAuthError("invalid_scope", "None of these scopes can be granted.")


def invalid_target() -> OAuthError:
    """A resource that we issue no tokens for."""
    return OAuthError("invalid_target", "No tokens are issued for this resource.")


def invalid_redirect_uri(description: str) -> OAuthError:
    """A redirect URI that cannot be registered or used."""
    return OAuthError("invalid_redirect_uri", description)


def invalid_metadata(description: str) -> OAuthError:
    """A registration that cannot be taken."""
    return OAuthError("invalid_client_metadata", description)


def unavailable() -> OAuthError:
    """Something we need does not answer."""
    return OAuthError(
        "temporarily_unavailable", "Please try again in a moment.", status=UNAVAILABLE, retry_after_s=1
    )


def too_many(retry_after_s: int) -> OAuthError:
    """An address that asks too often."""
    description = f"Too many requests from this address. Try again in {retry_after_s} seconds."
    return OAuthError("temporarily_unavailable", description, status=TOO_MANY, retry_after_s=retry_after_s)
