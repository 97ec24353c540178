"""API formats as a client needs them: a request that carries a nonce, the text of an answer, how a stream ends well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.contract.client import post
from tests.fake_upstream import Received


@dataclass(frozen=True, slots=True)
class Dialect:
    """`paths`: of plain answers and of streams. `terminators`: any of these in a stream says that all went well."""

    name: str
    paths: tuple[str, str]
    fields: Mapping[str, str]
    body: Callable[[str, str], dict[str, Any]]
    terminators: tuple[bytes, ...]
    error: bytes
    """What the error event of an interrupted stream holds."""

    def path(self, model: str, *, stream: bool) -> str:
        return self.paths[stream].format(model=model)

    def content(self, model: str, nonce: str, *, stream: bool) -> dict[str, Any]:
        """The body of a request, as JSON."""
        said = {"stream": True} if stream and self.paths[0] == self.paths[1] else {}
        return self.body(model, nonce) | said

    def request(self, model: str, nonce: str, *, stream: bool) -> bytes:
        return post(self.path(model, stream=stream), self.content(model, nonce, stream=stream), self.fields)

    def ended_well(self, body: bytes | bytearray) -> bool:
        return any(terminator in body for terminator in self.terminators)

    def ended_with_error(self, body: bytes | bytearray) -> bool:
        """Whether the last event is one that the format's SDK raises for."""
        last = bytes(body).rstrip(b"\r\n").replace(b"\r\n", b"\n").rpartition(b"\n\n")[2]
        return self.error in last


def _chat(model: str, nonce: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": nonce}]}


def _message(model: str, nonce: str) -> dict[str, Any]:
    return _chat(model, nonce) | {"max_tokens": 100}


def _response(model: str, nonce: str) -> dict[str, Any]:
    return {"model": model, "input": nonce}


def _content(_: str, nonce: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": nonce}]}]}


OPENAI = Dialect(
    "openai",
    ("/v1/chat/completions",) * 2,
    {},
    _chat,
    (b"data: [DONE]",),
    b'data: {"error":',
)
ANTHROPIC = Dialect(
    "anthropic",
    ("/v1/messages",) * 2,
    {"anthropic-version": "2023-06-01"},
    _message,
    (b'"type": "message_stop"', b'"type":"message_stop"'),
    b"event: error\ndata: {",
)
RESPONSES = Dialect(
    "responses",
    ("/v1/responses",) * 2,
    {},
    _response,
    (b'"type": "response.completed"',),
    b"event: error\ndata: {",
)
GEMINI = Dialect(
    "gemini",
    ("/v1beta/models/{model}:generateContent", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    {},
    _content,
    (b'"finishReason": "STOP"',),
    b'data: {"error":',
)
BOTH = (OPENAI, ANTHROPIC)
ALL = (OPENAI, RESPONSES, ANTHROPIC, GEMINI)


def nonce_of(received: Received) -> str:
    """The nonce that a request carries."""
    body = received.json
    if "input" in body:
        return str(body["input"])
    if "contents" in body:
        return str(body["contents"][0]["parts"][0]["text"])
    messages = body.get("messages") or [{}]
    return str(messages[0].get("content", ""))


def events(body: bytes | bytearray) -> Iterator[Any]:
    """The data of a stream's events, where it is JSON."""
    for line in bytes(body).splitlines():
        if line.startswith(b"data:"):
            try:
                yield json.loads(line[5:])
            except ValueError:
                continue


def text_of(body: bytes | bytearray) -> str:
    """All text that a stream brought, whichever its format."""
    return "".join(_delta(event) for event in events(body) if isinstance(event, dict))


def _delta(event: dict[str, Any]) -> str:
    if event.get("choices"):
        return str(event["choices"][0].get("delta", {}).get("content") or "")
    delta = event.get("delta")
    if isinstance(delta, dict):
        return str(delta.get("text") or "")
    return delta if isinstance(delta, str) else ""
