"""The Gmail port on Google's API."""

import base64
import email.policy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, Final

from services.common.errors import Kind
from services.mail_core.adapters.gmail_reader import GmailReader
from services.mail_core.adapters.google_client import GoogleClient
from services.mail_core.adapters.google_errors import GoogleRefusedError, no_answer
from services.mail_core.adapters.google_services import GoogleServices
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.pacing import MAX_BATCH_MODIFY_IDS, MAX_PAGE_SIZE, units
from services.mail_core.ports import (
    HistoryExpiredError,
    IdPage,
    MetadataResult,
    NewMail,
    Profile,
    SendUnknownError,
)

_NOT_LISTED: Final = frozenset({"SPAM", "TRASH", "DRAFT"})
_METHOD_PREFIX: Final = "gmail.users."


@dataclass(frozen=True, slots=True)
class GmailApi:
    """One mailbox. Every call costs the units of its method in `table` (see `domain.pacing`)."""

    client: GoogleClient
    services: GoogleServices
    reader: GmailReader
    table: str

    @property
    def units_spent(self) -> int:
        """Quota units spent through this object so far."""
        return self.client.units_spent

    async def profile(self) -> Profile:
        """Ask whose mailbox it is, and for the cursor that stands for now."""
        answer = await self._call(
            self.services.users.getProfile(userId="me", fields="emailAddress,historyId")
        )
        return Profile(_text(answer, "emailAddress"), _text(answer, "historyId"))

    async def list_ids(self, query: str, page_token: str = "") -> IdPage:
        """List one page of ids that match a search."""
        answer = await self._call(
            self.services.messages.list(
                userId="me",
                q=query or None,
                maxResults=MAX_PAGE_SIZE,
                pageToken=page_token or None,
                fields="messages/id,nextPageToken,resultSizeEstimate",
            )
        )
        ids = tuple(GmailMessageId(_text(message, "id")) for message in _items(answer, "messages"))
        estimate = answer.get("resultSizeEstimate")
        return IdPage(ids, answer.get("nextPageToken") or "", estimate if isinstance(estimate, int) else 0)

    async def get_metadata(self, ids: Sequence[GmailMessageId]) -> MetadataResult:
        """Read labels and headers of messages."""
        return await self.reader.read(ids)

    async def new_ids_since(self, history_id: str) -> NewMail:
        """List what came since a cursor. Raises HistoryExpiredError."""
        ids: dict[GmailMessageId, None] = {}
        cursor, page_token = history_id, ""
        while True:
            answer = await self._history_page(history_id, page_token)
            ids |= dict.fromkeys(_added(answer))
            cursor = answer.get("historyId") or cursor
            page_token = answer.get("nextPageToken") or ""
            if not page_token:
                return NewMail(tuple(ids), cursor)

    async def ensure_label(self, name: str) -> str:
        """Give the id of the label of this name, creating it when there is none."""
        found = await self._find_label(name)
        if found:
            return found
        body = {"name": name, "labelListVisibility": "labelShow", "messageListVisibility": "show"}
        try:
            created = await self._call(self.services.labels.create(userId="me", body=body, fields="id"))
            return _text(created, "id")
        except GoogleRefusedError as refused:
            # Somebody else, or our own try whose answer was lost, made it first.
            found = await self._find_label(name) if refused.status == HTTPStatus.CONFLICT else None
            if found:
                return found
            raise

    async def batch_modify(
        self, ids: Sequence[GmailMessageId], add: Collection[str] = (), remove: Collection[str] = ()
    ) -> None:
        """Add and remove labels of messages."""
        if not add and not remove:
            return
        for start in range(0, len(ids), MAX_BATCH_MODIFY_IDS):
            chunk = list(ids[start : start + MAX_BATCH_MODIFY_IDS])
            body = {"ids": chunk, "addLabelIds": sorted(add), "removeLabelIds": sorted(remove)}
            await self._call(self.services.messages.batchModify(userId="me", body=body))

    async def send(self, mail: EmailMessage) -> GmailMessageId:
        """Send a mail as the owner. Raises SendUnknownError when it may or may not have gone out."""
        raw = base64.urlsafe_b64encode(mail.as_bytes(policy=email.policy.SMTP)).decode()
        request = self.services.messages.send(userId="me", body={"raw": raw}, fields="id")
        try:
            answer = await self._call(request, is_repeatable=False)
        except GoogleRefusedError as refused:
            if refused.kind is Kind.UNAVAILABLE and not refused.did_nothing:
                raise SendUnknownError from refused
            raise
        if not isinstance(answer.get("id"), str):
            raise SendUnknownError
        return GmailMessageId(answer["id"])

    async def _history_page(self, history_id: str, page_token: str) -> dict[str, Any]:
        request = self.services.history.list(
            userId="me",
            startHistoryId=history_id,
            historyTypes=["messageAdded"],
            maxResults=MAX_PAGE_SIZE,
            pageToken=page_token or None,
            fields="history/messagesAdded/message(id,labelIds),nextPageToken,historyId",
        )
        try:
            return await self._call(request)
        except GoogleRefusedError as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                raise HistoryExpiredError from refused
            raise

    async def _find_label(self, name: str) -> str | None:
        answer = await self._call(self.services.labels.list(userId="me", fields="labels(id,name)"))
        ids = {_text(label, "name"): _text(label, "id") for label in _items(answer, "labels")}
        # Gmail keeps the case of names, yet refuses a second one that differs by case alone.
        by_folded_name = {label_name.casefold(): label_id for label_name, label_id in ids.items()}
        return ids.get(name) or by_folded_name.get(name.casefold())

    async def _call(self, request: Any, *, is_repeatable: bool = True) -> dict[str, Any]:
        cost = units(request.methodId.removeprefix(_METHOD_PREFIX), self.table)
        answer = await self.client.call(request, cost, is_repeatable=is_repeatable)
        return answer if isinstance(answer, dict) else {}


def _added(history: dict[str, Any]) -> Iterator[GmailMessageId]:
    for record in _items(history, "history"):
        for added in _items(record, "messagesAdded"):
            message = added.get("message")
            if isinstance(message, dict) and _NOT_LISTED.isdisjoint(message.get("labelIds") or ()):
                yield GmailMessageId(_text(message, "id"))


def _items(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = answer.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise no_answer("gmail")
    return items


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise no_answer("gmail")
    return value
