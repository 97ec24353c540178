from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import ip_network
from itertools import islice
from typing import Any

import pytest
from starlette.types import Message

from ai_gateway_mw.addresses import Ranges
from ai_gateway_mw.answering import ResponseHead
from ai_gateway_mw.cel import EvaluationError, Timestamp
from ai_gateway_mw.context import Context, Limits
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.variables import ROWS, reads_body, variables_elsewhere
from tests.asgi import http_scope
from tests.gateways import actions, problems_of, secret_store

REQUEST, RESPONSE, CONNECT = Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE, Phase.ON_TCP_CONNECT
MESSAGE = Phase.ON_EVENT_STREAM_MESSAGE

FORM = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B--'


async def nothing() -> Message:
    return {"type": "http.disconnect"}


def context(path: str = "/", body: bytes | None = None, method: str = "GET", **scope: Any) -> Context:
    made = http_scope(method, path, **scope)
    ctx = Context(made, nothing, route=route_of(made["path"]), limits=Limits())
    ctx.body = body
    return ctx


@cache
def stores() -> Stores:
    return Stores(Settings(), secrets=secret_store())


def value(text: str, ctx: Context, phase: Phase = REQUEST) -> Any:
    runtime = Runtime(stores(), phase)
    expression = runtime.expression(text)
    assert expression is not None, runtime.problems
    return expression(ctx)


FULL = {
    "path": "/v1/models?q=1&q=2&e=&u=%C3%A9",
    "root_path": "/api",
    "headers": [
        ("host", "gw.test:8443"), ("X-A", "1"), ("x-a", "2"), ("content-encoding", "GZIP"),
        ("content-type", 'Text/Plain; Charset="utf-8"; q'), ("content-length", "12"), ("content-encoding", "br"),
        ("cookie", "a=1; b=x=y; a=2; junk"), ("cookie", "c=3; a=4"), ("user-agent", "tests/1"), ("location", "/there"),
    ],
    "scheme": "https",
    "client": ("203.0.113.7", 5000),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conn.client_ip", "203.0.113.7"),
        ("conn.client_port", 5000),
        ("conn.server_ip", "127.0.0.1"),
        ("conn.server_port", 8080),
        ("endpoint.host", "gw.test"),
        ("endpoint.port", 8443),
        ("endpoint.protocol", "https"),
        ("endpoint.url", "https://gw.test:8443"),
        ("req.method", "GET"),
        ("req.version", "HTTP/1.1"),
        ("req.host", "gw.test:8443"),
        ("req.headers['x-a']", ["1", "2"]),
        ("req.headers['X-A'][1]", "2"),
        ("'X-a' in req.headers", True),
        ("has(req.headers.location)", True),
        ("req.headers.exists(n, n == 'x-a')", True),
        ("req.trailers.size()", 0),
        ("req.cookies['a'].map(c, c.value)", ["1", "2", "4"]),
        ("req.cookies['b'][0].value", "x=y"),
        ("hasReqCookie('c') && getReqCookie('c').value == '3'", True),
        ("req.content_length", 12),
        ("req.content_type", "text/plain"),
        ("req.content_type.parameters['charset']", "utf-8"),
        ("req.content_type.raw", 'Text/Plain; Charset="utf-8"; q'),
        ("req.content_encoding", ["gzip", "br"]),
        ("req.location", "/there"),
        ("req.user_agent", "tests/1"),
        ("req.url", "https://gw.test:8443/v1/models?q=1&q=2&e=&u=%C3%A9"),
        ("req.url.scheme", "https"),
        ("req.url.authority", "gw.test:8443"),
        ("req.url.host", "gw.test"),
        ("req.url.port", 8443),
        ("req.url.path", "/v1/models"),
        ("req.url.raw_path", "/v1/models"),
        ("req.url.query", "q=1&q=2&e=&u=%C3%A9"),
        ("req.url.query_params['q']", ["1", "2"]),
        ("req.url.query_params['u'][0]", "é"),
        ("req.url.uri", "/v1/models?q=1&q=2&e=&u=%C3%A9"),
        ("req.url.raw", "https://gw.test:8443/v1/models?q=1&q=2&e=&u=%C3%A9"),
        ("getReqHeader('X-A')", ["1", "2"]),
        ("getReqHeader('nope')", []),
        ("hasReqHeader('USER-AGENT')", True),
        ("hasReqHeader('nope')", False),
        ("getQueryParam('q')", ["1", "2"]),
        ("getQueryParam('nope')", []),
        ("hasQueryParam('e')", True),
        ("hasQueryParam('nope')", False),
        ("getReqCookie('a').value", "1"),
        ("getReqCookie('nope') == null", True),
        ("hasReqCookie('b')", True),
        ("hasReqCookie('nope')", False),
        ("conn.ts.start == req.ts.header_received", True),
        ("conn.ts.start > timestamp('2024-01-01T00:00:00Z')", True),
        ("time.now <= time.now()", True),
        ("timestamp(time.now) > conn.ts.start - duration('1s')", True),
        ("req.id.startsWith('req_')", True),
        ("vars.size() == 0 && has(actions.ngrok) && !has(actions.ngrok.log)", True),
    ],
)  # fmt: skip
def test_what_an_expression_reads(text: str, expected: Any) -> None:
    assert value(text, context(**FULL)) == expected


# What a guard asks of a client's key must not be null without one: `!= 'dev'` would hold then.
OF_A_KEY = [row.name for row in ROWS if row.name.startswith("actions.gateway_auth.key.")]


@pytest.mark.parametrize("name", OF_A_KEY)
def test_without_a_key_nothing_of_it_can_be_read(name: str) -> None:
    with pytest.raises(EvaluationError, match="without a gateway key"):
        value(name, context())


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in OF_A_KEY], ids=lambda row: row.name)
def test_every_variable_has_a_value_when_the_server_tells_as_little_as_it_may(row: Any) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": None, "server": None}
    ctx = Context(scope, nothing)
    phase = next(phase for phase in (RESPONSE, REQUEST, MESSAGE) if phase in row.phases)
    ctx.response = ResponseHead(200, Fields()) if phase is RESPONSE else None
    value(row.name, ctx, phase)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_variable_is_described(row: Any) -> None:
    ours = ("conn.", "endpoint.", "time.", "req.", "res.", "ai.", "sse.", "actions.")
    assert row.name.startswith(ours) or row.name in ("vars", "actions")
    assert isinstance(row.doc, str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("res.status_code", 201),
        ("res.headers['X-B'][0]", "1"),
        ("res.content_type", "text/html"),
        ("res.content_type.raw", "text/html; charset=utf-8"),
        ("res.content_length", 0),
        ("res.location", "/x"),
        ("res.content_encoding", []),
        ("res.trailers.size()", 0),
        ("getResHeader('x-b')", ["1"]),
        ("hasResHeader('X-B') && !hasResHeader('x-c')", True),
        ("req.method", "GET"),
    ],
)
def test_what_the_response_phase_reads(text: str, expected: Any) -> None:
    ctx = context()
    fields = [(b"x-b", b"1"), (b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"-7")]
    ctx.response = ResponseHead(201, Fields([*fields, (b"location", b"/x")]))
    assert value(text, ctx, RESPONSE) == expected


@pytest.mark.parametrize(
    ("sent", "path", "uri"),
    [
        ("/a%3Fb?q=1", "/a?b", "/a%3Fb?q=1"),
        ("/a%23b", "/a#b", "/a%23b"),
        ("/a%20b%25", "/a b%", "/a%20b%25"),
        ("/adm%69n/%7ex", "/admin/~x", "/admin/~x"),
        ("/%C3%A9", "/é", "/%C3%A9"),
        ("/a:b;c=d,e@f", "/a:b;c=d,e@f", "/a:b;c=d,e@f"),
    ],
)
def test_the_url_is_one_and_always_spelled_in_the_same_way(sent: str, path: str, uri: str) -> None:
    ctx = context(sent, headers={"host": "gw.test"})
    assert value("req.url.path", ctx) == path
    assert value("req.url.uri", ctx) == uri
    assert value("req.url", ctx) == f"http://gw.test{uri}"
    assert value("url.parse(req.url).query == req.url.query && url.parse(req.url).fragment == ''", ctx) is True


@pytest.mark.parametrize(
    ("text", "phase"),
    [("res.status_code == 200", "on_http_request"), ("req.method == 'GET'", "on_tcp_connect")]
    + [("getResHeader('a') == []", "on_http_request"), ("hasReqHeader('a')", "on_tcp_connect")],
)
def test_a_variable_of_another_phase_is_refused_at_load(text: str, phase: str) -> None:
    policy = actions("deny", expressions=[text]) if phase == "on_http_request" else {
        phase: [{"expressions": [text], "actions": [{"type": "log", "config": {"metadata": {}}}]}]
    }  # fmt: skip
    assert len(problems_of(policy)) == 1


def test_the_message_says_where_the_variable_is_known() -> None:
    (problem,) = problems_of(actions("deny", expressions=["res.status_code == 500"]))
    assert "on_http_response" in problem.message
    assert "res.status_code" in variables_elsewhere(REQUEST)


@pytest.mark.parametrize(
    "text", ["req.url.query_params['nope']", "req.headers['nope'][0]", "vars.nope", "req.body.nope"]
)
def test_what_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text, context())


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"model":"m","n":[1]}', "application/json", {"model": "m", "n": [1]}),
        (b'{"model":"m"}', "text/plain", {"model": "m"}),
        (FORM, "multipart/form-data; boundary=B", {"model": "m"}),
    ],
    ids=["JSON", "JSON under another name", "a form"],
)  # fmt: skip
def test_the_body_is_a_map(body: bytes, content_type: str, expected: dict[str, Any]) -> None:
    ctx = context("/v1/x", body, "POST", headers={"content-type": content_type})
    assert value("req.body", ctx) == expected
    assert value("req.body.model == 'm' && has(req.body.model) && !has(req.body.z)", ctx)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_request_without_a_body_has_an_empty_one(method: str) -> None:
    assert value("req.body", context("/v1/models", b"", method)) == {}


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/models/g:countTokens", "/v1beta/models/g:countTokens"),
        ("/orders/1", "/orders/1"),
    ],
)
def test_every_spelling_of_an_ai_path_reads_the_same(path: str, read: str) -> None:
    """Else a rule about one is slipped past by another, which is served all the same."""
    ctx = context(path + "?q=1", method="POST")
    assert value("req.url.path", ctx) == read
    assert value("req.url.uri", ctx) == f"{read}?q=1"
    assert value("req.url.raw_path", ctx) == path


@pytest.mark.parametrize("method", ["post", "Post", "POST"])
def test_methods_are_compared_in_upper_case(method: str) -> None:
    """Django takes `post` for POST; a rule must not be slipped past by spelling."""
    assert value("req.method == 'POST'", context(method=method))


def test_the_clients_address_is_decided_on_what_arrived() -> None:
    scope = http_scope(headers={"x-forwarded-for": "192.0.2.1"}, client=("10.0.0.1", 1))
    ctx = Context(scope, nothing, limits=Limits(trusted_proxies=Ranges([ip_network("10.0.0.0/8")])))
    ctx.request_fields.remove(b"x-forwarded-for")
    assert value("conn.client_ip", ctx) == "192.0.2.1"


@pytest.mark.parametrize(
    ("names", "reads"),
    [({"req.body"}, True), ({"req.method", "req.body"}, True), ({"req.headers"}, False), ((), False)],
)
def test_only_the_body_itself_has_to_be_read(names: Any, reads: bool) -> None:
    assert reads_body(names) is reads


def test_times_are_exact_to_the_microsecond() -> None:
    ctx = context()
    ctx.received_at = 1_700_000_000.25
    assert value("conn.ts.start", ctx) == Timestamp(1_700_000_000_250_000_000)
    assert value("conn.ts.start == timestamp('2023-11-14T22:13:20.250Z')", ctx)


@pytest.mark.parametrize("text", ["rand.int(1, 0)", "rand.int(int(req.url.query_params['q'][0]), 0)"])
def test_random_numbers_between_bounds_that_cross_are_an_error(text: str) -> None:
    with pytest.raises(EvaluationError, match="smaller number first"):
        value(text, context("/?q=5"))


def evaluations(text: str, ctx: Context) -> Iterator[Any]:
    """The values of one expression, one after the other."""
    expression = Runtime(Stores(Settings(), secrets=secret_store())).expression(text)
    assert expression is not None
    while True:
        yield expression(ctx)


@pytest.mark.parametrize("text", ["rand.double()", "rand.int(0, 1000000)", "rand.int(0, 1000000) + 1", "rand.int()"])
def test_each_evaluation_has_a_random_number_of_its_own(text: str) -> None:
    assert len(set(islice(evaluations(text, context()), 100))) > 1


@pytest.mark.parametrize("text", ["time.now()", "time.now", "[time.now()][0]"])
def test_time_goes_on_between_evaluations(text: str) -> None:
    values = evaluations(text, context())
    first = next(values)
    assert next(value for value in values if value != first) > first  # after a millisecond


def test_random_numbers_lie_between_their_bounds() -> None:
    assert {value("rand.int(3, 3)", context()), value("rand.int(0, 1) in [0, 1]", context())} == {3, True}
    assert 0 <= value("rand.double()", context()) < 1


def test_the_whole_of_req_cannot_be_read() -> None:
    assert problems_of(actions("deny", expressions=["req == null"]))
