"""The servers of a benchmark, each run as a process: an upstream, a bare pass-through app, and the gateway.

`python -m benchmarks.apps NAME UPSTREAM` prints its address once it listens, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
import threading

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ai_gateway_mw import Gateway
from ai_gateway_mw.keys import generate
from ai_gateway_mw.secrets import MemorySource, SecretStore

GATEWAY_KEY = generate(random.Random(0))  # the same in every process
POLICY = """
on_http_request:
  - actions:
      - type: gateway-auth
        config:
          keys: [{name: benchmark, value: "${secrets.get('benchmark', 'gateway-key')}"}]
      - type: restrict-ips
        config: {allow: [127.0.0.0/8, 10.0.0.0/8]}
      - type: ai-gateway
        config:
          only_allow_configured_providers: true
          api_key_selection:
            strategy: ["ai.keys.filter(k, k.error_rate.total < 0.2).randomize()", "ai.keys"]
          providers:
            - id: upstream
              base_url: UPSTREAM/v1
              models: [{id: benchmark}]
              api_keys: [{value: sk-one}, {value: sk-two}, {value: sk-three}]
"""
ANSWER = b'{"id": "chatcmpl-1", "object": "chat.completion", "model": "benchmark", "choices": []%s}' % (b" " * 940)
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}],"model":"benchmark"}\n\n'
EVENTS = 100


def bare(upstream: str) -> ASGIApp:
    """The least that can be between a client and an upstream in Python: httpx's transport, no policy."""
    transport = httpx.AsyncHTTPTransport(trust_env=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        fields = [(name, value) for name, value in scope["headers"] if name not in (b"host", b"content-length")]
        request = httpx.Request(scope["method"], upstream + scope["path"], headers=fields, content=body)
        response = await transport.handle_async_request(request)
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.headers.raw})
        try:
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await response.aclose()

    return app


def gateway(upstream: str) -> ASGIApp:
    """The gateway with a key check, an allowlist, and a choice among three provider keys."""
    logging.disable(logging.WARNING)
    secrets = SecretStore([MemorySource({"benchmark": {"gateway-key": GATEWAY_KEY}})])
    return Gateway.from_policy(POLICY.replace("UPSTREAM", upstream), secrets=secrets).app


class Upstream(asyncio.Protocol):
    """Answers every request at once: an event stream where the request asks for one, JSON otherwise."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator and len(body) >= _content_length(head):
            self._received = b""
            self._transport.write(_STREAM if b'"stream": true' in body else _JSON)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
_JSON = _HEAD % b"application/json" + b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
_CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
_STREAM = _HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n" + _CHUNK * EVENTS + b"0\r\n\r\n"


async def _serve_upstream(sock: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, sock=sock)
    await server.serve_forever()


def _serve(app: ASGIApp, sock: socket.socket) -> None:
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([sock])


def main(name: str, upstream: str = "") -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        app = {"bare": bare, "gateway": gateway}[name](upstream) if name != "upstream" else None
        work = (lambda: _serve(app, sock)) if app else (lambda: asyncio.run(_serve_upstream(sock)))
        print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
        threading.Thread(target=work, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
