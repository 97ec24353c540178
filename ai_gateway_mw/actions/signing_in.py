"""Signing in: the config, the refusals and the result that `oauth` and `openid-connect` have in common.

At which provider, each of them says; how people get there and back, and how long they stay, is `login`'s.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, LoginUnavailable
from ai_gateway_mw.policy import ActionConfig, Duration, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.fetching import Fetcher

if TYPE_CHECKING:
    from ai_gateway_mw.login import Login, Outcome, Provider

_MISSING_EXTRA = "`%s` needs joserfc; do: pip install 'ai-gateway-mw[oauth]'"
_AUTH_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_OURS = frozenset(
    ["response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "code_challenge"]
    + ["code_challenge_method", "response_mode", "request", "request_uri"]
)
_SHORTEST_SECRET = 16  # characters: cookies are sealed with a key that is made of it
_TWO_WEEKS = 14 * 24 * 3_600.0


class LoginConfig(ActionConfig):
    """What both ways to sign in have in common."""

    client_id: TemplateText | None = Field(None, description="The id of the app that is registered at the provider.")
    client_secret: TemplateText | None = Field(
        None,
        description="Its secret, as `${secrets.get('vault', 'name')}`. The cookies of sessions are sealed with a key "
        "that is made of it: another secret ends all sessions.",
    )
    auth_id: str = Field("", description="Tells these sessions, and their login and logout paths, from others.")
    scopes: tuple[str, ...] = Field((), max_length=50, description="What the app asks for; by default, who it is.")
    authz_url_params: dict[str, str] = Field(
        default_factory=dict, max_length=20, description="More parameters for the provider's login page."
    )
    max_session_duration: Duration = Field(
        _TWO_WEEKS, gt=0, description="How long a session lasts at most; then people sign in again."
    )
    userinfo_refresh_interval: Duration | None = Field(
        None, ge=60, description="How often the provider is asked again who somebody is, at least `1m`."
    )
    allow_cors_preflight: bool = Field(
        False,
        description="True: preflight requests (CORS) need no session; rules that read who it is must leave them out.",
    )
    auth_cookie_domain: str = Field("", description="A domain whose other hosts share the session.")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+)?$",
        description="Scheme and host that browsers see, such as `https://app.example.com`, where a proxy in front has "
        "changed them. The provider sends people back to `<public_url>/ngrok/callback`.",
    )

    enforce: bool = Field(True, description=f"{ENFORCE} Its own paths, where people sign in, work all the same.")

    @field_validator("auth_id")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value and not _AUTH_ID.fullmatch(value):
            raise ValueError("must be letters, digits, `-` and `_`, at most 64")
        return value

    @field_validator("auth_cookie_domain")
    @classmethod
    def _is_a_domain(cls, value: str) -> str:
        if value and not _DOMAIN.fullmatch(value):
            raise ValueError(f"`{value}` is not a domain such as `example.com`")
        return value

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for scope in value:
            if not scope or not scope.isascii() or not scope.isprintable() or set(scope) & set(' "\\'):
                raise ValueError(f"`{scope}` is no scope (RFC 6749 3.3)")
        return value

    @field_validator("authz_url_params")
    @classmethod
    def _are_not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name in _OURS:
                raise ValueError(f"`{name}` belongs to the login itself and cannot be set")
        return value

    @model_validator(mode="after")
    def _has_its_own_app(self) -> LoginConfig:
        if not self.client_id or not self.client_secret:
            raise ValueError(
                "`client_id` and `client_secret` of an app of your own are needed: ngrok's managed apps are not here"
            )
        return self


class LoginAction:
    """Signs people in. What it needs to know beyond a config, its subclasses give it."""

    name: ClassVar[str]
    result: ClassVar[Mapping[str, str]]
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    guards = True

    def __init__(self, config: LoginConfig, runtime: Runtime, idle: float | None) -> None:
        self._login: Login | None = None
        self._enforce = config.enforce
        self._sparing = runtime.sparing(self.name)
        self._id = runtime.template(config.client_id or "")
        self._secret = runtime.template(config.client_secret or "")
        if self._secret.constant and len(self._secret.render(None)) < _SHORTEST_SECRET:
            runtime.problem(
                f"a secret of fewer than {_SHORTEST_SECRET} characters can be guessed", field=("client_secret",)
            )
        try:
            from ai_gateway_mw import login  # noqa: PLC0415 - it needs the extra `oauth`
        except ImportError:
            runtime.problem(_MISSING_EXTRA % self.name)
            return
        self._module = login
        if runtime.paths:
            runtime.problem("there is another action that signs people in; a policy may have one")
        self._own_paths = (login.LOGIN, login.CALLBACK, login.LOGOUT)
        runtime.paths.update(self._own_paths)
        fetch = Fetcher(runtime.stores.transport, runtime.settings.hosts)
        self._provider = self._provider_of(config, fetch)
        settings = login.LoginSettings(
            name=self.result["name"],
            auth_id=config.auth_id,
            scopes=self._scopes_of(config),
            parameters=config.authz_url_params,
            max_session=config.max_session_duration,
            idle_session=idle,
            refresh_interval=config.userinfo_refresh_interval,
            allow_cors_preflight=config.allow_cors_preflight,
            cookie_domain=config.auth_cookie_domain,
            public_url=config.public_url,
        )
        self._issuer = self._issuer_of(config)
        self._login = login.Login(settings, self._provider, fetch, clock=time.time)

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        assert self._login is not None
        client, before = self._module.Client(self._id.render(ctx), self._secret.render(ctx)), ctx.answer_fields
        try:
            if len(client.secret) < _SHORTEST_SECRET:
                raise LoginUnavailable
            outcome = await self._login(ctx, client)
        except GatewayError as error:
            ctx.publish(self.result["name"], self._result(None, error))
            if self._enforce or ctx.path in self._own_paths:
                raise
            ctx.answer_fields = before
            self._sparing.note(ctx, error.without_trace())
            return None
        ctx.publish(self.result["name"], self._result(outcome))
        return outcome.answer

    def _result(self, outcome: Outcome | None, error: GatewayError | None = None) -> Mapping[str, Any]:
        session = outcome.session if outcome is not None else None
        made: dict[str, Any] = {"identity": None, "access_token": "", "refresh_token": "", "expires_at": ""}
        if session is not None and outcome is not None:
            made["identity"] = self._module.identity_of(session, self._issuer, self.result["session"])
            made["access_token"], made["refresh_token"] = session.access_token, session.refresh_token
            if session.expires:
                made["expires_at"] = (
                    datetime.fromtimestamp(int(session.expires), UTC).isoformat().replace("+00:00", "Z")
                )
        if "token" in self.result:
            made[self.result["token"]] = session.identity_token if session is not None else ""
        made["session_timed_out"] = outcome is not None and outcome.timed_out
        made["session_max_duration_reached"] = outcome is not None and outcome.reached_maximum
        made[self.result["refreshed"]] = outcome is not None and outcome.refreshed
        made["error"] = {"code": error.code, "message": error.message} if error else {"code": "", "message": ""}
        return made

    def _provider_of(self, config: Any, fetch: Fetcher) -> Provider:
        raise NotImplementedError

    def _scopes_of(self, config: Any) -> tuple[str, ...]:
        raise NotImplementedError

    def _issuer_of(self, config: Any) -> str:
        raise NotImplementedError
