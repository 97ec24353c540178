"""Answers in the Gemini format: generateContent, its stream, token counts, embeddings, models, and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def content(model: str, words: Sequence[str], finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": "".join(words)}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    tokens = {"promptTokenCount": 7, "candidatesTokenCount": len(words), "totalTokenCount": 7 + len(words)}
    return {"candidates": [candidate], "usageMetadata": tokens, "modelVersion": model, "responseId": "fake"}


def content_events(model: str, words: Sequence[str]) -> list[bytes]:
    """One event a word; the last one has the finish reason, and there is no terminator beside it."""
    last = len(words) - 1
    bodies = [content(model, [word], "STOP" if at == last else None) for at, word in enumerate(words)]
    return [f"data: {json.dumps(body)}\r\n\r\n".encode() for body in bodies]


def token_count() -> dict[str, Any]:
    return {"totalTokens": 7}


def embeddings(count: int) -> dict[str, Any]:
    return {"embeddings": [{"values": [0.25, -0.5, 1.0]} for _ in range(count)]}


def models(ids: Sequence[str]) -> dict[str, Any]:
    return {"models": [{"name": f"models/{name}", "displayName": name, "version": "1"} for name in ids]}


_KINDS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_KINDS |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


def error(status: int, message: str, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": kind or _KINDS.get(status, "UNKNOWN")}}


def error_event(status: int, message: str, kind: str | None = None) -> bytes:
    return f"data: {json.dumps(error(status, message, kind))}\r\n\r\n".encode()
