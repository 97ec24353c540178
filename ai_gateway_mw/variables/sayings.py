"""What is said: the text of a request in any of the API formats, the message of an event stream whose turn it is, and
what the stream has said so far."""

from __future__ import annotations

from collections.abc import Callable

from ai_gateway_mw.cel import DYN, INT, STRING, ListType, MapType
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.variables.exchange import length
from ai_gateway_mw.variables.row import HTTP, Row

MESSAGE = frozenset({Phase.ON_EVENT_STREAM_MESSAGE})


def _messages(ctx: Context) -> list[dict[str, str]]:
    return [each._asdict() for each in ctx.said()]


def _field_of_message(name: str) -> Callable[[Context], str]:
    return lambda ctx: ctx.stream.message.get(name) if ctx.stream else ""


def _retry(ctx: Context) -> int:
    return length(ctx.stream.message.get("retry")) if ctx.stream else 0


SAYING_ROWS: tuple[Row, ...] = (
    Row(
        "ai.request.text",
        STRING,
        lambda ctx: "\n".join(each.text for each in ctx.said()),
        HTTP,
        "All that the request says to a model, in any of the API formats; reading it buffers the request.",
    ),
    Row(
        "ai.request.messages",
        ListType(MapType(STRING, STRING)),
        _messages,
        HTTP,
        "The same message by message: `role` and `text`.",
    ),
    Row(
        "ai.response.text",
        STRING,
        lambda ctx: ctx.stream.answered.text if ctx.stream else "",
        MESSAGE,
        "What the streamed answer has said up to this message; the last 64 Ki characters of each choice.",
    ),
    Row(
        "ai.response.delta",
        STRING,
        lambda ctx: ctx.stream.answered.delta if ctx.stream else "",
        MESSAGE,
        "The piece of text that this message brings.",
    ),
    Row("sse.data", STRING, _field_of_message("data"), MESSAGE, "The message's data; its lines joined by `\\n`."),
    Row("sse.event", STRING, _field_of_message("event"), MESSAGE, "The message's event type, empty without one."),
    Row("sse.id", STRING, _field_of_message("id"), MESSAGE, "The message's id, empty without one."),
    Row("sse.retry", INT, _retry, MESSAGE, "The message's reconnection time in milliseconds, 0 without one."),
    Row(
        "sse.json",
        DYN,
        lambda ctx: ctx.stream.message.json if ctx.stream else None,
        MESSAGE,
        "The message's data as JSON, null where it is none, such as `[DONE]`.",
    ),
)
