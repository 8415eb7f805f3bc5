"""What the senders know: who has left which list, and every request and mail that asked for it."""

import asyncio
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from services.sandbox.list_mail import Addressee, token_of
from services.sandbox.lists import BY_NAME, LISTS, MailingList
from services.sandbox.mailbox import Message


@dataclass(frozen=True, slots=True)
class SenderRequest:
    """One request to a sender's host, or one mail to a sender's robot."""

    kind: str  # "http" or "mail"
    list_name: str | None
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    time: datetime
    ended: bool

    def json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "list": self.list_name,
            "method": self.method,
            "target": self.target,
            "headers": [list(header) for header in self.headers],
            "body": self.body,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "ended": self.ended,
        }


@dataclass(slots=True)
class SenderBook:
    """All lists of one subscriber."""

    now: Callable[[], datetime]
    subscriber: Addressee
    alias: Addressee
    requests: list[SenderRequest] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    delivered: dict[str, int] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, request: SenderRequest) -> None:
        self.requests.append(request)
        self._news.set()

    def recorded(self, list_name: str | None) -> list[SenderRequest]:
        """Requests of one list, or all."""
        return [request for request in self.requests if list_name in {None, request.list_name}]

    async def wait_for(self, list_name: str | None, count: int) -> None:
        """Return as soon as that many requests were recorded."""
        while len(self.recorded(list_name)) < count:
            self._news.clear()
            await self._news.wait()

    def addressee(self, mailing_list: MailingList) -> Addressee:
        return self.alias if mailing_list.to_alias else self.subscriber

    def knows_token(self, mailing_list: MailingList, token: str) -> bool:
        expected = token_of(mailing_list, self.addressee(mailing_list).address)
        return hmac.compare_digest(expected.encode(), token.encode(errors="replace"))

    def end(self, mailing_list: MailingList) -> None:
        self.ended.add(mailing_list.name)

    def next_number(self, mailing_list: MailingList) -> int:
        """Number of the list's next message, counting on from the seeded ones."""
        number = self.delivered.get(mailing_list.name, mailing_list.count)
        self.delivered[mailing_list.name] = number + 1
        return number

    def receive_mail(self, message: Message, recipient: str) -> None:
        """Read a mail as a list robot does: the address, and the subject where the list asks for one."""
        mailing_list = next((item for item in LISTS if self._is_request(item, message, recipient)), None)
        if mailing_list:
            self.end(mailing_list)
        elif not any(_robot_domain(item) == recipient.rpartition("@")[2] for item in LISTS):
            return
        self.record(
            SenderRequest(
                "mail",
                mailing_list.name if mailing_list else None,
                "MAIL",
                recipient,
                tuple(message.headers),
                message.text[:65_536],
                self.now(),
                mailing_list is not None,
            )
        )

    def _is_request(self, mailing_list: MailingList, message: Message, recipient: str) -> bool:
        wanted = self._mailto(mailing_list)
        if wanted is None or wanted[0].lower() != recipient:
            return False
        return wanted[1] is None or message.header("subject").strip() == wanted[1]

    def _mailto(self, mailing_list: MailingList) -> tuple[str, str | None] | None:
        """Address and subject that this list's mailto asks for, percent-decoded; `+` stands for itself."""
        token = token_of(mailing_list, self.addressee(mailing_list).address)
        for template in mailing_list.unsubscribe:
            found = re.fullmatch(r"mailto:([^?]+)(?:\?(?:.*&)?subject=([^&]*).*)?", template)
            if found:
                address, subject = (
                    unquote(part.format(token=token)) if part else None for part in found.groups()
                )
                return str(address), subject
        return None


def find_list(name: str) -> MailingList | None:
    return BY_NAME.get(name)


def _robot_domain(mailing_list: MailingList) -> str | None:
    found = next(
        (re.search(r"mailto:[^?]+@([^?]+)", uri) for uri in mailing_list.unsubscribe if "mailto" in uri), None
    )
    return found[1] if found else None
