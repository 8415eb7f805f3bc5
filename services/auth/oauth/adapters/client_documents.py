"""Client id metadata documents, fetched through the guarded way out and kept for a few minutes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from services.auth.oauth.domain.clients import Client, client_of_document
from services.auth.oauth.domain.errors import OAuthError, invalid_metadata
from services.common.egress import Egress, EgressLimits, Fetched
from services.common.link_safety import LinkPolicy

LIMITS: Final = EgressLimits(total_s=5.0, connect_s=3.0, max_body_bytes=16 * 1024, overall=8)
USER_AGENT: Final = "Mailwarden/1 (OAuth client metadata)"
FRESH_S: Final = 300.0
MAX_KEPT: Final = 1_000
_OK: Final = 200


class HttpClientDocuments:
    """Implements `ports.ClientDocuments`."""

    def __init__(
        self, policy: LinkPolicy, *, egress: Egress | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._egress = egress or Egress(policy=policy, limits=LIMITS, user_agent=USER_AGENT)
        self._now_s = now_s
        self._kept: OrderedDict[str, tuple[float, Client]] = OrderedDict()

    async def fetch(self, url: str) -> Client:
        """Give the client.

        Raises OAuthError invalid_client, invalid_client_metadata, invalid_redirect_uri.
        """
        kept = self._kept.get(url)
        if kept is not None and kept[0] > self._now_s():
            return kept[1]
        answer = await self._egress.get(url, "application/json")
        if not isinstance(answer, Fetched) or answer.status != _OK or not answer.is_whole:
            # Why is not told: it would make us a scanner of what only we can reach.
            raise OAuthError("invalid_client", "The client's document cannot be had.")
        media_type = answer.content_type.partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise invalid_metadata("The client's document is not JSON.")
        client = client_of_document(url, answer.body)
        self._kept[url] = (self._now_s() + FRESH_S, client)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return client
