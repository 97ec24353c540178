"""Error bodies: what providers write into them, in one shape. What it means for the next attempt is in `sayings.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from typing import Any, NamedTuple

_CODES = ("code", "type", "status", "reason", "error_code")


class ErrorBody(NamedTuple):
    """The codes of an error and its message, in lower case.

    `about` is the member of the request that it complains of; `retry` is Google's `retryDelay`, such as `37s`.
    """

    words: Set[str] = frozenset()
    message: str = ""
    about: Any = None
    retry: str = ""

    def says(self, words: Set[str], phrases: tuple[str, ...] = ()) -> bool:
        """One of the codes, or a message that begins like this and is about no member of the request."""
        return bool(self.words & words) or (self.about is None and self.message.startswith(phrases))


def read_error(body: bytes) -> ErrorBody:
    """What an error body says; nothing where it has another shape."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorBody()
    if isinstance(content, list) and content:  # Google's OpenAI-compatible API wraps its error in a list
        content = content[0]
    if not isinstance(content, dict):
        return ErrorBody()
    error = content.get("error")
    if isinstance(error, str):  # xAI: `error` is the message, its code stands beside it
        return ErrorBody(frozenset(_words(content)), error.lower())
    if not isinstance(error, dict):
        # Mistral, vLLM and the error event of OpenAI's responses have no object of their own; FastAPI says `detail`.
        error = content
    message = error.get("message") or error.get("detail")
    about = error.get("param") or None
    details = [each for each in _details(error) if isinstance(each, dict)]
    words = {*_words(error), *(word for detail in details for word in _words(detail))}
    retry = next((_text(detail["retryDelay"]) for detail in details if "retryDelay" in detail), "")
    return ErrorBody(frozenset(words), _text(message).lower(), about, retry)


def _text(value: Any) -> str:
    """A string; anything else, which may be nested as deep as it likes, says nothing."""
    return value if isinstance(value, str) else ""


def _words(part: dict[str, Any]) -> Iterator[str]:
    for name in _CODES:
        value = part.get(name)
        if isinstance(value, str | int):
            yield str(value).lower()


def _details(error: dict[str, Any]) -> Iterator[Any]:
    """What stands beside the message: Google's list, Anthropic's object, OpenRouter's `metadata`.

    A quota of Google's shows in its id only: `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
    """
    details = error.get("details")
    for detail in details if isinstance(details, list) else [details]:
        yield detail
        violations = detail.get("violations") if isinstance(detail, dict) else None
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and "perday" in _text(violation.get("quotaId")).lower():
                yield {"code": "quota_per_day"}
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and ("flagged_input" in metadata or "reasons" in metadata):
        yield {"code": "moderation"}
