"""What stands in for the world in a rehearsal: providers, secrets that are missing, and the database of keys."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from ai_gateway_mw.accounts import Accounts
from ai_gateway_mw.errors import KeyStoreUnavailable
from ai_gateway_mw.keys import Found, GatewayKey, generate, well_formed
from ai_gateway_mw.limits import Counters
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.settings import Settings

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]

_TEXT: Final = "This is a canned answer."
_OPENAI: Final = {
    "id": "canned",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
_ANTHROPIC: Final = {
    "id": "canned",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": _TEXT}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
_GEMINI: Final = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": _TEXT}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
}
_OPENAI_EVENTS: Final = (
    'data: {"id":"canned","choices":[{"index":0,"delta":{"content":"This is a canned answer."}}]}\n\n',
    'data: {"id":"canned","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    "data: [DONE]\n\n",
)
_EMBEDDINGS: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.0]}],
    "usage": {"prompt_tokens": 10, "total_tokens": 10},
}
_RESPONSE: Final = {
    "id": "canned",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": _TEXT}]}],
    "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
}
_RESPONSE_EVENTS: Final = tuple(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
    for event in (
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": _TEXT},
        {"type": "response.completed", "response": _RESPONSE},
    )
)
_ANTHROPIC_EVENTS: Final = tuple(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
    for event in (
        {"type": "message_start", "message": {**_ANTHROPIC, "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )
)


def canned(sent: httpx.Request) -> httpx.Response:
    """A good answer to any request of a model, in its format, as a stream where it asks for one."""
    path = sent.url.path
    streams = b'"stream": true' in sent.content or b'"stream":true' in sent.content
    if "enerateContent" in path:
        if path.endswith(":streamGenerateContent"):
            return _events([f"data: {json.dumps(_GEMINI)}\n\n"])
        return httpx.Response(200, json=_GEMINI)
    if path.endswith("/embeddings"):
        return httpx.Response(200, json=_EMBEDDINGS)
    if path.endswith("/responses"):
        return _events(_RESPONSE_EVENTS) if streams else httpx.Response(200, json=_RESPONSE)
    if path.endswith("/messages"):
        return _events(_ANTHROPIC_EVENTS) if streams else httpx.Response(200, json=_ANTHROPIC)
    return _events(_OPENAI_EVENTS) if streams else httpx.Response(200, json=_OPENAI)


def _events(events: Any) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content="".join(events).encode())


async def canned_answer(sent: httpx.Request) -> httpx.Response:
    """The same, as the transport asks for it."""
    return canned(sent)


CANNED_APP: Final = Reply(200, ((b"content-type", b"text/plain; charset=utf-8"),), b"This is the app.")


class Chance(random.Random):
    """Chance that is always the same. `taken` says whether anything was left to it."""

    taken = False

    def random(self) -> float:
        self.taken = True
        return super().random()

    def getrandbits(self, k: int, /) -> int:
        self.taken = True
        return super().getrandbits(k)


class Providers(httpx.AsyncBaseTransport):
    """Every provider: keeps what it was sent, and answers as it is told. Nothing leaves this process."""

    def __init__(self, answer: Answer = canned_answer) -> None:
        self.sent: list[httpx.Request] = []
        self.answer = answer
        self.sending: Callable[[httpx.Request], None] = _nobody

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.sent.append(request)
        self.sending(request)
        return await self.answer(request)


def _nobody(request: httpx.Request) -> None:
    """Is told."""


class Placeholders:
    """A source that has every secret: a text that says which one it is, or a gateway key where one is needed."""

    name = "placeholders"

    def __init__(self, given: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._given = given or {}
        self.gateway_keys: set[tuple[str, str]] = set()
        self.asked: list[str] = []

    def get(self, vault: str, name: str) -> str | None:
        given = self._given.get(vault, {}).get(name)
        if given is not None:
            return given
        if f"{vault}/{name}" not in self.asked:
            self.asked.append(f"{vault}/{name}")
        if (vault, name) in self.gateway_keys:
            return generate(random.Random(f"{vault}/{name}"))
        return f"placeholder-of-{vault}-{name}"

    def place(self, vault: str, name: str) -> str:
        return "a placeholder"

    def describe(self) -> str:
        return "placeholders for what is missing"


class PretendedAccounts(Accounts):
    """Stored keys without a database: those that are pretended. `looked_up` says whether one was looked for."""

    def __init__(self, settings: Settings, counters: Callable[[], Counters]) -> None:
        super().__init__(settings, counters)
        self.looked_up = False
        self._pretended: dict[str, GatewayKey] = {}

    def pretend(self, name: str) -> str | None:
        """A key of this name, to be presented; None where there can be none."""
        token = generate(random.Random(f"pretended {name}"))
        self._pretended.setdefault(token, GatewayKey(f"key_{name}", name, b"", environment=_environment(name)))
        return token

    def known(self, presented: str) -> GatewayKey | None:
        self.looked_up = self.looked_up or well_formed(presented)
        return self._pretended.get(presented)

    async def find(self, presented: str) -> Found:
        if well_formed(presented):
            raise KeyStoreUnavailable("a key would be looked up here, and no database is opened for that")
        return Found(None)

    async def open(self) -> None:
        """Nothing is opened."""

    def failed(self, address: str) -> None:
        """Nothing is counted."""


def _environment(name: str) -> str:
    """As the convention for names has it: `{environment}-{application}-{purpose}`."""
    return name.partition("-")[0] if name.count("-") >= 2 else ""
