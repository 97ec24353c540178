"""ASGI messages: where a request stands under its mount, reading a body once, replaying it, noticing a disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_gateway_mw.errors import BodyTooLarge, ClientGone

__all__ = [
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "answer_lifespan",
    "cancelled_by",
    "raw_route_path",
    "read_body",
    "replaying",
    "route_path",
    "run_lifespan",
]


def route_path(scope: Scope) -> str:
    """The path below the mount: `path` without `root_path`, where the server or framework put it there.

    Litestar ends every path with a slash when it mounts; one that the client did not send is dropped.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    raw: bytes | None = scope.get("raw_path")
    added = raw is not None and len(path) > 1 and path.endswith("/") and not raw.endswith(b"/")
    return path[:-1] if added else path


def raw_route_path(scope: Scope) -> bytes | None:
    """`raw_path` below the mount, as the client sent it; None where the server does not tell."""
    raw: bytes | None = scope.get("raw_path")
    root = scope.get("root_path", "").rstrip("/").encode()
    if raw is not None and root and raw.startswith(root + b"/"):
        return raw[len(root) :]
    return raw


async def run_lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The lifespan of an app; one that does not know the protocol (it raises or returns unasked) is stood in for."""
    asked = False

    async def noted() -> Message:
        nonlocal asked
        asked = True
        return await receive()

    try:
        await app(scope, noted, send)
    except Exception:
        if asked:  # it does know it, and failed
            raise
    if not asked:
        await answer_lifespan(receive, send)


async def answer_lifespan(receive: Receive, send: Send) -> None:
    """The lifespan of an app that has nothing to start or stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises `BodyTooLarge` beyond `limit` bytes, `ClientGone` where the client left."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client left while sending its request.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body already read, then goes on with the real one (which tells of a disconnect)."""
    handed_out = False

    async def replay() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


@asynccontextmanager
async def cancelled_by(receive: Receive) -> AsyncIterator[None]:
    """Cancel what runs inside when the client leaves; it then ends with `ClientGone`.

    Only for use once the request body has been read: it takes every message that `receive` has left.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:  # someone else cancelled us too: theirs counts
            raise
        raise ClientGone("The client left before the answer was complete.") from None
    finally:
        watcher.cancel()
