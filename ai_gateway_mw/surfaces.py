"""API surfaces: which request path belongs to which API format, and where that API keeps the model's name.

Decides on `scope["path"]` and `raw_path` alone; a path that means one thing to us and may mean another to the next
server is refused, not guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from ai_gateway_mw.errors import AmbiguousPath

Format = Literal["openai", "anthropic", "gemini"]
Task = Literal["generate", "list-models", "resource"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for.

    `path` is the canonical client path (with its version prefix), `surface` the name that `supported_api_surfaces`
    uses, `model` the model that the path itself names (Gemini). A task `generate` names a model, `resource` belongs
    to an account (files, batches, stored responses) and names none.
    """

    format: Format
    path: str
    task: Task = "generate"
    surface: str | None = None
    model: str | None = None


_EXACT = {
    route.path: route
    for route in (
        Route("openai", "/v1/chat/completions", surface="chat-completions"),
        Route("openai", "/v1/completions"),
        Route("openai", "/v1/embeddings"),
        Route("openai", "/v1/responses", surface="responses"),
        Route("openai", "/v1/moderations"),
        Route("openai", "/v1/rerank"),
        Route("openai", "/v1/models", "list-models"),
        Route("openai", "/v1/files", "resource"),
        Route("openai", "/v1/batches", "resource"),
        Route("anthropic", "/v1/messages", surface="messages"),
        Route("anthropic", "/v1/messages/count_tokens"),
        Route("anthropic", "/v1/messages/batches", "resource"),
        Route("gemini", "/v1beta/models", "list-models"),
    )
}
_BELOW = {
    "/v1/images/": Route("openai", ""),
    "/v1/audio/": Route("openai", ""),
    "/v1/responses/": Route("openai", "", "resource"),
    "/v1/files/": Route("openai", "", "resource"),
    "/v1/batches/": Route("openai", "", "resource"),
    "/v1/messages/batches/": Route("anthropic", "", "resource"),
}
# A model may be written `provider:model`: the last part is a method only if it is spelled like one.
_METHOD = r"[a-z]+[A-Z][A-Za-z]*|predict"
_MODELS = re.compile(rf"(?:/(?P<version>v1beta|v1))?/models/(?P<model>.+?)(?::(?P<method>{_METHOD}))?", re.DOTALL)
_REPEATED = re.compile(r"(?:/v1)+(?=/v1(?:beta)?/)")  # an SDK's base URL and a client's path both brought `/v1`
# What one server resolves and another takes literally: encoded or doubled separators, dot segments, parameters, blanks
# around a segment.
_SUSPECT = re.compile(
    rb"%(?:2[ef5]|5c|3b|[01][0-9a-f]|7f)|[\\;\x00-\x1f\x7f]|//|/\.{1,2}(?=/|$)| (?=/|$)|/ ", re.IGNORECASE
)
_ENCODED_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_LONG = 512  # longer paths are not remembered: what others send must not fill the memory


def route_of(path: str, raw_path: bytes | None = None) -> Route | None:
    """The AI route of a path, or None where it is no AI path.

    Raises `AmbiguousPath` for a path that is an AI path in one reading and something else in another.
    """
    if len(path) > _LONG or (raw_path is not None and len(raw_path) > _LONG):
        return _resolved(path, raw_path)
    return _remembered(path, raw_path)


def _resolved(path: str, raw_path: bytes | None) -> Route | None:
    route = _lookup(path)
    raw = raw_path if raw_path is not None else path.encode()
    if route is not None and route.task == "list-models":
        # SDKs escape the slash in a model's id. Its card is made here: no other server reads this path.
        raw = _ENCODED_SLASH.sub(b"/", raw)
    if _SUSPECT.search(raw) or _SUSPECT.search(path.encode()):
        other = route or _lookup(_normalised(path))
    else:
        # Routers fold case, or drop what trails: Litestar and Django do. Unversioned names (`/files/`) are too common
        # in host apps to be refused for that.
        variant = path.rstrip("/. ").lower()
        other = _lookup(variant) if route is None and variant.startswith("/v1") else None
    if other is not None:
        raise AmbiguousPath("The request path can be read in more than one way.")
    return route


_remembered = lru_cache(maxsize=1024)(_resolved)


def _lookup(path: str) -> Route | None:
    path = path[found.end() :] if (found := _REPEATED.match(path)) else path
    versioned = path if path.startswith(("/v1/", "/v1beta/")) else "/v1" + path
    return _EXACT.get(versioned) or _below(versioned) or _model_route(path)


def _below(path: str) -> Route | None:
    for prefix, route in _BELOW.items():
        if path.startswith(prefix) and len(path) > len(prefix):
            return replace(route, path=path)
    return None


def _model_route(path: str) -> Route | None:
    """`/v1beta/models/{m}:generateContent` and its kind (Gemini), `/v1/models/{m}` (a model's card)."""
    found = _MODELS.fullmatch(path)
    if found is None:
        return None
    version, model, method = found.group("version"), found.group("model"), found.group("method")
    if method is not None:
        return Route("gemini", f"/{version or 'v1beta'}/models/{model}:{method}", model=model)
    if version == "v1beta":
        return Route("gemini", path, "list-models", model=model)
    return Route("openai", f"/v1/models/{model}", "list-models", model=model)


def _normalised(path: str) -> str:
    """What a lenient server might make of the path."""
    for _ in range(3):
        path = unquote(path)
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = _BLANK.sub("", segment.partition(";")[0])
        if name == ".." and segments:
            segments.pop()
        elif name not in ("", ".", ".."):
            segments.append(name)
    return "/" + "/".join(segments).rstrip(".").lower()
