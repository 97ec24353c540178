"""What a request says to a model: the text of all its messages, in any of the API formats.

A rule that looks for something must not miss it because it stands in an unusual place: whatever is text counts, where
it is not known to be something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_LISTS: Final = ("messages", "input", "contents")
_TEXTS: Final = {
    "instructions": "system",
    "system": "system",
    "systemInstruction": "system",
    "system_instruction": "system",
    "prompt": "user",
    "suffix": "user",
    "query": "user",
    "documents": "user",
    "content": "user",
    "requests": "user",
    "tools": "tools",
    "functions": "tools",
}
# Beside text, messages have these; within what a tool is called with, or answers, any name may be that of a text.
_NO_TEXT: Final = frozenset(
    ["type", "role", "id", "model", "status", "signature", "thoughtSignature", "thought_signature", "cache_control"]
    + ["encrypted_content", "mime_type", "mimeType", "media_type", "tool_call_id", "call_id", "tool_use_id", "item_id"]
    + ["url", "file_url", "fileUri", "file_uri", "file_data", "file_id", "image_url", "detail", "format"]
)
_FREE: Final = frozenset({"input", "args", "arguments", "response", "output", "parameters", "input_schema"})


class Said(NamedTuple):
    """One message: who says it, and all its text."""

    role: str
    text: str


def said(body: Mapping[str, Any]) -> list[Said]:
    """The messages of a request: instructions first, then what is said in the order of the request, then tools."""
    made = [Said(role, text) for name, role in _TEXTS.items() if role == "system" and (text := _text(body.get(name)))]
    for name in _LISTS:
        made += _listed(body.get(name))
    made += [Said(role, text) for name, role in _TEXTS.items() if role != "system" and (text := _text(body.get(name)))]
    return made


def _listed(value: Any) -> list[Said]:
    if not isinstance(value, list):
        return [Said("user", text)] if (text := _text(value)) else []
    made = []
    for item in value:
        role = item.get("role") if isinstance(item, dict) else None
        if text := _text(item):
            made.append(Said(role if isinstance(role, str) else "user", text))
    return made


def _text(value: Any) -> str:
    return "\n".join(_strings(value))


def _strings(value: Any, *, free: bool = False) -> Iterator[str]:
    """All text in a value, in its order; the nesting of a body is bounded where it is parsed."""
    pending: list[tuple[Any, bool]] = [(value, free)]
    while pending:
        item, is_free = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            pending.extend((each, is_free) for each in reversed(item))
        elif isinstance(item, dict):
            named = [
                (each, is_free or name in _FREE)
                for name, each in item.items()
                if is_free or (name not in _NO_TEXT and not (name == "data" and item.get("type") != "text"))
            ]
            pending.extend(reversed(named))
