"""`remove-headers`: take fields off the head that is passing."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.context import Context
from ai_gateway_mw.headers import field_name
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime


class RemoveHeaders:
    """Drop every field of these names from the head that is passing: the request's or the response's."""

    name = "remove-headers"
    phases = frozenset({Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})

    class Config(ActionConfig):
        headers: tuple[str, ...] = Field(
            description="Names of the fields to remove, in any case.", min_length=1, max_length=10
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._names: list[bytes] = []
        for number, name in enumerate(config.headers):
            try:
                self._names.append(field_name(name))
            except ValueError as error:
                runtime.problem(str(error), field=("headers", number))

    async def __call__(self, ctx: Context) -> None:
        removed = [name.decode() for name in self._names if ctx.head.remove(name)]
        ctx.publish(self.name, {"headers_removed": removed})
