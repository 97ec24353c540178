"""Every fault of an upstream that the failover matrix knows (`docs/failover.md`), and what must follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, Literal

from tests.fake_upstream import Answer, Received, Reply, close, error, hang, not_http, ok, plain
from tests.fake_upstream import anthropic_bodies as anthropic
from tests.fake_upstream import gemini_bodies as gemini
from tests.fake_upstream import openai_bodies as openai
from tests.fake_upstream.answers import dialect

_LONG = " word" * 60_000  # beyond what is held back before an answer begins


class Then(Enum):
    """What must follow."""

    RETURN = "the client gets these bytes, and nobody else is asked"
    KEY = "the next key of the same provider"
    PROVIDER = "the other provider"
    OTHER = "another key or provider"
    BREAKS = "an error event or an aborted transfer, and nobody else is asked"


Make = Callable[[str], Answer]
Mode = Literal["", "stream", "plain"]
_Events = list[bytes]


@dataclass(frozen=True, slots=True)
class Fault:
    """`row`: that of the matrix; `make`: the faulty answer, which has a given text where it has any text; `only`: for
    streams, or for what is none; `door`: the fault is in the way to the provider, which never sees the request."""

    name: str
    row: str
    then: Then
    make: Make
    only: Mode = ""
    slow: bool = False
    door: str = ""


def _error(status: int, phrase: str = "Fault", **rest: Any) -> Make:
    """An error whose message holds the text, after the words that say what it means."""
    return lambda text: error(status, f"{phrase} ({text})", **rest)


def _ok(**rest: Any) -> Make:
    return lambda text: ok(text, **rest)


def _stream(**rest: Any) -> Make:
    """A stream of many words."""
    return lambda text: ok(f"{text} and more words after it to be cut", **rest)


def _as_is(answer: Answer) -> Make:
    return lambda text: answer


def _altered(alter: Callable[[_Events], _Events]) -> Make:
    """A stream with other events."""

    def answer(text: str, received: Received) -> Reply:
        reply = ok(f"{text} and more words after it")(received)
        return replace(reply, pieces=tuple(alter(list(reply.pieces))))

    return lambda text: partial(answer, text)


def _first_error(status: int, kind: str) -> Make:
    """A stream that holds an error, and nothing else."""

    def answer(received: Received) -> Reply:
        bodies: Any = {"anthropic": anthropic, "gemini": gemini}.get(dialect(received), openai)
        return replace(ok()(received), pieces=(bodies.error_event(status, "An error comes first.", kind),))

    return _as_is(answer)


def _malformed(events: _Events) -> _Events:
    return [*events[:5], b"data: {not json\n\n", b": a comment\n\n", *events[5:]]


def _without_its_end(events: _Events) -> _Events:
    return events[:-2]


def _ends_early(events: _Events) -> _Events:
    return events[:5]


_ERROR_OBJECT = b'{"error": {"message": "It broke.", "type": "server_error"}}'


_R, _K, _P, _O, _B = Then.RETURN, Then.KEY, Then.PROVIDER, Then.OTHER, Then.BREAKS
_NOTHING = _as_is(close())

FAULTS: tuple[Fault, ...] = (
    Fault("connection-refused", "1", _P, _NOTHING, door="refused"),
    Fault("connect-timeout", "2", _P, _NOTHING, door="silent", slow=True),
    Fault("no-such-host", "3", _P, _NOTHING, door="nowhere", slow=True),
    Fault("no-tls-there", "4", _P, _NOTHING, door="plain"),
    Fault("no-head-in-time", "6", _K, _as_is(hang()), slow=True),
    Fault("closed-before-head", "7", _K, _as_is(close())),
    Fault("reset-before-head", "7", _K, _as_is(close(reset=True))),
    Fault("closed-within-head", "7", _K, _as_is(not_http(b"HTTP/1.1 200 OK\r\nContent-Type: te"))),
    Fault("no-http", "7", _K, _as_is(not_http())),
    Fault("invalid-request", "9", _R, _error(400, kind="invalid_request_error", code="invalid_value")),
    Fault("context-length", "9", _R, _error(400, code="context_length_exceeded")),
    Fault("content-filter", "9", _R, _error(400, code="content_filter")),
    Fault("usage-limits", "10", _K, _error(400, "You have reached your specified API usage limits.")),
    Fault("credit-balance", "10", _K, _error(400, "Your credit balance is too low to access the API.")),
    Fault("organization-on-hold", "10", _K, _error(400, kind="organization_on_hold")),
    Fault("key-rejected", "11", _K, _error(401)),
    Fault("payment-required", "13", _K, _error(402)),
    Fault("billing-error", "13", _K, _error(403, kind="billing_error", code="billing_error")),
    Fault("key-without-right", "14", _K, _error(403, kind="permission_error", code="insufficient_permissions")),
    Fault("region", "15", _P, _error(403, kind="unsupported_region", code="unsupported_country_region_territory")),
    Fault("moderation", "16", _R, _error(403, kind="content_policy_violation", code="content_policy_violation")),
    Fault("model-not-found", "17", _O, _error(404, "model: no such model", code="model_not_found")),
    Fault("resource-not-found", "18", _R, _error(404, "No such file", code="resource_missing")),
    *(Fault(f"status-{status}", "19", _R, _error(status)) for status in (405, 406, 410, 411, 415)),
    *(Fault(f"status-{status}", "19", _P, _error(status)) for status in (421, 501)),
    Fault("request-timeout", "20", _K, _error(408)),
    Fault("conflict", "21", _R, _error(409)),
    Fault("too-large", "22", _R, _error(413)),
    Fault("unprocessable", "23", _R, _error(422)),
    *(Fault(f"status-{status}", "24", _K, _error(status)) for status in (424, 425)),
    Fault("rate-limit-retry-after", "25", _K, _error(429, retry_after=2)),
    Fault("rate-limit", "26", _K, _error(429)),
    Fault("quota", "27", _K, _error(429, kind="insufficient_quota", code="insufficient_quota")),
    Fault(
        "spend-limit", "27", _K, _error(429, kind="enforced_spend_limit_reached", code="project_spend_limit_exceeded")
    ),
    Fault("slow-down", "28", _P, _error(429, kind="slow_down", code="slow_down")),
    Fault("server-error", "29", _K, _error(500)),
    *(Fault(f"status-{status}", "30", _P, _error(status)) for status in (502, 520, 521, 522, 523, 524)),
    Fault("unavailable", "31", _P, _error(503)),
    Fault("unavailable-retry-after", "31", _P, _error(503, retry_after=1)),
    Fault("server-overloaded", "31", _P, _error(503, kind="server_is_overloaded", code="server_is_overloaded")),
    Fault("gateway-timeout", "32", _P, _error(504)),
    Fault("overloaded", "33", _P, _error(529)),
    *(Fault(f"status-{status}", "34", _P, _error(status)) for status in (507, 599)),
    Fault("informational", "35", _R, _ok(informational=(100, 103))),
    Fault("switching-protocols", "36", _P, _as_is(not_http(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"))),
    *(Fault(f"status-{status}", "36", _P, _as_is(plain(status=status))) for status in (206, 301, 307, 308)),
    Fault("error-under-200", "37", _K, _as_is(plain(_ERROR_OBJECT, content_type="application/json")), only="plain"),
    Fault("no-json", "38b", _R, _as_is(plain(b"<html>?</html>", content_type="application/json")), only="plain"),
    Fault("empty", "38b", _R, _as_is(plain(content_type="application/json")), only="plain"),
    Fault("short-body", "39", _K, _ok(declared_length=100_000), only="plain"),
    Fault("cut-in-long-body", "40", _B, lambda text: ok(text + _LONG, cut_at=200_000), only="plain"),
    Fault("first-event-error", "41", _O, _first_error(500, "server_error"), only="stream"),
    Fault("first-event-rate-limit", "41", _K, _first_error(429, "rate_limit_error"), only="stream"),
    Fault("first-event-overloaded", "41", _P, _first_error(529, "overloaded_error"), only="stream"),
    Fault("cut-before-events", "42", _K, _stream(cut_after=0), only="stream"),
    Fault("reset-before-events", "42", _K, _stream(cut_after=0, reset=True), only="stream"),
    Fault("cut-before-content", "42", _K, _stream(cut_after=1), only="stream"),
    Fault("stall-before-events", "42", _K, _stream(stall_after=0), only="stream", slow=True),
    Fault("stall-before-content", "42", _K, _stream(stall_after=1), only="stream", slow=True),
    Fault("cut-after-content", "43", _B, _stream(cut_after=5), only="stream"),
    Fault("reset-after-content", "43", _B, _stream(cut_after=5, reset=True), only="stream"),
    Fault("stall-after-content", "44", _B, _stream(stall_after=5), only="stream", slow=True),
    Fault("no-terminator", "45", _B, _stream(terminator=False), only="stream"),
    Fault("no-reason-to-stop", "45", _B, _altered(_without_its_end), only="stream"),
    Fault("ends-early", "45", _B, _altered(_ends_early), only="stream"),
    Fault("error-event-after-content", "46", _R, _stream(error_after=5), only="stream"),
    Fault("malformed-event", "47", _R, _altered(_malformed), only="stream"),
    Fault("gzip", "48", _R, _ok(gzip=True)),
    Fault("drip", "49", _R, _ok(gap=0.02)),
    Fault("surplus", "50", _R, _ok(surplus=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")),
)
