"""The strings of a JSON text: changed where they stand, with every other byte left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

_STRING: Final = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"([ \t\r\n]*:)?', re.DOTALL)
# What protocols hang on, and what is no text: a change would break the one and cannot help the other.
_PASSED_OVER: Final = frozenset(
    [b"id", b"type", b"role", b"model", b"object", b"index", b"status", b"signature", b"thoughtSignature"]
    + [b"thought_signature", b"encrypted_content", b"b64_json", b"tool_call_id", b"call_id", b"tool_use_id", b"item_id"]
    + [b"system_fingerprint", b"obfuscation", b"finish_reason", b"finishReason", b"stop_reason", b"media_type"]
    + [b"mimeType", b"mime_type", b"previous_response_id", b"responseId"]
)
_DATA_URL: Final = b"data:"


def edited_strings(data: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The text with its strings as `edit` gives them back, which sees them unescaped; names of members, ids and what
    is encoded stay. The same object where nothing changed."""
    pieces: list[bytes] = []
    at, name = 0, b""
    for match in _STRING.finditer(data):
        raw = match[1]
        if match[2] is not None:
            name = raw
            continue
        if not raw or name in _PASSED_OVER or raw.startswith(_DATA_URL):
            continue
        text = _unescaped(raw) if b"\\" in raw else raw
        if (made := edit(text)) != text:
            pieces += [data[at : match.start(1)], escaped(made)]
            at = match.end(1)
    return b"".join([*pieces, data[at:]]) if pieces else data


def _unescaped(raw: bytes) -> bytes:
    try:
        return str(json.loads(b'"' + raw + b'"')).encode("utf-8", "surrogatepass")
    except ValueError:
        return raw


def escaped(text: bytes) -> bytes:
    """A text as it stands in a JSON string, without the quotes around it."""
    decoded = text.decode("utf-8", "surrogatepass")
    try:
        return json.dumps(decoded, ensure_ascii=False).encode()[1:-1]
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can hold
        return json.dumps(decoded).encode()[1:-1]
