"""`log`: note something about the exchange."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ai_gateway_mw.cel import EvaluationError, Template, evaluated, to_json
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.telemetry import log_entry


class Log:
    """Write one structured log entry. It never fails the request: what cannot be evaluated is noted as null."""

    name = "log"
    phases = frozenset(
        {Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE}
    )

    class Config(ActionConfig):
        metadata: dict[str, Any] = Field(
            description="What to note, by name; strings at any depth may be templates. Secrets are refused."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._metadata = runtime.templates(config.metadata, public=True)
        self._redact = runtime.secrets.redact

    async def __call__(self, ctx: Context) -> None:
        metadata = evaluated(self._metadata, lambda template: _noted(template, ctx))
        ctx.publish(self.name, {"metadata": metadata})
        log_entry(ctx, metadata, self._redact)


def _noted(template: Template, ctx: Context) -> Any:
    try:
        return to_json(template.value(ctx))
    except (EvaluationError, GatewayError):
        return None
