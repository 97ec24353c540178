"""Replacements across messages: a text that comes in pieces is matched as if it were in one.

Messages wait, in their order, as long as the end of their text may yet become a match; then they go on as they came,
or with their text changed: what takes the place of a match stands where the match began.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ai_gateway_mw.streams.deltas import Closed, Delta, Lane, closed_by, deltas
from ai_gateway_mw.streams.message import EventMessage
from ai_gateway_mw.texts import Replacer, edited_strings, replaced

_CONTEXT: Final = 4  # bytes before what is looked at: a `\b` asks for a character
_MOST_WAITING: Final = 4096
_MOST_BYTES: Final = 1024 * 1024
_MOST_MATCHES: Final = 10_000  # in one message

Noted = tuple[Replacer, bytes]


class _Segment:
    """A piece of text of one message, and what it has become so far."""

    __slots__ = ("made", "path", "replacers", "text")

    def __init__(self, delta: Delta, replacers: Sequence[Replacer]) -> None:
        self.path = delta.path
        self.text = _encoded(delta.text)
        self.replacers = replacers
        self.made: list[bytes] = []


_Piece = tuple[_Segment, bytes]


class _Stage:
    """One replacer at work on one text."""

    __slots__ = ("_before", "_noted", "_replacer", "held")

    def __init__(self, replacer: Replacer, noted: list[Noted]) -> None:
        self._replacer = replacer
        self._noted = noted
        self._before = b""
        self.held: list[_Piece] = []

    def feed(self, pieces: list[_Piece], *, last: bool = False) -> list[_Piece]:
        """What is settled, now that these pieces follow; with `last`, nothing else does."""
        made: list[_Piece] = []
        for segment, text in pieces:
            if self._replacer in segment.replacers:
                self.held.append((segment, text))
            else:  # a rule did not want it for this message: no match goes across it
                made += self._settled(last=True)
                made.append((segment, text))
                self._before = text[-_CONTEXT:]
        return made + self._settled(last=last)

    def _settled(self, *, last: bool) -> list[_Piece]:
        if not self.held:
            return []
        before = self._before
        data = before + b"".join([text for _, text in self.held])
        edits, end = self._edits(data, len(before), last=last)
        if edits or len(before) < end < len(data):
            made = list(_cut(self.held, edits, len(before), end))
            self.held = list(_left(self.held, len(before), end))
        elif end == len(data):  # as nearly always: all of it is settled, or nothing is
            made, self.held = self.held, []
        else:
            return []
        self._before = data[max(0, end - _CONTEXT) : end]
        return made

    def _edits(self, data: bytes, at: int, *, last: bool) -> tuple[list[tuple[int, int, bytes]], int]:
        """What is to be replaced (from, to, by what), and up to where all is settled."""
        edits: list[tuple[int, int, bytes]] = []
        while True:
            match = next(
                (each for each in self._replacer.program.finditer(data, at) if each.end() > each.start()), None
            )
            held = len(data) if last else self._may_begin(data, at)
            excess = len(data) - held - self._replacer.reach
            if match is None or not (last or match.start() < held or excess > 0):
                return edits, held + max(0, excess) if not last else len(data)
            made = self._replacer.expand(match)
            if made is not None:
                self._noted.append((self._replacer, match.group()))
                edits.append((match.start(), match.end(), made))
            at = match.end()

    def _may_begin(self, data: bytes, at: int) -> int:
        begun = self._replacer.begun
        if begun is None:
            return max(at, len(data) - self._replacer.reach)
        return int(begun.search(data, at).start())


def _cut(pieces: list[_Piece], edits: list[tuple[int, int, bytes]], start: int, end: int) -> Iterator[_Piece]:
    """The pieces up to `end` with the edits made; each piece of text is told once, if only by nothing."""
    for segment, text in pieces:
        at, stop = start, start + len(text)
        if start > end or (start == end and text):
            return
        made = []
        for begin, until, by in edits:
            if until <= at or begin >= stop:
                continue
            made.append(text[at - start : max(0, begin - start)])
            if begin >= start:
                made.append(by)
            at = min(until, stop)
        made.append(text[at - start : max(at, min(stop, end)) - start])
        yield segment, b"".join(made)
        start = stop


def _left(pieces: list[_Piece], start: int, end: int) -> Iterator[_Piece]:
    for segment, text in pieces:
        stop = start + len(text)
        if stop > end:
            yield segment, text[max(0, end - start) :]
        start = stop


class _Waiting:
    """A message on its way, with the texts in it that are looked at."""

    __slots__ = ("message", "segments")

    def __init__(self, message: EventMessage, segments: list[_Segment]) -> None:
        self.message = message
        self.segments = segments


class Windows:
    """The messages of one stream that wait. `noted` is what was replaced, until somebody takes it."""

    def __init__(self) -> None:
        self.noted: list[Noted] = []
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._lanes: dict[Lane, dict[Replacer, _Stage]] = {}

    def take(self, message: EventMessage, replacers: Sequence[Replacer]) -> list[bytes]:
        """What may go on, now that this message follows; `replacers` are those that its rules want."""
        if not self._waiting and not replacers:
            return [message.bytes]
        if not message.has_data:
            return [message.bytes]  # comments are in no order with events
        event = message.json
        found = deltas(event) if replacers or self._lanes else []
        closed = closed_by(event)
        if replacers and not found:
            self.noted += edited_message(message, replacers)
        segments = [_Segment(delta, replacers) for delta in found]
        self._waiting.append(_Waiting(message, segments))
        self._bytes += len(message.raw)
        for delta, segment in zip(found, segments, strict=True):
            self._end(lambda lane, now=delta.lane: lane[0] == now[0] and lane[1] != now[1])
            self._feed(delta.lane, segment)
        self._close(closed)
        if len(self._waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES:
            self._close(None)
        return self._released()

    def flush(self) -> list[bytes]:
        """All the rest: the stream is at its end."""
        self._close(None)
        return self._released()

    def _feed(self, lane: Lane, segment: _Segment) -> None:
        stages = self._lanes.setdefault(lane, {})
        for replacer in segment.replacers:
            if replacer not in stages:
                stages[replacer] = _Stage(replacer, self.noted)
        pieces = [(segment, segment.text)]
        for stage in stages.values():
            pieces = stage.feed(pieces)
        _made(pieces)

    def _close(self, closed: Closed) -> None:
        if self._lanes and (closed is None or closed):
            self._end(lambda lane: closed is None or lane[0] in closed)

    def _end(self, ends: Any) -> None:
        for lane in [lane for lane in self._lanes if ends(lane)]:
            pieces: list[_Piece] = []
            for stage in self._lanes.pop(lane).values():
                pieces = stage.feed(pieces, last=True)
            _made(pieces)

    def _released(self) -> list[bytes]:
        held = {
            id(segment) for stages in self._lanes.values() for stage in stages.values() for segment, _ in stage.held
        }
        ready = []
        while self._waiting and not any(id(segment) in held for segment in self._waiting[0].segments):
            waiting = self._waiting.popleft()
            self._bytes -= len(waiting.message.raw)
            _write(waiting)
            ready.append(waiting.message.bytes)
        return ready


def _made(pieces: list[_Piece]) -> None:
    for segment, text in pieces:
        segment.made.append(text)


def _write(waiting: _Waiting) -> None:
    changed = [each for each in waiting.segments if b"".join(each.made) != each.text]
    if not changed:
        return
    event = json.loads(waiting.message.get("data"))  # a copy: others may hold the one that was read
    for segment in changed:
        place: Any = event
        for step in segment.path[:-1]:
            place = place[step]
        place[segment.path[-1]] = b"".join(segment.made).decode("utf-8", "surrogatepass")
        if segment.path[0] == "choices" and event["choices"][segment.path[1]].get("logprobs"):
            event["choices"][segment.path[1]]["logprobs"] = None  # they say the same text once more, token by token
    if event.get("logprobs"):
        event["logprobs"] = []
    waiting.message.put("data", _compact(event))


def _compact(event: Any) -> str:
    made = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return made if made.isprintable() or _is_encodable(made) else json.dumps(event, separators=(",", ":"))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def edited_message(message: EventMessage, replacers: Sequence[Replacer]) -> list[Noted]:
    """Change a message that brings no piece of a text: all strings of its JSON, or its data as it is."""
    noted: list[Noted] = []

    def edit(text: bytes) -> bytes:
        for replacer in replacers:
            text, first = replaced(text, replacer, _MOST_MATCHES)
            if first is not None:
                noted.append((replacer, first))
        return text

    data = message.data
    made = edited_strings(data, edit) if message.json is not None else edit(data)
    if made is not data:
        message.put("data", made.decode("utf-8", "surrogateescape"))
    return noted
