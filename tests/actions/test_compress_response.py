from __future__ import annotations

import gzip
import logging
import sys
import zlib
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.compression import is_there
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, Response, request
from tests.gateways import CHAT, CHAT_PATH, Pieces, Provider, actions, gateway, request_log
from tests.servers import serving

pytestmark = pytest.mark.anyio

TEXT = b"a text that says the same again and again, " * 100
GZIP = {"accept-encoding": "gzip"}
COMPRESS = actions("compress-response", phase="on_http_response")


class Answers:
    """An app that answers with these pieces."""

    def __init__(self, *pieces: bytes, status: int = 200, **fields: str) -> None:
        self.pieces = pieces or (TEXT,)
        self.status = status
        named = {"content-type": "text/plain"} | {name.replace("_", "-"): value for name, value in fields.items()}
        self.fields = [(name.encode(), value.encode()) for name, value in named.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.fields})
        last = len(self.pieces) - 1
        for number, piece in enumerate(self.pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": number < last})


def compressing(host: Any, *more: Any, policy: Any = None, **config: Any) -> GatewayMiddleware:
    written = policy or actions(("compress-response", config), *more, phase="on_http_response")
    return GatewayMiddleware(host, gateway=gateway(written), intercept="all")


async def ask(host: Any, method: str = "GET", accept: str = "gzip", *more: Any, **config: Any) -> Response:
    headers = {"accept-encoding": accept} if accept else {}
    return await request(compressing(host, *more, **config), method, "/x", headers=headers)


async def test_an_answer_is_compressed() -> None:
    answer = await ask(Answers(content_length=str(len(TEXT)), etag='"abc"', accept_ranges="bytes", vary="Origin"))
    assert gzip.decompress(answer.body) == TEXT
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["etag"] == 'W/"abc"'
    assert answer.headers.getlist("vary") == ["Origin", "accept-encoding"]
    assert "accept-ranges" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("host", "accept"),
    [
        (Answers(), ""),
        (Answers(), "identity"),
        (Answers(), "gzip;q=0"),
        (Answers(b"short"), "gzip"),
        (Answers(b"short", content_length="5"), "gzip"),
        (Answers(content_type="image/png"), "gzip"),
        (Answers(content_type="text/event-stream"), "gzip"),
        (Answers(content_encoding="br"), "gzip"),
        (Answers(cache_control="no-transform"), "gzip"),
        (Answers(set_cookie="a=b"), "gzip"),
        (Answers(repr_digest="sha-256=:AA==:"), "gzip"),
        (Answers(status=206, content_range="bytes 0-1/2"), "gzip"),
        (Answers(b"", status=204), "gzip"),
        (Answers(b"", status=304, etag='"abc"'), "gzip"),
    ],
)
async def test_what_is_left_as_it_is(host: Answers, accept: str) -> None:
    answer = await ask(host, accept=accept)
    assert (answer.status, answer.body) == (host.status, host.pieces[0])
    assert answer.headers.get("content-encoding", "br") == "br"
    assert answer.headers.get("etag", '"abc"') == '"abc"'


async def test_an_answer_to_head_is_left_as_it_is() -> None:
    answer = await ask(Answers(b"", content_length="5000", etag='"abc"'), "HEAD")
    assert (answer.headers["content-length"], answer.headers["etag"]) == ("5000", '"abc"')
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("host", "accept", "vary"),
    [
        (Answers(), "gzip", ["accept-encoding"]),
        (Answers(), "", ["accept-encoding"]),
        (Answers(vary="Accept-Encoding, Origin"), "gzip", ["Accept-Encoding, Origin"]),
        (Answers(vary="*"), "gzip", ["*"]),
        (Answers(content_type="image/png"), "gzip", []),
    ],
)
async def test_caches_are_told(host: Answers, accept: str, vary: list[str]) -> None:
    assert (await ask(host, accept=accept)).headers.getlist("vary") == vary


@pytest.mark.parametrize(
    ("known", "etag", "vary"),
    [
        ('W/"abc"', 'W/"abc"', ["Origin", "accept-encoding"]),
        ('"x", W/"abc"', 'W/"abc"', ["Origin", "accept-encoding"]),
        ('W/"a,b"', 'W/"a,b"', ["Origin", "accept-encoding"]),
        ('"abc"', '"abc"', ["Origin"]),
        ("", '"abc"', ["Origin"]),
    ],
)
async def test_what_a_client_has_compressed_is_not_called_otherwise(known: str, etag: str, vary: list[str]) -> None:
    host = Answers(b"", status=304, etag=etag.removeprefix("W/"), vary="Origin")
    headers = GZIP | ({"if-none-match": known} if known else {})
    answer = await request(compressing(host), "GET", "/x", headers=headers)
    assert (answer.status, answer.headers.getlist("etag"), answer.headers.getlist("vary")) == (304, [etag], vary)
    assert "content-encoding" not in answer.headers


async def test_a_stream_passes_as_it_comes() -> None:
    pieces = [b'{"n": %d}\n' % number for number in range(5)]
    decode = zlib.decompressobj(31).decompress
    app = compressing(Answers(*pieces, content_type="application/x-ndjson"))
    async with Exchange(app, path="/x", headers=GZIP, window=1) as ex:
        start = await ex.start()
        assert (start.headers["content-encoding"], "content-length" in start.headers) == ("gzip", False)
        for piece in pieces:
            assert decode(await ex.body() or b"") == piece
        assert decode(await ex.rest()) == b""


async def test_a_large_body_is_compressed_in_slices() -> None:
    large = TEXT * 100
    app = compressing(Answers(large))
    async with Exchange(app, path="/x", headers=GZIP) as ex:
        await ex.start()
        pieces = []
        while (piece := await ex.body()) is not None:
            pieces.append(piece)
    assert len(pieces) > len(large) // (64 * 1024)
    assert gzip.decompress(b"".join(pieces)) == large


async def test_what_providers_answer_is_compressed_too() -> None:
    body = {"id": "1", "choices": [{"message": {"content": "again and again " * 200}}]}
    ai = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]})
    to = gateway(actions(ai) | COMPRESS, provider=Provider(body=body))
    answer = await request(to.app, "POST", CHAT_PATH, json=CHAT, headers=GZIP)
    assert answer.headers["content-encoding"] == "gzip"
    assert b"again and again" in gzip.decompress(answer.body)
    assert answer.headers["x-gateway-provider"] == "openai"


async def test_events_of_a_provider_pass_as_they_are() -> None:
    stream = Pieces(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n")
    provider = Provider(stream=stream)
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)
    )
    ai = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]})
    to = Gateway.from_policy(actions(ai) | COMPRESS, transport=transport)
    answer = await request(to.app, "POST", CHAT_PATH, json=CHAT | {"stream": True}, headers=GZIP)
    assert "content-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert provider.requests == []


async def test_never_twice() -> None:
    answer = await ask(Answers(), "GET", "gzip", ("compress-response", {}))
    assert gzip.decompress(answer.body) == TEXT
    assert answer.headers.getlist("content-encoding") == ["gzip"]
    encoded = ("add-headers", {"headers": {"content-encoding": "br"}})
    answer = await ask(Answers(), "GET", "gzip", encoded)
    assert (answer.body, answer.headers["content-encoding"]) == (TEXT, "br")


async def test_what_a_later_rule_puts_in_its_place_is_not_compressed() -> None:
    answer = await ask(Answers(), "GET", "gzip", ("custom-response", {"body": "own " * 1000}))
    assert answer.text == "own " * 1000


async def test_what_it_came_to_can_be_read_by_later_rules() -> None:
    tells = ("add-headers", {"headers": {"x-c": "${actions.ngrok.compress}"}})
    seen = [
        (await ask(host, "GET", accept, tells)).headers["x-c"]
        for host, accept in ((Answers(), "gzip"), (Answers(), ""), (Answers(content_encoding="br"), "gzip"))
    ]
    assert seen == [
        '{"already_compressed":false,"negotiated_algorithm":"gzip"}',
        '{"already_compressed":false,"negotiated_algorithm":""}',
        '{"already_compressed":true,"negotiated_algorithm":""}',
    ]


async def test_an_app_that_fails_before_its_body_has_begun_is_answered_for() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(broken)


async def test_an_answer_that_breaks_off_is_not_completed(caplog: pytest.LogCaptureFixture) -> None:
    logged = request_log(caplog)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": TEXT, "more_body": True})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with Exchange(compressing(broken), path="/x", headers=GZIP) as ex:
            await ex.start()
            await ex.rest()
    assert [record["status"] for record in logged()] == [200]


async def test_files_that_the_server_sends_itself_are_left_alone() -> None:
    """`http.response.pathsend`: nothing of the body comes by here."""
    sent: list[Any] = []

    async def file(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.pathsend", "path": "/x"})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "client": ("::1", 1),
             "headers": [(b"accept-encoding", b"gzip")]}  # fmt: skip
    await compressing(file)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]
    assert b"content-encoding" not in dict(sent[0]["headers"])


def test_a_real_client_reads_it() -> None:
    with serving(compressing(Answers(*[TEXT] * 5)), lifespan="off") as url:
        answer = httpx.get(url, headers=GZIP)
        assert (answer.content, answer.headers["content-encoding"]) == (TEXT * 5, "gzip")


@pytest.mark.parametrize("name", ["deflate", "br", "zstd"])
async def test_other_codings(name: str) -> None:
    if not is_there(name):
        pytest.skip("its package is not installed")
    answer = await ask(Answers(), accept=f"gzip;q=0.5, {name}", algorithms=["gzip", name])
    assert answer.headers["content-encoding"] == name
    assert len(answer.body) < 500


GOOD: list[dict[str, Any]] = [
    {},
    {"algorithms": ["gzip"]},
    {"algorithms": ["deflate", "gzip"]},
    {"algorithms": ["br", "zstd", "gzip"]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"algorithms": ["lzma"]}, '"lzma"', "`algorithms[0]` must be `gzip`, `deflate`, `br`, `zstd` or"),
    ({"algorithms": ["gzip", "gzip"]}, "[", "`algorithms`: `gzip` is there twice"),
    ({"algorithms": []}, "[]", "`algorithms` must have 1 or more entries"),
    ({"algorithms": "gzip"}, '"gzip"', "`algorithms` must be a list, not the text `gzip`"),
    ({"algorithms": ["compress"]}, "[", "none of these"),
    ({"level": 9}, '"level"', "unknown field"),
    ({"algorithms": ["GZIP"]}, '"GZIP"', "`algorithms[0]` must be `gzip`, `deflate`, `br`, `zstd` or"),
    ({"algorithms": [1]}, "1", "`algorithms[0]` must be `gzip`, `deflate`, `br`, `zstd` or"),
    ({"algorithms": None}, "null", "`algorithms` must be a list, not nothing"),
    ({"algorithms": {"gzip": 9}}, "{", "`algorithms` must be a list, not a mapping"),
    ({"algorithm": ["gzip"]}, '"algorithm"', "unknown field `algorithm`; did you mean `algorithms`?"),
    ({"algorithms": ["${'gzip'}"]}, "\"${'gzip'}\"", "`algorithms[0]` must be `gzip`, `deflate`, `br`, `zstd` or"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("compress-response", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("compress-response", config, at, says)


def test_what_is_not_offered_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    written = actions(("compress-response", {"algorithms": ["compress", "gzip"]}), phase="on_http_response")
    (warning,) = gateway(written).warnings
    assert "`compress` is not offered" in warning.message
    assert gateway(COMPRESS).warnings == ()


def test_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    written = actions(("compress-response", {"algorithms": ["br", "gzip"]}), phase="on_http_response")
    (warning,) = gateway(written).warnings
    assert warning.message.endswith("brotli is not installed; do: pip install 'ai-gateway-mw[compression]'")
