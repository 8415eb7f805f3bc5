"""Seeded mail that no list sent: people's conversations, orders, banks and sign-in codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime, formataddr
from random import Random

from services.sandbox.received import Transport, field

_ON_THE_WAY = timedelta(seconds=4)
_CONVERSATIONS = 20
_TRANSACTIONS = 35


@dataclass(frozen=True, slots=True)
class Mail:
    """A message and the labels that it gets."""

    raw: bytes
    labels: tuple[str, ...]
    instant: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a person or a machine writes to one other."""

    name: str
    address: str
    to: str
    subject: str
    text: str
    instant: datetime
    message_id: str
    answers: str = ""

    def written(self) -> bytes:
        cites = [f"In-Reply-To: {self.answers}", f"References: {self.answers}"] if self.answers else []
        lines = [
            f"From: {formataddr((self.name, self.address))}",
            f"To: {self.to}",
            field("Subject", self.subject),
            f"Date: {format_datetime(self.instant)}",
            f"Message-ID: {self.message_id}",
            *cites,
            "MIME-Version: 1.0",
            'Content-Type: text/plain; charset="utf-8"',
            "Content-Transfer-Encoding: 8bit",
            "",
            self.text,
            "",
        ]
        return "\r\n".join(lines).encode()

    def received(self, labels: tuple[str, ...], random: Random) -> Mail:
        arrived = self.instant + _ON_THE_WAY
        lines = Transport(self.address, self.to, arrived).fields(random)
        return Mail("".join(f"{line}\r\n" for line in lines).encode() + self.written(), labels, arrived)


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
    ("Dimanche midi ?", "On se voit dimanche ? Papa apporte le dessert.", "Avec plaisir, vers midi."),
    ("Contract draft", "The draft is in the usual folder. Can you check section 4?", "Looks good to me."),
    ("Photos des vacances", "J'ai mis les photos de Bretagne en ligne.", "Elles sont superbes, merci !"),
    ("Talk proposal", "Would you review my abstract before Friday?", "Done. I left two notes."),
    ("Devis menuiserie", "Voici le devis pour la bibliothèque.", "Merci, je regarde ce soir."),
    ("Running on Thursday", "Same place, 7 am?", "I am in. Bring the lamp."),
    ("Réunion parents", "La réunion aura lieu mardi à 18 h dans la salle polyvalente.", "Bien noté."),
    ("Flat keys", "I left the keys with the neighbour on the second floor.", "Great, thanks."),
    ("Coverage numbers", "The numbers moved by two points since the last run.", "Let us talk at ten."),
    ("Anniversaire de Lou", "Tu viens samedi ? On prépare une surprise.", "Oui ! J'apporte le gâteau."),
)
TRANSACTIONS = (
    (
        ("Banque Horizon", "releves@banquehorizon.example"),
        "Votre relevé de compte est disponible",
        "Votre relevé n°{n} est disponible dans votre espace client.",
    ),
    (
        ("Banque Horizon", "alertes@banquehorizon.example"),
        "Paiement par carte de {n},90 €",
        "Un paiement par carte de {n},90 € a été accepté.",
    ),
    (
        ("Rail & Route", "billets@railroute.example"),
        "Votre billet {n}-KX pour Nantes",
        "Voiture 7, place {n}. Présentez ce billet à bord.",
    ),
    (
        ("Papeterie Encre", "commandes@papeterie-encre.example"),
        "Confirmation de commande n°{n}22",
        "Merci ! Votre commande n°{n}22 sera expédiée sous 48 heures.",
    ),
    (
        ("Northbridge", "no-reply@northbridge.example"),
        "Your sign-in code is {n}0417",
        "Use {n}0417 to sign in. The code expires in ten minutes.",
    ),
    (
        ("Hostel Cloud", "billing@hostelcloud.example"),
        "Invoice {n}-2026 paid",
        "We received your payment for invoice {n}-2026. Thank you.",
    ),
    (
        ("Docteur Rendez-vous", "rappel@docteur-rdv.example"),
        "Rappel de rendez-vous",
        "Votre rendez-vous est confirmé. Dossier {n}.",
    ),
)


def conversations(owner: tuple[str, str], now: datetime, random: Random) -> Iterator[Mail]:
    """Threads of two or three messages, the middle one by the owner."""
    for number in range(_CONVERSATIONS):
        start = now - timedelta(days=1 + number * 5, minutes=random.randrange(1, 600))
        labels = ("INBOX", "CATEGORY_PERSONAL", *(("UNREAD",) if number % 3 == 0 else ()))
        first, reply, closing = _thread(number, owner, start)
        yield first.received(labels, random)
        yield Mail(reply.written(), ("SENT",), reply.instant)
        if number % 2 == 0:
            yield closing.received(labels, random)


def _thread(number: int, owner: tuple[str, str], start: datetime) -> tuple[Letter, Letter, Letter]:
    name, address = PEOPLE[number % len(PEOPLE)]
    subject, opening, answer = CONVERSATIONS[number % len(CONVERSATIONS)]
    domain = address.rpartition("@")[2]
    first = Letter(
        name=name,
        address=address,
        to=owner[1],
        subject=subject,
        text=opening,
        instant=start,
        message_id=f"<{number}.first@{domain}>",
    )
    reply = Letter(
        name=owner[0],
        address=owner[1],
        to=address,
        subject=f"Re: {subject}",
        text=answer,
        instant=start + timedelta(hours=2),
        message_id=f"<{number}.second@mail.gmail.com>",
        answers=first.message_id,
    )
    closing = replace(
        first,
        subject=reply.subject,
        text="À bientôt !",
        instant=start + timedelta(hours=3),
        message_id=f"<{number}.third@{domain}>",
        answers=reply.message_id,
    )
    return first, reply, closing


def transactions(owner: tuple[str, str], now: datetime, random: Random) -> Iterator[Mail]:
    """Statements, tickets, orders and codes; no list headers."""
    for number in range(_TRANSACTIONS):
        (name, address), subject, text = TRANSACTIONS[number % len(TRANSACTIONS)]
        letter = Letter(
            name=name,
            address=address,
            to=owner[1],
            subject=subject.format(n=number + 12),
            text=text.format(n=number + 12),
            instant=now - timedelta(days=number * 3, minutes=random.randrange(30, 900)),
            message_id=f"<{number}.notice@{address.rpartition('@')[2]}>",
        )
        yield letter.received(("INBOX", "CATEGORY_UPDATES", *(("UNREAD",) if number % 2 else ())), random)
