"""The real local model: it answers in each API format, takes its own key only, and ends with its block."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ai_gateway_mw.cli.local_model import MODEL, LocalModel, LocalModelUnavailable, model_file

pytestmark = pytest.mark.model

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    with LocalModel("sk-right") as running:
        yield running


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/chat/completions", "choices"), ("/v1/messages", "content"), ("/v1/responses", "output")],
    ids=["chat", "messages", "responses"],
)
def test_it_answers_in_each_format(model: LocalModel, path: str, field: str) -> None:
    body = CHAT if field != "output" else {"model": MODEL, "input": "Say hello.", "max_output_tokens": 8}
    response = httpx.post(model.address + path, json=body, headers={"authorization": "Bearer sk-right"}, timeout=30)
    assert response.status_code == 200
    assert response.json()[field]


def test_it_refuses_another_key(model: LocalModel) -> None:
    response = httpx.post(f"{model.address}/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer sk-no"})
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


def test_it_goes_by_its_short_name(model: LocalModel) -> None:
    listed = httpx.get(f"{model.address}/v1/models", headers={"authorization": "Bearer sk-right"}).json()
    assert [row["id"] for row in listed["data"]] == [MODEL]


def test_it_ends_with_its_block() -> None:
    with LocalModel("sk-right") as model:
        assert httpx.get(f"{model.address}/health").json() == {"status": "ok"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{model.address}/health")


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel("sk-right")
    model._config["path"] = "/nowhere/model.gguf"
    with pytest.raises(LocalModelUnavailable, match=r"/nowhere/model\.gguf"), model:
        pass


def test_the_model_file_is_found_without_its_package() -> None:
    assert model_file().suffix == ".gguf"
