"""What the real SDKs make of a stream that cannot be completed: each raises, wherever the stream ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from ai_gateway_mw.errors import GatewayError, Overloaded, UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.dialects import dialect_of
from ai_gateway_mw.upstream.events import EventWatcher
from tests.fake_upstream import anthropic_bodies, gemini_bodies, openai_bodies
from tests.servers import serving

WORDS = ["Hello ", "there", "."]
HELLO: Any = [{"role": "user", "content": "Say hello."}]
FAILURES: dict[str, GatewayError | None] = {
    "clean": None,
    "cut": UpstreamInterrupted("cut"),
    "idle": UpstreamTimeout("The provider did not answer in time."),
    "overload": Overloaded("Too many requests."),
}


def spoken(path: str) -> bytes:
    """The whole stream that a path answers with."""
    if path.endswith("/chat/completions"):
        return b"".join(openai_bodies.chat_events("m", WORDS))
    if path.endswith("/completions"):
        return b"".join(openai_bodies.completion_events("m", WORDS))
    if path.endswith("/responses"):
        return b"".join(openai_bodies.response_events("m", WORDS))
    if path.endswith("/messages"):
        return b"".join(anthropic_bodies.message_events("m", WORDS))
    return b"".join(gemini_bodies.content_events("m", WORDS))


async def cut(request: Request) -> StreamingResponse:
    """A stream that ends inside the event of its last word but one; the key says how it ends."""
    key = request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")
    failure = FAILURES[key or request.headers["authorization"].removeprefix("Bearer ")]
    stream, watcher = spoken(request.url.path), EventWatcher(dialect_of(route_of(request.url.path)))
    at = stream.index(b"there")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (stream[: at // 2], stream[at // 2 : at]):
            yield watcher.feed(piece)
        yield watcher.ending(failure).last

    return StreamingResponse(pieces(), media_type="text/event-stream")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Starlette(routes=[Route("/{path:path}", cut, methods=["POST"])])) as running:
        yield running


@pytest.fixture(params=FAILURES)
def failure(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def chat(client: openai.OpenAI) -> Iterator[Any]:
    yield from client.chat.completions.create(model="m", messages=HELLO, stream=True)


def chat_helper(client: openai.OpenAI) -> Iterator[Any]:
    with client.chat.completions.stream(model="m", messages=HELLO) as stream:
        yield from stream


def completion(client: openai.OpenAI) -> Iterator[Any]:
    yield from client.completions.create(model="m", prompt="Say hello.", stream=True)


def response(client: openai.OpenAI) -> Iterator[Any]:
    yield from client.responses.create(model="m", input="Say hello.", stream=True)


def response_helper(client: openai.OpenAI) -> Iterator[Any]:
    with client.responses.stream(model="m", input="Say hello.") as stream:
        yield from stream


@pytest.mark.parametrize("ask", [chat, chat_helper, completion, response, response_helper])
def test_the_openai_sdk_raises(url: str, failure: str, ask: Callable[[openai.OpenAI], Iterator[Any]]) -> None:
    got = []
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=failure, max_retries=0) as client,
        pytest.raises(openai.APIError) as raised,
    ):
        got.extend(str(event) for event in ask(client))
    assert "Hello" in "".join(got)
    codes = {"idle": "upstream_timeout", "overload": "overloaded"}
    assert raised.value.code == codes.get(failure, "upstream_stream_interrupted")


def message(client: anthropic.Anthropic) -> Iterator[Any]:
    yield from client.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)


def message_helper(client: anthropic.Anthropic) -> Iterator[Any]:
    with client.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
        yield from stream


@pytest.mark.parametrize("ask", [message, message_helper])
def test_the_anthropic_sdk_raises(url: str, failure: str, ask: Callable[[anthropic.Anthropic], Iterator[Any]]) -> None:
    got = []
    with (
        anthropic.Anthropic(base_url=url, api_key=failure, max_retries=0) as client,
        pytest.raises(anthropic.APIError) as raised,
    ):
        got.extend(str(event) for event in ask(client))
    assert "Hello" in "".join(got)
    body: Any = raised.value.body
    kinds = {"idle": "timeout_error", "overload": "overloaded_error"}
    assert body["error"]["type"] == kinds.get(failure, "api_error")


def test_the_google_sdk_raises(url: str, failure: str) -> None:
    got = []
    client = genai.Client(api_key=failure, http_options={"base_url": url, "api_version": "v1beta"})
    try:
        with pytest.raises(errors.APIError) as raised:
            got.extend(chunk.text for chunk in client.models.generate_content_stream(model="m", contents="Say hello."))
    finally:
        client.close()
    assert got == ["Hello "]
    assert raised.value.code == {"idle": 504, "overload": 503}.get(failure, 502)
