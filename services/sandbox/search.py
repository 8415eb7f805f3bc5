"""Gmail's search language: a query becomes a predicate over messages.

Words are matched as whole tokens, in order, as Gmail does: `from:news@shop.example` also finds
`daily-news@shop.example`. OR binds closer than a space; parentheses group, braces group with OR, `-` negates.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.sandbox.errors import invalid
from services.sandbox.mailbox import Mailbox, Message
from services.sandbox.search_terms import Term, term

Predicate = Callable[[Message], bool]

_LEXEME = re.compile(
    r"""\s*(?:
        (?P<bracket>[(){}]) |
        (?P<lone_minus>-)(?=[({]) |
        (?P<minus>-?)(?P<operator>[A-Za-z_]\w*):(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s(){}"]+))? |
        (?P<bare_minus>-?)(?:"(?P<quoted>[^"]*)"?|(?P<bare>[^\s(){}"]+)) |
        (?P<other>\S)
    )""",
    re.VERBOSE,
)
_MAX_LENGTH = 8_000
_MAX_DEPTH = 50
_WORDS = {"OR": "or", "|": "or", "AND": "and"}
_OPENS_SPAM = {"in:anywhere", "in:spam", "in:trash", "label:spam", "label:trash", "is:spam"}


@dataclass(frozen=True, slots=True)
class Search:
    """What a query asks for."""

    matches: Predicate
    opens_spam_and_trash: bool


@dataclass(frozen=True, slots=True)
class _Lexeme:
    kind: str  # "(", ")", "{", "}", "-", "or", "and", "term"
    operator: str = ""
    text: str = ""
    negated: bool = False


def parse(query: str, mailbox: Mailbox, now: datetime | None = None) -> Search:
    """Compile a query.

    Raises:
        ApiError: 400, longer or nested deeper than is sensible.

    """
    if len(query) > _MAX_LENGTH:
        raise invalid("Invalid query: too long")
    lexemes = [_lexeme(match) for match in _LEXEME.finditer(query)]
    opens = any(
        f"{item.operator}:{item.text.lower()}" in _OPENS_SPAM and not item.negated for item in lexemes
    )
    parser = _Parser(lexemes, Term(mailbox, now or datetime.now(UTC)))
    return Search(parser.sequence(closing=None, depth=0), opens)


def _lexeme(match: re.Match[str]) -> _Lexeme:
    if mark := match["bracket"] or match["lone_minus"]:
        return _Lexeme(mark)
    if match["operator"]:
        text = match["phrase"] or match["word"] or ""
        return _Lexeme("term", match["operator"].lower(), text, bool(match["minus"]))
    if match["bare"] in _WORDS and not match["bare_minus"]:
        return _Lexeme(_WORDS[match["bare"]])
    return _Lexeme("term", "", match["quoted"] or match["bare"] or "", bool(match["bare_minus"]))


class _Parser:
    """Recursive descent over lexemes; stray brackets are passed over, as Gmail does."""

    def __init__(self, lexemes: list[_Lexeme], terms: Term) -> None:
        self._lexemes = lexemes
        self._terms = terms
        self._at = 0

    def sequence(self, closing: str | None, depth: int, *, any_of: bool = False) -> Predicate:
        if depth > _MAX_DEPTH:
            raise invalid("Invalid query: nested too deep")
        groups: list[Predicate] = []
        while (item := self._peek()) is not None and item.kind != closing:
            if item.kind in {")", "}", "and", "or"}:
                self._at += 1
                continue
            groups.append(self._alternatives(depth))
        self._at += 1
        return _any(groups) if any_of else _all(groups)

    def _alternatives(self, depth: int) -> Predicate:
        options = [self._one(depth)]
        while (item := self._peek()) is not None and item.kind == "or":
            self._at += 1
            following = self._peek()
            if following is not None and following.kind in {"term", "(", "{", "-"}:
                options.append(self._one(depth))
        return _any(options)

    def _one(self, depth: int) -> Predicate:
        item = self._lexemes[self._at]
        self._at += 1
        if item.kind == "-":
            return _not(self._one(depth + 1)) if self._peek() else _all([])
        if item.kind in {"(", "{"}:
            return self.sequence({"(": ")", "{": "}"}[item.kind], depth + 1, any_of=item.kind == "{")
        return self._term(item, depth)

    def _term(self, item: _Lexeme, depth: int) -> Predicate:
        following = self._peek()
        if item.operator and not item.text and following and following.kind in {"(", "{"}:
            return self._spread(item, depth)
        predicate = term(self._terms, item.operator, item.text)
        return _not(predicate) if item.negated else predicate

    def _spread(self, item: _Lexeme, depth: int) -> Predicate:
        """`from:(a OR b)`: the operator holds for every word inside."""
        opening = self._at + 1
        for number in range(opening, len(self._lexemes)):
            inner = self._lexemes[number]
            if inner.kind in {")", "}"}:
                break
            if inner.kind == "term" and not inner.operator:
                self._lexemes[number] = _Lexeme("term", item.operator, inner.text, inner.negated)
        predicate = self._one(depth + 1)
        return _not(predicate) if item.negated else predicate

    def _peek(self) -> _Lexeme | None:
        return self._lexemes[self._at] if self._at < len(self._lexemes) else None


def _all(predicates: list[Predicate]) -> Predicate:
    return lambda message: all(predicate(message) for predicate in predicates)


def _any(predicates: list[Predicate]) -> Predicate:
    return lambda message: any(predicate(message) for predicate in predicates)


def _not(predicate: Predicate) -> Predicate:
    return lambda message: not predicate(message)
