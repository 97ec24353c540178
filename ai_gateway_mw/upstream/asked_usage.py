"""Usage that is asked for in a client's stead: a stream of chat completions tells what it used only if it is told to.

Without that, a key's budget could not be held: images, tools and thoughts do not show in the text. What the provider
adds because we asked is taken out again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context
from ai_gateway_mw.form import FormBody
from ai_gateway_mw.upstream.candidate import Candidate

MEMBER: Final = "stream_options"
_INCLUDE: Final = "include_usage"
_PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')


def asks_for_usage(ctx: Context, payload: JSONBody | FormBody, candidate: Candidate) -> bool:
    """Whether a stream is asked to tell its usage although its client does not: under a key with limits of use, where
    the candidate takes the member."""
    if payload.get("stream") is not True:
        return False
    account, route = ctx.account, ctx.route
    if account is None or route is None or not account.key.limits.of_use or route.path not in _PATHS:
        return False
    if not candidate.takes(MEMBER):
        return False
    given = payload.get(MEMBER)
    return given is None or (isinstance(given, dict) and given.get(_INCLUDE) is not True)


def asking(given: Any) -> dict[str, Any]:
    """The member that asks, with what the client has put there."""
    return {**(given or {}), _INCLUDE: True}


def without_usage(events: bytes) -> bytes:
    """Whole events, without the one that holds nothing but the usage."""
    if b'"usage"' not in events or not _NO_CHOICES.search(events):
        return events
    return b"".join(event for event in _events(events) if not _is_usage(event))


def _events(events: bytes) -> Iterator[bytes]:
    """Each with the blank line that ends it."""
    start = 0
    for end in _BLANK_LINE.finditer(events):
        yield events[start : end.end()]
        start = end.end()
    yield events[start:]


def _is_usage(event: bytes) -> bool:
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
