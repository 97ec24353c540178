"""ASGI messages: where a request stands under its mount, reading a body once, replaying it, and what is done without
them where the server is ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_gateway_mw.errors import BodyTooLarge, ClientGone

__all__ = [
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Shortcuts",
    "Writer",
    "Written",
    "answer_lifespan",
    "begin_answer",
    "body_at_hand",
    "body_writer",
    "raw_route_path",
    "read_body",
    "replaying",
    "route_path",
    "run_lifespan",
    "shortcuts",
]


def route_path(scope: Scope) -> str:
    """The path below the mount: `path` without `root_path`, where the server or framework put it there.

    Litestar ends every path with a slash when it mounts; one that the client did not send is dropped.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(below := root.rstrip("/") + "/"):
        path = path[len(below) - 1 :]
    if not path.endswith("/") or len(path) == 1:
        return path
    raw: bytes | None = scope.get("raw_path")
    return path if raw is None or raw.endswith(b"/") else path[:-1]


def raw_route_path(scope: Scope) -> bytes | None:
    """`raw_path` below the mount, as the client sent it; None where the server does not tell."""
    raw: bytes | None = scope.get("raw_path")
    root: str = scope.get("root_path", "")
    if root and raw is not None and raw.startswith(below := root.rstrip("/").encode() + b"/"):
        return raw[len(below) - 1 :]
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
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit} bytes.")


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


Written = Awaitable[None] | None
"""What is left to wait for when something was written: nothing, or until the client takes more."""

Writer = Callable[[bytes], Written]
"""Writes a piece of an answer's body, not the last; what it gives back is to be awaited before the next one."""


class Shortcuts:
    """What `receive` and `send` of our own server and edge are methods of: each message of ASGI costs a coroutine, and
    often a turn of the event loop. Where somebody has wrapped them, they are called as ASGI says."""

    __slots__ = ()

    writes = False
    """Whether `write_answer` and `begin_answer` may do anything."""

    def body_at_hand(self) -> bytes | None:
        """All that is left of the request's body, if it has come and nobody has been told."""
        return None

    def when_gone(self, call: Callable[[], None] | None) -> bool:
        """Call this as soon as the client leaves, None: nothing any more; whether that can be done."""
        return False

    def write_answer(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole answer, if that can be done at once; whether it was."""
        return False

    def begin_answer(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> Writer | None:
        """Write the head of an answer with the first of its body, if that can be done at once; then this is what writes
        the pieces that follow, up to the last, which is sent."""
        return None

    def drop(self) -> bool:
        """End the connection without an answer, if none has begun and that can be done; whether it was."""
        return False

    def write_body(self, body: bytes) -> Written:
        """Write a piece of an answer's body, which is not the last; after its head."""
        raise NotImplementedError


_NONE = Shortcuts()


def shortcuts(channel: Receive | Send) -> Shortcuts:
    """Those of our own server or edge, whose `receive` or `send` this is; with any other one, nothing can be done."""
    owner = getattr(channel, "__self__", None)
    return owner if isinstance(owner, Shortcuts) else _NONE


def body_at_hand(receive: Receive, limit: int) -> bytes | None:
    """All of the request body, where it has come and that can be known. Raises as `read_body` does."""
    body = shortcuts(receive).body_at_hand()
    if body is not None and len(body) > limit:
        raise _too_large(limit)
    return body


def body_writer(send: Send) -> Writer:
    """For an answer whose head was sent."""
    owner = shortcuts(send)
    if owner is not _NONE:
        return owner.write_body
    return lambda body: send({"type": "http.response.body", "body": body, "more_body": True})


async def begin_answer(send: Send, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> tuple[Writer, bytes]:
    """Send the head of an answer, and the first of its body with it if that can be done at once. Gives what writes the
    pieces that follow, and what of the first is still to be written."""
    writer = shortcuts(send).begin_answer(status, fields, body)
    if writer is not None:
        return writer, b""
    await send({"type": "http.response.start", "status": status, "headers": fields})
    return body_writer(send), body
