"""token.json of the personal agent, in the shapes that Google's libraries have written over the years."""

import json

import pytest

from services.common.errors import AppError
from services.mail_core.adapters.google_access import GoogleConfig, open_google
from services.mail_core.adapters.google_grant import GOOGLE_TOKEN_URI, check_address, read_grant
from tests.integration.mail_core.adapters.scripted_google import TOKEN_FILE

NEWEST = TOKEN_FILE | {
    "token": "ya29.stale",
    "universe_domain": "googleapis.com",
    "account": "",
    "expiry": "2025-01-01T00:00:00Z",
}
GCLOUD = {key: NEWEST[key] for key in ("client_id", "client_secret", "refresh_token")} | {
    "type": "authorized_user"
}
OAUTH2CLIENT = TOKEN_FILE | {
    "access_token": "ya29.stale",
    "token_expiry": "2019-01-01T00:00:00Z",
    "token_uri": "https://accounts.google.com/o/oauth2/token",
    "user_agent": None,
    "revoke_uri": "https://accounts.google.com/o/oauth2/revoke",
    "_module": "oauth2client.client",
}
SPACED = TOKEN_FILE | {"scopes": "a b"}


@pytest.mark.parametrize("content", [TOKEN_FILE, NEWEST, GCLOUD, OAUTH2CLIENT, SPACED])
def test_every_shape_of_token_file_is_read(content):
    """google-auth, gcloud and oauth2client wrote different files with the same meaning."""
    grant = read_grant(json.dumps(content))
    assert grant.refresh_token == TOKEN_FILE["refresh_token"]
    assert grant.client_secret == TOKEN_FILE["client_secret"]
    assert grant.token_uri.startswith("https://")


def test_scopes_are_read_as_list_or_text():
    """Both forms are in use; none at all is not an error."""
    assert read_grant(json.dumps(SPACED)).scopes == ("a", "b")
    assert read_grant(json.dumps(GCLOUD)).scopes == ()


@pytest.mark.parametrize(
    "change",
    [
        {"refresh_token": ""},
        {"refresh_token": None},
        {"refresh_token": "a\r\nb"},
        {"client_id": 5},
        {"client_secret": "é"},
        {"scopes": 5},
        {"scopes": [5]},
        {"token_uri": "https://evil.example/token"},
        {"token_uri": "https://oauth2.googleapis.com.evil.example/token"},
        {"token_uri": "http://oauth2.googleapis.com/token"},
        {"token_uri": "file:///etc/passwd"},
        {"token_uri": "http://10.0.0.1/token"},
        {"token_uri": 5},
        {"token_uri": "https://[::1"},
    ],
)
def test_a_file_that_is_not_fit_is_refused_without_quoting_it(change):
    """Above all a file must not choose where secrets are sent."""
    with pytest.raises(AppError) as refused:
        read_grant(json.dumps(TOKEN_FILE | change))
    assert refused.value.reason == "TOKEN_FILE_INVALID"
    assert not any(str(value) in str(refused.value) for value in change.values() if len(str(value)) > 1)


@pytest.mark.parametrize("content", [{"installed": {}}, {"web": {}}])
def test_the_client_file_is_recognised_for_what_it_is(content):
    """Taking credentials.json for token.json is the usual mistake."""
    with pytest.raises(AppError, match=r"credentials\.json"):
        read_grant(json.dumps(content))


def test_a_huge_file_is_refused():
    """Nobody's token file is larger than 64 KiB."""
    with pytest.raises(AppError, match="64 KiB"):
        read_grant(" " * 70_000)


def test_a_sandbox_file_alone_leads_to_google():
    """Only the operator's setting can point to another token endpoint."""
    assert (
        read_grant(json.dumps(TOKEN_FILE | {"token_uri": "http://127.0.0.1:8080/token"})).token_uri
        == GOOGLE_TOKEN_URI
    )


@pytest.mark.parametrize(
    "uri", ["https://tokens.example/x", "http://127.0.0.1:5/t", "http://[::1]:5/t", "http://localhost/t"]
)
def test_a_token_endpoint_is_encrypted_or_on_this_machine(uri):
    """The setting may name any https endpoint, or a loopback one."""
    assert check_address("GOOGLE_TOKEN_URI", uri) == uri


@pytest.mark.parametrize(
    "uri", ["http://tokens.example/x", "http://10.0.0.1/", "ftp://127.0.0.1/", "x", "https:///x"]
)
async def test_any_other_token_endpoint_is_refused_at_start(uri):
    """Refresh tokens never travel in the clear."""
    with pytest.raises(ValueError, match="GOOGLE_TOKEN_URI"):
        async with open_google(GoogleConfig(token_uri=uri)):
            pass
    with pytest.raises(ValueError, match="GOOGLE_API_ENDPOINT"):
        async with open_google(GoogleConfig(api_endpoint=uri)):
            pass
