"""The `google-genai` SDK against `ai-gateway run`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google import genai
from google.genai import errors

from tests.fake_upstream import TEXT, ThreadedUpstream
from tests.servers import GatewayProcess

pytestmark = pytest.mark.subprocess

GEMINI = [{"format": "gemini"}]
PROVIDERS: dict[str, dict[str, Any]] = {
    "google": {"keys": ["sk-ok-google"], "path": ""},
    "limited-first": {
        "keys": ["sk-429-a", "sk-ok-a"],
        "path": "",
        "supported_api_surfaces": GEMINI,
        "models": [{"id": "team-flash", "id_aliases": ["flash"]}],
    },
    "all-limited": {
        "keys": ["sk-429-b"],
        "path": "",
        "supported_api_surfaces": GEMINI,
        "models": [{"id": "busy-flash"}],
    },
    "cut": {
        "keys": ["sk-cut-after-2"],
        "path": "",
        "supported_api_surfaces": GEMINI,
        "models": [{"id": "cut-flash"}],
    },
    "own-key": {
        "needs_key": True,
        "path": "",
        "supported_api_surfaces": GEMINI,
        "models": [{"id": "own-flash"}],
    },
}


@contextmanager
def sdk(gateway: GatewayProcess, key: str) -> Iterator[genai.Client]:
    client = genai.Client(api_key=key, http_options={"base_url": gateway.url, "api_version": "v1beta"})
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[genai.Client]:
    with sdk(gateway, "sk-of-the-sdk") as made:
        yield made


def test_content_is_generated_with_the_configured_key(client: genai.Client, ledger: ThreadedUpstream) -> None:
    answer = client.models.generate_content(model="gemini-2.5-pro", contents="Say hello.")
    assert answer.text == TEXT
    received = ledger.requests[0]
    assert (received.method, received.target) == ("POST", "/v1beta/models/gemini-2.5-pro:generateContent")
    assert received.headers["x-goog-api-key"] == "sk-ok-google"
    assert b"sk-of-the-sdk" not in b"".join(value for _, value in received.fields)


def test_content_is_streamed(client: genai.Client, ledger: ThreadedUpstream) -> None:
    stream = client.models.generate_content_stream(model="gemini-2.5-pro", contents="Say hello.")
    assert "".join(chunk.text or "" for chunk in stream) == TEXT
    assert ledger.requests[0].target == "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"


def test_a_stream_that_breaks_off_is_an_error(client: genai.Client) -> None:
    words: list[str | None] = []
    with pytest.raises(errors.ServerError, match="interrupted"):
        words.extend(
            chunk.text for chunk in client.models.generate_content_stream(model="cut-flash", contents="Say hello.")
        )
    assert words == ["word0 ", "word1 "]


def test_the_sdks_own_key_goes_to_a_provider_without_keys(client: genai.Client, ledger: ThreadedUpstream) -> None:
    client.models.generate_content(model="own-flash", contents="Say hello.")
    assert ledger.requests[0].headers["x-goog-api-key"] == "sk-of-the-sdk"


def test_the_next_key_takes_over_and_an_alias_becomes_the_models_id(
    client: genai.Client, ledger: ThreadedUpstream
) -> None:
    assert client.models.generate_content(model="flash", contents="Say hello.").text == TEXT
    assert [(one.key, one.model) for one in ledger.requests] == [("sk-429-a", "team-flash"), ("sk-ok-a", "team-flash")]


def test_tokens_are_counted(client: genai.Client, ledger: ThreadedUpstream) -> None:
    assert client.models.count_tokens(model="gemini-2.5-pro", contents="Say hello.").total_tokens == 7
    assert ledger.requests[0].target == "/v1beta/models/gemini-2.5-pro:countTokens"


def test_models_are_listed(client: genai.Client, ledger: ThreadedUpstream) -> None:
    names = [model.name for model in client.models.list(config={"query_base": True})]
    assert "models/gemini-2.5-pro" in names
    assert ledger.requests == []


@pytest.mark.parametrize(
    ("key", "model", "code", "status"),
    [
        pytest.param("any", "no-such-model", 404, "NOT_FOUND", id="unknown-model"),
        pytest.param("any", "busy-flash", 429, "RESOURCE_EXHAUSTED", id="all-keys-limited"),
        pytest.param("sk-401-own", "own-flash", 401, "UNAUTHENTICATED", id="own-key-refused"),
    ],
)
def test_failures_are_the_sdks_own_errors(
    gateway: GatewayProcess, key: str, model: str, code: int, status: str
) -> None:
    with sdk(gateway, key) as client, pytest.raises(errors.ClientError) as failure:
        client.models.generate_content(model=model, contents="Say hello.")
    assert (failure.value.code, failure.value.status) == (code, status)
