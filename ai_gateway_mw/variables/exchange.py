"""The exchange: the request, the answer, time, and what the policy has set; the functions that read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from ai_gateway_mw.cel import BOOL, DYN, INT, STRING, TIMESTAMP, ListType, MapType, Overload, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.facts import request_cookies, response_cookies, user_agent
from ai_gateway_mw.urls import normal_path
from ai_gateway_mw.variables.connection import timestamp
from ai_gateway_mw.variables.endpoint import host, host_name, port, scheme
from ai_gateway_mw.variables.row import ALL, ANSWER, HTTP, MULTIMAP, STRINGS, Row


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _parameters(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in value.split(";")[1:])
    return {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs if name.strip()}


def _request_field(ctx: Context, name: bytes) -> str:
    return (ctx.request_fields.get(name) or b"").decode("latin-1")


def _response_field(ctx: Context, name: bytes) -> str:
    return (ctx.response.fields.get(name) or b"").decode("latin-1") if ctx.response else ""


def length(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0


def _listed(value: str) -> list[str]:
    return [item.strip().lower() for item in value.split(",") if item.strip()]


def _query(ctx: Context) -> str:
    return ctx.query.decode("latin-1")


def _query_params(ctx: Context) -> dict[str, list[str]]:
    return parse_qs(_query(ctx), keep_blank_values=True)


def _path(ctx: Context) -> str:
    """On an AI path the one spelling of it: `/chat/completions` is served like `/v1/chat/completions`, so a rule about
    the one must hold for the other."""
    return ctx.route.path if ctx.route else ctx.path


def _uri(ctx: Context) -> str:
    path = normal_path(_path(ctx))
    return f"{path}?{_query(ctx)}" if ctx.query else path


def _raw_uri(ctx: Context) -> str:
    path = ctx.raw_path.decode("latin-1")
    return f"{path}?{_query(ctx)}" if ctx.query else path


def _cookies(ctx: Context) -> dict[str, list[dict[str, Any]]]:
    return request_cookies("; ".join(ctx.request_fields.texts("cookie")))  # RFC 9113 8.2.3: one may come in several


def _cookie(ctx: Context, name: str) -> dict[str, Any] | None:
    return next(iter(_cookies(ctx).get(name, ())), None)


def _set_cookies(ctx: Context) -> dict[str, list[dict[str, Any]]]:
    return response_cookies(ctx.head.texts("set-cookie")) if ctx.response else {}


def _set_cookie(ctx: Context, name: str) -> dict[str, Any] | None:
    return next(iter(_set_cookies(ctx).get(name, ())), None)


def _user_agent(name: str, type_: Type, doc: str) -> Row:
    def read(ctx: Context) -> Any:
        return getattr(user_agent(_request_field(ctx, b"user-agent")), name)

    return Row(f"req.user_agent.{name}", type_, read, HTTP, doc)


def _body_received(ctx: Context) -> Any:
    return None if ctx.body_received_at is None else timestamp(ctx.body_received_at)


def _body(ctx: Context) -> Mapping[str, Any]:
    return {} if ctx.payload is None else ctx.payload.value


def _now(_: Context) -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_USER_AGENT = (
    ("name", "The name in it: `Safari`, `curl`, `Googlebot`."),
    ("version", "The version of that."),
    ("os", "`Windows`, `macOS`, `iOS`, `Android`, `Linux`, …"),
    ("os_version", "The version of that."),
    ("device", "`iPhone`, `Pixel 7`, …"),
    ("url", "The address that bots give."),
)
_KINDS_OF_AGENTS = (("mobile", "a phone"), ("tablet", "a tablet"), ("desktop", "a desktop"), ("bot", "a bot"))

EXCHANGE_ROWS: tuple[Row, ...] = (
    Row("time.now", STRING, _now, ALL, "Now, as RFC 3339 text in UTC."),
    Row("vars", MapType(STRING, DYN), lambda ctx: ctx.vars, ALL, "What `set-vars` has set."),
    Row("actions", MapType(STRING, DYN), lambda ctx: ctx.results, ALL, "Results of the actions that ran."),
    Row("req.id", STRING, lambda ctx: ctx.id, HTTP, "The request's id, as answered in `x-request-id`."),
    Row("req.method", STRING, lambda ctx: ctx.method, HTTP, "The method, in upper case."),
    Row("req.version", STRING, lambda ctx: f"HTTP/{ctx.scope.get('http_version', '1.1')}", HTTP, "`HTTP/1.1`."),
    Row("req.host", STRING, host, HTTP, "The Host field."),
    Row("req.headers", MULTIMAP, lambda ctx: ctx.request_fields.map, HTTP, "Fields by lower-case name."),
    Row("req.trailers", MULTIMAP, lambda ctx: {}, HTTP, "Always empty: trailers are not taken in."),
    Row("req.cookies", MapType(STRING, ListType(DYN)), _cookies, HTTP, "Cookies by name."),
    Row("req.content_length", INT, lambda ctx: length(_request_field(ctx, b"content-length")), HTTP, "0 if unknown."),
    Row("req.content_type", STRING, lambda ctx: _media_type(_request_field(ctx, b"content-type")), HTTP, "Media type."),
    Row(
        "req.content_type.parameters",
        MapType(STRING, STRING),
        lambda ctx: _parameters(_request_field(ctx, b"content-type")),
        HTTP,
        "Parameters of Content-Type.",
    ),
    Row("req.content_type.raw", STRING, lambda ctx: _request_field(ctx, b"content-type"), HTTP, "The whole field."),
    Row(
        "req.content_encoding",
        STRINGS,
        lambda ctx: _listed(",".join(ctx.request_fields.texts("content-encoding"))),
        HTTP,
        "Codings of the body.",
    ),
    Row("req.location", STRING, lambda ctx: _request_field(ctx, b"location"), HTTP, "The Location field."),
    Row("req.user_agent", STRING, lambda ctx: _request_field(ctx, b"user-agent"), HTTP, "The User-Agent field."),
    *(_user_agent(name, STRING, doc) for name, doc in _USER_AGENT),
    *(_user_agent(f"is_{kind}", BOOL, f"Whether it is {doc}.") for kind, doc in _KINDS_OF_AGENTS),
    Row("req.url", STRING, lambda ctx: f"{scheme(ctx)}://{host(ctx)}{_uri(ctx)}", HTTP, "The whole URL, encoded."),
    Row("req.url.scheme", STRING, scheme, HTTP, "`http` or `https`."),
    Row("req.url.authority", STRING, host, HTTP, "Host and port as sent."),
    Row("req.url.host", STRING, lambda ctx: host_name(host(ctx)), HTTP, "The host name."),
    Row("req.url.port", INT, port, HTTP, "The port, or the scheme's own."),
    Row("req.url.path", STRING, _path, HTTP, "The path below the mount; an AI path always with its version."),
    Row("req.url.raw_path", STRING, lambda ctx: ctx.raw_path.decode("latin-1"), HTTP, "The path as sent."),
    Row("req.url.query", STRING, _query, HTTP, "The query, without `?`."),
    Row("req.url.query_params", MULTIMAP, _query_params, HTTP, "Query parameters by name."),
    Row(
        "req.url.user_password",
        STRING,
        lambda ctx: host(ctx).rpartition("@")[0],
        HTTP,
        "`user:password`, if the authority has it.",
    ),
    Row("req.url.uri", STRING, _uri, HTTP, "Path and query, encoded."),
    Row("req.url.raw", STRING, lambda ctx: f"{scheme(ctx)}://{host(ctx)}{_raw_uri(ctx)}", HTTP, "URL as sent."),
    Row("req.ts.header_received", TIMESTAMP, lambda ctx: timestamp(ctx.received_at), HTTP, "When the head arrived."),
    Row(
        "req.ts.body_received",
        TIMESTAMP,
        _body_received,
        HTTP,
        "When the body was there; reading it buffers the request.",
    ),
    Row("req.body", DYN, _body, HTTP, "The JSON body, or a form's text fields; reading it buffers the request."),
    Row("res.status_code", INT, lambda ctx: ctx.response.status if ctx.response else 0, ANSWER, "The status."),
    Row("res.headers", MULTIMAP, lambda ctx: ctx.head.map, ANSWER, "Fields by lower-case name."),
    Row(
        "res.cookies", MapType(STRING, ListType(DYN)), _set_cookies, ANSWER, "Cookies that are set; longest path first."
    ),
    Row("res.trailers", MULTIMAP, lambda ctx: {}, ANSWER, "Always empty."),
    Row(
        "res.content_type",
        STRING,
        lambda ctx: _media_type(_response_field(ctx, b"content-type")),
        ANSWER,
        "Media type.",
    ),
    Row(
        "res.content_type.parameters",
        MapType(STRING, STRING),
        lambda ctx: _parameters(_response_field(ctx, b"content-type")),
        ANSWER,
        "Parameters of Content-Type.",
    ),
    Row("res.content_type.raw", STRING, lambda ctx: _response_field(ctx, b"content-type"), ANSWER, "The whole field."),
    Row(
        "res.content_encoding",
        STRINGS,
        lambda ctx: _listed(",".join(ctx.head.texts("content-encoding"))),
        ANSWER,
        "Codings of the body.",
    ),
    Row(
        "res.content_length", INT, lambda ctx: length(_response_field(ctx, b"content-length")), ANSWER, "0 if unknown."
    ),
    Row("res.location", STRING, lambda ctx: _response_field(ctx, b"location"), ANSWER, "The Location field."),
)

# Contextual, although it asks for nothing: what is not is worked out once, at load.
EVERYWHERE = (Overload("time.now", (), STRING, _now, contextual=True),)
REQUEST = (
    Overload("getReqHeader", (STRING,), STRINGS, lambda ctx, n: ctx.request_fields.texts(n), contextual=True),
    Overload("hasReqHeader", (STRING,), BOOL, lambda ctx, n: ctx.request_fields.has(n), contextual=True),
    Overload("getQueryParam", (STRING,), STRINGS, lambda ctx, n: _query_params(ctx).get(n, []), contextual=True),
    Overload("hasQueryParam", (STRING,), BOOL, lambda ctx, n: n in _query_params(ctx), contextual=True),
    Overload("getReqCookie", (STRING,), DYN, _cookie, contextual=True),
    Overload("hasReqCookie", (STRING,), BOOL, lambda ctx, n: n in _cookies(ctx), contextual=True),
)
RESPONSE = (
    Overload("getResHeader", (STRING,), STRINGS, lambda ctx, n: ctx.head.texts(n), contextual=True),
    Overload("hasResHeader", (STRING,), BOOL, lambda ctx, n: ctx.head.has(n), contextual=True),
    Overload("getResCookie", (STRING,), DYN, _set_cookie, contextual=True),
    Overload("hasResCookie", (STRING,), BOOL, lambda ctx, n: n in _set_cookies(ctx), contextual=True),
)
