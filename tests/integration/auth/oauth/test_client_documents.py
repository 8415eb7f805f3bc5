"""Clients that describe themselves: what is fetched, what is believed, and where we never go."""

import json

import pytest

from services.auth.oauth.adapters.client_documents import HttpClientDocuments
from services.auth.oauth.domain.clients import client_of_document, is_document_url
from services.auth.oauth.domain.errors import OAuthError
from services.common.link_safety import LinkPolicy
from tests.integration.auth.oauth.world import REDIRECT

URL = "https://agent.example/client.json"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        (URL, True),
        ("https://agent.example", False),
        ("https://agent.example/", False),
        ("http://agent.example/client.json", False),
        ("https://agent.example/a/../client.json", False),
        ("https://agent.example/a/%2e%2e/client.json", False),
        ("https://agent.example/client.json#x", False),
        ("https://agent.example/client.json?x=1", False),
        ("https://user@agent.example/client.json", False),
        ("https://agent.example:99999/client.json", False),
        ("https:///client.json", False),
        ("https://agent.example/" + "x" * 600, False),
    ],
)
def test_a_client_id_is_a_plain_https_url_with_a_path(url: str, is_one: bool) -> None:
    """draft-ietf-oauth-client-id-metadata-document §3."""
    assert is_document_url(url) is is_one


@pytest.mark.parametrize(
    "said",
    [
        {"client_id": URL + "x", "redirect_uris": [REDIRECT]},
        {"redirect_uris": [REDIRECT]},
        {"client_id": URL},
        {"client_id": URL, "redirect_uris": [REDIRECT], "client_secret": "x"},
        {"client_id": URL, "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post"},
        {"client_id": URL, "redirect_uris": ["http://evil.example"]},
        [],
    ],
)
def test_a_document_that_is_not_the_client_s_own_is_refused(said: object) -> None:
    """It must name itself, hold no secret, and send answers to fit places."""
    with pytest.raises(OAuthError):
        client_of_document(URL, json.dumps(said).encode())


def test_a_fit_document_is_a_client() -> None:
    """Its host vouches for its name."""
    client = client_of_document(
        URL, json.dumps({"client_id": URL, "client_name": "Agent", "redirect_uris": [REDIRECT]}).encode()
    )
    assert (client.name, client.vouched_host, client.redirect_uris) == ("Agent", "agent.example", (REDIRECT,))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/client.json",
        "https://10.0.0.1/client.json",
        "https://[::1]/client.json",
        "https://agent.example:8443/client.json",
        "https://metadata.internal/client.json",
    ],
)
async def test_we_do_not_go_where_only_we_can(url: str) -> None:
    """The guard of the egress; the refusal does not say why."""
    with pytest.raises(OAuthError) as refused:
        await HttpClientDocuments(LinkPolicy()).fetch(url)
    assert refused.value.description == "The client's document cannot be had."
