"""Candidate: one way to serve a request (provider, model, key); Attempt: a candidate that was tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.headers import PRIVATE_FIELDS, Field
from ai_gateway_mw.keys import ClientCredential
from ai_gateway_mw.providers import ApiSurface, Model, Provider
from ai_gateway_mw.upstream.http1 import Origin
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.outcome import Outcome
from ai_gateway_mw.upstream.usage import Usage


class Offer(NamedTuple):
    """A model that may serve the request, at its provider; no model on paths that name none."""

    provider: Provider
    model: Model | None


@dataclass(slots=True, eq=False)  # not frozen: each request makes some, and that takes three times as long
class Candidate:
    """One way to serve the request; nobody changes it.

    `key` is the operator's; without one, `credential` is the client's own, or both are None for a keyless provider.
    `model` is None on paths that name no model.
    """

    provider: Provider
    surface: ApiSurface
    model: Model | None
    key: ProviderKey | None = None
    credential: ClientCredential | None = None

    def takes(self, member: str) -> bool:
        """Whether a request to it may have a member of that name."""
        allowed = self.surface.supported_params
        denied = self.model.unsupported_params if self.model else ()
        return (not allowed or member in allowed) and member not in denied

    @property
    def key_id(self) -> str:
        """The id of the key that is shown to the provider, the client's own too; empty without one."""
        if self.key is not None:
            return self.key.id
        return self.credential.secret.fingerprint if self.credential else ""

    @property
    def name(self) -> str:
        """Provider and model, as logs and messages name them."""
        return f"{self.provider.id}/{self.model.id}" if self.model else self.provider.id


class Attempt:
    """A candidate tried: what came of it, and how long it took (milliseconds; `started` is of `time.monotonic`).

    `outcome` is what it has come to so far: that of an accepted answer may change until its end. `judged` is the one
    that was learned from. What is not known yet is as the class has it.
    """

    target: bytes = b""
    judged: Outcome | None = None
    status: int = 0
    error: GatewayError | None = None
    fields: Sequence[Field] = ()
    body_on_error: str = ""
    retry_after: float | None = None
    gateway_ms: int | None = None  # of ours, before the first attempt of a request
    first_byte_ms: int = 0
    first_token_ms: int | None = None  # of a stream
    total_ms: int = 0
    usage: Usage | None = None
    estimate: Usage | None = None  # of an answer that does not say

    def __init__(
        self,
        candidate: Candidate,
        origin: Origin | None = None,
        started: float = 0.0,
        outcome: Outcome = Outcome.UNREACHABLE,
    ) -> None:
        self.candidate = candidate
        self.origin = origin
        self.started = started
        self.outcome = outcome

    @property
    def counted_usage(self) -> Usage | None:
        """What counts against limits: what the provider says, and in place of what it does not say, the estimate."""
        said, estimate = self.usage, self.estimate
        if said is None or estimate is None:
            return said or estimate
        return said._replace(
            input_tokens=estimate.input_tokens if said.input_tokens is None else said.input_tokens,
            output_tokens=estimate.output_tokens if said.output_tokens is None else said.output_tokens,
        )

    @property
    def ms_so_far(self) -> int:
        """How long it has taken, also where it goes on."""
        return self.total_ms or int((time.monotonic() - self.started) * 1000)

    @property
    def url(self) -> str:
        """Where the request went to, or would have gone."""
        if self.origin is None:
            return ""
        return f"{self.origin.scheme}://{self.origin.authority.decode()}{self.target.decode()}"

    @property
    def detail(self) -> str:
        """One line for people: `[429] openai/gpt-4o: rate_limited`."""
        return f"[{self.status}] {self.candidate.name}: {self.outcome.value}"

    def as_result(self) -> dict[str, Any]:
        """This attempt in the action result (`models_tried[].requests_made[]`)."""
        values: dict[str, list[str]] = {}
        for name, value in self.fields:
            if name in PRIVATE_FIELDS:
                continue
            values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return {
            "status": "success" if self.outcome is Outcome.ACCEPTED else "error",
            "error": "" if self.outcome is Outcome.ACCEPTED else self.outcome.value,
            "may_be_billed": self.outcome.may_be_billed,
            "upstream_input_tokens": (self.usage.input_tokens or 0) if self.usage else 0,
            "upstream_output_tokens": (self.usage.output_tokens or 0) if self.usage else 0,
            "request": {"url": self.url, "api_key": self.candidate.key_id},
            "response": {"status_code": self.status, "headers": values, "body_on_error": self.body_on_error},
            "upstream_latency": {"time_to_first_byte_ms": self.first_byte_ms, "total_ms": self.ms_so_far},
        }
