"""What the seeded lists write about: subjects and paragraphs by topic, in English and French."""

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """A subject matter with its own vocabulary."""

    PYTHON_FR = "python_fr"
    RUST = "rust"
    CLOUD = "cloud"
    DATA = "data"
    FASHION_FR = "fashion_fr"
    SHOP = "shop"
    SHOP_FR = "shop_fr"
    TRAVEL = "travel"
    TRAVEL_FR = "travel_fr"
    LINKEDIN_JOBS = "linkedin_jobs"
    LINKEDIN_NETWORK = "linkedin_network"
    NEWS_FR = "news_fr"
    SPORT_FR = "sport_fr"
    CULTURE_FR = "culture_fr"
    STARTUP = "startup"
    DISCUSSION = "discussion"
    DISCUSSION_FR = "discussion_fr"
    FORGE = "forge"
    DELIVERY_FR = "delivery_fr"
    SPAM = "spam"


@dataclass(frozen=True, slots=True)
class Texts:
    """Templates: `{n}` is a running number, `{percent}` `{person}` `{place}` and `{thing}` are drawn."""

    subjects: tuple[str, ...]
    paragraphs: tuple[str, ...]
    things: tuple[str, ...]
    footer: str = "You receive this because you signed up on our site."


PERSONS = ("Camille", "Jonas", "Aïcha", "Priya", "Mateusz", "Chloé", "Samuel", "Ingrid", "Théo", "Yuki")
PLACES = ("Lyon", "Lisbon", "Nantes", "Berlin", "Montréal", "Genève", "Porto", "Lille", "Oslo", "Bordeaux")
_FRENCH_FOOTER = "Vous recevez ce message car vous êtes inscrit à notre lettre."

TEXTS: dict[Topic, Texts] = {
    Topic.PYTHON_FR: Texts(
        (
            "Python Hebdo n°{n} : {thing}",
            "Python Hebdo n°{n} — {thing} en production",
            "Python Hebdo n°{n} : ce que {thing} change pour vous",
        ),
        (
            "Cette semaine, {person} nous explique {thing} pas à pas, exemples de code à l'appui.",
            "Côté bibliothèques : trois sorties à suivre et un guide de migration complet.",
            "L'offre de la semaine : développeuse Python à {place}, télétravail possible.",
        ),
        (
            "asyncio sans douleur",
            "le typage graduel",
            "les sous-interpréteurs",
            "le compilateur JIT",
            "pytest",
        ),
        _FRENCH_FOOTER,
    ),
    Topic.RUST: Texts(
        (
            "Issue {n}: {thing}",
            "Issue {n}: {thing}, explained",
            "Issue {n}: crates worth a look, and {thing}",
        ),
        (
            "{person} walks through {thing} with a profiler open.",
            "From the compiler team: faster incremental builds and a better borrow checker message.",
            "Jobs: systems engineer in {place}.",
        ),
        ("async closures", "pinning", "const generics", "zero-copy parsing", "the new trait solver"),
    ),
    Topic.CLOUD: Texts(
        (
            "Cloud Native Brief #{n}: {thing}",
            "Cloud Native Brief #{n}: {thing} at scale",
            "Cloud Native Brief #{n}: releases, incidents, {thing}",
        ),
        (
            "A postmortem worth your time: how {thing} took down a region in {place}.",
            "Release notes: the gateway API, a service mesh, and Kubernetes itself.",
            "{person} on canary rollouts that know when to stop.",
        ),
        ("eBPF observability", "OpenTelemetry sampling", "GitOps", "admission policies", "pod autoscaling"),
    ),
    Topic.DATA: Texts(
        ("{thing}: what we learned ({n})", "Planet digest {n}: {thing}", "Digest {n}: {thing} and friends"),
        (
            "Benchmarks of {thing} on ordinary hardware, with the scripts to repeat them.",
            "{person} shows an execution plan that went wrong, and the one index that fixed it.",
            "Meet-up in {place} next month: call for talks.",
        ),
        (
            "PostgreSQL partitioning",
            "vacuum",
            "columnar storage",
            "change data capture",
            "logical replication",
        ),
    ),
    Topic.FASHION_FR: Texts(
        (
            "-{percent} % sur {thing} : jusqu'à dimanche",
            "{person}, votre sélection : {thing}",
            "Dernières heures : -{percent} % sur {thing}",
        ),
        (
            "La collection arrive : {thing}, coupes amples et couleurs d'automne.",
            "Livraison offerte dès 49 € et retours gratuits pendant trente jours.",
            "Retrouvez-nous aussi dans notre boutique de {place}.",
        ),
        ("les manteaux", "la maille", "les robes", "les bottines", "la nouvelle collection"),
        _FRENCH_FOOTER,
    ),
    Topic.SHOP: Texts(
        (
            "{percent}% off {thing}, this weekend only",
            "Last chance: {thing} from $19",
            "Your cart misses you: {thing} at {percent}% off",
            "New in: {thing}",
        ),
        (
            "Shop {thing} now and save {percent}% with code SAVE{percent}.",
            "Free shipping on orders over $35. Limited time offer.",
            "Visit our new store in {place}.",
        ),
        (
            "headphones",
            "running shoes",
            "smart lamps",
            "coffee gear",
            "kettlebells",
            "printer ink",
            "red wine",
        ),
    ),
    Topic.SHOP_FR: Texts(
        (
            "Promo : {thing} à -{percent} %",
            "Vente flash ! {thing} jusqu'à minuit",
            "{person}, un bon de 10 € pour {thing}",
        ),
        (
            "Profitez de -{percent} % sur {thing} avec le code PROMO{percent}.",
            "Offre valable en magasin à {place} et sur notre site.",
            "Stocks limités : ne tardez pas.",
        ),
        ("les outils de jardin", "la literie", "l'électroménager", "les abonnements", "la décoration"),
        _FRENCH_FOOTER,
    ),
    Topic.TRAVEL: Texts(
        ("Slow weeks in {place}", "By night train to {place}", "{thing}: our notes from {place}"),
        (
            "{person} went to {place} by rail and took the long way back.",
            "Members save {percent}% on {thing}.",
        ),
        ("mountain huts", "ferries", "night trains", "farm stays"),
    ),
    Topic.TRAVEL_FR: Texts(
        (
            "{place} dès {percent} € l'aller",
            "Évasion : {place} à prix doux",
            "-{percent} % sur {thing} à {place}",
        ),
        (
            "Partez à {place} ce printemps : vols et hôtels à -{percent} %.",
            "Nos {thing} préférés, choisis par {person}.",
        ),
        ("week-ends", "séjours au soleil", "petits hôtels", "vols directs"),
        _FRENCH_FOOTER,
    ),
    Topic.LINKEDIN_JOBS: Texts(
        (
            "{n} new jobs for “{thing}” in {place}",
            "“{thing}”: {n} nouvelles offres à {place}",
            "{person}, you may be a fit for {thing} in {place}",
        ),
        ("Your job alert for {thing} in {place}: {n} new jobs match your preferences.",),
        ("Backend Engineer", "Platform Engineer", "Staff Python Developer", "Site Reliability Engineer"),
        "This email was intended for you. LinkedIn is a registered business name.",
    ),
    Topic.LINKEDIN_NETWORK: Texts(
        (
            "{person} vous a envoyé une invitation",
            "{person} just messaged you",
            "You appeared in {n} searches this week",
            "{person} a consulté votre profil",
        ),
        ("{person}, {thing} in {place}, wants to connect with you on LinkedIn.",),
        ("Talent Partner", "Engineering Manager", "Founder", "Product Lead"),
        "This email was intended for you. LinkedIn is a registered business name.",
    ),
    Topic.NEWS_FR: Texts(
        ("La matinale : {thing}", "Ce qu'il faut savoir ce matin : {thing}", "{thing} : le point à 7 heures"),
        (
            "À la une : {thing}. Notre correspondante à {place} raconte.",
            "L'invité du jour : {person}, à propos de {thing}.",
        ),
        ("le budget", "les transports", "l'énergie", "le logement", "la rentrée"),
        _FRENCH_FOOTER,
    ),
    Topic.SPORT_FR: Texts(
        ("Le récap' : {place} l'emporte", "Transferts : {person} vers {place} ?", "{thing} : les résultats"),
        ("Retour sur {thing} et la victoire de {place}, racontée par {person}.",),
        ("la Ligue", "le Tour", "le tournoi", "la coupe"),
        _FRENCH_FOOTER,
    ),
    Topic.CULTURE_FR: Texts(
        (
            "Ce mois-ci : {thing} à {place}",
            "Invitation : {thing}",
            "{thing}, nos idées pour le week-end",
        ),
        (
            "Au programme : {thing}, présenté par {person}. Entrée libre le premier dimanche du mois.",
            "Un détour par {place} ? Nos adresses du moment.",
        ),
        (
            "les semis de saison",
            "les automates",
            "le brunch du dimanche",
            "la nuit des machines",
            "les concerts",
        ),
        _FRENCH_FOOTER,
    ),
    Topic.STARTUP: Texts(
        ("{thing}, honestly", "No. {n}: {thing}", "What {person} learned about {thing}"),
        (
            "{person} tells how {thing} nearly sank the company, and what came next.",
            "Three links and one question, as every week from {place}.",
        ),
        ("pricing", "hiring slowly", "design reviews", "the first ten customers", "remote work"),
    ),
    Topic.DISCUSSION: Texts(
        (
            "Re: [aio-dev] {thing} under load",
            "[aio-dev] RFC: {thing}",
            "Re: [aio-dev] {thing} and cancellation",
            "[aio-dev] patch: {thing}",
        ),
        (
            "On Tuesday {person} wrote:\n> does {thing} survive cancellation?\n\nYes, when shielded.",
            "I measured {thing} on two cores; numbers in the thread. Review is welcome.",
        ),
        ("task groups", "TLS start-up", "connection pools", "the DNS resolver", "back-pressure"),
        "aio-dev mailing list",
    ),
    Topic.DISCUSSION_FR: Texts(
        (
            "[quartier-velo] {thing}",
            "Re: [quartier-velo] {thing}",
            "[quartier-velo] compte rendu : {thing}",
        ),
        (
            "Bonjour à toutes et tous,\n\n{person} propose d'en parler jeudi : {thing}.",
            "La mairie de {place} répond enfin au sujet de {thing}.",
        ),
        ("la piste du canal", "le stationnement", "l'atelier de réparation", "la vélorution"),
        "Liste quartier-velo",
    ),
    Topic.FORGE: Texts(
        (
            "Re: [garden/mailwarden] {thing} (PR #{n})",
            "[garden/mailwarden] {thing} (Issue #{n})",
            "[garden/mailwarden] Run failed: {thing}",
        ),
        ("{person} left a comment on {thing}.", "@{person} approved this pull request."),
        ("flaky test", "retry on 429", "docs typo", "bump dependencies"),
        "You are receiving this because you are subscribed to this thread.",
    ),
    Topic.DELIVERY_FR: Texts(
        (
            "Votre colis n°{n}4471 est en route",
            "Colis n°{n}4471 livré",
            "Colis n°{n}4471 : passage prévu demain",
        ),
        ("Votre colis est arrivé au dépôt de {place}. Suivez-le avec le numéro {n}4471.",),
        ("colis",),
        "Colis Express, service de livraison.",
    ),
    Topic.SPAM: Texts(
        ("Congratulations! You won {thing}", "RE: your {thing} is waiting", "FINAL NOTICE: claim {thing}"),
        ("Dear friend, {thing} is reserved for you. Click now, offer ends in {percent} minutes!!!",),
        ("a new phone", "the miracle cure", "$1,000,000", "a luxury cruise"),
    ),
}
