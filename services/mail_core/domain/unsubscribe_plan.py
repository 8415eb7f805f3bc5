"""Chooses the best safe and proper way to end a subscription, from the headers of its newest message."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from services.common.link_safety import Link, LinkPolicy, LinkProblem, read_link
from services.mail_core.domain.authentication_results import GMAIL_AUTHSERV_IDS
from services.mail_core.domain.dkim_signature import Coverage, covers_list_unsubscribe
from services.mail_core.domain.list_unsubscribe import is_one_click, parse_uris, scheme_of
from services.mail_core.domain.mailto import Mailto, MailtoProblem, parse_mailto
from services.mail_core.domain.message import Headers


class Method(StrEnum):
    """A way to end a subscription; the words of the contract in lower case."""

    ONE_CLICK = "one_click"
    MAILTO = "mailto"
    WEB_PAGE = "web_page"
    NONE = "none"


class PlanReason(StrEnum):
    """Why a plan is what it is. Stable words: they are stored and shown."""

    ONE_CLICK_QUALIFIED = "ONE_CLICK_QUALIFIED"
    IN_SPAM = "IN_SPAM"
    NO_LIST_UNSUBSCRIBE = "NO_LIST_UNSUBSCRIBE"
    HEADER_UNPARSABLE = "HEADER_UNPARSABLE"
    DUPLICATE_HEADER = "DUPLICATE_HEADER"
    MAILTO_ONLY = "MAILTO_ONLY"
    MAILTO_INVALID = "MAILTO_INVALID"
    NOT_HTTPS = "NOT_HTTPS"
    SEVERAL_HTTPS_LINKS = "SEVERAL_HTTPS_LINKS"
    UNSAFE_LINK = "UNSAFE_LINK"
    POST_HEADER_MISSING = "POST_HEADER_MISSING"
    POST_HEADER_INVALID = "POST_HEADER_INVALID"
    DKIM_NOT_VERIFIED = "DKIM_NOT_VERIFIED"
    DKIM_NOT_COVERING = "DKIM_NOT_COVERING"


# First half of an explanation: what was found.
FINDINGS: dict[PlanReason, str] = {
    PlanReason.ONE_CLICK_QUALIFIED: "The sender offers one-click, and a valid signature covers it",
    PlanReason.IN_SPAM: "The message is in Spam, where any answer would confirm that the address is read",
    PlanReason.NO_LIST_UNSUBSCRIBE: "The message has no List-Unsubscribe header",
    PlanReason.HEADER_UNPARSABLE: "The List-Unsubscribe header holds no link that the standard allows",
    PlanReason.DUPLICATE_HEADER: "An unsubscribe header is there more than once, so one-click is not certain",
    PlanReason.MAILTO_ONLY: "The sender offers a mail address alone",
    PlanReason.MAILTO_INVALID: "The mail address that the sender offers is not safe to write to",
    PlanReason.NOT_HTTPS: "The link is plain http, which anyone on the way can read",
    PlanReason.SEVERAL_HTTPS_LINKS: "The header has several web links where one-click allows one",
    PlanReason.UNSAFE_LINK: "The link leads somewhere that is not safe to contact",
    PlanReason.POST_HEADER_MISSING: "The sender does not declare one-click (no List-Unsubscribe-Post header)",
    PlanReason.POST_HEADER_INVALID: "The List-Unsubscribe-Post header does not have its one allowed value",
    PlanReason.DKIM_NOT_VERIFIED: "No valid DKIM signature proves who wrote the unsubscribe headers",
    PlanReason.DKIM_NOT_COVERING: "The valid DKIM signature does not cover both unsubscribe headers",
}

# Second half: what follows.
CONSEQUENCES: dict[Method, str] = {
    Method.ONE_CLICK: "so one request to the sender's host ends it",
    Method.MAILTO: "so a mail to the list's unsubscribe address ends it",
    Method.WEB_PAGE: "so a person has to finish it on the sender's page",
    Method.NONE: "so Mailwarden does not contact the sender",
}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who received the mail: names that its server signs results with, and the owner's own addresses."""

    authserv_ids: tuple[str, ...] = GMAIL_AUTHSERV_IDS
    addresses: frozenset[str] = frozenset()


GMAIL = Receiver()


@dataclass(frozen=True, slots=True)
class Way:
    """The way to end a subscription as lists show it, without the link or address that it needs."""

    method: Method
    reason: PlanReason
    explanation: str


@dataclass(frozen=True, slots=True)
class UnsubscribePlan(Way):
    """The way to end a subscription, with what it needs; exactly one of the last three unless NONE."""

    one_click_url: str | None = field(default=None, repr=False)
    mailto: Mailto | None = field(default=None, repr=False)
    web_page_url: str | None = field(default=None, repr=False)


def plan(
    headers: Headers, label_ids: Collection[str], policy: LinkPolicy, receiver: Receiver = GMAIL
) -> UnsubscribePlan:
    """Choose one-click where it qualifies, else mailto, else a page for the person, else nothing.

    The reason tells why one-click did not qualify, also when another way was found. Nothing is sent.
    """
    if "SPAM" in label_ids:
        return _plan(Method.NONE, PlanReason.IN_SPAM)
    fields = headers.get_all("List-Unsubscribe")
    if not fields:
        return _plan(Method.NONE, PlanReason.NO_LIST_UNSUBSCRIBE)
    uris = [uri for field in fields for uri in parse_uris(field)]
    if not uris:
        return _plan(Method.NONE, PlanReason.HEADER_UNPARSABLE)
    verdict = _one_click(headers, uris, policy, receiver)
    if isinstance(verdict, Link):
        return _plan(Method.ONE_CLICK, PlanReason.ONE_CLICK_QUALIFIED, one_click_url=verdict.url)
    return _fallback(verdict, uris, policy, receiver)


def explain(method: Method, reason: PlanReason) -> str:
    """Give one sentence for people: what was found and what follows."""
    return f"{FINDINGS[reason]}, {CONSEQUENCES[method]}."


def _plan(method: Method, reason: PlanReason, **means: object) -> UnsubscribePlan:
    return UnsubscribePlan(method, reason, explain(method, reason), **means)  # pyright: ignore[reportArgumentType]


def _one_click(
    headers: Headers, uris: list[str], policy: LinkPolicy, receiver: Receiver
) -> Link | PlanReason:
    """Give the link to post to, or the first condition of RFC 8058 that does not hold."""
    link = _one_web_link(uris, policy)
    posts = headers.get_all("List-Unsubscribe-Post")
    if len(headers.get_all("List-Unsubscribe")) > 1 or len(posts) > 1:
        return PlanReason.DUPLICATE_HEADER
    if not isinstance(link, Link):
        return link
    if not posts:
        return PlanReason.POST_HEADER_MISSING
    if not is_one_click(posts[0]):
        return PlanReason.POST_HEADER_INVALID
    return _COVERAGE_REASONS.get(covers_list_unsubscribe(headers, receiver.authserv_ids), link)


_COVERAGE_REASONS = {
    Coverage.NOT_VERIFIED: PlanReason.DKIM_NOT_VERIFIED,
    Coverage.NOT_COVERING: PlanReason.DKIM_NOT_COVERING,
}


def _one_web_link(uris: list[str], policy: LinkPolicy) -> Link | PlanReason:
    web = [uri for uri in uris if scheme_of(uri) in ("http", "https")]
    if not web:
        has_mailto = any(scheme_of(uri) == "mailto" for uri in uris)
        return PlanReason.MAILTO_ONLY if has_mailto else PlanReason.UNSAFE_LINK
    if len(web) > 1:
        return PlanReason.SEVERAL_HTTPS_LINKS
    link = read_link(web[0], policy)
    if isinstance(link, LinkProblem):
        return PlanReason.NOT_HTTPS if link is LinkProblem.NOT_HTTPS else PlanReason.UNSAFE_LINK
    return link


def _fallback(why: PlanReason, uris: list[str], policy: LinkPolicy, receiver: Receiver) -> UnsubscribePlan:
    mailto = _first_mailto(uris, receiver)
    if mailto is not None:
        return _plan(Method.MAILTO, why, mailto=mailto)
    links = [read_link(uri, policy) for uri in uris if scheme_of(uri) in ("http", "https")]
    page = next((link for link in links if isinstance(link, Link)), None)
    if page is not None:
        return _plan(Method.WEB_PAGE, why, web_page_url=page.url)
    if all(scheme_of(uri) == "mailto" for uri in uris):
        return _plan(Method.NONE, PlanReason.MAILTO_INVALID)
    is_http_alone = bool(links) and all(link is LinkProblem.NOT_HTTPS for link in links)
    return _plan(Method.NONE, PlanReason.NOT_HTTPS if is_http_alone else PlanReason.UNSAFE_LINK)


def _first_mailto(uris: list[str], receiver: Receiver) -> Mailto | None:
    """Give the first usable address; one of the owner's own would only send them mail."""
    parsed = (parse_mailto(uri) for uri in uris if scheme_of(uri) == "mailto")
    own = {address.lower() for address in receiver.addresses}
    usable = (mailto for mailto in parsed if not isinstance(mailto, MailtoProblem))
    return next((mailto for mailto in usable if mailto.recipient.lower() not in own), None)
