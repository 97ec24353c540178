from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import Response, request
from tests.upstream.scripted import Providers, gateway

pytestmark = pytest.mark.anyio

CONFIG = {
    "only_allow_configured_providers": True,
    "only_allow_configured_models": True,
    "providers": [
        {
            "id": "box",
            "base_url": "http://localhost/v1",
            "models": [
                {"id": "llama", "id_aliases": ["small"], "author_id": "meta-llama"},
                {"id": "meta/big:70b", "display_name": "Big", "max_context_window": 8192},
                {"id": "withdrawn", "disabled": True},
            ],
        },
        {
            "id": "both",
            "base_url": "http://localhost:2/v1",
            "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}, {"format": "gemini"}],
            "models": [{"id": "llama"}, {"id": "claude-of-ours"}],
        },
    ],
}


async def listed(path: str, *, method: str = "GET", **fields: str) -> Response:
    providers = Providers()
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    answer = await request(gateway(CONFIG, providers).app, method, path, headers=headers)
    assert providers.requests == []
    return answer


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/v1/models"])
async def test_the_openai_list(path: str) -> None:
    answer = await listed(path)
    assert answer.json() == {
        "object": "list",
        "data": [
            {"id": "llama", "object": "model", "created": 0, "owned_by": "meta-llama"},
            {"id": "meta/big:70b", "object": "model", "created": 0, "owned_by": "box"},
            {"id": "claude-of-ours", "object": "model", "created": 0, "owned_by": "both"},
        ],
    }


async def test_the_anthropic_list_is_for_those_who_send_its_version() -> None:
    answer = (await listed("/v1/models", anthropic_version="2023-06-01")).json()
    assert [model["id"] for model in answer["data"]] == ["llama", "claude-of-ours"]
    assert (answer["first_id"], answer["last_id"], answer["has_more"]) == ("llama", "claude-of-ours", False)


GOOGLE = {"x_goog_api_client": "google-genai-sdk/3.6.1 gl-python/3.11"}


@pytest.mark.parametrize(("path", "fields"), [("/v1beta/models", {}), ("/v1/models", GOOGLE)])
async def test_the_gemini_list(path: str, fields: dict[str, str]) -> None:
    answer = (await listed(path, **fields)).json()
    assert [model["name"] for model in answer["models"]] == ["models/llama", "models/claude-of-ours"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/models/llama", {"id": "llama", "owned_by": "meta-llama"}),
        ("/v1/models/claude-of-ours", {"id": "claude-of-ours", "owned_by": "both"}),
        ("/v1beta/models/llama", {"name": "models/llama"}),
    ],
)
async def test_one_model(path: str, shown: dict[str, Any]) -> None:
    answer = (await listed(path)).json()
    assert {name: answer[name] for name in shown} == shown


@pytest.mark.parametrize("name", ["withdrawn", "gpt-4o", "nonsense"])
async def test_a_model_that_is_not_on_offer_is_not_found(name: str) -> None:
    answer = await listed(f"/v1/models/{name}")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_googles_sdk_reads_cards_and_errors_in_its_own_format_under_v1_as_well() -> None:
    assert (await listed("/v1/models/llama", **GOOGLE)).json()["name"] == "models/llama"
    error = (await listed("/v1/models/nonsense", **GOOGLE)).json()["error"]
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("DELETE", 405)])
async def test_a_list_is_only_read(method: str, status: int) -> None:
    answer = await listed("/v1/models", method=method)
    assert answer.status == status
    assert status == 200 or answer.headers["allow"] == "GET, HEAD"


async def test_an_empty_list_is_a_list() -> None:
    app = gateway({"only_allow_configured_models": True}, Providers()).app
    assert (await request(app, "GET", "/v1/models")).json() == {"object": "list", "data": []}
    version = {"anthropic-version": "2023-06-01"}
    assert (await request(app, "GET", "/v1/models", headers=version)).json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("name", ["openai:gpt-4o", "gpt-4o-2024-11-20", "GPT-4O"])
async def test_a_model_is_found_by_every_name_that_requests_know(name: str) -> None:
    answer = await request(gateway({}, Providers()).app, "GET", f"/v1/models/{name}")
    assert answer.json()["id"] == "gpt-4o"
