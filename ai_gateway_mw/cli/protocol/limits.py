"""What a client may take of a server: sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are those of `ai-gateway run`.

    Times are kept by a sweep over all connections, so that one may end up to `sweep` seconds late.
    """

    head_time: float = 10.0  # for all of a request's head, from its first byte or from the opening of the connection
    body_time: float = 10.0  # for all of its body; every `body_rate` bytes that have come are worth another second
    body_rate: int = 16 * 1024
    unread_time: float = 300.0  # for a client to take any byte of an answer that waits for it
    rest_time: float = 5.0  # for the rest of a body whose request has been answered already
    closing_time: float = 2.0  # for a client to see why its connection ends, before it is cut
    sweep: float = 1.0

    head: int = 64 * 1024
    target: int = 16 * 1024
    fields: int = 100  # and as many trailers
    framing: int = 64 * 1024  # of chunked bodies: sizes, extensions, trailers; beyond what the content itself pays for
    pipelined: int = 8  # requests that wait for the answer to the one before
    buffer: int = 64 * 1024  # content that the app has not asked for, or that the client has not taken
