"""The `openai` SDK against `ai-gateway run`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.fake_upstream import TEXT, Gate, ThreadedUpstream, ok, plain
from tests.servers import GatewayProcess

pytestmark = pytest.mark.subprocess

PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"keys": ["sk-ok-openai"]},
    "limited-first": {"keys": ["sk-429-a", "sk-ok-a"]},
    "refused-first": {"keys": ["sk-401-b", "sk-ok-b"]},
    "broken-first": {"keys": ["sk-close-c", "sk-quota", "sk-ok-c"]},
    "all-limited": {"keys": ["sk-429-retry-7", "sk-429-retry-30"]},
    "all-refused": {"keys": ["sk-401-d", "sk-401-e"]},
    "out": {"keys": ["sk-429-f"], "models": [{"id": "gone"}]},
    "spare": {"keys": ["sk-ok-spare"], "models": [{"id": "here", "id_aliases": ["fallback"]}]},
    "own-key": {"needs_key": True},
    "verbatim": {"keys": ["sk-ok-verbatim"]},
    "held": {"keys": ["sk-ok-held"]},
    "left": {"keys": ["sk-ok-left"]},
    "cut": {"keys": ["sk-cut-after-4"]},
    "picky": {"keys": ["sk-400-g", "sk-ok-g"]},
    "error-first": {"keys": ["sk-ok-h", "sk-ok-i"]},
    "remembered": {"keys": ["sk-401-j", "sk-ok-j"]},
}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-of-the-sdk", max_retries=0) as made:
        yield made


def test_a_chat_completion(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, temperature=0.5)
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert ledger.keys == ["sk-ok-openai"]
    assert (ledger.requests[0].method, ledger.requests[0].target) == ("POST", "/v1/chat/completions")
    assert ledger.requests[0].json == {"model": "gpt-4o", "messages": HELLO, "temperature": 0.5}


def test_answers_say_who_served_them(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="openai:gpt-4o", messages=HELLO)
    assert raw.headers["x-gateway-provider"] == "openai"
    assert raw.headers["x-gateway-model"] == "gpt-4o"
    assert raw.headers["x-gateway-attempts"] == "1"
    assert raw.headers["x-request-id"].startswith("req_")


def test_a_streamed_chat_completion(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    with client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, stream_options=options) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 12


def test_the_streaming_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=HELLO) as stream:
        assert stream.get_final_completion().choices[0].message.content == TEXT


def test_a_legacy_completion(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    answer = client.completions.create(model="openai:gpt-3.5-turbo-instruct", prompt="Say hello.")
    assert answer.choices[0].text == TEXT
    assert ledger.requests[0].target == "/v1/completions"
    assert ledger.requests[0].model == "gpt-3.5-turbo-instruct"


def test_a_response(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    assert client.responses.create(model="gpt-4o", input="Say hello.").output_text == TEXT
    assert ledger.requests[0].target == "/v1/responses"


def test_a_streamed_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-4o", input="Say hello.") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert stream.get_final_response().output_text == TEXT
    assert "".join(deltas) == TEXT


def test_a_stored_response_belongs_to_the_first_provider(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    client.responses.retrieve("resp_fake")
    client.responses.cancel("resp_fake")
    client.responses.delete("resp_fake")
    assert [(one.method, one.target, one.key) for one in ledger.requests] == [
        ("GET", "/v1/responses/resp_fake", "sk-ok-openai"),
        ("POST", "/v1/responses/resp_fake/cancel", "sk-ok-openai"),
        ("DELETE", "/v1/responses/resp_fake", "sk-ok-openai"),
    ]


def test_embeddings(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float")
    assert [row.embedding for row in answer.data] == [[0.25, -0.5, 1.0]] * 2
    assert ledger.requests[0].target == "/v1/embeddings"


def test_models_are_listed_without_asking_anybody(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    names = [model.id for model in client.models.list()]
    assert {"gpt-4o", "text-embedding-3-small", "here"} <= set(names)
    assert len(names) == len(set(names))
    assert client.models.retrieve("gpt-4o").owned_by == "openai"
    assert ledger.requests == []


def test_an_audio_upload_names_its_model_in_the_form(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    recording = b"RIFF\x00\xff\r\n--\x00WAVE" * 10_000
    ledger.on(plain(b'{"text": "hello"}', content_type="application/json"), path="/v1/audio/transcriptions")
    answer = client.audio.transcriptions.create(model="openai:whisper-1", file=("a.wav", recording, "audio/wav"))
    assert answer.text == "hello"
    received = ledger.requests[0]
    assert received.key == "sk-ok-openai"
    assert recording in received.body
    assert b'name="model"\r\n\r\nwhisper-1\r\n' in received.body
    assert received.headers["content-type"].startswith("multipart/form-data; boundary=")


def test_an_image_edit(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    ledger.on(
        plain(b'{"created": 1, "data": [{"b64_json": "AA=="}]}', content_type="application/json"),
        path="/v1/images/edits",
    )
    answer = client.images.edit(model="openai:gpt-image-1", image=("a.png", picture, "image/png"), prompt="brighter")
    assert answer.data is not None
    assert answer.data[0].b64_json == "AA=="
    assert picture in ledger.requests[0].body


def test_speech_comes_back_byte_for_byte(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    sound = bytes(range(256)) * 1000
    ledger.on(plain(sound, content_type="audio/mpeg"), path="/v1/audio/speech")
    answer = client.audio.speech.create(model="openai:tts-1", voice="alloy", input="hello")
    assert answer.content == sound
    assert answer.response.headers["content-type"] == "audio/mpeg"


def test_a_file_goes_to_the_first_provider(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    client.files.create(file=("batch.jsonl", b'{"custom_id": "1"}\n'), purpose="batch")
    assert ledger.requests[0].target == "/v1/files"
    assert ledger.keys == ["sk-ok-openai"]


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        pytest.param("limited-first:any", ["sk-429-a", "sk-ok-a"], id="429"),
        pytest.param("refused-first:any", ["sk-401-b", "sk-ok-b"], id="401"),
        pytest.param("broken-first:any", ["sk-close-c", "sk-quota", "sk-ok-c"], id="connection-then-quota"),
    ],
)
def test_the_next_key_takes_over_before_the_client_notices(
    client: openai.OpenAI, ledger: ThreadedUpstream, model: str, keys: list[str]
) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    assert raw.parse().choices[0].message.content == TEXT
    assert ledger.keys == keys
    assert raw.headers["x-gateway-attempts"] == str(len(keys))
    assert len({received.body for received in ledger.requests}) == 1


def test_a_refused_key_is_left_alone_from_then_on(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    for _ in range(3):
        client.chat.completions.create(model="remembered:any", messages=HELLO)
    assert ledger.keys == ["sk-401-j", "sk-ok-j", "sk-ok-j", "sk-ok-j"]


def test_models_are_tried_in_the_clients_order(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gone", messages=HELLO, extra_body={"models": ["fallback"]}
    )
    assert raw.headers["x-gateway-model"] == "here"
    assert [(one.key, one.json["model"]) for one in ledger.requests] == [("sk-429-f", "gone"), ("sk-ok-spare", "here")]
    assert all("models" not in one.json for one in ledger.requests)


def test_the_sdks_own_key_goes_to_a_provider_without_keys(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    client.chat.completions.create(model="own-key:any", messages=HELLO)
    assert ledger.keys == ["sk-of-the-sdk"]


def test_configured_keys_replace_the_sdks_own(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert b"sk-of-the-sdk" not in b"".join(value for _, value in ledger.requests[0].fields)


@pytest.mark.parametrize(
    ("key", "model", "error_class", "code", "attempts"),
    [
        pytest.param("any", "all-limited:any", openai.RateLimitError, "rate_limit_exceeded", 2, id="all-keys-limited"),
        pytest.param(
            "any", "all-refused:any", openai.InternalServerError, "upstream_auth_failed", 2, id="all-keys-refused"
        ),
        pytest.param("any", "no-such-model", openai.NotFoundError, "model_not_found", 0, id="unknown-model"),
        pytest.param("sk-401-own", "own-key:any", openai.AuthenticationError, "invalid_api_key", 1, id="own-key"),
        pytest.param("any", "picky:any", openai.BadRequestError, None, 1, id="bad-request"),
    ],
)
def test_failures_are_the_sdks_own_errors(
    gateway: GatewayProcess,
    ledger: ThreadedUpstream,
    key: str,
    model: str,
    error_class: type[openai.APIStatusError],
    code: str | None,
    attempts: int,
) -> None:
    """The SDK may retry on its own here: what the gateway has tried already, it says not to try again."""
    retries = 0 if error_class is openai.RateLimitError else 2
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=retries) as client,
        pytest.raises(error_class) as failure,
    ):
        client.chat.completions.create(model=model, messages=HELLO)
    assert failure.value.code == code
    assert len(ledger.requests) == attempts


def test_a_limited_client_is_told_when_to_come_back(gateway: GatewayProcess, client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as failure:
        client.chat.completions.create(model="all-limited:any", messages=HELLO)
    assert 1 <= int(failure.value.response.headers["retry-after"]) <= 8  # seven, of which some may have passed
    assert "sk-429" not in failure.value.response.text


@pytest.mark.parametrize(
    "body",
    [
        b'{ "messages" : [ {"role":"user","content":"caf\\u00e9 caf\xc3\xa9 \\/"} ],\n\t"model":"gpt-4o" , "x":1.00 }',
        b'{"model":"gpt-4o","messages":[],"seed":12345678901234567890,"top_p":1E0,"logit_bias":{"50256":-100}}',
    ],
    ids=["spaces-and-escapes", "numbers"],
)
def test_a_body_goes_on_byte_for_byte(gateway: GatewayProcess, ledger: ThreadedUpstream, body: bytes) -> None:
    fields = {"authorization": "Bearer any", "content-type": "application/json"}
    httpx.post(f"{gateway.url}/v1/chat/completions", content=body, headers=fields).raise_for_status()
    assert ledger.requests[0].body == body


def test_an_event_stream_comes_back_byte_for_byte(gateway: GatewayProcess, ledger: ThreadedUpstream) -> None:
    events = (
        b': hello\n\nid: 1\nevent: odd\ndata: {"a":\ndata:  1}\n\n\n\ndata: caf\xc3\xa9\r\n\r\ndata: [DONE]\n\nrest'
    )
    ledger.on(plain(events, content_type="text/event-stream"), key="sk-ok-verbatim")
    body = {"model": "verbatim:any", "messages": HELLO, "stream": True}
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body)
    assert answer.content == events
    assert answer.headers["content-type"] == "text/event-stream"


def test_words_arrive_while_the_provider_still_speaks(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    gate = Gate()
    ledger.on(ok(chunks=3, gate=gate), key="sk-ok-held")
    gate.release(2)
    with client.chat.completions.create(model="held:any", messages=HELLO, stream=True) as stream:
        words = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(words), next(words)] == ["", "word0 "]
        assert not ledger.requests[0].over.is_set()
        gate.release(10)
        assert list(words) == ["word1 ", "word2 ", None]


def test_a_client_that_leaves_ends_the_upstream_call(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    gate = Gate()
    ledger.on(ok(chunks=3, gate=gate), key="sk-ok-left")
    gate.release(2)
    with client.chat.completions.create(model="left:any", messages=HELLO, stream=True) as stream:
        next(stream)
    assert ledger.wait_over().closed_early


def test_a_stream_that_breaks_off_is_an_error(client: openai.OpenAI) -> None:
    words: list[str | None] = []
    with (
        pytest.raises(openai.APIError, match="interrupted"),
        client.chat.completions.create(model="cut:any", messages=HELLO, stream=True) as stream,
    ):
        words.extend(chunk.choices[0].delta.content for chunk in stream)
    assert words == ["", "word0 ", "word1 ", "word2 "]


def test_a_response_that_breaks_off_is_an_error(client: openai.OpenAI) -> None:
    kinds: list[str] = []
    with (
        pytest.raises(openai.APIError, match="interrupted"),
        client.responses.create(model="cut:any", input="Say hello.", stream=True) as stream,
    ):
        kinds.extend(event.type for event in stream)
    assert kinds[-1] == "response.output_text.delta"


def test_an_error_in_the_first_event_is_no_answer_yet(client: openai.OpenAI, ledger: ThreadedUpstream) -> None:
    limited = b'data: {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}\n\n'
    ledger.on(plain(limited, content_type="text/event-stream"), key="sk-ok-h")
    with client.chat.completions.create(model="error-first:any", messages=HELLO, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
    assert ledger.keys == ["sk-ok-h", "sk-ok-i"]


def test_many_requests_at_once_get_their_own_answers(gateway: GatewayProcess, ledger: ThreadedUpstream) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, str]:
        answer = await client.chat.completions.create(model=f"openai:model-{number}", messages=HELLO)
        return f"model-{number}", answer.model

    async def ask_all() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(40)))

    assert all(asked == answered for asked, answered in asyncio.run(ask_all()))
    assert len(ledger.requests) == 40


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda url: httpx.post(url, content=b'{"model": "x"'), id="half-a-body"),
        pytest.param(lambda url: httpx.post(url, content=b"[]"), id="no-object"),
        pytest.param(lambda url: httpx.post(url, json={"model": 7}), id="model-no-string"),
        pytest.param(lambda url: httpx.post(url, json={"models": "gpt-4o"}), id="models-no-list"),
        pytest.param(lambda url: httpx.post(url, content=b'{"model":"openai:\\ud800"}'), id="half-a-character"),
        pytest.param(lambda url: httpx.post(url, content=b'{"model":"no-\\ud800"}'), id="half-a-character-unknown"),
        pytest.param(lambda url: httpx.post(url, content=b'{"model":"a","model":"b"}'), id="model-twice"),
    ],
)
def test_a_broken_body_is_refused_in_the_sdks_format(
    gateway: GatewayProcess, ledger: ThreadedUpstream, send: Callable[[str], httpx.Response]
) -> None:
    answer = send(f"{gateway.url}/v1/chat/completions")
    assert 400 <= answer.status_code < 500
    assert set(json.loads(answer.content)["error"]) == {"message", "type", "param", "code"}
    assert ledger.requests == []
