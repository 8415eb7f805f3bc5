"""Seeded mail that no list sent: people's conversations, orders, banks and sign-in codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, formataddr
from random import Random

from services.sandbox.list_mail import envelope, field
from services.sandbox.lists import Dkim


@dataclass(frozen=True, slots=True)
class Mail:
    """A message and the labels that it gets."""

    raw: bytes
    labels: tuple[str, ...]
    instant: datetime


PEOPLE = (
    ("Hélène Garnier", "helene.garnier@famille.example"),
    ("Paul Mercier", "paul.mercier@mercier.example"),
    ("Dana Whitfield", "dana@whitfield.example"),
    ("Karim Benali", "karim.benali@atelier-nord.example"),
    ("Sofia Lindqvist", "sofia@lindqvist.example"),
    ("École Jules-Verne", "secretariat@ecole-jules-verne.example"),
    ("Maxime Roy", "maxime.roy@coloc.example"),
    ("Grace Okafor", "grace.okafor@northbridge.example"),
)
CONVERSATIONS = (
    ("Dimanche midi ?", "On se voit dimanche ? Papa apporte le dessert.", "Avec plaisir, vers midi et demi."),
    (
        "Contract draft",
        "The draft is attached in the usual folder. Can you check section 4?",
        "Looks good to me.",
    ),
    ("Photos des vacances", "J'ai mis les photos de Bretagne en ligne.", "Elles sont superbes, merci !"),
    ("Talk proposal", "Would you review my abstract before Friday?", "Done. I left two notes."),
    (
        "Devis menuiserie",
        "Voici le devis pour la bibliothèque, valable un mois.",
        "Merci, je regarde ce soir.",
    ),
    ("Running on Thursday", "Same place, 7 am?", "I am in. Bring the lamp."),
    ("Réunion parents", "La réunion aura lieu mardi à 18 h dans la salle polyvalente.", "Bien noté."),
    ("Flat keys", "I left the keys with the neighbour on the second floor.", "Great, thanks."),
    (
        "Coverage numbers",
        "The numbers moved by two points since the last run.",
        "Let us talk tomorrow at ten.",
    ),
    ("Anniversaire de Lou", "Tu viens samedi ? On prépare une surprise.", "Oui ! Je m'occupe du gâteau."),
)
TRANSACTIONS = (
    ("Banque Horizon", "releves@banquehorizon.example", "Votre relevé de compte est disponible",
     "Votre relevé n°{n} est disponible dans votre espace client."),
    ("Banque Horizon", "alertes@banquehorizon.example", "Paiement par carte de {n},90 €",
     "Un paiement par carte de {n},90 € a été accepté."),
    ("Rail & Route", "billets@railroute.example", "Votre billet {n}-KX pour Nantes",
     "Voiture 7, place {n}. Présentez ce billet à bord."),
    ("Papeterie Encre", "commandes@papeterie-encre.example", "Confirmation de commande n°{n}22",
     "Merci ! Votre commande n°{n}22 sera expédiée sous 48 heures."),
    ("Northbridge", "no-reply@northbridge.example", "Your sign-in code is {n}0417",
     "Use {n}0417 to sign in. The code expires in ten minutes."),
    ("Hostel Cloud", "billing@hostelcloud.example", "Invoice {n}-2026 paid",
     "We received your payment for invoice {n}-2026. Thank you."),
    ("Docteur Rendez-vous", "rappel@docteur-rdv.example", "Rappel de rendez-vous",
     "Votre rendez-vous est confirmé. Dossier {n}."),
)  # fmt: skip


def conversations(owner: str, owner_address: str, now: datetime, random: Random) -> Iterator[Mail]:
    """Threads of two or three messages, the middle one by the owner."""
    for number in range(20):
        name, address = PEOPLE[number % len(PEOPLE)]
        subject, opening, reply = CONVERSATIONS[number % len(CONVERSATIONS)]
        start = now - timedelta(days=1 + number * 5, minutes=random.randrange(1, 600))
        first = f"<{number}.first@{address.rpartition('@')[2]}>"
        labels = ("INBOX", "CATEGORY_PERSONAL", *(("UNREAD",) if number % 3 == 0 else ()))
        yield _received(name, address, owner_address, subject, opening, start, random, labels, first)
        answered = start + timedelta(hours=2)
        second = f"<{number}.second@mail.gmail.com>"
        yield Mail(
            _written(owner, owner_address, address, f"Re: {subject}", reply, answered, second, first),
            ("SENT",),
            answered,
        )
        if number % 2 == 0:
            closing = answered + timedelta(hours=1)
            third = f"<{number}.third@{address.rpartition('@')[2]}>"
            yield _received(
                name,
                address,
                owner_address,
                f"Re: {subject}",
                "À bientôt !",
                closing,
                random,
                labels,
                third,
                second,
            )


def transactions(owner_address: str, now: datetime, random: Random) -> Iterator[Mail]:
    """Statements, tickets, orders and codes; no list headers."""
    for number in range(35):
        name, address, subject, text = TRANSACTIONS[number % len(TRANSACTIONS)]
        instant = now - timedelta(days=number * 3, minutes=random.randrange(30, 900))
        labels = ("INBOX", "CATEGORY_UPDATES", *(("UNREAD",) if number % 2 else ()))
        counter = number + 12
        yield _received(
            name, address, owner_address, subject.format(n=counter), text.format(n=counter), instant, random, labels,
            f"<{number}.{address.replace('@', '.')}@{address.rpartition('@')[2]}>",
        )  # fmt: skip


def _received(
    name: str, address: str, to: str, subject: str, text: str, instant: datetime, random: Random,
    labels: tuple[str, ...], message_id: str, in_reply_to: str = "",
) -> Mail:  # fmt: skip
    lines = envelope(address, to, instant, random, Dkim.COVERS)
    body = _written(name, address, to, subject, text, instant - timedelta(seconds=4), message_id, in_reply_to)
    return Mail("".join(f"{line}\r\n" for line in lines).encode() + body, labels, instant)


def _written(
    name: str,
    address: str,
    to: str,
    subject: str,
    text: str,
    instant: datetime,
    message_id: str,
    in_reply_to: str,
) -> bytes:
    lines = [
        f"From: {formataddr((name, address))}",
        f"To: {to}",
        field("Subject", subject),
        f"Date: {format_datetime(instant)}",
        f"Message-ID: {message_id}",
        *([f"In-Reply-To: {in_reply_to}", f"References: {in_reply_to}"] if in_reply_to else []),
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 8bit",
        "",
        text,
        "",
    ]
    return "\r\n".join(lines).encode()
