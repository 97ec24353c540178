"""`deny`: refuse with a bare status; or, of a stream that has begun, end it."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import Denied
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime


class Deny:
    """Refuse the request: a status, no body, and no response phase. In an event stream: end it with an error event,
    in the place of the message."""

    name = "deny"
    phases = frozenset({Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_EVENT_STREAM_MESSAGE})
    terminating = True

    class Config(ActionConfig):
        status_code: int = Field(403, ge=200, le=599, description="The status that the client gets.")
        enforce: bool = Field(True, description=ENFORCE)

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._status = config.status_code
        self._sparing = runtime.sparing(self.name)
        self.terminating = config.enforce

    async def __call__(self, ctx: Context) -> None:
        if self.terminating:
            raise Denied(self._status)
        self._sparing.note(ctx, Denied(self._status))
