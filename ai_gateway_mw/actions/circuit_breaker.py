"""`circuit-breaker`: refuse requests for a while where what serves them fails too often."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from pydantic import Field, field_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.actions.rate_limit import bucket_of
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import CircuitOpen
from ai_gateway_mw.policy import ActionConfig, Duration, ExpressionText, Phase, duration_text
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.state import CircuitRules

_SHORTEST, _LONGEST = 1.0, 120.0
_BUCKETS: Final = 10


class CircuitBreaker:
    """Answer 503 in place of what lies behind, where too much of that has failed lately.

    An answer of the app or of an upstream with 500 or more counts as failed, and so does an upstream that cannot be
    reached or takes too long; what the policy itself answers or refuses does not count. After its time, one request at
    a time is let through until one succeeds. Each process counts for itself, and each action of the policy.
    """

    name = "circuit-breaker"
    phases = frozenset({Phase.ON_HTTP_REQUEST})

    class Config(ActionConfig):
        error_threshold: float = Field(0.5, ge=0, le=1, description="The part of the requests that must have failed.")
        volume_threshold: int = Field(
            10, ge=1, le=2_000_000_000, description="Requests within the window, below which it does not trip."
        )
        window_duration: Duration = Field(10.0, description="The window that is counted over: from `1s` to `2m`.")
        tripped_duration: Duration = Field(10.0, description="How long it refuses: from `1s` to `2m`.")
        num_buckets: int = Field(
            _BUCKETS, ge=_BUCKETS, le=_BUCKETS, description="Into how many parts the window is cut; always 10."
        )
        bucket_key: tuple[ExpressionText, ...] = Field(
            (),
            max_length=10,
            description="Expressions whose values each have a breaker of their own, such as `req.body.model`; one that "
            "fails is null. Omitted: one for all.",
        )
        enforce: bool = Field(True, description=ENFORCE)

        @field_validator("window_duration", "tripped_duration", mode="before")
        @classmethod
        def _of_nanoseconds(cls, value: Any) -> Any:
            """ngrok's operator writes durations as numbers of nanoseconds."""
            return f"{value}ns" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value

        @field_validator("window_duration", "tripped_duration")
        @classmethod
        def _fits(cls, value: float) -> float:
            if not _SHORTEST <= value <= _LONGEST:
                raise ValueError(f"must be from `1s` to `2m`, not `{duration_text(value)}`")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._enforce = config.enforce
        self._sparing = runtime.sparing(self.name)
        self._place = str(runtime.place)
        self._stores = runtime.stores
        self._expressions = [made for text in config.bucket_key if (made := runtime.expression(text)) is not None]
        self._rules = CircuitRules(
            config.error_threshold,
            config.volume_threshold,
            config.window_duration,
            config.tripped_duration,
            config.num_buckets,
        )

    async def __call__(self, ctx: Context) -> None:
        circuit = self._stores.circuits.circuit((self._place, bucket_of("", self._expressions, ctx)), self._rules)
        decision = circuit.decision()
        ctx.publish(self.name, {"decision": decision})
        if decision != "block":
            ctx.when_over += (partial(circuit.record, decision),)
        else:
            refusal = CircuitOpen(circuit.wait)
            if self._enforce:
                raise refusal
            self._sparing.note(ctx, refusal)
