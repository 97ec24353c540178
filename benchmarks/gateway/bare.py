"""The least that can stand between a client and a provider in Python: httpx's transport behind uvicorn, no policy.

`python -m benchmarks.gateway.bare PORT UPSTREAM` serves until it is ended.
"""

from __future__ import annotations

import sys

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


def bare(upstream: str) -> ASGIApp:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    transport = httpx.AsyncHTTPTransport(trust_env=False, limits=limits)

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


def main(port: str, upstream: str) -> None:
    app = bare(f"http://127.0.0.1:{upstream}")
    uvicorn.run(app, port=int(port), log_level="error", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(*sys.argv[1:])
