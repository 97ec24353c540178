"""What an upstream may answer: functions from a `Received` to a `Reply`, in the format of the path that was asked.

Keyword arguments that are not named here are fields of `Reply`: `ok(cut_after=3)`, `error(429, delay=0.1)`.
"""

from __future__ import annotations

import gzip as gziplib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.fake_upstream import anthropic_bodies, gemini_bodies, openai_bodies
from tests.fake_upstream.ledger import Received
from tests.fake_upstream.wire import Reply

Answer = Callable[[Received], Reply]
MODELS = ("fake-small", "fake-large")
TEXT = "Hello from the fake upstream."


def dialect(received: Received) -> str:
    path = received.path
    if "/messages" in path or "anthropic-version" in received.headers:
        return "anthropic"
    gemini = "/v1beta/models" in path or "x-goog-api-key" in received.headers or ":" in path.rpartition("/")[2]
    return "gemini" if gemini else "openai"


def ok(
    text: str = TEXT,
    *,
    chunks: int | None = None,
    headers: Mapping[str, str] | None = None,
    terminator: bool = True,
    error_after: int | None = None,
    gzip: bool = False,
    **wire: Any,
) -> Answer:
    """The answer that the path asks for, as a stream where the request wants one.

    The words of a stream are those of `text`, or `chunks` numbered ones. Without its `terminator` a stream ends cleanly
    but too early ([DONE], message_stop, ...). After `error_after` events the rest is one error event.
    """
    words = _words(text) if chunks is None else [f"word{number} " for number in range(chunks)]

    def answer(received: Received) -> Reply:
        if received.wants_stream:
            events = _events(received, words)
            events = events if terminator else events[:-1]
            if error_after is not None:
                events = [*events[:error_after], _error_event(received)]
            reply = _reply(200, events, "text/event-stream; charset=utf-8", headers, framing="chunked")
        else:
            reply = _reply(200, [_json(_body(received, words))], "application/json", headers)
        return replace(_gzipped(reply) if gzip else reply, **wire)

    return answer


def error(
    status: int,
    message: str = "",
    *,
    kind: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    **wire: Any,
) -> Answer:
    """An error in the dialect of the request; `kind` is its type, `code` its code where the dialect has one."""
    fields = dict(headers or {}) | ({} if retry_after is None else {"retry-after": f"{retry_after:g}"})
    text = message or f"The fake upstream answers {status}."

    def answer(received: Received) -> Reply:
        match dialect(received):
            case "anthropic":
                body = anthropic_bodies.error(status, text, kind)
            case "gemini":
                body = gemini_bodies.error(status, text, kind)
            case _:
                body = openai_bodies.error(status, text, kind, code)
        return replace(_reply(status, [_json(body)], "application/json", fields), **wire)

    return answer


def plain(
    body: bytes = b"",
    status: int = 200,
    *,
    content_type: str = "text/plain",
    headers: Mapping[str, str] | None = None,
    **wire: Any,
) -> Answer:
    """Exactly these bytes, whatever was asked."""
    return lambda received: replace(_reply(status, [body], content_type, headers), **wire)


def redirect(location: str = "http://127.0.0.1:9/elsewhere", status: int = 307) -> Answer:
    return plain(status=status, headers={"location": location})


def hang() -> Answer:
    """Nothing comes, and the connection stays."""
    return lambda received: Reply(no_head=True, stall_after=0)


def close(*, reset: bool = False) -> Answer:
    """The connection ends instead of an answer."""
    return lambda received: Reply(no_head=True, reset=reset)


def not_http(raw: bytes = b"SSH-2.0-OpenSSH_9.2\r\n\r\n") -> Answer:
    return lambda received: Reply(raw=raw)


def _reply(
    status: int, pieces: Sequence[bytes], content_type: str, headers: Mapping[str, str] | None, **wire: Any
) -> Reply:
    fields = (("Content-Type", content_type), *(headers or {}).items())
    return Reply(status=status, headers=fields, pieces=tuple(pieces), **wire)


def _gzipped(reply: Reply) -> Reply:
    packed = gziplib.compress(reply.body, mtime=0)
    return replace(reply, pieces=(packed,), headers=(*reply.headers, ("Content-Encoding", "gzip")))


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _words(text: str) -> list[str]:
    """The text in pieces that join to it again."""
    return [word if at == 0 else f" {word}" for at, word in enumerate(text.split(" "))]


def _body(received: Received, words: Sequence[str]) -> dict[str, Any]:
    path, model, asked = received.path, received.model, received.json
    match dialect(received), path.rpartition("/")[2].rpartition(":")[2]:
        case "anthropic", "messages":
            return anthropic_bodies.message(model, words)
        case "anthropic", "count_tokens":
            return anthropic_bodies.token_count()
        case "anthropic", "models":
            return anthropic_bodies.models(MODELS)
        case "gemini", "models":
            return gemini_bodies.models(MODELS)
        case "gemini", "countTokens":
            return gemini_bodies.token_count()
        case "gemini", "batchEmbedContents":
            return gemini_bodies.embeddings(len(asked["requests"]))
        case "gemini", _:
            return gemini_bodies.content(model, words)
        case _, "responses":
            return openai_bodies.response(model, words)
        case _, "embeddings":
            return openai_bodies.embeddings(model, asked.get("input"))
        case _, "models":
            return openai_bodies.models(MODELS)
        case _, "completions" if not path.endswith("/chat/completions"):
            return openai_bodies.completion(model, words)
    return openai_bodies.chat(model, words)


def _events(received: Received, words: Sequence[str]) -> list[bytes]:
    path, model = received.path, received.model
    match dialect(received), path.rpartition("/")[2]:
        case "anthropic", _:
            return anthropic_bodies.message_events(model, words)
        case "gemini", _:
            return gemini_bodies.content_events(model, words)
        case _, "responses":
            return openai_bodies.response_events(model, words)
        case _, "completions" if not path.endswith("/chat/completions"):
            return openai_bodies.completion_events(model, words)
    options = received.json.get("stream_options") or {}
    return openai_bodies.chat_events(model, words, with_usage=options.get("include_usage") is True)


def _error_event(received: Received) -> bytes:
    message = "The fake upstream broke off."
    match dialect(received):
        case "anthropic":
            return anthropic_bodies.error_event(529, message)
        case "gemini":
            return gemini_bodies.error_event(503, message)
    return openai_bodies.error_event(500, message)
