"""What expressions may read of a Context, phase by phase: one row for each variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from ai_gateway_mw.cel import (
    BOOL,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    ListType,
    MapType,
    Overload,
    Timestamp,
    Type,
    Variable,
)
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import Phase

_ALL = frozenset(Phase)
_HTTP = _ALL - {Phase.ON_TCP_CONNECT}
_ANSWER = frozenset({Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE})
_MESSAGE = frozenset({Phase.ON_EVENT_STREAM_MESSAGE})
_OF_BODY = frozenset({"req.body", "ai.request.text", "ai.request.messages"})
_OF_ANSWER = frozenset({"ai.response.text", "ai.response.delta"})
_STRINGS = ListType(STRING)
_MULTIMAP = MapType(STRING, _STRINGS)


class Row(NamedTuple):
    """One variable: its type, how it is read from a Context, and the phases that know it."""

    name: str
    type: Type
    read: Callable[[Context], Any]
    phases: frozenset[Phase]
    doc: str


def variables(phase: Phase) -> tuple[Variable, ...]:
    """The variables that a phase may read."""
    return tuple(Variable(row.name, row.type, row.read, row.doc) for row in ROWS if phase in row.phases)


def variables_elsewhere(phase: Phase) -> dict[str, tuple[Phase, ...]]:
    """Variables that exist, but not in this phase, with the phases that have them: for error messages."""
    return {row.name: tuple(sorted(row.phases)) for row in ROWS if phase not in row.phases}


def functions(phase: Phase) -> tuple[Overload, ...]:
    """The functions that read a Context."""
    return (*_EVERYWHERE, *(_REQUEST if phase in _HTTP else ()), *(_RESPONSE if phase in _ANSWER else ()))


def reads_body(names: Iterable[str]) -> bool:
    """Whether the body must have been read before an expression with these variables runs."""
    return not _OF_BODY.isdisjoint(names)


def reads_answer(names: Iterable[str]) -> bool:
    """Whether what an answer says must be followed for an expression with these variables."""
    return not _OF_ANSWER.isdisjoint(names)


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _parameters(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in value.split(";")[1:])
    return {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs if name.strip()}


def _request_field(ctx: Context, name: bytes) -> str:
    return (ctx.request_fields.get(name) or b"").decode("latin-1")


def _response_field(ctx: Context, name: bytes) -> str:
    return (ctx.response.fields.get(name) or b"").decode("latin-1") if ctx.response else ""


def _length(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0


def _listed(value: str) -> list[str]:
    return [item.strip().lower() for item in value.split(",") if item.strip()]


def _query(ctx: Context) -> str:
    return ctx.query.decode("latin-1")


def _query_params(ctx: Context) -> dict[str, list[str]]:
    return parse_qs(_query(ctx), keep_blank_values=True)


def _scheme(ctx: Context) -> str:
    return str(ctx.scope.get("scheme", "http"))


def _host(ctx: Context) -> str:
    return _request_field(ctx, b"host")


def _host_name(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _port(ctx: Context) -> int:
    tail = _host(ctx).rpartition(":")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 6 else {"https": 443}.get(_scheme(ctx), 80)


def _path(ctx: Context) -> str:
    """On an AI path the one spelling of it: `/chat/completions` is served like `/v1/chat/completions`, so a rule about
    the one must hold for the other."""
    return ctx.route.path if ctx.route else ctx.path


def _uri(ctx: Context) -> str:
    return f"{_path(ctx)}?{_query(ctx)}" if ctx.query else _path(ctx)


def _raw_uri(ctx: Context) -> str:
    path = ctx.raw_path.decode("latin-1")
    return f"{path}?{_query(ctx)}" if ctx.query else path


def _cookies(ctx: Context) -> dict[str, list[dict[str, str]]]:
    made: dict[str, list[dict[str, str]]] = {}
    for pair in _request_field(ctx, b"cookie").split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator:
            made.setdefault(name, []).append({"name": name, "value": value})
    return made


def _cookie(ctx: Context, name: str) -> dict[str, str] | None:
    return next(iter(_cookies(ctx).get(name, ())), None)


def _body(ctx: Context) -> Mapping[str, Any]:
    return {} if ctx.payload is None else ctx.payload.value


def _messages(ctx: Context) -> list[dict[str, str]]:
    return [each._asdict() for each in ctx.said()]


def _field_of_message(name: str) -> Callable[[Context], str]:
    return lambda ctx: ctx.stream.message.get(name) if ctx.stream else ""


def _retry(ctx: Context) -> int:
    return _length(ctx.stream.message.get("retry")) if ctx.stream else 0


def _end(ctx: Context, end: str, index: int) -> Any:
    pair = ctx.scope.get(end)
    return pair[index] if pair else ("" if index == 0 else 0)


def _client_ip(ctx: Context) -> str:
    return str(ctx.client_ip or "")


def _timestamp(seconds: float) -> Timestamp:
    return Timestamp(int(seconds * 1_000_000) * 1000)


def _now(_: Context) -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


ROWS: tuple[Row, ...] = (
    Row("conn.client_ip", STRING, _client_ip, _ALL, "The client's address, as trusted proxies tell it."),
    Row("conn.client_port", INT, lambda ctx: _end(ctx, "client", 1) or 0, _ALL, "The peer's port."),
    Row("conn.server_ip", STRING, lambda ctx: _end(ctx, "server", 0), _ALL, "The address that took the connection."),
    Row("conn.server_port", INT, lambda ctx: _end(ctx, "server", 1) or 0, _ALL, "The port that took the connection."),
    Row("conn.ts.start", TIMESTAMP, lambda ctx: _timestamp(ctx.received_at), _ALL, "When the request arrived."),
    Row("endpoint.host", STRING, lambda ctx: _host_name(_host(ctx)), _ALL, "The host name that was called."),
    Row("endpoint.port", INT, _port, _ALL, "The port that was called."),
    Row("endpoint.protocol", STRING, _scheme, _ALL, "`http` or `https`."),
    Row("endpoint.url", STRING, lambda ctx: f"{_scheme(ctx)}://{_host(ctx)}", _ALL, "Scheme and host as called."),
    Row("time.now", STRING, _now, _ALL, "Now, as RFC 3339 text in UTC."),
    Row("vars", MapType(STRING, DYN), lambda ctx: ctx.vars, _ALL, "What `set-vars` has set."),
    Row("actions", MapType(STRING, DYN), lambda ctx: ctx.results, _ALL, "Results of the actions that ran."),
    Row("req.id", STRING, lambda ctx: ctx.id, _HTTP, "The request's id, as answered in `x-request-id`."),
    Row("req.method", STRING, lambda ctx: ctx.method, _HTTP, "The method, in upper case."),
    Row("req.version", STRING, lambda ctx: f"HTTP/{ctx.scope.get('http_version', '1.1')}", _HTTP, "`HTTP/1.1`."),
    Row("req.host", STRING, _host, _HTTP, "The Host field."),
    Row("req.headers", _MULTIMAP, lambda ctx: ctx.request_fields.map, _HTTP, "Fields by lower-case name."),
    Row("req.trailers", _MULTIMAP, lambda ctx: {}, _HTTP, "Always empty: trailers are not taken in."),
    Row("req.cookies", MapType(STRING, ListType(DYN)), _cookies, _HTTP, "Cookies by name."),
    Row("req.content_length", INT, lambda ctx: _length(_request_field(ctx, b"content-length")), _HTTP, "0 if unknown."),
    Row(
        "req.content_type", STRING, lambda ctx: _media_type(_request_field(ctx, b"content-type")), _HTTP, "Media type."
    ),
    Row(
        "req.content_type.parameters",
        MapType(STRING, STRING),
        lambda ctx: _parameters(_request_field(ctx, b"content-type")),
        _HTTP,
        "Parameters of Content-Type.",
    ),
    Row("req.content_type.raw", STRING, lambda ctx: _request_field(ctx, b"content-type"), _HTTP, "The whole field."),
    Row("req.content_encoding", _STRINGS, lambda ctx: _listed(_request_field(ctx, b"content-encoding")), _HTTP, ""),
    Row("req.location", STRING, lambda ctx: _request_field(ctx, b"location"), _HTTP, "The Location field."),
    Row("req.user_agent", STRING, lambda ctx: _request_field(ctx, b"user-agent"), _HTTP, "The User-Agent field."),
    Row("req.url", STRING, lambda ctx: f"{_scheme(ctx)}://{_host(ctx)}{_uri(ctx)}", _HTTP, "The whole URL."),
    Row("req.url.scheme", STRING, _scheme, _HTTP, "`http` or `https`."),
    Row("req.url.authority", STRING, _host, _HTTP, "Host and port as sent."),
    Row("req.url.host", STRING, lambda ctx: _host_name(_host(ctx)), _HTTP, "The host name."),
    Row("req.url.port", INT, _port, _HTTP, "The port, or the scheme's own."),
    Row("req.url.path", STRING, _path, _HTTP, "The path below the mount; an AI path always with its version."),
    Row("req.url.raw_path", STRING, lambda ctx: ctx.raw_path.decode("latin-1"), _HTTP, "The path as sent."),
    Row("req.url.query", STRING, _query, _HTTP, "The query, without `?`."),
    Row("req.url.query_params", _MULTIMAP, _query_params, _HTTP, "Query parameters by name."),
    Row("req.url.uri", STRING, _uri, _HTTP, "Path and query."),
    Row("req.url.raw", STRING, lambda ctx: f"{_scheme(ctx)}://{_host(ctx)}{_raw_uri(ctx)}", _HTTP, "URL as sent."),
    Row("req.ts.header_received", TIMESTAMP, lambda ctx: _timestamp(ctx.received_at), _HTTP, "When the head arrived."),
    Row("req.body", DYN, _body, _HTTP, "The JSON body, or a form's text fields; reading it buffers the request."),
    Row("res.status_code", INT, lambda ctx: ctx.response.status if ctx.response else 0, _ANSWER, "The status."),
    Row("res.headers", _MULTIMAP, lambda ctx: ctx.head.map, _ANSWER, "Fields by lower-case name."),
    Row("res.trailers", _MULTIMAP, lambda ctx: {}, _ANSWER, "Always empty."),
    Row("res.content_type", STRING, lambda ctx: _media_type(_response_field(ctx, b"content-type")), _ANSWER, ""),
    Row("res.content_type.raw", STRING, lambda ctx: _response_field(ctx, b"content-type"), _ANSWER, ""),
    Row("res.content_encoding", _STRINGS, lambda ctx: _listed(_response_field(ctx, b"content-encoding")), _ANSWER, ""),
    Row("res.content_length", INT, lambda ctx: _length(_response_field(ctx, b"content-length")), _ANSWER, ""),
    Row("res.location", STRING, lambda ctx: _response_field(ctx, b"location"), _ANSWER, ""),
    Row(
        "ai.request.text",
        STRING,
        lambda ctx: "\n".join(each.text for each in ctx.said()),
        _HTTP,
        "All that the request says to a model, in any of the API formats; reading it buffers the request.",
    ),
    Row(
        "ai.request.messages",
        ListType(MapType(STRING, STRING)),
        _messages,
        _HTTP,
        "The same message by message: `role` and `text`.",
    ),
    Row(
        "ai.response.text",
        STRING,
        lambda ctx: ctx.stream.answered.text if ctx.stream else "",
        _MESSAGE,
        "What the streamed answer has said up to this message; the last 64 Ki characters of each choice.",
    ),
    Row(
        "ai.response.delta",
        STRING,
        lambda ctx: ctx.stream.answered.delta if ctx.stream else "",
        _MESSAGE,
        "The piece of text that this message brings.",
    ),
    Row("sse.data", STRING, _field_of_message("data"), _MESSAGE, "The message's data; its lines joined by `\\n`."),
    Row("sse.event", STRING, _field_of_message("event"), _MESSAGE, "The message's event type, empty without one."),
    Row("sse.id", STRING, _field_of_message("id"), _MESSAGE, "The message's id, empty without one."),
    Row("sse.retry", INT, _retry, _MESSAGE, "The message's reconnection time in milliseconds, 0 without one."),
    Row(
        "sse.json",
        DYN,
        lambda ctx: ctx.stream.message.json if ctx.stream else None,
        _MESSAGE,
        "The message's data as JSON, null where it is none, such as `[DONE]`.",
    ),
)

# Contextual, although it asks for nothing: what is not is worked out once, at load.
_EVERYWHERE = (Overload("time.now", (), STRING, _now, contextual=True),)
_REQUEST = (
    Overload("getReqHeader", (STRING,), _STRINGS, lambda ctx, n: ctx.request_fields.texts(n), contextual=True),
    Overload("hasReqHeader", (STRING,), BOOL, lambda ctx, n: ctx.request_fields.has(n), contextual=True),
    Overload("getQueryParam", (STRING,), _STRINGS, lambda ctx, n: _query_params(ctx).get(n, []), contextual=True),
    Overload("hasQueryParam", (STRING,), BOOL, lambda ctx, n: n in _query_params(ctx), contextual=True),
    Overload("getReqCookie", (STRING,), DYN, _cookie, contextual=True),
    Overload("hasReqCookie", (STRING,), BOOL, lambda ctx, n: n in _cookies(ctx), contextual=True),
)
_RESPONSE = (
    Overload("getResHeader", (STRING,), _STRINGS, lambda ctx, n: ctx.head.texts(n), contextual=True),
    Overload("hasResHeader", (STRING,), BOOL, lambda ctx, n: ctx.head.has(n), contextual=True),
)
