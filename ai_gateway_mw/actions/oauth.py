"""`oauth`: let in people who have signed in at one of the providers that Traffic Policy names; what is known of these.

What it has in common with `openid-connect` is in `signing_in`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from ai_gateway_mw.actions.signing_in import LoginAction, LoginConfig
from ai_gateway_mw.policy import Duration
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.fetching import Fetcher

if TYPE_CHECKING:
    from ai_gateway_mw.login import Provider


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
