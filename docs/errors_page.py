"""Writes docs/errors.md: every reason that an error may carry, read from the contract and from the code.

`make docs` writes the page; a test compares it. Reasons of the backends are promises of the contract and
stand in the `Errors:` lines of protos/; the rest come from the rims that every request passes.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from services.common.errors import TABLE, Kind

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "errors.md"
BACKENDS: Final = ("services/auth", "services/mail_core")
RIMS: Final = {
    "services/common": "everywhere",
    "services/edge_rest": "REST",
    "services/edge_mcp": "MCP",
    "services/edge_a2a": "A2A",
}

_KIND_OF_MAKER: Final = {
    "invalid": Kind.INVALID_ARGUMENT,
    "not_found": Kind.NOT_FOUND,
    "unauthenticated": Kind.UNAUTHENTICATED,
    "denied": Kind.PERMISSION_DENIED,
    "precondition": Kind.FAILED_PRECONDITION,
    "unavailable": Kind.UNAVAILABLE,
    "exhausted": Kind.RESOURCE_EXHAUSTED,
    "DomainError": Kind.INVALID_ARGUMENT,
}
_GOOGLE_APIS: Final = (("GMAIL", "Gmail"), ("GOOGLE", "Google Calendar"))


@dataclass(frozen=True, slots=True)
class Raised:
    """One place that raises a reason. `status` is set where HTTP alone knows it."""

    reason: str
    kind: Kind
    message: str
    file: str
    status: int | None = None


COMPUTED: Final = tuple(
    Raised(reason, kind, meaning, folder)
    for kind, folder, meanings in (
        (
            Kind.UNAVAILABLE,
            "services/common",
            {"AUTH_DOWN": "Auth does not answer.", "MAIL_CORE_DOWN": "The mail core does not answer."},
        ),
        (
            Kind.INVALID_ARGUMENT,
            "services/common",
            {
                "FIELD_INVALID": "Of one field: it does not fit.",
                "FIELD_OUT_OF_RANGE": "Of one field: too small, too large, too short or too long.",
                "FIELD_REQUIRED": "Of one field: it is missing.",
            },
        ),
        (
            Kind.INVALID_ARGUMENT,
            "services/auth",
            dict.fromkeys(
                ("LABEL_INVALID", "NAME_INVALID"),
                "A name is at most 64 printable characters, no space around.",
            ),
        ),
        (
            Kind.INVALID_ARGUMENT,
            "services/edge_a2a",
            {"ACTION_UNKNOWN": "There is no such action; the agent card lists those that there are."},
        ),
        (
            Kind.INVALID_ARGUMENT,
            "services/mail_core",
            {
                "BUFFER_OUT_OF_RANGE": "buffer_minutes must be between 0 and 240.",
                "COUNT_OUT_OF_RANGE": "max_intervals must be between 1 and 100.",
                "DURATION_OUT_OF_RANGE": "duration_minutes must be between 5 and 1440.",
                "STEP_OUT_OF_RANGE": "step_minutes must be between 5 and 240.",
                "WORKING_HOURS_INVALID": "Working hours are days 1 to 7 and times HH:MM, 00:00 to 24:00.",
            },
        ),
    )
    for reason, meaning in meanings.items()
)
"""What the code puts together while it runs, so that it cannot be read here."""

Texts = Mapping[str, ast.expr]


@cache
def raised_in(*folders: str) -> list[Raised]:
    """Find every reason that the code of these folders raises."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    trees = {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in files}
    texts = {name: node for tree in trees.values() for name, node in _assigned(tree.body)}
    return [found for file, tree in trees.items() for found in _in_tree(tree, file, texts)]


def _assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Give the names that a block gives to expressions."""
    for node in body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        value = getattr(node, "value", None)
        if isinstance(value, ast.expr):
            yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def _in_tree(tree: ast.Module, file: str, texts: Texts) -> Iterator[Raised]:
    seen: set[ast.AST] = set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in [*reversed(functions), tree]:  # the innermost first
        statements = [node for node in ast.walk(scope) if isinstance(node, ast.stmt)]
        known = texts if scope is tree else {**texts, **dict(_assigned(statements))}
        calls = [node for node in ast.walk(scope) if isinstance(node, ast.Call) and node not in seen]
        seen.update(calls)
        for call in calls:
            yield from _raised(call, file, known)


def _raised(call: ast.Call, file: str, texts: Texts) -> Iterator[Raised]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    match name, call.args:
        case str(), [reason, message, *_] if name in _KIND_OF_MAKER:
            yield from _read(_KIND_OF_MAKER[name], reason, message, file, texts)
        case "AppError", [kind, reason, message, *_] if (found := _kind(kind)) is not None:
            yield from _read(found, reason, message, file, texts)
        case "HttpError", [ast.Constant(value=int(status)), reason, message, *_]:
            for each in _read(Kind.INVALID_ARGUMENT, reason, message, file, texts):
                yield replace(each, status=status)
        case "Row", [_, kind, ast.Constant(value=str(reason)), ast.Constant(value=str(message)), *_]:
            for api, google in _GOOGLE_APIS:
                words = {"api": api, "name": google}
                told = _kind(kind) or Kind.INTERNAL
                yield Raised(reason.format(**words), told, message.format(**words), file)
        case _:
            return


def _read(kind: Kind, reason: ast.expr, message: ast.expr, file: str, texts: Texts) -> Iterator[Raised]:
    for text in _texts(reason, texts):
        yield Raised(text, kind, next(_texts(message, texts), ""), file)


def _texts(node: ast.expr, texts: Texts) -> Iterator[str]:
    """Give the texts that an expression may stand for; what is filled in later is an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name in texts and texts[name] is not node:
            yield from _texts(texts[name], {key: text for key, text in texts.items() if key != name})
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, texts)
            yield from _texts(orelse, texts)
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def _kind(node: ast.expr) -> Kind | None:
    is_kind = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Kind"
    return Kind[node.attr] if is_kind else None


@dataclass(frozen=True, slots=True)
class Named:
    """One reason in an `Errors:` line. `kind` is None where an operation, not a call, fails with it."""

    reason: str
    kind: Kind | None
    method: str


def named_in_the_contract() -> list[Named]:
    """Read the `Errors:` lines of the protos."""
    files = sorted((ROOT / "protos").rglob("*.proto"))
    return [
        named
        for file in files
        for text, method in _error_lines(file.read_text())
        for named in _named(text, method)
    ]


def _error_lines(proto: str) -> Iterator[tuple[str, str]]:
    for block in re.finditer(r"((?:^[ \t]*//.*\n)+)([ \t]*rpc (\w+))?", proto, re.MULTILINE):
        text = re.sub(r"^[ \t]*// ?", "", block[1], flags=re.MULTILINE)
        if "Errors:" in text:
            yield text.partition("Errors:")[2], block[3] or ""


def _named(text: str, method: str) -> Iterator[Named]:
    kind: Kind | None = None
    for word in re.finditer(r"\b[A-Z][A-Z0-9_]{4,}\b|The operation may fail", text):
        if word[0] in Kind.__members__:
            kind = Kind[word[0]]
        elif word[0].startswith("The"):
            kind = None
        else:
            yield Named(word[0], kind, method)


@cache
def page() -> str:
    """Write the page."""
    raised = [*raised_in(*BACKENDS, *RIMS), *COMPUTED]
    contract = named_in_the_contract()
    reasons = sorted({each.reason for each in [*raised, *contract]})
    rows = [
        _row(
            reason,
            [each for each in raised if each.reason == reason],
            [each for each in contract if each.reason == reason],
        )
        for reason in reasons
    ]
    return _HEAD + "\n".join(rows) + "\n" + _KINDS + "\n".join(map(_kind_row, Kind)) + "\n"


def _row(reason: str, raised: list[Raised], named: list[Named]) -> str:
    kind = next(each.kind for each in [*raised, *named] if each.kind)
    status = next((each.status for each in raised if each.status), TABLE[kind].http_status)
    meaning = max((each.message for each in raised), key=len, default="").replace("|", "\\|")
    return f"| `{reason}` | {kind.name} | {status} | {meaning} | {_where(raised, named)} |"


def _where(raised: list[Raised], named: list[Named]) -> str:
    methods = sorted({each.method for each in named})
    if methods:
        return ", ".join(f"`{method}`" if method else "every method" for method in methods)
    return ", ".join(
        sorted({name for each in raised for path, name in RIMS.items() if each.file.startswith(path)})
    )


def _kind_row(kind: Kind) -> str:
    row = TABLE[kind]
    may_repeat = "yes" if row.retryable else "no"
    return (
        f"| {kind.name} | {row.grpc_code} | {row.http_status} | {row.a2a_code} | {may_repeat} | {row.title} |"
    )


_HEAD: Final = """# Errors

Every failure has a *kind*, which decides how it reads on each wire, and a *reason*, which says what it is.
Reasons are stable; messages are for people and may change. Over HTTP an error is a problem document
(RFC 9457) with `reason` and `request_id`; over gRPC a `google.rpc.ErrorInfo` of the domain `mailwarden`; over
MCP an error result with the same fields; over A2A a failed task or a JSON-RPC error.

This page is written by `make docs` from the contract and the code. An ellipsis stands for what is filled in.

| Reason | Kind | HTTP | Meaning | Named by |
|---|---|---|---|---|
"""
_KINDS: Final = """
## Kinds

| Kind | gRPC | HTTP | A2A | Same call again may succeed | Title |
|---|---|---|---|---|---|
"""

if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
