"""`oauth`: let in people who have signed in at one of the providers that Traffic Policy names."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

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
    allow_cors_preflight: bool = Field(False, description="True: preflight requests (CORS) need no session.")
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


class _Known(NamedTuple):
    """What is known of a provider: its endpoints, and how it names what an identity is made of."""

    authorization: str
    token: str
    userinfo: str
    scopes: tuple[str, ...]
    id: str = "sub"
    email: str = "email"
    name: str = "name"
    pkce: bool = True
    parameters: Mapping[str, str] = {}


_MICROSOFT = "https://login.microsoftonline.com/common/oauth2/v2.0"
_FACEBOOK = "https://graph.facebook.com/v19.0"
_PROVIDERS: Mapping[str, _Known] = {
    "amazon": _Known(
        "https://www.amazon.com/ap/oa",
        "https://api.amazon.com/auth/o2/token",
        "https://api.amazon.com/user/profile",
        ("profile",),
        id="user_id",
    ),
    "facebook": _Known(
        "https://www.facebook.com/v19.0/dialog/oauth",
        f"{_FACEBOOK}/oauth/access_token",
        f"{_FACEBOOK}/me?fields=id,name,email",
        ("email",),
        id="id",
    ),
    "github": _Known(
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        "https://api.github.com/user",  # its e-mail address is one that GitHub has verified, where people show one
        ("read:org", "read:user"),
        id="id",
    ),
    "gitlab": _Known(
        "https://gitlab.com/oauth/authorize",
        "https://gitlab.com/oauth/token",
        "https://gitlab.com/oauth/userinfo",
        ("email", "openid", "profile"),
    ),
    "google": _Known(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        "https://openidconnect.googleapis.com/v1/userinfo",
        ("openid", "email", "profile"),
    ),
    "linkedin": _Known(
        "https://www.linkedin.com/oauth/v2/authorization",
        "https://www.linkedin.com/oauth/v2/accessToken",
        "https://api.linkedin.com/v2/userinfo",
        ("openid", "profile", "email"),  # r_liteprofile and r_emailaddress are gone
        pkce=False,  # only for native apps
    ),
    "microsoft": _Known(
        f"{_MICROSOFT}/authorize",
        f"{_MICROSOFT}/token",
        "https://graph.microsoft.com/v1.0/me",
        ("User.Read",),
        id="id",
        email="userPrincipalName",  # a domain of the tenant's; anybody can write anything into `mail`
        name="displayName",
    ),
    "twitch": _Known(
        "https://id.twitch.tv/oauth2/authorize",
        "https://id.twitch.tv/oauth2/token",
        "https://id.twitch.tv/oauth2/userinfo",
        ("openid", "user:read:email"),
        name="preferred_username",
        pkce=False,
        parameters={"claims": '{"userinfo":{"email":null,"email_verified":null,"preferred_username":null}}'},
    ),
}


class OAuth(LoginAction):
    """Ask people to sign in, and let in those who have. Whom of them, later rules decide by
    `actions.ngrok.oauth.identity`."""

    name = "oauth"
    result: ClassVar[Mapping[str, str]] = {
        "name": "oauth",
        "session": "current_provider_session_id",
        "refreshed": "userinfo_refreshed",
    }

    class Config(LoginConfig):
        provider: Literal["amazon", "facebook", "github", "gitlab", "google", "linkedin", "microsoft", "twitch"] = (
            Field(description="Where people sign in.")
        )
        idle_session_timeout: Duration | None = Field(
            None, gt=0, description="How long a session lasts while nobody uses it."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        known = _PROVIDERS[config.provider]
        parameters = {**known.parameters, **config.authz_url_params}
        super().__init__(
            config.model_copy(update={"authz_url_params": parameters}), runtime, config.idle_session_timeout
        )

    def _provider_of(self, config: Config, fetch: Fetcher) -> Provider:
        from ai_gateway_mw.login import Endpoints, NamedProvider  # noqa: PLC0415 - it needs the extra `oauth`

        known = _PROVIDERS[config.provider]
        endpoints = Endpoints(known.authorization, known.token, known.userinfo)
        return NamedProvider(fetch, endpoints, known.id, known.email, known.name, known.pkce)

    def _scopes_of(self, config: Config) -> tuple[str, ...]:
        return config.scopes or _PROVIDERS[config.provider].scopes

    def _issuer_of(self, config: Config) -> str:
        return config.provider
