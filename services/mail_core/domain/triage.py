"""Sorts messages into categories by rules that a person can read and change (`triage_rules.toml`)."""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from services.mail_core.domain.addresses import Address, comparable_domain, is_within
from services.mail_core.domain.bulk import is_bulk, is_discussion
from services.mail_core.domain.list_unsubscribe import list_id
from services.mail_core.domain.message import Message

OTHER = "OTHER"
_CATEGORY_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_MAX_LABEL = 225  # Gmail's limit for a label's name
# What counts in a comparison: words, and the signs that commercial mail lives by.
_TOKEN = re.compile(r"[^\W_]+|[%€$£]")


class Facts:
    """What rules look at in one message, worked out once and only when a rule asks."""

    def __init__(self, message: Message) -> None:
        self.message = message

    @cached_property
    def sender(self) -> Address:
        """First mailbox of From; empty when there is none."""
        return self.message.sender or Address("", "")

    @cached_property
    def list_id(self) -> str:
        """Identifier of List-Id; empty when there is none."""
        parsed = list_id(self.message.headers.get("List-Id"))
        return parsed.id if parsed else ""

    @cached_property
    def subject_text(self) -> str:
        """Subject in comparable form."""
        return comparable_text(self.message.subject)

    @cached_property
    def name_text(self) -> str:
        """Names that the sender gives itself and its list, in comparable form."""
        parsed = list_id(self.message.headers.get("List-Id"))
        return comparable_text(f"{self.sender.name} {parsed.phrase if parsed else ''}")

    @cached_property
    def is_bulk(self) -> bool:
        """Whether it was sent to many."""
        return is_bulk(self.message)

    @cached_property
    def is_discussion(self) -> bool:
        """Whether subscribers write to each other."""
        return is_discussion(self.message)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One line of rules: every condition that is given must hold, each by any one of its values."""

    conditions: tuple[Callable[[Facts], bool], ...]

    def matches(self, facts: Facts) -> bool:
        """Say whether the message meets all conditions."""
        return all(condition(facts) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Category:
    """A category, the Gmail label that goes with it, and the matchers of which any one suffices."""

    name: str
    label: str
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is left alone, then the categories in order: the first that matches wins."""

    leave_alone: tuple[Matcher, ...]
    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Categories in order, OTHER last."""
        return (*(category.name for category in self.categories), OTHER)

    def label_of(self, name: str) -> str:
        """Give the label of a category; empty for OTHER and for unknown ones."""
        return next((category.label for category in self.categories if category.name == name), "")

    def with_labels(self, labels: Mapping[str, str]) -> "Rules":
        """Give the same rules with other label names, by category.

        Raises ValueError: a category that the rules do not have, or a label that Gmail would not take.
        """
        unknown = sorted(set(labels) - {category.name for category in self.categories})
        if unknown:
            raise ValueError(f"no such category: {', '.join(unknown)}")
        renamed = (
            replace(category, label=_label(labels.get(category.name, category.label), category.name))
            for category in self.categories
        )
        return replace(self, categories=tuple(renamed))


def categorise(message: Message, rules: Rules) -> str:
    """Give the name of the first category that matches, or OTHER."""
    facts = Facts(message)
    if any(matcher.matches(facts) for matcher in rules.leave_alone):
        return OTHER
    matching = (c.name for c in rules.categories if any(matcher.matches(facts) for matcher in c.matchers))
    return next(matching, OTHER)


def comparable_text(text: str) -> str:
    """Bring text into the form in which words are compared: no accents, no case, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
    return " ".join(_TOKEN.findall(plain))


def parse_rules_toml(text: str) -> Rules:
    """Read rules from the text of a TOML file. Raises ValueError with a text that names the fault."""
    return parse_rules(tomllib.loads(text))


def parse_rules(data: Mapping[str, Any]) -> Rules:
    """Read rules from TOML data. Raises ValueError with a text that names the fault.

    `leave_alone` and each category's `match` are arrays of tables whose keys are the conditions in
    `CONDITIONS`.
    """
    _only_keys(data, {"leave_alone", "categories"}, "the rules")
    tables = _tables(data.get("categories", []), "categories")
    categories = tuple(_category(table, number) for number, table in enumerate(tables, start=1))
    names = [category.name for category in categories]
    if len(set(names)) < len(names):
        raise ValueError("a category is defined twice")
    return Rules(_matchers(data.get("leave_alone", []), "leave_alone"), categories)


def _category(table: Mapping[str, Any], number: int) -> Category:
    place = f"category {number}"
    _only_keys(table, {"name", "label", "match"}, place)
    name = table.get("name")
    if not isinstance(name, str) or not _CATEGORY_NAME.fullmatch(name) or name == OTHER:
        raise ValueError(f"{place}: name must be UPPER_SNAKE, at most 40 characters, and not OTHER")
    matchers = _matchers(table.get("match", []), name)
    if not matchers:
        raise ValueError(f"{name}: needs at least one match")
    return Category(name, _label(table.get("label"), name), matchers)


def _label(label: object, name: str) -> str:
    if not isinstance(label, str) or not label.strip() or len(label) > _MAX_LABEL or not label.isprintable():
        raise ValueError(f"{name}: label must be a printable name of at most {_MAX_LABEL} characters")
    return label.strip()


def _matchers(value: object, place: str) -> tuple[Matcher, ...]:
    return tuple(_matcher(table, f"{place}, match {n}") for n, table in enumerate(_tables(value, place), 1))


def _matcher(table: Mapping[str, Any], place: str) -> Matcher:
    _only_keys(table, CONDITIONS, place)
    if not table:
        raise ValueError(f"{place}: needs at least one condition")
    return Matcher(tuple(_condition(key, value, place) for key, value in table.items()))


def _condition(key: str, value: object, place: str) -> Callable[[Facts], bool]:
    if key in _CLAIMS:
        if not isinstance(value, bool):
            raise ValueError(f"{place}: {key} must be true or false")
        return _CLAIMS[key](value)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
        raise ValueError(f"{place}: {key} must be a list of texts that are not empty")
    return _LISTS[key](value)


def _from_domains(domains: list[str]) -> Callable[[Facts], bool]:
    parents = [comparable_domain(domain.removeprefix("@")) for domain in domains]
    return lambda facts: any(is_within(facts.sender.domain, parent) for parent in parents)


def _from_addresses(addresses: list[str]) -> Callable[[Facts], bool]:
    wanted = {address.strip().lower() for address in addresses}
    return lambda facts: facts.sender.email.lower() in wanted


def _list_ids(parts: list[str]) -> Callable[[Facts], bool]:
    wanted = [part.strip().lower() for part in parts]
    return lambda facts: any(part in facts.list_id for part in wanted)


def _subject_words(words: list[str]) -> Callable[[Facts], bool]:
    pattern = _word_pattern(words)
    return lambda facts: pattern.search(facts.subject_text) is not None


def _name_words(words: list[str]) -> Callable[[Facts], bool]:
    pattern = _word_pattern(words)
    return lambda facts: pattern.search(facts.name_text) is not None


def _gmail_labels(labels: list[str]) -> Callable[[Facts], bool]:
    wanted = frozenset(labels)
    return lambda facts: not wanted.isdisjoint(facts.message.label_ids)


def _headers(names: list[str]) -> Callable[[Facts], bool]:
    return lambda facts: any(name in facts.message.headers for name in names)


def _no(of: Callable[[list[str]], Callable[[Facts], bool]]) -> Callable[[list[str]], Callable[[Facts], bool]]:
    def negated(values: list[str]) -> Callable[[Facts], bool]:
        condition = of(values)
        return lambda facts: not condition(facts)

    return negated


def _bulk(is_wanted: bool) -> Callable[[Facts], bool]:
    return lambda facts: facts.is_bulk == is_wanted


def _discussion(is_wanted: bool) -> Callable[[Facts], bool]:
    return lambda facts: facts.is_discussion == is_wanted


_LISTS = {
    "from_domains": _from_domains,
    "from_addresses": _from_addresses,
    "list_ids": _list_ids,
    "subject_words": _subject_words,
    "name_words": _name_words,
    "gmail_labels": _gmail_labels,
    "headers": _headers,
    "no_from_domains": _no(_from_domains),
    "no_subject_words": _no(_subject_words),
    "no_name_words": _no(_name_words),
    "no_gmail_labels": _no(_gmail_labels),
}
_CLAIMS = {"bulk": _bulk, "discussion": _discussion}
CONDITIONS: frozenset[str] = frozenset(_LISTS) | frozenset(_CLAIMS)


def _word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Compile whole words and phrases in comparable form; a final `*` matches any ending."""
    forms = [_word_form(word) for word in words]
    return re.compile(rf"(?<!\S)(?:{'|'.join(forms)})(?!\S)")


def _word_form(word: str) -> str:
    form = comparable_text(word)
    if not form:
        raise ValueError(f"{word!r} holds no word to look for")
    return re.escape(form) + (r"\w*" if word.rstrip().endswith("*") else "")


def _tables(value: object, place: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError(f"{place}: must be an array of tables")
    return value


def _only_keys(table: Mapping[str, Any], known: Collection[str], place: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{place}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
