"""`ai-gateway`: route a request to a model, with failover over keys and providers."""

from __future__ import annotations

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ClientGone, GatewayError, RouteNotFound
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.config import AIGatewayConfig
from ai_gateway_mw.upstream.report import gateway_result
from ai_gateway_mw.upstream.steps import steps


class AIGateway:
    """Answers AI requests; it ends the phase, unless it fails under `on_error: continue`."""

    name = "ai-gateway"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    Config = AIGatewayConfig

    def __init__(self, config: AIGatewayConfig, runtime: Runtime) -> None:
        self.terminating = config.on_error == "halt"
        self._steps = steps(config, runtime)

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        try:
            if ctx.route is None:
                raise RouteNotFound(f"{ctx.path} is no path of an AI API.")
            answer = await self._steps.answer(ctx)
        except ClientGone:
            raise
        except GatewayError as error:
            if self.terminating:
                ctx.publish_lazily(self.name, gateway_result, error)
                raise
            ctx.publish(self.name, gateway_result(ctx, error))  # now: another may follow, with attempts of its own
            error.without_trace()
            return None
        ctx.publish_lazily(self.name, gateway_result)
        return answer
