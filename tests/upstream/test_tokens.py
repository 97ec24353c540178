from __future__ import annotations

import base64
from typing import Any

import pytest

from ai_gateway_mw.upstream.tokens import estimated_tokens
from tests.upstream.scripted import Providers, chat, gateway, with_keys

PARAGRAPH = "The quick brown fox jumps over the lazy dog. " * 100  # 1,001 tokens in o200k_base
PICTURE = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()


@pytest.mark.parametrize(
    ("content", "least", "most"),
    [
        pytest.param({}, 0, 0, id="nothing"),
        pytest.param({"model": "a-very-long-name" * 100}, 0, 0, id="a-model-is-no-prompt"),
        pytest.param({"messages": [{"role": "user", "content": PARAGRAPH}]}, 900, 1300, id="chat"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": PARAGRAPH}]}]}, 900, 1300, id="parts"
        ),
        pytest.param({"system": PARAGRAPH, "messages": []}, 900, 1300, id="anthropic-system"),
        pytest.param({"input": PARAGRAPH, "instructions": "Be brief."}, 900, 1300, id="responses"),
        pytest.param({"input": [PARAGRAPH, PARAGRAPH]}, 1800, 2600, id="embeddings"),
        pytest.param({"prompt": PARAGRAPH}, 900, 1300, id="completions"),
        pytest.param({"contents": [{"parts": [{"text": PARAGRAPH}]}]}, 900, 1300, id="gemini"),
        pytest.param({"input": "漢字" * 500}, 500, 1500, id="another-script"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]},
            0,
            2000,
            id="a-picture-is-no-text",
        ),
        pytest.param({"contents": [{"parts": [{"inlineData": {"data": PICTURE}}]}]}, 0, 2000, id="gemini-picture"),
        pytest.param({"input": [7] * 500}, 500, 500, id="tokens-themselves"),
        pytest.param({"input": [[7] * 500, [True, 8] * 250]}, 750, 750, id="lists-of-tokens"),
        pytest.param({"query": PARAGRAPH, "documents": [PARAGRAPH, {"text": PARAGRAPH}]}, 2700, 3900, id="rerank"),
        pytest.param(
            {"content": {"parts": [{"text": PARAGRAPH}]}, "system_instruction": PARAGRAPH},
            1800,
            2600,
            id="gemini-snake",
        ),
        pytest.param({"messages": None, "input": 7, "prompt": True}, 0, 0, id="odd-types"),
    ],
)
def test_the_estimate_is_of_the_right_order(content: dict[str, Any], least: int, most: int) -> None:
    assert least <= estimated_tokens(content) <= most


@pytest.mark.anyio
@pytest.mark.parametrize(("words", "status"), [(10, 200), (2000, 413)])
async def test_a_prompt_that_is_too_long_is_refused(words: int, status: int) -> None:
    providers = Providers()
    answer = await chat(gateway(with_keys("k", max_input_tokens=1000), providers), messages=["word " * words])
    assert answer.status == status
    if status == 413:
        assert answer.json()["error"]["message"].startswith("ERR_NGROK_3811: Input too large: 2500 tokens (max 1000)")
        assert providers.requests == []
