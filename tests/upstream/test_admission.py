from __future__ import annotations

import pytest

from tests.asgi import request
from tests.upstream.scripted import Providers, gateway, with_keys

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("GET", "/v1/messages", "POST"),
        ("GET", "/v1beta/models/gemini-2.5-pro:generateContent", "POST"),
        ("PUT", "/v1/files/file-1", "GET, POST, DELETE"),
        ("PATCH", "/v1/responses/resp_1", "GET, POST, DELETE"),
        ("DELETE", "/v1/models", "GET, HEAD"),
    ],
)
async def test_a_path_takes_its_own_methods_only(method: str, path: str, allowed: str) -> None:
    providers = Providers()
    answer = await request(gateway(with_keys("k"), providers).app, method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.headers["x-gateway-error"] == "method_not_allowed"
    assert providers.requests == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("GET", "/v1/files/file-1/content"),
        ("DELETE", "/v1/files/file-1"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/responses/resp_1/cancel"),
    ],
)
async def test_what_belongs_to_an_account_is_passed_on(method: str, path: str) -> None:
    providers = Providers()
    answer = await request(gateway(with_keys("k", max_input_tokens=1), providers).app, method, path)
    assert answer.status == 200
    assert [(sent.method, sent.url.path) for sent in providers.requests] == [(method, path)]


async def test_a_path_of_no_ai_api_is_not_passed_on() -> None:
    providers = Providers()
    answer = await request(gateway(with_keys("k"), providers).app, "POST", "/v1/organization/api_keys", json={})
    assert answer.status == 404
    assert providers.requests == []


async def test_a_body_that_is_too_large_is_refused() -> None:
    providers = Providers()
    app = gateway(with_keys("k"), providers, max_body=1000).app
    answer = await request(app, "POST", "/v1/chat/completions", json={"model": "gpt-4o", "user": "x" * 1000})
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert providers.requests == []


async def test_two_credentials_are_refused() -> None:
    providers = Providers()
    headers = {"authorization": "Bearer one", "x-api-key": "two"}
    answer = await request(
        gateway({}, providers).app, "POST", "/v1/chat/completions", headers=headers, json={"model": "gpt-4o"}
    )
    assert (answer.status, answer.json()["error"]["code"]) == (400, "ambiguous_credentials")
