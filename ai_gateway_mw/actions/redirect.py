"""`redirect`: send the client to another URL."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ai_gateway_mw.actions.url_rewrite import Replacement, URLConfig, replacement_result
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.headers import field_value, settable_name
from ai_gateway_mw.policy import Phase, TemplateText
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.runtime import Runtime


class Redirect:
    """Answer with another URL to ask; where it is the one that was asked, go on instead.

    The answer still meets the response rules.
    """

    name = "redirect"
    phases = frozenset({Phase.ON_HTTP_REQUEST})

    class Config(URLConfig):
        status_code: Literal[301, 302, 303, 307, 308] = Field(
            302, description="Its status; 307 and 308 have the client repeat method and body."
        )
        headers: dict[str, TemplateText] = Field(
            default_factory=dict, max_length=10, description="More fields of the answer; values may be templates."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._replacement = Replacement(config, runtime, self.name)
        self._status = config.status_code
        self._redact = runtime.secrets.redact_bytes
        self._fields = runtime.fields(config.headers, _further_name, public=True)

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        url, matches = self._replacement(ctx)
        ctx.publish(self.name, replacement_result(url, matches))
        if url is None:
            return None
        try:
            fields = [(name, self._redact(field_value(text.render(ctx)))) for name, text in self._fields]
        except ValueError as error:
            raise PolicyDenied(f"redirect: {error}") from None
        return Reply(self._status, ((b"location", self._redact(str(url).encode())), *fields))


def _further_name(name: str) -> bytes:
    raw = settable_name(name)
    if raw == b"location":
        raise ValueError("`location` is what `to` says")
    return raw
