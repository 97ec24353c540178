"""`request-body-find-replace`: change the request's body before anybody else reads it."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.actions.bodies import edit_request
from ai_gateway_mw.actions.replacing import Replacement, Replacements
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.texts import found_result


class RequestBodyFindReplace:
    """Replace what regular expressions match. The edited body is what is sent on, and what expressions read."""

    name = "request-body-find-replace"
    phases = frozenset({Phase.ON_HTTP_REQUEST})

    class Config(ActionConfig):
        replacements: tuple[Replacement, ...] = Field(
            min_length=1, description="Replacements in order, each on what the one before has made."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._replacements = Replacements(config.replacements, runtime, self.name, public=False)

    async def __call__(self, ctx: Context) -> None:
        edit, found = self._replacements.edit(ctx)
        await edit_request(ctx, edit)
        ctx.publish(self.name, found_result(found))
