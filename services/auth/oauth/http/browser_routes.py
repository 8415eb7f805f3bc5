"""The pages: ask, sign in, consent, and what a person allowed before, to take it back.

Every way out of them goes to a redirect URI that was checked.
"""

from dataclasses import dataclass

from aiohttp import web

from services.auth.oauth import events
from services.auth.oauth.domain.errors import OAuthError, invalid_request
from services.auth.oauth.domain.grants import Person
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.domain.redirects import origin_of
from services.auth.oauth.domain.requests import Asked
from services.auth.oauth.http.browsers import Browser, Browsers, without_person
from services.auth.oauth.http.pages import (
    Tickets,
    account_page,
    consent_page,
    policy,
    sign_in_page,
    signed_out_page,
)
from services.auth.oauth.http.reading import form_of, query_of
from services.auth.oauth.operations.authorize import GiveConsent, ReadRequest, RefusedToClientError
from services.auth.oauth.operations.own_grants import OwnGrants
from services.auth.oauth.operations.sessions import BeginSession, CheckSession, EndSession
from services.auth.oauth.operations.sign_in import SignInWithKey
from services.auth.oauth.ports import Events, IdentityProvider

_SIGN_IN, _CONSENT, _AWAY = "sign-in", "consent", "away"
_ACCOUNT, _SIGN_OUT = "account", "sign-out"


@dataclass(frozen=True, slots=True)
class SignIns:
    """What is done with sign-ins."""

    with_key: SignInWithKey
    begin: BeginSession
    check: CheckSession
    end: EndSession


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserRoutes:
    """Handlers for people. `prefix` is the path of the issuer; without a provider, admin keys sign in."""

    read_request: ReadRequest
    give_consent: GiveConsent
    sign_ins: SignIns
    own_grants: OwnGrants
    provider: IdentityProvider | None
    browsers: Browsers
    events: Events
    issuer: str
    prefix: str

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """Begin: check what is asked, then find out who is there."""
        parameters = query_of(request) if request.method == "GET" else await form_of(request)
        try:
            asked = await self.read_request(parameters)
        except RefusedToClientError as refused:
            return _redirect(request, refused.uri)
        browser = await self._browser(request)
        prompts = frozenset(asked.prompt.split())
        if "none" in prompts:
            code = "interaction_required" if browser.person else "login_required"
            return _redirect(request, asked.refusal(self.issuer, OAuthError(code, "A person must agree.")))
        if browser.person is None or prompts & {"login", "select_account"}:
            return await self._ask_who(request, asked, without_person(browser))
        return self._ask_consent(asked, browser, browser.person)

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Take an admin key."""
        self.browsers.check_origin(request)
        form = await form_of(request)
        browser = self.browsers.of(request)
        ticket = self.browsers.admit(_SIGN_IN, form.get("ticket"), browser)
        if self.provider is not None:
            raise invalid_request("Keys are not taken here.")
        try:
            person = await self.sign_ins.with_key(form.get("key"))
        except OAuthError as error:
            return self._ask_key(ticket.asked, browser, error.description, status=error.status)
        return self._go_on(request, ticket.asked, self.browsers.signed_in(person), person)

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Take a person back from the identity provider."""
        parameters = query_of(request)
        browser = self.browsers.of(request)
        if self.provider is None:
            raise invalid_request("Nobody signs in this way here.")
        ticket = self.browsers.admit(_AWAY, parameters.get("state"), browser)
        try:
            person = await self._person(parameters, ticket.said["nonce"], ticket.said["verifier"])
        except OAuthError as error:
            if ticket.asked.is_own:
                raise  # there is no client to tell
            return _redirect(request, ticket.asked.refusal(self.issuer, error))
        return self._go_on(request, ticket.asked, self.browsers.signed_in(person), person)

    async def consent(self, request: web.Request) -> web.StreamResponse:
        """Take a person's answer to the client."""
        self.browsers.check_origin(request)
        form = await form_of(request)
        browser = self.browsers.of(request)
        ticket = self.browsers.admit(_CONSENT, form.get("ticket"), browser)
        asked, person = ticket.asked, browser.person
        if person is None or person.principal != ticket.said["principal"]:
            raise invalid_request("Somebody else has signed in since.", status=403)
        if form.get("decision") != "allow":
            await self.events.tell(events.declined(person.team_id, person.principal, asked.client_id))
            return _redirect(
                request, asked.refusal(self.issuer, OAuthError("access_denied", "The person said no."))
            )
        ticked = frozenset(name.removeprefix("scope:") for name in form.values if name.startswith("scope:"))
        try:
            return _redirect(request, await self.give_consent(asked, person, ticked))
        except OAuthError as error:
            if error.code == "invalid_scope":
                return self._ask_consent(asked, browser, person, "Tick at least one, or do not allow.")
            return _redirect(request, asked.refusal(self.issuer, error))

    async def account(self, request: web.Request) -> web.StreamResponse:
        """Show a person what they allowed; who has not signed in is asked to."""
        browser = await self._browser(request)
        if browser.person is None:
            return await self._ask_who(request, self._own(), browser)
        grants = await self.own_grants.standing(browser.person)
        tickets = Tickets(
            take_back=self.browsers.ticket(_ACCOUNT, self._own(), browser),
            sign_out=self.browsers.ticket(_SIGN_OUT, self._own(), browser),
        )
        return self._page(account_page(grants, browser.person, self.prefix, tickets), browser, self._own())

    async def take_back(self, request: web.Request) -> web.StreamResponse:
        """End a grant of the person's own."""
        self.browsers.check_origin(request)
        form = await form_of(request)
        browser = self.browsers.of(request)
        self.browsers.admit(_ACCOUNT, form.get("ticket"), browser)
        person = (await self._present(browser)).person
        if person is None:
            raise invalid_request("You are signed out. Sign in again.", status=403)
        await self.own_grants.take_back(person, form.require("grant"))
        return _redirect(request, f"{self.prefix}/oauth/account")

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the sign-in, with what was allowed in it."""
        self.browsers.check_origin(request)
        form = await form_of(request)
        browser = self.browsers.of(request)
        self.browsers.admit(_SIGN_OUT, form.get("ticket"), browser)
        count = await self.sign_ins.end(browser.person) if browser.person else 0
        return self._page(signed_out_page(count, self.prefix), self.browsers.fresh(), self._own())

    def _own(self) -> Asked:
        return Asked("", "Mailwarden", f"{self.issuer}/oauth/account", "", "", "", (), named_scopes=False)

    async def _browser(self, request: web.Request) -> Browser:
        return await self._present(self.browsers.of(request))

    async def _present(self, browser: Browser) -> Browser:
        """Forget the person whose sign-in has ended, wherever it was ended."""
        if browser.person is None or await self.sign_ins.check(browser.person):
            return browser
        return without_person(browser)

    def _go_on(
        self, request: web.Request, asked: Asked, browser: Browser, person: Person
    ) -> web.StreamResponse:
        if not asked.is_own:
            return self._ask_consent(asked, browser, person)
        response = _redirect(request, f"{self.prefix}/oauth/account")
        self.browsers.remember(response, browser)
        return response

    async def _person(self, parameters: Parameters, nonce: str, verifier: str) -> Person:
        if self.provider is None or parameters.get("error") or not parameters.get("code"):
            raise OAuthError("access_denied", "The person did not sign in.", status=403)
        try:
            person = await self.provider.finish(
                parameters.get("code"), nonce, verifier, parameters.get("iss")
            )
        except OAuthError as error:
            await self.events.tell(events.sign_in_refused("oidc", error.code.upper()))
            raise
        return await self.sign_ins.begin(person, "oidc")

    async def _ask_who(self, request: web.Request, asked: Asked, browser: Browser) -> web.StreamResponse:
        if self.provider is None:
            return self._ask_key(asked, browser)

        def state(nonce: str, verifier: str) -> str:
            return self.browsers.ticket(_AWAY, asked, browser, nonce=nonce, verifier=verifier)

        url = await self.provider.start(state)
        response = _redirect(request, url)
        self.browsers.remember(response, browser)
        return response

    def _ask_key(
        self, asked: Asked, browser: Browser, problem: str = "", status: int = 200
    ) -> web.StreamResponse:
        ticket = self.browsers.ticket(_SIGN_IN, asked, browser)
        text = sign_in_page(asked, f"{self.prefix}/oauth/sign-in", ticket, problem)
        return self._page(text, browser, asked, status)

    def _ask_consent(
        self, asked: Asked, browser: Browser, person: Person, problem: str = ""
    ) -> web.StreamResponse:
        ticket = self.browsers.ticket(_CONSENT, asked, browser, principal=person.principal)
        sign_out = self.browsers.ticket(_SIGN_OUT, asked, browser)
        text = consent_page(asked, person, self.prefix, Tickets(consent=ticket, sign_out=sign_out), problem)
        return self._page(text, browser, asked)

    def _page(self, text: str, browser: Browser, asked: Asked, status: int = 200) -> web.StreamResponse:
        response = web.Response(text=text, content_type="text/html", charset="utf-8", status=status)
        response.headers["Content-Security-Policy"] = policy(origin_of(asked.redirect_uri))
        self.browsers.remember(response, browser)
        return response


def _redirect(request: web.Request, uri: str) -> web.Response:
    # 303 after a form, so that the form's fields, a key perhaps, are not sent on (RFC 9700 §4.12).
    status = 302 if request.method == "GET" else 303
    return web.Response(status=status, headers={"Location": uri})
