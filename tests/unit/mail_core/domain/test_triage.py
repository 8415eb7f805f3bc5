"""Sorting by rules: how they are read, how they match, what the default ones make of real-looking mail."""

from pathlib import Path

import pytest

import services.mail_core
from services.mail_core.domain.triage import (
    OTHER,
    categorise,
    comparable_text,
    parse_rules,
    parse_rules_toml,
)

from .mails import message

DEFAULT = parse_rules_toml(
    Path(services.mail_core.__file__).with_name("triage_rules.toml").read_text("utf-8")
)
LIST = ("List-Unsubscribe", "<https://x.example/u>")
PROMOTION = "CATEGORY_PROMOTIONS"


def mail(sender, subject, *fields, labels=()):
    return message(*fields, sender=sender, subject=subject, labels=labels)


@pytest.mark.parametrize(
    ("mail_", "category"),
    [
        # LinkedIn: all of it but codes and receipts, which must not leave the inbox
        (mail("LinkedIn <messages-noreply@linkedin.com>", "You have 3 new invitations"), "LINKEDIN"),
        (mail("LinkedIn News <editors-noreply@linkedin.com>", "AI news of the week", LIST), "LINKEDIN"),
        (mail("LinkedIn <x@e.linkedin.com>", "50 % off Premium", LIST, labels=(PROMOTION,)), "LINKEDIN"),
        (mail("LinkedIn <security-noreply@linkedin.com>", "Here's your verification code 112233"), OTHER),
        (mail("LinkedIn <x@linkedin.com>", "Votre reçu LinkedIn"), OTHER),
        (mail("Linked In <x@notlinkedin.com>", "Invitation"), OTHER),
        # tech watch by publisher, by name, by subject
        (mail("TLDR <dan@tldrnewsletter.com>", "Big raise, new chips 💰", LIST), "VEILLE_TECHNO"),
        (mail("TLDR <dan@tldrnewsletter.com>", "New chips", LIST, labels=(PROMOTION,)), "VEILLE_TECHNO"),
        (mail("Python Weekly <rahul@weekly.example>", "Issue 700", LIST), "VEILLE_TECHNO"),
        (
            mail("Alex <a@x.example>", "Issue 7", ("List-Id", "The Cloud Security List <c.x.example>")),
            "VEILLE_TECHNO",
        ),
        (mail("Le Brief <brief@media.example>", "Une faille critique dans OpenSSH", LIST), "VEILLE_TECHNO"),
        (mail("Veille <v@media.example>", "L'IA générative en production", LIST), "VEILLE_TECHNO"),
        (mail("Sam <sam@substack.example>", "What Kubernetes 1.40 changes", LIST), "VEILLE_TECHNO"),
        (
            mail("CERT-FR <cert-fr@ssi.gouv.fr>", "Bulletin d'actualité", ("Precedence", "bulk")),
            "VEILLE_TECHNO",
        ),
        # what sells is advertising, also when it sells technology
        (mail("Shop <hello@shop.example>", "-30% on all shoes", LIST, labels=(PROMOTION,)), "ADVERTISING"),
        (mail("Boutique <b@boutique.example>", "Soldes : dernière chance !", LIST), "ADVERTISING"),
        (mail("Shop <hello@shop.example>", "Spring news", LIST, labels=(PROMOTION,)), "ADVERTISING"),
        (mail("Python Weekly <p@x.example>", "Black Friday: courses 50% off", LIST), "ADVERTISING"),
        (mail("Cloud Host <p@x.example>", "Kubernetes: 40 % de remise", LIST), "ADVERTISING"),
        (
            mail("O'Reilly <news@oreilly.com>", "Last chance: 50% off", LIST, labels=(PROMOTION,)),
            "ADVERTISING",
        ),
        (
            mail("Shop <s@shop.example>", "Your order deserves 20% off", LIST, labels=(PROMOTION,)),
            "ADVERTISING",
        ),
        (mail("Ventes privées <v@vp.example>", "Les marques du jour", LIST), "ADVERTISING"),
        # people
        (mail("Ann <ann@friends.example>", "Kubernetes security: can you help?"), OTHER),
        (mail("Ann <ann@friends.example>", "Re: 20% off at the shop"), OTHER),
        (mail("Zoé <zoe@amis.example>", "Soldes samedi ?"), OTHER),
        # transactions, in both languages, even with list headers
        (mail("Shop <no-reply@shop.example>", "Your receipt from Shop #123"), OTHER),
        (mail("Shop <no-reply@shop.example>", "Order confirmation 123", LIST), OTHER),
        (mail("Boutique <b@boutique.example>", "Votre commande n° 123 a été expédiée", LIST), OTHER),
        (mail("Banque <b@banque.example>", "Code de sécurité : 112233"), OTHER),
        (mail("Cloud <no-reply@cloud.example>", "Security alert for your AWS account", LIST), OTHER),
        (mail("GitHub <noreply@github.com>", "[GitHub] New sign-in to your account"), OTHER),
        # discussions
        (
            mail(
                "Bob <bob@x.example>", "[dev] Python 3.15", LIST, ("List-Post", "<mailto:dev@lists.example>")
            ),
            OTHER,
        ),
        # a list that only announces is no discussion
        (
            mail(
                "Rel <r@x.example>",
                "Python 3.15",
                ("List-Id", "Py announce <py-announce.x.example>"),
                ("List-Post", "<mailto:py-announce@x.example>"),
            ),
            "VEILLE_TECHNO",
        ),
        # bulk that neither sells nor is about technology
        (mail("Town hall <news@town.example>", "Road works in May", LIST), OTHER),
        (mail("School <newsletter@school.example>", "Calendar of the term", LIST), OTHER),
        # whole words: `ia` is not in `media`, `api` not in `rapid`, `sale` not in `wholesale`
        (mail("Media <m@media.example>", "Rapid wholesale growth", LIST), OTHER),
        (mail("", "", LIST), OTHER),
    ],
)
def test_default_rules_sort_real_looking_mail(mail_, category):
    """English and French; what is uncertain stays in the inbox."""
    assert categorise(mail_, DEFAULT) == category


def test_default_rules_carry_the_labels_of_the_personal_agent():
    """Those who used it keep their labels; OTHER has none."""
    assert DEFAULT.names == ("LINKEDIN", "VEILLE_TECHNO", "ADVERTISING", "OTHER")
    assert [DEFAULT.label_of(name) for name in DEFAULT.names] == [
        "LinkedIn",
        "VeilleTechno",
        "Advertising",
        "",
    ]


def rules_of(**conditions):
    return parse_rules({"categories": [{"name": "X", "label": "x", "match": [conditions]}]})


@pytest.mark.parametrize(
    ("conditions", "mail_", "matches"),
    [
        ({"from_domains": ["a.example"]}, mail("x@mail.a.example", "s"), True),
        ({"from_domains": ["@A.example"]}, mail("x@a.example", "s"), True),
        ({"from_domains": ["a.example"]}, mail("x@ba.example", "s"), False),
        ({"no_from_domains": ["a.example"]}, mail("x@a.example", "s"), False),
        ({"from_addresses": ["Ann@a.example "]}, mail("ann@a.example", "s"), True),
        ({"from_addresses": ["ann@a.example"]}, mail("bob@a.example", "s"), False),
        ({"list_ids": ["DEV.a"]}, mail("x@b.example", "s", ("List-Id", "<dev.a.example>")), True),
        ({"list_ids": ["dev.a"]}, mail("x@b.example", "s"), False),
        ({"subject_words": ["sécurité"]}, mail("x@b.example", "SECURITE: news"), True),
        ({"subject_words": ["secur"]}, mail("x@b.example", "security"), False),
        ({"subject_words": ["secur*"]}, mail("x@b.example", "security"), True),
        ({"subject_words": ["open source"]}, mail("x@b.example", "Open-Source!"), True),
        ({"subject_words": ["% off"]}, mail("x@b.example", "50% OFF"), True),
        ({"no_subject_words": ["sale"]}, mail("x@b.example", "on sale"), False),
        ({"name_words": ["weekly"]}, mail("News Weekly <x@b.example>", "s"), True),
        ({"no_name_words": ["weekly"]}, mail("News Weekly <x@b.example>", "s"), False),
        ({"gmail_labels": ["IMPORTANT"]}, mail("x@b.example", "s", labels=("IMPORTANT",)), True),
        ({"no_gmail_labels": ["IMPORTANT"]}, mail("x@b.example", "s", labels=("IMPORTANT",)), False),
        ({"headers": ["x-campaign"]}, mail("x@b.example", "s", ("X-Campaign", "1")), True),
        ({"headers": ["x-campaign"]}, mail("x@b.example", "s"), False),
        ({"bulk": True}, mail("x@b.example", "s", LIST), True),
        ({"bulk": False}, mail("x@b.example", "s", LIST), False),
        ({"discussion": True}, mail("x@b.example", "s", ("X-BeenThere", "d@b.example")), True),
        # all conditions of a match must hold
        ({"bulk": True, "subject_words": ["news"]}, mail("x@b.example", "news"), False),
    ],
)
def test_a_match_needs_all_its_conditions_each_by_any_value(conditions, mail_, matches):
    """One row per condition."""
    assert categorise(mail_, rules_of(**conditions)) == ("X" if matches else OTHER)


def test_the_first_category_that_matches_wins_and_exceptions_go_before():
    """Order is the answer to conflicts."""
    data = {
        "leave_alone": [{"subject_words": ["keep"]}],
        "categories": [
            {"name": "A", "label": "a", "match": [{"subject_words": ["one"]}, {"subject_words": ["two"]}]},
            {"name": "B", "label": "b", "match": [{"subject_words": ["two", "three"]}]},
        ],
    }
    rules = parse_rules(data)
    subjects = ["one", "two", "three", "keep three", "four"]
    assert [categorise(mail("x@b.example", s), rules) for s in subjects] == ["A", "A", "B", OTHER, OTHER]


def test_labels_can_be_renamed():
    """Settings name labels; what they do not name stays."""
    renamed = DEFAULT.with_labels({"LINKEDIN": "Réseau/LinkedIn"})
    assert renamed.label_of("LINKEDIN") == "Réseau/LinkedIn"
    assert renamed.label_of("ADVERTISING") == "Advertising"
    with pytest.raises(ValueError, match="no such category: NONSENSE"):
        DEFAULT.with_labels({"NONSENSE": "x"})
    with pytest.raises(ValueError, match="LINKEDIN: label"):
        DEFAULT.with_labels({"LINKEDIN": " "})


MATCH = [{"bulk": True}]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"rules": []}, "the rules: unknown rules; known are categories, leave_alone"),
        ({"categories": {}}, "categories: must be an array of tables"),
        ({"categories": ["x"]}, "categories: must be an array of tables"),
        ({"leave_alone": [1]}, "leave_alone: must be an array of tables"),
        ({"categories": [{"label": "x", "match": MATCH}]}, "category 1: name must be UPPER_SNAKE"),
        (
            {"categories": [{"name": "a b", "label": "x", "match": MATCH}]},
            "category 1: name must be UPPER_SNAKE",
        ),
        ({"categories": [{"name": "OTHER", "label": "x", "match": MATCH}]}, "not OTHER"),
        ({"categories": [{"name": "A", "match": MATCH}]}, "A: label must be"),
        ({"categories": [{"name": "A", "label": "a\n", "match": MATCH}]}, "A: label must be"),
        ({"categories": [{"name": "A", "label": "a" * 226, "match": MATCH}]}, "A: label must be"),
        ({"categories": [{"name": "A", "label": "a"}]}, "A: needs at least one match"),
        ({"categories": [{"name": "A", "label": "a", "match": MATCH}] * 2}, "a category is defined twice"),
        (
            {"categories": [{"name": "A", "label": "a", "match": [{}]}]},
            "A, match 1: needs at least one condition",
        ),
        (
            {"categories": [{"name": "A", "label": "a", "match": [{"form": ["x"]}]}]},
            "A, match 1: unknown form",
        ),
        ({"leave_alone": [{"bulk": "yes"}]}, "leave_alone, match 1: bulk must be true or false"),
        ({"leave_alone": [{"headers": "x"}]}, "leave_alone, match 1: headers must be a list of texts"),
        ({"leave_alone": [{"headers": []}]}, "headers must be a list"),
        ({"leave_alone": [{"headers": [" "]}]}, "headers must be a list"),
        ({"leave_alone": [{"headers": [1]}]}, "headers must be a list"),
        ({"leave_alone": [{"subject_words": ["!!"]}]}, "'!!' holds no word to look for"),
    ],
)
def test_rules_that_make_no_sense_say_where_and_why(data, text):
    """A person wrote them and has to find the fault."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        parse_rules(data)
    assert text in str(caught.value)


def test_text_that_is_no_toml_is_a_value_error():
    """As every other fault in rules."""
    with pytest.raises(ValueError, match="line 1"):
        parse_rules_toml("= 1")


@pytest.mark.parametrize(
    ("text", "comparable"),
    [
        ("Été — 50 % OFF!", "ete 50 % off"),
        ("\uff26\uff35\uff2c\uff2c \uff57ide", "full wide"),
        ("Straße", "strasse"),
        ("", ""),
    ],
)
def test_words_are_compared_without_case_and_accents(text, comparable):
    """So that one rule serves both ways of writing."""
    assert comparable_text(text) == comparable
