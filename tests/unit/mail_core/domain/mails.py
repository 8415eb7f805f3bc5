"""Messages for tests, with the headers that Gmail and senders write."""

from datetime import UTC, datetime

from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.message import Headers, Message

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ONE_CLICK = "List-Unsubscribe=One-Click"
BOTH_FIELDS = "from:to:subject:list-unsubscribe:list-unsubscribe-post"
SIGNATURE_VALUE = "dGhpc0lzTm90QVJlYWxTaWduYXR1cmU="


def message(*fields, sender="Ann <ann@friends.example>", subject="Lunch?", labels=()):
    """Build a message from its most telling parts and any more fields."""
    headers = Headers.of((("From", sender), ("Subject", subject), *fields))
    return Message(GmailMessageId("18f"), "18f", NOON, frozenset(labels), headers, 2048)


def dkim_signature(signed=BOTH_FIELDS, domain="news.example", value=SIGNATURE_VALUE, selector="k1"):
    """Write a DKIM-Signature field as mail services do, folded."""
    return (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector};\r\n\th={signed};\r\n"
        f" bh=Zm9v; b={value[:10]}\r\n {value[10:]}"
    )


def results(dkim="pass", properties=f"header.i=@news.example header.s=k1 header.b={SIGNATURE_VALUE[:8]}"):
    """Write an Authentication-Results field as Gmail does."""
    return (
        f"mx.google.com;\r\n       dkim={dkim} {properties};\r\n       spf=pass (google.com: domain of "
        "bounce@news.example designates 192.0.2.1 as permitted sender) "
        'smtp.mailfrom="bounce@news.example";\r\n'
        "       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=news.example"
    )


def one_click_fields(uris="<https://news.example/u/1>", post=ONE_CLICK, signature=None, authentication=None):
    """Write what a message must carry for one-click, each part replaceable."""
    return (
        ("Authentication-Results", results() if authentication is None else authentication),
        ("DKIM-Signature", dkim_signature() if signature is None else signature),
        ("List-Unsubscribe", uris),
        ("List-Unsubscribe-Post", post),
    )
