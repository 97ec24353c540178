"""A language model provider on a real port that answers, or fails, as the test says, and keeps a ledger.

    async with Upstream() as upstream:
        upstream.on(error(429, retry_after=2), ok(), key="sk-first")     # first a 429, from then on good answers
        ...                                                              # ask upstream.url + "/v1/chat/completions"
        assert upstream.keys == ["sk-first", "sk-first"]

Without a rule the request's API key says what happens: `sk-ok`, `sk-429`, `sk-hang`, `sk-cut-after-3`: see `script.py`.
"""

from __future__ import annotations

from tests.fake_upstream.answers import TEXT, Answer, close, error, hang, not_http, ok, plain, redirect
from tests.fake_upstream.ledger import Received
from tests.fake_upstream.server import ThreadedUpstream, Upstream, closed_port
from tests.fake_upstream.wire import Gate, Reply

__all__ = [
    "TEXT",
    "Answer",
    "Gate",
    "Received",
    "Reply",
    "ThreadedUpstream",
    "Upstream",
    "close",
    "closed_port",
    "error",
    "hang",
    "not_http",
    "ok",
    "plain",
    "redirect",
]
