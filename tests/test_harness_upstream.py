"""The fake upstream: that it fails in the way it is told to, and that what it says is what the real SDKs read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from tests.fake_upstream import TEXT, Gate, ThreadedUpstream, Upstream, closed_port, error, ok, plain

pytestmark = pytest.mark.anyio

CHAT = {"model": "fake-small", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=upstream.url, trust_env=False, timeout=5) as client:
        yield client


async def ask(client: httpx.AsyncClient, key: str, *, stream: bool = False) -> httpx.Response:
    fields = {"authorization": f"Bearer {key}"}
    return await client.post("/v1/chat/completions", json=CHAT | {"stream": stream}, headers=fields)


async def test_the_ledger_has_the_request_as_it_came(upstream: Upstream, client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions?a=1", content=b'{"model": "m"}', headers=[("X-Two", "1"), ("X-Two", "2")])
    received = upstream.requests[0]
    assert (received.number, received.method, received.target) == (1, "POST", "/v1/chat/completions?a=1")
    assert received.body == b'{"model": "m"}'
    assert received.model == "m"
    assert [value for name, value in received.fields if name == b"X-Two"] == [b"1", b"2"]


async def test_the_ledger_tells_connections_apart(upstream: Upstream, client: httpx.AsyncClient) -> None:
    async with asyncio.TaskGroup() as group:
        upstream.on(ok(gate=(gate := Gate())), number=1)
        group.create_task(ask(client, "sk-ok"))
        await upstream.arrived(1)
        group.create_task(ask(client, "sk-ok"))
        await upstream.over(2)
        gate.release()
    await ask(client, "sk-ok")
    assert [received.connection for received in upstream.requests][:2] == [1, 2]
    assert upstream.connections == 2


KEY_FIELDS = {
    "bearer": ({"authorization": "Bearer sk-1"}, ""),
    "x-api-key": ({"x-api-key": "sk-1"}, ""),
    "x-goog-api-key": ({"x-goog-api-key": "sk-1"}, ""),
    "api-key": ({"api-key": "sk-1"}, ""),
    "query": ({}, "?key=sk-1"),
}


@pytest.mark.parametrize(("fields", "query"), KEY_FIELDS.values(), ids=KEY_FIELDS.keys())
async def test_a_key_is_found_in_every_format(
    upstream: Upstream, client: httpx.AsyncClient, fields: dict[str, str], query: str
) -> None:
    await client.get(f"/v1/models{query}", headers=fields)
    assert upstream.keys == ["sk-1"]


async def test_answers_come_in_turn_and_the_last_stays(upstream: Upstream, client: httpx.AsyncClient) -> None:
    upstream.on(error(500), error(429), ok(), key="sk-a")
    statuses = [(await ask(client, "sk-a")).status_code for _ in range(4)]
    assert statuses == [500, 429, 200, 200]
    assert (await ask(client, "sk-b")).status_code == 200


async def test_the_newest_rule_that_matches_wins(upstream: Upstream, client: httpx.AsyncClient) -> None:
    upstream.on(error(500))
    upstream.on(error(403), path="/v1/chat/completions", key="sk-a")
    upstream.on(plain(b"third", 418), number=3)
    assert [(await ask(client, key)).status_code for key in ("sk-a", "sk-b", "sk-a")] == [403, 500, 418]


STATUS_KEYS = {"sk-401": 401, "sk-429-b": 429, "sk-quota": 429, "sk-500": 500, "sk-529": 529, "sk-redirect": 307}


@pytest.mark.parametrize(("key", "status"), STATUS_KEYS.items(), ids=STATUS_KEYS.keys())
async def test_a_key_names_its_status(client: httpx.AsyncClient, key: str, status: int) -> None:
    assert (await ask(client, key)).status_code == status


async def test_a_key_may_name_its_retry_after(client: httpx.AsyncClient) -> None:
    assert (await ask(client, "sk-429-retry-7")).headers["retry-after"] == "7"


BROKEN_KEYS = {
    "sk-close": httpx.RemoteProtocolError,
    "sk-reset": httpx.ReadError,
    "sk-cut-after-3": httpx.RemoteProtocolError,
    "sk-cut-at-100": httpx.RemoteProtocolError,
    "sk-reset-after-3": httpx.ReadError,
    "sk-short": httpx.RemoteProtocolError,
    "sk-not-http": httpx.RemoteProtocolError,
}


@pytest.mark.parametrize(("key", "failure"), BROKEN_KEYS.items(), ids=BROKEN_KEYS.keys())
async def test_a_key_names_how_the_connection_breaks(
    client: httpx.AsyncClient, key: str, failure: type[httpx.TransportError]
) -> None:
    with pytest.raises(failure):
        await ask(client, key, stream=True)


CUTS = {"sk-cut-after-3": 3, "sk-reset-after-3": 3, "sk-cut-after-1": 1}


@pytest.mark.parametrize(("key", "events"), CUTS.items(), ids=CUTS.keys())
async def test_a_cut_stream_has_exactly_so_many_events(
    client: httpx.AsyncClient, upstream: Upstream, key: str, events: int
) -> None:
    seen: list[bytes] = []
    fields = {"authorization": f"Bearer {key}"}

    async def read(response: httpx.Response) -> None:
        async for chunk in response.aiter_raw():
            seen.append(chunk)

    async with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}, headers=fields) as response:
        with pytest.raises(httpx.TransportError):
            await read(response)
    assert b"".join(seen).count(b"\n\n") == events
    assert not (await upstream.over()).closed_early


async def test_cut_at_counts_bytes(client: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.on(plain(b"0123456789", cut_at=4))
    async with client.stream("GET", "/") as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"0123"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


@pytest.mark.parametrize("key", ["sk-hang", "sk-stall-after-3"])
async def test_a_client_that_gives_up_is_written_down(upstream: Upstream, client: httpx.AsyncClient, key: str) -> None:
    asking = asyncio.create_task(ask(client, key, stream=True))
    await upstream.arrived()
    asking.cancel()
    await asyncio.wait({asking})
    assert (await upstream.over()).closed_early


async def test_a_body_that_is_not_finished_is_counted(upstream: Upstream) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
    writer.write_eof()
    await asyncio.wait_for(_.read(), 5)
    writer.close()
    assert (upstream.abandoned, upstream.requests) == (1, [])


async def test_a_gate_lets_events_through_one_by_one(upstream: Upstream, client: httpx.AsyncClient) -> None:
    gate = Gate()
    upstream.on(ok(chunks=2, gate=gate))
    async with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as response:
        chunks = response.aiter_raw()
        for expected in (b'"role"', b"word0", b"word1", b'"stop"', b"[DONE]"):
            gate.release()
            assert expected in await anext(chunks)


async def test_a_stream_may_end_cleanly_without_its_terminator(client: httpx.AsyncClient) -> None:
    response = await ask(client, "sk-no-terminator", stream=True)
    assert b'"finish_reason": "stop"' in response.content
    assert b"[DONE]" not in response.content


async def test_gzip_is_sent_compressed(client: httpx.AsyncClient) -> None:
    response = await ask(client, "sk-gzip")
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["choices"][0]["message"]["content"] == TEXT


async def test_surplus_bytes_follow_the_response(upstream: Upstream) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-surplus\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"poison"), 5)
    writer.close()


SMUGGLING = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n",
    "length and coding": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "two hosts": b"Host: other\r\n",
    "space before colon": b"A : b\r\n",
    "no colon": b"nonsense\r\n",
}


@pytest.mark.parametrize("fields", SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_a_client_that_breaks_http_fails_the_test(fields: bytes) -> None:
    async with Upstream() as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        assert upstream.violations
        upstream.violations.clear()


async def test_a_closed_port_refuses() -> None:
    with closed_port() as port, socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0


# The real SDKs read what the fake upstream says -------------------------------------------------------------------


def openai_client(upstream: Upstream, key: str = "sk-ok") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key=key, max_retries=0)


async def test_openai_reads_chat_completions(upstream: Upstream) -> None:
    async with openai_client(upstream) as sdk:
        answer = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
        assert (answer.choices[0].message.content, answer.model) == (TEXT, "m")
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage is not None


async def test_openai_reads_responses(upstream: Upstream) -> None:
    async with openai_client(upstream) as sdk:
        answer = await sdk.responses.create(model="m", input="Hi")
        assert answer.output_text == TEXT
        events = [event async for event in await sdk.responses.create(model="m", input="Hi", stream=True)]
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT


async def test_openai_reads_the_rest(upstream: Upstream) -> None:
    async with openai_client(upstream) as sdk:
        rows = await sdk.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        assert [row.embedding for row in rows.data] == [[0.25, -0.5, 1.0]] * 2
        assert [model.id async for model in sdk.models.list()] == ["fake-small", "fake-large"]
        text = await sdk.completions.create(model="m", prompt="Hi")
        assert text.choices[0].text == TEXT


OPENAI_ERRORS = {
    "sk-401": openai.AuthenticationError,
    "sk-429": openai.RateLimitError,
    "sk-quota": openai.RateLimitError,
    "sk-404": openai.NotFoundError,
    "sk-500": openai.InternalServerError,
}


@pytest.mark.parametrize(("key", "failure"), OPENAI_ERRORS.items(), ids=OPENAI_ERRORS.keys())
async def test_openai_reads_errors(upstream: Upstream, key: str, failure: type[openai.APIStatusError]) -> None:
    async with openai_client(upstream, key) as sdk:
        with pytest.raises(failure) as caught:
            await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert "The fake upstream answers" in caught.value.message


async def test_openai_reads_an_error_in_the_stream(upstream: Upstream) -> None:
    async with openai_client(upstream, "sk-error-after-3") as sdk:
        stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            _ = [chunk async for chunk in stream]


async def test_anthropic_reads_messages(upstream: Upstream) -> None:
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-ok", max_retries=0) as sdk:
        answer = await sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
        assert answer.content[0].text == TEXT
        async with sdk.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
            assert await stream.get_final_text() == TEXT
        count = await sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Hi"}])
        assert count.input_tokens == 7
        assert [model.id async for model in sdk.models.list()] == ["fake-small", "fake-large"]


async def test_anthropic_reads_errors(upstream: Upstream) -> None:
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-529", max_retries=0) as sdk:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.body["error"]["type"] == "overloaded_error"


def gemini_client(upstream: Upstream, key: str = "sk-ok") -> genai.Client:
    return genai.Client(api_key=key, http_options=genai_types.HttpOptions(base_url=upstream.url))


def test_gemini_reads_content(threaded_upstream: ThreadedUpstream) -> None:
    sdk = gemini_client(threaded_upstream)
    assert sdk.models.generate_content(model="m", contents="Hi").text == TEXT
    pieces = [piece.text for piece in sdk.models.generate_content_stream(model="m", contents="Hi")]
    assert "".join(pieces) == TEXT
    assert len(pieces) > 1
    assert sdk.models.count_tokens(model="m", contents="Hi").total_tokens == 7
    assert sdk.models.embed_content(model="m", contents="Hi").embeddings[0].values == [0.25, -0.5, 1.0]
    assert threaded_upstream.wait_over().model == "m"


def test_gemini_reads_errors(threaded_upstream: ThreadedUpstream) -> None:
    sdk = gemini_client(threaded_upstream, "sk-429")  # kept in a name: the client closes when nobody holds it
    with pytest.raises(genai_errors.ClientError, match="RESOURCE_EXHAUSTED"):
        sdk.models.generate_content(model="m", contents="Hi")


def test_the_threaded_one_answers_synchronous_sdks(threaded_upstream: ThreadedUpstream) -> None:
    with openai.OpenAI(base_url=f"{threaded_upstream.url}/v1", api_key="sk-ok", max_retries=0) as sdk:
        answer = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == TEXT
    assert threaded_upstream.wait_over().key == "sk-ok"
