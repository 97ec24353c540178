"""Which media types are text, and in which characters."""

from __future__ import annotations

import codecs
from typing import Final

_TEXTS: Final = frozenset(
    ["application/json", "application/xml", "application/x-www-form-urlencoded", "application/javascript"]
    + ["application/x-ndjson", "application/jsonl", "application/graphql", "application/yaml"]
)


def media_type_of(content_type: bytes) -> str:
    """The media type of a Content-Type field, in lower case and without its parameters."""
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


def is_text(media_type: str) -> bool:
    """Whether a body of that type is text."""
    return media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(("+json", "+xml"))


def charset_of(content_type: bytes) -> str:
    """The name of its characters as Python has it; UTF-8 where the field names none. Raises LookupError."""
    for parameter in content_type.split(b";")[1:]:
        name, _, value = parameter.partition(b"=")
        if name.strip().lower() == b"charset":
            return codecs.lookup(value.strip().strip(b'"').decode("latin-1")).name
    return "utf-8"
