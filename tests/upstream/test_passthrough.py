from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.errors import Overloaded, UpstreamInterrupted
from ai_gateway_mw.upstream.http1 import HTTPTransport
from tests.asgi import Exchange, request
from tests.upstream.scripted import Arrived, Providers, chat, failing, gateway, gateway_of, with_keys

pytestmark = pytest.mark.anyio

CONFIG = {
    "providers": [
        {"id": "openai", "api_keys": [{"value": "k"}]},
        {"id": "anthropic", "api_keys": [{"value": "k"}]},
        {"id": "google", "api_keys": [{"value": "k"}]},
    ],
    "per_request_timeout": "5s",
}
EVENTS = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def providers() -> Providers:
    return Providers()


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces: bytes as they are, an exception where it breaks off, an event to wait for."""

    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self._pieces = pieces
        self.closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed.set()


def answering(
    providers: Providers,
    *pieces: bytes | Exception | asyncio.Event,
    kind: str = EVENTS,
    status: int = 200,
    **fields: str,
) -> Pieces:
    """Let every request get this answer, in these pieces."""
    stream = Pieces(*pieces)
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in fields.items()}}
    providers.on("k", httpx.Response(status, headers=headers, stream=stream))
    return stream


def asking(
    gateway_: Gateway, path: str = "/v1/chat/completions", model: str = "gpt-4o", window: int | None = None
) -> Exchange:
    return Exchange(gateway_.app, method="POST", path=path, json={"model": model}, window=window)


async def pieces_of(exchange: Exchange) -> list[bytes]:
    """The body, piece by piece as the gateway sent it, without the empty last one."""
    async with exchange as ex:
        await ex.start()
        pieces = []
        while (piece := await ex.body()) is not None:
            pieces.append(piece)
        return [piece for piece in pieces if piece]


async def test_pieces_go_on_as_they_come(providers: Providers) -> None:
    sent = [b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n", DONE]
    stream = answering(providers, *sent)
    assert await pieces_of(asking(gateway(CONFIG, providers))) == sent
    assert stream.closed.is_set()


async def test_the_first_piece_arrives_before_the_second_is_there(providers: Providers) -> None:
    more = asyncio.Event()
    answering(providers, b"data: 1\n\n", more, DONE)
    async with asking(gateway(CONFIG, providers)) as ex:
        await ex.start()
        assert await ex.body() == b"data: 1\n\n"
        more.set()
        assert await ex.rest() == DONE


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        pytest.param([b"data: 1\n\nda", b"ta: 2\n\n"], [b"data: 1\n\n", b"data: 2\n\n"], id="half-a-line"),
        pytest.param([b"data: 1\n", b"\ndata: 2\n\n"], [b"data: 1\n\ndata: 2\n\n"], id="half-a-blank-line"),
        pytest.param([b"data: 1\r\n\r", b"\n"], [b"data: 1\r\n\r\n"], id="crlf"),
        pytest.param([b"data: a", b"b", b"c\n\n"], [b"data: abc\n\n"], id="three-pieces"),
        pytest.param([b"\n\n", b"data: 1\n\n"], [b"\n\ndata: 1\n\n"], id="blank-lines"),
        pytest.param([b"data: 1\r", b"\rda", b"ta: 2\r\r"], [b"data: 1\r\r", b"data: 2\r\r"], id="cr-only"),
        pytest.param([b"data: 1\n\r", b"\ndata: 2\n\n"], [b"data: 1\n\r\ndata: 2\n\n"], id="mixed"),
    ],
)
async def test_events_are_passed_on_whole(providers: Providers, sent: list[bytes], passed: list[bytes]) -> None:
    answering(providers, *sent, DONE)
    assert await pieces_of(asking(gateway(CONFIG, providers))) == [*passed, DONE]


async def test_the_last_event_may_lack_its_blank_line(providers: Providers) -> None:
    sent = [b"data: 1\n\n", b"data: [DONE]"]
    answering(providers, *sent)
    assert await pieces_of(asking(gateway(CONFIG, providers))) == sent


async def test_an_event_of_any_length_is_passed_on_in_bounded_parts(providers: Providers) -> None:
    part = b"x" * 300_000
    answering(providers, b"data: ", *[part] * 8, b"\n\n", DONE)
    pieces = await pieces_of(asking(gateway(CONFIG, providers)))
    assert b"".join(pieces) == b"data: " + part * 8 + b"\n\n" + DONE
    assert max(map(len, pieces)) < 1_500_000


async def test_an_error_of_any_length_is_passed_on_as_far_as_it_makes_sense(providers: Providers) -> None:
    answering(providers, *[b"x" * 300_000] * 8, kind="text/plain", status=400)
    answer = await chat(gateway(CONFIG, providers))
    assert answer.status == 400
    assert 1_000_000 < len(answer.body) < 1_500_000
    assert answer.headers["content-length"] == str(len(answer.body))


def openai_says(event: bytes) -> str:
    content = json.loads(event.removeprefix(b"data: "))
    return str(content["error"]["code"])


def responses_says(event: bytes) -> str:
    head, _, data = event.partition(b"\n")
    assert head == b"event: error"
    content = json.loads(data.removeprefix(b"data: "))
    assert content["type"] == "error"
    return str(content["code"])


def anthropic_says(event: bytes) -> str:
    head, _, data = event.partition(b"\n")
    assert head == b"event: error"
    content = json.loads(data.removeprefix(b"data: "))
    assert content["type"] == "error"
    return str(content["error"]["type"])


def gemini_says(event: bytes) -> str:
    return str(json.loads(event.removeprefix(b"data: "))["error"]["status"])


@pytest.mark.parametrize(
    ("path", "model", "says", "interrupted", "timed_out"),
    [
        ("/v1/chat/completions", "gpt-4o", openai_says, "upstream_stream_interrupted", "upstream_timeout"),
        ("/v1/responses", "gpt-4o", responses_says, "upstream_stream_interrupted", "upstream_timeout"),
        ("/v1/messages", "claude-opus-4-8", anthropic_says, "api_error", "timeout_error"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "", gemini_says, "INTERNAL", "DEADLINE_EXCEEDED"),
    ],
    ids=["chat", "responses", "messages", "gemini"],
)
async def test_a_stream_that_breaks_off_ends_with_the_error_event_of_its_format(
    providers: Providers, path: str, model: str, says: Callable[[bytes], str], interrupted: str, timed_out: str
) -> None:
    failures: Mapping[str, Exception] = {
        interrupted: httpx.RemoteProtocolError("peer closed"),
        timed_out: httpx.ReadTimeout("idle"),
    }
    for expected, failure in failures.items():
        stream = answering(providers, b"data: 1\n\ndata: ha", failure)
        first, event = await pieces_of(asking(gateway(CONFIG, providers), path, model))
        assert first == b"data: 1\n\n"
        assert event.endswith(b"\n\n")
        assert says(event.removesuffix(b"\n\n")) == expected
        assert stream.closed.is_set()


async def test_an_error_event_of_the_provider_passes_once(providers: Providers) -> None:
    sent = [b"data: 1\n\n", b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n']
    answering(providers, *sent)
    assert await pieces_of(asking(gateway(CONFIG, providers))) == sent


async def test_a_body_that_breaks_off_is_not_ended_cleanly(providers: Providers) -> None:
    """The error goes to the server, which then ends the connection without a last chunk."""
    sent = b'{"id":"' + b"x" * 64 * 1024
    answering(providers, sent, httpx.ReadError("reset"), kind="application/json")
    async with asking(gateway(CONFIG, providers)) as ex:
        await ex.start()
        assert await ex.body() == sent
        with pytest.raises(UpstreamInterrupted):
            await ex.body()
        assert not ex.complete


async def test_a_client_that_leaves_closes_the_upstream(providers: Providers) -> None:
    stream = answering(providers, b"data: 1\n\n", asyncio.Event())
    async with asking(gateway(CONFIG, providers)) as ex:
        await ex.start()
        await ex.body()
        await ex.disconnect()
        await ex.ended()
    assert stream.closed.is_set()


async def test_a_client_that_leaves_while_it_should_read_closes_the_upstream(providers: Providers) -> None:
    stream = answering(providers, *[b"data: 1\n\n"] * 100)
    async with asking(gateway(CONFIG, providers), window=1) as ex:
        await ex.start()
        await ex.disconnect()
        await ex.ended()
    assert stream.closed.is_set()


async def test_no_more_is_read_than_the_client_takes(providers: Providers) -> None:
    read = []

    class Counted(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number in range(100):
                read.append(number)
                yield b"data: %d\n\n" % number

    providers.on("k", httpx.Response(200, headers={"content-type": EVENTS}, stream=Counted()))
    async with asking(gateway(CONFIG, providers), window=2) as ex:
        await ex.start()
        for _ in range(3):
            await ex.body()
        assert len(read) <= 8


async def test_only_fields_that_concern_the_client_go_on(providers: Providers) -> None:
    answering(
        providers,
        b"{}",
        kind="application/json",
        content_length="2",
        x_request_id="req-of-theirs",
        x_ratelimit_remaining_requests="99",
        openai_processing_ms="7",
        openai_organization="acme",
        set_cookie="session=1",
        server="their-edge",
        connection="x-ratelimit-hidden",
        x_ratelimit_hidden="1",
        strict_transport_security="max-age=1",
        access_control_allow_origin="*",
    )
    answer = await chat(gateway(CONFIG, providers))
    fields = dict(answer.headers)
    assert fields.pop("x-request-id").startswith("req_")
    assert fields == {
        "content-type": "application/json",
        "content-length": "2",
        "x-ratelimit-remaining-requests": "99",
        "openai-processing-ms": "7",
        "x-upstream-request-id": "req-of-theirs",
        "x-gateway-model": "gpt-4o",
        "x-gateway-provider": "openai",
        "x-gateway-attempts": "1",
    }


async def test_the_length_of_an_event_stream_is_not_promised(providers: Providers) -> None:
    """It may yet have to end with an error event."""
    answering(providers, b"data: 1\n\n", content_length="9")
    assert "content-length" not in (await chat(gateway(CONFIG, providers))).headers


def gateway_over(transport: HTTPTransport) -> Gateway:
    return Gateway.from_policy({"on_http_request": [{"type": "ai-gateway", "config": CONFIG}]}, transport=transport)


@pytest.mark.parametrize(
    "framing", [(b"content-length", b"7"), (b"transfer-encoding", b"chunked")], ids=["length", "chunked"]
)
async def test_an_answer_that_is_all_here_goes_on_in_one_piece_of_known_length(framing: tuple[bytes, bytes]) -> None:
    transport = Arrived(b'{"a"', b":1}", fields=[(b"content-type", b"application/json"), framing])
    async with asking(gateway_over(transport)) as ex:
        start = await ex.start()
        assert start.headers["content-length"] == "7"
        assert await ex.body() == b'{"a":1}'
        assert await ex.body() is None
    assert transport.heads[0].split(b"\r\n") == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"host: api.openai.com",
        b"content-type: application/json",
        b"accept-encoding: identity",
        b"authorization: Bearer k",
        b"content-length: 19",
        b"",
        b"",
    ]


async def test_an_answer_without_content_promises_none() -> None:
    answer = await request(gateway_over(Arrived(status=204)).app, "DELETE", "/v1/files/file-1")
    assert (answer.status, answer.body, "content-length" in answer.headers) == (204, b"", False)


async def test_a_compressed_answer_stays_as_it_is(providers: Providers) -> None:
    packed = bytes(range(256))
    answering(providers, packed, kind="application/json", content_encoding="gzip")
    answer = await chat(gateway(CONFIG, providers))
    assert answer.body == packed
    assert answer.headers["content-encoding"] == "gzip"


async def test_a_compressed_error_does_not_pass_since_no_secret_could_be_taken_out(providers: Providers) -> None:
    answering(providers, bytes(range(256)), status=400, kind="application/json", content_encoding="gzip")
    answer = await chat(gateway(CONFIG, providers))
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("openai:a\r\nx-evil: 1", "a??x-evil: 1"),
        ("openai:caf\u00e9 \u2713", "caf\u00e9 ?"),
        ("openai:nul\0", "nul?"),
    ],
)
async def test_a_models_name_does_not_break_the_head(providers: Providers, model: str, shown: str) -> None:
    answer = await chat(gateway(CONFIG, providers), model)
    assert answer.status == 200
    assert answer.headers["x-gateway-model"] == shown


async def test_an_error_of_the_provider_goes_on_without_our_secrets(providers: Providers) -> None:
    secret = "sk-proj-0123456789abcdef"
    gateway_ = gateway(
        {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}]},
        providers,
        secrets={"o": {"k": secret}},
    )
    providers.on(secret, failing(400, "bad", f"You sent Bearer {secret}, which is odd.", retry_after="3"))
    answer = await chat(gateway_)
    assert answer.status == 400
    assert secret not in answer.text
    assert answer.json()["error"]["message"].startswith("You sent Bearer ")
    assert answer.headers["content-length"] == str(len(answer.body))


SECRET = "sk-proj-0123456789abcdef"


def gateway_with_a_secret(providers: Providers) -> Gateway:
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}]}
    return gateway(config, providers, secrets={"o": {"k": SECRET}})


def answering_with(providers: Providers, *pieces: bytes, kind: str = EVENTS, **fields: str) -> None:
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in fields.items()}}
    providers.on(SECRET, httpx.Response(200, headers=headers, stream=Pieces(*pieces)))


async def test_an_error_says_which_provider_it_is_of(providers: Providers) -> None:
    providers.on("k", failing(400))
    answer = await chat(gateway(CONFIG, providers))
    assert answer.headers["x-gateway-upstream"] == "openai"


@pytest.mark.parametrize("more", [0, 100_000], ids=["whole", "as-it-comes"])
async def test_a_good_answer_goes_on_without_our_secrets(providers: Providers, more: int) -> None:
    body = b'{"said": "%b", "more": "%b"}' % (SECRET.encode(), b"x" * more)
    answering_with(providers, body[:20], body[20:], kind="application/json", content_length=str(len(body)))
    answer = await chat(gateway_with_a_secret(providers))
    assert answer.json() == {"said": "[redacted]", "more": "x" * more}
    assert answer.headers.get("content-length", str(len(answer.body))) == str(len(answer.body))


async def test_a_field_of_a_good_answer_goes_on_without_our_secrets(providers: Providers) -> None:
    answering_with(providers, b"{}", kind="application/json", x_ratelimit_reset_tokens=SECRET, etag="1")
    answer = await chat(gateway_with_a_secret(providers))
    assert (answer.headers["x-ratelimit-reset-tokens"], answer.headers["etag"]) == ("[redacted]", "1")


async def test_a_stream_goes_on_without_our_secrets_wherever_it_is_cut(providers: Providers) -> None:
    event = b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % SECRET.encode()
    answering_with(providers, event[:45], event[45:] + event[:50], event[50:], DONE)
    answer = await chat(gateway_with_a_secret(providers))
    assert answer.body == event.replace(SECRET.encode(), b"[redacted]") * 2 + DONE


async def test_what_is_no_text_keeps_its_length(providers: Providers) -> None:
    answering_with(providers, b"ID3", b"\x00" * 9, kind="audio/mpeg", content_length="12")
    answer = await chat(gateway_with_a_secret(providers), "tts-1", path="/v1/audio/speech")
    assert (answer.body, answer.headers["content-length"]) == (b"ID3" + b"\x00" * 9, "12")


ARRAY = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
ELEMENT = b'{"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}'


async def test_an_array_goes_on_as_it_comes(providers: Providers) -> None:
    sent = [b"[" + ELEMENT, b"," + ELEMENT, b"]"]
    answering(providers, *sent, kind="application/json")
    assert await pieces_of(asking(gateway(CONFIG, providers), ARRAY, "")) == sent


@pytest.mark.parametrize("failure", [None, httpx.ReadError("reset")], ids=["ends", "breaks-off"])
async def test_an_array_that_is_not_whole_is_not_ended_cleanly(providers: Providers, failure: Exception | None) -> None:
    answering(providers, b"[" + ELEMENT, *([failure] if failure else []), kind="application/json")
    async with asking(gateway(CONFIG, providers), ARRAY, "") as ex:
        await ex.start()
        assert await ex.body() == b"[" + ELEMENT
        with pytest.raises(UpstreamInterrupted):
            await ex.body()
        assert not ex.complete


async def test_a_stream_that_the_gateway_gives_up_ends_with_an_error_event(
    providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    answering(providers, b"data: 1\n\n", asyncio.Event())
    gateway_ = gateway(CONFIG, providers)
    with caplog.at_level(logging.INFO, "ai_gateway_mw.requests"):
        async with asking(gateway_) as ex:
            await ex.start()
            await ex.body()
            gateway_.interrupt(Overloaded("The gateway is stopping."))
            assert b'"code":"overloaded"' in await ex.rest()
            assert ex.complete
    assert "shut_down" in caplog.text


async def test_a_body_that_the_gateway_gives_up_is_not_ended_cleanly(providers: Providers) -> None:
    answering(providers, b"x" * 64 * 1024, asyncio.Event(), kind="application/json")
    gateway_ = gateway(CONFIG, providers)
    async with asking(gateway_) as ex:
        await ex.start()
        await ex.body()
        gateway_.interrupt(Overloaded("The gateway is stopping."))
        with pytest.raises(Overloaded):
            await ex.rest()
        assert not ex.complete


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
async def test_the_tokens_of_an_answer_are_told_to_the_response_rules(providers: Providers, kind: str) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    answering(providers, json.dumps({"id": "1", "usage": usage}).encode(), kind=kind)
    made = "actions.ngrok.ai_gateway.models_tried[0].requests_made[0]"
    tell = {"x-tokens": f"${{{made}.upstream_input_tokens}}/${{{made}.upstream_output_tokens}}"}
    policy = {
        "on_http_request": [{"type": "ai-gateway", "config": CONFIG}],
        "on_http_response": [{"type": "add-headers", "config": {"headers": tell}}],
    }
    answer = await chat(gateway_of(policy, providers))
    assert answer.headers["x-tokens"] == "7/5"


@pytest.mark.parametrize(("path", "tokens"), [("/v1/chat/completions", 12), ("/v1/responses/resp_1", 0)])
async def test_tokens_are_counted_where_they_are_used(providers: Providers, path: str, tokens: int) -> None:
    """And not again where an answer is only looked up."""
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    answering(
        providers, json.dumps({"id": "1", "filler": "x" * 100_000, "usage": usage}).encode(), kind="application/json"
    )
    gateway_ = gateway(CONFIG, providers)
    await chat(gateway_, path=path)
    counted = gateway_.stores.model_metrics.of("openai", "gpt-4o")["global"]["token"]
    assert counted["provider_input"] + counted["provider_output"] == tokens


async def test_an_answer_that_a_response_rule_replaces_is_closed(providers: Providers) -> None:
    stream = answering(providers, b"{}", kind="application/json")
    policy = {
        "on_http_request": [{"type": "ai-gateway", "config": CONFIG}],
        "on_http_response": [{"type": "custom-response", "config": {"status_code": 418, "body": "no"}}],
    }
    store: dict[str, Any] = {"transport": providers.transport}
    answer = await request(Gateway.from_policy(policy, **store).app, "POST", "/v1/embeddings", json={"model": "gpt-4o"})
    assert (answer.status, answer.body) == (418, b"no")
    assert stream.closed.is_set()


async def test_an_answer_without_a_body_ends(providers: Providers) -> None:
    providers.on("k", httpx.Response(204))
    answer = await request(gateway(with_keys("k"), providers).app, "DELETE", "/v1/files/file-1")
    assert (answer.status, answer.body) == (204, b"")


async def test_an_error_event_never_lands_inside_an_event_that_went_on_in_parts(providers: Providers) -> None:
    answering(providers, b"data: 1\n\n", b"data: " + b"x" * 1_100_000, httpx.ReadError("reset"))
    pieces = await pieces_of(asking(gateway(CONFIG, providers)))
    assert pieces[1].endswith(b"xxx")
    assert pieces[2].startswith(b"\n\ndata: ")
