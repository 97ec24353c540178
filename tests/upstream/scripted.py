"""Every provider at once, played over an `httpx.MockTransport`: what each key gets, and who was asked what.

providers = Providers()
providers.on("sk-first", 429, 200)                       # first a 429, from then on good answers
answer = await chat(gateway(config, providers))
assert providers.keys == ["sk-first", ...]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import httpx

from ai_gateway_mw import Gateway
from ai_gateway_mw.secrets import MemorySource, SecretStore
from ai_gateway_mw.upstream.http1 import Answer as Arriving
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, Timeouts
from tests.asgi import Response, request

Answer = int | Exception | httpx.Response | Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
KEY_FIELDS = ("x-api-key", "x-goog-api-key", "api-key")


def key_of(sent: httpx.Request) -> str | None:
    """The key that a request came with, in whichever field."""
    bearer = sent.headers.get("authorization", "").removeprefix("Bearer ")
    return bearer or next((sent.headers[name] for name in KEY_FIELDS if name in sent.headers), None)


def failing(status: int, code: str | None = None, message: str = "No.", **fields: str) -> httpx.Response:
    """An error in the OpenAI format; `fields` are header fields, with `_` for `-`."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return httpx.Response(status, json={"error": {"message": message, "code": code}}, headers=headers)


async def hang(sent: httpx.Request) -> httpx.Response:
    """No answer, ever."""
    await asyncio.Event().wait()
    raise AssertionError


class Providers:
    """A ledger of requests; a key that nothing is said about gets good answers."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: dict[str | None, list[Answer]] = {}
        self.transport = httpx.MockTransport(self._answer)

    def on(self, key: str | None, *answers: Answer) -> None:
        """What requests with this key get, one after the other, and the last ever after."""
        self._answers[key] = list(answers)

    @property
    def keys(self) -> list[str | None]:
        return [key_of(sent) for sent in self.requests]

    @property
    def urls(self) -> list[str]:
        return [str(sent.url) for sent in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(sent.content) for sent in self.requests]

    async def _answer(self, sent: httpx.Request) -> httpx.Response:
        self.requests.append(sent)
        answers = self._answers.get(key_of(sent)) or [200]
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(200, json={"id": "fine"}) if answer == 200 else failing(answer)
        if isinstance(answer, httpx.Response):
            return answer
        made = answer(sent)
        return made if isinstance(made, httpx.Response) else await made


def gateway(
    config: Mapping[str, Any],
    providers: Providers,
    *,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    after: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> Gateway:
    """A gateway with this config of `ai-gateway`; `after` are the actions that follow it."""
    actions = [{"type": "ai-gateway", "config": config}, *after]
    return gateway_of({"on_http_request": [{"actions": actions}]}, providers, secrets=secrets, **options)


def gateway_of(
    policy: str | Mapping[str, Any],
    providers: Providers,
    *,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    **options: Any,
) -> Gateway:
    """A gateway with this policy."""
    store = SecretStore([MemorySource(secrets or {})], ttl=options.pop("secrets_ttl", 30.0))
    return Gateway.from_policy(policy, transport=providers.transport, secrets=store, **options)


def with_keys(*keys: str, **more: Any) -> dict[str, Any]:
    """The config of a gateway to OpenAI with these keys."""
    return {"providers": [{"id": "openai", "api_keys": [{"value": key} for key in keys]}], **more}


async def chat(
    gateway: Gateway, model: str | None = "gpt-4o", *, path: str = "/v1/chat/completions", key: str = "", **body: Any
) -> Response:
    """Ask for a chat completion; `key` is the client's own."""
    named = {"model": model} if model is not None else {}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    content = {**named, "messages": [{"role": "user", "content": "hello"}], **body}
    return await request(gateway.app, "POST", path, headers=headers, json=content)


class Arrived(HTTPTransport):
    """Our own transport with an answer that is all there as soon as its head is."""

    def __init__(self, *pieces: bytes, status: int = 200, fields: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__()
        self.heads: list[bytes] = []
        self._pieces, self._status, self._fields = pieces, status, fields

    async def exchange(self, origin: Origin, head: bytes, content: bytes, timeouts: Timeouts) -> Arriving:
        self.heads.append(head)
        answer = Arriving(cast("Any", None))
        answer.begin(self._status, list(self._fields), dict(reversed(self._fields)))
        answer.complete = True
        for piece in self._pieces:
            answer.chunks.append(piece)
        return answer
