"""The pages that a person sees: plain HTML, no scripts, one style sheet whose hash the policy names."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.grants import Grant, Person
from services.auth.oauth.domain.redirects import host_of
from services.auth.oauth.domain.requests import Asked
from services.auth.oauth.domain.scopes import CHANGING, WORDS, in_order

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:1.05rem/1.5 system-ui,sans-serif;margin:0;padding:1rem}
main{max-width:32rem;margin:1rem auto}
h1{font-size:1.4rem;line-height:1.25}
fieldset{border:1px solid #8888;border-radius:.5rem;padding:.25rem 1rem;margin:1rem 0}
label{display:block;padding:.5rem 0}
label small{display:block;opacity:.75}
input[type=checkbox]{width:1.2rem;height:1.2rem;vertical-align:-.2rem;margin-right:.5rem}
input[type=password]{width:100%;box-sizing:border-box;padding:.6rem;font:inherit}
button{font:inherit;padding:.6rem 1.4rem;margin:.5rem .5rem .5rem 0;border-radius:.5rem}
button{border:1px solid #8888}
button.main{background:#1a5fb4;color:#fff;border-color:#1a5fb4}
.say{border-left:.25rem solid #c64600;padding-left:.75rem}
code{overflow-wrap:anywhere}
"""
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def policy(*form_targets: str) -> str:
    """Write the Content-Security-Policy. A browser counts the redirect after a form as part of it."""
    targets = " ".join(("'self'", *form_targets))
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets};"
        " base-uri 'none'; frame-ancestors 'none'"
    )


def error_page(description: str) -> str:
    """Say that it cannot go on."""
    return _page(
        "This did not work",
        f"<h1>This did not work</h1><p class=say>{escape(description)}</p>"
        "<p>Go back to the program that sent you here and start again. Nothing was allowed.</p>",
    )


@dataclass(frozen=True, slots=True)
class Tickets:
    """What the forms of a page carry, each for one purpose."""

    sign_out: str
    consent: str = ""
    take_back: str = ""


def sign_in_page(asked: Asked, action: str, ticket: str, problem: str = "") -> str:
    """Ask for an admin key."""
    why = (
        "<p>Sign in to see what you allowed, and to take it back.</p>"
        if asked.is_own
        else f"<p><strong>{escape(asked.client_name)}</strong> asks to act for your"
        " team. First show that the team is yours.</p>"
    )
    return _page(
        "Sign in to Mailwarden",
        f"<h1>Sign in to Mailwarden</h1>{why}"
        + _problem(problem)
        + f'<form method=post action="{escape(action)}" autocomplete=off>{_hidden(ticket)}'
        "<label>Admin key<br><input type=password name=key required maxlength=1024 autofocus></label>"
        "<p><small>Only type your key here when you came from a program that you wanted to connect."
        " The key stays with Mailwarden; the program never sees it.</small></p>"
        "<button class=main>Sign in</button></form>",
    )


def consent_page(asked: Asked, person: Person, prefix: str, tickets: Tickets, problem: str = "") -> str:
    """Ask what the client may do. `prefix` is the path of the issuer."""
    offered = [name for name in asked.scopes if name in person.scopes]
    boxes = "".join(_box(name, is_ticked=asked.named_scopes or name not in CHANGING) for name in offered)
    nothing = "" if offered else "<p class=say>You hold none of the rights that it asks for.</p>"
    return _page(
        f"Allow {asked.client_name}?",
        f"<h1>May {escape(asked.client_name)} act for {escape(person.team_name)}?</h1>"
        + _who(asked)
        + f"<p>You are signed in as {escape(person.shown_as)}.</p>"
        + _problem(problem)
        + f'<form method=post action="{escape(prefix)}/oauth/consent">{_hidden(tickets.consent)}'
        f"<fieldset><legend>It may</legend>{boxes}{nothing}</fieldset>"
        "<p>Untick what you do not want. You can take this back at any time, at "
        f'<a href="{escape(prefix)}/oauth/account" target=_blank rel=noopener>what you allowed</a>; whoever'
        " governs your team can as well. It then stops within a second.</p>"
        "<button class=main name=decision value=allow>Allow</button>"
        "<button name=decision value=deny>Do not allow</button></form>" + _sign_out(prefix, tickets),
    )


def account_page(grants: Sequence[Grant], person: Person, prefix: str, tickets: Tickets) -> str:
    """Show what a person allowed, each with a way to take it back."""
    action = f"{escape(prefix)}/oauth/account"
    rows = "".join(_row(grant, action, tickets.take_back) for grant in grants)
    return _page(
        "What you allowed",
        f"<h1>What you allowed</h1><p>You are signed in as {escape(person.shown_as)} and act for"
        f" {escape(person.team_name)}.</p>"
        + (rows or "<p>Nothing that still counts.</p>")
        + _sign_out(prefix, tickets),
    )


def signed_out_page(count: int, prefix: str) -> str:
    """Say that the sign-in ended."""
    ended = f"<p>What you allowed since you signed in ended as well: {count}.</p>" if count else ""
    return _page(
        "You are signed out",
        f"<h1>You are signed out</h1>{ended}"
        f'<p><a href="{escape(prefix)}/oauth/account">Sign in again</a> to see what you allowed before.</p>',
    )


def _row(grant: Grant, action: str, ticket: str) -> str:
    scopes = "".join(f"<li>{escape(WORDS.get(name, name))}</li>" for name in in_order(grant.scopes))
    used = f"{grant.last_used_at:%Y-%m-%d %H:%M} UTC" if grant.last_used_at else "never"
    host = Client(grant.client_id, "", ()).vouched_host
    place = f" ({escape(host)})" if host else ""
    return (
        f'<form method=post action="{action}">{_hidden(ticket)}'
        f"<fieldset><legend>{escape(grant.client_name)}{place}</legend><ul>{scopes}</ul>"
        f"<p><small>Since {grant.created_at:%Y-%m-%d %H:%M} UTC, last used {used}, at"
        f" <code>{escape(grant.resource)}</code></small></p>"
        f'<button name=grant value="{escape(grant.id)}">Take it back</button></fieldset></form>'
    )


def _sign_out(prefix: str, tickets: Tickets) -> str:
    return (
        f'<form method=post action="{escape(prefix)}/oauth/sign-out">{_hidden(tickets.sign_out)}'
        "<p><small>Signing out ends this sign-in and takes back what you allowed in it.</small></p>"
        "<button>Sign out</button></form>"
    )


def _who(asked: Asked) -> str:
    host = Client(asked.client_id, "", ()).vouched_host
    place = escape(host_of(asked.redirect_uri))
    vouched = (
        f"It is published at <strong>{escape(host)}</strong>."
        if host
        else "Nobody vouches for this name: the program chose it by itself."
    )
    return (
        f"<p>{vouched} Your answer goes to <strong>{place}</strong>, and what you allow counts at"
        f" <code>{escape(asked.resource)}</code> only.</p>"
    )


def _box(name: str, *, is_ticked: bool) -> str:
    ticked = " checked" if is_ticked else ""
    mark = "<small>This changes something.</small>" if name in CHANGING else ""
    return (
        f'<label><input type=checkbox name="scope:{escape(name)}"{ticked}>'
        f"{escape(WORDS[name])}{mark}<small><code>{escape(name)}</code></small></label>"
    )


def _hidden(ticket: str) -> str:
    return f'<input type=hidden name=ticket value="{escape(ticket)}">'


def _problem(text: str) -> str:
    return f"<p class=say role=alert>{escape(text)}</p>" if text else ""


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
