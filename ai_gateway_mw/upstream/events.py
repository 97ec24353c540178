"""Event streams: watched as their bytes pass on, unchanged.

Where events end, so that nothing lands inside one; whether content has come yet; how the stream ended, and the event
that ends one which cannot be completed. What events mean is in dialects.py, what they cost in usage.py.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ai_gateway_mw.errors import GatewayError, StreamInterrupted, UpstreamError, UpstreamTimeout
from ai_gateway_mw.replies import error_event
from ai_gateway_mw.upstream.dialects import HEAD, Dialect, Event, error_in, events_of

_MAX_HELD = 1024 * 1024
_KEPT = 16 * 1024
_PIECES_KEPT = 4  # the last content, the usage, the terminator, and what comes between them
_ENDS = (b"\n\n", b"\r\n\r\n")
_LOOKS = 256  # at the beginning of an array, for content
_BETWEEN = re.compile(r"[\[, \r\n\t]*")
_decoded = json.JSONDecoder().raw_decode


class Ending(NamedTuple):
    """How a stream ended.

    `last` is what is still to be sent: its rest, or the event that says that there is none. `interrupted`: something is
    missing. `error` is the body of the error by which the upstream itself ended it.
    """

    last: bytes
    interrupted: bool = False
    error: bytes | None = None


class EventWatcher:
    """Watches one event stream: `feed` it what arrives, send what it gives back, and end with what `ending` gives.

    `begun` becomes true with the first event that brings content (or says that there will be none), `error` is the body
    of an error event that came before it. `first` is the data of the first event, `recent` holds the last of what was
    sent on, for those who read usage.
    """

    __slots__ = ("_held", "_looking", "_open", "begun", "dialect", "error", "first", "recent")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.begun = False
        self.error: bytes | None = None
        self.first = b""
        self.recent: deque[bytes] = deque(maxlen=_PIECES_KEPT)
        self._held = bytearray()  # an event whose end has not come
        self._open = b""  # how an event begins of which a part was sent on already, for its length
        self._looking = True

    def feed(self, chunk: bytes) -> bytes:
        """What may be sent on now: whole events, and of one that is too long to be held, parts. May be empty."""
        if self._held or self._open or not chunk.endswith(_ENDS):
            opened = self._open
            chunk = self._whole_events(chunk)
            if not chunk:
                return chunk
            if opened:  # its beginning says what it is, its end has the usage
                self.recent.append(opened + chunk[-_KEPT:])
                return chunk
        self.recent.append(chunk if len(chunk) <= _KEPT else _last_events(chunk))
        if self._looking:
            self._look(chunk)
        return chunk

    @property
    def unsent(self) -> int:
        """How many bytes were fed and not given back."""
        return len(self._held)

    def ending(self, failure: GatewayError | None = None) -> Ending:
        """What is left to do when the stream has ended, or broken off with a `failure`."""
        events = self.recent_events()
        if failure is None:  # the last event may lack its blank line, and nothing else
            events += [event for event in events_of(bytes(self._held)) if event.is_whole]
        error = next((found for event in events if (found := error_in(event)) is not None), None)
        complete = error is not None or any(map(self.dialect.ends, events))
        if not self._open and (complete or (failure is None and self.dialect.may_end(events))):
            return Ending(bytes(self._held) if failure is None else b"", error=error)
        last = error_event(_shown(failure), self.dialect.format, self.dialect.surface, _next_number(events))
        return Ending((b"\n\n" if self._open else b"") + last, interrupted=True)

    def recent_events(self) -> list[Event]:
        """The last events that were sent on."""
        return list(events_of(b"\n\n".join(self.recent)))

    def _look(self, events: bytes) -> None:
        """Look for the first content in events that were sent on, or for an error in its place."""
        for event in events_of(events):
            self.first = self.first or event.data[:_KEPT]
            error = error_in(event)
            if error is not None or self.dialect.begins(event):
                self.error, self.begun, self._looking = error, error is None, False
                return

    def _whole_events(self, chunk: bytes) -> bytes:
        """What was held with the chunk after it, up to the end of the last event that is complete."""
        held = self._held
        searched = max(0, len(held) - 2)  # what is held has no blank line that is complete
        held += chunk
        end = _end_of_last_event(held, searched, len(held))
        if end:
            self._open = b""
        if len(held) - end > _MAX_HELD:
            self._open = self._open or bytes(held[end : end + HEAD])
            end = len(held)
        whole = bytes(held[:end])
        del held[:end]
        return whole


class ArrayWatcher:
    """The same for a stream that is one JSON array, as Gemini sends without `alt=sse`.

    An array that breaks off is no JSON and cannot pass for a whole one; there is no event that could say so. `last` of
    its `ending` is empty, and what is interrupted must not be ended cleanly.
    """

    __slots__ = ("_depth", "_escape", "_in_text", "_looks", "_seen", "begun", "dialect", "error", "recent")
    unsent = 0  # all that it is fed goes on at once

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.begun = False
        self.error: bytes | None = None
        self.recent: deque[bytes] = deque([b""], maxlen=1)
        self._seen = b""  # what of it is no complete element, as long as there was no content
        self._looks = 0
        self._depth = 0  # of brackets; outside of texts, whose escapes may be cut in two as well
        self._in_text = False
        self._escape = b""

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, which may be sent on at once."""
        self.recent.append((self.recent[0] + chunk)[-_KEPT:])
        self._count(chunk)
        if not self.begun and self.error is None:
            self._look(chunk)
        return chunk

    def ending(self, failure: GatewayError | None = None) -> Ending:
        """How the array ended; an incomplete one gets nothing that could complete it."""
        complete = failure is None and self._depth == 0 and any(self.recent)
        return Ending(b"", interrupted=not complete, error=self.error)

    def _count(self, chunk: bytes) -> None:
        """Follow the brackets: an array is complete when the first one is closed."""
        bare = (self._escape + chunk).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._escape = b"\\" if bare.endswith(b"\\") else b""
        pieces = bare.split(b'"')
        outside = b"".join(pieces[self._in_text :: 2])
        self._in_text ^= len(pieces) % 2 == 0
        opened = outside.count(b"{") + outside.count(b"[")
        self._depth += opened - outside.count(b"}") - outside.count(b"]")

    def _look(self, chunk: bytes) -> None:
        """Look for content in the elements that are complete, each of them once. Who has seen much, or looked often, in
        vain holds nothing back any longer."""
        self._seen += chunk
        if b"}" not in chunk and len(self._seen) <= 4 * _KEPT:
            return
        self._looks += 1
        elements, self._seen = _elements(self._seen)
        for event in elements:
            self.error = error_in(event)
            self.begun = self.error is None and self.dialect.begins(event)
            if self.begun or self.error is not None:
                break
        else:
            self.begun = len(self._seen) > 4 * _KEPT or self._looks > _LOOKS
        if self.begun or self.error is not None:
            self._seen = b""


def _elements(array: bytes) -> tuple[list[Event], bytes]:
    """The elements of a stretch of a JSON array, as far as they are complete, and what is left."""
    text, at = array.decode("utf-8", "surrogateescape"), 0
    elements: list[Event] = []
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well
        try:
            _, end = _decoded(text, at)
        except (ValueError, RecursionError):
            return elements, text[at:].encode("utf-8", "surrogateescape")
        elements.append(Event("", text[at:end].encode("utf-8", "surrogateescape")))
        at = end


def _end_of_last_event(data: bytes | bytearray, start: int, stop: int) -> int:
    """Where the last blank line in a stretch ends, 0 without one."""
    # WHATWG HTML 9.2.5: a line ends with CRLF, LF or CR. Not found is -1, which then counts as 1.
    end = data.rfind(b"\n\n", start, stop) + 2
    if data.find(b"\r", start, stop) >= 0:
        end = max(end, data.rfind(b"\r\r", start, stop) + 2)
        # The LF that belongs to the CR of an empty line may still be to come: there must be one byte more.
        if (found := data.rfind(b"\n\r", start, max(start, stop - 1))) >= 0:
            end = max(end, found + (3 if data[found + 2 : found + 3] == b"\n" else 2))
    return end if end > 1 else 0


def _last_events(events: bytes) -> bytes:
    """The last events, from the one that the last 16 KiB begin in; of one that is very long, its beginning and end."""
    last = events[_end_of_last_event(events, 0, len(events) - _KEPT) :]
    return last if len(last) <= 4 * _KEPT else last[:HEAD] + last[-_KEPT:]


def _shown(failure: GatewayError | None) -> GatewayError:
    """The error that a client is told of: a time that ran out or an overload as such, all else as an interruption."""
    if failure is None or (isinstance(failure, UpstreamError) and not isinstance(failure, UpstreamTimeout)):
        return StreamInterrupted("The upstream stream was interrupted.")
    return failure


def _next_number(events: Sequence[Event]) -> int:
    """The sequence number after that of the last event that has one."""
    for event in reversed(events):
        number = event.content.get("sequence_number")
        if isinstance(number, int):
            return number + 1
    return 0
