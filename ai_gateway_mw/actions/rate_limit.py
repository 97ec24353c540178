"""`rate-limit`: let through so many requests of a kind in a window of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Literal

from pydantic import Field, field_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.cel import EvaluationError, Expression, to_json
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, LimitsUnavailable, RateLimited
from ai_gateway_mw.limits import Sliding, Taken, claim_of
from ai_gateway_mw.policy import ActionConfig, Duration, ExpressionText, Phase, duration_text
from ai_gateway_mw.runtime import Runtime

_SHORTEST, _LONGEST, _STEP = 60, 86_400, 10


class RateLimit:
    """Refuse a request whose bucket has had its fill; all processes of this machine count together.

    What an expression of `bucket_key` gives may be a credential: only a digest of the bucket is stored and published.
    """

    name = "rate-limit"
    phases = frozenset({Phase.ON_HTTP_REQUEST})

    class Config(ActionConfig):
        name: str = Field(min_length=1, max_length=1023, description="What tells its buckets from other actions'.")
        algorithm: Literal["sliding_window"] = Field(description="How it counts: over a window that moves with time.")
        capacity: int = Field(ge=1, le=2_000_000_000, description="Requests of one bucket in a window.")
        rate: Duration = Field(description="The window: from `60s` to `24h`, a multiple of `10s`.")
        bucket_key: tuple[ExpressionText, ...] = Field(
            min_length=1,
            max_length=10,
            description="Expressions whose values make the bucket, such as `conn.client_ip`; one that fails is null.",
        )
        enforce: bool = Field(True, description=ENFORCE)

        @field_validator("rate", mode="before")
        @classmethod
        def _is_no_ratio(cls, value: Any) -> Any:
            if isinstance(value, str) and "/" in value:
                raise ValueError(
                    f"`{value}` is no window of time: say how many under `capacity`, and here in which time, as `60s`"
                )
            return value

        @field_validator("rate")
        @classmethod
        def _is_a_window(cls, value: float) -> float:
            if not _SHORTEST <= value <= _LONGEST or value % _STEP:
                raise ValueError(f"must be from `60s` to `24h` and a multiple of `10s`, not `{duration_text(value)}`")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._config = config
        self._sparing = runtime.sparing(self.name)
        self._window = Sliding(int(config.rate))
        self._expressions = [made for text in config.bucket_key if (made := runtime.expression(text)) is not None]
        self._stores = runtime.stores
        self._limit = f"{config.capacity} requests in {duration_text(config.rate)}"

    async def __call__(self, ctx: Context) -> None:
        bucket = bucket_of(self._config.name, self._expressions, ctx)
        try:
            taken = self._taken(bucket)
        except LimitsUnavailable as error:
            ctx.publish(self.name, _result(bucket, False, error))
            if self._config.enforce:
                raise
            self._sparing.note(ctx, error.without_trace())
            return
        ctx.publish(self.name, _result(bucket, not taken.granted))
        if taken.granted:
            return
        refusal = RateLimited(self._limit, taken.retry_after)
        if self._config.enforce:
            raise refusal
        self._sparing.note(ctx, refusal, f"{self._config.name}: {self._limit}")

    def _taken(self, bucket: str) -> Taken:
        return self._stores.counters.take([claim_of(f"rate-limit:{bucket}", self._window, self._config.capacity)])


def bucket_of(name: str, expressions: Iterable[Expression], ctx: Context) -> str:
    """A digest of the values of expressions, under a name."""
    values = [_value(expression, ctx) for expression in expressions]
    text = json.dumps([name, *values], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _value(expression: Expression, ctx: Context) -> Any:
    """What it gives, as JSON; null where it fails, unless what it read is refused by itself."""
    try:
        return to_json(expression(ctx))
    except EvaluationError as error:
        if isinstance(error.__cause__, GatewayError):
            raise error.__cause__ from None
        return None


def _result(bucket: str, limited: bool, error: GatewayError | None = None) -> Mapping[str, Any]:
    failure = {"code": error.code, "message": error.message} if error else {"code": "", "message": ""}
    return {"bucket_key": bucket, "limited": limited, "error": failure}
