"""The commit point: an answer is held back until its first content is there. Up to then another candidate can take
over, unseen by the client; from then on this answer is the answer."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, NamedTuple

from ai_gateway_mw.errors import UpstreamError, UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.providers import ApiSurface
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.dialects import GEMINI, dialect_of
from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher
from ai_gateway_mw.upstream.http1 import UpstreamResponse

_HELD_STREAM = 16 * 1024
_HELD_BODY = 64 * 1024  # of JSON, which nobody can use in part
_ERROR_BODY = 64 * 1024
_ERROR_BODY_TIME = 10.0
_ARRAY = ":streamGenerateContent"
_ERROR, _FAILED = b'"error"', b'"failed"'
_ERROR_WITHIN = 64  # bytes in which an error that came as an answer names itself: answers have other members first


class Patience(NamedTuple):
    """How long to wait for an answer: `first` is when its first bytes are due and `content` when its content is (both
    by `time.monotonic`), `gap` are the seconds between two pieces, and `hold` those for which pieces are held back."""

    first: float
    content: float
    gap: float
    hold: float = 10.0


def is_here(response: UpstreamResponse, route: Route | None, surface: ApiSurface) -> bool:
    """Whether nothing is to be waited for: a JSON answer has come as a whole, and surely is no error; or of a stream,
    the first content has.

    What it had to look at is in `held` from then on, or in the stream's watcher, whatever it says; `committed` goes on
    from there.
    """
    if route is None or response.encoded:
        return False
    response.watcher = watcher = _watcher(response, route, surface)
    if watcher is not None:
        if piece := response.take():
            response.held = watcher.feed(piece)
        return watcher.begun
    if not (response.complete and response.media_type.endswith(b"json")):
        return False
    response.held = response.take()
    return not _may_be_error(response.held, route)


async def committed(response: UpstreamResponse, route: Route, surface: ApiSurface, patience: Patience) -> bytes | None:
    """Hold an answer back until its content begins, or has been waited for long enough.

    Returns the error that came in its place, as the body of an error answer. Raises `UpstreamTimeout`, or
    `UpstreamInterrupted` where it ended before.
    """
    if response.encoded:
        await _hold(response, 1, patience)
        return None
    if response.watcher is None:
        response.watcher = _watcher(response, route, surface)
    if response.watcher is not None:
        return await _content(response, response.watcher, patience)
    if not response.media_type.endswith(b"json"):
        await _hold(response, 1, patience)
        return None
    await _hold(response, _HELD_BODY, patience)
    return response.held if response.complete and _is_error(response.held, route) else None


async def error_body(response: UpstreamResponse, patience: Patience) -> bytes:
    """As much of an error's body as comes: the status counts also where the rest does not."""
    now = time.monotonic()
    until = now + min(_ERROR_BODY_TIME, (patience.first - now) / 2)
    with suppress(UpstreamError):
        await _hold(response, _ERROR_BODY, Patience(until, until, patience.gap))
    return response.held


def _watcher(response: UpstreamResponse, route: Route, surface: ApiSurface) -> EventWatcher | ArrayWatcher | None:
    if response.media_type == b"text/event-stream":
        return EventWatcher(dialect_of(route, ends_with_done=surface.ends_with_done))
    if route.format == "gemini" and route.path.endswith(_ARRAY):  # a stream, although its type may be that of JSON
        return ArrayWatcher(GEMINI)
    return None


async def _hold(response: UpstreamResponse, limit: int, patience: Patience) -> None:
    """Read up to about `limit` bytes."""
    since = 0.0
    while len(response.held) < limit and (piece := await _next(response, patience, since)):
        response.held += piece
        since = since or time.monotonic()


async def _content(
    response: UpstreamResponse, watcher: EventWatcher | ArrayWatcher, patience: Patience
) -> bytes | None:
    """Read until there is content, or an error in its place."""
    since = 0.0
    while not watcher.begun and watcher.error is None:
        size = len(response.held) + watcher.unsent
        if size >= _HELD_STREAM:
            return None
        if size:
            since = since or time.monotonic()
        piece = await _next(response, patience, since)
        if not piece:
            return _ended(response, watcher, size)
        response.held += watcher.feed(piece)
    return watcher.error


def _ended(response: UpstreamResponse, watcher: EventWatcher | ArrayWatcher, size: int) -> bytes | None:
    """What a stream is that has brought no content, and no more in time: `size` bytes of it have come."""
    if not response.complete:
        return None
    ending = watcher.ending()
    if ending.interrupted or not size:
        raise UpstreamInterrupted("The provider ended its answer before there was any content.")
    return ending.error


async def _next(response: UpstreamResponse, patience: Patience, since: float) -> bytes:
    """The next piece, which may be held back as something is `since` that time. Empty at the end, and where that has
    lasted long enough. Raises `UpstreamTimeout`."""
    piece = response.take()
    if piece or response.complete:
        return piece
    now = time.monotonic()
    due = patience.first
    if since:
        due = min(now + patience.gap, since + patience.hold)
    if await response.news(min(due, patience.content) - now):
        return response.take() or await response.read()
    if since and time.monotonic() >= since + patience.hold:
        return b""
    raise UpstreamTimeout("The provider did not answer in time.")


def _may_be_error(body: bytes, route: Route) -> bool:
    """Blank lines come first where a provider has sent them to keep the connection (DeepSeek, OpenRouter). A response
    that failed is a whole one, with its status; within texts the quotes would be escaped."""
    if body.lstrip().find(_ERROR, 0, _ERROR_WITHIN) >= 0:
        return True
    return route.surface == "responses" and _FAILED in body


def _is_error(body: bytes, route: Route) -> bool:
    """Whether a whole answer is an error, in spite of its status."""
    if not _may_be_error(body, route):
        return False
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if isinstance(content, list) and content:  # Google wraps an error in a list
        content = content[0]
    return isinstance(content, dict) and bool(content.get("error"))
