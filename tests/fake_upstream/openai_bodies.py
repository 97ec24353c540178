"""Answers in the OpenAI format: chat completions, completions, responses, embeddings, models, and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

CREATED = 1_760_000_000


def usage(words: Sequence[str]) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}


def event(data: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def chat(model: str, words: Sequence[str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words), "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(words),
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _chat_chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": CREATED, "model": model}
    return chunk | {"system_fingerprint": "fp_fake", "choices": [choice]}


def chat_events(model: str, words: Sequence[str], *, with_usage: bool = False) -> list[bytes]:
    """The role, the words, the finish reason, the usage if it was asked for, and the terminator."""
    chunks = [_chat_chunk(model, {"role": "assistant", "content": "", "refusal": None})]
    chunks += [_chat_chunk(model, {"content": word}) for word in words]
    chunks.append(_chat_chunk(model, {}, "stop"))
    if with_usage:
        chunks.append(_chat_chunk(model, {}) | {"choices": [], "usage": usage(words)})
    return [*map(event, chunks), b"data: [DONE]\n\n"]


def completion(model: str, words: Sequence[str]) -> dict[str, Any]:
    choice = {"index": 0, "text": "".join(words), "logprobs": None, "finish_reason": "stop"}
    answer = {"id": "cmpl-fake", "object": "text_completion", "created": CREATED, "model": model}
    return answer | {"choices": [choice], "usage": usage(words)}


def completion_events(model: str, words: Sequence[str]) -> list[bytes]:
    """The words, the last with the finish reason, and the terminator."""
    bodies = [completion(model, [word]) for word in words]
    for body in bodies[:-1]:
        body["choices"][0]["finish_reason"] = None
    return [*map(event, bodies), b"data: [DONE]\n\n"]


def _response(model: str, output: list[Any], *, status: str, words: Sequence[str] = ()) -> dict[str, Any]:
    tokens: dict[str, Any] | None = None
    if status == "completed":
        tokens = {"input_tokens": 7, "output_tokens": len(words), "total_tokens": 7 + len(words)}
        tokens |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": tokens,
    }


def _message(text: str, status: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return {"id": "msg_fake", "type": "message", "role": "assistant", "status": status, "content": content}


def response(model: str, words: Sequence[str]) -> dict[str, Any]:
    return _response(model, [_message("".join(words), "completed")], status="completed", words=words)


def response_events(model: str, words: Sequence[str]) -> list[bytes]:
    """Created, the item and its part opened, the words, all closed again, and `response.completed`."""
    text = "".join(words)
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_fake", "output_index": 0, "content_index": 0}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": _response(model, [], status="in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": _message("", "in_progress")}),
        ("response.content_part.added", at | {"part": part}),
        *(("response.output_text.delta", at | {"delta": word, "logprobs": []}) for word in words),
        ("response.output_text.done", at | {"text": text, "logprobs": []}),
        ("response.content_part.done", at | {"part": part | {"text": text}}),
        ("response.output_item.done", {"output_index": 0, "item": _message(text, "completed")}),
        ("response.completed", {"response": response(model, words)}),
    ]
    return [event({"type": name, "sequence_number": at_} | body, name) for at_, (name, body) in enumerate(bodies)]


def embeddings(model: str, texts: Any) -> dict[str, Any]:
    count = len(texts) if isinstance(texts, list) else 1
    rows = [{"object": "embedding", "index": index, "embedding": [0.25, -0.5, 1.0]} for index in range(count)]
    tokens = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
    return {"object": "list", "data": rows, "model": model, "usage": tokens}


def models(ids: Sequence[str]) -> dict[str, Any]:
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake"} for name in ids]
    return {"object": "list", "data": rows}


_KINDS = {401: ("invalid_request_error", "invalid_api_key"), 404: ("invalid_request_error", "model_not_found")}
_KINDS |= {429: ("requests", "rate_limit_exceeded"), 403: ("invalid_request_error", "unsupported_country")}


def error(status: int, message: str, kind: str | None = None, code: str | None = None) -> dict[str, Any]:
    usual_kind, usual_code = _KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": kind or usual_kind, "param": None, "code": code or usual_code}}


def error_event(status: int, message: str, kind: str | None = None, code: str | None = None) -> bytes:
    return event(error(status, message, kind, code))
