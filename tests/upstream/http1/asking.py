"""Requests to a raw server, and what is left of a transport afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from ai_gateway_mw.upstream.http1 import Answer, HTTPTransport, Origin, Timeouts

SOON = Timeouts(connect=5, first_byte=5, idle=5, pool=5)


class Got(NamedTuple):
    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


def head_of(method: str = "POST", path: str = "/", length: int | None = 2) -> bytes:
    line = f"{method} {path} HTTP/1.1\r\nhost: upstream.test\r\n"
    return (line + (f"content-length: {length}\r\n" if length is not None else "") + "\r\n").encode()


async def ask(
    transport: HTTPTransport,
    origin: Origin,
    method: str = "POST",
    path: str = "/",
    content: bytes = b"{}",
    timeouts: Timeouts = SOON,
) -> Answer:
    return await transport.exchange(origin, head_of(method, path, len(content)), content, timeouts)


async def body_of(answer: Answer) -> bytes:
    pieces = []
    while piece := answer.take() or await answer.read():
        pieces.append(piece)
    answer.close()
    return b"".join(pieces)


async def get(
    transport: HTTPTransport, origin: Origin, method: str = "POST", path: str = "/", timeouts: Timeouts = SOON
) -> Got:
    """The whole answer."""
    answer = await ask(transport, origin, method, path, timeouts=timeouts)
    try:
        return Got(answer.status, answer.fields, await body_of(answer))
    finally:
        answer.close()


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until something is so."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to that")
