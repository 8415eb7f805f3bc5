"""What the authorization server tells the audit log. Ids and plain words; never a name or an address."""

from services.common.audit import DENIED, AuditEvent, actor_of

EDGE = "oauth"


def signed_in(team_id: str, principal: str, method: str) -> AuditEvent:
    """Somebody signed in."""
    return _event("oauth.sign_in", team_id, actor=principal, facts={"method": method})


def sign_in_refused(method: str, reason: str) -> AuditEvent:
    """Somebody did not get in."""
    return _event("oauth.sign_in", "", outcome=DENIED, reason=reason, facts={"method": method})


def consented(team_id: str, principal: str, grant_id: str, scopes: frozenset[str]) -> AuditEvent:
    """A person gave scopes to a client."""
    facts = {"scopes": " ".join(sorted(scopes))}
    return _event("oauth.consent", team_id, actor=principal, resource=f"grant:{grant_id}", facts=facts)


def issued(team_id: str, principal: str, token_id: str, kind: str, scopes: frozenset[str]) -> AuditEvent:
    """An access token was made."""
    facts = {"kind": kind, "scopes": " ".join(sorted(scopes))}
    return _event("oauth.token", team_id, actor=principal, resource=f"token:{token_id}", facts=facts)


def refused(reason: str, kind: str) -> AuditEvent:
    """A request at the token endpoint was refused."""
    return _event("oauth.token", "", outcome=DENIED, reason=reason.upper(), facts={"kind": kind})


def revoked(team_id: str, principal: str, resource: str) -> AuditEvent:
    """A grant or a token was taken back."""
    return _event("oauth.revoke", team_id, actor=principal, resource=resource)


def replayed(team_id: str, grant_id: str) -> AuditEvent:
    """A code or refresh token was shown twice, so its grant ended."""
    return _event(
        "oauth.replay", team_id, resource=f"grant:{grant_id}", outcome=DENIED, reason="GRANT_REVOKED"
    )


def registered(client_id: str) -> AuditEvent:
    """A client registered."""
    return _event("oauth.register", "", resource=f"client:{client_id}")


def _event(
    action: str,
    team_id: str,
    *,
    actor: str = "",
    resource: str = "",
    outcome: str = "ok",
    reason: str = "",
    facts: dict[str, str] | None = None,
) -> AuditEvent:
    return AuditEvent(
        action=action,
        team_id=team_id,
        actor=actor_of(actor),
        resource=resource,
        edge=EDGE,
        outcome=outcome,
        reason=reason,
        facts=facts or {},
    )
