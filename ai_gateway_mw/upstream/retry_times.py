"""When to come back: what a refusal says of it, in its fields or its body, as seconds from now."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from ai_gateway_mw.headers import Field
from ai_gateway_mw.state import Clock, seconds_until
from ai_gateway_mw.upstream.error_bodies import read_error

_LONGEST = 64  # characters of a time
# The field with the time of a reset, and the one that says how much is left until then.
_RESETS = (
    (b"x-ratelimit-reset-requests", b"x-ratelimit-remaining-requests"),  # OpenAI, Azure, Groq: spans, `1m6.5s`
    (b"x-ratelimit-reset-tokens", b"x-ratelimit-remaining-tokens"),
    (b"x-ratelimit-reset", b"x-ratelimit-remaining"),  # OpenRouter, Together: a span, or milliseconds since 1970
    (b"anthropic-ratelimit-requests-reset", b"anthropic-ratelimit-requests-remaining"),  # RFC 3339
    (b"anthropic-ratelimit-tokens-reset", b"anthropic-ratelimit-tokens-remaining"),
    (b"anthropic-ratelimit-input-tokens-reset", b"anthropic-ratelimit-input-tokens-remaining"),
    (b"anthropic-ratelimit-output-tokens-reset", b"anthropic-ratelimit-output-tokens-remaining"),
)


def retry_after(
    fields: Sequence[Field], body: bytes = b"", *, of_limit: bool = False, wall: Clock = time.time
) -> float | None:
    """Seconds to wait by `retry-after-ms` (OpenAI, Azure), Retry-After (RFC 9110 10.2.3: seconds or a date), Google's
    `retryDelay` in the body or, where a limit was met, its reset; None where nothing was said."""
    named = {name.lower(): value for name, value in reversed(fields)}
    wait = _number(named.get(b"retry-after-ms"), 1000)
    if wait is None:
        wait = _seconds_or_date(named.get(b"retry-after"), wall)
    if wait is None and b"retryDelay" in body:
        wait = seconds_until(read_error(body).retry, wall())
    if wait is None and of_limit:
        wait = _of_resets(named, wall)
    return None if wait is None else max(0.0, wait)


def _of_resets(named: Mapping[bytes, bytes], wall: Clock) -> float | None:
    """The longest reset of a limit of which nothing is left; where something is left of all, the soonest of them."""
    met: list[float] = []
    others: list[float] = []
    for reset, remaining in _RESETS:
        wait = seconds_until(named[reset].decode("latin-1").strip(), wall()) if reset in named else None
        if wait is not None:
            (met if _nothing(named.get(remaining, b"").strip()) else others).append(wait)
    return max(met) if met else min(others, default=None)


def _nothing(remaining: bytes) -> bool:
    """Zero, or what is below it: a limit that was passed by requests under way."""
    return remaining.startswith(b"-") or remaining == b"0"


def _seconds_or_date(value: bytes | None, wall: Clock) -> float | None:
    seconds = _number(value)
    if seconds is not None or not value or len(value) > _LONGEST:
        return seconds
    try:
        when = parsedate_to_datetime(value.decode("latin-1").strip())
        # RFC 9110 5.6.7: the form of asctime names no zone, and means UTC.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - wall()
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: bytes | None, divisor: int = 1) -> float | None:
    """A number that is neither below zero nor endless."""
    text = (value or b"").decode("latin-1").strip()
    if not text.replace(".", "", 1).isdecimal() or not text.isascii() or len(text) > _LONGEST:
        return None
    number = float(text) / divisor
    return number if math.isfinite(number) else None
