"""HTTP/1.1 to upstreams on plain asyncio: prepared bytes out, raw bytes in, connections kept per origin.

    origin = Origin.of("https://api.openai.com")                       # when the policy loads
    answer = await transport.exchange(origin, head, content, timeouts)   # for each request
    while data := answer.take() or await answer.read(): ...
    answer.close()

`HTTPTransport` is an `httpx.AsyncBaseTransport` too, so whoever takes one of those takes ours.
"""

from __future__ import annotations

from ai_gateway_mw.upstream.http1.answer import Answer
from ai_gateway_mw.upstream.http1.connection import Timeouts
from ai_gateway_mw.upstream.http1.origin import Origin
from ai_gateway_mw.upstream.http1.pool import PoolLimits
from ai_gateway_mw.upstream.http1.response import Pour, UpstreamResponse
from ai_gateway_mw.upstream.http1.transport import HTTPTransport

__all__ = ["Answer", "HTTPTransport", "Origin", "PoolLimits", "Pour", "Timeouts", "UpstreamResponse"]
