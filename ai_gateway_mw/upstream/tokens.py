"""An estimate of a prompt's length in tokens, for `max_input_tokens`: close enough to stop what is far too long."""

from __future__ import annotations

from typing import Any

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context

# About four characters of English to a token; other scripts come nearer to one. Keys whose values are prompt text.
_CHARACTERS_PER_TOKEN = 4
_PROMPT_KEYS = frozenset(
    ["messages", "input", "prompt", "system", "instructions", "contents", "content", "tools"]
    + ["systemInstruction", "system_instruction", "documents", "query", "requests", "instances"]
)
_BINARY_KEYS = frozenset({"data", "image_url", "url", "file_data", "type", "role", "id"})


def estimated_tokens(content: dict[str, Any]) -> int:
    """Tokens in the prompt of a request body of any of the formats; never below the true order of magnitude."""
    ascii_characters = other = ready = 0
    items: list[Any] = list(map(content.get, _PROMPT_KEYS & content.keys()))
    for item in items:  # which grows on the way: what an item holds is put at its end
        kind = type(item)
        if kind is str:
            if item.isascii():
                ascii_characters += len(item)
            else:
                narrow = len(item.encode("ascii", "ignore"))
                ascii_characters += narrow
                other += len(item) - narrow
        elif kind is list:
            if int not in map(type, item):
                items += item
            else:  # a prompt may come as tokens, for embeddings say
                rest = [each for each in item if type(each) is not int]
                ready += len(item) - len(rest)
                items += rest
        elif kind is dict:
            items += map(item.get, item.keys() - _BINARY_KEYS)
    return -(-ascii_characters // _CHARACTERS_PER_TOKEN) + other + ready


def input_estimate(ctx: Context) -> int:
    """The estimate for a request, made once; 0 where its body holds no text."""
    estimate = ctx.input_tokens
    if estimate is None and ctx.body:
        payload = ctx.payload
        if isinstance(payload, JSONBody):
            estimate = ctx.input_tokens = estimated_tokens(payload.value)
    return estimate or 0
