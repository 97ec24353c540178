"""What the events of a stream mean, API surface by API surface: content, an end, an error.

Knows one event at a time; how a stream is cut into events, and what follows from them, is the matter of events.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jiter import from_json

from ai_gateway_mw.surfaces import Format, Route

_DONE = b"[DONE]"
HEAD = 256  # bytes in which the name of an event, or a type that comes first, is to be found
_MAX_PARSED = 64 * 1024


class Event(NamedTuple):
    """One event: its name, empty without one, and its data."""

    name: str
    data: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The data as an object; empty where it is none."""
        found = _loaded(self.data)
        return found if isinstance(found, dict) else {}

    @property
    def kind(self) -> str:
        """The name, or the `type` in the data; of an event that is cut or too long to be parsed, the first there is."""
        if self.name:
            return self.name
        if len(self.data) <= _MAX_PARSED and (content := self.content):
            return str(content.get("type", ""))
        _, _, after = self.data[:HEAD].partition(b'"type"')
        return after.lstrip(b' :"').partition(b'"')[0].decode("utf-8", "replace")

    @property
    def is_whole(self) -> bool:
        """Whether the data is all there: a text that was cut is no JSON."""
        return self.data == _DONE or _loaded(self.data) is not None

    @property
    def is_terminator(self) -> bool:
        return self.data.startswith(_DONE)


def events_of(stream: bytes) -> Iterator[Event]:
    """The events of a stretch of a stream; the last may lack its end. Comments and pings are left out."""
    # WHATWG HTML 9.2.5 and 9.2.6: lines end with CRLF, LF or CR, a blank line ends an event, and one space after the
    # colon is no part of the value.
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for text in lines.removeprefix(b"\xef\xbb\xbf").split(b"\n\n"):
        if text.startswith(b"data:") and text.find(b"\n") < 0:  # as most of them are
            yield Event("", text[5:].removeprefix(b" "))
            continue
        if not text:  # after the last blank line
            continue
        name, data = b"", []
        for line in text.split(b"\n"):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip()
        if data and name != b"ping":
            yield Event(name.decode("utf-8", "replace"), b"\n".join(data))


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How the streams of an API surface speak.

    `begins`: whether an event brings content, or says that there will be none. `ends`: whether an event is the last of
    its stream by what the surface promises. `may_end`: whether nothing is missing when a stream ends cleanly after
    these events, where they have no terminator, or a server leaves it out.
    """

    format: Format
    surface: str | None
    begins: Callable[[Event], bool]
    ends: Callable[[Event], bool]
    may_end: Callable[[Sequence[Event]], bool]


def dialect_of(route: Route | None, api_format: Format = "openai", *, ends_with_done: bool = True) -> Dialect:
    """The dialect of what answers a route; without a route, one that knows nothing but the format's errors.

    `ends_with_done`: whether chat completions end with [DONE], as they should."""
    if route is None:
        return _OTHER[api_format]
    dialect = _BY_PATH.get(route.path) or _of_other_path(route)
    return dialect if ends_with_done else _WITHOUT_DONE.get(dialect, dialect)


def _of_other_path(route: Route) -> Dialect:
    if route.format == "gemini":
        return GEMINI if route.path.endswith("enerateContent") else _OTHER["gemini"]
    if route.path.startswith("/v1/responses/"):  # a stored response, streamed again
        return RESPONSES
    return _OTHER[route.format]


def error_in(event: Event) -> bytes | None:
    """The error that an event is, as the body of an error answer; None of any other event."""
    name, data = event
    if name != "error" and data.find(b'"error"') < 0 and data.find(b"response.failed") < 0:
        return None
    found = _loaded(data)
    if isinstance(found, list) and found:  # Google wraps an error in a list
        found = found[0]
    if name == "error" or (isinstance(found, dict) and (found.get("error") or found.get("type") == "error")):
        return data
    if isinstance(found, dict) and found.get("type") == "response.failed":
        response = found.get("response")
        return json.dumps({"error": response.get("error") if isinstance(response, dict) else None}).encode()
    return None


def _loaded(data: bytes) -> Any:
    if data == _DONE:
        return None
    try:
        return from_json(data, cache_mode="none")
    except ValueError:
        pass  # what it does not take, such as half a surrogate pair, may still be JSON
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _says(part: Any, *silent: str) -> bool:
    """Whether an object has anything to say beside what these members say."""
    if isinstance(part, dict):
        for name, value in part.items():
            if value and name not in silent:
                return True
    return False


def _objects(part: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a member that is a list."""
    found = part.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _member(part: dict[str, Any], name: str) -> dict[str, Any]:
    found = part.get(name)
    return found if isinstance(found, dict) else {}


# Chat completions, and the completions before them ------------------------------------------------------------------


def _chat_begins(event: Event) -> bool:
    """A first chunk names the role only; Azure's first one has results of its filter and no choices."""
    if not (content := event.content):
        return True  # [DONE], or something that we had better not hold back
    for choice in _objects(content, "choices"):
        if _says(choice.get("delta"), "role"):
            return True
        if _says(choice, "index", "delta", "logprobs", "content_filter_results"):
            return True
    return False


def _chat_may_end(events: Sequence[Event]) -> bool:
    """Where a server never sends [DONE] the choices tell. Usage may follow.

    With several choices only the last chunk's are looked at: a stream that ends cleanly just after one of them has
    finished, and without [DONE], counts as complete.
    """
    for event in reversed(events):
        if choices := _objects(event.content, "choices"):
            return any(choice.get("finish_reason") for choice in choices)
    return False


# Responses ------------------------------------------------------------------------------------------------------------

_RESPONSE_ENDS = frozenset(
    ["response.completed", "response.incomplete", "response.failed", "response.cancelled"]
    + ["response.done"]  # OpenRouter's name for the first
)
_RESPONSE_SILENT = frozenset(
    ["response.created", "response.queued", "response.in_progress", "response.reasoning_summary_part.added"]
    + ["keepalive", "ping"]
)


def _response_begins(event: Event) -> bool:
    kind = event.kind
    if kind in _RESPONSE_SILENT:
        return False
    if kind.endswith(".delta"):
        return bool(event.content.get("delta"))
    if kind == "response.content_part.added":
        return _says(event.content.get("part"), "type")
    if kind == "response.output_item.added":
        item = _member(event.content, "item")
        # A call of a function or of a tool says what is called; a message says nothing yet.
        return bool(item.get("content")) or item.get("type") not in ("message", "reasoning")
    return True


def _response_ends(event: Event) -> bool:
    return event.is_terminator or event.kind in _RESPONSE_ENDS


# Messages -------------------------------------------------------------------------------------------------------------

_MESSAGE_SILENT = frozenset({"message_start", "content_block_stop", "ping"})


def _message_begins(event: Event) -> bool:
    kind = event.kind
    if kind in _MESSAGE_SILENT:
        return False
    if kind == "content_block_start":
        return _says(event.content.get("content_block"), "type")
    if kind in ("content_block_delta", "message_delta"):
        return _says(event.content.get("delta"), "type")
    return True


def _message_ends(event: Event) -> bool:
    return event.is_terminator or event.kind == "message_stop"


# Gemini ---------------------------------------------------------------------------------------------------------------


def _gemini_begins(event: Event) -> bool:
    content = event.content
    if not content or _member(content, "promptFeedback").get("blockReason"):
        return True
    return any(
        candidate.get("finishReason")
        or any(_says(part, "thought") for part in _objects(_member(candidate, "content"), "parts"))
        for candidate in _objects(content, "candidates")
    )


def _gemini_may_end(events: Sequence[Event]) -> bool:
    """There is no terminator: the last event with candidates, or with the verdict on the prompt, tells."""
    for event in reversed(events):
        content = event.content
        if not content and b'"finishReason"' in event.data:
            return True  # the end of an event too long to be kept; within strings the quotes would be escaped
        if candidates := _objects(content, "candidates"):
            return any(candidate.get("finishReason") for candidate in candidates)
        if _member(content, "promptFeedback").get("blockReason"):
            return True
    return False


# All of them ----------------------------------------------------------------------------------------------------------


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


def _is_done(event: Event) -> bool:
    return event.is_terminator


CHAT = Dialect("openai", "chat-completions", _chat_begins, _is_done, _never)
COMPLETIONS = Dialect("openai", None, _chat_begins, _is_done, _never)
RESPONSES = Dialect("openai", "responses", _response_begins, _response_ends, _never)
MESSAGES = Dialect("anthropic", "messages", _message_begins, _message_ends, _never)
GEMINI = Dialect("gemini", None, _gemini_begins, _is_done, _gemini_may_end)
_WITHOUT_DONE = {dialect: replace(dialect, may_end=_chat_may_end) for dialect in (CHAT, COMPLETIONS)}
# Of other streams (images, speech, transcripts) we know too little to call one that ends cleanly incomplete.
_OTHER: dict[Format, Dialect] = {
    "openai": Dialect("openai", None, _always, _is_done, _always),
    "anthropic": Dialect("anthropic", None, _always, _is_done, _always),
    "gemini": Dialect("gemini", None, _always, _is_done, _always),
}
_BY_PATH = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}
