"""The mailing lists that write to the sandbox mailbox, one row each.

A row says how the headers of its mail look, how its host behaves, and what a careful client does with it;
it is one ordinary case or one trap, named in `note`. A URI template may hold `{senders}` (base URL of the
senders' hosts), `{name}` of the list and `{token}` of the subscriber.
"""

from dataclasses import dataclass
from enum import StrEnum

from services.sandbox.topics import Topic

ONE_CLICK = "List-Unsubscribe=One-Click"
PAGE = "{senders}/{name}/unsubscribe?token={token}"


class Dkim(StrEnum):
    """What the mailbox's own receiver found, and what the signature covers."""

    COVERS = "covers"  # passes; `h=` has List-Unsubscribe and List-Unsubscribe-Post
    LACKS_POST = "lacks_post"  # passes; `h=` leaves List-Unsubscribe-Post out
    FAILS = "fails"
    FORGED = "forged"  # fails; a lower Authentication-Results that came with the mail claims a pass


class Answer(StrEnum):
    """How a sender's host answers a one-click POST. Those marked * end the list."""

    OK = "ok"  # * 200
    ACCEPTED = "accepted"  # * 202
    COOKIES = "cookies"  # * 200, sets cookies
    FORM_ONLY = "form_only"  # * 200 to urlencoded; 415 to multipart
    GIANT = "giant"  # * 200, 64 MiB of body
    DROPS = "drops"  # * closes the connection after acting
    IGNORES = "ignores"  # 200, and goes on writing
    REDIRECT = "redirect"  # 302 to a page
    CONFIRM = "confirm"  # 200 with an HTML form that asks again
    EXPIRED = "expired"  # 410
    BROKEN = "broken"  # 500
    SILENT = "silent"  # a byte now and then, never a whole answer


class Expected(StrEnum):
    """What a careful client does when asked to end the list."""

    ACCEPTED = "one_click_accepted"
    FAILED = "one_click_failed"
    UNKNOWN = "one_click_unknown"  # sent once, answer lost: never repeated
    SENT = "mailto_sent"
    PERSON = "needs_person"  # a page for the person; nothing is sent
    REFUSED = "refused"  # nothing is sent, and no link is offered


@dataclass(frozen=True, slots=True, kw_only=True)
class MailingList:
    """One list and everything that its mail and its host do."""

    name: str
    title: str
    senders: tuple[str, ...]
    list_id: str | None
    topic: Topic
    count: int
    every_days: float
    expected: Expected
    note: str
    unsubscribe: tuple[str, ...] = (PAGE,)
    post: str | None = ONE_CLICK
    dkim: Dkim = Dkim.COVERS
    answer: Answer = Answer.OK
    gmail_labels: tuple[str, ...] = ("CATEGORY_PROMOTIONS",)
    in_spam: bool = False
    is_discussion: bool = False
    things: tuple[str, ...] = ()  # instead of the topic's
    to_alias: bool = False

    @property
    def domain(self) -> str:
        return self.senders[0].rpartition("@")[2]


_UPDATES = ("CATEGORY_UPDATES",)
_SOCIAL = ("CATEGORY_SOCIAL",)
_FORUMS = ("CATEGORY_FORUMS",)

LISTS: tuple[MailingList, ...] = (
    # One-click that qualifies, and hosts that do as asked.
    MailingList(
        name="python-hebdo",
        title="Python Hebdo",
        senders=("bonjour@pythonhebdo.example",),
        list_id="hebdo.pythonhebdo.example",
        topic=Topic.PYTHON_FR,
        count=14,
        every_days=7,
        gmail_labels=_UPDATES,
        expected=Expected.ACCEPTED,
        note="one-click, 200",
    ),
    MailingList(
        name="rustacean-notebook",
        title="The Rustacean Notebook",
        senders=("editor@rustacean-notebook.example",),
        list_id="notebook.rustacean-notebook.example",
        topic=Topic.RUST,
        count=12,
        every_days=7,
        gmail_labels=_UPDATES,
        answer=Answer.ACCEPTED,
        expected=Expected.ACCEPTED,
        note="one-click, 202",
    ),
    MailingList(
        name="cloud-native-brief",
        title="Cloud Native Brief",
        senders=("brief@cloudnativebrief.example",),
        list_id="brief.cloudnativebrief.example",
        topic=Topic.CLOUD,
        count=16,
        every_days=3.5,
        gmail_labels=_UPDATES,
        expected=Expected.ACCEPTED,
        note="one-click, 200",
    ),
    MailingList(
        name="data-digest",
        title="Data Engineering Digest",
        senders=("digest@datadigest.example",),
        list_id="weekly.datadigest.example",
        topic=Topic.DATA,
        count=9,
        every_days=7,
        gmail_labels=_UPDATES,
        answer=Answer.FORM_ONLY,
        expected=Expected.ACCEPTED,
        note="one-click, 415 to multipart, 200 to urlencoded",
    ),
    MailingList(
        name="atelier-mode",
        title="L'Atelier Mode",
        senders=("offres@atelier-mode.example",),
        list_id="offres.atelier-mode.example",
        topic=Topic.FASHION_FR,
        count=22,
        every_days=2,
        expected=Expected.ACCEPTED,
        note="one-click, 200",
    ),
    MailingList(
        name="gadget-galaxy",
        title="Gadget Galaxy",
        senders=("deals@gadgetgalaxy.example",),
        list_id="deals.gadgetgalaxy.example",
        topic=Topic.SHOP,
        count=18,
        every_days=2.5,
        answer=Answer.COOKIES,
        expected=Expected.ACCEPTED,
        note="one-click, 200 that sets cookies",
    ),
    MailingList(
        name="mega-catalogue",
        title="Méga Catalogue",
        senders=("promo@megacatalogue.example",),
        list_id="promo.megacatalogue.example",
        topic=Topic.SHOP_FR,
        count=8,
        every_days=5,
        answer=Answer.GIANT,
        expected=Expected.ACCEPTED,
        note="one-click, 200 with 64 MiB of body",
    ),
    MailingList(
        name="flash-ventes",
        title="Flash Ventes",
        senders=("alerte@flashventes.example",),
        list_id="alerte.flashventes.example",
        topic=Topic.SHOP_FR,
        count=15,
        every_days=2,
        answer=Answer.IGNORES,
        expected=Expected.ACCEPTED,
        note="one-click, 200, but mail goes on",
    ),
    MailingList(
        name="linkedin-jobs",
        title="LinkedIn Job Alerts",
        senders=("jobalerts-noreply@linkedin.com",),
        list_id="jobalerts.linkedin.com",
        topic=Topic.LINKEDIN_JOBS,
        count=14,
        every_days=3,
        gmail_labels=_SOCIAL,
        expected=Expected.ACCEPTED,
        note="one-click, 200",
    ),
    MailingList(
        name="linkedin-network",
        title="LinkedIn",
        senders=("messages-noreply@linkedin.com", "invitations@linkedin.com"),
        list_id=None,
        topic=Topic.LINKEDIN_NETWORK,
        count=16,
        every_days=2.5,
        gmail_labels=_SOCIAL,
        expected=Expected.ACCEPTED,
        note="one-click without List-Id: keyed by sender, two of them",
    ),
    MailingList(
        name="matin-quotidien",
        title="Le Quotidien",
        senders=("newsletter@lequotidien.example",),
        list_id="matin.lequotidien.example",
        topic=Topic.NEWS_FR,
        count=16,
        every_days=1.5,
        gmail_labels=_UPDATES,
        expected=Expected.ACCEPTED,
        note="one-click; shares its From with sport-quotidien",
    ),
    MailingList(
        name="sport-quotidien",
        title="Le Quotidien",
        senders=("newsletter@lequotidien.example",),
        list_id="sport.lequotidien.example",
        topic=Topic.SPORT_FR,
        count=8,
        every_days=4,
        gmail_labels=_UPDATES,
        expected=Expected.ACCEPTED,
        note="one-click; shares its From with matin-quotidien",
    ),
    MailingList(
        name="founders-letters",
        title="Founders' Letters",
        senders=("lea@founders.example", "marc@founders.example", "noor@founders.example"),
        list_id="letters.founders.example",
        topic=Topic.STARTUP,
        count=9,
        every_days=6,
        expected=Expected.ACCEPTED,
        note="one-click; From rotates",
    ),
    MailingList(
        name="brunch-paris",
        title="Brunch à Paris",
        senders=("coucou@brunchparis.example",),
        list_id="lettre.brunchparis.example",
        topic=Topic.CULTURE_FR,
        count=6,
        every_days=9,
        to_alias=True,
        expected=Expected.ACCEPTED,
        note="one-click; writes to the alias",
    ),
    MailingList(
        name="design-dispatch",
        title="Design Dispatch",
        senders=("dispatch@designdispatch.example",),
        list_id="dispatch.designdispatch.example",
        topic=Topic.STARTUP,
        count=7,
        every_days=8,
        unsubscribe=("mailto:off+{token}@designdispatch.example?subject=unsubscribe", PAGE),
        expected=Expected.ACCEPTED,
        note="one-click and mailto: one-click goes first",
    ),
    # One-click that qualifies, and hosts that do not do as asked.
    MailingList(
        name="voyage-malin",
        title="Voyage Malin",
        senders=("evasion@voyagemalin.example",),
        list_id="evasion.voyagemalin.example",
        topic=Topic.TRAVEL_FR,
        count=10,
        every_days=4,
        answer=Answer.REDIRECT,
        expected=Expected.FAILED,
        note="one-click, 302 to a page",
    ),
    MailingList(
        name="fit-forge",
        title="FitForge",
        senders=("coach@fitforge.example",),
        list_id="coach.fitforge.example",
        topic=Topic.SHOP,
        things=("kettlebells", "coaching plans", "resistance bands"),
        count=7,
        every_days=6,
        answer=Answer.BROKEN,
        expected=Expected.FAILED,
        note="one-click, 500",
    ),
    MailingList(
        name="coupon-corner",
        title="Coupon Corner",
        senders=("hello@couponcorner.example",),
        list_id="hello.couponcorner.example",
        topic=Topic.SHOP,
        count=9,
        every_days=4,
        answer=Answer.EXPIRED,
        expected=Expected.FAILED,
        note='one-click, 410 "link expired"',
    ),
    MailingList(
        name="maison-jardin",
        title="Maison & Jardin",
        senders=("idees@maisonjardin.example",),
        list_id="idees.maisonjardin.example",
        topic=Topic.SHOP_FR,
        count=6,
        every_days=7,
        answer=Answer.CONFIRM,
        expected=Expected.ACCEPTED,
        note="one-click, 200 with a form that asks again: accepted at most, and its mail goes on",
    ),
    MailingList(
        name="sneaker-drops",
        title="Sneaker Drops",
        senders=("drops@sneakerdrops.example",),
        list_id="drops.sneakerdrops.example",
        topic=Topic.SHOP,
        things=("running shoes", "retro sneakers", "trail shoes"),
        count=8,
        every_days=5,
        answer=Answer.DROPS,
        expected=Expected.UNKNOWN,
        note="one-click, acts and then drops the connection",
    ),
    MailingList(
        name="slow-travel",
        title="Slow Travel Club",
        senders=("club@slowtravel.example",),
        list_id="club.slowtravel.example",
        topic=Topic.TRAVEL,
        count=5,
        every_days=10,
        answer=Answer.SILENT,
        expected=Expected.UNKNOWN,
        note="one-click, never a whole answer",
    ),
    # One-click that does not qualify.
    MailingList(
        name="wine-cellar",
        title="The Wine Cellar",
        senders=("cellar@winecellar.example",),
        list_id="cellar.winecellar.example",
        topic=Topic.SHOP,
        things=("red wine", "a case of Beaujolais", "cellar tours"),
        count=6,
        every_days=8,
        dkim=Dkim.LACKS_POST,
        expected=Expected.PERSON,
        note="the passing signature does not cover List-Unsubscribe-Post: no POST",
    ),
    MailingList(
        name="bargain-bay",
        title="Bargain Bay",
        senders=("captain@bargainbay.example",),
        list_id="captain.bargainbay.example",
        topic=Topic.SHOP,
        count=5,
        every_days=9,
        dkim=Dkim.FAILS,
        expected=Expected.PERSON,
        note="dkim=fail: no POST",
    ),
    MailingList(
        name="prize-centre",
        title="Prize Centre",
        senders=("winner@prizecentre.example",),
        list_id="winner.prizecentre.example",
        topic=Topic.SPAM,
        count=4,
        every_days=11,
        dkim=Dkim.FORGED,
        expected=Expected.PERSON,
        note="dkim=fail, and a forged lower Authentication-Results that says pass: no POST",
    ),
    MailingList(
        name="podcast-pulse",
        title="Podcast Pulse",
        senders=("pulse@podcastpulse.example",),
        list_id="pulse.podcastpulse.example",
        topic=Topic.STARTUP,
        count=6,
        every_days=7,
        post="List-Unsubscribe=Yes",
        expected=Expected.PERSON,
        note="List-Unsubscribe-Post has another value: no POST",
    ),
    MailingList(
        name="city-events",
        title="City Events",
        senders=("agenda@cityevents.example",),
        list_id="agenda.cityevents.example",
        topic=Topic.CULTURE_FR,
        count=6,
        every_days=7,
        unsubscribe=(PAGE, "{senders}/{name}/preferences?token={token}"),
        expected=Expected.PERSON,
        note="two web URIs where RFC 8058 allows one: no POST",
    ),
    MailingList(
        name="musee-agenda",
        title="Musée des Machines",
        senders=("agenda@museedesmachines.example",),
        list_id="agenda.museedesmachines.example",
        topic=Topic.CULTURE_FR,
        count=7,
        every_days=7,
        post=None,
        expected=Expected.PERSON,
        note="web page only",
    ),
    MailingList(
        name="salle-tonique",
        title="Salle Tonique",
        senders=("contact@salletonique.example",),
        list_id=None,
        topic=Topic.SHOP_FR,
        things=("les abonnements", "les cours collectifs"),
        count=5,
        every_days=9,
        post=None,
        expected=Expected.PERSON,
        note="web page only, no List-Id",
    ),
    MailingList(
        name="old-school",
        title="Old School Gazette",
        senders=("gazette@oldschool.example",),
        list_id="gazette.oldschool.example",
        topic=Topic.STARTUP,
        count=3,
        every_days=15,
        unsubscribe=("http://news.oldschool.example/u/{token}",),
        expected=Expected.REFUSED,
        note="plain http to a public name: no POST",
    ),
    MailingList(
        name="intranet-news",
        title="Intranet News",
        senders=("news@intranetnews.example",),
        list_id="news.intranetnews.example",
        topic=Topic.STARTUP,
        count=4,
        every_days=12,
        unsubscribe=("https://10.0.0.7/unsubscribe?token={token}",),
        expected=Expected.REFUSED,
        note="link to a private address",
    ),
    MailingList(
        name="meta-deals",
        title="Meta Deals",
        senders=("deals@metadeals.example",),
        list_id="deals.metadeals.example",
        topic=Topic.SHOP,
        count=4,
        every_days=12,
        unsubscribe=("https://169.254.169.254/latest/meta-data/?t={token}",),
        expected=Expected.REFUSED,
        note="link to a cloud's metadata address",
    ),
    # Mailto.
    MailingList(
        name="postgres-planet",
        title="Postgres Planet",
        senders=("planet@postgresplanet.example",),
        list_id="planet.postgresplanet.example",
        topic=Topic.DATA,
        count=8,
        every_days=7,
        gmail_labels=_UPDATES,
        unsubscribe=("mailto:leave@postgresplanet.example?subject=unsubscribe%20{token}",),
        post=None,
        expected=Expected.SENT,
        note="mailto with a percent-encoded subject",
    ),
    MailingList(
        name="jardinage-facile",
        title="Jardinage Facile",
        senders=("lettre@jardinagefacile.example",),
        list_id="lettre.jardinagefacile.example",
        topic=Topic.CULTURE_FR,
        things=("les semis de saison", "le compost", "la taille des rosiers"),
        count=6,
        every_days=7,
        unsubscribe=(
            "mailto:stop%2B{token}@jardinagefacile.example?subject=arr%C3%AAt+{token}&body=stop%0D%0Amerci",
        ),
        post=None,
        expected=Expected.SENT,
        note="mailto with `+` in token and subject, percent-encoded UTF-8, a body",
    ),
    MailingList(
        name="aio-dev",
        title="aio-dev",
        senders=(
            "ines@hackers.example",
            "tomasz@hackers.example",
            "wei@hackers.example",
            "ola@hackers.example",
        ),
        list_id="aio-dev.lists.hackers.example",
        topic=Topic.DISCUSSION,
        count=18,
        every_days=1.5,
        gmail_labels=_FORUMS,
        unsubscribe=("mailto:aio-dev-request@lists.hackers.example?subject=unsubscribe",),
        post=None,
        is_discussion=True,
        expected=Expected.SENT,
        note="discussion list, mailto",
    ),
    MailingList(
        name="quartier-velo",
        title="Quartier Vélo",
        senders=("sabine@quartier.example", "yann@quartier.example", "farid@quartier.example"),
        list_id="quartier-velo.listes.quartier.example",
        topic=Topic.DISCUSSION_FR,
        count=12,
        every_days=3,
        gmail_labels=_FORUMS,
        unsubscribe=("mailto:quartier-velo-leave@listes.quartier.example", PAGE),
        post=None,
        is_discussion=True,
        expected=Expected.SENT,
        note="discussion list, mailto without subject, and a page",
    ),
    MailingList(
        name="forge-notifications",
        title="Forge",
        senders=("notifications@forge.example",),
        list_id="mailwarden.garden.forge.example",
        topic=Topic.FORGE,
        count=10,
        every_days=2,
        gmail_labels=_UPDATES,
        unsubscribe=("mailto:unsub+{token}@reply.forge.example", PAGE),
        post=None,
        expected=Expected.SENT,
        note="code hosting notifications, mailto and page",
    ),
    MailingList(
        name="inject-ink",
        title="Inject Ink",
        senders=("print@injectink.example",),
        list_id="print.injectink.example",
        topic=Topic.SHOP,
        things=("printer ink", "photo paper"),
        count=4,
        every_days=10,
        unsubscribe=(
            "mailto:off@injectink.example?subject=off%0D%0ABcc:%20victim@bystander.example&cc=more@bystander.example",
        ),
        post=None,
        expected=Expected.REFUSED,
        note="mailto that injects a Bcc field",
    ),
    # Mail that should not be ended like a newsletter.
    MailingList(
        name="colis-express",
        title="Colis Express",
        senders=("suivi@colisexpress.example",),
        list_id="suivi.colisexpress.example",
        topic=Topic.DELIVERY_FR,
        count=5,
        every_days=12,
        gmail_labels=_UPDATES,
        expected=Expected.ACCEPTED,
        note="transactional mail with one-click headers",
    ),
    MailingList(
        name="miracle-pills",
        title="Dr. Miracle",
        senders=("doctor@miraclepills.example",),
        list_id="doctor.miraclepills.example",
        topic=Topic.SPAM,
        count=6,
        every_days=4,
        in_spam=True,
        gmail_labels=(),
        expected=Expected.REFUSED,
        note="in SPAM: an unsubscribe would confirm the address",
    ),
    MailingList(
        name="boutique-luna",
        title="Boutique Luna",
        senders=("bonjour@boutiqueluna.example",),
        list_id=None,
        topic=Topic.FASHION_FR,
        count=7,
        every_days=6,
        unsubscribe=(),
        post=None,
        expected=Expected.REFUSED,
        note="promotions without any list header",
    ),
)
BY_NAME = {item.name: item for item in LISTS}
