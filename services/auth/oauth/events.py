"""What the authorization server tells the audit log. Ids and plain words; never a name or an address.

What changes a row is recorded in the transaction that changes it. A refusal changes none: it is told on its
own, and a flood of refusals is folded.
"""

import hashlib
from typing import Final

from services.auth.oauth.domain.clients import is_registered_id
from services.auth.oauth.domain.grants import Grant, Session
from services.auth.oauth.domain.tokens import AccessToken
from services.common.audit import DENIED, AuditEvent, actor_of
from services.common.context import current_call
from services.common.limits import REFUSED, Limit

EDGE: Final = "oauth"


def signed_in(session: Session) -> AuditEvent:
    """Somebody signed in."""
    return _event(
        "oauth.sign_in",
        session.team_id,
        actor=session.principal,
        resource=session.root,
        credential=f"key:{session.key_id}" if session.key_id else "",
        facts={"method": session.method},
    )


def signed_out(session: Session, grant_count: int) -> AuditEvent:
    """Somebody signed out, and what they had allowed since they signed in ended."""
    return _event(
        "oauth.sign_out",
        session.team_id,
        actor=session.principal,
        resource=session.root,
        facts={"count": str(grant_count)},
    )


def sign_in_refused(method: str, reason: str) -> AuditEvent:
    """Somebody did not get in."""
    return _event("oauth.sign_in", "", outcome=DENIED, reason=reason, facts={"method": method})


def consented(grant: Grant) -> AuditEvent:
    """A person gave scopes to a client."""
    return _event(
        "oauth.consent",
        grant.team_id,
        actor=grant.principal,
        resource=grant.root,
        facts={"scopes": " ".join(sorted(grant.scopes))},
    )


def declined(team_id: str, principal: str, client_id: str) -> AuditEvent:
    """A person said no to a client."""
    return _event(
        "oauth.consent",
        team_id,
        actor=principal,
        resource=client_resource(client_id),
        outcome=DENIED,
        reason="ACCESS_DENIED",
    )


def issued(token: AccessToken, kind: str, credential: str) -> AuditEvent:
    """An access token was made. `credential` is the grant or key that it was made from."""
    return _event(
        "oauth.token",
        token.team_id,
        actor=token.principal,
        resource=f"token:{token.id}",
        credential=credential,
        facts={"kind": kind, "scopes": " ".join(sorted(token.scopes))},
    )


def refused(reason: str, kind: str) -> AuditEvent:
    """A request at the token endpoint was refused."""
    return _event("oauth.token", "", outcome=DENIED, reason=reason.upper(), facts={"kind": kind})


def revoked(team_id: str, principal: str, resource: str) -> AuditEvent:
    """A grant or a token was taken back, by its client or by the person who gave it."""
    return _event("oauth.revoke", team_id, actor=principal, resource=resource)


def replayed(team_id: str, grant_id: str) -> AuditEvent:
    """A code or refresh token was shown twice, so its grant ended."""
    return _event(
        "oauth.replay", team_id, resource=f"grant:{grant_id}", outcome=DENIED, reason="GRANT_REVOKED"
    )


def registered(client_id: str) -> AuditEvent:
    """A client registered."""
    return _event("oauth.register", "", resource=client_resource(client_id))


def limit_hit(limit: Limit) -> AuditEvent:
    """A limit of the listener was hit. Whose address it was is not said."""
    return _event("limit.hit", "", outcome=DENIED, reason=REFUSED, facts={"limit": limit.name})


def client_resource(client_id: str) -> str:
    """Name a client. One that is named by a URL is told by a part of its hash, the same each time."""
    if is_registered_id(client_id):
        return f"client:{client_id}"
    return f"client:url.{hashlib.sha256(client_id.encode()).hexdigest()[:16]}"


def _event(
    action: str,
    team_id: str,
    *,
    actor: str = "",
    resource: str = "",
    credential: str = "",
    outcome: str = "ok",
    reason: str = "",
    facts: dict[str, str] | None = None,
) -> AuditEvent:
    call = current_call()
    return AuditEvent(
        action=action,
        team_id=team_id,
        actor=actor_of(actor),
        resource=resource,
        credential=credential,
        edge=EDGE,
        request_id=call.request_id if call else "",
        outcome=outcome,
        reason=reason,
        facts=facts or {},
    )
