"""Answers in the Anthropic format: messages, token counts, models, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.fake_upstream.openai_bodies import event


def _tokens(count: int) -> dict[str, Any]:
    nothing = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": 7, "output_tokens": count} | nothing


def message(model: str, words: Sequence[str]) -> dict[str, Any]:
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "".join(words)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _tokens(len(words)),
    }


def message_events(model: str, words: Sequence[str]) -> list[bytes]:
    """`message_start`, the block opened, a ping, the words, the block closed, `message_delta` and `message_stop`."""
    begun = message(model, ()) | {"content": [], "stop_reason": None, "usage": _tokens(1)}
    ended = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": len(words)}}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": begun}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
        ("content_block_stop", {"index": 0}),
        ("message_delta", ended),
        ("message_stop", {}),
    ]
    return [event({"type": name} | body, name) for name, body in bodies]


def token_count() -> dict[str, Any]:
    return {"input_tokens": 7}


def models(ids: Sequence[str]) -> dict[str, Any]:
    created = "2025-01-01T00:00:00Z"
    rows = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in ids]
    return {"data": rows, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


_KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error"}
_KINDS |= {404: "not_found_error", 413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error"}
_KINDS |= {504: "timeout_error", 529: "overloaded_error"}


def error(status: int, message: str, kind: str | None = None) -> dict[str, Any]:
    found = {"type": kind or _KINDS.get(status, "api_error"), "message": message}
    return {"type": "error", "error": found, "request_id": "req_fake"}


def error_event(status: int, message: str, kind: str | None = None) -> bytes:
    return event(error(status, message, kind), "error")
