"""`close-connection`: end the connection without an answer."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ConnectionClosed
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime


class CloseConnection:
    """End the connection; the client gets no answer.

    ASGI has no message for that. The server of `ai-gateway run` does it; under any other, or where another middleware
    stands between the server and the gateway, the client gets a 403 without a body, and `connection: close` with it.
    """

    name = "close-connection"
    phases = frozenset({Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST})
    terminating = True

    class Config(ActionConfig):
        enforce: bool = Field(True, description=ENFORCE)

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._sparing = runtime.sparing(self.name)
        self.terminating = config.enforce

    async def __call__(self, ctx: Context) -> None:
        if self.terminating:
            raise ConnectionClosed
        self._sparing.note(ctx, ConnectionClosed())
