"""`response-body-find-replace`: change the answer's body before the client sees it."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.actions.bodies import edit_answer
from ai_gateway_mw.actions.replacing import Replacement, Replacements
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.texts import found_result


class ResponseBodyFindReplace:
    """Replace what regular expressions match in answers that are text; the answer is held until it is all there. Event
    streams pass: they have rules of their own."""

    name = "response-body-find-replace"
    phases = frozenset({Phase.ON_HTTP_RESPONSE})
    edits_answers = True

    class Config(ActionConfig):
        replacements: tuple[Replacement, ...] = Field(
            min_length=1, description="Replacements in order, each on what the one before has made."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._replacements = Replacements(config.replacements, runtime, self.name, public=True)

    async def __call__(self, ctx: Context) -> None:
        edit, found = self._replacements.edit(ctx)
        await edit_answer(ctx, edit, self.name)
        ctx.publish(self.name, found_result(found))
