"""`custom-response`: answer with what the policy says."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import Denied, PolicyDenied
from ai_gateway_mw.headers import field_value, settable_name
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.runtime import Runtime


class CustomResponse:
    """Answer the request, or replace the response. In the request phase the answer still meets the response rules."""

    name = "custom-response"
    phases = frozenset({Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})
    terminating = True

    class Config(ActionConfig):
        status_code: int = Field(200, ge=200, le=599, description="The status of the answer.")
        body: TemplateText = Field(
            TemplateText(""),
            validation_alias=AliasChoices("body", "content"),
            description="The body; may hold templates. Its content type is inferred where `headers` names none.",
        )
        headers: dict[str, TemplateText] = Field(
            default_factory=dict, max_length=10, description="Fields of the answer; values may be templates."
        )

        enforce: bool = Field(True, description=ENFORCE)

        @model_validator(mode="before")
        @classmethod
        def _of_today(cls, value: Any) -> Any:
            """`content_type` beside `content` is how older policies say it."""
            if not isinstance(value, dict) or not isinstance(value.get("content_type"), str):
                return value
            headers = value.get("headers") or {}
            if not isinstance(headers, dict):
                return value
            if any(str(name).lower() == "content-type" for name in headers):
                raise ValueError(
                    "`content_type` and the field `content-type` in `headers` say the same; keep the latter"
                )
            rest = {name: given for name, given in value.items() if name != "content_type"}
            return {**rest, "headers": {**headers, "content-type": value["content_type"]}}

        @model_validator(mode="after")
        def _body_fits_status(self) -> CustomResponse.Config:
            if self.body and self.status_code in (204, 304):
                raise ValueError(f"a {self.status_code} answer has no body")
            return self

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._status = config.status_code
        self._sparing = runtime.sparing(self.name)
        self.terminating = config.enforce
        self._body = runtime.template(config.body, public=True)
        self._fields = runtime.fields(config.headers, settable_name, public=True)
        self._redact = runtime.secrets.redact_bytes
        self._fixed: Reply | None = None
        self._shown = b""  # all the text of the fixed one
        if all(template.constant for template in (self._body, *(text for _, text in self._fields))):
            with suppress(PolicyDenied):
                self._fixed = self._reply(None)
                self._shown = b"\n".join([self._fixed.body, *(value for _, value in self._fixed.fields)])

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        if not self.terminating:
            self._sparing.note(ctx, Denied(self._status), f"it would have answered with {self._status}")
            return None
        if self._fixed is not None and self._redact(self._shown) is self._shown:
            return self._fixed
        return self._reply(ctx)

    def _reply(self, ctx: Context | None) -> Reply:
        body = self._redact(self._body.render(ctx).encode("utf-8", "replace"))
        try:
            fields = [(name, self._redact(field_value(text.render(ctx)))) for name, text in self._fields]
        except ValueError as error:
            raise PolicyDenied(f"custom-response: {error}") from None
        if body and not any(name == b"content-type" for name, _ in fields):
            fields.append((b"content-type", _content_type(body)))
        return Reply(self._status, tuple(fields), body)


def _content_type(body: bytes) -> bytes:
    start = body.lstrip()[:16].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return b"text/html; charset=utf-8"
    if start.startswith((b"{", b"[")):
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return b"text/plain; charset=utf-8"
        return b"application/json"
    return b"text/plain; charset=utf-8"
