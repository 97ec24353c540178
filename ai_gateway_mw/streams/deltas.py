"""Where the events of the API surfaces have their text, piece by piece; told by their shape, whoever sent them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

Lane = tuple[Any, ...]
ALL: Final = None
Closed = frozenset[Any] | None  # the lanes that end, by the first part of their names; None is all of them
_NONE: Final[Closed] = frozenset()


class Delta(NamedTuple):
    """A piece of text. `lane` tells which text it goes on with, by its choice or block first, then by its kind;
    `path` leads to it in the event; `is_said`: it is for whoever reads the answer."""

    lane: Lane
    path: tuple[str | int, ...]
    text: str
    is_said: bool = True


def deltas(event: Any) -> list[Delta]:
    """The pieces of text that an event brings."""
    if not isinstance(event, dict):
        return []
    if "choices" in event:
        return list(_of_chat(event))
    if "candidates" in event:
        return list(_of_gemini(event))
    kind = event.get("type")
    if kind in ("content_block_delta", "content_block_start"):
        return list(_of_messages(event, kind))
    if isinstance(kind, str) and kind.endswith(".delta"):
        return list(_of_responses(event, kind))
    return []


def closed_by(event: Any) -> Closed:
    """The lanes that an event ends."""
    if not isinstance(event, dict) or event.get("error"):
        return ALL
    if "choices" in event:
        return frozenset(
            _hashable(each.get("index", 0)) for _, each in _objects(event["choices"]) if each.get("finish_reason")
        )
    if "candidates" in event:
        return frozenset(
            _hashable(each.get("index", 0)) for _, each in _objects(event["candidates"]) if each.get("finishReason")
        )
    kind = event.get("type")
    if kind == "content_block_stop":
        return frozenset([_hashable(event.get("index", 0))])
    if not isinstance(kind, str) or kind in ("ping", "keepalive", "content_block_start", "content_block_delta"):
        return _NONE
    return _NONE if kind.endswith((".delta", ".added", ".in_progress")) else ALL


def _objects(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(value, list):
        yield from ((number, each) for number, each in enumerate(value) if isinstance(each, dict))


_THOUGHTS: Final = frozenset({"reasoning_content", "reasoning", "thinking"})


def _of_chat(event: Mapping[str, Any]) -> Iterator[Delta]:
    for number, choice in _objects(event["choices"]):
        index = _hashable(choice.get("index", 0))
        if isinstance(text := choice.get("text"), str):
            yield Delta((index, "text"), ("choices", number, "text"), text)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        at = ("choices", number, "delta")
        for name in ("content", "refusal", "reasoning_content", "reasoning", "thinking"):
            value = delta.get(name)
            if isinstance(value, str):
                yield Delta((index, name), (*at, name), value, name not in _THOUGHTS)
            for part, each in _objects(value):
                if isinstance(text := each.get("text"), str):
                    yield Delta((index, name), (*at, name, part, "text"), text, name not in _THOUGHTS)
        for part, each in _objects(delta.get("reasoning_details")):
            if isinstance(text := each.get("text"), str):
                yield Delta((index, "details"), (*at, "reasoning_details", part, "text"), text, False)
        for part, each in _objects(delta.get("tool_calls")):
            function = each.get("function")
            if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
                lane = (index, "tool", _hashable(each.get("index", part)))
                yield Delta(lane, (*at, "tool_calls", part, "function", "arguments"), text, False)


def _of_responses(event: Mapping[str, Any], kind: str) -> Iterator[Delta]:
    if isinstance(text := event.get("delta"), str) and "audio.delta" not in kind:
        places = ("output_index", "content_index", "summary_index")
        lane = (_hashable(event.get("output_index", 0)), kind, *(_hashable(event.get(place)) for place in places[1:]))
        yield Delta(lane, ("delta",), text, kind in ("response.output_text.delta", "response.refusal.delta"))


def _of_messages(event: Mapping[str, Any], kind: str) -> Iterator[Delta]:
    member = "delta" if kind == "content_block_delta" else "content_block"
    part = event.get(member)
    if isinstance(part, dict):
        for name in ("text", "thinking", "partial_json"):
            if isinstance(text := part.get(name), str):
                yield Delta((_hashable(event.get("index", 0)), name), (member, name), text, name == "text")


def _of_gemini(event: Mapping[str, Any]) -> Iterator[Delta]:
    for number, candidate in _objects(event["candidates"]):
        content = candidate.get("content")
        for part, each in _objects(content.get("parts") if isinstance(content, dict) else None):
            if isinstance(text := each.get("text"), str):
                thought = bool(each.get("thought"))
                lane = (_hashable(candidate.get("index", 0)), "thought" if thought else "text")
                yield Delta(lane, ("candidates", number, "content", "parts", part, "text"), text, not thought)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else None
