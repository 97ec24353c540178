"""Tokens read off an answer as it passes: bodies and event streams, one reader for each API format.

Only the member that holds the usage is parsed. What cannot be read is no usage; nothing here fails an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from jiter import from_json

from ai_gateway_mw.surfaces import Format
from ai_gateway_mw.upstream.dialects import MESSAGES, Dialect
from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher

_TAIL = 16 * 1024  # usage stands near the end of a body,
_HEAD = 4 * 1024  # or before the vectors, as llama.cpp has it
_TRIES = 8
_MAX_COUNT = 1_000_000_000  # no answer has so many
_decode = json.JSONDecoder().raw_decode

_Members = dict[str, Any]


class Usage(NamedTuple):
    """Tokens of one answer, None where the provider did not say.

    `input_tokens` is all of the prompt and `output_tokens` all that was generated, in every format: `cached` is the
    part of the prompt that came from a cache, `written` the part that went into one, and `reasoning` the part of the
    output that is thought.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: int = 0
    reasoning: int = 0
    written: int = 0


def usage_of_body(dialect: Dialect, body: bytes, head: bytes = b"") -> Usage | None:
    """What a JSON answer says of its usage. `body` may be its last part only, and `head` its beginning."""
    member, read = _FORMATS[dialect.format]
    found = _last_member(body, member, "") or _first_member(head or body, member)
    return read(found) if found else None


def usage_of_stream(watcher: EventWatcher | ArrayWatcher) -> Usage | None:
    """What a stream has said of its usage so far, also where it was cut short."""
    dialect = watcher.dialect
    member, read = _FORMATS[dialect.format]
    if isinstance(watcher, ArrayWatcher):
        found = _last_member(watcher.recent[0], member, "]")
    elif dialect is MESSAGES:
        found = _usage_of_message(watcher)
    else:
        found = _last_of_events(watcher, member)
    return read(found) if found else None


class BodyEnds:
    """Beginning and end of a body that passes in chunks: all of it that usage is looked for in."""

    __slots__ = ("_head", "_tail")

    def __init__(self) -> None:
        self._head = self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Note a chunk."""
        if len(self._head) < _HEAD:
            self._head += chunk[:_HEAD]
        self._tail = chunk[-_TAIL:] if len(chunk) >= _TAIL else (self._tail + chunk)[-_TAIL:]

    def usage(self, dialect: Dialect) -> Usage | None:
        """What the body says of its usage."""
        return usage_of_body(dialect, self._tail, self._head)


# Where the usage is ---------------------------------------------------------------------------------------------------


def _last_of_events(watcher: EventWatcher, name: bytes) -> _Members | None:
    """The usage of the last event that has one: some servers send it with every chunk, others only at the end.

    It may be one level down: an event of `responses` has it in its response, one of Groq's in `x_groq`.
    """
    for event in reversed(watcher.recent_events()):
        if name in event.data and (found := _last_member(event.data, name, "") or _last_member(event.data, name, "}")):
            return found
    return None


def _usage_of_message(watcher: EventWatcher) -> _Members | None:
    """The prompt's tokens come with `message_start`; the output's, and corrections of the others, with `message_delta`.

    What `message_start` says of the output is a beginning, and no count.
    """
    counts: _Members = _last_member(watcher.first, b'"usage"', "}") or {}
    counts.pop("output_tokens", None)
    for event in watcher.recent_events():
        if event.kind == "message_delta" and (last := _last_member(event.data, b'"usage"', "")):
            counts |= {name: value for name, value in last.items() if value is not None}
    return counts or None


def _last_member(text: bytes, name: bytes, after: str) -> _Members | None:
    """The object that is the last member of this name in an object of which nothing but `after` follows.

    What follows the member must be the rest of that object: a member of the same name elsewhere in the answer is not
    mistaken for it, and what comes before it is never looked at.
    """
    at, tries = text.rfind(name, -_TAIL), _TRIES
    while at >= 0 and tries:
        rest = b"{" + text[at:]
        try:
            found = _followed(rest, after) if after else from_json(rest)
        except (ValueError, RecursionError):
            at, tries = text.rfind(name, -_TAIL, at), tries - 1
            continue
        value = next(iter(found.values()), None)
        return value if isinstance(value, dict) else None
    return None


def _followed(text: bytes, after: str) -> _Members:
    """The object that the text begins with. Raises `ValueError` unless nothing but `after` follows it."""
    rest = text.decode()
    found, end = _decode(rest)
    if rest[end:].strip() != after:
        raise ValueError("something else follows")
    members: _Members = found
    return members


def _first_member(text: bytes, name: bytes) -> _Members | None:
    """The object that is the first member of this name, where what precedes it is the beginning of the outer object."""
    at = text.find(name, 0, _HEAD)
    if at < 0:
        return None
    before = text[:at].decode("utf-8", "replace").rstrip(", \r\n\t")
    value = text[at + len(name) : at + _HEAD].decode("utf-8", "replace").lstrip(": \r\n\t")
    try:
        found, _ = _decode(value)
        _, end = _decode(before.lstrip() + "}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and end == len(before.lstrip()) + 1 else None


# What it says ---------------------------------------------------------------------------------------------------------


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_COUNT else None


def _sum(*values: Any) -> int | None:
    """The sum of what was told, None where nothing was."""
    counts = [count for value in values if (count := _count(value)) is not None]
    return sum(counts) if counts else None


def _detail(usage: _Members, name: str, detail: str) -> int:
    details = usage.get(name)
    return (_count(details.get(detail)) or 0) if details and isinstance(details, dict) else 0


def _of_cache(usage: _Members, name: str) -> tuple[int, int]:
    """What came out of a cache, and what went into one."""
    details = usage.get(name)
    if not details or not isinstance(details, dict):
        return 0, 0
    return _count(details.get("cached_tokens")) or 0, _count(details.get("cache_write_tokens")) or 0


def _openai(usage: _Members) -> Usage:
    """Chat completions and embeddings name it one way, responses and images another."""
    if "prompt_tokens" in usage:
        # Embeddings have no output, and do not say so.
        output = usage.get("completion_tokens", 0)
        cached, written = _of_cache(usage, "prompt_tokens_details")
        if not cached and "prompt_cache_hit_tokens" in usage:  # DeepSeek
            cached = _count(usage["prompt_cache_hit_tokens"]) or 0
        reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
        return Usage(_count(usage["prompt_tokens"]), _count(output), cached, reasoning, written)
    cached, written = _of_cache(usage, "input_tokens_details")
    reasoning = _detail(usage, "output_tokens_details", "reasoning_tokens")
    return Usage(_count(usage.get("input_tokens")), _count(usage.get("output_tokens")), cached, reasoning, written)


def _anthropic(usage: _Members) -> Usage:
    """`input_tokens` are those after the last cache breakpoint; what a cache gave or took comes on top."""
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    return Usage(
        _sum(usage.get("input_tokens"), written, read),
        _count(usage.get("output_tokens")),
        _count(read) or 0,
        _detail(usage, "output_tokens_details", "thinking_tokens"),
        _count(written) or 0,
    )


def _gemini(usage: _Members) -> Usage:
    """Thoughts are no part of the candidates, nor results of tools of the prompt."""
    thoughts = usage.get("thoughtsTokenCount")
    return Usage(
        _sum(usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")),
        _sum(usage.get("candidatesTokenCount"), thoughts),
        _count(usage.get("cachedContentTokenCount")) or 0,
        _count(thoughts) or 0,
    )


_FORMATS: dict[Format, tuple[bytes, Callable[[_Members], Usage]]] = {
    "openai": (b'"usage"', _openai),
    "anthropic": (b'"usage"', _anthropic),
    "gemini": (b'"usageMetadata"', _gemini),
}
