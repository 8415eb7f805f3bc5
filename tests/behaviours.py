"""What Mailwarden promises: one line each, claimed by the tests that prove it.

A test claims promises with `@pytest.mark.promise("id", …)`. No promise is without a test, unless `gap`
says why, and no test claims what is not promised (tests/contract/test_behaviours.py).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise. `source` says where it comes from; `gap`, why no test proves it yet."""

    id: str
    sentence: str
    source: str
    gap: str = ""


TEAMS: Final = "Teams are closed to each other"
RIGHTS: Final = "Backends decide what a caller may do"
REVOCATION: Final = "A revoked credential stops working"
SECRETS: Final = "Secrets stay secret"
ONCE: Final = "Nothing is lost, nothing happens twice"
QUIET: Final = "Looking sends nothing"
OUTAGES: Final = "Outages heal by themselves"
STOPPING: Final = "Processes stop cleanly"
TRACES: Final = "One request is one trace"
INPUT: Final = "Bad input changes nothing"
STORY: Final = "What a person sees"

PROMISES: Final = (
    Promise("teams.rows", "A query that forgets to filter shows no other team's rows.", TEAMS),
    Promise("teams.tables", "Every table is under forced row-level security.", TEAMS),
    Promise("teams.ids", "Another team's ids, known or guessed, are not found on any edge.", TEAMS),
    Promise("teams.databases", "Auth and the mail core cannot read each other's database.", TEAMS),
    Promise("teams.requests", "Requests served at the same time do not see each other.", TEAMS),
    Promise("rights.scope", "A missing scope is refused by the backend, whatever the edge thinks.", RIGHTS),
    Promise(
        "rights.matrix",
        "Every way in gives every kind of caller what the contract says, and no refusal changes anything.",
        RIGHTS,
    ),
    Promise("rights.read-only", "A read-only credential changes nothing, by any edge.", RIGHTS),
    Promise("rights.never-grow", "Nothing that is made from a credential may do more than it.", RIGHTS),
    Promise("rights.mailboxes", "A credential for some mailboxes reaches no other.", RIGHTS),
    Promise("rights.certificates", "A backend hears nobody without a certificate of its authority.", RIGHTS),
    Promise("rights.peers", "A valid certificate of the wrong service is refused.", RIGHTS),
    Promise("rights.forgery", "An edge that forges an identity is refused.", RIGHTS),
    Promise("rights.purpose", "A token of one kind is refused in the place of another.", RIGHTS),
    Promise(
        "rights.cross-use", "A secret opens its own door, and every other door names it as foreign.", RIGHTS
    ),
    Promise("rights.stolen", "What a dropped signing key signed is refused within a second.", RIGHTS),
    Promise("rights.policy", "A method without a policy cannot be served.", RIGHTS),
    Promise("rights.modes", "Each edge takes the kinds of credential that its mode names.", RIGHTS),
    Promise("rights.discovery", "A refusal alone leads a client to where tokens are given.", RIGHTS),
    Promise("rights.step-up", "A token that lacks a scope is told which to get, and keeps its own.", RIGHTS),
    Promise("rights.audience", "A token for one edge is refused at the others.", RIGHTS),
    Promise("rights.introspection", "An issuer that cannot be asked lets nobody in.", RIGHTS),
    Promise("rights.rotation", "Keys and secrets overlap while they are rotated.", RIGHTS),
    Promise("rights.configuration", "A half-configured or weak set-up does not start and says why.", RIGHTS),
    Promise("revocation.refused", "A revoked or expired key gets no passport.", REVOCATION),
    Promise("revocation.bounded", "A passport never outlives its credential.", REVOCATION),
    Promise(
        "revocation.second",
        "A revoked credential, and all that was issued from it, stops working in under a second.",
        REVOCATION,
    ),
    Promise("revocation.in-flight", "A call that was admitted before ends; the next is refused.", REVOCATION),
    Promise("revocation.streams", "An open stream ends with the credential that opened it.", REVOCATION),
    Promise(
        "revocation.work", "What a revoked credential had asked for is cancelled where it stands.", REVOCATION
    ),
    Promise(
        "revocation.tokens",
        "A token of another issuer, or all of a person of its, is revoked here, whatever the issuer says.",
        REVOCATION,
    ),
    Promise(
        "revocation.blocked",
        "A client that is blocked, by its address or its host, gets nothing more and loses what it has.",
        REVOCATION,
    ),
    Promise(
        "revocation.grants",
        "What a person allowed, they and their team can take back at any time.",
        REVOCATION,
    ),
    Promise(
        "revocation.replay",
        "A code or refresh token counts once; shown again, it ends all that came of it.",
        REVOCATION,
    ),
    Promise("rights.pages", "A page reads what was opened to its origin, and never with cookies.", RIGHTS),
    Promise("rights.redirects", "No answer goes to a place that its client did not name before.", RIGHTS),
    Promise("secrets.sealed", "A sealed secret opens for its team, its row and its key alone.", SECRETS),
    Promise("secrets.rotation", "Master keys rotate online; no kill, race or replica loses one.", SECRETS),
    Promise("secrets.at-rest", "No database holds a key, a token or a grant in the clear.", SECRETS),
    Promise("secrets.logs", "No log line holds a credential, wherever it came in.", SECRETS),
    Promise("secrets.planted", "A planted secret is in nothing that a whole story has written.", SECRETS),
    Promise("secrets.doctor", "The doctor fails each control that is broken on purpose.", SECRETS),
    Promise("secrets.shown", "Printing a value gives no secret away.", SECRETS),
    Promise("once.mail", "No mail is lost between Google and us.", ONCE),
    Promise("once.partial", "A partial result says that it is partial.", ONCE),
    Promise("once.resync", "A cursor that Google forgot loses and repeats nothing.", ONCE),
    Promise("once.unsubscribe", "No unsubscribe is sent twice, by retry, race or repetition.", ONCE),
    Promise("once.crash", "A crash in the middle of an unsubscribe sends no second request.", ONCE),
    Promise("once.unknown", "An attempt whose answer was lost is unknown and is not repeated.", ONCE),
    Promise("once.request-id", "The same request id again is the same operation.", ONCE),
    Promise("once.labels", "Labels are applied once, to what was triaged and to nothing else.", ONCE),
    Promise("once.qualify", "One-click is used only where RFC 8058 and DKIM allow it.", ONCE),
    Promise("once.mailto", "An unsubscribe mail has one recipient and no injected header.", ONCE),
    Promise("once.verified", "Only 48 hours of silence make an unsubscribe verified.", ONCE),
    Promise("once.quota", "Calls keep to Google's quota, people before scans.", ONCE),
    Promise("once.audit", "No mailbox changes without an audit event.", ONCE),
    Promise(
        "audit.signed",
        "Who owns the database cannot change, cut, wipe or roll back what was signed without being found.",
        ONCE,
    ),
    Promise("quiet.dry-run", "A dry run sends nothing and changes nothing.", QUIET),
    Promise("quiet.unqualified", "What does not qualify is not contacted.", QUIET),
    Promise("quiet.redirects", "A GET is never an unsubscribe and a redirect never a success.", QUIET),
    Promise("quiet.egress", "No request reaches an address that is not plainly public.", QUIET),
    Promise("quiet.context", "A sender's host learns nothing about us from a request.", QUIET),
    Promise("quiet.untrusted", "The words of a mail trigger nothing and stay quoted.", QUIET),
    Promise("outages.typed", "A dead dependency gives a typed error within the deadline.", OUTAGES),
    Promise("outages.heal", "The system recovers without anybody's help.", OUTAGES),
    Promise("outages.queue", "Work in the queue survives the death of its worker.", OUTAGES),
    Promise("outages.health", "A dead dependency makes a process unready, never unhealthy.", OUTAGES),
    Promise("stopping.clean", "SIGTERM ends a process with exit code 0.", STOPPING),
    Promise("stopping.flight", "What is in flight is finished, open streams end in order.", STOPPING),
    Promise("traces.whole", "A request is one trace, from the edge down to the Google call.", TRACES),
    Promise("traces.request-id", "The request id of an answer is the one of every hop.", TRACES),
    Promise("traces.private", "Spans hold no addresses, subjects, tokens or texts of errors.", TRACES),
    Promise("errors.one-table", "A kind of error means the same on every wire.", INPUT),
    Promise("errors.bare", "The text of an unexpected error never leaves an edge.", INPUT),
    Promise("errors.named", "Every reason is named in the contract or documented.", INPUT),
    Promise("input.typed", "Malformed input gets a typed 4xx and calls nothing.", INPUT),
    Promise("input.credentials", "No bytes in the place of a credential break anything or get in.", INPUT),
    Promise("input.size", "A body or a head past its limit is refused.", INPUT),
    Promise("input.slow", "A slow client is cut off, and one that is refused reads why.", INPUT),
    Promise("input.times", "A naive, inverted or impossible time is refused by name.", INPUT),
    Promise("input.documented", "Every answer of REST is one that its OpenAPI document names.", INPUT),
    Promise("story.same", "The same story works by REST, MCP and A2A, with the same words.", STORY),
    Promise("story.demo", "`mailwarden demo` tells the whole story and ends with 0.", STORY),
    Promise("story.corpus", "Real mail is counted right, and its senders are not contacted.", STORY),
    Promise("story.up", "`mailwarden up` says where everything is, and leaves nothing behind.", STORY),
    Promise("story.scan", "A scan counts, triages and ranks the lists of a mailbox.", STORY),
    Promise("story.busy", "A calendar that cannot be read is not free.", STORY),
    Promise("story.intervals", "Suggested intervals meet no busy time and keep to working hours.", STORY),
    Promise("story.progress", "Progress reaches the client while the work runs.", STORY),
    Promise("story.tools", "Tools that change something are there only when enabled.", STORY),
    Promise("story.move", "A personal agent moves over with one command and keeps its history.", STORY),
    Promise("docs.security", "The security runbook names commands, paths and settings that exist.", STORY),
    Promise("story.loose", "The personal agent's loose A2A requests are still understood.", STORY),
)
