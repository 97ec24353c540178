"""What the upstream was asked: one `Received` per request, in order of arrival."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from tests.fake_upstream.wire import Reply


@dataclass(eq=False)
class Received:
    """One request. `number` counts from 1 over the whole upstream, `connection` names the connection it came by."""

    number: int
    connection: int
    method: str
    target: str
    fields: list[tuple[bytes, bytes]]  # as they came: order, case and repetition
    body: bytes = b""
    reply: Reply | None = None
    closed_early: bool = False  # the client left before the reply was all written
    over: asyncio.Event = field(default_factory=asyncio.Event)  # replied to, cut, or given up by the client

    @cached_property
    def headers(self) -> Headers:
        return Headers(raw=[(name.lower(), value) for name, value in self.fields])

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.target.partition("?")[2]).items()}

    @property
    def json(self) -> Any:
        """The parsed body; {} where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def key(self) -> str | None:
        """The API key, wherever the provider's format has it."""
        scheme, _, bearer = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return bearer
        fields = (self.headers.get(name) for name in ("x-api-key", "x-goog-api-key", "api-key"))
        return next(filter(None, fields), self.query.get("key"))

    @property
    def model(self) -> str:
        """The model asked for: of the body, or of a Gemini path."""
        _, found, tail = self.path.rpartition("/models/")
        if found:
            return tail.partition(":")[0]
        body = self.json
        return str(body.get("model", "")) if isinstance(body, dict) else ""

    @property
    def wants_stream(self) -> bool:
        body = self.json
        return self.path.endswith(":streamGenerateContent") or (isinstance(body, dict) and body.get("stream") is True)
