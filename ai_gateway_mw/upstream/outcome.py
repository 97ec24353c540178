"""What an upstream's status or failure means: for the next attempt, for the key's record, for the caller."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple

from ai_gateway_mw.headers import Field
from ai_gateway_mw.state import Result


class Next(Enum):
    """What follows an outcome."""

    ANSWER = "the client gets this response, as it is"
    ANY_CANDIDATE = "the next candidate, whichever it is"
    OTHER_PROVIDER = "candidates of other providers, then this one's other keys"
    OTHER_HOST = "candidates of other providers only: this one's other keys meet the same closed door"
    STOP = "nothing: nobody is left to answer"


class Outcome(Enum):
    """How an attempt ended. `result` is what the key's record counts, None where the key is not at fault."""

    ACCEPTED = "accepted", Next.ANSWER, Result.OK
    CLIENT_FAULT = "client_fault", Next.ANSWER, Result.CLIENT_FAULT
    RATE_LIMITED = "rate_limited", Next.ANY_CANDIDATE, Result.RATE_LIMITED
    QUOTA_EXHAUSTED = "quota_exhausted", Next.ANY_CANDIDATE, Result.QUOTA_EXHAUSTED
    KEY_REJECTED = "key_rejected", Next.ANY_CANDIDATE, Result.KEY_REJECTED
    MODEL_UNAVAILABLE = "model_unavailable", Next.ANY_CANDIDATE, None
    REGION_REFUSED = "region_refused", Next.OTHER_PROVIDER, None  # where we call from is not the key's fault
    TIMED_OUT = "timed_out", Next.ANY_CANDIDATE, Result.TIMEOUT
    INTERRUPTED = "interrupted", Next.ANY_CANDIDATE, Result.SERVER_ERROR
    ERRED = "erred", Next.ANY_CANDIDATE, Result.SERVER_ERROR
    FAILED = "failed", Next.OTHER_PROVIDER, Result.SERVER_ERROR
    UNREACHABLE = "unreachable", Next.OTHER_HOST, Result.UNREACHABLE
    OVERLOADED = "overloaded", Next.OTHER_HOST, None  # our own connections to that host are all in use
    CLIENT_GONE = "client_gone", Next.STOP, None

    def __new__(cls, value: str, *_: Any) -> Outcome:
        member = object.__new__(cls)
        member._value_ = value
        return member

    def __init__(self, _: str, then: Next, result: Result | None) -> None:
        self.then = then
        self.result = result


_BY_STATUS = {
    401: Outcome.KEY_REJECTED,
    402: Outcome.QUOTA_EXHAUSTED,
    403: Outcome.KEY_REJECTED,
    408: Outcome.TIMED_OUT,
    421: Outcome.FAILED,
    424: Outcome.ERRED,
    425: Outcome.ERRED,
    429: Outcome.RATE_LIMITED,
    500: Outcome.ERRED,
    501: Outcome.FAILED,
    504: Outcome.TIMED_OUT,
}
# Codes and types in error bodies that say more than the status: OpenAI's, Anthropic's and Google's.
_QUOTA_WORDS = frozenset(
    ["insufficient_quota", "billing_error", "credit_balance_exhausted", "billing_hard_limit_reached"]
    + ["organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded"]
    + ["enforced_spend_limit_reached", "contract_spend_limit_reached", "organization_on_hold"]
)
_REGION_WORDS = frozenset(["unsupported_country_region_territory", "unsupported_country", "unsupported_region"])
# Messages, by their first words: further on, a message may repeat what the client wrote.
_QUOTA_PHRASES = ("your credit balance is too low", "you have reached your specified api usage limits")
_KEY_PHRASES = ("api key not valid",)
_REGION_PHRASES = ("country, region, or territory not supported", "user location is not supported")
# WHATWG HTML 9.2.5: a line ends with CRLF, LF or CR; a blank line ends an event.
BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_ERROR_OBJECT = re.compile(rb'\{\s*"error"\s*:\s*[^\sn]')  # `"error": null` is none
_MODEL_WORDS = frozenset(["model_not_found", "model_not_available", "deployment_not_found", "deploymentnotfound"])


def outcome_of(status: int) -> Outcome:
    """What a status alone says."""
    if status in (200, 201, 202, 204):
        return Outcome.ACCEPTED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    # A redirect is not followed, and tells of a wrong base_url: another provider may still serve.
    return Outcome.CLIENT_FAULT if 400 <= status < 500 else Outcome.FAILED


def outcome_of_error(status: int, body: bytes, *, of_model: bool = True) -> Outcome:
    """What an error status says together with its body; `of_model` is whether the request was for a model at all."""
    outcome = outcome_of(status)
    if outcome is Outcome.FAILED or status not in (400, 403, 404, 429):
        return outcome
    error = _error_of(body)
    if error.says(_QUOTA_WORDS, _QUOTA_PHRASES):
        return Outcome.QUOTA_EXHAUSTED
    if of_model and (
        (status in (403, 404) and error.words & _MODEL_WORDS) or (status == 404 and "model" in error.message)
    ):
        return Outcome.MODEL_UNAVAILABLE
    if status in (400, 403) and error.says(_REGION_WORDS, _REGION_PHRASES):
        return Outcome.REGION_REFUSED
    if status == 403 and error.words & {"content_policy_violation", "moderation", "content_filter"}:
        return Outcome.CLIENT_FAULT
    if error.says({"invalid_api_key", "api_key_invalid"} if status == 400 else set(), _KEY_PHRASES):
        return Outcome.KEY_REJECTED
    return outcome


class _Error(NamedTuple):
    """The codes of an error body and its message, in lower case; `about` is the member that it complains of."""

    words: Set[str] = frozenset()
    message: str = ""
    about: Any = None

    def says(self, words: Set[str], phrases: tuple[str, ...]) -> bool:
        """One of the codes, or a message that begins like this and is about no member of the request."""
        return bool(self.words & words) or (self.about is None and self.message.startswith(phrases))


def _error_of(body: bytes) -> _Error:
    """What an error body says; nothing where it has another shape."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return _Error()
    if isinstance(content, list) and content:  # Google's OpenAI-compatible API wraps its error in a list
        content = content[0]
    error = content.get("error") if isinstance(content, dict) else None
    if error is None and isinstance(content, dict) and content.get("type") == "error":
        error = content  # the error event of OpenAI's responses has no object of its own
    if not isinstance(error, dict):
        return _Error(message=str(error or "").lower())
    words = {str(error[name]).lower() for name in ("code", "type", "status", "reason") if error.get(name) is not None}
    details = error.get("details")
    if isinstance(details, list):
        words |= {str(detail.get("reason", "")).lower() for detail in details if isinstance(detail, dict)}
    return _Error(words, str(error.get("message", "")).lower(), error.get("param"))


def first_event(data: bytes) -> bytes | None:
    """The first complete event of a stream that brings data, without its end, or None where there is none yet.

    Comments and pings keep a connection alive, and say nothing of what follows.
    """
    *complete, _ = BLANK_LINE.split(data)
    return next((event for event in complete if _brings_data(event)), None)


def _brings_data(event: bytes) -> bool:
    lines = event.splitlines()
    return any(line.startswith(b"data:") for line in lines) and b"ping" not in (
        line[6:].strip() for line in lines if line.startswith(b"event:")
    )


def error_of_first_event(data: bytes) -> int | None:
    """The status that the first event of a stream stands for where it is an error, else None."""
    lines = (first_event(data) or data).splitlines()
    named = next((line[6:].strip() for line in lines if line.startswith(b"event:")), b"")
    content = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
    if not (named == b"error" or _ERROR_OBJECT.match(content)):
        return None
    words = _error_of(content).words
    if words & {"rate_limit_error", "rate_limit_exceeded", "429", "resource_exhausted"}:
        return 429
    if words & _QUOTA_WORDS:
        return 402
    if words & {"authentication_error", "invalid_api_key", "401"}:
        return 401
    if words & {"invalid_request_error", "400", "invalid_argument"}:
        return 400
    return 529 if "overloaded_error" in words else 500


def retry_after(fields: Sequence[Field]) -> float | None:
    """Seconds to wait by `retry-after-ms` (OpenAI) or Retry-After (RFC 9110 10.2.3: seconds or a date)."""
    named = dict(reversed(fields))
    try:
        seconds = _seconds_to_wait(named)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if seconds is not None and math.isfinite(seconds) else None


def _seconds_to_wait(named: Mapping[bytes, bytes]) -> float | None:
    if b"retry-after-ms" in named:
        return float(named[b"retry-after-ms"]) / 1000
    text = named.get(b"retry-after", b"").decode("latin-1").strip()
    if not text:
        return None
    if text.replace(".", "", 1).isdigit():
        return float(text)
    return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
