"""`set-vars`: name values for later expressions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.content import rendered


def _of_one_name(item: dict[str, Any]) -> dict[str, Any]:
    if len(item) != 1:
        raise ValueError("must be a map with exactly one name")
    (name,) = item
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(f"`{name}` cannot be a variable's name: use letters, digits and `_`")
    return item


class SetVars:
    """Set `vars.<name>`, one after the other; a later value may use an earlier one."""

    name = "set-vars"
    phases = frozenset(
        {Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE, Phase.ON_EVENT_STREAM_MESSAGE}
    )

    class Config(ActionConfig):
        vars: tuple[Annotated[dict[str, Any], AfterValidator(_of_one_name)], ...] = Field(
            description="A list of single-key maps from name to value. Strings anywhere in a value may be templates; "
            "a string that is exactly one `${…}` keeps the type of its value.",
        )

        @field_validator("vars", mode="before")
        @classmethod
        def _as_list(cls, value: Any) -> Any:
            """A plain map is taken as the list of its entries: ngrok's own guides write it that way."""
            return [{name: item} for name, item in value.items()] if isinstance(value, dict) else value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._vars = [(name, runtime.templates(value)) for item in config.vars for name, value in item.items()]

    async def __call__(self, ctx: Context) -> None:
        for name, value in self._vars:
            ctx.vars = {**ctx.vars, name: rendered(value, ctx)}  # a new map: a value may hold the one before
