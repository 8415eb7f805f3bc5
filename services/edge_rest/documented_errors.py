"""The reasons that an RPC may fail with, read from the `Errors:` lines of the contract.

The published document lists them, so the proto's comment is the one place where they are kept.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.descriptor import MethodDescriptor

from services.common.errors import Kind
from services.common.proto_json import comment

Reasons = Mapping[Kind, tuple[str, ...]]

_HEADING: Final = "Errors:"
_OF_THE_OPERATION: Final = "The operation may fail"
_WORD: Final = re.compile(r"as `(?P<other>\w+)`|(?P<word>\b[A-Z][A-Z0-9_]{4,}\b)")


def reasons_of(method: MethodDescriptor) -> Reasons:
    """Give the reasons that a method names, by kind, those of a method that it refers to first."""
    found: dict[Kind, list[str]] = {}
    for kind, reason in _named(method):
        if reason not in found.setdefault(kind, []):
            found[kind].append(reason)
    return {kind: tuple(reasons) for kind, reasons in found.items()}


def description_of(method: MethodDescriptor) -> str:
    """Give what a method does, without its errors."""
    return comment(method.full_name).partition(_HEADING)[0].strip()


def _named(method: MethodDescriptor) -> Iterator[tuple[Kind, str]]:
    text = comment(method.full_name).partition(_HEADING)[2].partition(_OF_THE_OPERATION)[0]
    kind: Kind | None = None
    for match in _WORD.finditer(text):
        if match["other"]:
            yield from _named(method.containing_service.methods_by_name[match["other"]])
        elif match["word"] in Kind.__members__:
            kind = Kind[match["word"]]
        elif kind is not None:
            yield kind, match["word"]
