"""The `anthropic` SDK against `ai-gateway run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam

from tests.fake_upstream import TEXT, Gate, ThreadedUpstream, error, ok
from tests.servers import GatewayProcess

pytestmark = pytest.mark.subprocess

BOTH_FORMATS = [{"format": "openai"}, {"format": "anthropic"}]
PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic": {"keys": ["sk-ok-anthropic"]},
    **{
        name: {"keys": keys, "supported_api_surfaces": BOTH_FORMATS}
        for name, keys in {
            "limited-first": ["sk-429-a", "sk-ok-a"],
            "overloaded-first": ["sk-529-b", "sk-ok-b"],
            "refused-first": ["sk-401-c", "sk-ok-c"],
            "poor-first": ["sk-ok-poor", "sk-ok-d"],
            "all-limited": ["sk-429-retry-9", "sk-429-retry-90"],
            "all-overloaded": ["sk-529-e"],
            "cut": ["sk-cut-after-5"],
            "held": ["sk-ok-held"],
        }.items()
    },
    "own-key": {"needs_key": True, "supported_api_surfaces": BOTH_FORMATS},
    "openai": {"keys": ["sk-ok-openai"]},
}
MODEL = "claude-sonnet-5"
HELLO: list[MessageParam] = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="sk-of-the-sdk", max_retries=0) as made:
        yield made


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    message = client.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert text_of(message) == TEXT
    received = ledger.requests[0]
    assert (received.method, received.target) == ("POST", "/v1/messages")
    assert received.headers["x-api-key"] == "sk-ok-anthropic"
    assert received.headers["anthropic-version"] == client.default_headers["anthropic-version"]
    assert "authorization" not in received.headers


def test_a_streamed_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().stop_reason == "end_turn"


def test_a_beta_and_a_query_reach_the_provider(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    wanted: dict[str, Any] = {"extra_query": {"beta": "true"}, "extra_headers": {"anthropic-beta": "context-1m"}}
    client.messages.create(model=MODEL, max_tokens=100, messages=HELLO, **wanted)
    assert ledger.requests[0].target == "/v1/messages?beta=true"
    assert ledger.requests[0].headers["anthropic-beta"] == "context-1m"


def test_tokens_are_counted(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens == 7
    assert ledger.requests[0].target == "/v1/messages/count_tokens"


def test_models_are_listed_as_the_sdk_expects(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    models = list(client.models.list())
    assert MODEL in [model.id for model in models]
    assert all(model.type == "model" for model in models)
    assert client.models.retrieve(MODEL).display_name == "Claude Sonnet 5"
    assert ledger.requests == []


def test_only_models_that_speak_this_format_are_listed(client: anthropic.Anthropic) -> None:
    assert "gpt-4o" not in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("provider_id", "keys"),
    [
        pytest.param("limited-first", ["sk-429-a", "sk-ok-a"], id="429"),
        pytest.param("overloaded-first", ["sk-529-b", "sk-ok-b"], id="529"),
        pytest.param("refused-first", ["sk-401-c", "sk-ok-c"], id="401"),
    ],
)
def test_the_next_key_takes_over(
    client: anthropic.Anthropic, ledger: ThreadedUpstream, provider_id: str, keys: list[str]
) -> None:
    message = client.messages.create(model=f"{provider_id}:any", max_tokens=100, messages=HELLO)
    assert text_of(message) == TEXT
    assert ledger.keys == keys


def test_a_stream_begins_with_the_next_key_as_well(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    ledger.on(error(400, "Your credit balance is too low to access the API."), key="sk-ok-poor")
    with client.messages.stream(model="poor-first:any", max_tokens=100, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == TEXT
    assert ledger.keys == ["sk-ok-poor", "sk-ok-d"]


def test_the_sdks_own_key_goes_to_a_provider_without_keys(
    client: anthropic.Anthropic, ledger: ThreadedUpstream
) -> None:
    client.messages.create(model="own-key:any", max_tokens=100, messages=HELLO)
    assert ledger.keys == ["sk-of-the-sdk"]


@pytest.mark.parametrize(
    ("key", "model", "error_class", "kind"),
    [
        pytest.param("any", "all-limited:any", anthropic.RateLimitError, "rate_limit_error", id="all-keys-limited"),
        pytest.param("any", "no-such-model", anthropic.NotFoundError, "not_found_error", id="unknown-model"),
        pytest.param("any", "gpt-4o", anthropic.UnprocessableEntityError, "invalid_request_error", id="other-format"),
        pytest.param(
            "sk-401-own", "own-key:any", anthropic.AuthenticationError, "authentication_error", id="own-key-refused"
        ),
        pytest.param("any", "all-overloaded:any", anthropic.InternalServerError, "api_error", id="overloaded"),
    ],
)
def test_failures_are_the_sdks_own_errors(
    gateway: GatewayProcess,
    ledger: ThreadedUpstream,
    key: str,
    model: str,
    error_class: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as client,
        pytest.raises(error_class) as failure,
    ):
        client.messages.create(model=model, max_tokens=100, messages=HELLO)
    body: Any = failure.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)


def test_a_stream_that_breaks_off_is_an_error(client: anthropic.Anthropic) -> None:
    words: list[str] = []
    with (
        pytest.raises(anthropic.APIError, match="interrupted"),
        client.messages.stream(model="cut:any", max_tokens=100, messages=HELLO) as stream,
    ):
        words.extend(stream.text_stream)
    assert words == ["word0 ", "word1 "]


def test_words_arrive_while_the_provider_still_speaks(client: anthropic.Anthropic, ledger: ThreadedUpstream) -> None:
    gate = Gate()
    ledger.on(ok(chunks=2, gate=gate), key="sk-ok-held")
    gate.release(4)
    with client.messages.stream(model="held:any", max_tokens=100, messages=HELLO) as stream:
        words = iter(stream.text_stream)
        assert next(words) == "word0 "
        assert not ledger.requests[0].over.is_set()
        gate.release(10)
        assert list(words) == ["word1 "]
