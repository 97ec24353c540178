"""What a request says to a model, in each of the formats."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.texts import said

TEXT = {"type": "text", "text": "b"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, []),
        (
            {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [TEXT]}]},
            ["system a", "user b"],
        ),
        (
            {"messages": [{"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": "u"}}]}]},
            ["user b"],
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "i", "function": {"name": "f", "arguments": "{}"}}]}
                ]
            },
            ["assistant f\n{}"],
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "i", "content": "a"}]}, ["tool a"]),
        ({"prompt": "a"}, ["user a"]),
        ({"prompt": ["a", "b"]}, ["user a\nb"]),
        ({"instructions": "s", "input": "a"}, ["system s", "user a"]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}, ["user a"]),
        ({"input": ["a", "b"]}, ["user a", "user b"]),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]}, ["user a"]),
        ({"system": "s", "messages": [{"role": "user", "content": "a"}]}, ["system s", "user a"]),
        ({"system": [TEXT], "messages": []}, ["system b"]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [TEXT]}]}
                ]
            },
            ["user b"],
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"url": "a", "id": "b"}}],
                    }
                ]
            },
            ["assistant n\na\nb"],
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "zzz"}},
                        ],
                    }
                ]
            },
            ["user a"],
        ),
        (
            {"systemInstruction": {"parts": [{"text": "s"}]}, "contents": [{"role": "user", "parts": [{"text": "a"}]}]},
            ["system s", "user a"],
        ),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "zzz"}}, {"text": "a"}]}]},
            ["user a"],
        ),
        (
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"id": "a"}}}]}]},
            ["user f\na"],
        ),
        ({"query": "q", "documents": ["a", {"text": "b"}]}, ["user q", "user a\nb"]),
        ({"messages": "not a list"}, ["user not a list"]),
        ({"messages": [1, None, {"role": 5, "content": "a"}]}, ["user a"]),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": "d"}}]}, ["tools f\nd"]),
    ],
)
def test_messages(body: dict[str, Any], expected: list[str]) -> None:
    assert [f"{each.role} {each.text}" for each in said(body)] == expected
