from __future__ import annotations

from collections.abc import Mapping

import pytest

from ai_gateway_mw.errors import SecretUnusable
from ai_gateway_mw.secrets import EnvSource

CANARY = "sk-proj-canary0123456789"


@pytest.mark.parametrize(
    ("variables", "vault", "name"),
    [
        ({"AI_GATEWAY_SECRET__OPENAI__PRIMARY": CANARY}, "openai", "primary"),
        ({"AI_GATEWAY_SECRET__TEAM_A_PROD__KEY_1_2": CANARY}, "team-a/prod", "key.1-2"),
        ({"AI_GATEWAY_SECRET__DEFAULT__OPENAI_API_KEY": CANARY, "OPENAI_API_KEY": "x"}, "default", "openai-api-key"),
        ({"OPENAI_API_KEY": CANARY}, "default", "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": CANARY}, "default", "openai-api-key"),
        ({"AI_GATEWAY_SECRET__OPENAI": f'{{"key-one": "{CANARY}"}}'}, "openai", "key-one"),
        ({"AI_GATEWAY_SECRET__DEFAULT": f'{{"key-one": "{CANARY}"}}', "KEY_ONE": "x"}, "default", "key-one"),
        (
            {"AI_GATEWAY_SECRET__OPENAI": '{"key-one": "x"}', "AI_GATEWAY_SECRET__OPENAI__KEY_ONE": CANARY},
            "openai",
            "key-one",
        ),
    ],
    ids=["exact", "other characters", "before plain", "plain", "plain of any case", "JSON", "JSON first", "JSON last"],
)
def test_where_a_secret_is_found(variables: Mapping[str, str], vault: str, name: str) -> None:
    assert EnvSource(variables).get(vault, name) == CANARY


@pytest.mark.parametrize(
    ("variables", "vault", "name"),
    [
        ({"PRIMARY": CANARY}, "openai", "primary"),
        ({"AI_GATEWAY_MASTER_KEY": CANARY}, "default", "AI_GATEWAY_MASTER_KEY"),
        ({"AI_GATEWAY_ADMIN_TOKEN": CANARY}, "default", "ai-gateway-admin-token"),
        ({"AI_GATEWAY_SECRET__OPENAI": '{"key-one": "x"}'}, "openai", "KEY_ONE"),
    ],
    ids=["plain name of another vault", "our master key", "our admin token", "JSON names are exact"],
)
def test_where_it_is_not(variables: Mapping[str, str], vault: str, name: str) -> None:
    assert EnvSource(variables).get(vault, name) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CANARY, "AI_GATEWAY_SECRET__OPENAI in the environment is not a JSON object"),
        (f'["{CANARY}"]', "is not a JSON object"),
        (f'{{"a": "{CANARY}", "a": "b"}}', "whose names are all different"),
        (f'{{"a": {{"b": "{CANARY}"}}}}', "the value of `a` is not a string"),
        ("[" * 100_000, "is not a JSON object"),
    ],
    ids=["text", "list", "twice", "nested", "deep"],
)
def test_a_vault_that_is_no_object_is_refused_unseen(text: str, message: str) -> None:
    with pytest.raises(SecretUnusable, match=message) as caught:
        EnvSource({"AI_GATEWAY_SECRET__OPENAI": text}).get("openai", "a")
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    source = EnvSource()
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI__PRIMARY", CANARY)
    assert source.get("openai", "primary") == CANARY
