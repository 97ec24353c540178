"""`add-headers`: put fields on the head that is passing."""

from __future__ import annotations

from pydantic import Field

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.headers import field_value, settable_name
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime


class AddHeaders:
    """Add fields to the head that is passing: the request's or the response's."""

    name = "add-headers"
    phases = frozenset({Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})

    class Config(ActionConfig):
        headers: dict[str, TemplateText] = Field(
            description="Fields to add, by name; values may be templates. A field that is there already stays.",
            min_length=1,
            max_length=10,
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        public = runtime.phase is Phase.ON_HTTP_RESPONSE
        self._redact = runtime.secrets.redact if public else str
        self._fields = runtime.fields(config.headers, settable_name, public=public)

    async def __call__(self, ctx: Context) -> None:
        added: dict[str, str] = {}
        for name, template in self._fields:
            value = self._redact(template.render(ctx))
            try:
                ctx.head.append(name, field_value(value))
            except ValueError as error:
                raise PolicyDenied(f"add-headers, {name.decode()}: {error}") from None
            added[name.decode()] = value
        ctx.publish(self.name, {"headers_added": added})
