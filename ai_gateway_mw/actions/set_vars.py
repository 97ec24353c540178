"""`set-vars`: name values for later expressions."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)

from ai_gateway_mw.cel import evaluated
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime


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

        _is_map: bool = PrivateAttr(False)

        @model_validator(mode="wrap")
        @classmethod
        def _as_written(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
            made = handler(value)
            made._is_map = isinstance(value, dict) and isinstance(value.get("vars"), dict)
            return made

        @property
        def is_map(self) -> bool:
            """Whether `vars` was a plain map, which ngrok's server refuses."""
            return self._is_map

        @field_validator("vars", mode="before")
        @classmethod
        def _as_list(cls, value: Any) -> Any:
            """A plain map is taken as the list of its entries: ngrok's own guides write it that way."""
            return [{name: item} for name, item in value.items()] if isinstance(value, dict) else value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        if config.is_map:
            message = "`vars` is a list of maps of one name each; this map is taken for one, in its order"
            runtime.problem(message, field=("vars",), severity="warning")
        self._vars = [(name, runtime.templates(value)) for item in config.vars for name, value in item.items()]

    async def __call__(self, ctx: Context) -> None:
        for name, value in self._vars:
            made = evaluated(value, lambda template: template.value(ctx))  # a time stays one, an unsigned number too
            ctx.vars = {**ctx.vars, name: made}  # a new map: a value may hold the one before
