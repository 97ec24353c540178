"""`verify-webhook`: let in only what a provider has signed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from cachetools import TTLCache
from pydantic import Field, field_validator, model_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import WebhookNotVerified, closest
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.replies import Reply, json_reply
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed
from ai_gateway_mw.webhooks import (
    CHALLENGES,
    PROVIDERS,
    WITH_CERTIFICATES,
    WITHOUT_SECRET,
    Delivery,
    Unverified,
    verify_sns,
)

_KNOWN: list[Any] = sorted(PROVIDERS)
_CERTIFICATES = 16
_CERTIFICATE_TTL = 3_600.0
_MAX_CERTIFICATE = 64 * 1024
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"))


class VerifyWebhook:
    """Refuse what the provider has not signed, or what it has signed too long ago; answer its challenges."""

    name = "verify-webhook"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    guards = True

    class Config(ActionConfig):
        provider: str = Field(
            description="Whose webhooks these are, such as `github`, `stripe` or `slack`.",
            json_schema_extra={"enum": _KNOWN},
        )
        secret: TemplateText | None = Field(
            None, description="What the provider signs with, best as `${secrets.get('vault', 'name')}`; `sns` has none."
        )
        enforce: bool = Field(True, description=ENFORCE)
        public_url: str = Field(
            "",
            pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+)?$",
            description="Scheme and host that the provider calls, such as `https://hooks.example.com`, where a proxy "
            "in front has changed them: some sign the URL.",
        )

        @field_validator("provider")
        @classmethod
        def _is_known(cls, value: str) -> str:
            if value not in PROVIDERS:
                near = closest(value, PROVIDERS) or closest(re.split("[-_]", value)[0], PROVIDERS)
                meant = f"; did you mean `{near}`?" if near else f": known are {', '.join(sorted(PROVIDERS))}"
                raise ValueError(f"`{value}` is no provider of webhooks that is known here{meant}")
            return value

        @model_validator(mode="after")
        def _has_its_secret(self) -> VerifyWebhook.Config:
            if self.provider in WITHOUT_SECRET:
                if self.secret is not None:
                    raise ValueError(f"`{self.provider}` signs with a certificate and takes no `secret`")
            elif not self.secret:
                raise ValueError(
                    f"the config of `verify-webhook` needs `secret`, since `{self.provider}` signs with one"
                )
            return self

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._config = config
        self._sparing = runtime.sparing(self.name)
        self._secret = runtime.template(config.secret or "")
        self._verify = PROVIDERS[config.provider]
        self._challenge = CHALLENGES.get(config.provider)
        self._clock: Callable[[], float] = time.time
        self._fetch = Fetcher(runtime.stores.transport, runtime.settings.hosts, limit=_MAX_CERTIFICATE)
        self._certificates: TTLCache[str, bytes] = TTLCache(_CERTIFICATES, _CERTIFICATE_TTL)
        if config.provider in WITH_CERTIFICATES and find_spec("cryptography") is None:
            runtime.problem(f"`{config.provider}` needs cryptography; do: pip install 'ai-gateway-mw[jwt]'")

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        secret = self._secret.render(ctx)
        delivery = Delivery(ctx.method, self._origin(ctx), _target(ctx), ctx.request_fields, await ctx.read_body())
        try:
            if self._challenge is not None and not self._challenge.is_signed:
                answer = self._challenge.answer(delivery, secret)
                if answer is not None:
                    return _reply(answer)
            await self._check(delivery, secret)
        except Unverified as error:
            self._refuse(ctx, str(error))
            return None
        ctx.publish(self.name, _result())
        if self._challenge is not None and self._challenge.is_signed:
            answer = self._challenge.answer(delivery, secret)
            return None if answer is None else _reply(answer)
        return None

    async def _check(self, delivery: Delivery, secret: str) -> None:
        if self._config.provider == "sns":
            await verify_sns(delivery, self._certificate, self._clock())
        elif not secret:
            raise Unverified("there is no secret to check it with")
        else:
            self._verify(delivery, secret, self._clock())

    async def _certificate(self, url: str) -> bytes:
        found = self._certificates.get(url)
        if found is None:
            try:
                fetched = await self._fetch(url)
            except FetchFailed as error:
                raise Unverified(f"its certificate cannot be had: {error}") from None
            if fetched.status != 200:
                raise Unverified(f"its certificate cannot be had: {fetched.host} answered {fetched.status}")
            found = self._certificates[url] = fetched.body
        return found

    def _refuse(self, ctx: Context, reason: str) -> None:
        refusal = WebhookNotVerified(reason, 401 if self._config.provider == "xero" else 403)
        ctx.publish(self.name, _result(refusal))
        if self._config.enforce:
            raise refusal
        self._sparing.note(ctx, refusal, reason)

    def _origin(self, ctx: Context) -> str:
        if self._config.public_url:
            return self._config.public_url
        host = (ctx.request_fields.get(b"host") or b"").decode("latin-1")
        return f"{ctx.scope.get('scheme', 'http')}://{host}"


def _target(ctx: Context) -> str:
    """Path and query as they were sent, also where the gateway is mounted below a path."""
    path = ctx.scope.get("raw_path") or str(ctx.scope.get("path", "")).encode()
    query = b"?" + ctx.query if ctx.query else b""
    return (path + query).decode("latin-1")


def _reply(answer: Mapping[str, Any] | str) -> Reply:
    return Reply(200, _TEXT, answer.encode()) if isinstance(answer, str) else json_reply(200, answer)


def _result(error: WebhookNotVerified | None = None) -> Mapping[str, Any]:
    failure = {"code": error.code, "message": error.message} if error else {"code": "", "message": ""}
    return {"verified": error is None, "error": failure}
