"""Gateways for tests: a policy, secrets out of a mapping, and a provider that is a few lines of Python."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from ai_gateway_mw import Gateway
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.keys import generate
from ai_gateway_mw.secrets import MemorySource, SecretStore

Vaults = Mapping[str, Mapping[str, str]]

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
CHAT_PATH = "/v1/chat/completions"
KEY = generate(random.Random(1))
OTHER_KEY = generate(random.Random(2))


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces; `closed` says whether it was given up or read to its end."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(0)  # as a network would, let others have their turn
            self.read += 1
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Provider:
    """An upstream that keeps what it was sent; every answer is the same."""

    def __init__(
        self, status: int = 200, body: Any = None, *, headers: Sequence[tuple[str, str]] = (), stream: Any = None
    ) -> None:
        self.requests: list[httpx.Request] = []
        self._status, self._headers, self._stream = status, list(headers), stream
        self._body = json.dumps({"id": "1", "choices": []} if body is None else body).encode()

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    @property
    def request(self) -> httpx.Request:
        """The only request."""
        assert len(self.requests) == 1
        return self.requests[0]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fields = [("content-type", "application/json"), *self._headers]
        if self._stream is not None:
            return httpx.Response(self._status, headers=fields, stream=self._stream)
        return httpx.Response(self._status, headers=fields, content=self._body)


def secret_store(vaults: Vaults | None = None) -> SecretStore:
    return SecretStore([MemorySource(vaults or {})])


def gateway(
    policy: str | Mapping[str, Any], *, vaults: Vaults | None = None, provider: Provider | None = None, **settings: Any
) -> Gateway:
    """The gateway of a policy. Nothing here reaches a real provider."""
    transport = (provider or Provider()).transport
    return Gateway.from_policy(policy, secrets=secret_store(vaults), transport=transport, **settings)


def actions(*written: Any, expressions: Sequence[str] = (), phase: str = "on_http_request") -> dict[str, Any]:
    """A policy of one rule. An action is its type, or a pair of its type and its config."""
    listed = [{"type": each} if isinstance(each, str) else {"type": each[0], "config": each[1]} for each in written]
    return {phase: [{"expressions": list(expressions), "actions": listed}]}


def problems_of(policy: str | Mapping[str, Any], **settings: Any) -> list[Problem]:
    """What is wrong with a policy that must not load."""
    with pytest.raises(PolicyError) as caught:
        gateway(policy, **settings)
    return [problem for problem in caught.value.problems if problem.severity == "error"]


class Host:
    """An app that a gateway is put around: it keeps the scopes it got and answers `host`, or what `answer` says."""

    def __init__(
        self, status: int = 200, *, body: bytes = b"host", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self._status, self._body, self._headers = status, body, list(headers)

    @property
    def scope(self) -> Scope:
        """The only scope."""
        assert len(self.scopes) == 1
        return self.scopes[0]

    def field(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.scope["headers"] if key == name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def records(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """The JSON records of one of our loggers."""
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == name]


def request_log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "ai_gateway_mw.requests")
    return lambda: records(caplog, "ai_gateway_mw.requests")


App = ASGIApp
