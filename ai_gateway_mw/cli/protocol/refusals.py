"""Answers to what is no request that an app could be asked to answer."""

from __future__ import annotations

from uuid import uuid4

from ai_gateway_mw.cli.protocol.head import Fields, Heads
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.replies import error_reply


def refusal(error: GatewayError, heads: Heads, standing: Fields) -> bytes:
    """The whole answer, after which the connection ends. In the format of OpenAI: what was called may be unknown."""
    request_id = f"req_{uuid4().hex}"
    reply = error_reply(error, "openai", request_id)
    fields = (
        *reply.fields,
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request_id.encode()),
    )
    head, *_ = heads.head(reply.status, fields, standing, keep_alive=False)
    return head + reply.body
