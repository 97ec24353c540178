"""The mock provider: answers at once with bytes made beforehand, or streams events as the request asks.

`python -m benchmarks.gateway.upstream` prints its port once it listens, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
import time
from typing import cast

import uvloop

from benchmarks.gateway.processes import raise_file_limit
from benchmarks.gateway.wire import MODEL, Stream, asked

_USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
_TEXT = "lorem ipsum " * 70
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}
ANSWER = json.dumps(
    {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [_CHOICE], "usage": _USAGE}
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
_JSON = _HEAD % b"application/json" + b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
_STREAM_HEAD = _HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n"
_EVENT = b'data: {"id":"chatcmpl-1","sent":%019d,"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
_DONE = b"data: [DONE]\n\n"
_BATCH = 32


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection of the provider."""

    def __init__(self) -> None:
        self._received = b""
        self._stream: _Events | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _content_length(data[:end]):
            self._received = data
            return
        self._received = b""
        stream = asked(data)
        if stream is None:
            self._transport.write(_JSON)
        else:
            self._stream = _Events(self._transport, stream)
            self._stream.go_on()

    def pause_writing(self) -> None:
        if self._stream:
            self._stream.paused = True

    def resume_writing(self) -> None:
        if self._stream and self._stream.paused:
            self._stream.paused = False
            self._stream.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if self._stream:
            self._stream.give_up()


class _Events:
    """A stream on its way: an event at a time in its rhythm, or as fast as the reader takes them."""

    def __init__(self, transport: asyncio.Transport, stream: Stream) -> None:
        self.paused = False
        self._transport = transport
        self._text = b"x" * stream.size
        self._left = stream.events
        self._every = stream.every
        self._due = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        transport.write(_STREAM_HEAD)

    def go_on(self) -> None:
        while self._left and not self.paused:
            events = 1 if self._every else min(_BATCH, self._left)
            self._left -= events
            self._transport.write(b"".join(_chunk(self._event()) for _ in range(events)))
            if self._every:
                self._due += self._every
                self._timer = asyncio.get_running_loop().call_later(self._due - time.monotonic(), self._next)
                return
        if not self._left:
            self._finish()

    def give_up(self) -> None:
        self._left = 0
        if self._timer:
            self._timer.cancel()

    def _next(self) -> None:
        if self._left:
            self.go_on()
        else:
            self._finish()

    def _event(self) -> bytes:
        return _EVENT % (time.monotonic_ns(), self._text)

    def _finish(self) -> None:
        if self._every >= 0:
            self._every = -1.0  # once
            self._transport.write(_chunk(_DONE) + b"0\r\n\r\n")


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def _serve(sock: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, sock=sock)
    await server.serve_forever()


def main() -> None:
    raise_file_limit()
    gc.disable()  # a collection would show as a delay of whoever is being measured
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        print(sock.getsockname()[1], flush=True)
        threading.Thread(target=lambda: uvloop.run(_serve(sock)), daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
