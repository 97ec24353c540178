"""The examples, served by uvicorn and asked by an SDK; the provider is a fake one on a real port."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from ai_gateway_mw.keys import generate
from tests.fake_upstream import TEXT, ThreadedUpstream
from tests.servers import serving

EXAMPLES = Path(__file__).parents[1] / "examples"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
POLICY = """\
on_http_request:
  - type: ai-gateway
    config:
      providers:
        - id: openai
          base_url: UPSTREAM/v1
          api_keys:
            - value: ${secrets.get('openai', 'primary')}
            - value: ${secrets.get('openai', 'backup')}
"""
Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threaded_upstream: ThreadedUpstream) -> Serve:
    """Serves an example by its name, with these variables in the environment; POLICY leads to the fake provider."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("UPSTREAM", threaded_upstream.url))
    monkeypatch.setenv("POLICY", str(policy))
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI__PRIMARY", "sk-429-primary")
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI__BACKUP", "sk-ok-backup")
    monkeypatch.chdir(tmp_path)  # where no `.env` is

    @contextmanager
    def serve(name: str, **variables: str) -> Iterator[str]:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        module: Any = importlib.import_module(f"examples.{name}")
        try:
            with serving(module.app) as url:
                yield url
        finally:
            del sys.modules[module.__name__]

    return serve


def ask(url: str, key: str = "unused", **more: Any) -> str | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, **more)
        content: str | None = answer.choices[0].message.content
        return content


def test_every_example_is_short_and_says_how_to_run_it() -> None:
    for file in EXAMPLES.glob("*.py"):
        lines = file.read_text().splitlines()
        assert len(lines) <= 40, file
        assert f"    uvicorn examples.{file.stem}:app" in lines


def test_every_example_is_served_here() -> None:
    names = {file.stem for file in EXAMPLES.glob("*.py")}
    assert names == {"fastapi_middleware", "layers_by_hand", "standalone", "starlette_mount"}


def test_fastapi_middleware(served: Serve, threaded_upstream: ThreadedUpstream) -> None:
    with served("fastapi_middleware") as url:
        assert ask(url) == TEXT
        assert httpx.get(f"{url}/hello").json() == {"hello": "from the app around the gateway"}
        assert httpx.get(f"{url}/docs").status_code == 200
    assert threaded_upstream.keys == ["sk-429-primary", "sk-ok-backup"]


def test_starlette_mount(served: Serve, threaded_upstream: ThreadedUpstream) -> None:
    with served("starlette_mount") as url:
        assert ask(f"{url}/ai") == TEXT
        with pytest.raises(openai.NotFoundError):
            ask(url)
        with openai.OpenAI(base_url=f"{url}/own/v1", api_key="unused") as client:
            assert "gpt-4o" in [model.id for model in client.models.list()]
    assert threaded_upstream.keys == ["sk-429-primary", "sk-ok-backup"]


def test_layers_by_hand(served: Serve, threaded_upstream: ThreadedUpstream) -> None:
    team = generate()
    variables = {
        "TEAM_KEY": team,
        "OPENAI_API_KEY": "sk-401-first",
        "OPENAI_BACKUP_KEY": "sk-ok-second",
        "OPENAI_BASE_URL": f"{threaded_upstream.url}/v1",
    }
    with served("layers_by_hand", **variables) as url:
        assert ask(url, team) == TEXT
        for key in (generate(), "sk-ok-second"):
            with pytest.raises(openai.AuthenticationError):
                ask(url, key)
        with openai.OpenAI(base_url=f"{url}/v1", api_key=team, max_retries=0) as client:
            stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
            assert "gpt-4o" in [model.id for model in client.models.list()]
            with pytest.raises(openai.PermissionDeniedError):
                client.chat.completions.create(model="deepseek:deepseek-chat", messages=HELLO)
        assert httpx.get(f"{url}/elsewhere").status_code == 401
    assert threaded_upstream.keys == ["sk-401-first", "sk-ok-second", "sk-ok-second"]


def test_standalone(served: Serve, threaded_upstream: ThreadedUpstream) -> None:
    with served("standalone") as url:
        assert ask(url) == TEXT
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").json()["status"] == "ready"
        assert httpx.get(f"{url}/ip").json() == {"ip": "127.0.0.1"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [("fastapi_middleware", 503), ("starlette_mount", 404), ("standalone", 401)],
)
def test_without_configuration_an_example_says_what_it_lacks(
    served: Serve, monkeypatch: pytest.MonkeyPatch, name: str, answer: int
) -> None:
    """They load with the policies that they name; only the keys are missing."""
    for variable in ("POLICY", "AI_GATEWAY_SECRET__OPENAI__PRIMARY", "AI_GATEWAY_SECRET__OPENAI__BACKUP"):
        monkeypatch.delenv(variable)
    with served(name) as url:
        asked = httpx.post(f"{url}/v1/chat/completions", json={"model": "gpt-4o"})
        assert asked.status_code == answer
